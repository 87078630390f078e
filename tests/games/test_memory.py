"""What strangers post, publish and ask decides nothing about how much a worker fetches or holds."""

from __future__ import annotations

import gc
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.games.players import at_max_price, decoded
from tests.games.world import World, small_training
from worker.chain.types import Job, Status
from worker.config import JobsConfig
from worker.jobs import Computation, Replay
from worker.program import Kind, Map, Program, Source, fingerprinted
from worker.program.codes import F32
from worker.program.records import Input, Node
from worker.roles import Keeper, Solver, Verifier, put_job
from worker.roles.kept import Kept
from worker.roles.sizes import memory_bytes, state_bytes
from worker.store import Store, TooLarge

TASKS = 1_000
ONE = (0, 1)  # element i reads element i


class Watched(Store):
    """A store that says what was read of it."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.read: list[str] = []

    def _get(self, kind, *rest):  # type: ignore[no-untyped-def]
        self.read.append(kind)
        return super()._get(kind, *rest)


def held() -> dict[type, int]:
    """How many of the things that are large are alive."""
    gc.collect()
    kinds = (torch.Tensor, Program, Computation, Replay, Job)
    found = [type(o) for o in gc.get_objects()]
    return {kind: found.count(kind) for kind in kinds}


def test_a_thousand_tasks_leave_nothing_behind(monkeypatch):
    """Protects a host that runs for months: after each hundred tasks a solver, a verifier and a
    keeper hold what they held after the first hundred."""
    monkeypatch.setattr(Program, "from_bytes", staticmethod(decoded))
    world = World()
    state = Node(Kind.SOURCE, Source.STATE, F32, (4,), (), (0,))
    batch = Node(Kind.SOURCE, Source.BATCH, F32, (4,), (), (0, 1, 4))
    total = Node(Kind.MAP, Map.ADD, F32, (4,), (Input(0, F32, (4,), ONE), Input(1, F32, (4,), ONE)))
    program = fingerprinted(Program((state, batch, total), (2,), ("total",)))
    roots = put_job(world.store, program, [torch.ones(3, 4)], [torch.zeros(4)])
    job = Job(roots[0], roots[2], roots[1], 1, 3, 0, 1, 1)
    desks = [world.desks[name] for name in ("solver", "verifier", "outsider")]
    solver, verifier = Solver(desks[0], at_max_price), Verifier(desks[1])
    keeper = Keeper(desks[2])
    after: list[dict[type, int]] = []
    remembered: list[int] = []
    for number in range(TASKS):
        assert world.post(replace(job, seed=number), clock=60) == number
        assert solver.bids.tick()
        world.chain.mine(seconds=101)
        assert keeper.tick() and solver.segments.tick()
        world.chain.mine(blocks=3)
        assert keeper.tick() and verifier.checks.tick()
        world.chain.mine(seconds=76)
        assert keeper.tick()
        if number % 10 == 9:
            del world.chain.logs[:-200]  # of which all have been read
        if number % 100 == 99:
            world.play(solver, verifier)
            after.append(held())
            remembered.append(sum(_remembered(desk) for desk in desks))
    assert world.task(TASKS - 1).status == Status.SETTLED
    assert after[1:] == [after[0]] * (len(after) - 1)
    assert remembered == [remembered[0]] * len(remembered)


def _remembered(desk) -> int:  # type: ignore[no-untyped-def]
    memories = [memory for ref in desk._memories if (memory := ref()) is not None]
    caches = (desk._jobs, desk._computations, desk._failures, *memories)
    return sum(len(cache) for cache in caches)


LIMITS = [
    ({"max_state_bytes": 1000}, "its state has .* bytes, and jobs.max_state_bytes allows 1000"),
    ({"max_data_bytes": 1000}, "its data set has .* bytes, and jobs.max_data_bytes allows 1000"),
    ({"max_memory_bytes": 1000}, "a step of it has .* bytes, and jobs.max_memory_bytes"),
    ({"max_trace_elements": 10}, "a step of it has .* elements, and jobs.max_trace_elements"),
]


@pytest.mark.parametrize("limits, said", LIMITS, ids=[next(iter(limits)) for limits, _ in LIMITS])
def test_what_is_too_large_is_refused_before_it_is_read(caplog, limits, said):
    """Protects memory and bandwidth: of a task beyond a limit no more than the program is read, no
    bid is made, and the log names the field."""
    world = World()
    world.post(world.job())
    desk = world.desk("solver", limits=JobsConfig(**limits))
    desk.store = store = Watched(world.store.url)
    solver = Solver(desk, at_max_price)
    assert not solver.tick() and not solver.tick()
    assert store.read == ["program"]
    assert re.search(said, caplog.text)
    assert not desk.market.task(0).has_solver


def test_a_file_that_is_larger_than_it_can_be_is_not_read(monkeypatch):
    """Protects memory: whoever puts gigabytes in a data set's, a state's or a journal's place has a
    worker read no more of them than the right ones could have."""
    world = World()
    world.commit(world.job(), world.desks["solver"])
    verifier = Verifier(world.desks["verifier"])
    read: list[int] = []
    opened = Store._read

    def counted(store, kind, address, most):  # type: ignore[no-untyped-def]
        assert most is not None, f"a {kind} of any size is read"
        read.append(most)
        return opened(store, kind, address, most)

    monkeypatch.setattr(Store, "_read", counted)
    for path in Path(world.folder.name, "state").rglob("*"):
        if path.is_file():
            with path.open("ab") as file:
                file.truncate(1 << 32)  # a hole: nothing is written
    for _ in range(3):
        assert not verifier.checks.tick()
    assert (read and max(read) <= JobsConfig().max_program_bytes) or JobsConfig().max_data_bytes
    program, *_ = small_training()
    with pytest.raises(TooLarge):
        world.store.get_tensors("state", world.job().state, most=state_bytes(program))


def test_index_maps_of_no_pattern_are_counted_before_a_step_allocates_them():
    """Protects memory: what the interpreter holds for each element of such a map is in the size
    that a bid is refused for."""
    n, scattered = 1 << 24, (3, 7)  # every 7th of 3 elements: mostly outside
    source = Node(Kind.SOURCE, Source.STATE, F32, (3,), (), (0,))
    spread = Node(Kind.MAP, Map.COPY, F32, (n,), (Input(0, F32, (3,), scattered),))
    program = Program((source, spread), (0, 1), ("x",))
    assert memory_bytes(program) >= 13 * n


def test_as_much_is_kept_as_there_is_room_for_and_one_at_least():
    """Protects memory, and work: the least lately used goes first, and what is used stays."""
    kept: Kept[str, int] = Kept(10, lambda weight: weight)
    made: list[str] = []

    def get(key: str, weight: int) -> int:
        return kept.get(key, lambda: made.append(key) or weight)  # type: ignore[func-returns-value]

    for key, weight in (("a", 4), ("b", 4), ("a", 4), ("c", 4), ("a", 4), ("b", 4)):
        assert get(key, weight) == weight
    assert made == ["a", "b", "c", "b"]
    assert get("large", 50) == 50 and len(kept) == 1
    kept.drop(lambda key: key == "large")
    assert len(kept) == 0
