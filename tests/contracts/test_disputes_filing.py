"""Who may accuse, when, at what price, and what a seal binds."""

import pytest
from eth_abi import encode
from eth_utils import keccak

from tests.contracts.accused import JUNK, RICH, RIGHT, Accused
from tests.contracts.conftest import BOND, CLOCK, OPEN_TIME
from tests.contracts.world import CONDEMNED, LOST, OPEN, SEALED, SETTLED, WAITING


@pytest.fixture
def world():
    return Accused()


# --- who and when ------------------------------------------------------------------------------


def test_the_solver_does_not_accuse_itself(world):
    """It would be paid for finding what it did."""
    with world.refuses(world.disputes, "OwnWork", world.solver):
        world.accuse(world.solver)


def test_nothing_is_accused_before_anything_is_committed():
    world = Accused(committed=0)
    with world.refuses(world.disputes, "NothingCommitted", 0):
        world.accuse(world.accusers[0])


def test_an_open_task_and_an_unknown_one_are_not_accused(world):
    world.act(
        world.requester, world.market, "post", world.the_job, world.terms(10, 0, 1, 1_000, 5_000)
    )
    with world.refuses(world.market, "WrongStatus", OPEN):
        world.act(world.accusers[0], world.disputes, "accuse", 1, JUNK)
    with world.refuses(world.market, "UnknownTask", 2):
        world.act(world.accusers[0], world.disputes, "accuse", 2, JUNK)


def test_whoever_has_no_stake_or_has_not_approved_accuses_nobody(world):
    poor, shy = world.stranger, world.accusers[0]
    world.act(poor, world.stakes, "approveLocker", world.disputes.address, True)
    with world.refuses(world.stakes, "NotEnoughFree", poor, 0, BOND):
        world.accuse(poor)
    world.act(shy, world.stakes, "approveLocker", world.disputes.address, False)
    with world.refuses(world.stakes, "NotApproved", shy, world.disputes.address):
        world.accuse(shy)
    assert not world.task(0).held
    assert world.queue(0).filed == 0


def test_the_last_second_of_the_window_and_nothing_after_it(world):
    """The window is the clock and a quarter of it for each segment to check, from the draw."""
    drawn = world.time
    end = world.task(0).windowEnds
    assert end == drawn + CLOCK + 2 * CLOCK // 4
    world.reach(end)
    world.accuse(world.accusers[0])
    with world.refuses(world.market, "TooLate", end):
        world.accuse(world.accusers[1])


def test_a_queue_does_not_reopen_filing(world):
    """Whatever waits: or friends could keep a settled task's window open for ever."""
    world.reach(world.task(0).windowEnds)
    number = world.accuse(world.accusers[0])
    end = world.task(0).windowEnds
    for act in (lambda: world.unseal(number), world.start, lambda: world.decide(False)):
        with world.refuses(world.market, "TooLate", end):
            world.accuse(world.accusers[1])
        act()
    with world.refuses(world.market, "TooLate", end):
        world.accuse(world.accusers[1])
    world.act(world.stranger, world.market, "settle", 0)
    assert world.task(0).status == SETTLED


def test_nothing_is_filed_after_a_conviction(world):
    world.opened(world.accusers[0])
    world.convict()
    for call in (("accuse", 0, JUNK), ("demand", 0, 0, 7)):
        with world.refuses(world.market, "WrongStatus", CONDEMNED):
            world.act(world.accusers[1], world.disputes, *call)


# --- what a seal binds -------------------------------------------------------------------------


def test_a_seal_shows_nothing_and_opens_once(world):
    accuser = world.accusers[0]
    number = world.accuse(accuser, 1)
    told = world.accusation(0, number)
    assert (told.accuser, told.standing, told.segment, told.committed) == (accuser, SEALED, 0, 2)
    assert told.finding not in (RIGHT, bytes(32))
    world.unseal(number)
    told = world.accusation(0, number)
    assert (told.standing, told.segment, told.finding) == (WAITING, 1, RIGHT)
    with world.refuses(world.disputes, "WrongStanding", WAITING):
        world.unseal(number)


