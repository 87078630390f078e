"""The court's moves for one dispute, each looked at once more before it is sent."""

from __future__ import annotations

from typing import Any, cast

from worker.chain.contracts import Court
from worker.chain.types import Dispute
from worker.dispute.court import CourtMoves
from worker.roles.base import Renumbered
from worker.roles.turns import Turns

MOVES = frozenset(name for name in vars(CourtMoves) if not name.startswith("_"))


class Steady:
    """Sends a move only while the dispute is the one that it was computed for.

    A move takes long to compute, and a reorganisation may have given the number to another dispute
    meanwhile: an honest answer to one question is a lie to another. While a move is mined, others
    compute.
    """

    def __init__(self, court: Court, dispute: Dispute, turns: Turns) -> None:
        self._court, self._claim, self._turns = court, dispute.claim, turns

    @classmethod
    def moves(cls, court: Court, dispute: Dispute, turns: Turns) -> CourtMoves:
        return cast(CourtMoves, cls(court, dispute, turns))

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._court, name)
        if name not in MOVES:
            return call

        def move(number: int, *arguments: Any) -> Any:
            with self._turns.aside():
                if self._court.dispute(number).claim != self._claim:
                    raise Renumbered(
                        f"dispute {number} is another one than it was: the chain was reorganised, "
                        "and no move is made"
                    )
                return call(number, *arguments)

        return move
