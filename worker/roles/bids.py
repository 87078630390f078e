"""Bidding: for what was looked at, and can be done."""

from __future__ import annotations

from collections.abc import Callable

from worker.chain.types import Job, Status, Task
from worker.jobs import JobMismatch
from worker.program import MalformedProgram
from worker.roles.artifacts import load_state
from worker.roles.base import Desk

# what a worker asks for a task, or None to let it be
Pricing = Callable[[Task, Job], int | None]


class Bids:
    """Looks at every task that is open, once, and bids for what this worker can do."""

    name, lane = "bids", "bids"

    def __init__(self, desk: Desk, pricing: Pricing) -> None:
        self.desk, self.pricing = desk, pricing
        self._refused = desk.memory()

    def tick(self) -> bool:
        return self.desk.each_task(self._act, self.name)

    def _act(self, number: int, task: Task) -> bool:
        is_open = task.status == Status.OPEN and self.desk.now <= task.bid_until
        return is_open and task.solver != self.desk.account and self._bid(number, task)

    def _bid(self, number: int, task: Task) -> bool:
        offer = (task.job, number, task.max_price, task.bid_until, task.commit_until)
        if offer in self._refused:
            return False
        desk, market, me = self.desk, self.desk.market, self.desk.account
        if any(bid.worker == me for bid in market.bids(number)):
            return False
        job = desk.job(number, task)
        price = self.pricing(task, job)
        if price is None or price > task.max_price:
            return self._refuse(offer, f"it pays at most {task.max_price} for {job.steps} steps")
        needed = market.solver_stake(price, task.segments, task.checks)
        if desk.stakes.free(me) < needed:
            # stake that another task has locked may be free again in time
            desk.log.info("task %d needs a stake of %d to bid", number, needed)
            return False
        try:
            # a StoreError is no reason to refuse: what is missing may be published yet
            load_state(desk.store, desk.computation(number, task).program, job.state)
        except (MalformedProgram, JobMismatch, ValueError) as error:
            return self._refuse(offer, str(error))
        desk.check_still(number, task)
        market.bid(number, price)
        desk.log.info("bid %d for task %d", price, number)
        return True

    def _refuse(self, offer: tuple[bytes, int, int, int, int], reason: str) -> bool:
        self._refused[offer] = reason
        self.desk.log.warning("task %d is not for us: %s", offer[1], reason)
        return False
