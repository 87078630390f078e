"""Who is paid for finding what was wrong, and that a coalition with the cheat is not."""

import pytest

from tests.contracts.accused import JUNK, RICH, RIGHT, STAKE, Accused
from tests.contracts.conftest import BOND, FEE, FINDER_BPS, OPEN_TIME, PRICE
from tests.contracts.world import CONVICTING, MOOT

POT = STAKE * FINDER_BPS // 10_000
REST = POT - BOND  # what is left when whoever convicted has its bond's worth
HALF = REST // 2


@pytest.fixture
def world():
    return Accused()


def gains(world):
    """What everyone has won or lost in stake, once all bonds are back."""
    return {
        name: world.wealth(who) - RICH
        for name, who in zip(
            ("solver", "verifier", "a", "b", "c", "d"),
            (world.solver, world.verifier, *world.accusers),
            strict=True,
        )
        if world.wealth(who) != RICH
    }


def test_a_lone_accuser_has_all_of_the_finders_part(world):
    world.opened(world.accusers[0])
    world.convict()
    world.punish()
    assert gains(world) == {"solver": -STAKE, "a": POT}
    assert world.burned() == STAKE - POT
    assert world.bond(world.accusers[0]) == 0


def test_a_lone_verifier_has_all_of_it_too(world):
    world.opened(world.verifier)
    world.convict()
    world.punish()
    assert gains(world) == {"solver": -STAKE, "verifier": POT}


def test_the_requester_has_its_escrow_and_nothing_more(world):
    """Attacker: a requester and its friend, the solver, would divide a stake between them."""
    world.opened(world.accusers[0])
    world.convict()
    world.punish()
    assert world.credit(world.requester) == PRICE + FEE
    assert world.credit(world.solver) == 0


def test_verifier_and_finder_have_one_half_each(world):
    finder, own = world.opened(world.accusers[0]), world.opened(world.verifier)
    assert world.next() == own
    world.decide(True)
    world.dismiss(finder)
    world.punish()
    assert gains(world) == {"solver": -STAKE, "verifier": BOND + HALF, "a": REST - HALF}


def test_whoever_convicts_is_the_finder_and_the_verifier_shares(world):
    """A cheat's decoy: while a dispute about one segment runs, the verifier that found another one
    wrong has its half, though it was never heard."""
    world.opened(world.accusers[0], 0)
    world.start()
    own = world.opened(world.verifier, 1)
    world.decide(True)
    world.dismiss(own)
    world.punish()
    assert gains(world) == {"solver": -STAKE, "a": BOND + REST - HALF, "verifier": HALF}


def test_a_verifier_that_was_sealed_at_the_verdict_unseals_and_has_its_half(world):
    world.opened(world.accusers[0], 0)
    own = world.accuse(world.verifier, 1)
    world.convict()
    world.unseal(own)
    world.dismiss(own)
    world.punish()
    assert gains(world) == {"solver": -STAKE, "a": BOND + REST - HALF, "verifier": HALF}


@pytest.mark.parametrize("dismissed", [False, True])
def test_a_verifier_that_never_unseals_has_nothing(world, dismissed):
    """Sealed junk is no finding, be its bond returned."""
    world.opened(world.accusers[0], 0)
    own = world.accuse(world.verifier, 1)
    world.convict()
    world.seal_over(own)
    if dismissed:
        world.dismiss(own)
    world.punish()
    assert gains(world) == {"solver": -STAKE, "a": POT}


def test_a_verifier_that_lost_has_nothing(world):
    """Attacker: a lazy verifier that accuses at random is not paid for what others find."""
    world.opened(world.verifier, 1, JUNK)
    world.start()
    world.decide(False)
    world.opened(world.accusers[0])
    world.convict()
    world.punish()
    assert gains(world) == {"solver": BOND - STAKE, "verifier": -BOND, "a": POT}


def test_a_verifier_that_asked_before_it_found_is_paid_all_the_same(world):
    """Its first, privileged one was a demand, which the solver answered."""
    world.act(world.verifier, world.disputes, "demand", 0, 0, 7)
    world.start()
    world.decide(False)
    world.opened(world.verifier)
    world.convict()
    world.punish()
    assert gains(world) == {"solver": BOND - STAKE, "verifier": POT - BOND}


def test_a_demand_that_convicts_pays_a_bond_and_finds_nothing(world):
    world.act(world.accusers[0], world.disputes, "demand", 0, 0, 7)
    world.convict()
    world.punish()
    assert gains(world) == {"solver": -STAKE, "a": BOND}
    assert world.burned() == STAKE - BOND


