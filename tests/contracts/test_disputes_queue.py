"""Whose turn it is, what holds a task, and the way out of every state of an accusation."""

import pytest

from tests.contracts.accused import JUNK, RICH, RIGHT, WORK, Accused
from tests.contracts.conftest import BOND, CLOCK, FEE, OPEN_TIME, PRICE
from tests.contracts.world import (
    CONDEMNED,
    CONVICTING,
    EXPIRED,
    LAPSED,
    LOST,
    MOOT,
    RUNNING,
    SEALED,
    SETTLED,
    VERIFYING,
    WAITING,
)


@pytest.fixture
def world():
    return Accused()


# --- turns -------------------------------------------------------------------------------------


def test_one_dispute_runs_at_a_time_and_the_others_have_no_clock(world):
    """An honest solver answers one accuser at a time, with a whole clock each."""
    for who in world.accusers[:3]:
        world.opened(who)
    dispute = world.start()
    assert (world.queue(0).running, world.queue(0).dispute) == (1, dispute)
    assert world.court.call("disputes") == 1
    with world.refuses(world.disputes, "DisputeRunning", dispute):
        world.start()
    world.decide(False)
    assert world.next() == 1
    assert world.court.call("disputes") == 2
    assert world.court.call("clockOf", 1) == CLOCK


def test_turns_are_in_the_order_of_filing_not_of_unsealing(world):
    numbers = [world.accuse(who) for who in world.accusers[:3]]
    for number in reversed(numbers):
        world.unseal(number)
    for number in numbers:
        assert world.next() == number
        world.decide(False)


def test_the_claim_is_of_the_segment_and_of_its_accuser(world):
    world.opened(world.accusers[1], 1)
    claim = world.court.call("claimOf", world.start(world.solver))
    assert claim[0] == world.solver and claim[1] == world.accusers[1]
    assert claim[2] == world.the_job[0] and claim[7:9] == (10, 20)
    assert claim[9:] == (WORK[0][0], *WORK[1]), "from where the segment before ends"


def test_starting_needs_the_tasks_job(world):
    world.opened(world.accusers[0])
    world.the_job = world.job(2, seed=8)
    with world.refuses(world.disputes, "WrongJob"):
        world.start()
    assert world.queue(0).running == 0


def test_nothing_starts_where_nobody_waits(world):
    with world.refuses(world.disputes, "NobodyWaits", 0):
        world.start()
    world.opened(world.accusers[0])
    world.start()
    world.decide(False)
    with world.refuses(world.disputes, "NobodyWaits", 0):
        world.start()


def test_a_sealed_head_is_waited_for_and_then_lapsed(world):
    """Its openTime runs from filing, beside the others': a row of sealed junk costs one such time
    in all, and its bonds burn."""
    junk = [world.accuse(world.accusers[i % 3], finding=JUNK) for i in range(9)]
    honest = world.opened(world.accusers[3])
    until = world.accusation(0, 0).filedAt + OPEN_TIME
    with world.refuses(world.disputes, "StillSealed", 0, until):
        world.start()
    world.seal_over(junk[-1])
    with world.refuses(world.disputes, "StillSealed", 0, until):
        world.start()
    for number in junk:
        world.lapse(number)
    assert world.next() == honest
    assert world.burned() == BOND * 9 * 10 // 2
    assert {world.standing(number) for number in junk} == {LAPSED}


def test_the_verifier_goes_next_and_interrupts_nobody(world):
    first, second = world.opened(world.accusers[0]), world.opened(world.accusers[1])
    world.start()
    own = world.opened(world.verifier)
    world.decide(False)
    assert world.next() == own
    world.decide(False)
    assert world.next() == second
    assert (world.standing(first), world.standing(own)) == (LOST, LOST)


def test_a_sealed_verifier_stops_nobody(world):
    own = world.accuse(world.verifier)
    other = world.opened(world.accusers[0])
    assert world.next() == other
    world.decide(False)
    until = world.accusation(0, own).filedAt + OPEN_TIME
    with world.refuses(world.disputes, "StillSealed", own, until):
        world.start()
    world.unseal(own)
    assert world.next() == own


