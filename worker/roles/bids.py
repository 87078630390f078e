"""Bidding: for what was looked at, can be done in time, and pays what it costs."""

from __future__ import annotations

from worker.chain.types import Job, Status, Task
from worker.jobs import Differs, JobMismatch, Measured, measure, replays
from worker.program import MalformedProgram
from worker.roles.artifacts import load_state
from worker.roles.base import Desk
from worker.roles.kept import Kept
from worker.roles.pricing import Pricing
from worker.roles.promises import SHARE, Promise, shortage
from worker.roles.sizes import state_bytes
from worker.roles.turns import Rank
from worker.store import StoreError

PROGRAMS = 256  # whose speed is remembered
Offer = tuple[bytes, int, int, int, int]


class Bids:
    """Looks at every task that is open, and bids for what this worker can do.

    Some steps of the job are run here first, native code beside the interpreter. Half of the time
    must do for all that is promised, the nearest deadline first; and half of a dispute's clock for
    the answers to it.
    """

    name, lane = "bids", "bids"

    def __init__(self, desk: Desk, pricing: Pricing) -> None:
        self.desk, self.pricing = desk, pricing
        self._refused = desk.memory()
        self._told = desk.memory()
        self._speeds: Kept[bytes, Measured] = Kept(PROGRAMS)

    def tick(self) -> bool:
        return self.desk.each_task(self._act, self.name)

    def _act(self, number: int, task: Task) -> bool:
        is_open = task.status == Status.OPEN and self.desk.now <= task.bid_until
        return is_open and task.solver != self.desk.account and self._bid(number, task)

    def _bid(self, number: int, task: Task) -> bool:
        offer = (task.job, number, task.max_price, task.bid_until, task.commit_until)
        desk, market = self.desk, self.desk.market
        if offer in self._refused or self._has_bid(number):
            return False
        job = desk.job(number, task)
        if reason := self._outside(task, job):
            return self._refuse(offer, reason)
        try:
            # a StoreError is no reason to refuse: what is missing may be published yet
            speed = self.speed(number, task)
        except Differs as error:
            desk.log.error("NO BIDS for task %d: %s", number, error)
            return self._refuse(offer, str(error))
        except (MalformedProgram, JobMismatch, ValueError) as error:
            return self._refuse(offer, str(error))
        mine = self._promise(number, task, speed, range(task.segments))
        if (alone := shortage([mine], desk.now)) is not None:
            return self._refuse(offer, str(alone))
        if reason := self._unanswerable(number, task, speed):
            return self._refuse(offer, reason)
        price = self.pricing(task, job, mine.seconds)
        if price is None or price > task.max_price:
            return self._refuse(
                offer, f"it takes {mine.seconds:.3g} s here, and pays at most {task.max_price}"
            )
        if short := shortage([*self.promised(number), mine], desk.now):
            return self._wait(offer, f"too much is promised for now: {short}")
        needed = market.solver_stake(price, task.segments, task.checks)
        if desk.free_stake() < needed:
            # stake that another task has locked may be free again in time
            return self._wait(offer, f"it needs a stake of {needed}")
        desk.check_still(number, task)
        market.bid(number, price)
        desk.log.info("bid %d for task %d (%.3g s of work)", price, number, mine.seconds)
        return True

    # what there is to know of a task

    def _outside(self, task: Task, job: Job) -> str:
        limits = self.desk.limits
        for what, value, field, most in (
            ("steps", job.steps, "max_steps", limits.max_steps),
            ("steps a segment", job.segment_steps, "max_segment_steps", limits.max_segment_steps),
        ):
            if value > most:
                return f"it has {value} {what}, and jobs.{field} allows {most}"
        if task.max_price < limits.min_price:
            return f"it pays at most {task.max_price}, and jobs.min_price is {limits.min_price}"
        return ""

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

        return self._speeds.get(job.program, measured)

    def _promise(self, number: int, task: Task, speed: Measured, segments: range) -> Promise:
        """The work of some of the task's segments."""
        job = self.desk.job(number, task)
        steps = sum(len(job.segment_range(s)) for s in segments)
        begins = task.bid_until if task.status == Status.OPEN else 0
        return Promise(
            f"task {number}", speed.work(steps, len(segments)), begins, task.commit_until
        )

    def _unanswerable(self, number: int, task: Task, speed: Measured) -> str:
        """Why half of a dispute's clock would not do; empty where it does."""
        desk = self.desk
        job, program = desk.job(number, task), desk.computation(number, task).program
        clock, bits = desk.court.clock(), desk.court.arity_bits()
        times = replays(job, state_bytes(program), desk.limits.kept_bytes, bits)
        seconds = speed.answers(min(job.steps, job.segment_steps), times)
        if seconds <= SHARE * clock:
            return ""
        return (
            f"the answers in a dispute about a segment take {seconds:.3g} s here, and the court's "
            f"clock is {clock} s, of which half must do"
        )

    # what was promised before

    def promised(self, beside: int) -> list[Promise]:
        """All that this worker has to do, and may have to by its bids, but for one task."""
        found, me = [], self.desk.account
        for number, task in self.desk.open_tasks(young=True):
            if number == beside or not self._is_promised(number, task):
                continue
            try:
                speed = self.speed(number, task)
            except (StoreError, ValueError) as error:
                # it cannot be computed, so it takes no time either
                self.desk.log.warning("task %d is promised, and cannot be: %s", number, error)
                continue
            if task.solver == me or task.status == Status.OPEN:
                left = range(task.committed, task.segments)
                found.append(self._promise(number, task, speed, left))
            else:
                job = self.desk.job(number, task)
                steps = sum(len(job.segment_range(s)) for s in task.checked_segments)
                seconds = speed.work(steps, len(task.checked_segments))
                found.append(Promise(f"check of task {number}", seconds, 0, task.window_ends))
        return found

    def _is_promised(self, number: int, task: Task) -> bool:
        me = self.desk.account
        if task.status == Status.OPEN:
            return self._has_bid(number)
        if task.status == Status.VERIFYING:
            return task.verifier == me and not task.attested
        return task.status == Status.ASSIGNED and task.solver == me

    def _has_bid(self, number: int) -> bool:
        return any(bid.worker == self.desk.account for bid in self.desk.board.bids(number))

    # letting be

    def _refuse(self, offer: Offer, reason: str) -> bool:
        self._refused[offer] = reason
        self.desk.log.warning("task %d is not for us: %s", offer[1], reason)
        return False

    def _wait(self, offer: Offer, reason: str) -> bool:
        """No bid now; said once, and looked at again as long as bids are taken."""
        if self._told.get(offer) is None:
            self.desk.log.info("no bid yet for task %d: %s", offer[1], reason)
        self._told[offer] = reason
        return False
