"""A hostile ERC-20 at every place where tokens move: one that calls back, one that takes a fee, one
that moves for nobody.

Tokens move in `post`, in `withdrawFor`, and where stake is deposited, withdrawn or swept. No
verdict, no fine and no accusation touches them. The token that calls back is itself requester,
accuser and drawn verifier, so that its calls come from someone with rights in the task.
"""

from __future__ import annotations

import pytest

from tests import evm
from tests.contracts.conftest import BOND, BURNED, DRAW_DELAY, FEE, OPEN_TIME, PRICE
from tests.contracts.world import CONDEMNED, LIVE, World

WORK = (b"\x05" * 32, b"\x06" * 32)
FOUND = b"\x0f" * 32
REENTRANT = bytes.fromhex("3ee5aeb5")  # ReentrancyGuardReentrantCall()


class Hostile(World):
    """A task under verification whose token has an interest in it; two accusations wait, another
    has been lost, and a task that nobody wanted has left the requester with credit."""

    def __init__(self, token: str = "ReentrantToken") -> None:
        super().__init__(3, token)
        self.requester, self.solver, self.stranger = self.people
        if token == "FeeToken":
            self.act(self.stranger, self.token, "setFee", 0)
        self.bad = self.token.address
        for person in (self.solver, self.stranger):
            self.staked(person, 10_000)
        self.act(self.stranger, self.token, "mint", self.bad, self.WEALTH)
        if token == "ReentrantToken":
            for spender in (self.stakes, self.market):
                self.as_token(self.token, "approve", spender.address, self.WEALTH)
            self.as_token(self.stakes, "deposit", 10_000)
            for locker in (self.verifiers, self.disputes):
                self.as_token(self.stakes, "approveLocker", locker.address, True)
            self.as_token(self.verifiers, "offer", 3)
        self.unwanted()
        self.verified_task()
        number = 0
        for _ in range(2):  # the second bond burns one half
            self.accuse(self.stranger, number)
            number += 1
        for _ in range(2):
            self.start()
            self.act(self.stranger, self.court, "decide", self.queue(1).dispute, False)
        self.accuse(self.stranger, number)

    def as_token(self, contract: evm.Contract, name: str, *arguments: object) -> None:
        data = contract.encode(name, *arguments)
        self.act(self.stranger, self.token, "act", contract.address, data)

    def unwanted(self) -> None:
        self.act(
            self.requester, self.market, "post", self.job(), self.terms(PRICE, FEE, 1, 60, 200)
        )
        self.reach(self.task(0).bidUntil + 1)
        self.act(self.stranger, self.market, "close", 0)

    def verified_task(self) -> None:
        terms = self.terms(PRICE, FEE, 2, 1_000, 5_000)
        self.act(self.requester, self.market, "post", self.job(2), terms)
        self.act(self.solver, self.market, "bid", 1, PRICE)
        self.reach(self.task(1).bidUntil + 1)
        self.act(self.stranger, self.market, "close", 1)
        self.act(self.solver, self.market, "commitSegments", 1, 0, [WORK] * 2)
        self.pass_time(blocks=DRAW_DELAY)
        self.act(self.stranger, self.market, "draw", 1)

    def accuse(self, who: str, number: int) -> None:
        seal = self.disputes.call("sealOf", 1, 0, FOUND, who, FOUND)
        self.act(who, self.disputes, "accuse", 1, seal)
        self.act(who, self.disputes, "unseal", 1, number, 0, FOUND, FOUND)

    def start(self) -> None:
        self.act(self.stranger, self.disputes, "start", 1, self.job(2))

    def owed(self) -> int:
        """What the market owes: escrow and credit."""
        tasks = self.tasks()
        held = [t for i, t in enumerate(tasks) if t.status in LIVE or i in self.unpunished()]
        escrow = sum(t.maxPrice + t.verifierFee for t in held)
        return escrow + sum(self.credit(account) for account in [*self.people, self.bad])

    def staked_by_all(self) -> int:
        return sum(sum(self.stake(person)) for person in [*self.people, self.bad])

    def books_balance(self) -> None:
        assert self.balance(self.market.address) == self.owed()
        burned = self.stakes.call("burned")
        assert self.balance(self.stakes.address) == self.staked_by_all() + burned


@pytest.fixture
def world():
    world = Hostile()
    assert world.task(1).verifier.lower() == world.bad.lower()
    return world


OUTER = {
    "post": lambda w: w.as_token(w.market, "post", w.job(), w.terms(PRICE, FEE, 1, 60, 200)),
    "withdraw": lambda w: w.act(w.stranger, w.market, "withdrawFor", w.requester),
    "sweep": lambda w: w.act(w.stranger, w.stakes, "sweep"),
    "deposit": lambda w: w.as_token(w.stakes, "deposit", 7),
}


