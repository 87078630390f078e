"""What a step's fingerprint costs: native code of the same step with it and without, in turns.

    python -m benchmarks.fingerprint [--json] [--only NAME]

Medians of a step's wall time; the work units are those of `worker.program.cost`. The programs are
those of `benchmarks.exact`: trainings with 20 bits, inference with 14. What `--json` printed last
stands in benchmarks/results/fingerprint.json.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from statistics import median

import click
from rich.console import Console
from rich.table import Table

from benchmarks.measure import machine
from benchmarks.workloads import WORKLOADS, workload
from worker.program import TRAINING_BITS, fingerprinted
from worker.program.wellformed import DOT_BITS

LEAST_SECONDS, LEAST_ROUNDS = 20.0, 15


@dataclass
class Row:
    """Of one step: seconds, work units and nodes, without the fingerprint and with it."""

    name: str
    seconds: tuple[float, float]
    work_units: tuple[int, int]
    nodes: tuple[int, int]

    @property
    def slower(self) -> float:
        """The part of a step that the fingerprint takes."""
        return self.seconds[1] / self.seconds[0] - 1

    @property
    def dearer(self) -> float:
        return self.work_units[1] / self.work_units[0] - 1


def measured(name: str) -> Row:
    """Steps without and with it in turns: what a machine does beside hits both."""
    work = workload(name)
    bits = DOT_BITS if work.loss_fn is None else TRAINING_BITS
    bare, state = work.capture(bits)
    both = (bare, fingerprinted(bare))
    for program in both:
        program.compile()
        program.run(state, work.batch)
    times: tuple[list[float], list[float]] = ([], [])
    began = time.perf_counter()
    while len(times[0]) < LEAST_ROUNDS or time.perf_counter() - began < LEAST_SECONDS:
        for program, taken in zip(both, times, strict=True):
            start = time.perf_counter()
            program.run(state, work.batch)
            taken.append(time.perf_counter() - start)
    costs = [program.summary() for program in both]
    return Row(
        name,
        (median(times[0]), median(times[1])),
        (costs[0].work_units, costs[1].work_units),
        (costs[0].nodes, costs[1].nodes),
    )


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@click.option("--only", default="", help="What a workload's name must contain.")
def main(as_json: bool, only: str) -> None:
    """Print what the fingerprint adds to a step."""
    rows = [measured(name) for name in WORKLOADS if only in name]
    if as_json:
        more = [{"slower": r.slower, "dearer": r.dearer, **asdict(r)} for r in rows]
        click.echo(json.dumps({"machine": machine(), "rows": more}, indent=2))
        return
    table = Table(
        "step", "without", "with", "slower", "work units", "nodes", title="The fingerprint"
    )
    for row in rows:
        table.add_row(
            row.name,
            *(f"{s * 1e3:.2f} ms" for s in row.seconds),
            f"{row.slower:+.1%}",
            f"{row.dearer:+.2%}",
            f"{row.nodes[0]} + {row.nodes[1] - row.nodes[0]}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
