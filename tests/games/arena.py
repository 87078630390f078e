"""A market and a court with people in them, and the books of who did what: for random games."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from eth_abi import encode

from tests.games import transcripts
from tests.games.sides import Accusing, Answering, Shifty, Wanderer
from tests.games.transcripts import HONEST, LIES, commitment, fault, journal_of, transcript
from tests.games.world import BURNED, FEE, PRICE, STAKED, WEALTH
from tests.revm import Deployed
from worker.chain.errors import ContractError
from worker.chain.events import (
    Challenged,
    ChallengeEnded,
    Condemned,
    Credited,
    Decided,
    Drawn,
    Posted,
    Punished,
    VerifierPenalised,
)
from worker.chain.randomness import Randomness
from worker.chain.scan import read_events
from worker.chain.types import Dispute, Phase, Segment, Status, Task, Terms
from worker.dispute import ChallengerPlayer, NothingToProve, SolverPlayer

PEOPLE = 5  # the last is a stranger: it has no stake, and helps games to an end
STRANGER = PEOPLE - 1
WANDERER = -2  # a challenger that believes in nothing
NO_HEADERS = encode(["bytes[]"], [[]])  # the proof of a block whose hash the chain still knows
GARBAGE = b"\x01" * 32  # what nobody knows a preimage of
STUCK = (ContractError, NothingToProve, LookupError, ValueError, AssertionError)


@dataclass
class Assignment:
    """A task, and what its people are like."""

    shape: int
    solver: int
    lie: int
    garbage: tuple[int, bool] | None  # a segment with roots of nothing: of its journal, or state
    temper: str  # of a cheat, accused: "stands" by its lie, "shifty", or "gone"
    watcher: int | None  # challenges the first wrong segment as soon as it is committed
    vigilance: str  # of whoever is drawn: "honest", "silent", or "yes" to everything

    @property
    def is_honest(self) -> bool:
        return self.lie == HONEST and self.garbage is None

    def committed(self, segment: int, owner: str) -> Segment:
        right = commitment(self.shape, self.lie, segment, owner)
        if self.garbage is None or self.garbage[0] != segment:
            return right
        of_journal = self.garbage[1]
        return Segment(right.state, GARBAGE) if of_journal else Segment(GARBAGE, right.journal)

    def is_known(self, segment: int) -> bool:
        """Whether the state that the segment starts from can be had."""
        return self.garbage is None or self.garbage[1] or segment <= self.garbage[0]

    def is_wrong(self, segment: int) -> bool:
        """Whether an honest challenger has something to prove in this segment."""
        if not self.is_known(segment):
            return False
        found = fault(self.shape, self.lie, segment) != (False, None)
        return found or (self.garbage is not None and self.garbage[0] == segment)


@dataclass
class Quarrel:
    """A dispute, and who plays it."""

    task: int
    segment: int
    challenger: int
    opened: int  # the second
    is_righteous: bool  # an honest challenger that is right
    accused: Answering
    shifty: Shifty
    accuser: Accusing | None  # None of a demand
    stuck: set[bool] = field(default_factory=set)  # sides without a move: True is the solver's


class Arena:
    """People, their tasks and their quarrels. Every move is a transaction on a real chain."""

    def __init__(self, arity_bits: int, chain: Any, accounts: list[str]) -> None:
        self.arity_bits, self.chain, self.people = arity_bits, chain, accounts
        self.system = Deployed(arity_bits, chain=chain)
        self.clients = [self.system.clients(account) for account in accounts]
        self.markets, self.courts, self.stakes, self.tokens = zip(*self.clients, strict=True)
        self.words = Randomness.of(self.markets[STRANGER])
        self.tasks: list[Assignment] = []
        self.quarrels: dict[int, Quarrel] = {}
        self.decided: dict[int, bool] = {}
        self.penalised: dict[int, int] = {}  # by task
        self.bonds: dict[int, tuple[str, int, bool]] = {}  # to whom, how much, if it was moot
        self.condemned: dict[int, int] = {}  # by task, the dispute that did it
        self.punished: set[int] = set()
        self._read_until = self._block = chain.eth.block_number
        self._reads: dict[tuple[str, Any], Any] = {}
        for person, account in enumerate(accounts):
            self.tokens[person].mint(account, WEALTH)
            self.tokens[person].approve(self.system.market, WEALTH)
            self.tokens[person].approve(self.system.stakes, WEALTH)
            if person != STRANGER:
                self.stakes[person].deposit(STAKED)
                self.stakes[person].approve_locker(self.system.market)
                self.markets[person].enlist()

    # tasks

    def task(self, number: int) -> Task:
        return self._seen("task", number, self.markets[STRANGER].task)

    def _seen(self, what: str, key: Any, read: Callable[[Any], Any]) -> Any:
        """Reads once in a block."""
        block = self.chain.eth.block_number
        if block != self._block:
            self._block, self._reads = block, {}
        if (what, key) not in self._reads:
            self._reads[what, key] = read(key)
        return self._reads[what, key]

    def assign(self, assignment: Assignment, checks: int) -> int:
        """Posts a task, and has it assigned to its solver."""
        job = transcripts.job_of(assignment.shape)
        now = self.chain.time
        terms = Terms(PRICE, FEE, now + 100, now + 10_000, min(checks, job.segments))
        number = self.markets[STRANGER].post(job, terms).one(Posted).task
        self.markets[assignment.solver].bid(number, PRICE)
        self.wait(101)
        self.markets[STRANGER].close(number)
        self.tasks.append(assignment)
        return number

    def commit(self, number: int) -> None:
        """The solver commits its next segment."""
        a, task = self.tasks[number], self.task(number)
        if task.status == Status.ASSIGNED and self.chain.time < task.commit_until:
            segment = a.committed(task.committed, self.people[a.solver])
            self.markets[a.solver].commit_segments(number, task.committed, [segment])
            self.keep(number)

    def keep(self, number: int) -> None:
        """A stranger keeps the word of a draw that is armed, as a keeper does: what comes of the
        task may take more blocks than a chain remembers."""
        task = self.task(number)
        if task.status == Status.COMMITTED:
            self.chain.mine(blocks=3)
            self.words.keep(task.draw_word, NO_HEADERS)

    def draw(self, number: int) -> None:
        receipt = self.markets[STRANGER].draw(number)
        a = self.tasks[number]
        if any(isinstance(e, Drawn) for e in receipt.events) and a.vigilance == "yes":
            self.attest(number)

    def attest(self, number: int) -> None:
        task = self.task(number)
        if task.verifier in self.people and not task.attested:
            self.markets[self.people.index(task.verifier)].attest(number)

    # quarrels

    def challenge(self, number: int, segment: int, challenger: int, believed: int) -> int:
        """A dispute by someone who believes in a lie, in the truth, or in nothing."""
        a = self.tasks[number]
        job = transcripts.job_of(a.shape)
        market = self.markets[challenger]
        dispute = market.challenge(number, job, segment).one(Challenged).dispute
        righteous = believed == HONEST and a.is_wrong(segment)
        own = transcript(a.shape, a.lie, segment, a.lie if believed == WANDERER else believed)
        step = fault(a.shape, a.lie, segment)[1] if believed == HONEST else None
        if righteous and step is None and a.garbage == (segment, True):
            step = own.steps.start  # any: the journal cannot be opened
        kind = Wanderer if believed == WANDERER else Accusing
        accuser = kind(self.courts[challenger], dispute, own, self.arity_bits, step)
        self._enter(dispute, number, segment, challenger, righteous, accuser)
        return dispute

    def demand(self, number: int, segment: int, challenger: int, word: int) -> int:
        a = self.tasks[number]
        job = transcripts.job_of(a.shape)
        receipt = self.markets[challenger].demand(number, job, segment, word)
        dispute = receipt.one(Challenged).dispute
        righteous = a.garbage == (segment, False)
        self._enter(dispute, number, segment, challenger, righteous, None)
        return dispute

    def _enter(
        self,
        dispute: int,
        number: int,
        segment: int,
        challenger: int,
        righteous: bool,
        accuser: Accusing | None,
    ) -> None:
        a = self.tasks[number]
        own = transcript(a.shape, a.lie, segment, a.lie)
        journal = journal_of(a.shape, a.lie, segment, self.people[a.solver])
        told = (self.courts[a.solver], dispute, own, journal, self.arity_bits)
        lies = (HONEST, dispute % LIES)
        stories = [transcript(a.shape, a.lie, segment, lie) for lie in lies]
        self.quarrels[dispute] = Quarrel(
            number,
            segment,
            challenger,
            self.chain.time,
            righteous,
            Answering(*told),
            Shifty(*told, stories=stories),
            accuser,
        )

    def dispute(self, dispute: int) -> Dispute:
        return self._seen("dispute", dispute, self.courts[STRANGER].dispute)

    def is_honest(self, quarrel: Quarrel, of_solver: bool) -> bool:
        return self.tasks[quarrel.task].is_honest if of_solver else quarrel.is_righteous

    def move(self, dispute: int, whim: int | None = None) -> bool:
        """Whoever is to move makes a move. Honest people make the only one that there is; others
        are stuck at times, and with a whim solvers invent what they answer."""
        d, q = self.dispute(dispute), self.quarrels[dispute]
        if not d.phase.is_running or d.solver_to_move in q.stuck:
            return False
        player: SolverPlayer | ChallengerPlayer | None
        player = q.accused if d.solver_to_move else q.accuser
        assert player is not None, "nobody but the solver answers a demand"
        honest = self.is_honest(q, d.solver_to_move)
        if whim is not None and not honest:
            if d.solver_to_move and d.phase != Phase.DATA and whim % 2:
                player = q.shifty
            if isinstance(player, (Shifty, Wanderer)):
                player.rng.seed(f"{whim} {dispute} {self.chain.time}")
        try:
            if isinstance(player, SolverPlayer):
                player.move(d)
            else:
                player.move(d, self.courts[q.challenger].events(dispute))
        except STUCK:
            if honest:
                raise
            q.stuck.add(d.solver_to_move)
            return False
        if d.phase == Phase.STEP:  # the trace that was shown is the one to stand by
            q.accused._traces.update(q.shifty._traces if player is q.shifty else {})
            q.shifty._traces.update(q.accused._traces)
        return True

    def honest_people_act(self) -> None:
        """Until no honest person has anything left to do: they are online, and time is short."""
        while any(self._duty(number) for number in range(len(self.tasks))) or any(
            self._answer(dispute) for dispute in list(self.quarrels)
        ):
            pass

    def everybody_acts(self, whim: int) -> None:
        """Cheats and liars too, until each is stuck, has left, or has nothing left to do."""
        self.honest_people_act()
        for dispute, q in self.quarrels.items():
            for turn in range(40):
                d, a = self.dispute(dispute), self.tasks[q.task]
                gone = a.temper == "gone" and d.solver_to_move and not a.is_honest
                shifty = a.temper == "shifty" and d.solver_to_move
                if gone or not self.move(dispute, 2 * (whim + turn) + shifty):
                    break
        self.honest_people_act()

    def _answer(self, dispute: int) -> bool:
        d = self.dispute(dispute)
        honest = d.phase.is_running and self.is_honest(self.quarrels[dispute], d.solver_to_move)
        return honest and self.move(dispute)

    def _duty(self, number: int) -> bool:
        a, task = self.tasks[number], self.task(number)
        if task.status == Status.ASSIGNED and a.is_honest:
            self.commit(number)
            return True
        if task.status not in (Status.ASSIGNED, Status.COMMITTED, Status.VERIFYING):
            return False
        verifying = task.status == Status.VERIFYING and a.vigilance == "honest"
        if verifying and self.chain.time < task.window_ends and task.verifier in self.people:
            drawn = self.people.index(task.verifier)
            if self._accuse(number, task.checked_segments, drawn):
                return True
            # what is wrong, or cannot be checked, is not vouched for
            right = (a.is_known(s) and not a.is_wrong(s) for s in task.checked_segments)
            if not task.attested and all(right):
                self.attest(number)
                return True
        if a.watcher is None or self.is_too_late(task):
            return False
        return self._accuse(number, tuple(range(task.committed)), a.watcher)

    def is_too_late(self, task: Task) -> bool:
        """For a challenge."""
        now = self.chain.time + 1
        late = {Status.ASSIGNED: task.commit_until, Status.VERIFYING: task.window_ends}
        return task.status != Status.COMMITTED and now > late.get(task.status, 0)

    def _accuse(self, number: int, segments: tuple[int, ...], person: int) -> bool:
        """True if it was not done before, and there is a wrong segment."""
        mine = [q for q in self.quarrels.values() if (q.task, q.challenger) == (number, person)]
        wrong = [s for s in segments if self.tasks[number].is_wrong(s)]
        if any(q.is_righteous for q in mine) or not wrong:
            return False
        self.challenge(number, wrong[0], person, HONEST)
        return True

    # time, money, and what happened

    def wait(self, seconds: int) -> None:
        self.honest_people_act()
        self.chain.mine(seconds=seconds)

    def call_time(self, dispute: int) -> bool:
        """A stranger ends a dispute whose clock has run out."""
        try:
            self.courts[STRANGER].call_time(dispute)
        except ContractError as error:
            assert error.name in ("ClockStillRunning", "WrongPhase")
            return False
        return True

    def read_news(self) -> None:
        """Writes verdicts, penalties and bonds down."""
        names = {self.system.court: "Court", self.system.market: "Market"}
        tip = self.chain.eth.block_number
        ended: tuple[int, bool] | None = None
        for event in read_events(self.markets[STRANGER]._w3, names, self._read_until + 1, tip):
            if isinstance(event, Decided):
                self.decided[event.dispute] = event.solver_guilty
            if isinstance(event, VerifierPenalised):
                self.penalised[event.task] = event.slashed
            if isinstance(event, ChallengeEnded):
                ended = event.dispute, event.task in self.condemned
            if isinstance(event, Condemned):
                self.condemned[event.task], ended = event.dispute, None
            if isinstance(event, Punished):
                self.punished.add(event.task)
                ended = self.condemned[event.task], False
            if isinstance(event, Credited) and ended:  # the credit that follows is the bond
                self.bonds[ended[0]] = (event.account, event.amount, ended[1])
                ended = None
        self._read_until = tip

    def stake(self, person: int) -> int:
        """All of it, whatever it is there for."""
        return self._seen("stake", person, self._stake)

    def _stake(self, person: int) -> int:
        stakes, account = self.stakes[person], self.people[person]
        held = stakes.free(account) + stakes.locked(account, self.system.market)
        return held + stakes.unbonding(account)[0]

    def balance(self, account: str) -> int:
        return self._seen("balance", account, self.tokens[STRANGER].balance_of)

    def credit(self, account: str) -> int:
        return self._seen("credit", account, self.markets[STRANGER].credit)

    def all_tokens(self) -> int:
        holders = [*self.people, self.system.market, self.system.stakes, BURNED]
        return sum(self.balance(holder) for holder in holders)
