"""Units that stand ready, and the draw over them, on a native EVM: the market is whoever calls.

Amounts are small numbers: a unit is a stake of 100. What is expected of a draw comes from a list of
who had how many units at the end of each block.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from hashlib import sha256

import pyrevm
import pytest

from tests import evm
from tests.contracts.world import address_of

UNIT, DRAW_TIME, UNBONDING = 100, 3_600, 7_200
NOBODY = "0x" + "00" * 20
MOST = 2**26 - 1


def word_of(number: int) -> bytes:
    return number.to_bytes(32, "big")


class Stand:
    """The contract, whose market is the caller of `evm`, and the books of what was offered when."""

    def __init__(self, unit: int = UNIT) -> None:
        self.evm = pyrevm.EVM(gas_limit=evm.GAS, spec_id="CANCUN")
        self.number, self.time = 1_000, 1_700_000_000
        self.token = evm.deploy("TestToken", evm=self.evm)
        self.stakes = evm.deploy("Stakes", self.token.address, UNBONDING, evm=self.evm)
        at = (evm.CALLER, self.stakes.address, unit, DRAW_TIME)
        self.verifiers = evm.deploy("Verifiers", *at, evm=self.evm)
        self.places: list[str] = []
        self.books: dict[int, dict[str, int]] = {}  # at the end of a block; dicts keep the order
        self.gas = 0
        self.block()

    def block(self, blocks: int = 1, seconds: int = 12) -> None:
        """What comes next is in a later block."""
        self.number, self.time = self.number + blocks, self.time + seconds
        environment = pyrevm.BlockEnv(number=self.number, timestamp=self.time, gas_limit=evm.GAS)
        self.evm.set_block_env(environment)

    def staked(self, person: str, amount: int) -> str:
        for contract, name, arguments in (
            (self.token, "mint", (person, amount)),
            (self.token, "approve", (self.stakes.address, amount)),
            (self.stakes, "deposit", (amount,)),
            (self.stakes, "approveLocker", (self.verifiers.address, True)),
        ):
            contract.call(name, *arguments, caller=person)
        return person

    def offer(self, person: str, units: int) -> None:
        self.verifiers.call("offer", units, caller=person)
        self.gas = self.evm.result.gas_used
        if person not in self.places:
            self.places.append(person)
        self.books[self.number] = {**self.units(self.number), person: units}

    def units(self, block: int) -> dict[str, int]:
        """Everybody's at the end of a block."""
        return self.books.get(max((b for b in self.books if b <= block), default=0), {})

    def expected(self, armed: int, word: int, excluded: Sequence[str] = ()) -> str:
        then = self.units(armed - 1)
        tickets = [p for p in self.places if p not in excluded for _ in range(then.get(p, 0))]
        return tickets[word % len(tickets)] if tickets else NOBODY

    def pick(self, armed: int, word: int, excluded: Sequence[str] = ()) -> str:
        return self.verifiers.call("pick", armed, word_of(word), list(excluded))

    def draw(
        self, armed: int, word: int, excluded: Sequence[str] = (), at: int | None = None
    ) -> str:
        arguments = (armed, self.time if at is None else at, word_of(word), list(excluded))
        return self.verifiers.call("draw", *arguments)

    def free(self, person: str) -> int:
        return self.stakes.call("free", person)

    def locked(self, person: str) -> int:
        return self.stakes.call("locked", person, self.verifiers.address)


@pytest.fixture
def stand() -> Stand:
    return Stand()


@pytest.fixture
def person(stand: Stand) -> str:
    return stand.staked(address_of("someone"), 10 * UNIT)


def refused(stand: Stand, error: bytes):
    class Refused:
        def __enter__(self) -> None: ...

        def __exit__(self, kind, value, trace) -> bool:
            assert isinstance(value, evm.Reverted), "it was not refused"
            assert value.data == error
            return True

    return Refused()


# --- the draw ------------------------------------------------------------------------------------


