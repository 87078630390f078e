"""The fingerprint on trial: it is a report like any, down to each node that it is made of."""

from __future__ import annotations

import pytest

from benchmarks.disputes import one_step
from tests.games.players import decoded
from tests.games.world import World, small_training
from tests.revm import RevmChain
from worker.chain.types import Status
from worker.program import Program
from worker.program.fingerprint import NAME
from worker.roles import Verifier
from worker.simulation import WrongReport


def made_of() -> list[int]:
    """The nodes that the fingerprint added to a training."""
    program = small_training()[0]
    return [n for n in range(len(program.nodes)) if program.origin(n) == NAME]


@pytest.mark.parametrize("n", made_of())
def test_a_wrong_element_in_it_is_condemned(n):
    """Protects verifiers: who has another fingerprint convicts, whichever node is the wrong one."""
    program, state, data = small_training()
    place = (program, state, data, n, program.nodes[n].count // 2)
    played = one_step(*place, bit=3, arity_bits=5, chain=RevmChain(), paid=False)  # type: ignore[arg-type]
    assert played.proof.label == "court.proveElement"


def test_a_lie_about_it_alone_is_condemned(monkeypatch):
    """Protects requesters: right states with a wrong fingerprint are as guilty."""
    monkeypatch.setattr(Program, "from_bytes", staticmethod(decoded))
    world = World()
    program = small_training()[0]
    cheat = WrongReport.at(step=1, report=program.report_count - 1)
    number, solver = world.commit(world.job(), world.desk("solver", computation_of=cheat))
    world.play(Verifier(world.desks["verifier"]), solver)
    assert world.task(number).status == Status.CONDEMNED
