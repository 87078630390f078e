"""The verifier: recomputes what it was drawn for, attests or accuses, and sees disputes through."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from worker.chain.contracts import Challenged
from worker.chain.events import Demanded
from worker.chain.types import Status, Task
from worker.commit import report_salt
from worker.dispute import ChallengerPlayer, NothingToProve
from worker.jobs import Computation, JobMismatch, Journal, Replay
from worker.program import MalformedProgram
from worker.roles.artifacts import (
    load_computation,
    load_journal,
    load_state,
    put_result,
)
from worker.roles.base import Desk
from worker.roles.checking import Finding, check_segment
from worker.roles.checkpoint import Checkpoint
from worker.store import StoreError

# looks at the store before a state counts as withheld
PATIENCE = 3


class Verifier:
    """Checks the segments that the draw names, and with `volunteer` those of every task.

    Everything it knows it can compute again: a restarted verifier goes on where the chain stands.
    """

    def __init__(self, desk: Desk, volunteer: bool = False) -> None:
        self.desk, self.volunteer = desk, volunteer
        self.name = "challenger" if volunteer else "verifier"
        self._computations: dict[int, Computation] = {}
        self._findings: dict[tuple[int, int], Finding | None] = {}
        # a reorganised chain may give a dispute's number to another segment
        self._players: dict[tuple[int, int, int], ChallengerPlayer] = {}
        self._given_up: set[tuple[int, int, int]] = set()
        self._held: Checkpoint | None = None  # the last one found right
        # looks in vain, for a segment's first state and for its journal
        self._looked: Counter[tuple[int, int]] = Counter()
        self._unread: Counter[tuple[int, int]] = Counter()

    def tick(self) -> bool:
        return self.desk.each_task(self._act)

    def _act(self, number: int, task: Task) -> bool:
        did, me = False, self.desk.account
        if task.solver == me:
            return False
        mine = [c for c in self.desk.market.challenges(number) if c.challenger == me]
        mine = [c for c in mine if not self._is_demand(c.dispute)]
        for challenge in mine:
            did = self._play(number, task, challenge) or did
        if task.status == Status.VERIFYING and self.desk.now <= task.window_ends:
            drawn = task.verifier == me and not task.attested
            if (drawn or self.volunteer) and not mine:
                did = self._check(number, task, drawn) or did
        return did

    # checking

    def _check(self, number: int, task: Task, drawn: bool) -> bool:
        segments = task.checked_segments if drawn else tuple(range(task.segments))
        did = False
        for segment in segments:
            did = did or (number, segment) not in self._findings
            finding = self._finding(number, task, segment)
            if finding is None:
                # not checkable: neither attest nor accuse; a restart or a later tick tries again
                return self._demand(number, segment)
            if not finding.is_right:
                dispute = self._accuse(number, segment)
                self.desk.on_dispute(self.name, "opened")
                self.desk.log.warning(
                    "task %d segment %d is wrong: opened dispute %d", number, segment, dispute
                )
                return True
        if drawn:
            self.desk.market.attest(number)
            self._held = None  # the task is done with: its memory is free again
            self.desk.log.info("attested task %d", number)
            return True
        return did

    def _finding(self, number: int, task: Task, segment: int) -> Finding | None:
        if self._findings.get((number, segment)) is not None:
            return self._findings[number, segment]
        market, store = self.desk.market, self.desk.store
        committed = market.segment(number, segment)
        try:
            computation = self._computation(number)
            try:
                start = self._checkpoint(computation, self._start(number, segment))
            except StoreError:
                self._looked[number, segment] += 1
                raise
            journal = self._journal(number, task, segment, committed.journal)
            finding, end, reports = check_segment(
                computation,
                segment,
                start,
                committed,
                journal,
                self.desk.progress_of(number, segment),
            )
            if journal is None and finding.is_right:
                finding = replace(finding, report_step=self._drawn_step(number, segment))
        except (StoreError, MalformedProgram, JobMismatch, ValueError) as error:
            self.desk.log.error("task %d segment %d cannot be checked: %s", number, segment, error)
            return None
        if finding.is_right:
            # the solver may have kept its copy back; the address is the same
            put_result(store, computation.program, reports, start, end)
            self._held = end
        self._findings[number, segment] = finding
        self.desk.on_segment(self.name)
        return finding

    def _checkpoint(self, computation: Computation, root: bytes) -> Checkpoint:
        """The state with this root: the last one that was found right, or the store's."""
        if self._held is not None and self._held.root == root:
            return self._held
        return Checkpoint(root, load_state(self.desk.store, computation.program, root))

    def _journal(self, number: int, task: Task, segment: int, root: bytes) -> Journal | None:
        """The segment's journal; None where no solver could open it, or it is nowhere.

        Raises StoreError as long as it may still turn up.
        """
        solver = bytes.fromhex(task.solver[2:])
        steps = self.desk.job(number).segment_range(segment)
        try:
            journal = load_journal(self.desk.store, root)
        except StoreError:
            self._unread[number, segment] += 1
            if self._unread[number, segment] < PATIENCE:
                raise
            return None
        return journal if journal.covers(solver, steps) else None

    def _drawn_step(self, number: int, segment: int) -> int:
        """The step whose report the solver is made to open, where its journal cannot be read."""
        drawn = report_salt(self.desk.secret, b"step" + self.desk.task_domain(number), segment)
        steps = self.desk.job(number).segment_range(segment)
        return steps[int.from_bytes(drawn, "big") % len(steps)]

    def _start(self, number: int, segment: int) -> bytes:
        """Root of the state at the segment's start, as the solver is bound to it."""
        if segment == 0:
            return self.desk.job(number).state
        return self.desk.market.segment(number, segment - 1).state

    def _computation(self, number: int) -> Computation:
        if number not in self._computations:
            # always the honest one: `computation_of` is for the solver's side
            self._computations[number] = load_computation(
                self.desk.store, self.desk.job(number), Computation
            )
        return self._computations[number]

    # demanding

    def _demand(self, number: int, segment: int) -> bool:
        """Demands on chain a leaf of the state that `segment` starts from, which is nowhere.

        Once for a state, and after PATIENCE looks: the bond is lost if the solver shows the leaf.
        The first state of all is the requester's, and nobody's to show.
        """
        if segment == 0 or self._looked[number, segment] < PATIENCE:
            return False
        me, market = self.desk.account, self.desk.market
        for challenge in market.challenges(number):
            same = (challenge.challenger, challenge.segment) == (me, segment - 1)
            if same and self._is_demand(challenge.dispute):
                return False
        # the solver cannot foresee it; a restarted worker draws the same
        drawn = report_salt(self.desk.secret, b"demand" + self.desk.task_domain(number), segment)
        self._pay_bond()
        word = int.from_bytes(drawn, "big")
        receipt = market.demand(number, self.desk.job(number), segment - 1, word)
        self.desk.on_dispute(self.name, "demanded")
        self.desk.log.warning(
            "task %d: the state after segment %d is nowhere: opened dispute %d to have it shown",
            number,
            segment - 1,
            receipt.one(Challenged).dispute,
        )
        return True

    def _is_demand(self, dispute: int) -> bool:
        return any(isinstance(e, Demanded) for e in self.desk.court.events(dispute))

    # accusing

    def _pay_bond(self) -> None:
        market = self.desk.market
        if self.desk.token is not None:
            self.desk.token.ensure_allowance(market.address, market.parameters().bond)

    def _accuse(self, number: int, segment: int) -> int:
        market = self.desk.market
        self._pay_bond()
        receipt = market.challenge(number, self.desk.job(number), segment)
        return receipt.one(Challenged).dispute

    def _play(self, number: int, task: Task, challenge: Challenged) -> bool:
        court, id_ = self.desk.court, challenge.dispute
        did, key = False, (number, challenge.segment, id_)
        dispute = court.dispute(id_)
        while dispute.phase.is_running and not dispute.solver_to_move and key not in self._given_up:
            try:
                player = self._player(number, task, challenge)
                said = player.move(dispute, court.events(id_))
            except NothingToProve as reason:
                self._given_up.add(key)
                self.desk.on_dispute(self.name, "given up")
                self.desk.log.error("dispute %d: gave up: %s", id_, reason)
                break
            self.desk.log.info("dispute %d: %s", id_, said)
            did = True
            dispute = court.dispute(id_)
        market = self.desk.market
        if not dispute.phase.is_running and market.challenge_of(id_).upheld:
            # the verdict has moved no money yet, and what it brings is this worker's
            did = self.desk.attempt("punish", market.punish, id_) or did
        return did

    def _player(self, number: int, task: Task, challenge: Challenged) -> ChallengerPlayer:
        segment = challenge.segment
        key = (number, segment, challenge.dispute)
        if key not in self._players:
            computation = self._computation(number)
            first = self._checkpoint(computation, self._start(number, segment)).state
            finding = self._finding(number, task, segment)
            self._players[key] = ChallengerPlayer(
                self.desk.court,
                challenge.dispute,
                Replay(computation, segment, first),
                self.desk.court.arity_bits(),
                finding.report_step if finding else None,
            )
        return self._players[key]
