"""What parties of a game may believe: every computation of a job, right or wrong, made once.

Hundreds of games are about the same few transcripts, so their states, traces and commitments are
kept from one game to the next; only the moves, the money and the clocks differ.
"""

from __future__ import annotations

import random
from functools import cache

from torch import Tensor

from tests.games.world import small_training
from worker.chain.types import Job, Segment
from worker.commit import finding as found
from worker.commit import reports_root, state_root, tensor_item
from worker.dispute.commitments import CommittedList, CommittedTrace
from worker.jobs import Computation, Journal, Replay
from worker.roles.base import ComputationOf
from worker.simulation import WrongElement, WrongReport, WrongState

HONEST = -1
SHAPES = ((6, 3), (5, 5), (3, 1))  # of jobs: steps, and steps of a segment
LIES = 20  # of each shape of job


@cache
def job_of(shape: int) -> Job:
    program, state, data = small_training()
    steps, segment_steps = SHAPES[shape]
    roots = (program.root, state_root(state), state_root(data))
    return Job(*roots, len(data), len(data[0]), 7, steps, segment_steps)


@cache
def lies_of(shape: int) -> tuple[ComputationOf, ...]:
    """Computations that are wrong in one place each: elements of any node, states, reports."""
    rng = random.Random(shape)
    program, state, _ = small_training()
    found: list[ComputationOf] = []
    while len(found) < LIES:
        step = rng.randrange(job_of(shape).steps)
        if len(found) % 5 == 0:
            found.append(WrongReport.at(step=step))
        elif len(found) % 5 == 1:
            tensor = rng.randrange(len(state))
            element = rng.randrange(state[tensor].numel())
            found.append(WrongState.at(step=step, tensor=tensor, element=element))
        else:
            node = rng.randrange(len(program.nodes))
            element = rng.randrange(program.nodes[node].count)
            bit = rng.choice((3, 22, 30))
            lie = WrongElement.at(step=step, node=node, element=element, bit=bit)
            if _computes(lie, shape, step):
                found.append(lie)
    return tuple(found)


def _computes(lie: ComputationOf, shape: int, step: int) -> bool:
    program, state, data = small_training()
    try:
        dict(lie(job_of(shape), program, data).walk(state, step))
    except (ValueError, IndexError):  # what it would make of it, nothing can be computed from
        return False
    return True


@cache
def computation(shape: int, lie: int) -> Computation:
    program, _, data = small_training()
    made: ComputationOf = Computation if lie == HONEST else lies_of(shape)[lie]
    return made(job_of(shape), program, data)


class Transcript(Replay):
    """One segment by one computation from one first state, with everything committed to."""

    def __init__(self, made: Computation, segment: int, first: list[Tensor]) -> None:
        super().__init__(made, segment, first)
        self._committed: dict[int, CommittedList] = {}
        self.result = made.run_segment(segment, first)
        self.items = [tuple(tensor_item(t) for t in report) for report in self.result.reports]

    def committed_trace(self, step: int) -> CommittedList:
        if step not in self._committed:
            self._committed[step] = CommittedTrace(self, step)
        return self._committed[step]

    @property
    def last_root(self) -> bytes:
        return self.root(self.steps.stop)


@cache
def transcript(shape: int, solver: int, segment: int, believed: int) -> Transcript:
    """The segment as `believed` computes it, from the state at which the solver's own work, of
    the lie `solver`, has arrived."""
    if segment == 0:
        _, first, _ = small_training()
    else:
        first = transcript(shape, solver, segment - 1, solver).result.state
    return Transcript(computation(shape, believed), segment, first)


@cache
def fault(shape: int, solver: int, segment: int) -> tuple[bool, int | None]:
    """What an honest recomputation of the solver's segment finds: whether its last state is wrong,
    and the first step whose report is."""
    theirs = transcript(shape, solver, segment, solver)
    right = transcript(shape, solver, segment, HONEST)
    pairs = zip(theirs.steps, theirs.items, right.items, strict=True)
    report = next((step for step, a, b in pairs if a != b), None)
    return theirs.last_root != right.last_root, report


@cache
def journal_of(shape: int, solver: int, segment: int, owner: str) -> Journal:
    own = transcript(shape, solver, segment, solver)
    address = bytes.fromhex(owner[2:])
    return Journal.make(address, b"secret", b"game", own.steps, own.result.reports)


def commitment(shape: int, solver: int, segment: int, owner: str) -> Segment:
    """What a solver of this lie commits to."""
    own = transcript(shape, solver, segment, solver)
    return Segment(own.last_root, journal_of(shape, solver, segment, owner).root)


@cache
def finding(shape: int, solver: int, segment: int, believed: int) -> bytes:
    """What an accuser that believes in this computation seals of the solver's segment."""
    own = transcript(shape, solver, segment, believed)
    return found(own.last_root, [reports_root(items) for items in own.items])
