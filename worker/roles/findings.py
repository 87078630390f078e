"""What a verifier has found out about segments, by what they are."""

from __future__ import annotations

from worker.chain.types import Segment, Task
from worker.roles.base import Desk
from worker.roles.checking import Finding


class Findings:
    """Of segments as they were committed, from the states that they start from.

    A finding is a fact about a job, a first state, and a commitment: a task's number does not come
    into it, so that no reorganisation makes it another task's.
    """

    def __init__(self, desk: Desk) -> None:
        self._known = desk.memory()

    def get(self, task: Task, segment: int, start: bytes, committed: Segment) -> Finding | None:
        return self._known.get(_key(task, segment, start, committed))

    def put(
        self, task: Task, segment: int, start: bytes, committed: Segment, found: Finding
    ) -> None:
        self._known[_key(task, segment, start, committed)] = found


def _key(task: Task, segment: int, start: bytes, committed: Segment) -> tuple[object, ...]:
    return task.job, task.solver, segment, start, committed.state, committed.journal
