"""What a daemon counts, for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server
from web3.types import TxReceipt

from worker.config import ConfigError

_lane: ContextVar[str] = ContextVar("lane", default="")


class Metrics:
    """Counters of one daemon, in a registry of its own. Nothing listens until `serve` is called."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.ticks = Counter(
            "assay_ticks", "Ticks by role and outcome", ["role", "outcome"], registry=self.registry
        )
        self.transactions = Counter(
            "assay_transactions",
            "Transactions by call",
            ["call", "outcome"],
            registry=self.registry,
        )
        self.gas = Counter("assay_gas", "Gas used by call", ["call"], registry=self.registry)
        self.errors = Counter("assay_errors", "Errors by kind", ["kind"], registry=self.registry)
        self.segments = Counter(
            "assay_segments", "Segments computed, by role", ["role"], registry=self.registry
        )
        self.disputes = Counter(
            "assay_disputes", "Disputes by role and outcome", ["role", "outcome"],
            registry=self.registry,
        )  # fmt: skip
        self.events = Counter(
            "assay_events",
            "What happened to this worker: assigned, drawn, accused, fined, slashed, paid",
            ["event"],
            registry=self.registry,
        )
        self.amounts = Counter(
            "assay_amounts",
            "What it cost or brought, in the token's smallest units",
            ["event"],
            registry=self.registry,
        )
        steps = ["lane"]
        self.done = Gauge(
            "assay_segment_steps_done", "Steps done of what is computed", steps,
            registry=self.registry,
        )  # fmt: skip
        self.total = Gauge(
            "assay_segment_steps", "Steps of what is computed", steps, registry=self.registry
        )
        self.left = Gauge(
            "assay_segment_seconds_left", "Seconds until it is done, as it went so far", steps,
            registry=self.registry,
        )  # fmt: skip
        self.pulse = Gauge(
            "assay_pulse_seconds",
            "Unix time of the last sign of life of the lane that has been silent longest",
            registry=self.registry,
        )
        self._beats: dict[str, float] = {}
        self.pulse.set_function(lambda: min(list(self._beats.values()), default=0.0))

    def beat(self) -> None:
        """A sign of life of the lane that this thread works for: a step done, a turn awaited."""
        if lane := _lane.get():
            self._beats[lane] = time.time()

    @contextmanager
    def beating(self, lane: str) -> Iterator[None]:
        """Inside, this thread, and what it begins, works for a lane."""
        token = _lane.set(lane)
        try:
            yield
            self.beat()
        finally:
            _lane.reset(token)

    def on_receipt(self, label: str, receipt: TxReceipt) -> None:
        """The sender's hook: counts a transaction whose receipt has been seen."""
        outcome = "success" if receipt["status"] else "reverted"
        self.transactions.labels(label, outcome).inc()
        self.gas.labels(label).inc(receipt["gasUsed"])

    def on_event(self, event: str, amount: int) -> None:
        """Counts what happened, and the token's smallest units that it cost or brought."""
        self.events.labels(event).inc()
        self.amounts.labels(event).inc(amount)

    def on_step(self, done: int, total: int, seconds_left: float) -> None:
        """Shows how far the segment is that this thread's lane computes."""
        lane = _lane.get() or "main"
        self.done.labels(lane).set(done)
        self.total.labels(lane).set(total)
        self.left.labels(lane).set(seconds_left)

    def serve(self, port: int, host: str = "127.0.0.1") -> None:
        """Answers at http://host:port/metrics until the process ends. Raises ConfigError."""
        try:
            start_http_server(port, addr=host, registry=self.registry)
        except OSError as error:
            raise ConfigError.of(
                "metrics.port",
                port,
                f"must be a free port of {host} ({error.strerror})",
                "stop what uses it, or name another; 0 serves nothing",
            ) from None
