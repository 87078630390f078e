"""The clerk that anyone may be: moves tasks on whose deadline has passed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from worker.chain.randomness import Word
from worker.chain.types import Task
from worker.roles.base import Desk
from worker.roles.hearing import move_on
from worker.roles.words import Words


class Keeper:
    """Closes bidding, brings the words that draws wait for, draws, lapses, settles, expires; has
    the court hear accusations, ends those that are not unsealed or moot, calls time, punishes; and
    withdraws.

    Each of these anyone may do, so somebody else may have been faster: a refusal is no failure.

    own: only for tasks in which this account has a part: it pays for nobody else's. drand: servers
    of drand's rounds, for a market that draws by them.
    """

    name, lane = "keeper", "keeper"

    def __init__(self, desk: Desk, own: bool = False, drand: Sequence[str] = ()) -> None:
        self.desk, self.own, self.drand = desk, own, drand

    @cached_property
    def words(self) -> Words:
        return Words(self.desk.w3, self.desk.randomness, self.desk.attempt, self.drand)

    def tick(self) -> bool:
        did = self.desk.each_task(self._task, self.name)
        owed = self.desk.board.credit(self.desk.account)
        if owed and self.desk.attempt("withdraw", self.desk.market.withdraw):
            self.desk.on_event("paid", owed)
            self.desk.log.info("paid %d", owed, extra={"event": "paid", "amount": owed})
            return True
        return did

    def _task(self, number: int, task: Task) -> bool:
        if self.own and not self._has_part(number, task):
            return False
        if self.desk.board.queue(number).waits and move_on(self.desk, number, task):
            return True
        due = task.due(self.desk.now)
        if due == "draw":
            stands = self.desk.randomness.stands(task.draw_word)
            if stands != Word.TOLD:
                return stands == Word.NOT_KEPT and self.words.bring(task.draw_word)
        return bool(due) and self.desk.attempt(due, getattr(self.desk.market, due), number)

    def _has_part(self, number: int, task: Task) -> bool:
        me = self.desk.account
        if me in (task.requester, task.solver, task.verifier):
            return True
        found = self.desk.accusations(number) if self.desk.board.queue(number).waits else []
        return any(accusation.accuser == me for accusation in found)
