"""What the market's tasks are, for all roles of a worker, kept up to date by events.

Nothing is read again that has not changed: a look at a chain on which nothing happened is one call,
however many tasks there have been.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from web3 import Web3

from worker.chain.contract import Contract
from worker.chain.contracts import Court, Disputes, Market
from worker.chain.errors import ChainError, ContractError
from worker.chain.files import read_json, write_json
from worker.chain.ledger import Card, Ledger, State
from worker.chain.reads import Head, heads, read_all
from worker.chain.types import Accusation, Dispute, Job, Queue, Task

log = logging.getLogger(__name__)
T = TypeVar("T")

SAVE = 60.0  # seconds between two savings of where the board stands
OLD = 5.0  # seconds after which nothing more is read of the block: nodes forget what it was like


class Board:
    """Open tasks with their jobs and accusations, and disputes. Any thread may ask.

    `refresh` brings it to the chain's tip, and is one call where no block was mined. After a
    reorganisation what the lost blocks were about is read again. Between two refreshes answers do
    not change; what is first asked for then is read as of the same block. What is not on the board
    any more, as it is over, is read from the chain each time.

    account: whose own transactions need no confirmations. confirmations: blocks that must stand
    above a task's last change before `open_tasks` shows it; one that is accused is shown at once,
    as a clock runs. fresh_seconds: for how long the tip counts as looked at, unless `own_block`
    (the block of the last own transaction) is ahead of it. saved: a file that spares a restart the
    tasks that were over.
    """

    def __init__(
        self,
        w3: Web3,
        market: Market,
        disputes: Disputes,
        court: Court,
        *,
        account: str = "",
        confirmations: int = 0,
        fresh_seconds: float = 0.0,
        own_block: Callable[[], int] = lambda: 0,
        saved: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if confirmations < 0:
            raise ValueError(f"{confirmations=} must not be negative")
        self._w3, self._market, self._disputes, self._court = w3, market, disputes, court
        self._ledger = Ledger(w3, market, disputes, court, account, confirmations)
        self._confirmations = confirmations
        self._fresh_seconds, self._own_block = fresh_seconds, own_block
        self._saved, self._clock = saved, clock
        self._lock = threading.RLock()
        self._state: State | None = None
        self._looked = self._wrote = float("-inf")
        self._next_time = 0

    # --- tasks -----------------------------------------------------------------------------------

    def open_tasks(self, *, young: bool = False) -> list[tuple[int, Task]]:
        """Tasks that are not over, or whose accusations are not, and old enough to be acted on;
        oldest first.

        young: those too whose last change is not `confirmations` deep.
        """
        with self._lock:
            state = self._known()
            ripe = state.head.number - self._confirmations
            return [
                (number, card.task)
                for number, card in sorted(state.cards.items())
                if young or card.changed <= ripe or card.queue.waits
            ]

    def task(self, number: int) -> Task:
        """Raises ContractError (`UnknownTask`) where there is none."""
        with self._lock:
            card = self._known().cards.get(number)
        return card.task if card else self._market.task(number)

    def job(self, number: int) -> Job:
        """The job that the task was posted with; `ValueError` where there is no such task."""
        card = self._learnt(number)
        return card.job if card and card.job else self._market.job(number)

    def queue(self, number: int) -> Queue:
        """How a task's accusations stand."""
        with self._lock:
            card = self._known().cards.get(number)
        return card.queue if card else self._disputes.queue(number)

    def opened(self, number: int, dispute: int) -> int:
        """The block in which a dispute of a task was opened, or an earlier one."""
        card = self._learnt(number)
        return ((card and card.starts) or {}).get(dispute, self._disputes.first_block)

    def _learnt(self, number: int) -> Card | None:
        with self._lock:
            state = self._known()
            card = state.cards.get(number)
            if card is not None and not card.is_learnt:
                self._ledger.learn(state)
            return state.cards.get(number)

    # --- disputes and money ----------------------------------------------------------------------

    def accusations(self, number: int) -> list[Accusation]:
        """Every accusation of a task by its number, decided or not."""
        wanted = [("accusation", number, n) for n in range(self.queue(number).filed)]
        found = self._read_all(wanted, self._disputes, "accusation", [w[1:] for w in wanted])
        return [Accusation.from_abi(values) for values in found]

    def stands(self, number: int, place: int) -> bool:
        """Whether an accusation was there as it is now `confirmations` blocks ago."""
        if not self._confirmations:
            return True
        reading = self._disputes.reading("accusation", number, place)
        with self._lock:
            block = self._known().head.number - self._confirmations
        try:
            then = Accusation.from_abi(reading.read(self._w3, block))
        except ContractError:
            return False
        return then == self.accusations(number)[place]

    def dispute(self, dispute: int) -> Dispute:
        wanted = [("dispute", dispute, 0)]
        return Dispute.from_abi(self._read_all(wanted, self._court, "dispute", [(dispute,)])[0])

    def credit(self, account: str) -> int:
        """What the market owes an account, in the token's smallest units."""
        wanted = [("credit", int(account, 16), 0)]
        return cast(int, self._read_all(wanted, self._market, "credit", [(account,)])[0])

    def _read_all(
        self,
        keys: Sequence[tuple[str, int, int]],
        contract: Contract,
        function: str,
        arguments: Sequence[tuple[Any, ...]],
    ) -> list[Any]:
        """As of the board's block, and once until an event is about it.

        Of that block and no later one: a node that lags behind would else give an older answer,
        which nothing would correct.
        """
        with self._lock:
            if self._clock() - self._looked > OLD:
                self.refresh()
            state = self._known()
            found = {key: state.memo[key] for key in keys if key in state.memo}
        asked = [(k, a) for k, a in zip(keys, arguments, strict=True) if k not in found]
        readings = [contract.reading(function, *a) for _, a in asked]
        for (key, _), value in zip(
            asked, read_all(self._w3, readings, state.head.number), strict=True
        ):
            if isinstance(value, ContractError):
                raise value
            found[key] = value
        with self._lock:
            if self._state is state:
                kept = {key: found[key] for key, _ in asked if self._is_kept(state, key)}
                state.memo.update(kept)
        return [found[key] for key in keys]

    def _is_kept(self, state: State, key: tuple[str, int, int]) -> bool:
        """Whether events tell when it is out of date, and when it may be forgotten."""
        what, number, _ = key
        if what == "accusation":
            return number in state.cards
        return what == "credit" or any(number in (c.starts or ()) for c in state.cards.values())

    # --- the tip ---------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """How many tasks there have been."""
        with self._lock:
            return self._known().count

    @property
    def block(self) -> int:
        """The tip that was last looked at."""
        with self._lock:
            return self._known().head.number

    @property
    def now(self) -> int:
        """Unix time of the block that is mined next, when the tip was last looked at."""
        with self._lock:
            self._known()
            return self._next_time

    def refresh(self) -> None:
        """Brings the board to the chain's tip.

        Raises `NodeError` where the node does not answer; the board is then as it was.
        """
        with self._lock:
            began, state = self._clock(), self._state
            fresh = began - self._looked < self._fresh_seconds
            if state is not None and fresh and self._own_block() <= state.head.number:
                return
            tip, pending = heads(self._w3, "latest", "pending")
            if tip is None:
                raise ChainError("the node has no latest block")
            if state is None:
                state = self._begun(tip)
            elif tip.hash != state.head.hash:
                state = self._ledger.follow(state, tip)
            # some nodes have no pending block: then the next one is mined from now on
            self._next_time = pending.time if pending else max(tip.time + 1, int(time.time()))
            self._state, self._looked = state, began
            self._save(state)

    def _known(self) -> State:
        if self._state is None:
            self.refresh()
        assert self._state is not None
        return self._state

    def _begun(self, tip: Head) -> State:
        """From what was saved, if its block is still on the chain; else from nothing."""
        try:
            there = read_json(self._saved) if self._saved else None
            if there and there["market"] == self._market.address and there["block"] <= tip.number:
                (block,) = heads(self._w3, int(there["block"]))
                if block is not None and block.hash.hex() == there["hash"]:
                    known = [int(number) for number in there["open"]]
                    return self._ledger.load(tip, known, int(there["count"]))
        except (ValueError, KeyError, TypeError):
            log.warning("%s is damaged; every task is read again", self._saved)
        return self._ledger.load(tip)

    def _save(self, state: State) -> None:
        if self._saved is None or self._clock() - self._wrote < SAVE:
            return
        self._wrote = self._clock()
        head = state.head
        where = {"market": self._market.address, "block": head.number, "hash": head.hash.hex()}
        write_json(self._saved, {**where, "count": state.count, "open": sorted(state.cards)})
