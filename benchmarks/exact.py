"""The exact arithmetic beside plain eager fp32 PyTorch.

python -m benchmarks.exact [--json] [--only NAME]... [--bits N]...
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict

import click
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.measure import Row, compare, machine
from benchmarks.memory import measure
from benchmarks.workloads import WORKLOADS, Workload, workload
from worker import exact
from worker.commit import state_root
from worker.exact.backends import ENVIRONMENT
from worker.program import Program
from worker.program.wellformed import DOT_BITS

SEGMENT = 50  # steps between two checkpoints, as in the examples


def product(
    name: str,
    left: tuple[int, ...],
    right: tuple[int, ...],
    bits: int,
    backend: str | None = None,
) -> Row:
    """One product of random rows."""
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(left, generator=generator), torch.randn(right, generator=generator)
    return compare(name, lambda: exact.dot(a, b, bits=bits, backend=backend), lambda: a @ b.mT)


SIZES = (
    *((n, n, n) for n in (256, 512, 1024, 2048, 4096)),
    (16, 4096, 1024),
    (1, 4096, 1024),
    (8, 1000, 384),
    (2048, 1152, 384),
    (2048, 1536, 384),
    (2048, 384, 1536),
)
"""M, N and K of the products: square, skinny, and those of a small GPT."""


def dots(bits: int) -> Iterator[Row]:
    """Single and batched products."""
    for m, n, k in SIZES:
        yield product(f"dot {m}x{n}x{k}", (m, k), (n, k), bits)
    yield product("dot of 48: 256x256x64", (48, 256, 64), (48, 256, 64), bits)


def compilerless(bits: int) -> Iterator[Row]:
    """Single products as on a host with neither a C compiler nor VNNI."""
    for n in (256, 512, 1024, 2048, 4096):
        yield product(f"dot {n}x{n}x{n} through fp64", (n, n), (n, n), bits, "fp64")


def wholes(bits: int) -> Iterator[Row]:
    """Whole training steps and forward passes."""
    for name in WORKLOADS:
        made = workload(name)
        program, state = made.capture(bits)
        program.compile()
        yield compare(name, lambda p=program, s=state, b=made.batch: p.run(s, b), made.plain())


def memories(bits: int) -> Iterator[Row]:
    """Peak memory of processes that do nothing else, above what they hold at first."""
    for name in WORKLOADS:
        ours, theirs = measure(name, bits)
        yield Row(f"memory: {name}", ours / 1e6, theirs / 1e6, "MB")


def commitments(bits: int) -> Iterator[Row]:
    """Hashing the state at a checkpoint beside the segment's steps, if it were not overlapped."""
    name = "10 M GPT step, 8 x 256 tokens"
    made = workload(name)
    program, state = made.capture(bits)
    program.compile()
    row = compare(name, lambda: state_root(state), lambda: program.run(state, made.batch))
    yield Row(f"state root beside {SEGMENT} GPT steps", row.ours, row.theirs * SEGMENT)


def interpreted(bits: int) -> Iterator[Row]:
    """Whole steps as on a host without a C compiler, beside native code."""
    backend = "int8" if bits <= DOT_BITS else "fp64"
    for name in WORKLOADS:
        made = workload(name)
        program, state = made.capture(bits)
        program.compile()

        def slow(p: Program = program, s: list[Tensor] = state, m: Workload = made) -> object:
            os.environ[ENVIRONMENT] = backend
            try:
                return p.interpret(s, m.batch)
            finally:
                del os.environ[ENVIRONMENT]

        row = compare(name, slow, lambda p=program, s=state, b=made.batch: p.run(s, b))
        yield Row(f"interpreted beside native: {name}", row.ours, row.theirs)


GROUPS = {
    "dot": dots,
    "fp64": compilerless,
    "whole": wholes,
    "memory": memories,
    "commitment": commitments,
    "interpreted": interpreted,
}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(list(GROUPS)),
    help="Groups; interpreted takes many minutes and is left out where none is named.",
)
@click.option(
    "--bits", default=(14, 20), show_default=True, multiple=True, help="Of products' operands."
)
def main(as_json: bool, only: tuple[str, ...], bits: tuple[int, ...]) -> None:
    """Exact products, steps, memory and commitments beside plain eager fp32 PyTorch."""
    chosen = only or [name for name in GROUPS if name != "interpreted"]
    rows = [(n, row) for n in bits for name in chosen for row in GROUPS[name](n)]
    if as_json:
        found = [{"bits": n, **asdict(row), "ratio": row.ratio} for n, row in rows]
        click.echo(json.dumps({"machine": machine(), "rows": found}, indent=2))
        return
    table = Table(title=f"Exact beside eager fp32 (medians; {machine()})")
    for column in ("what", "bits", "exact", "fp32", "", "ratio"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for n, row in rows:
        scale = 1e3 if row.unit == "s" else 1
        ours, theirs = f"{row.ours * scale:.2f}", f"{row.theirs * scale:.2f}"
        unit = "ms" if row.unit == "s" else row.unit
        table.add_row(row.name, str(n), ours, theirs, unit, f"{row.ratio:.3g}")
    Console().print(table)


if __name__ == "__main__":
    main()
