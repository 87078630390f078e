"""What anyone may do so that a task's accusations come to an end."""

from __future__ import annotations

from worker.chain.dues import due
from worker.chain.types import Task
from worker.roles.base import Desk


def move_on(desk: Desk, number: int, task: Task) -> bool:
    """Has the next one heard, ends what nobody unsealed or what is moot, calls time, has whoever
    found a guilty solver paid: the first of these that is due. Somebody else may be faster."""
    queue, now = desk.board.queue(number), desk.now
    if queue.running and not queue.convicting:
        late = desk.board.dispute(queue.dispute).seconds_left(now) < 0
        return late and desk.attempt("call time", desk.court.call_time, queue.dispute)
    what, numbers = due(queue, desk.accusations(number), now, desk.disputes.open_time())
    if not what:
        return False
    told = (number, desk.job(number, task)) if what == "start" else (number, *numbers)
    return desk.attempt(what, getattr(desk.disputes, what), *told)
