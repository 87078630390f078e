"""How much of this worker stands ready to verify: the config's units, while the stake allows it."""

from __future__ import annotations

import time
from collections.abc import Callable

from worker.roles.base import Desk

EVERY = 60.0  # seconds between two looks: only this worker and its fines change what is offered


class Offers:
    """Keeps `units` on offer, and takes back the stake of what is offered no more.

    A fine takes units away: they are offered again as far as there is free stake.
    """

    name, lane = "offers", "keeper"

    def __init__(self, desk: Desk, units: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.desk, self.units = desk, units
        self._clock, self._next = clock, float("-inf")
        self._short = 0  # units that the stake was last said to be short of

    def tick(self) -> bool:
        now = self._clock()
        if now < self._next:
            return False
        did = self._offer() or self._release()
        self._next = now if did else now + EVERY
        return did

    def _offer(self) -> bool:
        desk, verifiers = self.desk, self.desk.verifiers
        offered = verifiers.units_of(desk.account)
        possible = min(self.units, self._most(offered))
        if possible < self.units and self._short != self.units - possible:
            desk.log.warning(
                "verifier.units = %d: the free stake is enough for %d", self.units, possible
            )
        self._short = self.units - possible
        if possible == offered or not desk.attempt("offer", verifiers.offer, possible):
            return False
        desk.log.info("%d units stand ready to verify", possible)
        return True

    def _most(self, offered: int) -> int:
        """Units that the stake is enough for: what is locked for units, and what may be; of this a
        bond stays free, so that whoever is drawn can accuse."""
        desk, verifiers = self.desk, self.desk.verifiers
        spare, _ = verifiers.releasable(desk.account)
        free = desk.stakes.available(desk.account, verifiers.address) - desk.disputes.bond()
        return offered + (spare + max(free, 0)) // verifiers.unit_stake()

    def _release(self) -> bool:
        desk, verifiers = self.desk, self.desk.verifiers
        amount, until = verifiers.releasable(desk.account)
        if not amount or desk.now <= until or verifiers.duties(desk.account):
            return False
        return desk.attempt("release", lambda: verifiers.release(desk.account))