def test_a_verifiers_demand_is_no_accusation(world):
    world.act(world.verifier, world.disputes, "demand", 0, 0, 7)
    world.convict()
    world.punish()
    assert gains(world) == {"solver": -STAKE, "verifier": BOND}


def test_beside_a_demand_that_convicts_the_verifier_that_found_has_all(world):
    world.act(world.accusers[0], world.disputes, "demand", 0, 0, 7)
    world.start()
    own = world.opened(world.verifier, 1)
    world.decide(True)
    world.dismiss(own)
    world.punish()
    assert gains(world) == {"solver": -STAKE, "a": BOND, "verifier": REST}


# --- copiers and friends -----------------------------------------------------------------------


def test_a_copier_of_what_was_unsealed_has_nothing(world):
    """Attacker: it reads the finding on the chain, and files it too."""
    first = world.opened(world.accusers[0])
    copier = world.opened(world.accusers[1])
    assert world.next() == first
    world.decide(True)
    world.dismiss(copier)
    world.punish()
    assert gains(world) == {"solver": -STAKE, "a": POT}


def test_a_copier_of_the_verifiers_finding_has_nothing(world):
    own = world.opened(world.verifier)
    copier = world.opened(world.accusers[0])
    assert world.next() == own
    world.decide(True)
    world.dismiss(copier)
    world.punish()
    assert gains(world) == {"solver": -STAKE, "verifier": POT}


def test_a_copier_of_an_unseal_that_still_waits_has_nothing(world):
    """Attacker: it sees the verifier's `unseal` in the mempool and gets a seal of its own mined
    before it, so it has filed before anything was unsealed. But it has filed after the verifier."""
    own = world.accuse(world.verifier)
    copier = world.accuse(world.accusers[0])
    world.unseal(own)
    world.unseal(copier)
    world.start()
    world.decide(True)
    world.dismiss(copier)
    world.punish()
    assert gains(world) == {"solver": -STAKE, "verifier": POT}


def test_a_copier_that_unseals_before_the_one_it_copied_has_nothing(world):
    """Attacker: as before, and its own unsealing comes first as well. The verifier's dispute is
    heard first, and the copier is what it is: filed behind whom it read."""
    own = world.accuse(world.verifier)
    copier = world.accuse(world.accusers[0])
    world.unseal(copier)
    world.unseal(own)
    assert world.next() == own
    world.decide(True)
    world.dismiss(copier)
    world.punish()
    assert gains(world) == {"solver": -STAKE, "verifier": POT}


def test_who_filed_before_the_verifier_is_the_finder_whoever_unseals_first(world):
    for order in ((0, 1), (1, 0)):
        world = Accused()
        numbers = [world.accuse(world.accusers[0]), world.accuse(world.verifier)]
        for i in order:
            world.unseal(numbers[i])
        assert world.next() == numbers[1]
        world.decide(True)
        world.dismiss(numbers[0])
        world.punish()
        assert gains(world) == {"solver": -STAKE, "verifier": BOND + HALF, "a": REST - HALF}


def test_of_several_finders_the_first_filed_is_the_one(world):
    filed = [world.accuse(who) for who in world.accusers[:3]]
    own = world.accuse(world.verifier)
    for number in (filed[2], filed[0], own, filed[1]):
        world.unseal(number)
    assert world.next() == own
    world.decide(True)
    world.punish()
    for number in filed:
        world.dismiss(number)
    assert gains(world) == {"solver": -STAKE, "verifier": BOND + HALF, "a": REST - HALF}


def test_of_two_neighbours_the_first_filed_is_the_finder(world):
    filed = [world.accuse(who) for who in world.accusers[:2]]
    world.opened(world.verifier)
    for number in reversed(filed):
        world.unseal(number)
    world.convict()
    world.punish()
    for number in filed:
        world.dismiss(number)
    assert gains(world) == {"solver": -STAKE, "verifier": BOND + HALF, "a": REST - HALF}


def test_a_finder_that_was_sealed_at_the_verdict_has_its_part(world):
    """The verifier goes first, before who filed earlier has unsealed: `punish` waits for it."""
    early = world.accuse(world.accusers[0])
    world.opened(world.verifier)
    world.convict()
    until = world.queue(0).convictedAt + OPEN_TIME
    world.unseal(early)
    world.dismiss(early)
    world.reach(until)
    with world.refuses(world.disputes, "TooEarly", until):
        world.act(world.stranger, world.disputes, "punish", 0)
    world.punish()
    assert gains(world) == {"solver": -STAKE, "verifier": BOND + HALF, "a": REST - HALF}


