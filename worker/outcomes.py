"""How a tick may end other than well. Needs nothing of what the ticks need."""

from __future__ import annotations


class Stopped(BaseException):
    """The worker is to end: whatever computes gives up at the end of a step.

    No `Exception`, so that nothing that deals with failures takes it for one.
    """


class TaskFailed(Exception):
    """Something went wrong with a task, which rests by itself, and nothing else was to be done."""

    def __init__(self, task: int, error: Exception) -> None:
        super().__init__(f"task {task}: {error}")
        self.task, self.error = task, error
