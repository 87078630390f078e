"""What every role has in hand."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor
from web3 import Web3

from worker.chain.contracts import Court, Market, Receipt, Stakes, Token
from worker.chain.errors import ChainError, ContractError, Failed
from worker.chain.types import Job, Task
from worker.jobs import Computation, Progress
from worker.program import Program
from worker.store import Store, StoreError

ComputationOf = Callable[[Job, Program, Sequence[Tensor]], Computation]
# told (task, segment, steps done, steps of the segment) while something is computed
OnProgress = Callable[[int, int, int, int], None]


class Role(Protocol):
    """One thing a worker does."""

    name: str

    def tick(self) -> bool:
        """Does what is next, given the chain's state alone; True when it did something."""
        ...


@dataclass
class Desk:
    """One worker's account, its clients of the chain, and its store.

    secret: 32 bytes known to this worker alone, from which the salts of its journals come; the same
    after a restart. token: from which a challenge's bond is paid; without it, the account must have
    approved the market.
    """

    w3: Web3
    account: str
    secret: bytes
    market: Market
    court: Court
    stakes: Stakes
    store: Store
    token: Token | None = None
    computation_of: ComputationOf = Computation
    on_progress: OnProgress | None = None
    on_segment: Callable[[str], None] = lambda role: None
    on_dispute: Callable[[str, str], None] = lambda role, outcome: None
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("worker.roles"))
    _over: set[int] = field(default_factory=set)
    _jobs: dict[int, Job] = field(default_factory=dict)

    @property
    def now(self) -> int:
        """Unix time of the block that is mined next: what a deadline will be compared with."""
        return int(self.w3.eth.get_block("pending")["timestamp"])

    @property
    def owner(self) -> bytes:
        """The account's address, 20 bytes."""
        return bytes.fromhex(self.account[2:])

    def task_domain(self, task: int) -> bytes:
        """Chain, market and task, for salts: the same task number elsewhere gives others."""
        market = bytes.fromhex(self.market.address[2:])
        return self.w3.eth.chain_id.to_bytes(32, "big") + market + task.to_bytes(32, "big")

    def open_tasks(self) -> list[tuple[int, Task]]:
        """All tasks that are not over, oldest first."""
        found = []
        for number in range(self.market.tasks()):
            if number not in self._over:
                task = self.market.task(number)
                if task.status.is_over and not task.open_disputes:
                    self._over.add(number)
                found.append((number, task))
        return found

    def each_task(self, act: Callable[[int, Task], bool]) -> bool:
        """Acts on every open task; True where something was done.

        One task must not keep a worker from the others, or a stranger could post one for that: what
        fails is left for a later tick, and raised where nothing else was to be done.
        """
        did, failed = False, None
        for number, task in self.open_tasks():
            try:
                did = act(number, task) or did
            except StoreError as error:
                self.log.error("task %d: %s", number, error)
            except Exception as error:
                if isinstance(error, ChainError) and not isinstance(error, ContractError):
                    raise  # the node's trouble, or the account's, and so every task's
                self.log.error("task %d: %s", number, error)
                failed = failed or error
        if failed is not None and not did:
            raise failed
        return did

    def attempt(self, what: str, call: Callable[..., Receipt], *arguments: int) -> bool:
        """Does what anyone may do, so that somebody else may have been faster: the call is
        simulated first, and False says that it was refused."""
        try:
            receipt = call(*arguments)
        except (ContractError, Failed) as error:
            self.log.debug("%s %s was refused: %s", what, arguments, error)
            return False
        self.log.info("%s %s", what, arguments, extra={"gas": receipt.gas})
        return True

    def job(self, task: int) -> Job:
        """The job that the task was posted with; read once, as it never changes."""
        if task not in self._jobs:
            self._jobs[task] = self.market.job(task)
        return self._jobs[task]

    def progress_of(self, task: int, segment: int) -> Progress | None:
        """The progress callback of one segment."""
        report = self.on_progress
        if report is None:
            return None
        total = len(self.job(task).segment_range(segment))
        return lambda done: report(task, segment, done, total)
