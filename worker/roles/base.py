"""What every role has in hand."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

from web3 import Web3

from worker.chain.board import Board
from worker.chain.contract import Receipt
from worker.chain.contracts import Court, Disputes, Market, Stakes, Verifiers
from worker.chain.errors import ChainError, ContractError, DryRun, Failed, Refused, Stale
from worker.chain.randomness import Randomness
from worker.chain.types import Accusation, Job, Status, Task
from worker.config import JobsConfig
from worker.jobs import Computation, ComputationOf, Measured, Progress, interior
from worker.logs import about
from worker.outcomes import TaskFailed
from worker.roles.artifacts import load_computation
from worker.roles.kept import Kept
from worker.roles.memory import Memory
from worker.roles.roots import Roots
from worker.roles.turns import Turns
from worker.store import Store, StoreError

# told (task, segment, steps done, steps of the segment) while something is computed
OnProgress = Callable[[int, int, int, int], None]

SAID_EVERY = 30.0  # seconds between two lines about a segment that is computed
PROGRAMS = 256  # whose speed is remembered
LONGEST_REST = 30.0  # seconds that a failing task is left alone, well below a dispute's clock


class Role(Protocol):
    """One thing a worker does."""

    name: str

    def tick(self) -> bool:
        """Does what is next, given the chain's state alone; True when it did something."""
        ...


class Part(Role, Protocol):
    """A role that a daemon plays: those of one lane share a thread."""

    lane: str


class Renumbered(Stale):
    """A task's or a dispute's number is another one's now: the chain was reorganised."""


