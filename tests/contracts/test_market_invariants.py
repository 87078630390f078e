"""Random people do random things, for as long as they like: the money stays right.

A game on a native EVM. Every person may be requester, solver, verifier and challenger, the court
decides at random, and time jumps to the deadlines and past them. What is refused must be refused by
name (a panic fails the test), and a verdict about an open challenge is never refused. When a game
is over, strangers end every task, and not one token may be left in a contract.
"""

import os

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from tests import evm
from tests.contracts.conftest import DRAW_DELAY, PARAMETERS, UNBONDING
from tests.contracts.world import (
    ASSIGNED,
    CANCELLED,
    COMMITTED,
    CONDEMNED,
    EXPIRED,
    LIVE,
    OPEN,
    SETTLED,
    VERIFYING,
    World,
)

PEOPLE = 5
BOND = PARAMETERS["bond"]
WORK = (b"\x05" * 32, b"\x06" * 32)
GAMES = int(os.environ.get("ASSAY_GAMES", "40"))

people = st.integers(0, PEOPLE - 1)
amounts = st.sampled_from([1, 99, 100, 450, 1_500, 6_000, 20_000])


class Game(RuleBasedStateMachine):
    tasks = Bundle("tasks")
    disputes = Bundle("disputes")

    def __init__(self):
        super().__init__()
        self.world = World(PEOPLE)
        self.jobs = {}
        self.open = {}  # dispute -> (task, segment, challenger)
        self.upheld = {}  # the same, of those that condemned and nobody has punished
        self.held = {}  # what everyone has in stake, by the last look

    # --- what people do ------------------------------------------------------------------------

    def attempt(self, person, contract, name, *arguments):
        """True if it was not refused. Whoever is not named by `may_lose` loses no stake by it."""
        try:
            self.world.act(self.world.people[person], contract, name, *arguments)
        except evm.Reverted:
            return False
        return True

    def on_market(self, person, name, *arguments, may_lose=()):
        before = self.all_stakes()
        done = self.attempt(person, self.world.market, name, *arguments)
        after = self.all_stakes()
        for worker in self.world.people:
            if worker not in may_lose:
                assert after[worker] == before[worker], f"{name} took an innocent's stake"
        return done

    def all_stakes(self):
        return {person: sum(self.world.stake(person)) for person in self.world.people}

    @initialize(idle=st.sets(people, max_size=2))
    def start(self, idle):
        for person in set(range(PEOPLE)) - idle:
            self.world.staked(self.world.people[person], 20_000)
            self.attempt(person, self.world.market, "enlist")

    @rule(seconds=st.sampled_from([0, 1_000, UNBONDING]), blocks=st.sampled_from([0, 1, 255]))
    def wait(self, seconds, blocks):
        self.world.pass_time(seconds, blocks)

    @rule(task=tasks, over=st.sampled_from([0, 1]))
    def reach_deadline(self, task, over):
        found = self.world.task(task)
        deadlines = {OPEN: found.bidUntil, ASSIGNED: found.commitUntil, VERIFYING: found.windowEnds}
        self.world.reach(deadlines.get(found.status, 0) + over)

    @rule(person=people, name=st.sampled_from(["deposit", "unbond"]), amount=amounts)
    def move_stake(self, person, name, amount):
        self.attempt(person, self.world.stakes, name, amount)

    @rule(person=people)
    def take_stake(self, person):
        self.attempt(person, self.world.stakes, "withdraw")

    @rule(person=people, approved=st.booleans())
    def approve(self, person, approved):
        market = self.world.market.address
        self.attempt(person, self.world.stakes, "approveLocker", market, approved)

    @rule(person=people, worker=people, name=st.sampled_from(["enlist", "delist", "evict"]))
    def list_or_not(self, person, worker, name):
        arguments = [self.world.people[worker]] if name == "evict" else []
        self.on_market(person, name, *arguments)

    @rule(
        target=tasks,
        person=people,
        segments=st.integers(1, 4),
        checks=st.integers(1, 4),
        price=st.sampled_from([1, 66, 1_000, 3_333]),
        fee=st.sampled_from([0, 8, 301, 1_000]),
        bid=st.sampled_from([60, 1_000]),
        commit=st.sampled_from([120, 3_000]),
        steps=st.integers(0, 4),
    )
    def post(self, person, segments, checks, price, fee, bid, commit, steps):
        job = self.world.job(segments)
        terms = self.world.terms(price, fee, min(checks, segments), bid, commit)
        task = self.world.market.call("tasks")
        if not self.on_market(person, "post", job, terms):
            return multiple()
        self.jobs[task] = job
        self.proceed(task, (person + 1) % PEOPLE, steps)
        return task

    @rule(person=people, task=tasks, price=st.integers(1, 3_333))
    def bid(self, person, task, price):
        price = min(price, self.world.task(task).maxPrice)
        self.on_market(person, "bid", task, price)

    @rule(task=tasks, person=people, steps=st.integers(1, 4))
    def some_progress(self, task, person, steps):
        self.proceed(task, person, steps)

    def proceed(self, task, person, steps):
        """What honest people would do next, so that games get on."""
        for _ in range(steps):
            status = self.world.task(task).status
            if status == OPEN:
                for i in range(PEOPLE):
                    self.attempt((person + i) % PEOPLE, self.world.market, "bid", task, 1 + i)
                self.world.reach(self.world.task(task).bidUntil + 1)
                self.on_market(person, "close", task)
            elif status == ASSIGNED:
                self.commit(task, None, 0)
            elif status == COMMITTED:
                self.draw(task, person, True)
            elif status == VERIFYING:
                self.attest(task, None)

    @rule(person=people, task=tasks)
    def close(self, person, task):
        self.on_market(person, "close", task)

    @rule(task=tasks, person=st.none() | people, count=st.integers(0, 5))
    def some_commit(self, task, person, count):
        self.commit(task, person, count)

    def commit(self, task, person, count):
        """The solver, if nobody is named, commits so many segments, or all that are left."""
        found = self.world.task(task)
        who = person if person is not None else self.person(found.solver)
        if who is None:
            return
        count = min(count, found.segments - found.committed) or found.segments - found.committed
        self.on_market(who, "commitSegments", task, found.committed, [WORK] * count)

    @rule(task=tasks, person=people, ready=st.booleans())
    def some_draw(self, task, person, ready):
        self.draw(task, person, ready)

    def draw(self, task, person, ready):
        if ready:
            self.world.pass_time(blocks=DRAW_DELAY)
        self.on_market(person, "draw", task)

    @rule(task=tasks, person=st.none() | people)
    def some_attest(self, task, person):
        self.attest(task, person)

    def attest(self, task, person):
        who = person if person is not None else self.person(self.world.task(task).verifier)
        if who is not None:
            self.on_market(who, "attest", task)

    @rule(target=disputes, task=tasks, person=people, segment=st.integers(0, 3))
    def challenge(self, task, person, segment):
        found = self.challenge_one(task, person, segment)
        return multiple() if found is None else found

    @rule(
        target=disputes,
        task=tasks,
        crowd=st.lists(st.tuples(people, st.none() | st.booleans()), min_size=1, max_size=4),
        steps=st.integers(0, 4),
    )
    def quarrel(self, task, crowd, steps):
        """Several challenge at once; some are decided, some stay open (None)."""
        self.proceed(task, crowd[0][0], steps)
        committed = max(self.world.task(task).committed, 1)
        found = [
            (self.challenge_one(task, person, i % committed), guilty)
            for i, (person, guilty) in enumerate(crowd)
        ]
        for dispute, guilty in found:
            if dispute is not None and guilty is not None:
                self.decide(dispute, guilty)
        return multiple(*(dispute for dispute, _ in found if dispute is not None))

    def challenge_one(self, task, person, segment):
        dispute = self.world.court.call("disputes")
        if not self.on_market(person, "challenge", task, self.jobs[task], segment):
            return None
        self.open[dispute] = (task, segment, self.world.people[person])
        return dispute

    @rule(dispute=disputes, guilty=st.booleans())
    def some_verdict(self, dispute, guilty):
        self.decide(dispute, guilty)

    def decide(self, dispute, guilty):
        if dispute not in self.open:
            assert not self.attempt(0, self.world.court, "decide", dispute, guilty)
            return
        task, segment, challenger = self.open.pop(dispute)
        found = self.world.task(task)
        stakes = self.all_stakes()
        credit = self.world.credit(challenger)
        self.world.act(self.world.people[0], self.world.court, "decide", dispute, guilty)

        convicted = guilty and found.status != CONDEMNED
        if convicted:
            self.upheld[dispute] = (task, segment, challenger)
        assert self.all_stakes() == stakes, "a verdict moves no stake"
        assert (self.world.task(task).status == CONDEMNED) == (
            convicted or found.status == CONDEMNED
        )
        won = found.status == CONDEMNED  # what a conviction brings comes with the punishment
        assert self.world.credit(challenger) == credit + (BOND if won else 0) or not guilty

    @rule(dispute=disputes, person=people)
    def some_punishment(self, dispute, person):
        self.punish(dispute, person)

    def punish(self, dispute, person):
        if dispute not in self.upheld:
            assert not self.on_market(person, "punish", dispute)
            return
        task, segment, challenger = self.upheld.pop(dispute)
        found = self.world.task(task)
        stakes, credit = self.all_stakes(), self.world.credit(challenger)
        self.world.act(self.world.people[person], self.world.market, "punish", dispute)
        vouched = found.attested and found.checked >> segment & 1
        may_lose = {found.solver.lower()}
        may_lose |= {found.verifier.lower()} if vouched else set()
        for worker, before in stakes.items():
            lost = before - sum(self.world.stake(worker))
            assert (lost > 0) == (worker in may_lose)
        assert self.world.credit(challenger) >= credit + BOND

    @rule(dispute=disputes, person=people)
    def dismiss(self, dispute, person):
        moot = dispute in self.open and self.world.task(self.open[dispute][0]).status == CONDEMNED
        assert self.on_market(person, "dismiss", dispute) == moot
        if moot:
            del self.open[dispute]

    @rule(task=tasks, person=people)
    def settle(self, task, person):
        found = self.world.task(task)
        silent = [found.verifier.lower()] if not found.attested else []
        self.on_market(person, "settle", task, may_lose=silent)

    @rule(task=tasks, person=people)
    def expire(self, task, person):
        found = self.world.task(task)
        late = self.world.time + 1 > found.commitUntil and found.committed < found.segments
        done = self.on_market(
            person, "expire", task, may_lose=[found.solver.lower()] if late else []
        )
        assert late or not done

    @precondition(lambda self: self.jobs)
    @rule(person=people, other=people)
    def withdraw(self, person, other):
        whose = self.world.people[other]
        owed, had = self.world.credit(whose), self.world.balance(whose)
        done = self.on_market(person, "withdrawFor", whose)
        assert done == (owed > 0)
        assert self.world.balance(whose) == had + owed

    def person(self, address):
        address = address.lower()
        return self.world.people.index(address) if address in self.world.people else None

    # --- what stays true -----------------------------------------------------------------------

    @invariant()
    def tokens_are_conserved(self):
        """What people and contracts hold and what is burned add up to what was minted."""
        world = self.world
        holders = [*world.people, world.stakes.address, world.market.address]
        total = sum(world.balance(holder) for holder in holders) + world.burned()
        assert total == PEOPLE * world.WEALTH

    @invariant()
    def the_market_holds_what_it_owes(self):
        """Its balance is the escrow of live tasks and of condemned ones that nobody has punished,
        the bonds of challenges that are open or condemned these, and credit."""
        tasks = self.world.tasks()
        waiting = {task for task, _, _ in self.upheld.values()}
        assert waiting == self.world.unpunished()
        held = [t for i, t in enumerate(tasks) if t.status in LIVE or i in waiting]
        escrow = sum(t.maxPrice + t.verifierFee for t in held)
        accounts = [*self.world.people, "0x000000000000000000000000000000000000dead"]
        credit = sum(self.world.credit(account) for account in accounts)
        has = self.world.balance(self.world.market.address)
        bonds = BOND * (len(self.open) + len(self.upheld))
        assert has == escrow + bonds + credit

    @invariant()
    def the_vault_holds_what_it_owes(self):
        """Its balance is everyone's free, locked and unbonding stake."""
        assert self.world.balance(self.world.stakes.address) == sum(self.all_stakes().values())

    @invariant()
    def locks_belong_to_tasks(self):
        """A worker's locked stake is that of the tasks it solves and verifies which are live, or
        condemned and not punished."""
        due = dict.fromkeys(self.world.people, 0)
        waiting = self.world.unpunished()
        for number, task in enumerate(self.world.tasks()):
            if task.status in (ASSIGNED, COMMITTED, VERIFYING) or number in waiting:
                due[task.solver.lower()] += task.solverStake
            if (task.status == VERIFYING or number in waiting) and task.verifierStake:
                due[task.verifier.lower()] += task.verifierStake
        for person in self.world.people:
            assert self.world.stake(person)[1] == due[person]

    @invariant()
    def disputes_are_counted(self):
        """A task counts the challenges whose bond it holds: open ones, and the one that condemned
        it until it is punished. A final task has none, unless it is Condemned."""
        for number, task in enumerate(self.world.tasks()):
            held = [*self.open.values(), *self.upheld.values()]
            count = sum(about == number for about, _, _ in held)
            assert task.openDisputes == count
            if task.status in (SETTLED, EXPIRED, CANCELLED):
                assert count == 0

    # --- the end -------------------------------------------------------------------------------

    def teardown(self):
        """Strangers can end every task and every stake, and nothing is left in the contracts."""
        world, stranger = self.world, self.world.people[0]
        for dispute in list(self.open):
            self.open.pop(dispute)
            world.act(stranger, world.court, "decide", dispute, False)
        for dispute in list(self.upheld):
            self.punish(dispute, 0)
        for number, task in enumerate(world.tasks()):
            if task.status == OPEN:
                world.reach(task.bidUntil + 1)
                world.act(stranger, world.market, "close", number)
                task = world.task(number)
            if task.status == ASSIGNED:
                world.reach(task.commitUntil + 1)
                world.act(stranger, world.market, "expire", number)
            if task.status == COMMITTED:
                world.pass_time(blocks=DRAW_DELAY)
                world.act(stranger, world.market, "draw", number)
                task = world.task(number)
            if task.status == VERIFYING:
                world.reach(task.windowEnds + 1)
                world.act(stranger, world.market, "settle", number)
        assert all(task.status not in LIVE for task in world.tasks())

        for account in [*world.people, "0x000000000000000000000000000000000000dead"]:
            if world.credit(account):
                world.act(stranger, world.market, "withdrawFor", account)
        assert world.balance(world.market.address) == 0

        for person in world.people:
            free, locked, _ = world.stake(person)
            assert locked == 0
            if free:
                world.act(person, world.stakes, "unbond", free)
        world.pass_time(seconds=UNBONDING)
        for person in world.people:
            if world.stake(person)[2]:
                world.act(person, world.stakes, "withdraw")
        assert world.balance(world.stakes.address) == 0
        self.tokens_are_conserved()


TestGame = Game.TestCase
TestGame.settings = settings(
    max_examples=GAMES,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
