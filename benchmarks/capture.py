"""How long capturing and compiling take: processor seconds of Python, and a compiler's wall time.

    python -m benchmarks.capture [--json] [--only NAME]

A step is run twice while it is recorded, made of operators that have rules, and lowered; what is
left is the look at the optimizer's first step. Then it is written as C and compiled, into an empty
cache. An LSTM's rows say how both grow with its length.
"""

from __future__ import annotations

import itertools
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import click
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.measure import machine
from benchmarks.models import Recurrent
from benchmarks.workloads import WORKLOADS, workload
from benchmarks.zoo import ZOO
from worker.program import Program, capture, capture_training, tracing

LENGTHS = (16, 64, 256)
PARTS = ("first run", "second run", "decomposed", "lowered")


@dataclass
class Row:
    """Seconds: parts and whole of a capture by the process's clock, compile by the wall's."""

    name: str
    nodes: int = 0
    parts: dict[str, float] = field(default_factory=dict)
    whole: float = 0.0
    compile: float = 0.0


@contextmanager
def timed(row: Row) -> Iterator[None]:
    """Within, the parts of a capture note how long they take."""
    places: list[tuple[Any, str, tuple[str, ...]]] = [
        (tracing, "_run", PARTS[:2]),
        (tracing, "decomposed", PARTS[2:3]),
        (capture, "lowered", PARTS[3:]),
    ]
    before = [getattr(module, name) for module, name, _ in places]

    def noting(function: Callable[..., Any], names: Iterator[str]) -> Callable[..., Any]:
        def noted(*args: Any, **kwargs: Any) -> Any:
            start = time.process_time()
            result = function(*args, **kwargs)
            row.parts[next(names)] = time.process_time() - start
            return result

        return noted

    for (module, name, parts), function in zip(places, before, strict=True):
        setattr(module, name, noting(function, iter(parts)))
    try:
        yield
    finally:
        for (module, name, _), function in zip(places, before, strict=True):
            setattr(module, name, function)


def measured(name: str, module: nn.Module, loss: Any, batch: list[Tensor]) -> Row:
    row = Row(name)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3)
    with timed(row):
        start = time.process_time()
        program: Program = capture_training(module, loss, optimizer, batch)
        row.whole = time.process_time() - start
    start = time.perf_counter()
    program.compile()
    row.compile = time.perf_counter() - start
    row.nodes = len(program.nodes)
    return row


def rows(only: str) -> Iterator[Row]:
    """An LSTM of each length, and models of other kinds, each with AdamW."""
    for length in LENGTHS:
        name = f"LSTM of {length} steps"
        if only in name:
            batch = [torch.randn(32, length, 8), torch.randint(0, 10, (32,))]
            yield measured(name, Recurrent(nn.LSTM), F.cross_entropy, batch)
    for kind in ("MobileNetV3", "Transformer"):
        if only in kind:
            entry = ZOO[kind]
            yield measured(f"{kind} of the zoo", entry.make(), entry.loss, entry.batch())
    for name in WORKLOADS:
        if only in name and " step" in name:  # the others train nothing
            made = workload(name)
            yield measured(name, made.module, made.loss_fn, made.batch)


def growth(found: list[Row]) -> list[str]:
    """What one more step of an LSTM costs, between two lengths."""
    of = {r.name: r for r in found}
    lines = []
    for a, b in itertools.pairwise(LENGTHS):
        short, long = of.get(f"LSTM of {a} steps"), of.get(f"LSTM of {b} steps")
        if short and long:
            captured = 1e3 * (long.whole - short.whole) / (b - a)
            compiled = 1e3 * (long.compile - short.compile) / (b - a)
            lines.append(
                f"from {a} to {b} steps: {captured:.0f} ms of capture and {compiled:.0f} ms of "
                "compiling for each"
            )
    return lines


@click.command()
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
@click.option("--only", default="", help="What the name holds: LSTM, MobileNetV3, gpt, ...")
def main(as_json: bool, only: str) -> None:
    """What capturing and compiling cost."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["ASSAY_CACHE"] = cache
        entry = ZOO["LeNet"]  # what every first capture does once: imports, tables, a library
        measured("", entry.make(), entry.loss, entry.batch())
        found = list(rows(only))
    if as_json:
        listed = [asdict(row) for row in found]
        click.echo(json.dumps({"machine": machine(), "rows": listed}, indent=2))
        return
    table = Table(title=f"Seconds of capture and compile ({machine()})")
    for column in ("what", "nodes", *PARTS, "capture", "compile"):
        table.add_column(column, justify="left" if column == "what" else "right", no_wrap=True)
    for row in found:
        parts = (f"{row.parts[part]:.2f}" for part in PARTS)
        table.add_row(row.name, str(row.nodes), *parts, f"{row.whole:.2f}", f"{row.compile:.2f}")
    Console(width=110).print(table)
    print("\n".join(growth(found)))


if __name__ == "__main__":
    main()
