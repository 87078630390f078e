"""A solver's states and journals: read where they are kept, made again where they are lost."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from worker.chain.types import Task
from worker.jobs import Journal, SegmentResult
from worker.roles.artifacts import STATE, load_state, put_result
from worker.roles.base import Desk
from worker.roles.checkpoint import Checkpoint
from worker.store import StoreError


class States:
    """Of the tasks that this worker solves. Holds the last state made, for what follows."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._held: Checkpoint | None = None

    def start(self, number: int, task: Task, segment: int) -> Checkpoint:
        """The state that a segment starts from; made again where the store has lost it."""
        desk = self.desk
        program = desk.computation(number, task).program
        job = desk.job(number, task)
        root = job.state if segment == 0 else desk.market.segment(number, segment - 1).state
        held = self._held
        if held is not None and held.root == root and desk.store.has(STATE, root):
            return held
        try:
            return Checkpoint(root, load_state(desk.store, program, root))
        except StoreError as error:
            if segment == 0:
                raise
            desk.log.warning("task %d: %s; computing it again", number, error)
        before = self.start(number, task, segment - 1)
        computation = desk.computation(number, task)
        progress = desk.progress_of(number, segment - 1, job)
        return self.put(
            number, task, before, computation.run_segment(segment - 1, before.state, progress)
        )

    def put(self, number: int, task: Task, start: Checkpoint, result: SegmentResult) -> Checkpoint:
        """Publishes what a segment has computed, and holds its last state for the next one."""
        end = start.after(result.state)
        program = self.desk.computation(number, task).program
        put_result(self.desk.store, program, result.reports, start, end)
        self._held = end
        return end

    def let_go(self) -> None:
        """The task is done with: its memory is free again."""
        self._held = None

    def journal(
        self, number: int, task: Task, segment: int, reports: Sequence[Sequence[Tensor]]
    ) -> Journal:
        """A segment's journal, whose salts only this worker knows."""
        steps = self.desk.job(number, task).segment_range(segment)
        domain = self.desk.task_domain(number)
        return Journal.make(self.desk.owner, self.desk.secret, domain, steps, reports)
