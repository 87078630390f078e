"""Random people do random things, for as long as they like: the money stays right.

A game on a native EVM. Every person may be requester, solver, verifier and accuser, the court
decides at random, and time jumps to the deadlines and past them. What is refused must be refused by
name (a panic fails the test), and the verdict of a running dispute is never refused. When a game
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
from tests.contracts.conftest import (
    BOND,
    BURNED,
    DRAW_DELAY,
    DRAW_TIME,
    OPEN_TIME,
    UNBONDING,
    UNIT,
)
from tests.contracts.world import (
    ASSIGNED,
    CANCELLED,
    COMMITTED,
    CONDEMNED,
    CONVICTING,
    EXPIRED,
    LIVE,
    LOST,
    OPEN,
    RUNNING,
    SEALED,
    SETTLED,
    UNDECIDED,
    VERIFYING,
    WAITING,
    World,
)

PEOPLE = 5
WORK = (b"\x05" * 32, b"\x06" * 32)
FINDINGS = [b"\x0f" * 32, b"\x66" * 32]
GAMES = int(os.environ.get("ASSAY_GAMES", "40"))

people = st.integers(0, PEOPLE - 1)
amounts = st.sampled_from([1, 99, 100, 450, 1_500, 6_000, 20_000])


class Game(RuleBasedStateMachine):
    tasks = Bundle("tasks")
    accusations = Bundle("accusations")  # (task, number)

    def __init__(self):
        super().__init__()
        self.world = World(PEOPLE)
        self.jobs = {}
        self.sealed = {}  # (task, number) -> what its seal was made of
        self.decided = {}  # (task, number) -> accusations to which nothing happens any more

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
            self.attempt(person, self.world.verifiers, "offer", 1 + person)

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

    @rule(
        person=people,
        approved=st.booleans(),
        of=st.sampled_from(["market", "verifiers", "disputes"]),
    )
    def approve(self, person, approved, of):
        locker = getattr(self.world, of).address
        self.attempt(person, self.world.stakes, "approveLocker", locker, approved)

    @rule(person=people, units=st.integers(0, 6))
    def offer(self, person, units):
        before = self.all_stakes()
        self.attempt(person, self.world.verifiers, "offer", units)
        assert self.all_stakes() == before, "an offer takes no stake"

    @rule(person=people, other=people)
    def release(self, person, other):
        whose = self.world.people[other]
        spare, until = self.world.verifiers.call("releasable", whose)
        duties = self.world.verifiers.call("duties", whose)
        free = self.world.stake(whose)[0]
        done = self.attempt(person, self.world.verifiers, "release", whose)
        assert done == (spare > 0 and duties == 0 and self.world.time > until)
        assert self.world.stake(whose)[0] == free + (spare if done else 0)

    @rule(task=tasks, person=people)
    def lapse_draw(self, task, person):
        self.on_market(person, "lapse", task)

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
                    self.attempt((person + i) % PEOPLE, self.world.market, "bid", task, 9 - i)
                self.world.reach(self.world.task(task).bidUntil + 1)
                self.on_market(person, "close", task)
            elif status == ASSIGNED:
                self.commit(task, None, 0)
            elif status == COMMITTED:
                self.draw(task, person, True)
            elif status == VERIFYING:
                self.attest(task, None)

    @rule(person=st.none() | people, task=tasks)
    def withdraw_bid(self, person, task):
        """Whoever has the best bid, if nobody is named."""
        found = self.world.task(task)
        best = self.person(found.solver)
        who = best if person is None else person
        if who is not None:
            in_time = found.status == OPEN and self.world.time + 1 <= found.withdrawUntil
            done = self.on_market(who, "withdrawBid", task)
            assert done == (who == best and in_time)

    @rule(person=people, task=tasks)
    def cancel(self, person, task):
        found = self.world.task(task)
        in_time = found.status == OPEN and self.world.time + 1 <= found.bidUntil
        done = self.on_market(person, "cancel", task)
        assert done == (person == self.person(found.requester) and in_time)

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

    @rule(
        target=accusations,
        task=tasks,
        person=people,
        segment=st.integers(0, 3),
        finding=st.sampled_from(FINDINGS),
        unsealed=st.booleans(),
    )
    def accuse(self, task, person, segment, finding, unsealed):
        number = self.file(task, person, segment, finding)
        if number is None:
            return multiple()
        if unsealed:
            self.unseal((task, number))
        return task, number

    @rule(
        target=accusations,
        task=tasks,
        segment=st.integers(0, 3),
        acts=st.lists(st.sampled_from(["file", "start", "decide", "convict"]), max_size=8),
    )
    def quarrel(self, task, segment, acts):
        """Everybody accuses by turns, while disputes start and are decided."""
        filed = []
        for i, act in enumerate(acts):
            if act == "file":
                number = self.file(task, i % PEOPLE, segment, FINDINGS[i % 2])
                if number is not None:
                    self.unseal((task, number))
                    filed.append((task, number))
            elif act == "start":
                self.start_next(task, i % PEOPLE)
            else:
                self.decide(task, act == "convict")
        return multiple(*filed)

    def file(self, task, person, segment, finding):
        who, number = self.world.people[person], self.world.queue(task).filed
        seal = self.world.disputes.call("sealOf", task, segment, finding, who, finding)
        before = self.world.task(task)
        bond, privileged = self.world.disputes.call("bondOf", task, who)
        locked = self.world.stake(who)[3]
        if not self.on_disputes(person, "accuse", task, seal):
            assert self.world.task(task) == before
            return None
        assert self.world.stake(who)[3] == locked + bond
        assert privileged == (who == before.verifier.lower() and bond == BOND) or not privileged
        self.sealed[task, number] = (who, segment, finding)
        return number

    def on_disputes(self, person, name, *arguments, may_lose=()):
        before = self.all_stakes()
        done = self.attempt(person, self.world.disputes, name, *arguments)
        for worker, worth in self.all_stakes().items():
            assert worth >= before[worker] or worker in may_lose, f"{name} took a stake"
        return done

    def unseal(self, which):
        (task, number), (who, segment, finding) = which, self.sealed[which]
        about = self.world.accusation(task, number)
        due = about.standing == SEALED and self.world.time + 1 <= about.filedAt + OPEN_TIME
        due = due and segment < about.committed
        person = self.person(who)
        given = (task, number, segment, finding, finding)
        assert self.on_disputes(person, "unseal", *given) == due

    @rule(which=accusations)
    def some_unseal(self, which):
        self.unseal(which)

    @rule(task=tasks, person=people, segment=st.integers(0, 3), word=st.integers(0, 9))
    def demand(self, task, person, segment, word):
        self.on_disputes(person, "demand", task, segment, word)

    @rule(which=accusations, person=people, over=st.sampled_from([0, 1]))
    def lapse(self, which, person, over):
        about = self.world.accusation(*which)
        self.world.reach(about.filedAt + OPEN_TIME + over)
        late = self.world.time + 1 > about.filedAt + OPEN_TIME
        due = about.standing == SEALED and late and not self.world.queue(which[0]).convicting
        loser = [about.accuser] if due else []
        assert self.on_disputes(person, "lapse", *which, may_lose=loser) == due

    @rule(which=accusations, person=people)
    def dismiss(self, which, person):
        about, queue = self.world.accusation(*which), self.world.queue(which[0])
        late = self.world.time + 1 > about.filedAt + OPEN_TIME
        due = about.standing == WAITING or (about.standing == SEALED and late)
        slept = about.standing == SEALED and about.filedAt + OPEN_TIME < queue.convictedAt
        done = self.on_disputes(
            person, "dismiss", *which, may_lose=[about.accuser] if slept else []
        )
        assert done == (due and queue.convicting > 0)

    @rule(task=tasks, person=people)
    def start_next(self, task, person):
        queue = self.world.queue(task)
        done = self.on_disputes(person, "start", task, self.jobs[task])
        if queue.running or queue.convicting or not queue.undecided:
            assert not done

    @rule(task=tasks, most=st.integers(0, 3), person=people)
    def advance(self, task, most, person):
        assert self.on_disputes(person, "advance", task, most)

    @rule(task=tasks, guilty=st.booleans())
    def some_verdict(self, task, guilty):
        self.decide(task, guilty)

    def decide(self, task, guilty):
        queue, found = self.world.queue(task), self.world.task(task)
        if not queue.running:
            return
        number = queue.running - 1
        about, stakes = self.world.accusation(task, number), self.all_stakes()
        burned = self.world.burned()
        self.world.act(self.world.people[0], self.world.court, "decide", queue.dispute, guilty)
        after = self.world.accusation(task, number)
        assert after.standing == (CONVICTING if guilty else LOST)
        assert (self.world.task(task).status == CONDEMNED) == guilty
        if guilty:
            assert self.all_stakes() == stakes, "a conviction moves no stake"
            return
        stakes[about.accuser] -= about.bond
        stakes[found.solver.lower()] += BOND
        assert self.all_stakes() == stakes
        assert self.world.burned() == burned + about.bond - BOND

    @rule(task=tasks, person=people, over=st.sampled_from([0, 1]))
    def some_punishment(self, task, person, over):
        self.punish(task, person, over)

    def punish(self, task, person, over):
        queue, found = self.world.queue(task), self.world.task(task)
        if not queue.convicting or queue.punished:
            assert not self.on_disputes(person, "punish", task)
            return
        self.world.reach(queue.convictedAt + OPEN_TIME + over)
        due = self.world.time + 1 > queue.convictedAt + OPEN_TIME
        convicting = self.world.accusation(task, queue.convicting - 1)
        stakes, burned = self.all_stakes(), self.world.burned()
        vouched = found.attested and found.checked >> convicting.segment & 1
        may_lose = [found.solver.lower()] + ([found.verifier.lower()] if vouched else [])
        assert self.on_disputes(person, "punish", task, may_lose=may_lose) == due
        if due:
            after = self.all_stakes()
            assert after[found.solver.lower()] == stakes[found.solver.lower()] - found.solverStake
            assert self.world.burned() - burned >= found.solverStake * 7 // 10
            assert convicting.accuser in may_lose or (
                after[convicting.accuser] >= stakes[convicting.accuser] + BOND
            )

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
        total = sum(world.balance(holder) for holder in holders) + world.balance(BURNED)
        assert total == PEOPLE * world.WEALTH

    @invariant()
    def the_market_holds_what_it_owes(self):
        """Its balance is the escrow of live tasks and of condemned ones that nobody has punished,
        and credit."""
        tasks = self.world.tasks()
        waiting = self.world.unpunished()
        held = [t for i, t in enumerate(tasks) if t.status in LIVE or i in waiting]
        escrow = sum(t.maxPrice + t.verifierFee for t in held)
        credit = sum(self.world.credit(account) for account in self.world.people)
        assert self.world.balance(self.world.market.address) == escrow + credit

    @invariant()
    def the_vault_holds_what_it_owes(self):
        """Its balance is everyone's free, locked and unbonding stake, and what is burned."""
        owed = sum(self.all_stakes().values()) + self.world.stakes.call("burned")
        assert self.world.balance(self.world.stakes.address) == owed

    @invariant()
    def units_have_their_stake_and_duties_their_tasks(self):
        """Whoever verifies has at least its units' stake locked, and a duty for each task that it
        was drawn for and that is not over; the sum of the units is what is offered."""
        waiting = self.world.unpunished()
        tasks = [
            task
            for number, task in enumerate(self.world.tasks())
            if task.status == VERIFYING or number in waiting
        ]
        units = {
            person: self.world.verifiers.call("unitsOf", person) for person in self.world.people
        }
        assert sum(units.values()) == self.world.verifiers.call("units")
        for person, count in units.items():
            assert self.world.stake(person)[2] >= count * UNIT
            drawn = sum(task.verifier.lower() == person for task in tasks)
            assert self.world.verifiers.call("duties", person) == drawn

    @invariant()
    def locks_belong_to_tasks(self):
        """What the market has locked of a worker's stake is that of the tasks it solves, or has the
        best bid for, which are live, or condemned and not punished."""
        due = dict.fromkeys(self.world.people, 0)
        waiting = self.world.unpunished()
        for number, task in enumerate(self.world.tasks()):
            bound = task.status in LIVE and self.person(task.solver) is not None
            if bound or number in waiting:
                due[task.solver.lower()] += task.solverStake
        for person in self.world.people:
            assert self.world.stake(person)[1] == due[person]

    def entry(self, task, number):
        """An accusation; a decided one is not asked for again."""
        if (task, number) in self.decided:
            return self.decided[task, number]
        found = self.world.accusation(task, number)
        if found.standing not in UNDECIDED:
            self.decided[task, number] = found
        return found

    @invariant()
    def bonds_are_those_of_accusations(self):
        """What is locked as bonds is the bonds of undecided accusations, and of the one that
        convicted until its task is punished. A held task has an undecided one, and only such a
        one; one at most runs, no undecided one is before the head, no final task is held."""
        due = dict.fromkeys(self.world.people, 0)
        for task, found in enumerate(self.world.tasks()):
            queue = self.world.queue(task)
            entries = [self.entry(task, n) for n in range(queue.filed)]
            undecided = [n for n, e in enumerate(entries) if e.standing in UNDECIDED]
            assert queue.undecided == len(undecided)
            for entry in entries:
                convicting = entry.standing == CONVICTING and not queue.punished
                if entry.standing in UNDECIDED or convicting:
                    due[entry.accuser] += entry.bond
            running = [n + 1 for n, e in enumerate(entries) if e.standing == RUNNING]
            assert running == ([queue.running] if queue.running else [])
            assert all(n >= queue.head or entries[n].privileged for n in undecided)
            assert queue.plain == sum(not e.privileged for e in entries)
            if found.status != CONDEMNED:
                assert found.held == bool(undecided)
            if found.status in (SETTLED, EXPIRED, CANCELLED):
                assert not undecided
        for person in self.world.people:
            assert self.world.stake(person)[3] == due[person]

    # --- the end -------------------------------------------------------------------------------

    def teardown(self):
        """Strangers can end every task and every stake, and nothing is left in the contracts."""
        world, stranger = self.world, self.world.people[0]
        for number in range(len(world.tasks())):
            self.end_queue(number)
        for number, task in enumerate(world.tasks()):
            if task.status == OPEN:
                world.reach(task.bidUntil + 1)
                world.act(stranger, world.market, "close", number)
                task = world.task(number)
            if task.status == ASSIGNED:
                world.reach(task.commitUntil + 1)
                world.act(stranger, world.market, "expire", number)
            if task.status == COMMITTED:
                world.reach(task.drawUntil + 1)
                world.act(stranger, world.market, "lapse", number)
            if task.status == VERIFYING:
                world.reach(task.windowEnds + 1)
                world.act(stranger, world.market, "settle", number)
        assert all(task.status not in LIVE for task in world.tasks())

        for account in world.people:
            if world.credit(account):
                world.act(stranger, world.market, "withdrawFor", account)
        assert world.balance(world.market.address) == 0

        for person in world.people:
            if world.verifiers.call("unitsOf", person):
                world.act(person, world.verifiers, "offer", 0)
        world.pass_time(seconds=DRAW_TIME + 1)
        for person in world.people:
            if world.verifiers.call("releasable", person)[0]:
                world.act(stranger, world.verifiers, "release", person)
            free, locked, in_units, bonds, _ = world.stake(person)
            assert locked == in_units == bonds == 0
            if free:
                world.act(person, world.stakes, "unbond", free)
        world.pass_time(seconds=UNBONDING)
        for person in world.people:
            if world.stake(person)[4]:
                world.act(person, world.stakes, "withdraw")
        if world.stakes.call("burned"):
            world.act(stranger, world.stakes, "sweep")
        assert world.balance(world.stakes.address) == 0
        self.tokens_are_conserved()

    def end_queue(self, task):
        """Every accusation has its end, and a conviction its punishment, by strangers alone."""
        world, stranger = self.world, self.world.people[0]
        for number in range(world.queue(task).filed):
            about, queue = world.accusation(task, number), world.queue(task)
            if about.standing == SEALED:
                world.reach(about.filedAt + OPEN_TIME + 1)
                name = "dismiss" if queue.convicting else "lapse"
                world.act(stranger, world.disputes, name, task, number)
            elif about.standing == WAITING and queue.convicting:
                world.act(stranger, world.disputes, "dismiss", task, number)
        while world.queue(task).undecided:
            if not world.queue(task).running:
                world.act(stranger, world.disputes, "start", task, self.jobs[task])
            self.decide(task, False)
        queue = world.queue(task)
        if queue.convicting and not queue.punished:
            self.punish(task, 0, 1)


TestGame = Game.TestCase
TestGame.settings = settings(
    max_examples=GAMES,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