@pytest.mark.parametrize("privileged_at", [None, 0, 40, 64])
def test_a_long_row_of_lapsed_ones_is_passed_in_steps_that_the_caller_states(privileged_at):
    """Attacker: no number of dead accusations keeps a live one from its turn for want of gas."""
    world = Accused(accusers=4)
    lapsed = []
    for i in range(80):
        if i == privileged_at:
            own = world.accuse(world.verifier)
        lapsed.append(world.accuse(world.accusers[i % 3], finding=JUNK))
    world.seal_over(lapsed[-1])
    for number in lapsed:
        world.lapse(number)
    if privileged_at is not None:
        world.lapse(own)
    honest = world.opened(world.accusers[3])
    with world.refuses(world.disputes, "AdvanceFirst", 32):
        world.start()
    world.act(world.stranger, world.disputes, "advance", 0, 50)
    assert world.queue(0).head == 50
    assert world.next() == honest
    assert world.queue(0).head == honest


def test_advancing_stops_at_whoever_is_undecided_and_at_the_end(world):
    for n, who in enumerate(world.accusers[:2]):
        world.opened(who)
        world.act(world.stranger, world.disputes, "advance", 0, 2**32 - 1)
        assert world.queue(0).head == 0, n
    world.start()
    world.act(world.stranger, world.disputes, "advance", 0, 2**32 - 1)
    assert world.queue(0).head == 0
    world.decide(False)
    world.act(world.stranger, world.disputes, "advance", 0, 2**32 - 1)
    assert world.queue(0).head == 1
    world.start()
    world.decide(False)
    world.act(world.stranger, world.disputes, "advance", 0, 2**32 - 1)
    assert world.queue(0).head == 2


