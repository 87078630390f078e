"""Bidding: for what was looked at, can be done in time, and pays what it costs."""

from __future__ import annotations

from worker.chain.types import Job, Status, Task
from worker.jobs import Differs, JobMismatch
from worker.program import MalformedProgram
from worker.roles.admission import Admission
from worker.roles.base import Desk
from worker.roles.pricing import Pricing
from worker.roles.promises import crowd, shortage

Offer = tuple[bytes, int, int, int, int]


class Bids:
    """Looks at every task that is open, and bids for what this worker can do.

    Some steps of the job are run here first, native code beside the interpreter. Half of the time
    must do for all that is promised, the nearest deadline first; and a quarter of a dispute's clock
    for the answers to it, though every task of this worker's were disputed at once.
    """

    name, lane = "bids", "bids"

    def __init__(self, desk: Desk, pricing: Pricing) -> None:
        self.desk, self.pricing, self.admission = desk, pricing, Admission(desk)
        self._refused = desk.memory()
        self._told = desk.memory()

    def tick(self) -> bool:
        return self.desk.each_task(self._act, self.name)

    def _act(self, number: int, task: Task) -> bool:
        is_open = task.status == Status.OPEN and self.desk.now <= task.bid_until
        return is_open and task.solver != self.desk.account and self._bid(number, task)

    def _bid(self, number: int, task: Task) -> bool:
        offer = (task.job, number, task.max_price, task.bid_until, task.commit_until)
        desk, market = self.desk, self.desk.market
        if offer in self._refused:
            return False
        job = desk.job(number, task)
        if reason := self._outside(task, job):
            return self._refuse(offer, reason)
        try:
            # a StoreError is no reason to refuse: what is missing may be published yet
            speed = self.admission.speed(number, task)
        except Differs as error:
            desk.log.error("NO BIDS for task %d: %s", number, error)
            return self._refuse(offer, str(error))
        except (MalformedProgram, JobMismatch, ValueError) as error:
            return self._refuse(offer, str(error))
        mine = self.admission.work(number, task, speed, range(task.segments))
        if (alone := shortage([mine], desk.now)) is not None:
            return self._refuse(offer, str(alone))
        duty = self.admission.duty(number, task, speed)
        if (moves := crowd([duty])) is not None:
            return self._refuse(offer, str(moves))
        price = self.pricing(task, job, mine.seconds)
        if price is None or price > task.max_price:
            return self._refuse(
                offer, f"it takes {mine.seconds:.3g} s here, and pays at most {task.max_price}"
            )
        if task.has_solver and price >= task.price:
            return self._wait(offer, f"it takes {price} here, and {task.price} is bid")
        promised = self.admission.promised(number)
        work = [promise for promise, _ in promised if promise is not None]
        much = shortage([*work, mine], desk.now) or crowd([*(d for _, d in promised), duty])
        if much is not None:
            return self._wait(offer, f"too much is promised for now: {much}")
        needed = market.solver_stake(task.max_price, task.segments, task.checks)
        kept = self.admission.reserve()
        if desk.free_stake() < needed + kept:
            # stake that another task has locked may be free again in time
            beside = f", beside {kept} that are kept for bonds" if kept else ""
            return self._wait(offer, f"it needs a stake of {needed}{beside}")
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
