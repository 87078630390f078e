"""Who finds what is wrong is paid for it, whatever the cheat's friends do: with the real roles."""

from __future__ import annotations

from contextlib import suppress

import pytest

from tests.games.players import (
    Quitter,
    accuse,
    decoded,
    hear,
    settle_all,
    time_out,
    verdicts,
)
from tests.games.test_disappearing import wrong_weight
from tests.games.world import FEE, World
from tests.revm import Deployed
from worker.chain.errors import ContractError
from worker.chain.types import Phase, Standing, Status
from worker.program import Program
from worker.roles import Keeper, Verifier

BOND, FINDERS = Deployed.DISPUTES["bond"], Deployed.DISPUTES["finderBps"]


@pytest.fixture
def world(monkeypatch):
    monkeypatch.setattr(Program, "from_bytes", staticmethod(decoded))
    return World()


class Cheated:
    """A task whose second segment is wrong; nobody has accused it yet."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.cheat = world.desk("solver", computation_of=wrong_weight())
        self.number, self.solver = world.commit(world.job(), self.cheat)
        self.stake = world.task(self.number).solver_stake
        self.pot = self.stake * FINDERS // 10_000

    def files(self, role: str) -> Verifier:
        """The role looks at the task, and files: the verifier that is drawn, or a volunteer."""
        one = Verifier(self.world.desks[role], volunteer=role != "verifier")
        before = self.filed
        while self.filed == before:
            assert one.checks.tick()
        return one

    @property
    def filed(self) -> int:
        return self.world.desks["outsider"].disputes.queue(self.number).filed

    def gains(self) -> dict[str, int]:
        """Everyone's, when all is over; the stake is divided as it has to be."""
        gained = settle_all(self.world)
        assert self.world.task(self.number).status == Status.CONDEMNED
        assert gained["solver"] <= -self.stake + BOND * self.filed
        return gained


@pytest.mark.parametrize("role", ["verifier", "outsider"])
def test_whoever_finds_alone_has_all_of_it(world, role):
    """Protects verifiers and open accusers; the requester has its escrow, nothing of a stake."""
    task = Cheated(world)
    finder = task.files(role)
    world.play(task.solver, finder, Keeper(world.desks["requester"]))
    assert verdicts(world) == ["element"]
    gained = task.gains()
    assert gained[role] == task.pot
    assert gained["solver"] == -task.stake and gained["requester"] == 0
    if role == "outsider":
        assert -FEE <= gained["verifier"] <= 0, "it was silent"


def test_two_that_find_it_have_one_half_each(world):
    """Protects both: what is for who convicts at once is a bond's worth, the rest is halved."""
    task = Cheated(world)
    roles = [task.files("outsider"), task.files("verifier")]
    world.play(task.solver, *roles, Keeper(world.desks["requester"]))
    gained = task.gains()
    rest = task.pot - BOND
    assert gained["verifier"] == BOND + rest // 2 and gained["outsider"] == rest - rest // 2


def test_who_copies_every_transaction_a_place_ahead_loses_by_it(world):
    """Attacker: a copier sees the mempool, and whatever the finder sends it sends first."""
    task = Cheated(world)
    cat, honest, plain = (
        world.people["outsider"],
        world.people["verifier"],
        world.chain.send,
    )
    copied = []

    def send(sender, to, data, label):
        if sender == honest and label.startswith(("disputes.", "court.")):
            with suppress(Exception):
                plain(cat, to, data, label)
                copied.append(label)
        return plain(sender, to, data, label)

    world.chain.send = send
    finder = task.files("verifier")
    world.play(task.solver, finder, Keeper(world.desks["requester"]))
    del world.chain.send
    assert copied[0] == "disputes.accuse" and "disputes.unseal" not in copied
    assert verdicts(world) == ["element"]
    gained = task.gains()
    assert gained["verifier"] == task.pot, "as if nobody had copied"
    assert gained["outsider"] <= 0