@pytest.mark.parametrize("part", ["segment", "finding", "salt", "task", "contract"])
def test_a_seal_opens_to_nothing_else(world, part):
    """An accuser that has sealed junk cannot say later what others have found meanwhile."""
    who, salt = world.accusers[0], b"\x01" * 32
    seal = world.seal(who, 0, RIGHT, salt)
    given = [0, RIGHT, salt]
    if part == "task":
        seal = world.disputes.call("sealOf", 1, *given[:2], who, salt)
    elif part == "contract":
        types = ["address", "uint256", "uint32", "bytes32", "address", "bytes32"]
        seal = keccak(encode(types, [world.market.address, 0, 0, RIGHT, who, salt]))
    else:
        index = ["segment", "finding", "salt"].index(part)
        given[index] = [1, JUNK, JUNK][index]
    number = world.act(who, world.disputes, "accuse", 0, seal)
    computed = world.seal(who, *given)
    with world.refuses(world.disputes, "WrongSeal", computed, seal):
        world.act(who, world.disputes, "unseal", 0, number, *given)


def test_a_copied_seal_is_a_bond_lost(world):
    """Attacker: whoever files the seal of another, read in the mempool, can never open it: the seal
    names its accuser."""
    honest, copier = world.accusers[:2]
    salt = b"\x01" * 32
    seal = world.seal(honest, 0, RIGHT, salt)
    copied = world.act(copier, world.disputes, "accuse", 0, seal)
    own = world.act(honest, world.disputes, "accuse", 0, seal)
    world.act(honest, world.disputes, "unseal", 0, own, 0, RIGHT, salt)
    with world.refuses(world.disputes, "WrongSeal", world.seal(copier, 0, RIGHT, salt), seal):
        world.act(copier, world.disputes, "unseal", 0, copied, 0, RIGHT, salt)
    with world.refuses(world.disputes, "NotAccuser", honest, copier):
        world.act(honest, world.disputes, "unseal", 0, copied, 0, RIGHT, salt)
    world.seal_over(copied)
    world.lapse(copied)
    assert world.wealth(copier) == RICH - BOND


def test_what_was_committed_later_cannot_be_unsealed():
    """Attacker: an empty seal, filed early for a low number, is no accusation of what comes."""
    world = Accused(segments=2, committed=1)
    number = world.accuse(world.accusers[0], 1)
    world.commit(1)
    with world.refuses(world.disputes, "NotCommitted", 1, 1):
        world.unseal(number)


def test_unsealing_has_its_time(world):
    """To the last second of it; then it lapses, and the whole bond burns."""
    first, second = world.accuse(world.accusers[0]), world.accuse(world.accusers[1])
    until = world.accusation(0, first).filedAt + OPEN_TIME
    world.reach(until)
    with world.refuses(world.disputes, "TooEarly", until):
        world.lapse(first)
    world.unseal(first)
    world.reach(until + 2)
    with world.refuses(world.disputes, "TooLate", until + 1):
        world.unseal(second)
    world.lapse(second)
    assert world.wealth(world.accusers[1]) == RICH - 2 * BOND
    assert world.burned() == 2 * BOND
    assert world.wealth(world.solver) == RICH


# --- bonds -------------------------------------------------------------------------------------


def test_the_nth_bond_is_n_bonds_however_others_come_and_go(world):
    """Attacker: friends who enter and leave again make nothing cheaper: what counts is who was ever
    there before."""
    for n in range(1, 9):
        who = world.accusers[n % 4]
        assert tuple(world.disputes.call("bondOf", 0, who)) == (n * BOND, False)
        before = world.bond(who)
        number = world.accuse(who)
        assert world.bond(who) == before + n * BOND
        assert world.accusation(0, number).bond == n * BOND
        if n % 3 == 0:
            world.seal_over(number)
            world.lapse(number)
            continue
        world.unseal(number)
        if n % 3 == 1:
            world.start()
            world.decide(False)
    assert [world.standing(n) for n in range(8)].count(LOST) == 3


