"""What may be promised: only what this machine can do, and defend, beside all that is promised."""

from __future__ import annotations

from contextlib import suppress

from worker.chain.types import Accusation, Status, Task
from worker.jobs import Measured, measure, moves, replays
from worker.roles.artifacts import load_state
from worker.roles.base import Desk
from worker.roles.promises import Duty, Promise
from worker.roles.sizes import state_bytes
from worker.roles.turns import Rank
from worker.store import StoreError


class Admission:
    """Times a task's steps here, and knows what is promised already."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def speed(self, number: int, task: Task) -> Measured:
        """How fast the task's steps are here; measured once for a program.

        Raises what loading a computation does, and Differs.
        """
        desk = self.desk
        job = desk.job(number, task)

        def measured() -> Measured:
            computation = desk.computation(number, task)
            state = load_state(desk.store, computation.program, job.state)
            with desk.turns.turn(Rank.MEASURE, desk.now):
                return measure(computation, state, desk.turns.between)

        return desk.speeds.get(job.program, measured)

    def work(self, number: int, task: Task, speed: Measured, segments: range) -> Promise:
        """The work of some of the task's segments."""
        job = self.desk.job(number, task)
        steps = sum(len(job.segment_range(s)) for s in segments)
        begins = task.bid_until if task.status == Status.OPEN else 0
        return Promise(
            f"task {number}", speed.work(steps, len(segments)), begins, task.commit_until
        )

    def duty(self, number: int, task: Task, speed: Measured) -> Duty:
        """One side of the longest dispute about one of the task's segments: replaying it, tracing a
        step, and each move noticed, sent and mined."""
        desk = self.desk
        job, program = desk.job(number, task), desk.computation(number, task).program
        bits, steps = desk.court.arity_bits(), min(job.steps, job.segment_steps)
        times = replays(job, state_bytes(program), desk.limits.kept_bytes, bits)
        sent = moves(program, steps, bits) * desk.move_seconds()
        # an answer waits for the step that is under way, whosever it is
        seconds = speed.answers(steps, times, bits) + sent + speed.step
        return Duty(f"task {number}", seconds, task.clock)

    def promised(self, beside: int) -> list[tuple[Promise | None, Duty]]:
        """All that this worker has to do, and may have to by its bids, but for one task: the work
        that is left, and the disputes that there may be."""
        found: list[tuple[Promise | None, Duty]] = []
        for number, task in self.desk.open_tasks(young=True):
            if number == beside or not (self._solves(task) or self._checks(number, task)):
                continue
            try:
                speed = self.speed(number, task)
                duty = self.duty(number, task, speed)
            except (StoreError, ValueError) as error:
                # it cannot be computed, so it takes no time either
                self.desk.log.warning("task %d is promised, and cannot be: %s", number, error)
                continue
            found.append((self._work_left(number, task, speed), duty))
        return found

    def disputed(self, beside: int) -> list[Duty]:
        """Disputes that there may be about what this worker solves, and about what it accuses; but
        for one task."""
        found = []
        for number, task in self.desk.open_tasks(young=True):
            mine = task.solver == self.desk.account and not task.status.is_over
            if number != beside and (mine or self.accuses(number, task)):
                with suppress(StoreError, ValueError):
                    found.append(self.duty(number, task, self.speed(number, task)))
        return found

    def reserve(self) -> int:
        """Stake that is kept free: the least bond for each check that was drawn and is not over."""
        duties = sum(
            task.verifier == self.desk.account
            and task.status == Status.VERIFYING
            and not task.attested
            and not any(a.privileged for a in self._own(number))
            for number, task in self.desk.open_tasks(young=True)
        )
        return duties * self.desk.disputes.bond() if duties else 0

    # what is promised

    def _work_left(self, number: int, task: Task, speed: Measured) -> Promise | None:
        me = self.desk.account
        if task.status == Status.OPEN or (task.solver == me and task.status == Status.ASSIGNED):
            return self.work(number, task, speed, range(task.committed, task.segments))
        if task.solver == me or task.attested:
            return None
        job = self.desk.job(number, task)
        steps = sum(len(job.segment_range(s)) for s in task.checked_segments)
        seconds = speed.work(steps, len(task.checked_segments))
        return Promise(f"check of task {number}", seconds, 0, task.window_ends)

    def _solves(self, task: Task) -> bool:
        """It may be accused, or has the best bid for a task in which it may be."""
        return task.solver == self.desk.account and not task.status.is_over

    def _checks(self, number: int, task: Task) -> bool:
        """It may accuse, or has."""
        if task.status == Status.VERIFYING and task.verifier == self.desk.account:
            return not task.attested
        return self.accuses(number, task)

    def accuses(self, number: int, task: Task) -> bool:
        """A dispute of its own may come, or runs."""
        waits = bool(task.committed) and not task.status.is_over
        return waits and any(not a.standing.is_decided for a in self._own(number))

    def _own(self, number: int) -> list[Accusation]:
        return [a for a in self.desk.accusations(number) if a.accuser == self.desk.account]
