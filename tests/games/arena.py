"""A market and a court with people in them, and the books of who did what: for random games."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from eth_abi import encode

from tests.games import transcripts
from tests.games.books import Books, Filed
from tests.games.cast import Assignment, Quarrel, Recorded
from tests.games.sides import Accusing, Answering, Shifty, Wanderer
from tests.games.transcripts import HONEST, LIES, fault, finding, journal_of, transcript
from tests.games.world import BURNED, FEE, PRICE, STAKED, WEALTH
from tests.revm import Deployed
from worker.chain.dues import due
from worker.chain.errors import ContractError
from worker.chain.events import Accused, DataDemanded, Drawn, Posted
from worker.chain.randomness import Randomness
from worker.chain.scan import read_events
from worker.chain.types import Dispute, Phase, Standing, Status, Task, Terms
from worker.dispute import ChallengerPlayer, NothingToProve, SolverPlayer

PEOPLE = 5  # the last is a stranger: nobody's solver or verifier, it helps games to an end
STRANGER = PEOPLE - 1
WANDERER = -2  # an accuser that believes in nothing
NO_HEADERS = encode(["bytes[]"], [[]])  # the proof of a block whose hash the chain still knows
STUCK = (ContractError, NothingToProve, LookupError, ValueError, AssertionError)


class Arena:
    """People, their tasks and their quarrels. Every move is a transaction on a real chain."""

    def __init__(self, arity_bits: int, chain: Any, accounts: list[str]) -> None:
        self.arity_bits, self.people = arity_bits, accounts
        self.chain = Recorded(chain)
        self.system = Deployed(arity_bits, chain=self.chain)
        hands = [self.system.clients(account) for account in accounts]
        self.markets = [hand.market for hand in hands]
        self.lists = [hand.disputes for hand in hands]  # of accusations
        self.courts = [hand.court for hand in hands]
        self.stakes = [hand.stakes for hand in hands]
        self.verifiers = hands[STRANGER].verifiers
        self.tokens = [hand.token for hand in hands]
        self.words = Randomness.of(self.markets[STRANGER])
        self.tasks: list[Assignment] = []
        self.quarrels: dict[tuple[int, int], Quarrel] = {}  # by task and number
        self.heard: dict[int, Quarrel] = {}  # by dispute
        self._books = Books()
        self._read_until = self._block = chain.eth.block_number
        self._reads: dict[tuple[str, Any], Any] = {}
        for person, account in enumerate(accounts):
            self.tokens[person].mint(account, WEALTH)
            self.tokens[person].approve(self.system.market, WEALTH)
            self.tokens[person].approve(self.system.stakes, WEALTH)
            self.stakes[person].deposit(STAKED)
            self.stakes[person].approve_locker(self.system.disputes)
            if person != STRANGER:
                self.stakes[person].approve_locker(self.system.market)
                self.system.stand(account, 10)

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
        terms = Terms(
            PRICE, FEE, now + 100, now + 10_000, min(checks, job.segments), assignment.clock
        )
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

    # accusations

    def accuse(self, number: int, segment: int, accuser: int, believed: int) -> Quarrel:
        """Sealed, by someone who believes in a lie, in the truth, or in nothing: such a one says
        what others have shown of the segment, or makes something up. Of a segment that is not
        committed there is nothing to believe."""
        a = self.tasks[number]
        if segment >= self.task(number).committed:
            believed = WANDERER
        righteous = believed == HONEST and a.is_wrong(segment)
        if believed == WANDERER:
            shown = [f for f in self.books.tasks[number].filed if f.segment == segment]
            said = shown[-1].finding if shown else b""
            said = said or sha256(b"junk %d" % self.chain.time).digest()
        else:
            said = finding(a.shape, a.lie, segment, believed)
        quarrel = Quarrel(number, -1, segment, accuser, believed, righteous, said)
        disputes = self.lists[accuser]
        seal = disputes.seal_of(number, segment, said, self.people[accuser], quarrel.salt)
        quarrel.number = disputes.accuse(number, seal).one(Accused).number
        self.quarrels[number, quarrel.number] = quarrel
        return quarrel

    def demand(self, number: int, segment: int, accuser: int, word: int) -> Quarrel:
        righteous = self.tasks[number].garbage == (segment, False)
        receipt = self.lists[accuser].demand(number, segment, word)
        place = receipt.one(DataDemanded).number
        quarrel = Quarrel(number, place, segment, accuser, None, righteous, b"")
        self.quarrels[number, place] = quarrel
        return quarrel

    def filed(self, quarrel: Quarrel) -> Filed:
        """As the books have it."""
        return self.books.tasks[quarrel.task].filed[quarrel.number]

    def unseal(self, quarrel: Quarrel, person: int | None = None) -> None:
        shown = (quarrel.segment, quarrel.finding, quarrel.salt)
        who = quarrel.accuser if person is None else person
        self.lists[who].unseal(quarrel.task, quarrel.number, *shown)

    def start(self, number: int, person: int = STRANGER) -> Quarrel:
        """Has the next one heard."""
        a = self.tasks[number]
        self.lists[person].start(number, transcripts.job_of(a.shape))
        entry = self.books.tasks[number]
        assert entry.running is not None and entry.dispute is not None
        q, dispute = self.quarrels[number, entry.running], entry.dispute
        q.dispute, self.heard[dispute] = dispute, q
        own = transcript(a.shape, a.lie, q.segment, a.lie)
        journal = journal_of(a.shape, a.lie, q.segment, self.people[a.solver])
        told = (self.courts[a.solver], dispute, own, journal, self.arity_bits)
        lies = (HONEST, dispute % LIES)
        stories = [transcript(a.shape, a.lie, q.segment, lie) for lie in lies]
        q.accused, q.shifty = Answering(*told), Shifty(*told, stories=stories)
        if q.believed is not None:
            q.player = self._accusing(q, dispute)
        return q

    def _accusing(self, q: Quarrel, dispute: int) -> Accusing:
        a, believed = self.tasks[q.task], q.believed
        assert believed is not None
        own = transcript(a.shape, a.lie, q.segment, a.lie if believed == WANDERER else believed)
        step = fault(a.shape, a.lie, q.segment)[1] if believed == HONEST else None
        if q.is_righteous and step is None and a.garbage == (q.segment, True):
            step = own.steps.start  # any: the journal cannot be opened
        kind = Wanderer if believed == WANDERER else Accusing
        return kind(self.courts[q.accuser], dispute, own, self.arity_bits, step)

    def running(self, number: int) -> int | None:
        """The dispute of a task that runs."""
        entry = self.books.tasks[number]
        return entry.dispute if entry.running is not None else None

    def dispute(self, dispute: int) -> Dispute:
        return self._seen("dispute", dispute, self.courts[STRANGER].dispute)

    def is_honest(self, quarrel: Quarrel, of_solver: bool) -> bool:
        return self.tasks[quarrel.task].is_honest if of_solver else quarrel.is_righteous

    def move(self, dispute: int, whim: int | None = None) -> bool:
        """Whoever is to move makes a move. Honest people make the only one that there is; others
        are stuck at times, and with a whim solvers invent what they answer."""
        d, q = self.dispute(dispute), self.heard[dispute]
        if not d.phase.is_running or d.solver_to_move in q.stuck:
            return False
        player: SolverPlayer | ChallengerPlayer | None
        player = q.accused if d.solver_to_move else q.player
        assert player is not None, "nobody but the solver answers a demand"
        assert q.accused is not None and q.shifty is not None
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
                player.move(d, self.courts[q.accuser].events(dispute))
        except STUCK:
            if honest:
                raise
            q.stuck.add(d.solver_to_move)
            return False
        if d.phase == Phase.STEP:  # the trace that was shown is the one to stand by
            q.accused._traces.update(q.shifty._traces if player is q.shifty else {})
            q.shifty._traces.update(q.accused._traces)
        return True

    # whoever is there

    def honest_people_act(self) -> None:
        """Until no honest person has anything left to do: they are online, and time is short."""
        while any(self._duty(number) or self._answer(number) for number in range(len(self.tasks))):
            pass

    def everybody_acts(self, whim: int) -> None:
        """Cheats and liars too, until each is stuck, has left, or has nothing left to do."""
        self.honest_people_act()
        for number, a in enumerate(self.tasks):
            while self.push(number, "start") or self.running(number) is not None:
                dispute = self.running(number)
                assert dispute is not None
                for turn in range(40):
                    d = self.dispute(dispute)
                    gone = a.temper == "gone" and d.solver_to_move and not a.is_honest
                    shifty = a.temper == "shifty" and d.solver_to_move
                    if gone or not self.move(dispute, 2 * (whim + turn) + shifty):
                        break
                if self.running(number) is not None:
                    break  # until its clock is over
        self.honest_people_act()

    def push(self, number: int, *calls: str) -> bool:
        """A stranger does the next thing that anyone may do for a task's accusations, if there is
        one, and it is one of `calls` where any are named."""
        dispute = self.running(number)
        if dispute is not None:
            late = self.dispute(dispute).seconds_left(self.chain.time + 1) < 0
            return late and not calls and self.call_time(dispute)
        entry, disputes = self.books.tasks[number], self.lists[STRANGER]
        if not entry.filed or (entry.is_over and not entry.undecided):
            return False
        found = [disputes.accusation(number, i) for i in range(len(entry.filed))]
        open_time = disputes.open_time()
        call, numbers = due(disputes.queue(number), found, self.chain.time + 1, open_time)
        if not call or (calls and call not in calls):
            return False
        if call == "start":
            self.start(number)
        else:
            getattr(disputes, call)(number, *numbers)
        return True

    def _answer(self, number: int) -> bool:
        """What is asked of an honest side; where one waits, whatever is in its way is moved on."""
        dispute = self.running(number)
        if dispute is not None:
            d = self.dispute(dispute)
            if self.is_honest(self.heard[dispute], d.solver_to_move) and self.move(dispute):
                return True
        for q in self._right(number):
            if self.filed(q).standing == Standing.SEALED:
                self.unseal(q)
                return True
        return bool(self._right(number)) and self.push(number)

    def _right(self, number: int) -> list[Quarrel]:
        """Accusations of honest people that are right and not decided."""
        mine = (self.quarrels[number, f.number] for f in self.books.tasks[number].undecided)
        return [q for q in mine if q.is_righteous]

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
        """For an accusation."""
        now = self.chain.time + 1
        if task.status == Status.ASSIGNED:
            return not task.held and now > task.commit_until
        if task.status == Status.VERIFYING:
            return now > task.window_ends
        return task.status != Status.COMMITTED or now > task.draw_until

    def _accuse(self, number: int, segments: tuple[int, ...], person: int) -> bool:
        """True if it was not done before, and there is a wrong segment."""
        mine = [q for q in self.quarrels.values() if (q.task, q.accuser) == (number, person)]
        wrong = [s for s in segments if self.tasks[number].is_wrong(s)]
        if any(q.is_righteous for q in mine) or not wrong:
            return False
        self.accuse(number, wrong[0], person, HONEST)
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

    @property
    def books(self) -> Books:
        """With all that has happened."""
        tip = self.chain.eth.block_number
        if tip > self._read_until:
            names = {
                address: name
                for address, name in self.system.names.items()
                if name in ("Market", "Verifiers", "Disputes", "Court")
            }
            w3 = self.markets[STRANGER]._w3
            for event in read_events(w3, names, self._read_until + 1, tip):
                self._books.take(event, self.chain.seconds[event.place.block])
            self._read_until = tip
        return self._books

    def stake(self, person: int) -> tuple[int, int, int, int]:
        """Free or unbonding, locked by tasks, by accusations, by units."""
        return self._seen("stake", person, self._stake)

    def _stake(self, person: int) -> tuple[int, int, int, int]:
        stakes, account = self.stakes[person], self.people[person]
        return (
            stakes.free(account) + stakes.unbonding(account)[0],
            stakes.locked(account, self.system.market),
            stakes.locked(account, self.system.disputes),
            stakes.locked(account, self.system.verifiers),
        )

    def balance(self, account: str) -> int:
        return self._seen("balance", account, self.tokens[STRANGER].balance_of)

    def credit(self, account: str) -> int:
        return self._seen("credit", account, self.markets[STRANGER].credit)

    def all_tokens(self) -> int:
        holders = [*self.people, self.system.market, self.system.stakes, BURNED]
        return sum(self.balance(holder) for holder in holders)
