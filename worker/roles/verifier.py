"""The verifier: recomputes what it was drawn for, attests or accuses, and sees disputes through."""

from __future__ import annotations

from worker.roles.base import Desk, Part
from worker.roles.checks import Checks
from worker.roles.prosecution import Prosecution


class Verifier:
    """Acts on the chain's state alone. With `volunteer` it checks every task, drawn or not.

    Its parts are roles that may be played on threads of their own; `tick` plays them in turn.
    """

    def __init__(self, desk: Desk, volunteer: bool = False) -> None:
        self.desk = desk
        self.checks = Checks(desk, volunteer)
        self.prosecution = Prosecution(desk, self.checks)
        self.name = self.checks.name

    @property
    def parts(self) -> list[Part]:
        return [self.prosecution, self.checks]

    def tick(self) -> bool:
        did = [part.tick() for part in self.parts]
        return any(did)
