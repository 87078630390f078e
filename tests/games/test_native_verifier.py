"""A verifier checks by native code, as a solver computes: real roles, on a native EVM."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from tests.games.players import Killed, at_max_price, decoded, settle_all, verdicts
from tests.games.test_disappearing import assigned
from tests.games.world import FEE, PRICE, World
from worker.chain.types import Status
from worker.config import WorkerConfig
from worker.jobs import Computation, NativeComputation
from worker.program import Program
from worker.program.compiled import CompiledExecutor
from worker.roles import Solver, Verifier
from worker.roles.build import computation_of
from worker.simulation import WrongState

SEGMENTS = {0: 4, 1: 4, 2: 2}  # with their steps
MEASURED = 1 + SEGMENTS[0]  # steps in which each process finds what a step takes, once


@pytest.fixture
def steps_run(monkeypatch):
    """Steps that native code and the interpreter have run so far, of programs that are nobody
    else's: compiled once, a program runs natively for all who hold it."""
    count = {"native": 0, "interpreted": 0}
    native, interpret = CompiledExecutor.run, Program.interpret

    def counted(executor, *given):
        count["native"] += 1
        return native(executor, *given)

    def looked(program, *given, **named):
        count["interpreted"] += 1
        return interpret(program, *given, **named)

    monkeypatch.setattr(CompiledExecutor, "run", counted)
    monkeypatch.setattr(Program, "interpret", looked)
    monkeypatch.setattr(Program, "from_bytes", staticmethod(lambda data: replace(decoded(data))))
    return count


def as_configured():
    """What a worker's config makes of a job, where it says nothing of it."""
    return computation_of(SimpleNamespace(worker=WorkerConfig(device="cpu")))


def test_a_verifier_checks_natively_and_goes_on_where_it_was_killed(tmp_path, steps_run):
    """Protects a verifier's window: by default it recomputes with native code, whose first step in
    each process is held to the interpreter's; killed in its second segment it does not check the
    first again; and what it attests to are the bits of a solver that interpreted every step."""
    world = World()
    number = assigned(world, Solver(world.desks["solver"], at_max_price))
    steps_run.update(native=0, interpreted=0)
    made: list[Computation] = []
    began: list[int] = []

    def process():
        def computation(*job):
            made.append(as_configured()(*job))
            run = made[-1].run_segment

            def run_segment(segment, *given):
                began.append(segment)
                if began == [0, 1]:
                    raise Killed
                return run(segment, *given)

            made[-1].run_segment = run_segment
            return made[-1]

        return Verifier(world.desk("verifier", computation_of=computation, folder=tmp_path))

    with pytest.raises(Killed):
        process().tick()
    assert steps_run == {"native": MEASURED + SEGMENTS[0], "interpreted": 1}
    assert process().tick() and world.task(number).attested
    assert began == [0, 1, 1, 2]
    assert steps_run == {"native": 2 * MEASURED + sum(SEGMENTS.values()), "interpreted": 2}
    assert {type(c) for c in made} == {NativeComputation}
    assert all(c.program.is_compiled and not c.differs for c in made)
    assert settle_all(world)["verifier"] == FEE


def test_what_native_code_finds_wrong_is_convicted(steps_run):
    """Protects requesters: one wrong bit is seen by native code, and the dispute that follows,
    which is traced by the interpreter, convicts."""
    world = World()
    cheat = Solver(
        world.desk("solver", computation_of=WrongState.at(step=7, tensor=2, element=1)),
        at_max_price,
    )
    number = assigned(world, cheat)
    steps_run.update(native=0, interpreted=0)
    verifier = Verifier(world.desk("verifier", computation_of=as_configured()))
    verifier.tick()
    assert steps_run == {"native": MEASURED + SEGMENTS[0] + SEGMENTS[1], "interpreted": 1}
    world.play(cheat, verifier)
    assert world.task(number).status == Status.CONDEMNED
    assert verdicts(world) == ["state"]
    assert settle_all(world)["solver"] < -PRICE
