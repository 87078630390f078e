"""The market's open tasks at one block: read from nothing, or brought up to date by events."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from web3 import Web3

from worker.chain.contracts import Court, Disputes, Market
from worker.chain.decoding import topic_of
from worker.chain.errors import ContractError
from worker.chain.events import (
    Accused,
    Attested,
    BidPlaced,
    BidWithdrawn,
    CourtEvent,
    Credited,
    CreditWithdrawn,
    DataDemanded,
    DisputesEvent,
    Event,
    MarketEvent,
    Posted,
    SegmentCommitted,
    Started,
)
from worker.chain.reads import Head, heads, read_all
from worker.chain.scan import OVERLAP, TRAIL, read_events
from worker.chain.types import Job, Queue, Status, Task

log = logging.getLogger(__name__)


NO_QUEUE = Queue(0, 0, 0, 0, 0, 0, 0, 0, 0, False)  # of a task that nobody ever accused


@dataclass(frozen=True)
class Card:
    """One task that is not over. None: not read yet, since it was posted before we looked."""

    task: Task
    queue: Queue = NO_QUEUE
    job: Job | None = None
    starts: Mapping[int, int] | None = None  # the block in which each of its disputes was opened
    changed: int = 0  # the block of the last event that was not our own

    @property
    def is_learnt(self) -> bool:
        return self.job is not None and self.starts is not None


@dataclass(frozen=True)
class Step:
    """A block up to which events have been read, and the tasks that they were about."""

    number: int
    hash: bytes
    tasks: frozenset[int]
    seen: frozenset[str]  # identities of its events, as its last blocks are read again

    @classmethod
    def to(cls, tip: Head, events: Iterable[Event]) -> Step:
        events = list(events)
        return cls(
            tip.number, tip.hash, _tasks(events), frozenset(e.place.identity for e in events)
        )


@dataclass
class State:
    """memo: what was read when it was asked for, until an event is about it: of a dispute, of an
    account's credit, of an accusation of a task."""

    head: Head
    count: int = 0  # tasks that were ever posted
    cards: dict[int, Card] = field(default_factory=dict)
    memo: dict[tuple[str, int, int], Any] = field(default_factory=dict)
    trail: deque[Step] = field(default_factory=lambda: deque(maxlen=TRAIL))

    def copy(self, head: Head) -> State:
        return State(
            head,
            self.count,
            dict(self.cards),
            dict(self.memo),
            deque(self.trail, maxlen=TRAIL),
        )

    def drop(self, task: int) -> None:
        """Forgets a task, with its accusations and its disputes."""
        card = self.cards.pop(task, None)
        for dispute in (card and card.starts) or ():
            self.memo.pop(("dispute", dispute, 0), None)
        for number in range(card.queue.filed if card else 0):
            self.memo.pop(("accusation", task, number), None)


