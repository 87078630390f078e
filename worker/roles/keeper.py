"""The clerk that anyone may be: moves tasks on whose deadline has passed."""

from __future__ import annotations

from collections.abc import Callable

from worker.chain.contracts import Receipt
from worker.chain.errors import ContractError, Failed
from worker.chain.types import Status, Task
from worker.roles.base import Desk


class Keeper:
    """Closes bidding, draws, settles, expires, calls time, dismisses what is moot, and withdraws.

    Each of these anyone may do, so somebody else may have been faster: the call is simulated first,
    and a refusal is no failure.
    """

    name = "keeper"

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def tick(self) -> bool:
        did = False
        for number, task in self.desk.open_tasks():
            did = self._task(number, task) or did
        if self.desk.market.credit(self.desk.account):
            did = self._try("withdraw", self.desk.market.withdraw) or did
        return did

    def _task(self, number: int, task: Task) -> bool:
        market, now = self.desk.market, self.desk.now
        if task.open_disputes and self._disputes(number, task):
            return True
        if task.status == Status.OPEN and now > task.bid_until:
            return self._try("close", market.close, number)
        if task.status == Status.COMMITTED and self._block() > task.draw_block:
            return self._try("draw", market.draw, number)
        if task.open_disputes:
            return False
        if task.status == Status.VERIFYING and now > task.window_ends:
            return self._try("settle", market.settle, number)
        if task.status == Status.ASSIGNED and now > task.commit_until:
            return self._try("expire", market.expire, number)
        return False

    def _disputes(self, number: int, task: Task) -> bool:
        market, court = self.desk.market, self.desk.court
        for challenge in market.challenges(number):
            if not market.challenge_of(challenge.dispute).open:
                continue
            if task.status == Status.CONDEMNED:
                return self._try("dismiss", market.dismiss, challenge.dispute)
            if court.dispute(challenge.dispute).seconds_left(self.desk.now) < 0:
                return self._try("call time", court.call_time, challenge.dispute)
        return False

    def _block(self) -> int:
        # the block that the next transaction stands in, at the least
        return self.desk.w3.eth.block_number + 1

    def _try(self, what: str, call: Callable[..., Receipt], *arguments: int) -> bool:
        try:
            receipt = call(*arguments)
        except (ContractError, Failed) as error:
            self.desk.log.debug("%s %s was refused: %s", what, arguments, error)
            return False
        self.desk.log.info("%s %s", what, arguments, extra={"gas": receipt.gas})
        return True
