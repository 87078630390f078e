"""The solver: bids, computes segments, commits them, and answers when accused."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from worker.chain.types import Job, Segment, Status, Task
from worker.dispute import SolverPlayer
from worker.jobs import Computation, JobMismatch, Journal, Replay, SegmentResult
from worker.program import MalformedProgram
from worker.roles.ahead import Ahead
from worker.roles.artifacts import (
    JOURNAL,
    STATE,
    load_computation,
    load_journal,
    load_state,
    put_result,
)
from worker.roles.base import Desk
from worker.roles.checkpoint import Checkpoint
from worker.store import StoreError

# Segments in one transaction, at most: whoever is restarted has so many to compute again.
MOST_TOGETHER = 8
# what a worker asks for a task, or None to let it be
Pricing = Callable[[Task, Job], int | None]


class Solver:
    """Acts on the chain's state alone: how far a task is stands there, and its states in the store.

    A restarted solver goes on from the last committed segment and commits what it would have.
    """

    name = "solver"

    def __init__(
        self,
        desk: Desk,
        pricing: Pricing,
        max_state_bytes: int = 1 << 34,
        max_trace_elements: int = 1 << 32,
    ) -> None:
        self.desk, self.pricing, self.max_state_bytes = desk, pricing, max_state_bytes
        self.max_trace_elements = max_trace_elements
        self._refused: set[int] = set()
        self._held: Checkpoint | None = None  # the last one made
        self._computations: dict[int, Computation] = {}
        # a reorganised chain may give a dispute's number to another segment
        self._players: dict[tuple[int, int, int], SolverPlayer] = {}
        self._ahead: Ahead[SegmentResult] = Ahead()

    def tick(self) -> bool:
        return self.desk.each_task(self._act)

    def _act(self, number: int, task: Task) -> bool:
        if task.solver == self.desk.account:
            did = self._answer(number, task)
            if task.status == Status.ASSIGNED and self.desk.now <= task.commit_until:
                did = self._commit(number, task) or did
            return did
        if task.status == Status.OPEN and self.desk.now <= task.bid_until:
            return self._bid(number, task)
        return False

    # bidding

    def _bid(self, number: int, task: Task) -> bool:
        if number in self._refused:
            return False
        market, me = self.desk.market, self.desk.account
        if any(bid.worker == me for bid in market.bids(number)):
            return False
        job = self.desk.job(number)
        price = self.pricing(task, job)
        if price is None or price > task.max_price:
            return self._refuse(number, f"it pays at most {task.max_price} for {job.steps} steps")
        needed = market.solver_stake(price, task.segments, task.checks)
        if self.desk.stakes.free(me) < needed:
            # stake that another task has locked may be free again in time
            self.desk.log.info("task %d needs a stake of %d to bid", number, needed)
            return False
        try:
            computation = self._computation(number)
            elements = computation.program.trace_elements
            if elements > self.max_trace_elements:
                return self._refuse(number, f"a step of it has {elements} elements")
            state = load_state(self.desk.store, computation.program, job.state)
            size = sum(t.numel() * t.element_size() for t in state)
            if size > self.max_state_bytes:
                return self._refuse(number, f"its state has {size} bytes")
        except (StoreError, MalformedProgram, JobMismatch, ValueError) as error:
            return self._refuse(number, str(error))
        market.bid(number, price)
        self.desk.log.info("bid %d for task %d", price, number)
        return True

    def _refuse(self, number: int, reason: str) -> bool:
        self._refused.add(number)
        self.desk.log.warning("task %d is not for us: %s", number, reason)
        return False

    # computing

    def _commit(self, number: int, task: Task) -> bool:
        """Commits the next segment, and with it those behind it that are computed by then.

        Publishing those first puts nothing at risk: a task of which a segment is missing at the
        deadline pays for none.
        """
        first = task.committed
        segment, end = self._make(number, task, first, self._start(number, first))
        made = [segment]
        while len(made) < MOST_TOGETHER and self._ahead.is_done((number, first + len(made))):
            try:
                segment, end = self._make(number, task, first + len(made), end)
            except Exception as error:
                # no reason to be late with the others; the next tick meets it again, alone
                self.desk.log.warning("task %d segment %d: %s", number, first + len(made), error)
                break
            made.append(segment)
        if len(made) == 1:
            self.desk.market.commit_segment(number, first, segment.state, segment.journal)
        else:
            self.desk.market.commit_segments(number, first, made)
        if first + len(made) == task.segments:
            self._held = None  # the task is done with: its memory is free again
        for k, segment in enumerate(made, start=first):
            self.desk.on_segment(self.name)
            self.desk.log.info(
                "committed segment %d of task %d: %s", k, number, segment.state.hex()
            )
        return True

    def _make(
        self, number: int, task: Task, segment: int, start: Checkpoint
    ) -> tuple[Segment, Checkpoint]:
        """Computes a segment and publishes it: what to commit, and the state at its end."""
        result = self._ahead.take((number, segment), self._running(number, segment, start.state))
        if segment + 1 < task.segments:
            # hashing, storing and the chain take their time: the next segment need not wait
            following = self._running(number, segment + 1, result.state)
            self._ahead.start((number, segment + 1), following)
        journal = self._make_journal(number, segment, result.reports)
        # artifacts first: whoever sees the commitment can fetch what it commits to
        end = self._put(number, start, result)
        self.desk.store.put_bytes(JOURNAL, journal.root, journal.to_bytes())
        return Segment(end.root, journal.root), end

    def _running(
        self, number: int, segment: int, state: Sequence[Tensor]
    ) -> Callable[[], SegmentResult]:
        computation = self._computation(number)
        progress = self.desk.progress_of(number, segment)
        return lambda: computation.run_segment(segment, state, progress)

    def _put(self, number: int, start: Checkpoint, result: SegmentResult) -> Checkpoint:
        """Publishes what a segment has computed, and holds its last state for the next one."""
        self._held = end = start.after(result.state)
        put_result(self.desk.store, self._computation(number).program, result.reports, start, end)
        return end

    def _start(self, number: int, segment: int) -> Checkpoint:
        """The state that a segment starts from; made again where the store has lost it."""
        job, market = self.desk.job(number), self.desk.market
        program = self._computation(number).program
        root = job.state if segment == 0 else market.segment(number, segment - 1).state
        held = self._held
        if held is not None and held.root == root and self.desk.store.has(STATE, root):
            return held
        try:
            return Checkpoint(root, load_state(self.desk.store, program, root))
        except StoreError as error:
            if segment == 0:
                raise
            self.desk.log.warning("task %d: %s; computing it again", number, error)
        before = self._start(number, segment - 1)
        result = self._computation(number).run_segment(segment - 1, before.state)
        return self._put(number, before, result)

    def _make_journal(
        self, number: int, segment: int, reports: Sequence[Sequence[Tensor]]
    ) -> Journal:
        steps = self.desk.job(number).segment_range(segment)
        domain = self.desk.task_domain(number)
        return Journal.make(self.desk.owner, self.desk.secret, domain, steps, reports)

    def _computation(self, number: int) -> Computation:
        if number not in self._computations:
            job = self.desk.job(number)
            self._computations[number] = load_computation(
                self.desk.store, job, self.desk.computation_of
            )
        return self._computations[number]

    # answering

    def _answer(self, number: int, task: Task) -> bool:
        if not task.open_disputes:
            return False
        did = False
        for challenge in self.desk.market.challenges(number):
            dispute = self.desk.court.dispute(challenge.dispute)
            while dispute.solver_to_move and dispute.phase.is_running:
                player = self._player(number, challenge.segment, challenge.dispute)
                said = player.move(dispute)
                self.desk.log.info("dispute %d: %s", challenge.dispute, said)
                did = True
                dispute = self.desk.court.dispute(challenge.dispute)
        return did

    def _player(self, number: int, segment: int, dispute: int) -> SolverPlayer:
        key = (number, segment, dispute)
        if key not in self._players:
            computation = self._computation(number)
            replay = Replay(computation, segment, self._start(number, segment).state)
            self._players[key] = SolverPlayer(
                self.desk.court,
                dispute,
                replay,
                self._journal(number, segment, replay),
                self.desk.court.arity_bits(),
            )
        return self._players[key]

    def _journal(self, number: int, segment: int, replay: Replay) -> Journal:
        root = self.desk.market.segment(number, segment).journal
        try:
            return load_journal(self.desk.store, root)
        except StoreError:
            # the salts are derived, so the journal can be made again
            first = replay.state(replay.steps.start)
            result = replay.computation.run_segment(segment, first)
            return self._make_journal(number, segment, result.reports)
