"""Between the arming of a draw and the draw everybody may do everything, and the same is drawn.

On a native EVM, with the real market, its verifiers, the stakes and the randomness of block hashes.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests import evm
from tests.contracts.conftest import DRAW_DELAY, UNIT
from tests.contracts.world import VERIFYING, Task, World

REQUESTER, SOLVER = 0, 1
STANDING = (2, 3, 4, 5)  # who stands ready, with as many units
NEWCOMERS = (6, 7, 8)
FOUND = b"\x0f" * 32


class Armed(World):
    """Two tasks whose draws are armed, and beside them what takes stake and units from people:
    `silent`, whose verifier has not been heard of in its window, and `vouched`, whose verifier
    attested what a verdict has condemned since."""

    def __init__(self) -> None:
        super().__init__(9)
        for person in self.people:
            self.staked(person, 1_000 * UNIT)
        for person in STANDING:
            self.stands(self.people[person], person)
        self.stands(self.people[SOLVER], 4)
        self.silent, self.vouched = self.arm(1, fee=5_000), self.arm(1, fee=5_000)
        self.draw(self.silent, self.vouched)
        self.act(self.task(self.vouched).verifier, self.market, "attest", self.vouched)
        self.accuse(NEWCOMERS[0], self.vouched)
        self.decide(self.vouched, True)
        self.reach(self.task(self.silent).windowEnds + 1)  # which is later than `punish` waits for
        self.accused = self.arm(2)
        self.accuse(NEWCOMERS[0], self.accused)
        self.first, self.second = self.arm(4), self.arm(3)
        # Each must be such a fine, or nothing is shown by it.
        assert self.task(self.silent).verifier.lower() in self.standing()
        assert self.task(self.vouched).verifier.lower() in self.standing()

    def standing(self) -> list[str]:
        return [self.people[person] for person in STANDING]

    def accuse(self, person: int, task: int) -> None:
        who, number = self.people[person], self.queue(task).filed
        seal = self.disputes.call("sealOf", task, 0, FOUND, who, FOUND)
        self.act(who, self.disputes, "accuse", task, seal)
        self.act(who, self.disputes, "unseal", task, number, 0, FOUND, FOUND)

    def decide(self, task: int, guilty: bool) -> None:
        job = self.job(self.task(task).segments)
        self.act(self.people[REQUESTER], self.disputes, "start", task, job)
        dispute = self.queue(task).dispute
        self.act(self.people[REQUESTER], self.court, "decide", dispute, guilty)

    def arm(self, segments: int, fee: int = 300) -> int:
        requester, solver = self.people[REQUESTER], self.people[SOLVER]
        terms = self.terms(1_000, fee, min(2, segments), 60, 5_000)
        task = self.act(requester, self.market, "post", self.job(segments), terms)
        self.act(solver, self.market, "bid", task, 1_000)
        self.reach(self.task(task).bidUntil + 1)
        self.act(solver, self.market, "close", task)
        work = [(b"\x05" * 32, b"\x06" * 32)] * segments
        self.act(solver, self.market, "commitSegments", task, 0, work)
        return task

    def draw(self, *tasks: int) -> dict[int, tuple[str, int]]:
        """Whom the draws of these tasks, in this order, have drawn for which segments."""
        self.pass_time(blocks=DRAW_DELAY)
        for task in tasks:
            self.act(self.people[NEWCOMERS[0]], self.market, "draw", task)
        found: dict[int, Task] = {task: self.task(task) for task in tasks}
        assert all(task.status == VERIFYING for task in found.values())
        return {number: (task.verifier, task.checked) for number, task in found.items()}

    def back(self, moment: tuple[int, int, int]) -> None:
        self.evm.revert(moment[0])
        self.number, self.time = moment[1:]

    def moment(self) -> tuple[int, int, int]:
        return self.evm.snapshot(), self.number, self.time


@pytest.fixture(scope="module")
def armed() -> tuple[Armed, dict[int, tuple[str, int]]]:
    world = Armed()
    before = world.moment()
    drawn = world.draw(world.first, world.second)
    world.back(before)
    return world, drawn


Act = Callable[[Armed, str], object]
ACTS: dict[str, Act] = {
    "offers one more": lambda w, p: w.stands(p, w.verifiers.call("unitsOf", p) + 1),
    "offers a thousand": lambda w, p: w.stands(p, 900),
    "offers one": lambda w, p: w.stands(p, 1),
    "offers nothing": lambda w, p: w.stands(p, 0),
    "offers, and takes it back": lambda w, p: (w.stands(p, 800), w.stands(p, 0)),
    "releases": lambda w, p: w.act(p, w.verifiers, "release", p),
    "deposits": lambda w, p: w.act(p, w.stakes, "deposit", 12_345),
    "unbonds": lambda w, p: w.act(p, w.stakes, "unbond", w.stakes.call("free", p)),
    "withdraws": lambda w, p: w.act(p, w.stakes, "withdraw"),
    "closes the verifiers out": lambda w, p: w.act(
        p, w.stakes, "approveLocker", w.verifiers.address, False
    ),
    "closes the market out": lambda w, p: w.act(
        p, w.stakes, "approveLocker", w.market.address, False
    ),
    "posts": lambda w, p: w.act(p, w.market, "post", w.job(1), w.terms(1_000, 300, 1, 60, 500)),
    "accuses": lambda w, p: w.accuse(w.people.index(p), w.first),
    "demands": lambda w, p: w.act(p, w.disputes, "demand", w.first, 0, 7),
    "loses a bond": lambda w, p: w.decide(w.accused, False),
    "has a solver condemned": lambda w, p: w.decide(w.accused, True),
    "has a silent verifier fined": lambda w, p: w.act(p, w.market, "settle", w.silent),
    "has a verifier slashed": lambda w, p: w.act(p, w.disputes, "punish", w.vouched),
    "has both fined, and comes back": lambda w, p: (
        w.act(p, w.market, "settle", w.silent),
        w.act(p, w.disputes, "punish", w.vouched),
        *(w.stands(one, 11) for one in w.standing()),
    ),
    "has every one leave": lambda w, p: [w.stands(one, 0) for one in w.standing()],
    "has every one leave and return": lambda w, p: [
        w.stands(one, units) for one in w.standing() for units in (0, 77)
    ],
    "draws the other task": lambda w, p: w.act(p, w.market, "draw", w.second),
    "draws too early": lambda w, p: w.act(p, w.market, "draw", w.first),
    "lapses too early": lambda w, p: w.act(p, w.market, "lapse", w.first),
    "arms another task": lambda w, p: w.arm(1),
    "waits": lambda w, p: w.pass_time(seconds=5, blocks=3),
}


def test_the_fines_take_units(armed) -> None:
    """So that fines are among what is tried below: both that are due take units away."""
    world, _ = armed
    before = world.moment()
    for name, task in (
        ("has a silent verifier fined", world.silent),
        ("has a verifier slashed", world.vouched),
    ):
        verifier = world.task(task).verifier
        units = world.verifiers.call("unitsOf", verifier)
        ACTS[name](world, world.people[NEWCOMERS[0]])
        assert world.verifiers.call("unitsOf", verifier) < units
    world.back(before)


def attempt(world: Armed, name: str, person: str) -> None:
    """Whatever is refused is refused by name, and changes nothing."""
    try:
        ACTS[name](world, person)
    except evm.Reverted as refused:
        assert refused.data, name


@pytest.mark.parametrize("name", ACTS)
def test_no_act_of_anybody_changes_who_is_drawn(armed, name: str) -> None:
    """Protects the draw from whoever knows its word already: the requester, the solver, all who
    stand ready, and names that come new, each with each act, before and after the word is there."""
    world, drawn = armed
    for person in world.people:
        for late in (0, DRAW_DELAY):
            before = world.moment()
            world.pass_time(blocks=late)
            attempt(world, name, person)
            task = world.first
            if world.task(task).status != VERIFYING:
                assert world.draw(task)[task] == drawn[task], f"{name} by {person}"
            world.back(before)


@pytest.mark.parametrize("seed", range(25))
def test_no_row_of_acts_changes_who_is_drawn(armed, seed: int) -> None:
    """The same of many acts by many people one after the other, and of both tasks' draws in either
    order."""
    world, drawn = armed
    dice, before = random.Random(seed), world.moment()
    for _ in range(dice.randint(1, 25)):
        attempt(
            world, dice.choice([n for n in ACTS if "draws" not in n]), dice.choice(world.people)
        )
    order = [world.first, world.second]
    dice.shuffle(order)
    assert world.draw(*order) == drawn
    world.back(before)


def test_units_of_a_moment_before_the_draw_draw_nothing(armed) -> None:
    """The grinder's game: it knows the word, and tries one deposit and offer after the other until
    it is drawn. It never is, with 900 of about 914 units."""
    world, drawn = armed
    grinder = world.people[NEWCOMERS[1]]
    before = world.moment()
    world.pass_time(blocks=DRAW_DELAY)
    for units in (*range(1, 30), 900):
        again = world.moment()
        world.act(grinder, world.stakes, "deposit", units)
        world.stands(grinder, units)
        world.act(grinder, world.market, "draw", world.first)
        verifier = world.task(world.first).verifier
        assert verifier == drawn[world.first][0] and verifier.lower() != grinder
        world.back(again)
    world.back(before)


def test_draws_that_are_armed_in_one_block_are_drawn_each_by_itself(armed) -> None:
    """Protects many tasks of one block, which have one word: each has its own seed, and draws the
    same in whatever order they are drawn, whoever has been drawn before, and offers in the block
    itself, between two of them, count for none."""
    world, _ = armed
    grinder = world.people[NEWCOMERS[1]]
    before = world.moment()
    solver, requester = world.people[SOLVER], world.people[REQUESTER]
    tasks = []
    for _ in range(12):
        terms = world.terms(1_000, 300, 2, 60, 5_000)
        tasks.append(world.act(requester, world.market, "post", world.job(4), terms))
        world.act(solver, world.market, "bid", tasks[-1], 1_000)
    world.pass_time(seconds=100)
    for task in tasks:
        world.act(solver, world.market, "close", task)
    work, now = [(b"\x05" * 32, b"\x06" * 32)] * 4, (world.number, world.time)
    for task in tasks:
        world.number, world.time = now
        world.act(solver, world.market, "commitSegments", task, 0, work)
        if task == tasks[5]:
            world.number, world.time = now
            world.stands(grinder, 999)
    found = [world.task(task) for task in tasks]
    assert len({(task.armedBlock, task.drawWord) for task in found}) == 1
    ready = world.moment()
    drawn = world.draw(*tasks)
    assert grinder not in [verifier.lower() for verifier, _ in drawn.values()]
    assert len(set(drawn.values())) > 6  # of four people and six pairs of segments
    world.back(ready)
    assert world.draw(*reversed(tasks)) == drawn
    world.back(before)


def test_a_grinder_that_comes_in_time_is_drawn_by_its_units(armed) -> None:
    """So the tests above can fail: with those units, armed in a later block, it is drawn."""
    world, _ = armed
    grinder = world.people[NEWCOMERS[1]]
    before = world.moment()
    world.stands(grinder, 999)
    tasks = [world.arm(1) for _ in range(12)]
    drawn = [verifier.lower() for verifier, _ in world.draw(*tasks).values()]
    assert drawn.count(grinder) >= 9
    world.back(before)
