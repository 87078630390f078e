"""A full board of bids, and a crowd to draw from: more accounts than ape's chain likes."""

import pytest

from tests import evm
from tests.contracts.world import ASSIGNED, VERIFYING, World

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


def test_the_draw_looks_at_32_and_costs_so_much_gas(world):
    for person in world.people[1:]:
        world.act(person, world.market, "enlist")
    task = commit(world, segments=256, checks=256)
    world.act(world.people[1], world.market, "draw", task)
    assert world.evm.result.gas_used < 700_000
    drawn = world.task(task)
    assert drawn.status == VERIFYING
    assert drawn.checked == 2**256 - 1
    assert drawn.verifier.lower() in world.people[2:]


def commit(world, segments=1, checks=1):
    """A task that person 1 has done, with its draw's block past."""
    task = post(world, segments, checks)
    solver = world.people[1]
    bid(world, solver, task, 1_000)
    world.reach(world.task(task).bidUntil + 1)
    world.act(solver, world.market, "close", task)
    work = [(b"\x05" * 32, b"\x06" * 32)] * segments
    world.act(solver, world.market, "commitSegments", task, 0, work)
    world.pass_time(blocks=3)
    return task


def test_verifiers_are_drawn_by_stake_and_segments_uniformly(world):
    """Of three workers with 1, 2 and 5 parts of the stake; of six segments two are checked."""
    parts = (1, 2, 5)
    for person, part in zip(world.people[2:5], parts, strict=True):
        world.act(person, world.stakes, "unbond", STAKED - 10_000 * part)
        world.act(person, world.market, "enlist")
    rounds = 800
    verifiers, checked = [0] * 3, [0] * 6
    for _ in range(rounds):
        before = world.evm.snapshot()  # of the state: blocks and so words go on
        task = commit(world, segments=6, checks=2)
        world.act(world.people[0], world.market, "draw", task)
        drawn = world.task(task)
        verifiers[world.people[2:5].index(drawn.verifier.lower())] += 1
        for segment in range(6):
            checked[segment] += drawn.checked >> segment & 1
        world.evm.revert(before)
    for count, part in zip(verifiers, parts, strict=True):
        assert abs(count - rounds * part / 8) < 70
    for count in checked:
        assert abs(count - rounds * 2 / 6) < 70