@pytest.mark.parametrize("crowd", [1, 8, 9, 64, 65, 150])
def test_a_word_draws_the_owner_of_its_unit(crowd: int) -> None:
    """Protects the chances: the units in the places' order are the tickets, those of the excluded
    are not among them, in every block that there has been; at every size around a growth."""
    stand, dice = Stand(), random.Random(crowd)
    people = [stand.staked(address_of(f"v{i}"), 100 * UNIT) for i in range(crowd)]
    for person in people:
        stand.offer(person, dice.randint(1, 9))
        if dice.random() < 0.7:
            stand.block()
    for _ in range(40):
        person = dice.choice(people)
        units = dice.choice([0, 1, 2, 50, 100])
        if units != stand.verifiers.call("unitsOf", person):
            stand.offer(person, units)
        if dice.random() < 0.5:
            stand.block()
    stand.block()
    crowded = [*people, address_of("stranger"), NOBODY]
    for _ in range(150):
        armed = dice.randint(1_000, stand.number)
        excluded = dice.choices(crowded, k=dice.randint(0, 4))  # some twice
        word = dice.getrandbits(256)
        assert stand.pick(armed, word, excluded) == stand.expected(armed, word, excluded)
    total = sum(stand.units(stand.number - 1).values())
    assert stand.verifiers.call("units") == total
    assert stand.verifiers.call("places") == crowd


@pytest.mark.parametrize("crowd", [1, 7, 8, 9, 63, 64])
@pytest.mark.parametrize("at_once", [True, False])
def test_a_draw_sees_the_tree_before_it_grew(crowd: int, at_once: bool) -> None:
    """Protects a draw that is armed from a crowd that comes before it is made: the root moves up by
    one level or two, in the very block of the arming or in many later ones, and every word draws
    whom it drew, also without those who have come since, whose places lie beside theirs."""
    stand = Stand()
    for i in range(crowd):
        stand.offer(stand.staked(address_of(f"v{i}"), 3 * UNIT), 1 + i % 3)
    stand.block()
    armed, total = stand.number, stand.verifiers.call("units")
    expected = [stand.pick(armed, word) for word in range(total)]
    names = [stand.staked(address_of(f"late {i}"), 9 * UNIT) for i in range(66)]
    for name in names:
        stand.offer(name, 9)
        if not at_once:
            stand.block()
    assert [stand.pick(armed, word) for word in range(total)] == expected
    assert [stand.pick(armed, word, names[:3]) for word in range(total)] == expected
    out = [address_of("v0"), names[0], address_of("stranger"), address_of("v0")]
    assert stand.pick(armed, 0, out) == stand.expected(armed, 0, out)


def test_the_tree_is_no_higher_than_its_places_need(stand: Stand) -> None:
    """Protects whoever offers and draws from paying for empty levels: what a change of units takes
    differs where the crowd passes a power of eight, and nowhere else."""
    first, steps, before = stand.staked(address_of("v0"), 2 * UNIT), [], 0
    stand.offer(first, 1)
    for crowd in range(1, 66):
        if crowd > 1:
            stand.offer(stand.staked(address_of(f"v{crowd}"), UNIT), 1)
        stand.block()
        for units in (2, 1):
            stand.offer(first, units)
        if crowd > 2 and stand.gas > before + 1_000:
            steps.append(crowd)
        before = stand.gas
    assert steps == [9, 65]


@pytest.mark.parametrize("crowd", [8, 64])
def test_a_tree_grows_when_all_have_left(crowd: int) -> None:
    """Protects the sums: a root above one that has become nothing knows who was below it before."""
    stand = Stand()
    people = [stand.staked(address_of(f"v{i}"), UNIT) for i in range(crowd)]
    for units in (1, 0):
        for person in people:
            stand.offer(person, units)
        stand.block()
    full, empty = stand.number - 1, stand.number
    late = stand.staked(address_of("late"), UNIT)
    stand.offer(late, 1)
    stand.block()
    assert [stand.pick(full, word) for word in range(crowd)] == people
    assert stand.pick(empty, 0) == NOBODY
    assert stand.pick(stand.number, 5) == late
    stand.offer(people[3], 1)  # in its old place
    stand.block()
    assert [stand.pick(stand.number, word) for word in (0, 1)] == [people[3], late]


