"""The solver: bids, computes segments, commits them, and answers when accused."""

from __future__ import annotations

from worker.roles.answers import Answers
from worker.roles.base import Desk, Part
from worker.roles.bids import Bids
from worker.roles.pricing import Pricing
from worker.roles.segments import Segments
from worker.roles.states import States


class Solver:
    """Acts on the chain's state alone: how far a task is stands there, and its states in the store.

    A restarted solver goes on from the last committed segment and commits what it would have. Its
    parts are roles that may be played on threads of their own; `tick` plays them in turn.
    """

    name = "solver"

    def __init__(self, desk: Desk, pricing: Pricing) -> None:
        self.desk = desk
        self.answers = Answers(desk, States(desk))
        self.segments = Segments(desk, States(desk))
        self.bids = Bids(desk, pricing)

    @property
    def parts(self) -> list[Part]:
        return [self.answers, self.segments, self.bids]

    def tick(self) -> bool:
        did = [part.tick() for part in self.parts]
        return any(did)
