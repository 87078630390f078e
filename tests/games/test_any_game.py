"""The court under attack: any people, any moves, any order, and time going by.

Hypothesis makes up whole games on a native EVM, with the real market and the real court: several
tasks at once, honest solvers and every kind of cheat, honest challengers, liars, and challengers
that only wander about. Each promise is an invariant below, in one sentence. Every game ends with
all of its money taken out, and each of its disputes played again in a court where there is no
other. ASSAY_GAMES says how many games, and ASSAY_SLOW_GAMES how many on eth-tester.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import hypothesis.strategies as st
from eth_abi import encode
from eth_utils import keccak
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
)
from web3.exceptions import ContractLogicError

from tests.games.arena import PEOPLE, STRANGER, WANDERER, Arena, Assignment
from tests.games.transcripts import HONEST, LIES, SHAPES
from tests.games.world import BURNED, STAKED, WEALTH, small_training
from tests.revm import Deployed, RevmChain, address_of
from tests.tester import TesterChain
from worker.chain.errors import ContractError
from worker.chain.types import Status
from worker.commit import LEAF_BYTES

GAMES = int(os.environ.get("ASSAY_GAMES", "12"))
SLOW_GAMES = int(os.environ.get("ASSAY_SLOW_GAMES", "0"))
CLOCK, BOND = Deployed.CLOCK, Deployed.PARAMETERS["bond"]
LIVE = (Status.OPEN, Status.ASSIGNED, Status.COMMITTED, Status.VERIFYING)

workers = st.integers(0, STRANGER - 1)
people = st.integers(0, PEOPLE - 1)
segments = st.integers(0, 2)
whims = st.integers(0, 2**16)
lies = st.one_of(st.just(HONEST), st.integers(0, LIES - 1))
beliefs = st.tuples(st.integers(0, 3), st.integers(0, LIES - 1)).map(
    lambda drawn: (HONEST, WANDERER, WANDERER, drawn[1])[drawn[0]]
)


class Recorded:
    """Remembers every transaction, those that were refused too: time, sender, to, data, logs."""

    def __init__(self, chain: Any) -> None:
        self._chain = chain
        self.history: list[tuple[int, str, str, bytes, list[Any] | None]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chain, name)

    def send(self, sender: str, to: str, data: bytes, label: str) -> Any:
        time = self._chain.time + 1
        try:
            receipt = self._chain.send(sender, to, data, label)
        except ContractLogicError:
            self.history.append((time, sender, to, data, None))
            raise
        self.history.append((time, sender, to, data, receipt["logs"]))
        return receipt


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
    tasks = Bundle("tasks")
    disputes = Bundle("disputes")

    def make_chain(self) -> tuple[Any, list[str]]:
        return RevmChain(), [address_of(f"person {i}") for i in range(PEOPLE)]

    @initialize(arity_bits=st.sampled_from([1, 2, 5]))
    def start(self, arity_bits):
        chain, accounts = self.make_chain()
        self.arena = Arena(arity_bits, Recorded(chain), accounts)

    # --- what people do ------------------------------------------------------------------------

    @rule(
        target=tasks,
        shape=st.integers(0, len(SHAPES) - 1),
        solver=workers,
        lie=lies,
        garbage=st.none() | st.none() | st.tuples(segments, st.booleans()),
        temper=st.sampled_from(["stands", "shifty", "gone"]),
        watcher=st.none() | people,
        vigilance=st.sampled_from(["honest", "honest", "silent", "yes"]),
        checks=st.integers(1, 3),
        commits=st.integers(0, 3),
    )
    def assign(self, shape, solver, lie, garbage, temper, watcher, vigilance, checks, commits):
        if watcher == solver:
            watcher = STRANGER
        assignment = Assignment(shape, solver, lie, garbage, temper, watcher, vigilance)
        task = self.arena.assign(assignment, checks)
        for _ in range(commits):
            self.arena.commit(task)
        return task

    @rule(task=tasks)
    def commit(self, task):
        self.arena.commit(task)

    @rule(task=tasks, all_segments=st.booleans())
    def draw(self, task, all_segments):
        while all_segments and self.arena.task(task).status == Status.ASSIGNED:
            if self.arena.chain.time >= self.arena.task(task).commit_until:
                return
            self.arena.commit(task)
        if self.arena.task(task).status == Status.COMMITTED:
            self.arena.draw(task)

    @rule(
        target=disputes,
        task=tasks,
        crowd=st.lists(st.tuples(people, segments, beliefs), min_size=1, max_size=4),
    )
    def challenge(self, task, crowd):
        """Several people at once, at one place or at several."""
        for _ in range(max(segment for _, segment, _ in crowd) + 1):
            self.arena.commit(task)
        return multiple(*(d for one in crowd for d in self.challenge_one(task, *one)))

    def challenge_one(self, number, person, segment, believed):
        task = self.arena.task(number)
        late = self.arena.is_too_late(task)
        own = self.arena.tasks[number].solver == person
        try:
            dispute = self.arena.challenge(number, segment, person, believed)
        except ContractError as error:
            assert late or own or segment >= task.committed, error
            return []
        assert not late and not own
        return [dispute]

    @rule(
        target=disputes,
        task=tasks,
        person=people,
        segment=segments,
        word=st.integers(0, 2**256 - 1),
    )
    def demand(self, task, person, segment, word):
        found = self.arena.task(task)
        if self.arena.is_too_late(found) or segment >= found.committed:
            return multiple()
        if self.arena.tasks[task].solver == person:
            return multiple()
        return self.arena.demand(task, segment, person, word)

    @rule(target=disputes, task=tasks, person=people, segment=segments, believed=beliefs)
    def challenge_in_the_last_second(self, task, person, segment, believed):
        self.arena.honest_people_act()
        found = self.arena.task(task)
        ends = {Status.ASSIGNED: found.commit_until, Status.VERIFYING: found.window_ends}
        left = ends.get(found.status, 0) - self.arena.chain.time - 1
        if left <= 0:
            return multiple()
        self.arena.wait(left)
        opened = self.challenge_one(task, person, segment, believed)
        late = self.challenge_one(task, person, segment, believed)
        assert not late
        self.end(task=task, name="settle")  # is refused over an open dispute
        return multiple(*opened)

    @rule(dispute=disputes, whim=st.none() | whims, moves=st.integers(1, 25))
    def argue(self, dispute, whim, moves):
        for i in range(moves):
            if not self.arena.move(dispute, whim if whim is None else whim + 7 * i):
                return

    @rule(whim=whims)
    def everybody_acts(self, whim):
        self.arena.everybody_acts(whim)

    @rule(dispute=disputes, person=people)
    def meddle(self, dispute, person):
        """What is not one's own move is refused."""
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
            lambda: court.accuse_reports(dispute, small_training()[0].header),
        ):
            try:
                move()
            except ContractError:
                continue
            raise AssertionError("a stranger has made a move")
        assert self.arena.dispute(dispute) == d

    @rule(seconds=st.sampled_from([1, 60, 1_000, CLOCK + 1, 40_000, 90_000]), clerk=st.booleans())
    def wait(self, seconds, clerk):
        self.arena.wait(seconds)
        for dispute in self.arena.quarrels if clerk else ():
            self.arena.call_time(dispute)

    @rule(dispute=disputes, in_time=st.booleans())
    def reach_the_end_of_a_clock(self, dispute, in_time):
        self.arena.honest_people_act()
        d = self.arena.dispute(dispute)
        left = d.seconds_left(self.arena.chain.time)
        if not d.phase.is_running or left <= 1:
            return
        self.arena.wait(left - in_time)
        if not in_time:
            q = self.arena.quarrels[dispute]
            assert d.solver_to_move in q.stuck or not self.arena.move(dispute), "too late"
        assert self.arena.call_time(dispute) != in_time

    @rule(task=tasks, name=st.sampled_from(["settle", "expire"]))
    def end(self, task, name):
        found = self.arena.task(task)
        try:
            getattr(self.arena.markets[STRANGER], name)(task)
        except ContractError:
            return
        assert found.open_disputes == 0

    @rule(dispute=disputes)
    def dismiss(self, dispute):
        q = self.arena.quarrels[dispute]
        moot = self.arena.task(q.task).status == Status.CONDEMNED
        running = self.arena.dispute(dispute).phase.is_running
        try:
            self.arena.markets[STRANGER].dismiss(dispute)
        except ContractError:
            assert not (moot and running)
            return
        assert moot and running

    @rule(dispute=disputes, person=people)
    def punish(self, dispute, person):
        upheld = self.arena.markets[person].challenge_of(dispute).upheld
        try:
            self.arena.markets[person].punish(dispute)
        except ContractError:
            assert not upheld
            return
        assert upheld

    @rule(person=people)
    def withdraw(self, person):
        account, market = self.arena.people[person], self.arena.markets[STRANGER]
        owed, had = self.arena.credit(account), self.arena.balance(account)
        if owed:
            market.withdraw_for(account)
        assert self.arena.balance(account) == had + owed

    # --- what stays true -----------------------------------------------------------------------

    @invariant()
    def tokens_are_conserved(self):
        """What people and contracts hold and what is burned is what was minted, always."""
        assert self.arena.all_tokens() == PEOPLE * WEALTH

    @invariant()
    def the_market_holds_what_it_owes(self):
        """The market's balance is the escrow of tasks that are live or condemned and not punished,
        the bonds of challenges that are not paid out, and what it has credited."""
        arena = self.arena
        arena.read_news()
        waiting = arena.condemned.keys() - arena.punished
        tasks = [arena.task(i) for i in range(len(arena.tasks))]
        held = [t for i, t in enumerate(tasks) if t.status in LIVE or i in waiting]
        escrow = sum(t.max_price + t.verifier_fee for t in held)
        bonds = BOND * sum(t.open_disputes for t in tasks)
        credit = sum(arena.credit(a) for a in [*arena.people, BURNED])
        assert arena.balance(arena.system.market) == escrow + bonds + credit

    @invariant()
    def an_honest_solver_never_loses_stake(self):
        """A stake shrinks by what a punished cheat, a cheat that is late, and a penalised verifier
        lose, and by nothing else."""
        arena = self.arena
        arena.read_news()
        lost = dict.fromkeys(range(STRANGER), 0)
        for number, a in enumerate(arena.tasks):
            task = arena.task(number)
            if task.status == Status.CONDEMNED:
                assert not a.is_honest, "an honest solver was condemned"
                lost[a.solver] += task.solver_stake if number in arena.punished else 0
            if task.status == Status.EXPIRED:
                assert not a.is_honest, "an honest solver was late"
                lost[a.solver] += task.solver_stake * 1_000 // 10_000
            if number in arena.penalised:
                # a solver that cheats can frame an honest verifier; an honest one cannot
                assert not a.is_honest or a.vigilance == "silent"
                lost[arena.people.index(task.verifier)] += arena.penalised[number]
        for person, amount in lost.items():
            assert arena.stake(person) == STAKED - amount

    @invariant()
    def verdicts_are_just(self):
        """No honest solver is found guilty, and an honest challenger that is right never loses."""
        self.arena.read_news()
        for dispute, guilty in self.arena.decided.items():
            q = self.arena.quarrels[dispute]
            assert not (guilty and self.arena.tasks[q.task].is_honest)
            assert guilty or not q.is_righteous

    @invariant()
    def every_bond_goes_to_one_party(self):
        """The bond of a challenge that has ended is the solver's where it was found not guilty, and
        the challenger's where it was guilty or the task already condemned."""
        arena = self.arena
        arena.read_news()
        for dispute, (account, amount, is_moot) in arena.bonds.items():
            q = arena.quarrels[dispute]
            won = is_moot or arena.decided[dispute]
            assert account == arena.people[q.challenger if won else arena.tasks[q.task].solver]
            assert amount == BOND

    @invariant()
    def every_second_is_charged_to_one_side(self):
        """A dispute ends within the sum of its clocks: each second since its opening is charged to
        one side, and whose time is over has lost as soon as a stranger says so."""
        arena = self.arena
        for dispute, q in arena.quarrels.items():
            d = arena.dispute(dispute)
            if not d.phase.is_running:
                continue
            charged = 2 * CLOCK - d.solver_clock - d.challenger_clock
            assert d.since - q.opened == charged
            if arena.chain.time > q.opened + 2 * CLOCK:
                court = arena.courts[STRANGER]
                call = court.encode_call("callTime", dispute)
                arena.chain.eth.call({"to": court.address, "data": call})  # is not refused

    def everything_holds(self):
        self.tokens_are_conserved()
        self.the_market_holds_what_it_owes()
        self.an_honest_solver_never_loses_stake()
        self.verdicts_are_just()
        self.every_bond_goes_to_one_party()
        self.every_second_is_charged_to_one_side()

    # --- the end -------------------------------------------------------------------------------

    def teardown(self):
        if hasattr(self, "arena"):
            self.everything_ends_and_all_money_moves()
            self.disputes_do_not_touch_each_other()

    def everything_ends_and_all_money_moves(self):
        """No state holds funds that nobody can move: strangers end every dispute and every task,
        and the last token leaves the contracts."""
        arena, market = self.arena, self.arena.markets[STRANGER]
        arena.everybody_acts(0)
        for _ in range(4):  # honest people, and nobody else, move any more
            arena.wait(CLOCK + 1)
            for dispute in arena.quarrels:
                arena.call_time(dispute)
            for number in range(len(arena.tasks)):
                status = arena.task(number).status
                if status == Status.COMMITTED:
                    arena.draw(number)  # opens a window, in which honest people challenge
        arena.wait(90_000)
        for number in range(len(arena.tasks)):
            status = arena.task(number).status
            if status in (Status.ASSIGNED, Status.VERIFYING):
                (market.expire if status == Status.ASSIGNED else market.settle)(number)
        for dispute, q in arena.quarrels.items():
            if arena.dispute(dispute).phase.is_running:
                assert arena.task(q.task).status == Status.CONDEMNED
                market.dismiss(dispute)
            if market.challenge_of(dispute).upheld:
                market.punish(dispute)
        arena.read_news()
        assert arena.punished == arena.condemned.keys()
        for number, a in enumerate(arena.tasks):
            task = arena.task(number)
            assert task.status.is_over
            accused = any(q.is_righteous for q in arena.quarrels.values() if q.task == number)
            if accused:
                assert task.status == Status.CONDEMNED, "a cheat got away"
            watched = a.watcher is not None and any(a.is_wrong(s) for s in range(task.committed))
            late = task.status == Status.EXPIRED  # what comes in the last second is never paid
            # a wild accuser may be the first to convict a cheat; then there is nothing to watch
            moot = task.status == Status.CONDEMNED
            assert accused or late or moot or not watched, "the watcher slept"
        self.verdicts_are_just()
        self.every_bond_goes_to_one_party()
        assert len(arena.bonds) == len(arena.quarrels)
        self.an_honest_solver_never_loses_stake()
        for account in [*arena.people, BURNED]:
            if market.credit(account):
                market.withdraw_for(account)
        assert arena.balance(arena.system.market) == 0
        for person in range(STRANGER):
            arena.stakes[person].unbond(arena.stakes[person].free(arena.people[person]))
        arena.chain.mine(seconds=31 * 86_400)
        for person in range(STRANGER):
            arena.stakes[person].withdraw()
        assert arena.balance(arena.system.stakes) == 0
        self.tokens_are_conserved()

    def disputes_do_not_touch_each_other(self):
        """The verdict does not depend on the order of other disputes: played alone, with its own
        moves at their own times, every dispute takes the same course and has the same end."""
        arena = self.arena
        court, market = arena.courts[STRANGER], arena.markets[STRANGER]
        chain, lonely, client = lonely_court(arena.arity_bits)
        for dispute in arena.quarrels:
            before = chain.evm.snapshot()
            chain.time, chain.logs = arena.quarrels[dispute].opened - 1, []
            number, zero = dispute.to_bytes(32, "big"), b"\0" * 32
            dismissal = market.encode_call("dismiss", dispute)
            for time, sender, to, data, logs in arena.chain.history:
                own = self.story(logs, arena.system.court, number)
                if to == arena.system.court and data[4:36] == number:
                    call = data[:4] + zero + data[36:]
                elif data == dismissal and own:
                    call = court.encode_call("dismiss", 0)
                elif own:  # its opening
                    words = [int.from_bytes(data[-32:], "big")] if len(own) == 2 else []
                    name = "demand" if words else "open"
                    call = court.encode_call(name, court.claim(dispute), *words)
                else:
                    continue
                if to == market.address:
                    call, to = told(lonely, call), client
                else:
                    to = lonely
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
    game.start(arity_bits=5)
    plain = {"shape": 1, "garbage": None, "vigilance": "honest", "checks": 1, "commits": 1}
    honest = game.assign(**plain, solver=0, lie=HONEST, temper="stands", watcher=None)
    game.challenge(honest, [(1, 0, 1), (2, 0, WANDERER)])
    cheat = game.assign(**plain, solver=1, lie=1, temper="shifty", watcher=STRANGER)
    game.arena.everybody_acts(4)
    game.everything_holds()
    game.teardown()
    assert game.arena.task(honest).status == Status.SETTLED
    assert game.arena.task(cheat).status == Status.CONDEMNED
    assert sorted(game.arena.decided.values()) == [False, False, True]


def test_one_challenger_against_many_solvers():
    """Whoever watches several tasks at once wins each dispute that is right, whatever is played in
    the others meanwhile, and has every bond back; the honest solver between the cheats is paid."""
    game = Game()
    game.start(arity_bits=2)
    plain = {"shape": 1, "vigilance": "silent", "checks": 1, "commits": 1, "watcher": 3}
    for solver, lie, temper, garbage in (
        (0, 1, "stands", None),
        (1, 1, "shifty", None),
        (2, HONEST, "stands", None),
        (0, 0, "gone", None),
        (1, HONEST, "stands", (0, True)),
    ):
        game.assign(**plain, solver=solver, lie=lie, temper=temper, garbage=garbage)
    game.arena.honest_people_act()
    assert [q.challenger for q in game.arena.quarrels.values()] == [3] * 4
    game.arena.everybody_acts(9)
    game.everything_holds()
    game.teardown()
    statuses = [game.arena.task(number).status for number in range(5)]
    assert [s == Status.CONDEMNED for s in statuses] == [True, True, False, True, True]
    assert statuses[2] == Status.SETTLED
    assert set(game.arena.decided.values()) == {True}
