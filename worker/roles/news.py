"""What has happened to this worker: said in the log, and counted."""

from __future__ import annotations

from dataclasses import dataclass

from worker.chain.types import Status, Task
from worker.roles.base import Desk

BPS = 10_000


@dataclass(frozen=True)
class Happened:
    """event: assigned, drawn, accused, fined or slashed. amount: the token's smallest units that it
    costs."""

    event: str
    said: str
    amount: int = 0


class News:
    """Tells of every change in a task in which this worker has a part. Sends nothing.

    What was the case when the worker started is told once more then.
    """

    name, lane = "news", "keeper"

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._seen: dict[tuple[bytes, int], tuple[Task, int]] = {}
        self._late_bps: int | None = None

    def tick(self) -> bool:
        there = dict(self.desk.open_tasks(young=True))
        for number, task in there.items():
            self._look(number, task)
        for job, number in [key for key in self._seen if key[1] not in there]:
            # it is over, or the chain was reorganised
            if number < self.desk.market.tasks():
                task = self.desk.market.task(number)
                if task.job == job:
                    self._look(number, task)
            self._seen.pop((job, number), None)
        return False

    def _look(self, number: int, task: Task) -> None:
        key, me = (task.job, number), self.desk.account
        before = self._seen.get(key)
        accused = self.desk.board.queue(number).undecided
        if before == (task, accused) or me not in (task.solver, task.verifier):
            return
        self._seen[key] = task, accused
        known, accused_then = before or (None, 0)
        for news in self._between(known, task):
            self._say(number, task, news)
        if task.solver == me and accused > accused_then:
            self._say(number, task, Happened("accused", f"accused: {accused} accusations wait"))
        if task.status.is_over and not self.desk.board.queue(number).waits:
            self._seen.pop(key, None)

    def _say(self, number: int, task: Task, news: Happened) -> None:
        self.desk.on_event(news.event, news.amount)
        bad = news.event in ("accused", "fined", "slashed")
        say = self.desk.log.warning if bad else self.desk.log.info
        about = {"event": news.event, "task": number, "job": task.job.hex()}
        say("task %d: %s", number, news.said, extra=about)

    def _between(self, before: Task | None, task: Task) -> list[Happened]:
        """What has become of a task since it was last looked at."""
        me, found = self.desk.account, []
        is_new = before is None or before.status != task.status
        solves, checks = task.solver == me, task.verifier == me
        assigned = solves and task.status != Status.OPEN
        if assigned and (before is None or before.solver != me or before.status == Status.OPEN):
            said = f"assigned to this worker for {task.price}, until {task.commit_until}"
            found.append(Happened("assigned", said))
        if checks and (before is None or before.verifier != me):
            said = f"drawn to check segments {list(task.checked_segments)}"
            found.append(Happened("drawn", f"{said}, until {task.window_ends}"))
        if is_new and task.status == Status.CONDEMNED and solves:
            said = f"condemned: the stake of {task.solver_stake} is slashed"
            found.append(Happened("slashed", said, task.solver_stake))
        if is_new and task.status == Status.CONDEMNED and checks and task.attested:
            most = self.desk.market.liability(task.verifier_fee)
            said = f"condemned although attested: up to {most} is slashed"
            found.append(Happened("slashed", said, most))
        if is_new and task.status == Status.EXPIRED and solves:
            fine = self._part(task.max_price)
            found.append(Happened("fined", f"too late: fined {fine}", fine))
        if is_new and task.status == Status.SETTLED and checks and not task.attested:
            liability = self.desk.market.liability(task.verifier_fee)
            fine = min(self._part(liability), task.verifier_fee)
            found.append(Happened("fined", f"drawn, and not heard of: fined up to {fine}", fine))
        return found

    def _part(self, amount: int) -> int:
        """What silence costs of a maximum price or a liability."""
        if self._late_bps is None:
            self._late_bps = self.desk.market.parameters().late_penalty_bps
        return amount * self._late_bps // BPS
