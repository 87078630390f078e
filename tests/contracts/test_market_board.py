"""A full board of bids: more accounts than ape's chain likes."""

import pytest

from tests import evm
from tests.contracts.world import ASSIGNED, World

MOST_BIDS = 32
STAKED = 10**6


@pytest.fixture(scope="module")
def crowd():
    """A requester, and 40 workers with equal stakes."""
    world = World(41)
    for person in world.people[1:]:
        world.staked(person, STAKED)
    return world


@pytest.fixture
def world(crowd):
    before = crowd.evm.snapshot()
    clock = (crowd.number, crowd.time)
    yield crowd
    crowd.evm.revert(before)
    crowd.number, crowd.time = clock


def post(world, segments=1, checks=1, fee=300):
    terms = world.terms(1_000, fee, checks, 1_000, 5_000)
    return world.act(world.people[0], world.market, "post", world.job(segments), terms)


def bid(world, person, task, price):
    world.act(person, world.market, "bid", task, price)


def board(world, task):
    return [(worker, price) for worker, price in world.market.call("bids", task)]


def refused(world, person, task, price):
    with pytest.raises(evm.Reverted) as caught:
        bid(world, person, task, price)
    return caught.value.data


def test_a_full_board_takes_only_lower_bids(world):
    task = post(world)
    workers, late = world.people[1:33], world.people[33:]
    for i, person in enumerate(workers):
        bid(world, person, task, 900 if i in (3, 20) else 800)
    full = world.market.error("TooManyBids", MOST_BIDS, 900)
    assert refused(world, late[0], task, 900) == full
    assert refused(world, late[0], task, 1_000) == full

    # The latest of the dearest goes first, and those behind it keep their order.
    bid(world, late[0], task, 899)
    expected = [w for i, w in enumerate(workers) if i != 20] + [late[0]]
    assert [worker for worker, _ in board(world, task)] == expected
    assert refused(world, late[1], task, 900) == full
    bid(world, late[1], task, 899)
    expected = [w for i, w in enumerate(workers) if i not in (3, 20)] + late[:2]
    assert [worker for worker, _ in board(world, task)] == expected
    assert refused(world, late[2], task, 899) == world.market.error("TooManyBids", MOST_BIDS, 899)

    # Who is on it may lower its own bid to whatever price.
    bid(world, late[0], task, 898)
    assert board(world, task)[-2:] == [(late[1], 899), (late[0], 898)]
    again = world.market.error("AlreadyBid", late[0])
    assert refused(world, late[0], task, 898) == again
    assert len(board(world, task)) == MOST_BIDS


def test_close_looks_past_31_that_have_no_stake_left(world):
    task = post(world)
    workers = world.people[1:33]
    for i, person in enumerate(workers):
        bid(world, person, task, 1_000 - i if i else 1_000)
    for person in workers[1:]:
        world.act(person, world.stakes, "unbond", STAKED)
    world.reach(world.task(task).bidUntil + 1)
    world.act(world.people[40], world.market, "close", task)
    assert world.task(task).status == ASSIGNED
    assert world.task(task).solver.lower() == workers[0]
    assert world.evm.result.gas_used < 700_000