def test_another_finding_or_another_segment_is_no_finders(world):
    """Attacker: who says that something is wrong somewhere has not found it."""
    junk = world.accuse(world.accusers[0], 0, JUNK)
    elsewhere = world.accuse(world.accusers[1], 1, RIGHT)
    world.unseal(junk)
    world.unseal(elsewhere)
    world.opened(world.verifier, 0, RIGHT)
    world.convict()
    world.punish()
    world.dismiss(junk)
    world.dismiss(elsewhere)
    assert gains(world) == {"solver": -STAKE, "verifier": POT}


def test_junk_shown_early_takes_no_finders_part_away(world):
    """Attacker: the cheat's friend unseals junk about the segment first, so that something about it
    has been unsealed. What counts is this finding."""
    friend = world.opened(world.accusers[0], 0, JUNK)
    finder = world.accuse(world.accusers[1])
    world.opened(world.verifier)
    world.unseal(finder)
    world.convict()
    for number in (friend, finder):
        world.dismiss(number)
    world.punish()
    assert gains(world) == {"solver": -STAKE, "verifier": BOND + HALF, "b": REST - HALF}


def test_a_friend_that_shows_the_right_finding_first_and_loses_takes_nothing_away(world):
    """Attacker: a cheat that knows what is right has a friend file it first and lose on purpose."""
    world.opened(world.accusers[0])
    world.start()
    honest = world.opened(world.accusers[1])
    world.decide(False)
    assert world.next() == honest
    world.decide(True)
    world.punish()
    assert gains(world) == {"solver": BOND - STAKE, "a": -BOND, "b": POT}


