"""A hostile ERC-20 at every place where the market moves tokens: one that calls back, and one that
keeps a fee.

The token that calls back is itself the challenger and the drawn verifier, so that its calls come
from someone with rights in the task. What is guarded is refused by the guard; what is not guarded
moves no token, and finds the books already written.
"""

from __future__ import annotations

import pytest

from tests import evm
from tests.contracts.conftest import DRAW_DELAY, FEE, PARAMETERS, PRICE
from tests.contracts.world import CONDEMNED, LIVE, World

BOND, STAKE = PARAMETERS["bond"], 1_500
WORK = (b"\x05" * 32, b"\x06" * 32)
REENTRANT = bytes.fromhex("3ee5aeb5")  # ReentrancyGuardReentrantCall()


class Hostile(World):
    """A task under verification whose token has an interest in it; two disputes are open."""

    def __init__(self, token: str = "ReentrantToken") -> None:
        super().__init__(3, token)
        self.requester, self.solver, self.stranger = self.people
        if token == "FeeToken":
            self.act(self.stranger, self.token, "setFee", 0)
        self.staked(self.solver, 10_000)
        self.bad = self.token.address
        self.act(self.stranger, self.token, "mint", self.bad, self.WEALTH)
        if token == "ReentrantToken":
            for spender in (self.stakes, self.market):
                self.as_token(self.token, "approve", spender.address, self.WEALTH)
            self.as_token(self.stakes, "deposit", 10_000)
            self.as_token(self.stakes, "approveLocker", self.market.address, True)
            self.as_token(self.market, "enlist")

    def as_token(self, contract: evm.Contract, name: str, *arguments: object) -> None:
        data = contract.encode(name, *arguments)
        self.act(self.stranger, self.token, "act", contract.address, data)

    def verified_task(self, segments: int = 2) -> int:
        job = self.job(segments)
        task = self.market.call("tasks")
        terms = self.terms(PRICE, FEE, segments, 1_000, 5_000)
        self.act(self.requester, self.market, "post", job, terms)
        self.act(self.solver, self.market, "bid", task, PRICE)
        self.reach(self.task(task).bidUntil + 1)
        self.act(self.stranger, self.market, "close", task)
        self.act(self.solver, self.market, "commitSegments", task, 0, [WORK] * segments)
        self.pass_time(blocks=DRAW_DELAY)
        self.act(self.stranger, self.market, "draw", task)
        return task

    def owed(self) -> int:
        """What the market owes: escrow, bonds, credit."""
        tasks = self.tasks()
        accounts = [*self.people, self.bad, "0x000000000000000000000000000000000000dead"]
        held = [t for i, t in enumerate(tasks) if t.status in LIVE or i in self.unpunished()]
        escrow = sum(t.maxPrice + t.verifierFee for t in held)
        bonds = BOND * sum(t.openDisputes for t in tasks)
        return escrow + bonds + sum(self.credit(account) for account in accounts)

    def staked_by_all(self) -> int:
        return sum(sum(self.stake(person)) for person in [*self.people, self.bad])

    def books_balance(self) -> None:
        assert self.balance(self.market.address) == self.owed()
        assert self.balance(self.stakes.address) == self.staked_by_all()


def hostile() -> Hostile:
    world = Hostile()
    world.verified_task()
    assert world.task(0).verifier.lower() == world.bad.lower()
    for _ in range(2):
        world.as_token(world.market, "challenge", 0, world.job(2), 1)
    world.act(world.requester, world.market, "challenge", 0, world.job(2), 0)
    world.act(world.stranger, world.court, "decide", 0, False)  # the solver has a bond as credit
    return world


OUTER = ("challenge", "demand", "punishment", "withdraw", "silent verifier")
GUARDED = (
    "post", "bid", "close", "draw", "challenge", "demand", "dismiss", "settle", "expire",
    "withdrawFor", "decide", "onVerdict", "punish",
)  # fmt: skip
UNGUARDED = ("attest", "commitSegment", "enlist", "delist", "evict")


def inner_call(world: Hostile, name: str) -> tuple[evm.Contract, bytes]:
    job, market = world.job(2), world.market
    if name == "decide":  # another verdict, within the first or within a payment
        return world.court, world.court.encode("decide", 2, True)
    arguments = {
        "post": (job, world.terms(10, 0, 1, 1_000, 5_000)),
        "bid": (0, 1),
        "challenge": (0, job, 0),
        "demand": (0, job, 0, 7),
        "dismiss": (2,),
        "punish": (1,),  # which within a punishment is the same once more
        "withdrawFor": (world.solver,),
        "onVerdict": (2, True),
        "commitSegment": (0, 0, *WORK),
        "enlist": (),
        "delist": (),
        "evict": (world.bad,),
    }
    return market, market.encode(name, *arguments.get(name, (0,)))


def outer_call(world: Hostile, name: str) -> None:
    if name == "challenge":
        world.as_token(world.market, "challenge", 0, world.job(2), 0)
    elif name == "demand":
        world.as_token(world.market, "demand", 0, world.job(2), 0, 5)
    elif name == "punishment":  # slashes, which pays the market; the verdict pays nobody
        world.act(world.stranger, world.court, "decide", 1, True)
        assert world.token.call("attempts") == 0
        world.act(world.stranger, world.market, "punish", 1)
    elif name == "withdraw":
        world.act(world.stranger, world.market, "withdrawFor", world.solver)
    else:  # a settlement, which slashes the verifier
        for dispute in (1, 2):
            world.act(world.stranger, world.court, "decide", dispute, False)
        world.reach(world.task(0).windowEnds + 1)
        world.act(world.stranger, world.market, "settle", 0)


