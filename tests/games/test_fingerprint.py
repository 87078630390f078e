"""The fingerprint on trial: it is a report like any, down to each node that it is made of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.disputes import one_step
from tests.games.players import decoded
from tests.games.world import PRICE, World, small_training
from tests.revm import RevmChain
from worker.chain.types import Status
from worker.program import Program, fingerprinted
from worker.program.fingerprint import NAME
from worker.program.needed import pruned
from worker.roles import Solver, Verifier, put_job
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


@pytest.mark.parametrize("with_it", [True, False])
def test_no_worker_bids_for_a_job_without_it(with_it, caplog):
    """Protects verification from a requester's friend who only copies: what a job reports can be
    named without the step where no fingerprint is, so whoever posts it past the library finds
    nobody. The same job with it has its bid."""
    program, state, data = small_training()
    nodes, outputs, _ = pruned(program.nodes, program.outputs[:-1])
    bare = Program(nodes, outputs, program.state_names)
    world = World()
    root, data_root, state_root = put_job(
        world.store, fingerprinted(bare) if with_it else bare, data, state
    )
    number = world.post(replace(world.job(), program=root, data=data_root, state=state_root))
    solver = Solver(world.desk("solver"), lambda task, *_: PRICE)
    assert solver.tick() == with_it
    assert (world.task(number).solver == world.people["solver"]) == with_it
    assert ("last report is not the fingerprint" in caplog.text) != with_it