class Ledger:
    """Makes one state out of another. account: whose own transactions need no confirmations."""

    def __init__(
        self,
        w3: Web3,
        market: Market,
        disputes: Disputes,
        court: Court,
        account: str,
        confirmations: int,
    ) -> None:
        self._w3, self._market, self._disputes, self._court = w3, market, disputes, court
        self._account, self._confirmations = account.lower(), confirmations

    def load(self, tip: Head, known: Iterable[int] = (), count: int = 0) -> State:
        """Every task read once: but of the first `count` only the `known` ones."""
        state = State(tip, self._count(tip))
        self._read(state, [*known, *range(count, state.count)], tip)
        # with a trail, from a little below the tip: what is young must be known to be
        first = max(self._market.first_block, tip.number - max(self._confirmations, OVERLAP) + 1)
        events = list(self._events(first, tip.number))
        self._note(state, events)
        state.trail.append(Step.to(tip, events))
        return state

    def follow(self, state: State, tip: Head) -> State:
        """What has happened since, on this fork; the same state where nothing has."""
        new = state.copy(tip)
        lost = self._rewind(new, tip)
        if not new.trail:
            log.warning("the chain was reorganised further back than is remembered, reading it all")
            return self.load(tip)
        if not lost and new.trail[-1].number >= tip.number:
            return state  # another node, that lags behind
        seen: set[str] = set().union(*(step.seen for step in new.trail))
        first = max(self._market.first_block, new.trail[-1].number + 1 - OVERLAP)
        events = [e for e in self._events(first, tip.number) if e.place.identity not in seen]
        posted = [e.task + 1 for e in events if isinstance(e, Posted)]
        if lost is not None:
            # numbers may be others' now: nothing that was read about them holds
            for number in lost:
                new.drop(number)
            new.memo.clear()
            new.count = self._count(tip)
        new.count = max([new.count, *posted])
        changed = sorted(n for n in _tasks(events) | (lost or set()) if n < new.count)
        self._read(new, changed, tip)
        self._note(new, events)
        if changed and heads(self._w3, tip.number)[0] != tip:
            log.info("the chain forked while it was read; it is read again")
            return state  # whose tip is not the chain's, so that the next time follows
        new.trail.append(Step.to(tip, events))
        return new

    def learn(self, state: State) -> None:
        """The past of all tasks that lack theirs, in one reading of the logs."""
        lacking = {n for n, card in state.cards.items() if not card.is_learnt}
        kinds = ["0x" + topic_of(kind).hex() for kind in (Posted, Started)]
        found = list(self._events(self._market.first_block, state.head.number, [kinds]))
        jobs = {e.task: e.job for e in found if isinstance(e, Posted)}
        starts: dict[int, dict[int, int]] = {n: {} for n in lacking}
        for event in found:
            if isinstance(event, Started) and event.task in lacking:
                starts[event.task][event.dispute] = event.place.block
        for n in lacking:
            card, job = state.cards[n], jobs.get(n)
            if job is None or job.hash() != card.task.job:
                continue  # the chain has forked since: the next refresh sees it
            state.cards[n] = replace(card, job=job, starts=starts[n])

    # --- parts -----------------------------------------------------------------------------------

    def _rewind(self, state: State, tip: Head) -> set[int] | None:
        """Takes from the trail what is no longer on the chain: the tasks that it was about.

        None where all of it still is.
        """
        if tip.parent == state.trail[-1].hash:
            return None
        lost: set[int] | None = None
        while state.trail:
            step = state.trail[-1]
            block = heads(self._w3, step.number)[0]
            if block is not None and block.hash == step.hash:
                break
            lost = (lost or set()) | step.tasks
            state.trail.pop()
        if lost is not None:
            log.warning("the chain was reorganised", extra={"tasks": sorted(lost)[:20]})
        return lost

    def _events(self, first: int, last: int, topics: Sequence[Any] | None = None) -> list[Event]:
        parts = (self._market, self._disputes, self._court)
        contracts = {part.address: part.name for part in parts}
        return list(read_events(self._w3, contracts, first, last, topics))

    def _count(self, tip: Head) -> int:
        return int(self._market.reading("tasks").read(self._w3, tip.number))

    def _read(self, state: State, numbers: Sequence[int], tip: Head) -> None:
        """The tasks of these numbers, as they are at the tip; those that are over are dropped."""
        market = self._market
        found = read_all(self._w3, [market.reading("task", n) for n in numbers], tip.number)
        tasks = {
            n: Task.from_abi(values)
            for n, values in zip(numbers, found, strict=True)
            if not isinstance(values, ContractError)
        }
        queues = self._queues([n for n in numbers if n in tasks and _is_accusable(tasks[n])], tip)
        for number in numbers:
            task, queue = tasks.get(number), queues.get(number, NO_QUEUE)
            if task is None or (task.status.is_over and not queue.waits):
                state.drop(number)
                continue
            before = state.cards.get(number)
            if before is not None and before.task.job == task.job:
                state.cards[number] = replace(before, task=task, queue=queue)
            else:
                state.cards[number] = Card(task, queue)

    def _queues(self, numbers: Sequence[int], tip: Head) -> dict[int, Queue]:
        readings = [self._disputes.reading("queue", n) for n in numbers]
        found = read_all(self._w3, readings, tip.number)
        return {
            n: Queue.from_abi(values)
            for n, values in zip(numbers, found, strict=True)
            if not isinstance(values, ContractError)
        }

    def _note(self, state: State, events: Sequence[Event]) -> None:
        """What events say that no struct does; and what they make out of date."""
        for event in events:
            if isinstance(event, CourtEvent):
                state.memo.pop(("dispute", event.dispute, 0), None)
            elif isinstance(event, Credited | CreditWithdrawn):
                state.memo.pop(("credit", int(event.account, 16), 0), None)
            elif isinstance(event, DisputesEvent) and hasattr(event, "number"):
                state.memo.pop(("accusation", event.task, event.number), None)
            card = state.cards.get(getattr(event, "task", -1))
            if card is not None and isinstance(event, MarketEvent | DisputesEvent):
                self._note_on(state, card, event)

    def _note_on(self, state: State, card: Card, event: Any) -> None:
        if isinstance(event, Posted) and event.job.hash() == card.task.job:
            card = replace(card, job=event.job, starts=card.starts or {})
        if isinstance(event, Started) and card.starts is not None:
            card = replace(card, starts={**card.starts, event.dispute: event.place.block})
        if not self._is_own(event, card.task):
            card = replace(card, changed=max(card.changed, event.place.block))
        state.cards[event.task] = card

    def _is_own(self, event: Any, task: Task) -> bool:
        match event:
            case Posted():
                who = event.requester
            case BidPlaced() | BidWithdrawn():
                who = event.worker
            case SegmentCommitted():
                who = task.solver
            case Attested():
                who = event.verifier
            case Accused() | DataDemanded():
                who = event.accuser
            case _:
                return False
        return who.lower() == self._account


def _tasks(events: Iterable[Event]) -> frozenset[int]:
    kinds = MarketEvent | DisputesEvent
    found = (getattr(e, "task", None) for e in events if isinstance(e, kinds))
    return frozenset(n for n in found if n is not None)


def _is_accusable(task: Task) -> bool:
    """Somebody may have accused its solver, and not all of it may be over."""
    return task.committed > 0 and (not task.status.is_over or task.status == Status.CONDEMNED)