def test_every_unit_has_one_word_of_as_many(stand: Stand) -> None:
    """Protects uniformity: over all remainders everybody is drawn as often as it has units."""
    units = {address_of(f"v{i}"): 1 + i % 4 for i in range(11)}
    for person, count in units.items():
        stand.offer(stand.staked(person, 4 * UNIT), count)
    stand.block()
    out = [address_of("v3"), address_of("v8")]
    left = sum(count for person, count in units.items() if person not in out)
    drawn = [stand.pick(stand.number, word, out) for word in range(left)]
    for person, count in units.items():
        assert drawn.count(person) == (0 if person in out else count)


def test_chances_are_by_units_and_not_by_names() -> None:
    """Protects against many names (200 names of one unit beside 20 people of 1,000 each, as in a
    window of neighbours once): random words draw a name in one of a hundred."""
    stand = Stand()
    names = {stand.staked(address_of(f"name {i}"), UNIT) for i in range(200)}
    people = [stand.staked(address_of(f"v{i}"), 1_000 * UNIT) for i in range(20)]
    for name in sorted(names):
        stand.offer(name, 1)
    for person in people:
        stand.offer(person, 1_000)
    stand.block()
    rounds = 4_000
    words = (sha256(b"%d" % i).digest() for i in range(rounds))
    won = sum(stand.pick(stand.number, int.from_bytes(w, "big")) in names for w in words)
    expected = rounds * 200 / 20_200
    assert abs(won - expected) < 4 * expected**0.5, f"{won} of {rounds}, {expected:.0f} expected"


def test_nobody_is_drawn_where_nothing_is_left(stand: Stand, person: str) -> None:
    assert stand.draw(stand.number, 5) == NOBODY
    stand.offer(person, 3)
    stand.block()
    assert stand.draw(stand.number, 5, [person, person]) == NOBODY
    assert stand.draw(stand.number, 5) == person
    stand.offer(person, 0)
    stand.block()
    assert stand.draw(stand.number, 5) == NOBODY
    assert stand.verifiers.call("duties", NOBODY) == 0


def test_what_happens_in_the_block_of_the_arming_changes_nothing(stand: Stand, person: str) -> None:
    """Protects the draw from whoever comes before the arming in its own block."""
    other = stand.staked(address_of("other"), 10 * UNIT)
    stand.offer(person, 1)
    stand.block()
    stand.offer(other, 10)
    stand.offer(person, 0)
    assert stand.pick(stand.number, 7) == person
    stand.block()
    assert stand.pick(stand.number - 1, 7) == person
    assert stand.pick(stand.number, 7) == other


def test_a_draw_is_made_in_its_time_or_never(stand: Stand, person: str) -> None:
    """Protects whoever leaves: from then on its stake answers for nothing."""
    stand.offer(person, 1)
    stand.block()
    armed, at = stand.number, stand.time
    stand.block(300, DRAW_TIME)
    assert stand.draw(armed, 1, at=at) == person
    stand.block(1, 1)
    over = stand.verifiers.error("DrawOver", at + DRAW_TIME)
    with refused(stand, over):
        stand.draw(armed, 1, at=at)


# --- offering and releasing ----------------------------------------------------------------------


def test_an_offer_locks_its_units_stake(stand: Stand, person: str) -> None:
    stand.offer(person, 4)
    assert (stand.free(person), stand.locked(person)) == (6 * UNIT, 4 * UNIT)
    stand.offer(person, 10)
    assert (stand.free(person), stand.locked(person)) == (0, 10 * UNIT)
    assert stand.verifiers.call("unitsOf", person) == stand.verifiers.call("units") == 10


def test_an_offer_is_refused(stand: Stand, person: str) -> None:
    with refused(stand, stand.verifiers.error("AlreadyOffered", person, 0)):
        stand.offer(person, 0)
    with refused(stand, stand.stakes.error("NotEnoughFree", person, 10 * UNIT, 11 * UNIT)):
        stand.offer(person, 11)
    with refused(stand, stand.verifiers.error("TooManyUnits", MOST + 1, MOST)):
        stand.offer(person, MOST + 1)
    with refused(stand, stand.verifiers.error("TooManyUnits", 2**256 - 1, MOST)):
        stand.offer(person, 2**256 - 1)
    stand.offer(person, 2)
    with refused(stand, stand.verifiers.error("AlreadyOffered", person, 2)):
        stand.offer(person, 2)
    stand.stakes.call("approveLocker", stand.verifiers.address, False, caller=person)
    no = stand.stakes.error("NotApproved", person, stand.verifiers.address)
    with refused(stand, no):
        stand.offer(person, 3)
    stand.offer(person, 1)  # which locks nothing
    stand.offer(person, 2)  # nor does what is locked still