def inner_call(world: Hostile, name: str) -> tuple[evm.Contract, bytes]:
    job = world.job(2)
    terms = world.terms(10, 0, 1, 1_000, 5_000)
    calls = [
        (
            world.market,
            {
                "post": (job, terms),
                "bid": (1, 1),
                "close": (1,),
                "commitSegment": (1, 2, *WORK),
                "commitSegments": (1, 2, [WORK]),
                "draw": (1,),
                "lapse": (1,),
                "attest": (1,),
                "settle": (1,),
                "expire": (1,),
                "withdrawFor": (world.requester,),
                "hold": (1,),
                "unhold": (1,),
                "condemn": (1, 0),
                "punish": (1, 0, [(world.bad, 1)]),
            },
        ),
        (
            world.disputes,
            {
                "accuse": (1, FOUND),
                "demand": (1, 0, 7),
                "start": (1, job),
                "disputes.lapse": (1, 2),
                "advance": (1, 9),
                "dismiss": (1, 2),
                "onVerdict": (2, 0, True),
            },
        ),
        (
            world.verifiers,
            {
                "offer": (0,),
                "verifiers.offer": (5,),
                "release": (world.bad,),
                "verifiers.draw": (world.number, world.time, FOUND, []),
                "done": (world.bad, 1),
            },
        ),
        (world.stakes, {"lock": (world.solver, 1), "slash": (world.solver, 1), "sweep": ()}),
    ]
    for contract, known in calls:
        if name in known:
            return contract, contract.encode(name.split(".")[-1], *known[name])
    raise KeyError(name)


ALONE = ("post", "bid", "close", "draw", "lapse", "settle", "expire", "withdrawFor")
OTHERS = (
    "commitSegment", "commitSegments", "attest", "hold", "unhold", "condemn", "punish", "accuse",
    "demand", "start", "disputes.lapse", "advance", "dismiss", "onVerdict", "offer",
    "verifiers.offer", "release", "verifiers.draw", "done", "lock", "slash", "sweep",
)  # fmt: skip
NEVER = (
    "hold", "unhold", "condemn", "punish", "onVerdict", "verifiers.draw", "done", "lock", "slash",
)  # fmt: skip


@pytest.mark.parametrize("inner", [*ALONE, *OTHERS])
@pytest.mark.parametrize("outer", OUTER)
def test_a_token_that_calls_back_finds_the_books_written(world, outer, inner):
    """Protects every payment: while tokens move, nothing that moves the market's own can be
    entered; and whatever else is entered finds the books written, so that they balance afterwards
    and only whoever has a right to it has been paid."""
    contract, data = inner_call(world, inner)
    worth = {p: sum(world.stake(p)) + world.credit(p) for p in (world.solver, world.stranger)}
    world.act(world.stranger, world.token, "arm", contract.address, data)
    OUTER[outer](world)
    assert world.token.call("attempts") == 1
    if outer in ("post", "withdraw") and inner in ALONE:
        assert bytes(world.token.call("answer")) == REENTRANT
    if inner in NEVER:
        assert not world.token.call("succeeded")
    if (outer, inner) == ("deposit", "verifiers.offer"):  # its lock is refused by the stakes
        assert bytes(world.token.call("answer")) == REENTRANT
    for person, before in worth.items():
        assert sum(world.stake(person)) + world.credit(person) == before
    assert world.task(1).status != CONDEMNED
    world.books_balance()


def test_a_token_is_asked_for_nothing_by_a_verdict_a_fine_or_an_accusation(world):
    """Protects the game: no step from an accusation to the division of the stake touches the token,
    so that none can be stopped by it, be it paused, or somebody blacklisted."""
    world.act(world.stranger, world.token, "arm", world.market.address, b"")
    world.start()
    world.as_token(world.disputes, "accuse", 1, FOUND)
    world.act(world.stranger, world.court, "decide", world.queue(1).dispute, True)
    world.reach(world.queue(1).convictedAt + OPEN_TIME + 1)
    world.act(world.stranger, world.disputes, "dismiss", 1, 3)
    world.act(world.stranger, world.disputes, "punish", 1)
    assert world.token.call("attempts") == 0
    assert world.stake(world.solver)[1] == 0
    world.books_balance()


class TestFee:
    """A token whose issuer switches a fee on, in the middle of a task; or one that is paused."""

    @pytest.fixture
    def world(self):
        world = Hostile("FeeToken")
        world.start()
        world.act(world.stranger, world.token, "setFee", 1)
        return world

    def test_what_would_arrive_short_is_refused(self, world):
        """Protects escrow and stakes: a contract takes in what it writes down, or nothing."""
        with pytest.raises(evm.Reverted) as refused:
            world.act(
                world.stranger, world.market, "post", world.job(), world.terms(10, 0, 1, 60, 200)
            )
        assert refused.value.data == world.market.error("WrongAmountReceived", 9, 10)
        with pytest.raises(evm.Reverted) as refused:
            world.act(world.stranger, world.stakes, "deposit", 10)
        assert refused.value.data == world.stakes.error("WrongAmountReceived", 9, 10)
        world.books_balance()

    @pytest.mark.parametrize("guilty", [False, True])
    def test_a_token_that_moves_for_nobody_stops_nothing(self, world, guilty):
        """Protects the game: whoever can freeze a token cannot keep a cheat from being condemned
        and punished, nor an accuser from losing its bond; what is burned goes off when it moves
        again."""
        world.act(world.stranger, world.token, "setFee", 2**256 - 1)
        burned = world.stakes.call("burned")
        world.act(world.stranger, world.court, "decide", world.queue(1).dispute, guilty)
        if guilty:
            assert world.task(1).status == CONDEMNED
            world.reach(world.queue(1).convictedAt + OPEN_TIME + 1)
            world.act(world.stranger, world.disputes, "punish", 1)
            assert world.stake(world.solver)[1] == 0
        else:
            assert world.stakes.call("burned") == burned + 2 * BOND  # of the third bond
        with pytest.raises(evm.Reverted):
            world.act(world.stranger, world.stakes, "sweep")
        world.books_balance()
        world.act(world.stranger, world.token, "setFee", 0)
        world.act(world.stranger, world.stakes, "sweep")
        assert world.balance(BURNED) == world.burned() > burned
        world.books_balance()
