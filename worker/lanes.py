"""Lanes: roles that act one after another, each lane on a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from worker.chain import ChainError, Clients, DryRun, Stale, Stopping, Unconfirmed
from worker.logs import about
from worker.metrics import Metrics
from worker.outcomes import Stopped, TaskFailed

log = logging.getLogger("worker.daemon")

LONGEST_BACKOFF = 30.0  # well below a dispute's clock
TICKS_A_ROUND = 1000  # a role that never says it is done must not keep the others from playing
WAKE = 0.2  # seconds between two looks of the main thread, which alone handles signals
GRACE = 10.0  # seconds that lanes have to end, each at the end of a step or of a call


class Role(Protocol):
    """One part that a worker plays. Roles with the same `lane` share a thread."""

    name: str

    def tick(self) -> bool:
        """Does what is next given the chain's state alone. True when it did something."""


class Lane:
    """Ticks its roles until none has anything to do, then sleeps; and so on.

    Before each round the sender settles what is left in its outbox. A role whose tick raises is
    left alone for a while, longer each time, and the others go on; one of whose tasks has failed
    goes on, as tasks rest by themselves. A round acts on the chain as it is then: nothing is
    remembered here, so a daemon that was killed goes on where the chain stands.
    """

    def __init__(
        self,
        name: str,
        roles: Sequence[Role],
        clients: Clients,
        metrics: Metrics,
        *,
        poll_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.roles = name, list(roles)
        self._clients = clients
        self._metrics = metrics
        self._poll_seconds = poll_seconds
        self._clock = clock
        self.failures: dict[str, int] = {}
        self._resting: dict[str, float] = {}  # until when

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        with about(lane=self.name):
            while not stop.is_set():
                self.round(stop)
                stop.wait(self._poll_seconds)

    def round(self, stop: threading.Event) -> None:
        """Every role, until it has nothing to do."""
        with self._metrics.beating(self.name):
            if not self._attempt("sender", self._reconcile):
                return
            for role in self.roles:
                for _ in range(TICKS_A_ROUND):
                    if stop.is_set() or not self._attempt(role.name, role.tick):
                        break
                    self._metrics.beat()
                else:
                    about_it = {"role": role.name}
                    log.warning("a role found no end, the others go first", extra=about_it)

    def _reconcile(self) -> bool:
        if self._clients.sender.pending:
            self._clients.sender.reconcile()
        return True

    def _attempt(self, name: str, act: Callable[[], bool]) -> bool:
        """What `act` says; False where it raises or rests after raising."""
        if self._clock() < self._resting.get(name, 0.0):
            return False
        try:
            did = act()
        except Stopped:
            log.info("stopped between two steps", extra={"role": name})
            return False
        except DryRun as dry:
            log.info(str(dry), extra={"role": name})
            return False
        except Stopping as stopping:
            log.info(str(stopping), extra={"role": name})
            return False
        except Stale as stale:
            log.info(str(stale), extra={"role": name})
            return True  # the chain has changed, so there may be something else to do
        except TaskFailed:
            self.failures[name] = self.failures.get(name, 0) + 1
            self._metrics.ticks.labels(name, "failed").inc()
            return False
        except Exception as error:
            self._rest(name, error)
            return False
        self.failures.pop(name, None)
        if name != "sender":
            self._metrics.ticks.labels(name, "done" if did else "idle").inc()
        return did

    def _rest(self, name: str, error: Exception) -> None:
        count = self.failures[name] = self.failures.get(name, 0) + 1
        seconds = min(self._poll_seconds * 2 ** (count - 1), LONGEST_BACKOFF)
        self._resting[name] = self._clock() + seconds
        self._metrics.errors.labels(type(error).__name__).inc()
        if name != "sender":
            self._metrics.ticks.labels(name, "failed").inc()
        expected = isinstance(error, (ChainError, OSError))
        log.log(
            logging.WARNING if isinstance(error, Unconfirmed) else logging.ERROR,
            f"{name} failed: {error}",
            extra={"role": name, "error": type(error).__name__, "rest_seconds": seconds},
            exc_info=None if expected else error,
        )


class Daemon:
    """Plays all roles: each lane on its own thread, so that no answer waits for long work."""

    def __init__(
        self,
        roles: Sequence[Role],
        clients: Clients,
        metrics: Metrics,
        *,
        poll_seconds: float,
        stop: threading.Event | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stop = stop or threading.Event()
        self._metrics = metrics
        by_lane: dict[str, list[Role]] = {}
        for role in roles:
            by_lane.setdefault(getattr(role, "lane", "main"), []).append(role)
        self.lanes = [
            Lane(name, parts, clients, metrics, poll_seconds=poll_seconds, clock=clock)
            for name, parts in by_lane.items()
        ]
        self._broken: list[BaseException] = []

    @property
    def failing(self) -> list[str]:
        """Roles whose last tick raised."""
        return sorted({name for lane in self.lanes for name in lane.failures})

    def round(self) -> None:
        """Every lane's roles, until they have nothing to do, one lane after another."""
        for lane in self.lanes:
            if not self.stop.is_set():
                lane.round(self.stop)

    def run(self, *, once: bool = False) -> list[str]:
        """Until `stop` is set, or for one round. The lanes that would not end in time."""
        if once:
            self.round()
            return []
        threads = [
            threading.Thread(target=self._play, args=(lane,), name=lane.name, daemon=True)
            for lane in self.lanes
        ]
        for thread in threads:
            thread.start()
        while not self.stop.wait(WAKE):
            pass  # a signal that another thread has taken is handled when this one wakes
        end = time.monotonic() + GRACE
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        if self._broken:
            raise self._broken[0]
        return [thread.name for thread in threads if thread.is_alive()]

    def _play(self, lane: Lane) -> None:
        try:
            lane.run(self.stop)
        except BaseException as error:  # a worker that answers nobody must not look alive
            self._broken.append(error)
            self.stop.set()