def test_the_most_units_that_there_can_be() -> None:
    """Protects the sums: eight of them side by side hold all the units that may be offered."""
    stand = Stand(unit=1)
    rich, poor = (stand.staked(address_of(name), MOST) for name in ("rich", "poor"))
    stand.offer(poor, 1)
    with refused(stand, stand.verifiers.error("TooManyUnits", MOST + 1, MOST)):
        stand.offer(rich, MOST)
    stand.offer(rich, MOST - 1)
    for i in range(8):  # a level more
        name = stand.staked(address_of(f"v{i}"), 1)
        with refused(stand, stand.verifiers.error("TooManyUnits", MOST + 1, MOST)):
            stand.offer(name, 1)
    stand.offer(poor, 0)
    stand.offer(stand.staked(address_of("last"), 1), 1)
    stand.block()
    assert stand.pick(stand.number, MOST - 1) == address_of("last")
    assert stand.pick(stand.number, MOST) == stand.pick(stand.number, 0) == rich


def test_fewer_units_free_their_stake_once_no_draw_can_name_them(stand: Stand, person: str) -> None:
    """Protects fines: stake stays as long as a draw that was armed before may draw its owner."""
    release = ("release", person)
    with refused(stand, stand.verifiers.error("NothingToRelease", person)):
        stand.verifiers.call(*release)
    stand.offer(person, 10)
    with refused(stand, stand.verifiers.error("NothingToRelease", person)):
        stand.verifiers.call(*release)
    stand.block()
    stand.offer(person, 4)
    until = stand.time + DRAW_TIME
    assert stand.verifiers.call("releasable", person) == (6 * UNIT, until)
    stand.block(1, DRAW_TIME)
    with refused(stand, stand.verifiers.error("StillDrawable", person, until)):
        stand.verifiers.call(*release)
    stand.block(1, 1)
    stand.verifiers.call(*release)  # by anyone
    assert (stand.free(person), stand.locked(person)) == (6 * UNIT, 4 * UNIT)
    with refused(stand, stand.verifiers.error("NothingToRelease", person)):
        stand.verifiers.call(*release)


def test_units_come_back_on_the_stake_that_is_still_locked(stand: Stand, person: str) -> None:
    stand.offer(person, 10)
    stand.offer(person, 1)
    stand.offer(person, 8)
    assert (stand.free(person), stand.locked(person)) == (0, 10 * UNIT)
    stand.block(1, DRAW_TIME + 1)
    stand.verifiers.call("release", person)
    assert (stand.free(person), stand.locked(person)) == (2 * UNIT, 8 * UNIT)


def test_stake_stays_while_there_is_a_duty(stand: Stand, person: str) -> None:
    stand.offer(person, 2)
    stand.block()
    for _ in range(2):
        assert stand.draw(stand.number, 0) == person
    assert stand.verifiers.call("duties", person) == 2
    stand.offer(person, 0)
    stand.block(1, 10 * DRAW_TIME)
    for duties in (2, 1):
        with refused(stand, stand.verifiers.error("OnDuty", person, duties)):
            stand.verifiers.call("release", person)
        stand.verifiers.call("done", person, 0)
    stand.verifiers.call("release", person)
    assert (stand.free(person), stand.locked(person)) == (10 * UNIT, 0)


# --- fines ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fine, taken, units",
    [(0, 0, 5), (1, 1, 4), (100, 100, 4), (101, 101, 3), (500, 500, 0), (10**9, 500, 0)],
)
def test_a_fine_takes_units_and_no_more_than_there_is(
    stand: Stand, person: str, fine: int, taken: int, units: int
) -> None:
    """Protects whoever is fined: by no more than the units; and the draw: no unit stays without its
    stake."""
    stand.offer(person, 5)
    stand.block()
    stand.draw(stand.number, 0)
    assert stand.verifiers.call("done", person, fine) == taken
    assert stand.stakes.call("burned") == taken
    assert stand.locked(person) == 500 - taken
    assert stand.verifiers.call("unitsOf", person) == stand.verifiers.call("units") == units
    armed = stand.number
    stand.block()
    assert stand.pick(armed, 0) == person  # what was armed before sees what was then
    assert stand.pick(stand.number, 0) == (person if units else NOBODY)