@dataclass
class Desk:
    """One worker's account, its clients of the chain, and its store.

    secret: 32 bytes known to this worker alone, from which the salts of its journals and its
    accusations come; the same after a restart. board: what the tasks are; one of its own where none
    is given. limits: what a task may have this worker fetch and hold. folder: this worker's own,
    for what it need not do twice. rest_seconds: for which a task that has failed is left alone, at
    first. move_seconds: what a move in a dispute takes, to be noticed, sent and mined.

    Roles on several threads share a desk. What they remember of tasks is keyed by the job's hash:
    after a reorganisation a task's number may be another task's.
    """

    w3: Web3
    account: str
    secret: bytes
    market: Market
    disputes: Disputes
    court: Court
    stakes: Stakes
    verifiers: Verifiers
    store: Store
    board: Board = None  # type: ignore[assignment]
    computation_of: ComputationOf = Computation
    limits: JobsConfig = field(default_factory=JobsConfig)
    folder: Path | None = None
    rest_seconds: float = 0.0
    move_seconds: Callable[[], float] = lambda: 0.0
    turns: Turns = field(default_factory=Turns)
    on_progress: OnProgress | None = None
    on_segment: Callable[[str], None] = lambda role: None
    on_dispute: Callable[[str, str], None] = lambda role, outcome: None
    on_error: Callable[[Exception], None] = lambda error: None
    on_event: Callable[[str, int], None] = lambda event, amount: None
    on_step: Callable[[int, int, float], None] = lambda done, total, seconds_left: None
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("worker.roles"))

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        if self.board is None:
            self.board = Board(
                self.w3, self.market, self.disputes, self.court, account=self.account
            )
        self._chain = self.w3.eth.chain_id
        self._free = (-1, 0)  # stake, and the block when it was read
        self._live: set[bytes] = set()
        self._jobs: dict[bytes, Job] = {}
        self._memories: list[weakref.ref[Memory]] = []
        self._computations: Kept[bytes, Computation] = Kept(self.limits.max_data_bytes, _weight)
        self.speeds: Kept[bytes, Measured] = Kept(PROGRAMS)
        self._failures: dict[tuple[str, int, bytes], tuple[int, float]] = {}

    @property
    def now(self) -> int:
        """Unix time of the block that is mined next: what a deadline will be compared with."""
        self.board.refresh()
        return self.board.now

    @property
    def owner(self) -> bytes:
        """The account's address, 20 bytes."""
        return bytes.fromhex(self.account[2:])

    def task_domain(self, task: int) -> bytes:
        """Chain, market and task, for salts: the same task number elsewhere gives others."""
        market = bytes.fromhex(self.market.address[2:])
        return self._chain.to_bytes(32, "big") + market + task.to_bytes(32, "big")

    @cached_property
    def randomness(self) -> Randomness:
        """The source that the market draws by."""
        return Randomness.of(self.market)

    @cached_property
    def roots(self) -> Roots:
        """Of the states inside the segments that this worker has computed."""
        return Roots(self.folder / "roots" if self.folder else None, self.memory())

    # tasks

    def open_tasks(self, *, young: bool = False) -> list[tuple[int, Task]]:
        """All tasks that are not over and may be acted on, oldest first; with the young ones, whose
        last change is not deep enough, if they are asked for."""
        with self._lock:
            self.board.refresh()
            self._forget({task.job for _, task in self.board.open_tasks(young=True)})
            return self.board.open_tasks(young=young)

    def each_task(
        self,
        act: Callable[[int, Task], bool],
        name: str = "",
        due: Callable[[Task], int] | None = None,
    ) -> bool:
        """Acts on every open task; True where something was done.

        due: tasks are taken in the order of this deadline, and nothing more is done after the first
        for which something was.

        One task must not keep a worker from the others, or a stranger could post one for that: what
        fails is logged, rests, and is raised (`TaskFailed`) where nothing else was to be done. What
        concerns every task, such as a node that does not answer, is raised at once.
        """
        tasks = self.open_tasks()
        if due is not None:
            tasks.sort(key=lambda found: due(found[1]))
        acts = [(number, task, partial(act, number, task)) for number, task in tasks]
        return self.act_on_each(acts, name, once=due is not None)

    def act_on_each(
        self, acts: Iterable[tuple[int, Task, Callable[[], bool]]], name: str, *, once: bool = False
    ) -> bool:
        """`act_on` in this order; True where something was done. once: nothing more is done after
        the first. Raises the first TaskFailed where nothing else was to be done."""
        did, failed = False, None
        for number, task, act in acts:
            try:
                done = self.act_on(number, task, name, act)
            except TaskFailed as error:
                failed = failed or error
                continue
            did = did or done
            if did and once:
                return True
        if failed is not None and not did:
            raise failed
        return did

    def act_on(self, number: int, task: Task, name: str, act: Callable[[], bool]) -> bool:
        """What `act` says, about one task: False where the task rests, or nothing could be sent.

        Raises TaskFailed where something went wrong with this task alone.
        """
        key = (name, number, task.job)
        failures, until = self._failures.get(key, (0, 0.0))
        if time.monotonic() < until:
            return False
        with about(task=number, job=task.job.hex()):
            try:
                done = act()
            except DryRun as dry:
                self.log.info(str(dry))
                return False
            except Renumbered as error:
                self.log.warning("task %d: %s", number, error)
                return False
            except Exception as error:
                if _is_everyones(error):
                    raise
                rest = min(self.rest_seconds * 2**failures, LONGEST_REST)
                self._failures[key] = (min(failures + 1, 16), time.monotonic() + rest)
                expected = isinstance(error, (ChainError, StoreError, OSError, ValueError))
                self.log.error("task %d: %s", number, error, exc_info=None if expected else error)
                self.on_error(error)
                raise TaskFailed(number, error) from error
        self._failures.pop(key, None)
        return done

    def check_still(self, number: int, task: Task) -> None:
        """Raises Renumbered where a number is no longer that task's, or its parties are others.

        For right before a transaction: what was computed was computed for `task`.
        """
        there = self.market.task(number)
        if _identity(there) != _identity(task):
            raise Renumbered(
                f"{number} is another task than it was (job {there.job.hex()}, not "
                f"{task.job.hex()}): the chain was reorganised, and nothing is sent"
            )

    def accusations(self, number: int) -> list[Accusation]:
        """Every accusation of a task by its number, decided or not."""
        self.board.refresh()
        return self.board.accusations(number)

    def free_stake(self) -> int:
        """This worker's stake that nothing has locked; read once a block."""
        block, _ = self._free
        if block != self.board.block:
            self._free = (self.board.block, self.stakes.free(self.account))
        return self._free[1]

    def attempt(self, what: str, call: Callable[..., Receipt], *arguments: Any) -> bool:
        """Does what anyone may do, so that somebody else may have been faster: the call is
        simulated first, and False says that it was refused."""
        numbers = tuple(argument for argument in arguments if isinstance(argument, int))
        try:
            receipt = call(*arguments)
        except (ContractError, Failed) as error:
            self.log.debug("%s %s was refused: %s", what, numbers, error)
            return False
        self.log.info("%s %s", what, numbers, extra={"gas": receipt.gas})
        return True

    def job(self, number: int, task: Task | None = None) -> Job:
        """The job that the task was posted with; read once, and held to its hash."""
        key = (task or self.board.task(number)).job
        if key not in self._jobs:
            job = self.board.job(number)
            if job.hash() != key:
                raise Renumbered(f"task {number} was posted with another job: look again")
            self._jobs[key] = job
        return self._jobs[key]

    def computation(self, number: int, task: Task) -> Computation:
        """The job's steps on this machine. Raises what `load_computation` does."""
        job = self.job(number, task)
        return self._computations.get(
            task.job, lambda: load_computation(self.store, job, self.computation_of, self.limits)
        )

    def first_question(self, number: int, task: Task, segment: int) -> list[int]:
        """The steps whose states the first question of a dispute about a segment is for."""
        steps = self.job(number, task).segment_range(segment)
        return interior(steps.start, steps.stop, self.court.arity_bits())[1:-1]

    def progress_of(self, number: int, segment: int, job: Job) -> Progress:
        """What is told of every step of a segment; raises Stopped when the worker is to end."""
        total = len(job.segment_range(segment))
        began = said = time.monotonic()

        def progress(done: int) -> None:
            nonlocal said
            if self.on_progress is not None:
                self.on_progress(number, segment, done, total)
            now = time.monotonic()
            left = (now - began) / done * (total - done)
            self.on_step(done, total, left)
            if now - said > SAID_EVERY and done < total:
                said = now
                self.log.info(
                    "task %d segment %d: %d of %d steps, %.0f s left",
                    *(number, segment, done, total, left),
                    extra={"done": done, "total": total, "seconds_left": round(left)},
                )
            self.turns.between()

        return progress

    # memory

    def memory(self) -> Memory:
        """An empty one, of which what belongs to tasks that are over is forgotten."""
        made = Memory()
        self._memories.append(weakref.ref(made))
        return made

    def _forget(self, live: set[bytes]) -> None:
        # one more look is waited for: another thread may know of a task that this one did not see
        kept, self._live = live | self._live, live
        self._computations.drop(lambda key: key not in kept)
        for key in [k for k in self._jobs if k not in kept]:
            self._jobs.pop(key, None)
        for failure in [k for k in self._failures if k[2] not in kept]:
            self._failures.pop(failure, None)
        self._memories = [ref for ref in self._memories if ref() is not None]
        for memory in (ref() for ref in self._memories):
            for place in [k for k in memory or () if k[0] not in kept]:
                memory.pop(place, None)  # type: ignore[union-attr]


def _identity(task: Task) -> Sequence[object]:
    return task.job, task.requester, "" if task.status == Status.OPEN else task.solver


def _is_everyones(error: Exception) -> bool:
    """Whether an error concerns every task: the node's trouble, or the account's."""
    own = isinstance(error, (ContractError, Failed, Refused))
    return isinstance(error, ChainError) and not own


def _weight(computation: Computation) -> int:
    """Bytes that a computation holds: its data set, and some for the program's records."""
    data = sum(t.numel() * t.element_size() for t in computation.data)
    return data + 4096 * len(computation.program.nodes)
