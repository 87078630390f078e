"""What must have become of everyone's stake and of every deadline, reckoned from what happened.

A second reading of `docs/protocol.md`: it takes from the events who did what and when, reckons what
follows by rules of its own, and refuses an event that must not be. Nothing of it asks a contract
what a contract should have done.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.revm import Deployed
from worker.chain import events as e
from worker.chain.types import Standing, Terms

BPS = 10_000
BOND, OPEN_TIME = Deployed.DISPUTES["bond"], Deployed.DISPUTES["openTime"]
FINDERS = Deployed.DISPUTES["finderBps"]
LATE = Deployed.PARAMETERS["latePenaltyBps"]
UNIT, DRAW_TIME = Deployed.VERIFIERS["unitStake"], Deployed.VERIFIERS["drawTime"]
LAST = (Standing.CONVICTING, Standing.LOST, Standing.LAPSED, Standing.MOOT)


@dataclass
class Filed:
    """An accusation."""

    number: int
    accuser: str
    at: int
    bond: int
    privileged: bool
    is_demand: bool
    of_verifier: bool  # filed by the drawn verifier, after the draw
    segment: int | None = None  # None until unsealed
    finding: bytes = b""
    standing: Standing = Standing.SEALED

    @property
    def opens_until(self) -> int:
        return self.at + OPEN_TIME

    @property
    def is_undecided(self) -> bool:
        return not self.standing.is_decided


@dataclass
class Entry:
    """A task: its people, its deadlines, and its accusations in the order of filing."""

    requester: str
    segments: int
    terms: Terms
    bidder: str = ""  # who has the best bid
    solver: str = ""
    price: int = 0
    verifier: str = ""
    attested: bool = False
    checked: int = 0
    committed: int = 0
    commit_until: int = 0  # but for a time that it is held now
    held_since: int | None = None  # while it works
    armed_at: int = 0
    window_ends: int = 0
    filed: list[Filed] = field(default_factory=list)
    running: int | None = None
    dispute: int | None = None
    convicting: int | None = None
    convicted_at: int = 0
    is_over: bool = False  # its stakes are free again
    fined: int = 0  # of the verifier

    @property
    def undecided(self) -> list[Filed]:
        return [f for f in self.filed if f.is_undecided]

    @property
    def is_held(self) -> bool:
        return bool(self.undecided) or self.convicting is not None

    @property
    def stake(self) -> int:
        """What its best bidder, and then its solver, has locked."""
        terms, p = self.terms, Deployed.PARAMETERS
        least = -(-terms.max_price * p["marginBps"] * self.segments // (BPS * terms.checks))
        return max(p["floorStake"], least)

    @property
    def liability(self) -> int:
        """What a drawn verifier answers for, with all its units."""
        margin = Deployed.PARAMETERS["marginBps"]
        least = -(-self.terms.verifier_fee * margin // BPS)
        return max(Deployed.PARAMETERS["floorStake"], least)

    def next_bond(self, accuser: str) -> tuple[int, bool]:
        """What an accusation costs, and whether it is the drawn verifier's privileged one."""
        if accuser == self.verifier and not any(f.privileged for f in self.filed):
            return BOND, True
        return BOND * (1 + sum(not f.privileged for f in self.filed)), False

    def next(self) -> Filed | None:
        """Whose turn it is: the privileged one, once it is unsealed; else the first undecided one
        that is not privileged; else the privileged one."""
        own = [f for f in self.undecided if f.privileged]
        if own and own[0].standing == Standing.WAITING:
            return own[0]
        return next((f for f in self.undecided if not f.privileged), own[0] if own else None)

    def shares(self) -> tuple[str, int, str, int, str, int]:
        """Of a condemned solver's stake: who convicted, the drawn verifier and the finder, and what
        each has; an empty name where there is none."""
        assert self.convicting is not None
        won = self.filed[self.convicting]
        rest = self.stake * FINDERS // BPS - BOND
        shown = [f for f in self.filed if f.segment is not None and f.standing != Standing.LOST]
        found = [f for f in shown if not f.is_demand]
        verifier = self.verifier if any(f.of_verifier for f in found) else ""
        finder = ""
        if not won.is_demand and not won.of_verifier:
            finder = won.accuser
        elif not won.is_demand:
            same = [
                f.accuser
                for f in found
                if (f.segment, f.finding) == (won.segment, won.finding)
                and f.number < won.number
                and not f.of_verifier
            ]
            finder = same[0] if same else ""
        half = rest // 2 if finder else rest
        to_verifier = half if verifier else 0
        to_finder = rest - to_verifier if finder else 0
        return won.accuser, BOND, verifier, to_verifier, finder, to_finder