def test_three_hundred_accusers(world):
    """Attacker: 300 at once. The honest one among them, the last, has its turn and wins; each of
    the others cost its owner a larger bond, and no call cost more gas than the first ones did."""
    gas = []

    def spent(act):
        act()
        gas.append(world.evm.result.gas_used)

    for i in range(299):
        who = world.accusers[i % 3]
        spent(lambda who=who: world.opened(who, finding=JUNK))
    honest = world.opened(world.accusers[3])
    assert world.bond(world.accusers[3]) == 300 * BOND
    for _ in range(299):
        spent(world.start)
        spent(lambda: world.decide(False))
    assert world.next() == honest
    world.decide(True)
    assert world.task(0).status == CONDEMNED
    assert max(gas) < 400_000
    assert world.wealth(world.solver) == RICH + 299 * BOND
    assert world.burned() == BOND * (299 * 300 // 2 - 299)
    world.punish()
    assert world.bond(world.accusers[3]) == 0


# --- verdicts ----------------------------------------------------------------------------------


def test_verdicts_come_from_the_court_alone(world):
    world.opened(world.accusers[0])
    dispute = world.start()
    for caller in (world.solver, world.accusers[0], world.stranger):
        with world.refuses(world.disputes, "NotCourt", caller):
            world.act(caller, world.disputes, "onVerdict", dispute, 0, True)


def test_a_verdict_counts_once_and_of_what_was_opened_here(world):
    world.opened(world.accusers[0])
    dispute = world.start()
    again = (world.disputes.address, dispute, True)
    with world.refuses(world.disputes, "UnknownDispute", dispute + 1):
        world.act(world.stranger, world.court, "decideAgain", again[0], dispute + 1, True)
    with world.refuses(world.disputes, "UnknownDispute", dispute + 1):
        world.disputes.call("accusationOf", dispute + 1)
    world.decide(False)
    with world.refuses(world.disputes, "WrongStanding", LOST):
        world.act(world.stranger, world.court, "decideAgain", *again)


def test_a_conviction_moves_no_stake_and_ends_filing_and_turns(world):
    first, second = world.opened(world.accusers[0]), world.opened(world.accusers[1])
    world.start()
    before = [world.stake(person) for person in world.people]
    world.decide(True)
    assert [world.stake(person) for person in world.people] == before
    assert world.task(0).status == CONDEMNED
    assert (world.standing(first), world.standing(second)) == (CONVICTING, WAITING)
    with world.refuses(world.disputes, "AlreadyCondemned", 0):
        world.start()


def test_a_lost_dispute_acquits_nobody(world):
    """Attacker: a friend of the cheat loses on purpose, and the honest one is heard all the
    same."""
    friend, honest = world.opened(world.accusers[0]), world.opened(world.accusers[1])
    world.start()
    world.decide(False)
    assert world.next() == honest
    world.decide(True)
    assert world.standing(friend) == LOST
    assert world.task(0).status == CONDEMNED


# --- after a conviction ------------------------------------------------------------------------


def test_a_conviction_gives_every_other_bond_back(world):
    """Unsealed ones at once, sealed ones when their time is over, and those whose time was over
    before the conviction burn, also where nobody had called."""
    late = world.accuse(world.accusers[2])
    world.seal_over(late)
    world.accuse(world.verifier)  # not the head: privileged
    world.lapse(late)
    slept = world.accuse(world.accusers[2])
    world.seal_over(slept)
    waits, sealed = world.opened(world.accusers[0]), world.accuse(world.accusers[1])
    world.lapse(slept)
    world.start()
    with world.refuses(world.disputes, "NotCondemned", 0):
        world.dismiss(sealed)
    world.decide(True)
    until = world.accusation(0, sealed).filedAt + OPEN_TIME
    with world.refuses(world.disputes, "TooEarly", until):
        world.dismiss(sealed)
    with world.refuses(world.disputes, "AlreadyCondemned", 0):
        world.lapse(sealed)
    for final in (late, slept, waits):
        with world.refuses(world.disputes, "WrongStanding", world.standing(final)):
            world.dismiss(final)
    world.reach(until)
    with world.refuses(world.disputes, "TooEarly", until):
        world.dismiss(sealed)
    world.seal_over(sealed)
    world.dismiss(sealed)
    assert world.standing(sealed) == MOOT
    assert world.wealth(world.accusers[1]) == RICH and world.bond(world.accusers[1]) == 0
    # the verifier's was sealed for longer than its time when the verdict came
    world.dismiss(1)
    assert world.standing(1) == LAPSED
    assert world.wealth(world.verifier) == RICH - BOND
    with world.refuses(world.disputes, "UnknownAccusation", 0, 9):
        world.dismiss(9)


@pytest.mark.parametrize("seconds, standing", [(0, MOOT), (1, LAPSED)])
def test_a_seal_whose_time_is_over_before_the_verdict_burns(world, seconds, standing):
    number = world.accuse(world.verifier)
    world.opened(world.accusers[0])
    world.start()
    world.reach(world.accusation(0, number).filedAt + OPEN_TIME + seconds)
    world.decide(True)
    world.seal_over(number)
    world.dismiss(number)
    assert world.standing(number) == standing


# --- holding -----------------------------------------------------------------------------------


def test_a_task_does_not_settle_before_the_last_is_decided(world):
    numbers = [world.opened(who) for who in world.accusers[:2]]
    world.reach(world.task(0).windowEnds + 1)
    for _ in numbers:
        assert world.task(0).held
        with world.refuses(world.market, "IsHeld"):
            world.act(world.stranger, world.market, "settle", 0)
        world.start()
        with world.refuses(world.market, "IsHeld"):
            world.act(world.stranger, world.market, "settle", 0)
        world.decide(False)
    assert not world.task(0).held
    world.act(world.stranger, world.market, "settle", 0)
    assert world.task(0).status == SETTLED


def test_a_held_solver_loses_no_time():
    """While it answers an accusation it need not commit: its deadline moves by every second that
    the task is held, and by none more."""
    world = Accused(segments=2, committed=1)
    before = world.task(0).commitUntil
    world.opened(world.accusers[0])
    held_from = world.time - 1
    world.pass_time(seconds=100_000)
    with world.refuses(world.market, "IsHeld"):
        world.act(world.stranger, world.market, "expire", 0)
    world.start()
    world.decide(False)
    moved = world.task(0).commitUntil
    assert moved == before + (world.time - held_from)
    world.reach(moved)
    with world.refuses(world.market, "TooEarly", moved):
        world.act(world.stranger, world.market, "expire", 0)
    world.commit(1)


def test_a_held_solver_may_commit_after_its_old_deadline_and_expires_after_the_moved_one():
    for late in (False, True):
        world = Accused(segments=2, committed=1)
        before = world.task(0).commitUntil
        world.opened(world.accusers[0])
        world.reach(before + 10**6)
        if not late:
            world.commit(1)
            assert world.task(0).commitUntil > before + 10**6 - 1
            world.start()
            world.decide(False)
            continue
        world.start()
        world.decide(False)
        moved = world.task(0).commitUntil
        world.reach(moved + 1)
        with world.refuses(world.market, "TooLate", moved):
            world.commit(1)
        world.act(world.stranger, world.market, "expire", 0)
        assert world.task(0).status == EXPIRED


def test_filing_ends_with_the_moved_deadline():
    world = Accused(segments=2, committed=1)
    world.opened(world.accusers[0])
    world.pass_time(seconds=50_000)
    world.opened(world.accusers[1])  # held: the solver's time does not run, so it is not over
    for _ in range(2):
        world.start()
        world.decide(False)
    end = world.task(0).commitUntil
    world.reach(end)
    last = world.accuse(world.accusers[2])
    world.seal_over(last)
    world.lapse(last)
    end = world.task(0).commitUntil
    world.reach(end + 1)
    with world.refuses(world.market, "TooLate", end):
        world.accuse(world.accusers[2])


def test_a_hold_that_outlives_the_commitments_moves_nothing_more():
    """What was filed against the first segment holds the whole task, draw and window included."""
    world = Accused(segments=2, committed=1)
    world.opened(world.accusers[0])
    world.commit(1)
    moved = world.task(0).commitUntil
    world.draw()
    assert world.task(0).held and world.task(0).status == VERIFYING
    world.start()
    world.decide(False)
    task = world.task(0)
    assert (task.held, task.commitUntil) == (False, moved)


def test_only_the_disputes_hold_condemn_and_punish(world):
    """Attacker: whoever could would keep a solver's stake, or take it."""
    world.opened(world.accusers[0])
    calls = (("hold", 0), ("unhold", 0), ("condemn", 0, 0), ("punish", 0, 0, []))
    for person in world.people:
        for call in calls:
            with world.refuses(world.market, "NotDisputes", person):
                world.act(person, world.market, *call)


def test_a_vouching_verifier_is_not_stopped_by_accusations(world):
    world.opened(world.accusers[0])
    world.act(world.verifier, world.market, "attest", 0)
    assert world.task(0).attested


def test_every_undecided_accusation_has_an_end_that_a_stranger_brings(world):
    """A sealed one lapses, a waiting one starts, a running one is the court's to end: nobody's
    sleep holds a task for ever."""
    sealed, waiting = world.accuse(world.accusers[0]), world.opened(world.accusers[1])
    own = world.opened(world.verifier)
    assert (world.next(), world.standing(own)) == (own, RUNNING)
    assert (world.standing(sealed), world.standing(waiting)) == (SEALED, WAITING)
    world.decide(False)
    world.seal_over(sealed)
    world.lapse(sealed)
    world.start()
    world.decide(False)
    assert world.queue(0).undecided == 0 and not world.task(0).held
    world.reach(world.task(0).windowEnds + 1)
    world.act(world.stranger, world.market, "settle", 0)


def test_a_verdict_is_of_its_own_task(world):
    """Protects everybody else: what is decided about one task is told to that one alone."""
    world.opened(world.accusers[0])
    job = world.job(1)
    world.act(world.requester, world.market, "post", job, world.terms(PRICE, FEE, 1, 1_000, 5_000))
    world.act(world.solver, world.market, "bid", 1, PRICE)
    world.reach(world.task(1).bidUntil + 1)
    world.act(world.stranger, world.market, "close", 1)
    world.act(world.solver, world.market, "commitSegments", 1, 0, WORK[:1])
    seals = []
    for who in world.accusers[:2]:
        seal = world.disputes.call("sealOf", 1, 0, RIGHT, who, bytes(32))
        number = world.act(who, world.disputes, "accuse", 1, seal)
        world.act(who, world.disputes, "unseal", 1, number, 0, RIGHT, bytes(32))
        seals.append(number)
    for guilty in (False, True):
        dispute = world.act(world.stranger, world.disputes, "start", 1, job)
        assert world.disputes.call("accusationOf", dispute) == (1, seals[guilty])
        world.act(world.stranger, world.court, "decide", dispute, guilty)
    assert (world.queue(1).convicting, world.queue(1).undecided) == (2, 0)
    assert (world.queue(0).convicting, world.queue(0).undecided) == (0, 1)
