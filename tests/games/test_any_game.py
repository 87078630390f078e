"""The court under attack: any people, any moves, any order, and time going by.

Hypothesis makes up whole games on a native EVM, with the real market and the real court: several
tasks at once, honest solvers and every kind of cheat, honest accusers, liars, and accusers that
only wander about, in the queue of each task. Each promise is an invariant below, in one sentence.
Every game ends with all of its money taken out, and each of its disputes played again in a court
where there is no other. ASSAY_GAMES says how many games, and ASSAY_SLOW_GAMES how many on
eth-tester.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import hypothesis.strategies as st
import pytest
from eth_abi import encode
from eth_utils import keccak
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from web3.exceptions import ContractLogicError

from tests.games.arena import PEOPLE, STRANGER, WANDERER, Arena
from tests.games.books import OPEN_TIME
from tests.games.cast import Assignment
from tests.games.transcripts import HONEST, LIES, SHAPES
from tests.games.world import BURNED, STAKED, WEALTH, small_training
from tests.revm import Deployed, RevmChain, address_of
from tests.tester import TesterChain
from worker.chain.errors import ContractError
from worker.chain.types import Standing, Status
from worker.commit import LEAF_BYTES

GAMES = int(os.environ.get("ASSAY_GAMES", "12"))
SLOW_GAMES = int(os.environ.get("ASSAY_SLOW_GAMES", "0"))
CLOCKS = (3_600, 20_000)
LIVE = (Status.OPEN, Status.ASSIGNED, Status.COMMITTED, Status.VERIFYING)

workers = st.integers(0, STRANGER - 1)
people = st.integers(0, PEOPLE - 1)
segments = st.integers(0, 2)
whims = st.integers(0, 2**16)
lies = st.one_of(st.just(HONEST), st.integers(0, LIES - 1))
beliefs = st.tuples(st.integers(0, 3), st.integers(0, LIES - 1)).map(
    lambda drawn: (HONEST, WANDERER, WANDERER, drawn[1])[drawn[0]]
)


accusers = st.tuples(people, segments, beliefs, st.sampled_from([True, True, False]))
assignments = st.fixed_dictionaries(
    {
        "shape": st.integers(0, len(SHAPES) - 1),
        "solver": workers,
        "lie": lies,
        "garbage": st.none() | st.none() | st.tuples(segments, st.booleans()),
        "temper": st.sampled_from(["stands", "shifty", "gone"]),
        "watcher": st.none() | people,
        "vigilance": st.sampled_from(["honest", "honest", "silent", "yes"]),
        "checks": st.integers(1, 3),
        "commits": st.integers(0, 3),
        "clock": st.sampled_from(CLOCKS),
        "drawn": st.booleans(),
        "crowd": st.lists(accusers, max_size=3),
    }
)


def anything(game: Game) -> bool:
    """There is a task."""
    return bool(game.arena.tasks)


def anybody(game: Game) -> bool:
    """Somebody has accused somebody."""
    return bool(game.arena.quarrels)


@cache
def lonely_court(arity_bits: int) -> tuple[RevmChain, str, str]:
    """A court without disputes, on a chain of its own, and a client to which it may speak."""
    chain = RevmChain()
    court = Deployed(arity_bits, chain=chain).court
    client = chain.deploy("QuietClient")
    return chain, court, client


def told(court: str, call: bytes) -> bytes:
    """The call of the client that makes it make one of the court."""
    return keccak(text="act(address,bytes)")[:4] + encode(["address", "bytes"], [court, call])


class Game(RuleBasedStateMachine):
    def make_chain(self) -> tuple[Any, list[str]]:
        return RevmChain(), [address_of(f"person {i}") for i in range(PEOPLE)]

    @initialize(
        arity_bits=st.sampled_from([1, 2, 5]), first=st.lists(assignments, min_size=2, max_size=4)
    )
    def start(self, arity_bits, first):
        chain, accounts = self.make_chain()
        self.arena = Arena(arity_bits, chain, accounts)
        for about in first:
            self.assigned(**about)

    # --- what people do ------------------------------------------------------------------------

    @rule(about=assignments)
    def assign(self, about):
        self.assigned(**about)

    def assigned(self, *, watcher, checks, commits, drawn=False, crowd=(), **about):
        watcher = STRANGER if watcher == about["solver"] else watcher
        task = self.arena.assign(Assignment(watcher=watcher, **about), checks)
        for _ in range(commits):
            self.arena.commit(task)
        if drawn:
            self.finish(task)
        for one in crowd:
            self.accuse_one(task, *one)
        return task

    @rule(whim=whims)
    @precondition(anything)
    def commit(self, whim):
        working = lambda task: task.status == Status.ASSIGNED  # noqa: E731
        self.arena.commit(self.a_task(whim, working))

    @rule(whim=whims, all_segments=st.booleans())
    @precondition(anything)
    def draw(self, whim, all_segments):
        unchecked = lambda task: task.status in (Status.ASSIGNED, Status.COMMITTED)  # noqa: E731
        self.finish(self.a_task(whim, unchecked), all_segments)

    def a_task(self, whim, good):
        """One for which this is true, if there is any."""
        found = [n for n in range(len(self.arena.tasks)) if good(self.arena.task(n))]
        return (found or range(len(self.arena.tasks)))[whim % len(found or self.arena.tasks)]

    def a_queue(self, whim):
        """A task with accusations that are not decided, if there is any."""
        entries = self.arena.books.tasks
        waiting = [n for n in entries if entries[n].undecided]
        return (waiting or list(entries))[whim % len(waiting or entries)]

    def an_accusation(self, whim):
        """Mostly one that is not decided, where there is one."""
        places = list(self.arena.quarrels)
        waiting = [p for p in places if self.arena.filed(self.arena.quarrels[p]).is_undecided]
        found = waiting if waiting and whim % 5 else places
        return found[whim % len(found)]

    def finish(self, task, all_segments=True):
        while all_segments and self.arena.task(task).status == Status.ASSIGNED:
            if self.arena.chain.time >= self.arena.task(task).commit_until:
                return
            self.arena.commit(task)
        if self.arena.task(task).status == Status.COMMITTED:
            late = self.arena.chain.time + 1 > self.arena.task(task).draw_until
            self.allowed(not late, lambda: self.arena.draw(task))

    @rule(whim=whims, crowd=st.lists(accusers, min_size=1, max_size=5))
    @precondition(anything)
    def accuse(self, whim, crowd):
        """Several people at once, of one segment or of several; some say at once of which."""
        task = self.a_task(whim, lambda task: task.committed and not self.arena.is_too_late(task))
        for _ in range(max(segment for _, segment, *_ in crowd) + 1):
            self.arena.commit(task)
        for one in crowd:
            self.accuse_one(task, *one)

    def accuse_one(self, number, person, segment, believed, shows=True):
        task = self.arena.task(number)
        late = self.arena.is_too_late(task)
        own = self.arena.tasks[number].solver == person
        try:
            quarrel = self.arena.accuse(number, segment, person, believed)
        except ContractError as error:
            assert late or own or task.committed == 0, error
            return False
        assert not late and not own
        if segment >= task.committed:  # a seal may name anything: it will not open
            with pytest.raises(ContractError, match="NotCommitted"):
                self.arena.unseal(quarrel)
        elif shows:
            self.arena.unseal(quarrel)
        return True

    @rule(whim=whims, person=people, segment=segments, word=st.integers(0, 2**256 - 1))
    @precondition(anything)
    def demand(self, whim, person, segment, word):
        timely = lambda task: task.committed and not self.arena.is_too_late(task)  # noqa: E731
        number = self.a_task(whim, timely)
        task = self.arena.task(number)
        own = self.arena.tasks[number].solver == person
        allowed = not own and not self.arena.is_too_late(task) and segment < task.committed
        self.allowed(allowed, lambda: self.arena.demand(number, segment, person, word))

    @rule(whim=whims, person=people, segment=segments, believed=beliefs)
    @precondition(anything)
    def accuse_in_the_last_second(self, whim, person, segment, believed):
        """The deadline that moves while a task is held has no last second."""
        self.arena.honest_people_act()
        ends_once = lambda task: task.status == Status.VERIFYING or not task.held  # noqa: E731
        task = self.a_task(whim, lambda task: not self.arena.is_too_late(task) and ends_once(task))
        found = self.arena.task(task)
        ends = {
            Status.ASSIGNED: found.commit_until,
            Status.COMMITTED: found.draw_until,
            Status.VERIFYING: found.window_ends,
        }
        left = ends.get(found.status, 0) - self.arena.chain.time - 1
        if left <= 0 or (found.held and found.status == Status.ASSIGNED):
            return
        self.arena.wait(left)
        filed = self.accuse_one(task, person, segment, believed)
        moved = filed and found.status == Status.ASSIGNED
        late = self.accuse_one(task, person, segment, believed)
        assert late == moved
        self.end_of(task, "settle")  # is refused over an undecided accusation

    @rule(whim=whims, person=st.none() | people)
    @precondition(anybody)
    def unseal(self, whim, person):
        """Its accuser alone, in time, once, and only what is there."""
        place = self.an_accusation(whim)
        quarrel = self.arena.quarrels[place]
        filed, committed = self.arena.filed(quarrel), self.lists.accusation(*place).committed
        right = person in (None, quarrel.accuser) and quarrel.segment < committed
        timely = self.arena.chain.time + 1 <= filed.opens_until
        allowed = filed.standing == Standing.SEALED and timely and right
        self.allowed(allowed, lambda: self.arena.unseal(quarrel, person))

    @rule(whim=whims, person=people)
    @precondition(anything)
    def hear(self, whim, person):
        """The next one in turn, where none runs: never a sealed one, never two at once."""
        task = self.a_queue(whim)
        entry = self.arena.books.tasks[task]
        turn = entry.next()
        allowed = (
            turn is not None
            and turn.standing == Standing.WAITING
            and entry.running is None
            and entry.convicting is None
        )
        self.allowed(allowed, lambda: self.arena.start(task, person))

    @rule(whim=whims, person=people)
    @precondition(anybody)
    def lapse(self, whim, person):
        place = self.an_accusation(whim)
        filed = self.arena.filed(self.arena.quarrels[place])
        over = self.arena.chain.time + 1 > filed.opens_until
        guilty = self.arena.books.tasks[place[0]].convicting is not None
        allowed = filed.standing == Standing.SEALED and over and not guilty
        self.allowed(allowed, lambda: self.arena.lists[person].lapse(*place))

    @rule(whim=whims, person=people)
    @precondition(anybody)
    def dismiss(self, whim, person):
        place = self.an_accusation(whim)
        filed = self.arena.filed(self.arena.quarrels[place])
        over = self.arena.chain.time + 1 > filed.opens_until
        moot = self.arena.books.tasks[place[0]].convicting is not None
        shown = filed.standing == Standing.WAITING
        allowed = moot and (shown or (filed.standing == Standing.SEALED and over))
        self.allowed(allowed, lambda: self.arena.lists[person].dismiss(*place))

    @rule(whim=whims, person=people)
    @precondition(anything)
    def punish(self, whim, person):
        task = self.a_task(whim, lambda task: task.status == Status.CONDEMNED)
        entry = self.arena.books.tasks[task]
        due = self.arena.chain.time + 1 > entry.convicted_at + OPEN_TIME
        allowed = entry.convicting is not None and due and not entry.is_over
        self.allowed(allowed, lambda: self.arena.lists[person].punish(task))

    def allowed(self, allowed, call):
        """The call is made, or it is refused."""
        try:
            call()
        except ContractError as error:
            assert not allowed, error
            return
        assert allowed

    @rule(where=whims, whim=st.none() | whims, moves=st.integers(1, 25))
    @precondition(anything)
    def argue(self, where, whim, moves):
        task = self.a_queue(where)
        self.arena.push(task, "start")
        for i in range(moves):
            dispute = self.arena.running(task)
            if dispute is None:
                return
            if not self.arena.move(dispute, whim if whim is None else whim + 7 * i):
                return

    @rule(whim=whims)
    def everybody_acts(self, whim):
        self.arena.everybody_acts(whim)

    @rule(whim=whims, person=people)
    @precondition(anything)
    def meddle(self, whim, person):
        """What is not one's own move is refused."""
        task = self.a_queue(whim)
        dispute = self.arena.running(task)
        if dispute is None:
            return
        d, court = self.arena.dispute(dispute), self.arena.courts[person]
        if self.arena.people[person] == d.mover:
            return
        for move in (
            lambda: court.reveal_roots(dispute, []),
            lambda: court.reveal_children(dispute, [d.disputed]),
            lambda: court.reveal_leaf(dispute, b"\0" * LEAF_BYTES),
            lambda: court.descend_steps(dispute, [], 0),
            lambda: court.descend(dispute, 0, d.disputed, []),
            lambda: court.accuse_state(dispute),
            lambda: court.accuse_reports(dispute, court.claim(dispute), small_training()[0].header),
        ):
            try:
                move()
            except ContractError:
                continue
            raise AssertionError("a stranger has made a move")
        assert self.arena.dispute(dispute) == d

    @rule(
        seconds=st.sampled_from([1, 60, OPEN_TIME + 1, 1_800, *(c + 1 for c in CLOCKS), 40_000]),
        clerk=st.booleans(),
    )
    def wait(self, seconds, clerk):
        self.arena.wait(seconds)
        for number in range(len(self.arena.tasks)) if clerk else ():
            while self.arena.push(number):
                pass

    @rule(whim=whims, in_time=st.booleans())
    @precondition(anything)
    def reach_the_end_of_a_clock(self, whim, in_time):
        task = self.a_queue(whim)
        self.arena.honest_people_act()
        dispute = self.arena.running(task)
        if dispute is None:
            return
        d = self.arena.dispute(dispute)
        left = d.seconds_left(self.arena.chain.time)
        if left <= 1:
            return
        self.arena.wait(left - in_time)
        if not in_time:
            q = self.arena.heard[dispute]
            assert d.solver_to_move in q.stuck or not self.arena.move(dispute), "too late"
        assert self.arena.call_time(dispute) != in_time

    @rule(whim=whims, name=st.sampled_from(["settle", "expire", "lapse"]))
    @precondition(anything)
    def end(self, whim, name):
        self.end_of(self.a_task(whim, lambda task: not task.status.is_over), name)

    def end_of(self, task, name):
        held = self.arena.task(task).held
        try:
            getattr(self.arena.markets[STRANGER], name)(task)
        except ContractError:
            return
        assert not held

    @rule(person=people)
    def withdraw(self, person):
        account, market = self.arena.people[person], self.arena.markets[STRANGER]
        owed, had = self.arena.credit(account), self.arena.balance(account)
        if owed:
            market.withdraw_for(account)
        assert self.arena.balance(account) == had + owed

    @rule()
    def sweep(self):
        """What is burned leaves the vault, whoever sends it off."""
        burned = self.arena.stakes[STRANGER].burned()
        self.allowed(burned > 0, self.arena.stakes[STRANGER].sweep)

    @property
    def lists(self):
        return self.arena.lists[STRANGER]

    # --- what stays true -----------------------------------------------------------------------

    @invariant()
    def tokens_and_stake_are_conserved(self):
        """What people and contracts hold and what is burned is what was minted, always; and the
        vault has what it owes: free, unbonding and locked stake, and what is not swept yet."""
        arena = self.arena
        assert arena.all_tokens() == PEOPLE * WEALTH
        owed = sum(sum(arena.stake(person)) for person in range(PEOPLE))
        there = arena.balance(arena.system.stakes)
        assert there == owed + arena.stakes[STRANGER].burned()
        swept = arena.balance(BURNED)
        assert swept + arena.stakes[STRANGER].burned() == arena.books.burned

    @invariant()
    def the_market_holds_what_it_owes(self):
        """The market's balance is the escrow of tasks that are not over, condemned ones until they
        are punished, and what it has credited; it holds no bond."""
        arena = self.arena
        entries = enumerate(arena.books.tasks.values())
        held = [arena.task(i) for i, entry in entries if not entry.is_over]
        escrow = sum(t.max_price + t.verifier_fee for t in held)
        credit = sum(arena.credit(a) for a in arena.people)
        assert arena.balance(arena.system.market) == escrow + credit

    @invariant()
    def stakes_are_what_the_books_say(self):
        """Each stake, free and locked, is what all that happened has left of it by the rules: every
        bond has come back, or gone in the one way that its accusation's end says."""
        arena, books = self.arena, self.arena.books
        bonds, promised, duties = books.bonds(), books.promised(), books.duties()
        verifiers = arena.verifiers
        for person, account in enumerate(arena.people):
            free, of_tasks, of_accusations, of_units = arena.stake(person)
            assert of_accusations == bonds[account]
            assert of_tasks == promised[account]
            assert of_units == books.units[account]
            assert verifiers.duties(account) == duties[account]
            assert verifiers.units_of(account) == books.offered[account]
            everything = free + of_tasks + of_accusations + of_units
            assert everything == STAKED + books.gains[account]

    @invariant()
    def an_honest_solver_never_loses_stake(self):
        """It is never condemned, never late, and each accusation that is heard pays it a bond."""
        arena, books = self.arena, self.arena.books
        for number, entry in books.tasks.items():
            if arena.tasks[number].is_honest:
                assert entry.convicting is None, "an honest solver was condemned"
                assert arena.task(number).status != Status.EXPIRED, "an honest solver was late"
                # a cheat can frame an honest verifier; an honest solver cannot
                assert not entry.fined or arena.tasks[number].vigilance == "silent"

    @invariant()
    def verdicts_are_just(self):
        """No honest solver is found guilty, and an honest accuser that is right never loses."""
        for dispute, guilty in self.arena.books.decided.items():
            q = self.arena.heard[dispute]
            assert not (guilty and self.arena.tasks[q.task].is_honest)
            assert guilty or not q.is_righteous

    @invariant()
    def an_honest_accuser_is_never_out_of_pocket(self):
        """Its bond is not burned either: it unseals in time."""
        for q in self.arena.quarrels.values():
            lost = self.arena.filed(q).standing in (Standing.LOST, Standing.LAPSED)
            assert not (q.is_righteous and lost)

    @invariant()
    def accusations_stand_as_the_books_say(self):
        for number, entry in self.arena.books.tasks.items():
            if not entry.filed:
                continue
            queue = self.lists.queue(number)
            assert queue.filed == len(entry.filed) and queue.undecided == len(entry.undecided)
            assert queue.running == (0 if entry.running is None else entry.running + 1)
            last = entry.filed[-1]
            there = self.lists.accusation(number, last.number)
            assert (there.standing, there.bond) == (last.standing, last.bond)

    @invariant()
    def held_time_moves_one_deadline(self):
        """The solver's deadline for commitments by exactly the time that its task is held while it
        works; and nothing else: a window ends when its draw said it would."""
        for number, entry in self.arena.books.tasks.items():
            task = self.arena.task(number)
            assert task.held == entry.is_held
            assert task.window_ends == entry.window_ends
            if task.status != Status.CONDEMNED and entry.solver:
                held = 0 if entry.held_since is None else self.arena.chain.time - entry.held_since
                assert task.commit_until == entry.commit_until + held

    @invariant()
    def every_second_is_charged_to_one_side(self):
        """A dispute ends within the sum of its clocks: each second since its start is charged to
        one side, and whose time is over has lost as soon as a stranger says so. One dispute of a
        task runs, and whoever waits has no clock."""
        arena = self.arena
        running = {arena.running(number) for number in range(len(arena.tasks))} - {None}
        for dispute, q in arena.heard.items():
            d = arena.dispute(dispute)
            assert d.phase.is_running == (dispute in running)
            if not d.phase.is_running:
                continue
            clock, began = arena.tasks[q.task].clock, arena.books.started[dispute]
            assert d.since - began == 2 * clock - d.solver_clock - d.challenger_clock
            if arena.chain.time > began + 2 * clock:
                court = arena.courts[STRANGER]
                call = court.encode_call("callTime", dispute)
                arena.chain.eth.call({"to": court.address, "data": call})  # is not refused

    def everything_holds(self):
        self.tokens_and_stake_are_conserved()
        self.the_market_holds_what_it_owes()
        self.stakes_are_what_the_books_say()
        self.an_honest_solver_never_loses_stake()
        self.verdicts_are_just()
        self.an_honest_accuser_is_never_out_of_pocket()
        self.accusations_stand_as_the_books_say()
        self.held_time_moves_one_deadline()
        self.every_second_is_charged_to_one_side()

    # --- the end -------------------------------------------------------------------------------

    def teardown(self):
        if hasattr(self, "arena"):
            self.everything_ends_and_all_money_moves()
            self.disputes_do_not_touch_each_other()

    def everything_ends_and_all_money_moves(self):
        """No state holds funds that nobody can move, and none waits for anyone but the honest:
        strangers end every accusation and every task, and the last token leaves the contracts."""
        arena, market = self.arena, self.arena.markets[STRANGER]
        arena.everybody_acts(0)
        filed = sum(len(entry.filed) for entry in arena.books.tasks.values())
        for _ in range(5 + 4 * (filed + len(arena.tasks))):  # nobody but the honest moves any more
            moved = [number for number in range(len(arena.tasks)) if self.move_on(number)]
            if not moved and all(self.is_over(number) for number in range(len(arena.tasks))):
                break
            arena.wait(CLOCKS[-1] // 2)
        for number in range(len(arena.tasks)):
            self.ends_justly(number)
        self.everything_holds()
        for account in arena.people:
            if market.credit(account):
                market.withdraw_for(account)
        assert arena.balance(arena.system.market) == 0
        if arena.stakes[STRANGER].burned():
            arena.stakes[STRANGER].sweep()
        for account in arena.people[:STRANGER]:
            arena.system.leave(account)
        for person in range(PEOPLE):
            arena.stakes[person].unbond(arena.stakes[person].free(arena.people[person]))
        arena.chain.mine(seconds=31 * 86_400)
        for person in range(PEOPLE):
            arena.stakes[person].withdraw()
        assert arena.balance(arena.system.stakes) == 0
        assert arena.balance(BURNED) == arena.books.burned
        assert arena.all_tokens() == PEOPLE * WEALTH

    def move_on(self, number):
        """A stranger does whatever can be done for a task."""
        arena, did = self.arena, False
        while arena.push(number):
            did = True
        due = arena.task(number).due(arena.chain.time + 1)
        if due == "draw":
            arena.draw(number)  # opens a window, in which honest people accuse
            return True
        if due in ("expire", "settle", "lapse"):
            getattr(arena.markets[STRANGER], due)(number)
            return True
        return did

    def is_over(self, number):
        entry = self.arena.books.tasks[number]
        return entry.is_over and not entry.undecided

    def ends_justly(self, number):
        """Everything has an end, and a cheat that was seen in time is condemned."""
        arena, entry = self.arena, self.arena.books.tasks[number]
        task, a = arena.task(number), arena.tasks[number]
        assert self.is_over(number) and task.status.is_over
        assert all(filed.standing.is_decided for filed in entry.filed)
        mine = [q for q in arena.quarrels.values() if q.task == number]
        accused = any(q.is_righteous for q in mine)
        if accused:
            assert task.status == Status.CONDEMNED, "a cheat got away"
        watched = a.watcher is not None and any(a.is_wrong(s) for s in range(task.committed))
        late = task.status == Status.EXPIRED  # what comes in the last second is never paid
        # a wild accuser may be the first to convict a cheat; then there is nothing to watch
        moot = task.status == Status.CONDEMNED
        assert accused or late or moot or not watched, "the watcher slept"

    def disputes_do_not_touch_each_other(self):
        """The verdict does not depend on the order of other disputes: played alone, with its own
        moves at their own times, every dispute takes the same course and has the same end."""
        arena = self.arena
        court = arena.courts[STRANGER]
        chain, lonely, client = lonely_court(arena.arity_bits)
        for dispute, q in arena.heard.items():
            before = chain.evm.snapshot()
            chain.time, chain.logs = arena.books.started[dispute] - 1, []
            number, zero = dispute.to_bytes(32, "big"), b"\0" * 32
            for time, sender, to, data, logs in arena.chain.history:
                own = self.story(logs, arena.system.court, number)
                if to == arena.system.court and data[4:36] == number:
                    call, to = data[:4] + zero + data[36:], lonely
                elif own:  # its opening
                    words = [self.lists.accusation(q.task, q.number).finding] * (len(own) - 1)
                    words = [int.from_bytes(word, "big") for word in words]
                    clock, matter = arena.tasks[q.task].clock, q.task << 32 | q.number
                    told_court = (court.claim(dispute), *words, clock, matter)
                    opening = court.encode_call("demand" if words else "open", *told_court)
                    call, to = told(lonely, opening), client
                else:
                    continue
                chain.time = time - 1
                try:
                    receipt = chain.send(sender, to, call, "alone")
                except ContractLogicError:
                    assert logs is None, "alone, a move is refused that was none"
                    continue
                assert logs is not None, "alone, a move is allowed that was refused"
                assert self.story(receipt["logs"], lonely, zero) == own
            chain.evm.revert(before)

    @staticmethod
    def story(logs, court, number):
        """What the court said of one dispute, without its number and its client."""
        return [
            (log["topics"][0], log["topics"][3:], log["data"])
            for log in logs or ()
            if log["address"] == court and log["topics"][1] == number
        ]


class SlowGame(Game):
    """The same on eth-tester; its disputes are played again on the native EVM."""

    def make_chain(self) -> tuple[Any, list[str]]:
        chain = TesterChain()
        return chain, chain.accounts[1 : PEOPLE + 1]


ALWAYS = settings(
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # to shrink a game takes hours
    suppress_health_check=list(HealthCheck),
)
TestGame = Game.TestCase
TestGame.settings = settings(ALWAYS, max_examples=GAMES, stateful_step_count=40)
if SLOW_GAMES:
    TestSlowGame = SlowGame.TestCase
    TestSlowGame.settings = settings(ALWAYS, max_examples=SLOW_GAMES, stateful_step_count=15)


def test_a_full_cast_on_eth_tester():
    """Every promise at once: an honest solver that a liar and a wanderer accuse, and a cheat that
    invents its answers. The random games of ASSAY_SLOW_GAMES take too long to play them always."""
    game = SlowGame()
    game.start(arity_bits=5, first=[])
    plain = {"shape": 1, "garbage": None, "vigilance": "honest", "checks": 1, "commits": 1}
    honest = game.assigned(**plain, solver=0, lie=HONEST, temper="stands", watcher=None)
    for one in ((1, 0, 1, True), (2, 0, WANDERER, True), (3, 0, 2, False)):
        game.accuse_one(honest, *one)
    cheat = game.assigned(**plain, solver=1, lie=1, temper="shifty", watcher=STRANGER)
    game.arena.everybody_acts(4)
    game.everything_holds()
    game.teardown()
    assert game.arena.task(honest).status == Status.SETTLED
    assert game.arena.task(cheat).status == Status.CONDEMNED
    assert sorted(game.arena.books.decided.values()) == [False, False, True]


def test_one_accuser_against_many_solvers():
    """Whoever watches several tasks at once wins each dispute that is right, whatever is played in
    the others meanwhile, and has every bond back; the honest solver between the cheats is paid."""
    game = Game()
    game.start(arity_bits=2, first=[])
    plain = {"shape": 1, "vigilance": "silent", "checks": 1, "commits": 1, "watcher": 3}
    for solver, lie, temper, garbage in (
        (0, 1, "stands", None),
        (1, 1, "shifty", None),
        (2, HONEST, "stands", None),
        (0, 0, "gone", None),
        (1, HONEST, "stands", (0, True)),
    ):
        game.assigned(**plain, solver=solver, lie=lie, temper=temper, garbage=garbage)
    game.arena.honest_people_act()
    assert [q.accuser for q in game.arena.quarrels.values()] == [3] * 4
    game.arena.everybody_acts(9)
    game.everything_holds()
    game.teardown()
    statuses = [game.arena.task(number).status for number in range(5)]
    assert [s == Status.CONDEMNED for s in statuses] == [True, True, False, True, True]
    assert statuses[2] == Status.SETTLED
    assert set(game.arena.books.decided.values()) == {True}
