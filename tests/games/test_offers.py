"""What a worker has on offer: the units of its config, as far as its stake goes."""

from __future__ import annotations

import logging

from tests.games.world import World
from worker.roles.offers import EVERY, Offers
from worker.roles.verifier import Verifier

UNIT, BOND = 1_500, 10


class Clerk:
    """The outsider's, which has nothing but free stake."""

    def __init__(self, units: int, free: int) -> None:
        self.world, self.now = World(), 0.0
        self.desk = self.world.desks["outsider"]
        self.me = self.desk.account
        spare = self.desk.stakes.free(self.me) - free
        self.desk.stakes.unbond(spare)
        self.desk.stakes.approve_locker(self.desk.verifiers.address)
        self.role = self.of(units)

    def of(self, units: int) -> Offers:
        return Offers(self.desk, units, clock=lambda: self.now)

    def settle(self) -> None:
        """Until it has nothing to do."""
        while self.role.tick():
            pass
        self.now += EVERY

    @property
    def units(self) -> int:
        return self.desk.verifiers.units_of(self.me)


def test_it_offers_what_the_config_says():
    clerk = Clerk(units=3, free=10 * UNIT)
    clerk.settle()
    assert clerk.units == 3
    sent = len(clerk.world.chain.sent)
    clerk.settle()
    assert len(clerk.world.chain.sent) == sent, "it is not said twice"


def test_it_offers_no_more_than_the_stake_allows_and_keeps_a_bond(caplog):
    """Protects whoever is drawn: it has the bond of an accusation; and says once what it lacks."""
    caplog.set_level(logging.WARNING)
    clerk = Clerk(units=3, free=2 * UNIT + BOND - 1)
    clerk.settle()
    clerk.settle()
    assert clerk.units == 1
    assert clerk.desk.stakes.free(clerk.me) >= BOND
    assert caplog.text.count("the free stake is enough for 1") == 1


def test_it_offers_nothing_without_a_whole_unit_and_takes_nothing_back_for_a_bond():
    clerk = Clerk(units=1, free=UNIT + BOND - 1)
    clerk.settle()
    assert clerk.units == 0
    clerk.desk.verifiers.offer(1)  # by hand
    clerk.settle()
    assert clerk.units == 1


def test_fewer_units_come_back_when_no_draw_can_name_them():
    """Protects stake: what a smaller config leaves is free again, once the draws' time is over."""
    clerk = Clerk(units=4, free=10 * UNIT)
    clerk.settle()
    clerk.role = clerk.of(1)
    clerk.settle()
    assert (clerk.units, clerk.desk.stakes.free(clerk.me)) == (1, 6 * UNIT)
    clerk.world.chain.mine(seconds=clerk.desk.verifiers.draw_time() + 1)
    clerk.settle()
    assert (clerk.units, clerk.desk.stakes.free(clerk.me)) == (1, 9 * UNIT)


def test_units_that_a_fine_took_are_offered_again():
    """Protects a verifier that was silent once: it stands ready again while it has the stake."""
    world = World()
    desk = world.desks["verifier"]
    before = desk.verifiers.units_of(desk.account)
    number, _ = world.commit(world.job(), world.desks["solver"])
    assert world.task(number).verifier == desk.account
    world.finish()  # it has slept
    assert desk.verifiers.units_of(desk.account) == before - 1
    assert Offers(desk, before).tick()
    assert desk.verifiers.units_of(desk.account) == before
    # and does what it is drawn for
    number, solver = world.commit(world.job(), world.desks["solver"])
    world.play(solver, Verifier(desk))
    assert world.task(number).attested