def test_k_delays_cost_the_square_and_all_but_a_bond_each_burns(world):
    """Attacker: a queue of friends. Of b k (k + 1) / 2 the solver has b k, so of a coalition with
    it b k (k - 1) / 2 is gone."""
    k = 10
    for i in range(k):
        world.opened(world.accusers[i % 4], finding=JUNK)
    for _ in range(k):
        world.start()
        world.decide(False)
    lost = 4 * RICH - sum(world.wealth(who) for who in world.accusers)
    assert lost == BOND * k * (k + 1) // 2
    assert world.wealth(world.solver) == RICH + BOND * k
    assert world.burned() == BOND * k * (k - 1) // 2


def test_the_drawn_verifier_pays_one_bond_once_a_draw(world):
    """Whatever others filed before; its second accusation costs what anyone's does."""
    for i in range(5):
        world.accuse(world.accusers[i % 4])
    assert tuple(world.disputes.call("bondOf", 0, world.verifier)) == (BOND, True)
    number = world.accuse(world.verifier)
    assert world.accusation(0, number).privileged
    assert world.bond(world.verifier) == BOND
    assert tuple(world.disputes.call("bondOf", 0, world.verifier)) == (6 * BOND, False)
    number = world.accuse(world.verifier)
    assert not world.accusation(0, number).privileged
    assert world.bond(world.verifier) == 7 * BOND
    # and its own first made nobody's dearer
    assert tuple(world.disputes.call("bondOf", 0, world.accusers[0])) == (7 * BOND, False)


def test_the_privilege_is_not_had_twice_by_losing_it(world):
    """Attacker: a drawn verifier, friend of the cheat, cannot hold a task with plain bonds."""
    for how in ("lost", "lapsed"):
        world = Accused()
        number = world.accuse(world.verifier, finding=JUNK)
        if how == "lost":
            world.unseal(number)
            world.start()
            world.decide(False)
        else:
            world.seal_over(number)
            world.lapse(number)
        assert tuple(world.disputes.call("bondOf", 0, world.verifier)) == (BOND, False)
        assert not world.accusation(0, world.accuse(world.verifier)).privileged


def test_before_the_draw_nobody_is_privileged():
    world = Accused(drawn=False)
    assert not world.accusation(0, world.accuse(world.verifier)).privileged
    world.draw()
    assert world.accusation(0, world.accuse(world.verifier)).privileged


# --- demands -----------------------------------------------------------------------------------


def test_a_demand_waits_from_the_start_and_asks_for_what_it_named(world):
    accuser = world.accusers[0]
    number = world.act(accuser, world.disputes, "demand", 0, 1, 12_345)
    told = world.accusation(0, number)
    assert (told.standing, told.isDemand, told.segment) == (WAITING, True, 1)
    assert int.from_bytes(told.finding, "big") == 12_345
    with world.refuses(world.disputes, "WrongStanding", WAITING):
        world.act(accuser, world.disputes, "unseal", 0, number, 1, RIGHT, bytes(32))
    dispute = world.start()
    assert world.court.call("wordOf", dispute) == 12_345
    assert world.bond(accuser) == BOND


def test_a_demand_of_what_is_not_committed_is_refused():
    world = Accused(segments=2, committed=1)
    with world.refuses(world.disputes, "NotCommitted", 1, 1):
        world.act(world.accusers[0], world.disputes, "demand", 0, 1, 7)
    with world.refuses(world.disputes, "NotCommitted", 2**32 - 1, 1):
        world.act(world.accusers[0], world.disputes, "demand", 0, 2**32 - 1, 7)


def test_a_shown_demand_costs_its_bond_and_the_solver_has_it(world):
    world.act(world.accusers[0], world.disputes, "demand", 0, 0, 7)
    world.start()
    world.decide(False)
    assert world.wealth(world.accusers[0]) == RICH - BOND
    assert world.wealth(world.solver) == RICH + BOND