def test_a_copier_of_what_was_shown_has_nothing(world):
    """Attacker: it computes nothing, reads the finding on the chain and files it as its own."""
    task = Cheated(world)
    finder = task.files("verifier")
    assert finder.tick(), "unsealed"
    shown = world.desks["outsider"].disputes.accusation(task.number, 0)
    assert shown.standing == Standing.WAITING
    accuse(world.desks["outsider"], task.number, shown.segment, shown.finding)
    world.play(task.solver, finder, Keeper(world.desks["requester"]))
    gained = task.gains()
    assert gained["verifier"] == task.pot and gained["outsider"] == 0


def test_a_friend_that_is_told_when_an_honest_one_has_filed_takes_nothing(world):
    """Attacker: found out, the cheat has a friend file what is right and answers that one alone, so
    as to be convicted by it first. The drawn verifier goes next, and silence convicts as well."""
    task = Cheated(world)
    honest = task.files("verifier")
    friend = task.files("outsider")
    silent = Quitter(task.cheat, {Phase.STEPS, Phase.STEP})
    world.play(silent, friend, honest, Keeper(world.desks["requester"]))
    time_out(world)
    assert verdicts(world) == ["time"]
    gained = task.gains()
    assert gained["verifier"] == task.pot and gained["outsider"] == 0


def test_a_friend_that_files_before_anybody_leaves_the_verifier_its_half(world):
    """Attacker: the cheat has a friend accuse it before anybody looks. The friend is the finder,
    the verifier has its half all the same, and the cheat has lost more than seven tenths."""
    task = Cheated(world)
    friend = task.files("outsider")
    honest = task.files("verifier")
    world.play(task.solver, friend, honest, Keeper(world.desks["requester"]))
    gained = task.gains()
    assert gained["verifier"] >= task.pot // 2
    assert gained["solver"] + gained["outsider"] <= -task.stake * 7 // 10


def test_a_friend_that_finds_it_first_and_loses_on_purpose_hides_nobody(world):
    """Attacker: the friend shows the right finding, has it heard, and leaves. Who found it next,
    before the verifier that convicts, is the finder."""
    task = Cheated(world)
    shown = task.files("outsider")
    assert shown.tick(), "unsealed"
    hear(world.desks["requester"], task.number)
    honest, drawn = task.files("requester"), task.files("verifier")
    world.play(task.solver, honest, drawn)
    time_out(world)
    assert verdicts(world)[0] == "time"
    lost = world.desks["outsider"].disputes.accusation(task.number, 0)
    assert lost.standing == Standing.LOST
    world.play(task.solver, honest, drawn, Keeper(world.desks["outsider"]))
    assert verdicts(world) == ["time", "element"]
    gained = task.gains()
    rest = task.pot - BOND
    assert gained["outsider"] == -BOND
    assert gained["verifier"] == BOND + rest // 2, "it convicted"
    assert gained["requester"] == rest - rest // 2, "it had found it before"


@pytest.mark.parametrize("friends", [("outsider",), ("verifier",), ("outsider", "verifier")])
def test_a_cheat_whose_friends_are_everybody_gets_back_three_tenths(world, friends):
    """Attacker: requester, verifier and accuser are all the cheat's own names."""
    task = Cheated(world)
    roles = [task.files(friend) for friend in friends]
    world.play(task.solver, *roles, Keeper(world.desks["requester"]))
    gained = task.gains()
    lost = -sum(gained.values())
    assert lost >= task.stake - task.pot >= task.stake * 7 // 10


def test_an_honest_solver_owes_no_finder_anything(world):
    """Protects solvers: whoever seals junk pays for it, and nobody is paid for finding nothing."""
    number, solver = world.commit(world.job(), world.desks["solver"])
    accuse(world.desks["outsider"], number, 0)
    with pytest.raises(ContractError, match="NotCondemned"):
        world.desks["outsider"].disputes.punish(number)
    world.play(solver, Verifier(world.desks["verifier"]), Keeper(world.desks["requester"]))
    time_out(world)
    gained = settle_all(world)
    assert world.task(number).status == Status.SETTLED
    assert gained["outsider"] == -BOND and gained["verifier"] == FEE
    assert gained["solver"] > BOND