def outcome(world: Hostile) -> tuple[object, ...]:
    people = [*world.people, world.bad, "0x000000000000000000000000000000000000dead"]
    credit = tuple(world.credit(person) for person in people)
    stakes = tuple(world.stake(person) for person in people[:-1])
    open_ = world.task(0).openDisputes
    return world.task(0).status, open_, credit, stakes, world.balance(world.market.address)


@pytest.fixture(scope="module")
def undisturbed():
    """What each operation does where nobody calls back."""
    found = {}
    for name in OUTER:
        world = hostile()
        outer_call(world, name)
        found[name] = outcome(world)
    return found


@pytest.mark.parametrize("inner", GUARDED)
@pytest.mark.parametrize("outer", OUTER)
def test_a_token_that_calls_back_where_money_moves_is_refused(undisturbed, outer, inner):
    """Protects every payment: while tokens move, no other function that moves any can be entered,
    and the operation itself ends as if nobody had tried."""
    world = hostile()
    contract, data = inner_call(world, inner)
    world.act(world.stranger, world.token, "arm", contract.address, data)
    outer_call(world, outer)
    assert world.token.call("attempts") == 1
    assert not world.token.call("succeeded")
    # before a settlement all verdicts have been given
    given = (outer, inner) == ("silent verifier", "decide")
    expected = world.court.error("Closed", 2) if given else REENTRANT
    assert bytes(world.token.call("answer")) == expected
    assert outcome(world) == undisturbed[outer]
    world.books_balance()


@pytest.mark.parametrize("inner", UNGUARDED)
@pytest.mark.parametrize("outer", OUTER)
def test_what_is_not_guarded_finds_the_books_already_written(undisturbed, outer, inner):
    """Protects the order of checks, effects and transfers: whatever may be entered while tokens
    move moves no stake and no credit, and the operation's own effects stay what they are."""
    world = hostile()
    contract, data = inner_call(world, inner)
    world.act(world.stranger, world.token, "arm", contract.address, data)
    outer_call(world, outer)
    assert world.token.call("attempts") == 1
    assert outcome(world) == undisturbed[outer]
    over = outer in ("punishment", "silent verifier")
    if inner == "attest":  # a verifier cannot vouch for what is being decided
        assert world.token.call("succeeded") != over
    if inner == "commitSegment":
        assert not world.token.call("succeeded")
    world.books_balance()


def test_a_verdict_within_a_punishment_is_refused_and_comes_later():
    """Protects the other disputes of a task: the one that was tried in a callback is decided on its
    own, and pays its challenger the bond."""
    world = hostile()
    contract, data = inner_call(world, "decide")
    world.act(world.stranger, world.token, "arm", contract.address, data)
    outer_call(world, "punishment")
    assert world.task(0).status == CONDEMNED
    before = world.credit(world.requester)
    world.act(world.stranger, world.court, "decide", 2, True)
    assert world.credit(world.requester) == before + BOND
    world.books_balance()


def fee_switched_on() -> Hostile:
    """A dispute is open when the token begins to take a fee."""
    world = Hostile("FeeToken")
    world.verified_task()
    world.act(world.stranger, world.market, "challenge", 0, world.job(2), 0)
    world.act(world.stranger, world.token, "setFee", 1)
    return world


class TestFee:
    """A token whose issuer switches a fee on, in the middle of a task."""

    @pytest.fixture
    def world(self):
        return fee_switched_on()

    @pytest.mark.parametrize("name", ["challenge", "demand", "post"])
    def test_what_would_arrive_short_is_refused(self, world, name):
        """Protects bonds and escrow: the market takes in what it writes down, or nothing."""
        calls = {
            "challenge": (0, world.job(2), 0),
            "demand": (0, world.job(2), 0, 5),
            "post": (world.job(2), world.terms(PRICE, FEE, 2, 1_000, 5_000)),
        }
        sent = PRICE + FEE if name == "post" else BOND
        disputes = world.court.call("disputes")
        with pytest.raises(evm.Reverted) as refused:
            world.act(world.stranger, world.market, name, *calls[name])
        assert refused.value.data == world.market.error("WrongAmountReceived", sent - 1, sent)
        assert world.court.call("disputes") == disputes
        world.books_balance()

    def test_a_token_that_does_not_move_stops_no_verdict(self, world):
        """Protects the game: whoever can freeze a token cannot keep a cheat from being condemned,
        and it is punished when tokens move again."""
        world.act(world.stranger, world.token, "setFee", 2**256 - 1)
        world.act(world.stranger, world.court, "decide", 0, True)
        assert world.task(0).status == CONDEMNED
        with pytest.raises(evm.Reverted):
            world.act(world.stranger, world.market, "punish", 0)
        world.books_balance()
        world.act(world.stranger, world.token, "setFee", 0)
        world.act(world.stranger, world.market, "punish", 0)
        assert world.stake(world.solver)[1] == 0
        world.books_balance()

    def test_no_verdict_fails_and_only_what_moves_is_short(self, world):
        """Protects the game: a dispute that was open is decided all the same. The stake arrives at
        the market less the fee, and whoever withdraws receives less the fee: a token that may take
        one is no token for a market, and no contract can pay what did not arrive."""
        world.act(world.stranger, world.court, "decide", 0, True)
        assert world.task(0).status == CONDEMNED
        world.books_balance()
        world.act(world.stranger, world.market, "punish", 0)
        assert world.balance(world.market.address) == world.owed() - 1
        credit, had = world.credit(world.stranger), world.balance(world.stranger)
        world.act(world.stranger, world.market, "withdraw")
        assert world.balance(world.stranger) == had + credit - 1
