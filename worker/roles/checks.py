"""The verifier's work: recomputes segments, and attests, accuses or demands."""

from __future__ import annotations

from dataclasses import dataclass, replace

from worker.chain.events import Accused, DataDemanded
from worker.chain.types import Segment, Standing, Status, Task
from worker.commit import report_salt
from worker.jobs import Computation, Differs, JobMismatch, Journal
from worker.program import MalformedProgram
from worker.roles.admission import Admission
from worker.roles.artifacts import load_journal, load_state, put_result
from worker.roles.base import Desk, Renumbered
from worker.roles.checking import Finding, check_segment
from worker.roles.checkpoint import Checkpoint
from worker.roles.findings import Findings
from worker.roles.promises import crowd
from worker.roles.seals import seal_of
from worker.roles.sizes import journal_bytes
from worker.roles.turns import Rank
from worker.store import StoreError

# looks at the store before a state counts as withheld
PATIENCE = 3


@dataclass(frozen=True)
class Bound:
    """A segment as the chain binds its solver: the root it starts from, and what was committed."""

    start: bytes
    committed: Segment


class Checks:
    """Checks the segments that the draw names, and with `volunteer` those of every task.

    Everything it knows it can compute again: a restarted verifier goes on where the chain stands.
    """

    lane = "checks"

    def __init__(self, desk: Desk, volunteer: bool = False) -> None:
        self.desk, self.volunteer = desk, volunteer
        self.name = "challenger" if volunteer else "verifier"
        self.admission = Admission(desk)
        self.findings = Findings(desk)
        self._held: Checkpoint | None = None  # the last one found right
        self._mine = desk.memory()
        # looks in vain, for a segment's first state and for its journal
        self._looked = desk.memory()
        self._unread = desk.memory()
        self._told = desk.memory()

    def tick(self) -> bool:
        did = self.desk.each_task(self._act, self.name, due=lambda task: task.window_ends)
        if not self._mine:  # of what is over nothing is held
            self._held = None
        return did

    def _act(self, number: int, task: Task) -> bool:
        desk, me = self.desk, self.desk.account
        if task.solver == me or task.status != Status.VERIFYING or desk.now > task.window_ends:
            return False
        drawn = task.verifier == me and not task.attested
        if not drawn and not self.volunteer:
            return False
        if any(
            a.accuser == me and not a.is_demand and a.standing != Standing.LAPSED
            for a in desk.accusations(number)
        ):
            return False
        if reason := self._unfit(number, task):
            self._say(number, task, reason, drawn)
            return False
        self._mine[task.job,] = number
        return self._check(number, task, drawn)

    def _unfit(self, number: int, task: Task) -> str:
        """Why this machine could not see a dispute about the task through; empty where it could.

        Of what it may have to accuse, only what it has accused counts beside this one: the others
        are looked at one after another.
        """
        admission = self.admission
        try:
            duty = admission.duty(number, task, admission.speed(number, task))
        except Differs as error:
            return str(error)
        except (StoreError, MalformedProgram, JobMismatch, ValueError):
            return ""  # checking it says so, and does something about it
        found = crowd([*admission.disputed(number), duty])
        return str(found) if found else ""

    def _say(self, number: int, task: Task, reason: str, drawn: bool) -> None:
        """Once for each reason."""
        if self._told.get((task.job, number)) != reason:
            say = self.desk.log.error if drawn else self.desk.log.info
            say("task %d is not checked here: %s", number, reason)
        self._told[task.job, number] = reason

    # checking

    def _check(self, number: int, task: Task, drawn: bool) -> bool:
        segments = task.checked_segments if drawn else tuple(range(task.segments))
        did, seen = False, {}
        for segment in segments:
            bound = seen[segment] = self.bound(number, task, segment)
            known = self.known(number, task, segment, bound)
            did = did or known is None
            finding = known or self.finding(number, task, segment, bound)
            if finding is None:
                # not checkable: neither attest nor accuse; a restart or a later tick tries again
                return self._demand(number, task, segment)
            if not finding.is_right:
                return self._accuse(number, task, segment, finding, bound)
        if drawn:
            self._check_still(number, task, seen)
            self.desk.market.attest(number)
            self._held = None  # the task is done with: its memory is free again
            self.desk.log.info("attested task %d", number)
            return True
        return did

    def _check_still(self, number: int, task: Task, seen: dict[int, Bound]) -> None:
        """Raises Renumbered where a task, or a commitment in it, is not what was checked."""
        self.desk.check_still(number, task)
        for segment, bound in seen.items():
            if self.bound(number, task, segment) != bound:
                raise Renumbered(
                    f"segment {segment} is committed to otherwise than when it was checked: the "
                    "chain was reorganised, and nothing is sent"
                )

    def bound(self, number: int, task: Task, segment: int) -> Bound:
        """What the solver is bound to in a segment."""
        market = self.desk.market
        if segment == 0:
            start = self.desk.job(number, task).state
        else:
            start = market.segment(number, segment - 1).state
        return Bound(start, market.segment(number, segment))

    def known(self, number: int, task: Task, segment: int, bound: Bound) -> Finding | None:
        """What is wrong in a segment, where it has been computed."""
        return self.findings.get(task, segment, bound.start, bound.committed)

    def finding(self, number: int, task: Task, segment: int, bound: Bound) -> Finding | None:
        """What is wrong in a segment, recomputed where it is not known; None where it cannot be."""
        known = self.known(number, task, segment, bound)
        if known is not None:
            return known
        desk, place = self.desk, (task.job, number, segment)
        try:
            computation = desk.computation(number, task)
            try:
                start = self.checkpoint(computation, bound.start)
            except StoreError:
                self._looked[place] = self._looked.get(place, 0) + 1
                raise
            journal = self._journal(number, task, segment, bound.committed.journal)
            with desk.turns.turn(Rank.WORK, task.window_ends):
                finding, end, result = check_segment(
                    computation,
                    segment,
                    start,
                    bound.committed,
                    journal,
                    desk.progress_of(number, segment, computation.job),
                    self.desk.first_question(number, task, segment),
                )
            self.desk.roots.put(task, segment, start.root, result.roots)
            if journal is None and finding.is_right:
                finding = replace(finding, report_step=self._drawn_step(number, task, segment))
        except (StoreError, MalformedProgram, JobMismatch, ValueError) as error:
            desk.log.error("task %d segment %d cannot be checked: %s", number, segment, error)
            return None
        if finding.is_right:
            # the solver may have kept its copy back; the address is the same
            put_result(desk.store, computation.program, result.reports, start, end)
            self._held = end
        self.findings.put(task, segment, bound.start, bound.committed, finding)
        desk.on_segment(self.name)
        return finding

    def checkpoint(self, computation: Computation, root: bytes) -> Checkpoint:
        """The state with this root: the last one that was found right, or the store's."""
        held = self._held
        if held is not None and held.root == root:
            return held
        return Checkpoint(root, load_state(self.desk.store, computation.program, root))

    def _journal(self, number: int, task: Task, segment: int, root: bytes) -> Journal | None:
        """The segment's journal; None where no solver could open it, or it is nowhere.

        Raises StoreError as long as it may still turn up.
        """
        solver = bytes.fromhex(task.solver[2:])
        steps = self.desk.job(number, task).segment_range(segment)
        most = journal_bytes(self.desk.computation(number, task).program, len(steps))
        try:
            journal = load_journal(self.desk.store, root, most)
        except StoreError:
            place = (task.job, number, segment)
            self._unread[place] = self._unread.get(place, 0) + 1
            if self._unread[place] < PATIENCE:
                raise
            return None
        return journal if journal.covers(solver, steps) else None

    def _drawn_step(self, number: int, task: Task, segment: int) -> int:
        """The step whose report the solver is made to open, where its journal cannot be read."""
        drawn = report_salt(self.desk.secret, b"step" + self.desk.task_domain(number), segment)
        steps = self.desk.job(number, task).segment_range(segment)
        return steps[int.from_bytes(drawn, "big") % len(steps)]

    # demanding

    def _demand(self, number: int, task: Task, segment: int) -> bool:
        """Demands on chain a leaf of the state that `segment` starts from, which is nowhere.

        Once for a state, and after PATIENCE looks: the bond is lost if the solver shows the leaf.
        The first state of all is the requester's, and nobody's to show.
        """
        looked = self._looked.get((task.job, number, segment), 0)
        if segment == 0 or looked < PATIENCE:
            return False
        desk = self.desk
        if any(
            a.is_demand and (a.accuser, a.segment) == (desk.account, segment - 1)
            for a in desk.accusations(number)
        ):
            return False
        # the solver cannot foresee it; a restarted worker draws the same
        drawn = report_salt(desk.secret, b"demand" + desk.task_domain(number), segment)
        if not self._has_bond(number, task, segment - 1):
            return False
        word = int.from_bytes(drawn, "big")
        receipt = desk.disputes.demand(number, segment - 1, word)
        desk.on_dispute(self.name, "demanded")
        desk.log.warning(
            "task %d: the state after segment %d is nowhere: accusation %d is to have it shown",
            number,
            segment - 1,
            receipt.one(DataDemanded).number,
        )
        return True

    # accusing

    def _has_bond(self, number: int, task: Task, segment: int) -> bool:
        """Whether an accusation can be paid for now; where it cannot, that is said."""
        desk = self.desk
        bond, _ = desk.disputes.bond_of(number, desk.account)
        free = desk.stakes.available(desk.account, desk.disputes.address)
        if free < bond:
            reason = f"segment {segment} is to be accused for a bond of {bond}, and {free} are free"
            self._say(number, task, f"{reason} for it: deposit more, and see `stake`", True)
        return free >= bond

    def _accuse(
        self, number: int, task: Task, segment: int, finding: Finding, bound: Bound
    ) -> bool:
        """Files what was found, sealed: whoever sees the transaction learns nothing from it."""
        desk = self.desk
        if not self._has_bond(number, task, segment):
            return False
        self._check_still(number, task, {segment: bound})
        seal = seal_of(desk, number, segment, bytes.fromhex(finding.found))
        receipt = desk.disputes.accuse(number, seal)
        accused = receipt.one(Accused)
        desk.on_dispute(self.name, "accused")
        desk.log.warning(
            "task %d segment %d is wrong: filed accusation %d, with a bond of %d",
            *(number, segment, accused.number, accused.bond),
        )
        return True