@pytest.mark.parametrize("before", [0, 1, 257])
def test_a_friend_that_loses_on_purpose_hides_no_finder(before):
    """Attacker: the cheat's friend files what is right before anybody and loses its dispute. Of
    those that found it before the verifier, the first that is left is the finder."""
    world = Accused()
    lapsed = [world.accuse(world.accusers[3], 0, JUNK) for _ in range(before)]
    if lapsed:
        world.seal_over(lapsed[-1])
    for number in lapsed:
        world.lapse(number)
    friend = world.opened(world.accusers[0])
    for _ in range(before // 32):
        world.act(world.stranger, world.disputes, "advance", 0, 32)
    assert world.next() == friend == before
    honest = [world.opened(who) for who in world.accusers[1:3]]
    world.decide(False)
    own = world.opened(world.verifier)
    assert world.next() == own
    world.decide(True)
    for number in honest:
        world.dismiss(number)
    world.punish()
    bond = BOND * (before + 1)
    told = gains(world)
    told.pop("d", None)
    assert told == {
        "solver": BOND - STAKE, "a": -bond, "verifier": BOND + HALF, "b": REST - HALF,
    }  # fmt: skip


@pytest.mark.parametrize("before", [3, 127, 200, 255, 300])
def test_who_filed_after_the_verifier_is_no_finder_however_many_filed_before(before):
    """Attacker: as the copiers, in whatever word of the numbers it stands."""
    world = Accused()
    for _ in range(before):
        world.accuse(world.accusers[3], 0, JUNK)
    own = world.opened(world.verifier)
    copiers = [world.opened(who) for who in world.accusers[:2]]
    assert world.next() == own == before
    world.decide(True)
    for number in copiers:
        world.dismiss(number)
    world.punish()
    assert sum(world.stake(world.verifier)) - RICH == POT
    assert all(sum(world.stake(who)) == RICH for who in world.accusers[:2])


@pytest.mark.parametrize("before", [255, 256, 300])
def test_a_crowd_before_a_finder_hides_it_not(before):
    """Attacker: friends file so many that nobody would look for a finder behind them. Each of 256
    costs `punish` less than the first of them."""
    world = Accused()
    crowd, finder, (verifier, last) = world.accusers[3], world.accusers[0], (world.verifier, before)
    junk = [world.accuse(crowd, 0, JUNK) for _ in range(before)]
    assert world.accuse(finder) == last
    own = world.accuse(verifier)
    for number in (last, own, world.accuse(world.accusers[1])):
        world.unseal(number)
    assert world.next() == own
    world.decide(True)
    world.dismiss(last)
    world.dismiss(own + 1)
    for number in junk[:2]:
        world.seal_over(number)
        world.dismiss(number)
    world.punish()
    print("punish", before, world.evm.result.gas_used)
    told = world.stake(finder)
    assert sum(told) - RICH == REST - HALF
    assert sum(world.stake(verifier)) - RICH == BOND + HALF


def test_a_lost_finder_has_no_part_beside_the_verifier(world):
    world.opened(world.accusers[0])
    world.start()
    world.decide(False)
    world.opened(world.verifier)
    world.convict()
    world.punish()
    assert gains(world) == {"solver": BOND - STAKE, "a": -BOND, "verifier": POT}


def test_a_verifier_is_not_its_own_finder(world):
    """Its further accusations, at a higher bond, take nothing from others: a lone verifier has all
    anyway, and beside a finder one half."""
    finder = world.accuse(world.accusers[0])
    own, further = world.accuse(world.verifier), world.accuse(world.verifier)
    for number in (further, own, finder):
        world.unseal(number)
    assert world.next() == own
    world.decide(True)
    world.punish()
    for number in (finder, further):
        world.dismiss(number)
    assert gains(world) == {"solver": -STAKE, "verifier": BOND + HALF, "a": REST - HALF}


@pytest.mark.parametrize("friends", [1, 2])
def test_a_cheat_that_convicts_itself_gets_back_at_most_thirty_percent(world, friends):
    """Attacker: its friends file first, accuse right, and are the drawn verifier too."""
    world.opened(world.accusers[0])
    if friends == 2:
        world.opened(world.verifier)
    world.convict()
    if friends == 2:
        world.dismiss(0)
    world.punish()
    lost = -sum(gains(world).values())
    assert lost == STAKE - POT >= STAKE * 7 // 10
    assert world.burned() == lost


def test_a_friend_beside_an_honest_verifier_gets_at_most_half(world):
    world.opened(world.accusers[0])
    world.start()
    own = world.opened(world.verifier)
    world.decide(True)
    world.dismiss(own)
    world.punish()
    assert gains(world)["a"] - BOND <= POT // 2
    assert gains(world)["verifier"] >= (POT - BOND) // 2


# --- when --------------------------------------------------------------------------------------


def test_punishment_is_due_at_a_time_and_once(world):
    """From the end of every seal that was filed before the verdict; by anyone."""
    world.opened(world.accusers[0])
    with world.refuses(world.disputes, "NotCondemned", 0):
        world.act(world.stranger, world.disputes, "punish", 0)
    world.convict()
    until = world.queue(0).convictedAt + OPEN_TIME
    world.reach(until)
    with world.refuses(world.disputes, "TooEarly", until):
        world.act(world.stranger, world.disputes, "punish", 0)
    world.punish()
    before = gains(world)
    with world.refuses(world.disputes, "AlreadyPunished", 0):
        world.act(world.stranger, world.disputes, "punish", 0)
    assert gains(world) == before
    assert world.standing(0) == CONVICTING
    assert world.stake(world.solver)[1] == 0


def test_what_was_never_accused_is_not_punished(world):
    for task in (0, 1):
        with world.refuses(world.disputes, "NotCondemned", task):
            world.act(world.stranger, world.disputes, "punish", task)


def test_no_delay_changes_who_gets_what(world):
    """Nobody, the solver included, gains by calling late or early, or by dismissing others
    first."""
    outcomes = []
    for late in (0, 10**7):
        world = Accused()
        finder = world.opened(world.accusers[0])
        world.opened(world.verifier)
        world.convict()
        if late:
            world.pass_time(seconds=late)
            world.dismiss(finder)
            assert world.standing(finder) == MOOT
            world.punish()
        else:
            world.punish()
            world.dismiss(finder)
        outcomes.append(gains(world))
    assert outcomes[0] == outcomes[1]


def test_a_verifier_that_vouched_for_what_was_wrong_is_fined_and_nobody_has_it(world):
    """No more than what the solver burned: framing an honest verifier costs as much."""
    world.act(world.verifier, world.market, "attest", 0)
    world.opened(world.accusers[0])
    world.convict()
    world.punish()
    fine = -gains(world)["verifier"]
    assert 0 < fine <= STAKE - POT
    assert gains(world) == {"solver": -STAKE, "verifier": -fine, "a": POT}
    assert world.burned() == STAKE - POT + fine
    assert world.stake(world.verifier)[1] == 0
