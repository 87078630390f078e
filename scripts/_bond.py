"""What a dispute costs in tokens, so that a bond and a stake cover it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

BPS = 10_000
UNITS = 10**18


@dataclass(frozen=True, kw_only=True)
class GasPrices:
    """What the chain's coin and the token are reckoned at, and the gas of the longest dispute.

    price: wei for a unit of gas, at its dearest. token: wei that 10^18 of the token's smallest
    units are worth, at their cheapest. solver, challenger: gas that each side uses, at most, in a
    dispute that is played to its end.
    """

    price: int
    token: int
    solver: int
    challenger: int

    def tokens(self, gas: int) -> int:
        """The token's smallest units that pay for `gas`, rounded up."""
        return -(-gas * self.price * UNITS // self.token)

    def least_bond(self) -> int:
        """An accuser that is wrong leaves its bond to the solver, and so pays for its gas."""
        return self.tokens(self.solver)

    def least_floor_stake(self, finder_bps: int, bond: int) -> int:
        """A guilty solver's stake, of which who convicts it has more than its own gas.

        The finders' part pays the one that convicts a bond, and one half of what is left at the
        least; no less than a bond is left, as the contract wants it.
        """
        part = max(2 * bond, 2 * (self.tokens(self.challenger) + 1) - bond)
        return -(-part * BPS // finder_bps)


def least(gas: GasPrices, disputes: Mapping[str, int]) -> dict[str, int]:
    """By section and name: the least of each parameter that has to cover gas."""
    return {
        "disputes.bond": gas.least_bond(),
        "market.floorStake": gas.least_floor_stake(disputes["finderBps"], disputes["bond"]),
    }
