"""Roles of a worker that cheats, for `python -m worker run --roles tests.e2e.cheating:build`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worker.roles import Role
from worker.roles import build as honest
from worker.roles.segments import Segments
from worker.simulation import WrongState

STEP = 19  # the last of its segment


def build(*arguments: Any, **named: Any) -> Sequence[Role]:
    """The honest roles, of which the solver's computation is wrong in one bit."""
    roles = honest(*arguments, **named)
    for role in roles:
        if isinstance(role, Segments):  # whose desk all share
            role.desk.computation_of = WrongState.at(step=STEP, tensor=0, element=3)
    return roles
