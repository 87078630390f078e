"""The work itself: computes segments, publishes them, and commits to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from worker.chain.types import Segment, Status, Task
from worker.jobs import SegmentResult
from worker.roles.ahead import Ahead
from worker.roles.artifacts import JOURNAL
from worker.roles.base import Desk
from worker.roles.checkpoint import Checkpoint
from worker.roles.states import States
from worker.roles.turns import Rank

# Segments in one transaction, at most: whoever is restarted has so many to compute again.
MOST_TOGETHER = 8


class Segments:
    """One commitment a tick, of the task whose deadline is nearest."""

    name, lane = "solver", "work"

    def __init__(self, desk: Desk, states: States) -> None:
        self.desk, self.states = desk, states
        self._ahead: Ahead[SegmentResult] = Ahead()
        self._mine = desk.memory()

    def tick(self) -> bool:
        did = self.desk.each_task(self._act, self.name, due=lambda task: task.commit_until)
        if not self._mine:  # of what is over nothing is held
            self.states.let_go()
            self._ahead.drop()
        return did

    def _act(self, number: int, task: Task) -> bool:
        if task.solver != self.desk.account or task.status != Status.ASSIGNED:
            return False
        if self.desk.now > task.commit_until:
            return False
        self._mine[task.job,] = number
        return self._commit(number, task)

    def _commit(self, number: int, task: Task) -> bool:
        """Commits the next segment, and with it those behind it that are computed by then.

        Publishing those first puts nothing at risk: a task of which a segment is missing at the
        deadline pays for none.
        """
        first = task.committed
        with self.desk.turns.turn(Rank.WORK, task.commit_until):
            start = self.states.start(number, task, first)
        segment, end = self._make(number, task, first, start)
        made = [segment]
        while len(made) < MOST_TOGETHER and self._ahead.is_done((task.job, first + len(made))):
            try:
                segment, end = self._make(number, task, first + len(made), end)
            except Exception as error:
                # no reason to be late with the others; the next tick meets it again, alone
                self.desk.log.warning("task %d segment %d: %s", number, first + len(made), error)
                break
            made.append(segment)
        self.desk.check_still(number, task)
        if len(made) == 1:
            self.desk.market.commit_segment(number, first, segment.state, segment.journal)
        else:
            self.desk.market.commit_segments(number, first, made)
        if first + len(made) == task.segments:
            self.states.let_go()
        for k, segment in enumerate(made, start=first):
            self.desk.on_segment(self.name)
            self.desk.log.info(
                "committed segment %d of task %d: %s", k, number, segment.state.hex()
            )
        return True

    def _make(
        self, number: int, task: Task, segment: int, start: Checkpoint
    ) -> tuple[Segment, Checkpoint]:
        """Computes a segment and publishes it: what to commit, and the state at its end."""
        key = (task.job, segment)
        result = self._ahead.take(key, self._running(number, task, segment, start.state))
        if segment + 1 < task.segments:
            # hashing, storing and the chain take their time: the next segment need not wait
            following = self._running(number, task, segment + 1, result.state)
            self._ahead.start((task.job, segment + 1), following)
        journal = self.states.journal(number, task, segment, result.reports)
        self.desk.roots.put(task, segment, start.root, result.roots)
        # artifacts first: whoever sees the commitment can fetch what it commits to
        end = self.states.put(number, task, start, result)
        self.desk.store.put_bytes(JOURNAL, journal.root, journal.to_bytes())
        return Segment(end.root, journal.root), end

    def _running(
        self, number: int, task: Task, segment: int, state: Sequence[Tensor]
    ) -> Callable[[], SegmentResult]:
        computation = self.desk.computation(number, task)
        progress = self.desk.progress_of(number, segment, computation.job)
        points = self.desk.first_question(number, task, segment)

        def run() -> SegmentResult:
            with self.desk.turns.turn(Rank.WORK, task.commit_until):
                return computation.run_segment(segment, state, progress, points)

        return run
