"""Who pays for moving a task on: anyone may, and a worker does for its own alone unless told to."""

from tests.games.world import World
from worker.chain.types import Status
from worker.roles import Keeper, Solver, Verifier


def test_a_worker_pays_for_nobody_elses_tasks():
    """Protects workers from a flood of dead tasks: none of them costs gas but its own."""
    world = World()
    mine = Keeper(world.desks["verifier"], own=True)
    dead = world.post(world.job())
    bid = world.post(world.job())
    world.desks["verifier"].market.bid(bid, 900)
    world.chain.mine(seconds=101)
    assert mine.tick() and not mine.tick()
    assert world.task(bid).solver == world.desks["verifier"].account
    assert world.task(dead).status == Status.OPEN
    world.chain.mine(seconds=200_000)
    assert mine.tick() and not mine.tick()
    assert world.task(bid).status == Status.EXPIRED
    assert world.task(dead).status == Status.OPEN
    assert Keeper(world.desks["outsider"]).tick()
    assert world.task(dead).status == Status.CANCELLED


def test_those_with_a_part_bring_a_task_to_its_end_alone():
    """Protects the market from waiting for a stranger: solver and verifier want to be paid."""
    world = World()
    number = world.post(world.job())
    solver, verifier = world.desks["solver"], world.desks["verifier"]
    roles = [Solver(solver, lambda task, *_: task.max_price), Verifier(verifier)]
    roles += [Keeper(desk, own=True) for desk in (solver, verifier)]
    for seconds in (101, 12, 12, 10 * 86_400):  # bidding, the draw's block and the window are over
        world.play(*roles)
        world.chain.mine(seconds=seconds, blocks=3)
    world.play(*roles)
    assert world.task(number).status == Status.SETTLED