def test_a_fine_takes_first_what_is_offered_no_more(stand: Stand, person: str) -> None:
    stand.offer(person, 5)
    stand.block()
    stand.draw(stand.number, 0)
    stand.offer(person, 3)
    assert stand.verifiers.call("done", person, 150) == 150
    told = [log.address.lower() for log in stand.evm.result.logs]
    assert told == [stand.stakes.address.lower()]  # no other number of units is offered
    assert stand.verifiers.call("unitsOf", person) == 3
    stand.block(1, DRAW_TIME + 1)
    stand.verifiers.call("release", person)
    assert stand.locked(person) == 300


def test_units_lost_to_a_fine_can_be_offered_again(stand: Stand, person: str) -> None:
    stand.offer(person, 5)
    stand.block()
    stand.draw(stand.number, 0)
    stand.verifiers.call("done", person, 30)
    stand.offer(person, 5)
    assert (stand.free(person), stand.locked(person)) == (470, 500)


def test_every_duty_is_fined_out_of_what_is_there(stand: Stand, person: str) -> None:
    """Protects the fines of somebody with many duties: whoever offers anew between two of them
    answers with that too, the last takes what is left, and then nothing is left to free."""
    stand.offer(person, 5)
    stand.block()
    for _ in range(3):
        assert stand.draw(stand.number, 0) == person
    assert stand.verifiers.call("done", person, 450) == 450
    stand.offer(person, 2)
    assert (stand.free(person), stand.locked(person)) == (350, 200)
    assert stand.verifiers.call("done", person, 150) == 150
    assert stand.verifiers.call("done", person, 150) == 50
    assert stand.verifiers.call("unitsOf", person) == stand.locked(person) == 0
    stand.block(1, DRAW_TIME + 1)
    with refused(stand, stand.verifiers.error("NothingToRelease", person)):
        stand.verifiers.call("release", person)


def test_a_fine_begins_the_time_of_what_it_left(stand: Stand, person: str) -> None:
    """Protects the draws that are armed: what a fine has left below a unit stays for them too."""
    stand.offer(person, 5)
    stand.block()
    stand.draw(stand.number, 0)
    stand.block(1, 10 * DRAW_TIME)
    stand.verifiers.call("done", person, 30)
    until = stand.time + DRAW_TIME
    assert stand.verifiers.call("releasable", person) == (70, until)
    stand.block(1, DRAW_TIME)
    with refused(stand, stand.verifiers.error("StillDrawable", person, until)):
        stand.verifiers.call("release", person)


# --- the market ----------------------------------------------------------------------------------


def test_only_the_market_draws_and_ends_duties(stand: Stand, person: str) -> None:
    no = stand.verifiers.error("NotMarket", person)
    with refused(stand, no):
        arguments = (stand.number, stand.time, word_of(1), [])
        stand.verifiers.call("draw", *arguments, caller=person)
    with refused(stand, no):
        stand.verifiers.call("done", person, 0, caller=person)


@pytest.mark.parametrize(
    "name, at", [("market", 0), ("stakes", 1), ("unitStake", 2), ("drawTime", 3)]
)
def test_parameters_are_refused(stand: Stand, at: int, name: str) -> None:
    arguments: list[object] = [evm.CALLER, stand.stakes.address, UNIT, DRAW_TIME]
    arguments[at] = NOBODY if at < 2 else 0
    with pytest.raises(RuntimeError, match=name.encode().hex()):
        evm.deploy("Verifiers", *arguments, evm=stand.evm)


def test_it_tells_what_it_is(stand: Stand) -> None:
    told = {name: stand.verifiers.call(name) for name in ("stakes", "unitStake", "drawTime")}
    assert told == {"stakes": stand.stakes.address, "unitStake": UNIT, "drawTime": DRAW_TIME}
    assert stand.verifiers.call("market") == evm.CALLER