class Books:
    """All tasks, all disputes, and what everyone's stake is more or less than it was."""

    def __init__(self) -> None:
        self.tasks: dict[int, Entry] = {}
        self.disputes: dict[int, tuple[int, int]] = {}  # task and number of an accusation
        self.started: dict[int, int] = {}  # disputes, and the second in which each began
        self.decided: dict[int, bool] = {}  # disputes, and whether the solver was guilty
        self.gains: dict[str, int] = defaultdict(int)  # in stake
        self.units: dict[str, int] = defaultdict(int)  # stake that is locked for units
        self.offered: dict[str, int] = defaultdict(int)  # units
        self.burned = 0  # ever

    def bonds(self) -> Mapping[str, int]:
        """What is locked by accusations."""
        locked: dict[str, int] = defaultdict(int)
        for task in self.tasks.values():
            for filed in task.filed:
                waits = filed.standing == Standing.CONVICTING and not task.is_over
                locked[filed.accuser] += filed.bond if waits or filed.is_undecided else 0
        return locked

    def promised(self) -> Mapping[str, int]:
        """What is locked by tasks."""
        locked: dict[str, int] = defaultdict(int)
        for task in self.tasks.values():
            if not task.is_over:
                locked[task.bidder] += task.stake
        return locked

    def duties(self) -> Mapping[str, int]:
        """How many tasks that are not over each has been drawn for."""
        found: dict[str, int] = defaultdict(int)
        for task in self.tasks.values():
            if not task.is_over:
                found[task.verifier] += 1
        return found

    def take(self, event: e.Event, at: int) -> None:
        """Writes down what happened in this second."""
        task = self.tasks.get(getattr(event, "task", -1))
        match event:
            case e.Posted():
                self.tasks[event.task] = Entry(event.requester, event.job.segments, event.terms)
            case e.Decided():
                self._decided(event, at)
            case e.Offered():
                self.offered[event.verifier] = event.units
                self.units[event.verifier] = max(self.units[event.verifier], event.units * UNIT)
            case _ if task is not None:
                self._about(task, event, at)

    def _about(self, task: Entry, event: e.Event, at: int) -> None:
        match event:
            case e.BidPlaced():
                assert at <= task.terms.bid_until and not task.solver
                assert not task.bidder or event.price < task.price, "it is not lower"
                task.bidder, task.price = event.worker, event.price
            case e.BidWithdrawn():
                assert event.worker == task.bidder
                task.bidder, task.price = "", 0
            case e.Assigned():
                best = (task.bidder, task.price, task.stake)
                assert (event.solver, event.price, event.stake) == best
                task.solver = event.solver
                task.commit_until = at + task.terms.commit_until - task.terms.bid_until
                assert event.commit_until == task.commit_until
            case e.SegmentCommitted():
                task.committed += 1
                if task.committed == task.segments:
                    task.armed_at = at
                    self._run_on(task, at)
            case e.Drawn():
                clock, checks = task.terms.clock, task.terms.checks
                assert at <= task.armed_at + DRAW_TIME, "it is drawn too late"
                assert event.verifier not in (task.solver, task.requester)
                task.verifier = "" if int(event.verifier, 16) == 0 else event.verifier
                task.checked, task.window_ends = event.checked, at + clock + checks * clock // 4
                assert event.window_ends == task.window_ends
            case e.Attested():
                task.attested = True
            case e.Settled() | e.Expired() | e.Cancelled() | e.Punished() | e.VerifierPenalised():
                self._over(task, event, at)
            case e.Accused() | e.DataDemanded():
                self._filed(task, event, at)
            case e.Unsealed():
                filed = task.filed[event.number]
                assert filed.standing == Standing.SEALED and at <= filed.opens_until
                filed.standing = Standing.WAITING
                filed.segment, filed.finding = event.segment, event.finding
            case e.Started():
                assert task.running is None and task.convicting is None, "two disputes at once"
                assert task.next() is task.filed[event.number], "it is another one's turn"
                task.running, task.dispute = event.number, event.dispute
                task.filed[event.number].standing = Standing.RUNNING
                self.disputes[event.dispute] = event.task, event.number
                self.started[event.dispute] = at
            case e.Ended():
                self._ended(task, event, at)
            case e.FindersPaid():
                self._paid(task, event, at)

    def _filed(self, task: Entry, event: e.Accused | e.DataDemanded, at: int) -> None:
        assert event.number == len(task.filed)
        assert event.accuser != task.solver and task.convicting is None
        assert (event.bond, event.privileged) == task.next_bond(event.accuser)
        if not task.is_held and task.committed < task.segments:
            assert at <= task.commit_until
            task.held_since = at
        of_verifier = event.accuser == task.verifier
        is_demand = isinstance(event, e.DataDemanded)
        filed = Filed(
            event.number, event.accuser, at, event.bond, event.privileged, is_demand, of_verifier
        )
        if isinstance(event, e.DataDemanded):
            filed.segment, filed.standing = event.segment, Standing.WAITING
        assert not task.window_ends or at <= task.window_ends, "the window is over"
        if task.armed_at and not task.window_ends:
            assert at <= task.armed_at + DRAW_TIME, "it cannot be drawn any more"
        task.filed.append(filed)

    def _decided(self, event: e.Decided, at: int) -> None:
        task, number = self.disputes[event.dispute]
        self.decided[event.dispute] = event.solver_guilty
        if event.solver_guilty:
            self.tasks[task].convicting, self.tasks[task].convicted_at = number, at

    def _ended(self, task: Entry, event: e.Ended, at: int) -> None:
        filed, last = task.filed[event.number], event.standing
        assert last in LAST, "an accusation ends in one of four ways"
        assert filed.is_undecided, "and once"
        if filed.standing == Standing.RUNNING:
            assert task.dispute is not None
            guilty = self.decided[task.dispute]
            assert last == (Standing.CONVICTING if guilty else Standing.LOST)
            task.running = None
        elif filed.standing == Standing.SEALED and at > filed.opens_until:
            spared = task.convicting is not None and task.convicted_at <= filed.opens_until
            assert last == (Standing.MOOT if spared else Standing.LAPSED)
        else:
            assert filed.standing == Standing.WAITING and task.convicting is not None
            assert last == Standing.MOOT
        filed.standing = last
        if last in (Standing.LOST, Standing.LAPSED):
            self.gains[filed.accuser] -= filed.bond
            given = BOND if last == Standing.LOST else 0
            self.gains[task.solver] += given
            self.burned += filed.bond - given
        if not task.is_held:
            self._run_on(task, at)

    def _run_on(self, task: Entry, at: int) -> None:
        """The solver's time runs again, or does not matter any more."""
        if task.held_since is not None:
            task.commit_until += at - task.held_since
        task.held_since = None

    def _paid(self, task: Entry, event: e.FindersPaid, at: int) -> None:
        assert task.convicting is not None and at > task.convicted_at + OPEN_TIME
        paid = [
            (event.convictor, event.to_convictor),
            (event.verifier, event.to_verifier),
            (event.finder, event.to_finder),
        ]
        told = [("" if int(who, 16) == 0 else who, amount) for who, amount in paid]
        due = task.shares()
        assert told == [due[0:2], due[2:4], due[4:6]], "the finders have other parts"
        self.gains[task.solver] -= task.stake
        for who, amount in told:
            self.gains[who] += amount
        self.burned += task.stake - sum(amount for _, amount in told)

    def _over(self, task: Entry, event: e.Event, at: int) -> None:
        if isinstance(event, e.VerifierPenalised):
            self._fined(task, event)
            return
        if isinstance(event, e.Punished):
            due = sum(task.shares()[1::2])
            assert (event.awarded, event.burned) == (due, task.stake - due)
        else:
            assert not task.is_held, "it ends while it is held"
        if isinstance(event, e.Settled):
            assert at > task.window_ends
        if isinstance(event, e.Cancelled) and task.solver:
            assert task.armed_at and not task.window_ends and at > task.armed_at + DRAW_TIME
        if isinstance(event, e.Expired):
            assert at > task.commit_until
            assert event.penalty == task.terms.max_price * LATE // BPS
            self.gains[task.solver] -= event.penalty
            self.burned += event.penalty
        task.is_over = True

    def _fined(self, task: Entry, event: e.VerifierPenalised) -> None:
        if task.convicting is None:
            assert not task.attested, "it was not silent"
            due = min(task.liability * LATE // BPS, task.terms.verifier_fee)
        else:
            segment = task.filed[task.convicting].segment
            assert segment is not None and task.attested and task.checked >> segment & 1
            due = min(task.liability, task.stake - sum(task.shares()[1::2]))
        due = min(due, self.units[task.verifier])
        assert event.slashed == due
        self.units[task.verifier] -= due
        assert self.offered[task.verifier] <= self.units[task.verifier] // UNIT
        task.fined = due
        self.gains[task.verifier] -= due
        self.burned += due
