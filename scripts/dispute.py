"""Look at disputes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
from ape.api import ProviderAPI

from scripts._shared import ChainCommand, clients_at, deployment_option, json_option, jsonable
from worker.chain import Dispute, Phase
from worker.chain.events import (
    ChildrenRevealed,
    CourtEvent,
    DataShown,
    Decided,
    Demanded,
    Descended,
    ElementTried,
    LeafRevealed,
    Opened,
    ReportsAccused,
    RootsRevealed,
    StateAccused,
    StepsNarrowed,
    TensorRevealed,
    TraceRevealed,
)
from worker.program import Program
from worker.roles.artifacts import PROGRAM
from worker.store import Store

TREES = {
    Phase.TRACE: "the trace",
    Phase.STATE: "the next state",
    Phase.REPORTS: "the reports",
    Phase.ELEMENTS: "the tensor",
}
DTYPES = {1: "f32", 2: "i32", 3: "i64", 4: "bool"}


def tell(event: CourtEvent) -> str:
    """One move, as a sentence."""
    match event:
        case Opened(claim=claim):
            return (
                f"{claim.challenger} says that {claim.solver}'s steps {claim.first_step} to "
                f"{claim.last_step - 1} do not lead from state {brief(claim.first_state)} to "
                f"{brief(claim.last_state)}, or not to journal {brief(claim.journal)}."
            )
        case RootsRevealed(lo=lo, hi=hi, roots=roots):
            return f"The solver shows {len(roots)} states between those before steps {lo} and {hi}."
        case StepsNarrowed(lo=lo, hi=hi) if hi - lo == 1:
            return f"The challenger accuses step {lo}."
        case StepsNarrowed(lo=lo, hi=hi):
            return f"The challenger agrees with the state before step {lo}, not with {hi}'s."
        case TraceRevealed(step=step, trace=trace, reports=reports):
            listed = f"reports {brief(reports)}" if any(reports) else "no reports"
            return f"The solver shows step {step}: its trace {brief(trace)} and {listed}."
        case StateAccused():
            return "The challenger says that the trace is right and the next state is not."
        case ReportsAccused():
            return "The challenger says that the trace is right and the reports are not."
        case ChildrenRevealed(phase=phase, level=level, index=index, children=children):
            part = "" if index == 0 else f", part {index} at level {level}"
            return f"The solver divides {TREES.get(phase, 'it')}{part} into {len(children)}."
        case Descended(phase=Phase.TRACE, level=0, index=index):
            return f"The challenger accuses the output of node {index}."
        case Descended(phase=Phase.STATE, level=0, index=index):
            return f"The challenger accuses tensor {index} of the next state."
        case Descended(phase=Phase.REPORTS, level=0, index=index):
            return f"The challenger accuses report {index}."
        case Descended(phase=Phase.ELEMENTS, level=0, index=index):
            return f"The challenger accuses leaf {index} of the tensor."
        case Descended(phase=phase, level=level, index=index):
            tree = TREES.get(phase, "it")
            return f"The challenger goes into part {index} at level {level} of {tree}."
        case TensorRevealed(item=item, dtype=dtype, count=count):
            kind = DTYPES.get(dtype, f"dtype {dtype}")
            return f"The solver opens tensor {item}: {count} elements of {kind}."
        case LeafRevealed(index=index, data=data):
            return f"The solver shows the {len(data)} bytes of leaf {index}."
        case ElementTried(node=node, element=element, committed=was, recomputed=now):
            return (
                f"The court recomputes element {element} of node {node}: it is {now:#010x}, and "
                f"the solver committed to {was:#010x}."
            )
        case Demanded():
            return "The challenger cannot get that last state, and demands a leaf of it."
        case DataShown(tensor=tensor, leaf=leaf, data=data):
            return f"The solver shows the {len(data)} bytes of leaf {leaf} of tensor {tensor}."
        case Decided(solver_guilty=guilty, reason=reason):
            why = reason.rstrip(b"\0").decode(errors="replace")
            return f"Verdict: the {'solver is guilty' if guilty else 'challenger loses'} ({why})."
    return str(event)


def stands(dispute: Dispute, now: int) -> str:
    """Whose turn it is."""
    if dispute.phase == Phase.CLOSED:
        return "It is closed."
    who = "solver" if dispute.solver_to_move else "challenger"
    other, held = (
        ("challenger", dispute.challenger_clock)
        if dispute.solver_to_move
        else ("solver", dispute.solver_clock)
    )
    seconds = dispute.seconds_left(now)
    if seconds < 0:
        return f"The {who} ran out of time {-seconds} s ago: anyone may call time."
    return (
        f"Phase {dispute.phase.name.lower()}: the {who} is to move, with {seconds} s left; "
        f"the {other} has {held} s."
    )


def on_trial(program: Program, events: Sequence[CourtEvent]) -> str | None:
    """The operator that the dispute has come down to, and where in the user's module it is from."""
    for event in events:
        if isinstance(event, Descended) and event.phase == Phase.TRACE and event.level == 0:
            node = event.index
            origin = program.origin(node) or "an operator of no line of the user's"
            return f"On trial: node {node}, {program.nodes[node].name}, from {origin}."
    return None


def brief(root: bytes) -> str:
    return f"{root.hex()[:8]}.."


def story(events: Sequence[CourtEvent]) -> list[str]:
    return [f"{i:3}. block {e.place.block}: {tell(e)}" for i, e in enumerate(events, start=1)]


@click.group()
def cli() -> None:
    """Look at disputes."""


@cli.command(cls=ChainCommand)
@deployment_option
@click.argument("number", metavar="ID", type=int)
@click.option("--store", "url", help="Where the program is, to name the operator on trial.")
@json_option
def show(
    provider: ProviderAPI, registry: Path, number: int, url: str | None, as_json: bool
) -> None:
    """Tell dispute ID as a story, from its events on the chain."""
    clients = clients_at(provider, registry)
    count = clients.court.disputes()
    if not 0 <= number < count:
        raise click.UsageError(f"there is no dispute {number}; the court has had {count}, from 0")
    dispute = clients.court.dispute(number)
    events = clients.court.events(number)
    if as_json:
        moves = [{"event": type(e).__name__, **asdict(e)} for e in events]
        task, place = clients.disputes.accusation_of(number)
        where = {"task": task, "accusation": place}
        found = {"dispute": number, **where, **asdict(dispute), "moves": moves}
        click.echo(json.dumps(found, indent=2, default=jsonable))
        return
    task, place = clients.disputes.accusation_of(number)
    accusation = clients.disputes.accusation(task, place)
    said = f"about segment {accusation.segment} of task {task}, by accusation {place} in its queue"
    click.echo(f"Dispute {number}, {said}: {accusation.standing.name.lower()}")
    for line in [*story(events), stands(dispute, clients.now())]:
        click.echo(line)
    if url is not None:
        data = Store(url).get_bytes(
            PROGRAM, clients.court.claim(number).program, lambda data: Program.from_bytes(data).root
        )
        click.echo(on_trial(Program.from_bytes(data), events) or "No operator is on trial yet.")
