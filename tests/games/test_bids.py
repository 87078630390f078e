"""Bids: only for what can be done in time beside all that is promised, at what it costs here."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace

import pytest
import torch

from tests.games.players import at_max_price, decoded
from tests.games.world import FEE, PRICE, World, small_training
from worker.chain.events import Posted
from worker.chain.types import Status, Terms
from worker.config import JobsConfig, PricingConfig
from worker.jobs import Measured, NativeComputation, measure, moves, replays
from worker.program import Program
from worker.roles import Keeper, Solver, Verifier, WorkPrice, admission
from worker.roles.pricing import GAS_BID, GAS_SEGMENT, GAS_TASK
from worker.roles.promises import Promise, shortage


@pytest.fixture(autouse=True)
def decode_once(monkeypatch):
    monkeypatch.setattr(Program, "from_bytes", staticmethod(decoded))


def post(world, job, seconds, bid_seconds=100):
    """A task that is to be committed `seconds` after its bidding."""
    until = world.chain.time + bid_seconds
    terms = Terms(PRICE, FEE, until, until + seconds, job.segments, world.system.CLOCK)
    return world.desks["requester"].market.post(job, terms).one(Posted).task


def timed(monkeypatch, step, **others):
    """Every step takes so many seconds here."""
    speed = Measured(**{"first": 0.0, "traced": 0.0, "hashing": 0.0, **others, "step": step})
    monkeypatch.setattr(admission, "measure", lambda *about: speed)


def best(world, number):
    """Who has the best bid; nobody where there is none."""
    task = world.task(number)
    return task.solver if task.has_solver else None


def test_what_cannot_be_done_in_half_of_the_time_gets_no_bid(caplog):
    """Protects a solver's stake: 998,400 steps in 60 s are refused after a few have been run, with
    the seconds that all would take."""
    world = World()
    number = post(world, world.job(998_400, 3_900), 60)
    solver = Solver(world.desks["solver"], at_max_price)
    assert not solver.tick() and not best(world, number)
    assert "s of work here in 60 s, of which half must do" in caplog.text


def test_what_is_promised_counts_before_more_is(monkeypatch):
    """Protects a solver's stake: of three tasks of 46 s with 200 s to go it bids for two, and for
    the third when one of them is somebody else's."""
    world = World()
    timed(monkeypatch, 4.6)
    jobs = [replace(world.job(), seed=seed) for seed in range(3)]
    for job in jobs[:2]:
        post(world, job, 200)
    last = post(world, jobs[2], 200, bid_seconds=150)
    solver = Solver(world.desks["solver"], at_max_price)
    while solver.bids.tick():
        pass
    me = solver.desk.account
    assert [best(world, n) for n in range(3)] == [me, me, None]
    world.desks["verifier"].market.bid(1, PRICE - 1)
    world.chain.mine(seconds=105)
    world.play(Keeper(world.desks["outsider"]))
    assert [world.task(n).solver == me for n in range(2)] == [True, False]
    assert solver.bids.tick() and best(world, last) == me


def test_a_check_that_was_drawn_is_promised_too(monkeypatch):
    """Protects a verifier's stake: who must recompute something first has less time to sell."""
    world = World()
    desk = world.desks["verifier"]
    world.system.CLOCK = 300  # accusations are taken for 525 s
    world.commit(world.job(), world.desks["solver"])
    world.system.CLOCK = 3_600
    assert world.task(0).verifier == desk.account
    timed(monkeypatch, 15.0)
    number = post(world, replace(world.job(), seed=8), 320)
    both = Solver(desk, at_max_price)
    assert not both.bids.tick(), "150 s in 320 fit, but not with 150 s before the window's end"
    Verifier(desk).checks.tick()
    assert world.task(0).attested and both.bids.tick() and best(world, number)


def test_who_is_outbid_bids_again_where_the_best_bid_leaves(monkeypatch, caplog):
    """Protects requesters and honest workers from a name that keeps others away and leaves: the
    others have half of the time to bid again, with the stake that it had freed."""
    world = World()
    caplog.set_level("INFO")
    timed(monkeypatch, 1.0)
    number = post(world, world.job(), 10**6)
    solver, rival = Solver(world.desks["solver"], at_max_price), world.desks["verifier"]
    assert solver.bids.tick() and best(world, number) == solver.desk.account
    free = rival.stakes.free(rival.account)
    rival.market.bid(number, 1)
    assert solver.desk.stakes.locked(solver.desk.account, world.system.market) == 0
    assert not solver.bids.tick() and not solver.bids.tick()
    assert caplog.text.count(f"it takes {PRICE} here, and 1 is bid") == 1
    world.chain.mine(seconds=40)
    rival.market.withdraw_bid(number)
    assert rival.stakes.free(rival.account) == free
    assert solver.bids.tick() and best(world, number) == solver.desk.account


def test_a_dear_worker_lets_a_cheap_one_have_it(monkeypatch, caplog):
    """Protects workers' gas: nobody bids above the best bid, and the cheapest has the task."""
    world = World()
    caplog.set_level("INFO")
    timed(monkeypatch, 1.0)
    number = post(world, world.job(), 10**6)
    prices = {"solver": PRICE - 100, "verifier": PRICE - 200, "outsider": PRICE - 100}
    bids = [Solver(world.desks[n], lambda *_, p=p: p).bids for n, p in prices.items()]
    assert [bid.tick() for bid in bids] == [True, True, False]
    assert not any(bid.tick() for bid in bids)
    assert f"it takes {PRICE - 100} here, and {PRICE - 200} is bid" in caplog.text
    assert best(world, number) == world.desks["verifier"].account


def test_a_segment_that_no_dispute_leaves_time_for_gets_no_bid(monkeypatch, caplog):
    """Protects an honest solver from a dispute's clock: its answers, and the step that is under way
    when it is asked, must fit into a quarter of it."""
    world = World()
    timed(monkeypatch, world.system.CLOCK / 4 / 5)
    number = post(world, world.job(), 10**6)
    solver = Solver(world.desks["solver"], at_max_price)
    assert solver.bids.tick() and best(world, number)
    timed(monkeypatch, world.system.CLOCK / 4 / 5, traced=1.0)
    desk = world.desks["verifier"]
    assert not Solver(desk, at_max_price).bids.tick()
    assert "take 903 s here, and the clock is 3600 s, of which a quarter must do" in caplog.text
    timed(monkeypatch, 0.0)
    most = 3_600 / 4 / moves(small_training()[0], 4, 5)
    slow = Solver(world.desk("outsider", move_seconds=lambda: most + 1), at_max_price)
    assert (
        slow.bids.admission.duty(
            number, world.task(number), slow.bids.admission.speed(number, world.task(number))
        ).seconds
        > 900
    )


def test_every_task_may_be_disputed_at_once(monkeypatch, caplog):
    """Protects an honest solver that has several tasks: the answers in all of them together must
    fit, and a task that leaves no time for the others' is waited with."""
    world = World()
    timed(monkeypatch, world.system.CLOCK / 4 / 5 / 2)
    caplog.set_level("INFO")
    numbers = [post(world, replace(world.job(), seed=seed), 10**6) for seed in range(3)]
    solver = Solver(world.desks["solver"], at_max_price)
    while solver.bids.tick():
        pass
    me = solver.desk.account
    assert [best(world, n) for n in numbers] == [me, me, None]
    assert "too much is promised for now" in caplog.text
    assert "take 1.35e+03 s here" in caplog.text and "of which a quarter must do" in caplog.text


def test_a_bond_is_kept_for_each_check_that_was_drawn():
    """Protects a verifier's reward: stake that it may need for an accusation is not staked on a
    task of its own."""
    world = World()
    world.commit(world.job(), world.desks["solver"])
    desk = world.desks["verifier"]
    number = post(world, replace(world.job(), seed=8), 10**6)
    needed = desk.market.solver_stake(PRICE, 3, 3)
    desk.stakes.unbond(desk.stakes.free(desk.account) - needed - desk.disputes.bond() + 1)
    both = Solver(desk, at_max_price)
    assert not both.bids.tick()
    Verifier(desk).checks.tick()
    assert world.task(0).attested and both.bids.tick() and best(world, number)


def test_no_dispute_has_more_moves_than_are_reckoned_with():
    """Protects clocks: the longest games that are played need no more moves of either side."""
    program, *_ = small_training()
    assert moves(program, 4, 5) == 1 + 2 + 1 + 3
    assert moves(program, 1, 5) == 0 + 2 + 1 + 3
    assert moves(program, 10**6, 5) == 4 + 2 + 1 + 3
    assert moves(program, 4, 1) == 2 + 8 + 2 + 3


def test_who_keeps_few_states_replays_more_often():
    """Protects the estimate of a dispute: a round of questions is a replay where states do not fit,
    and one replay is enough where all of a round's do."""
    job = World().job(10**6, 10**6)
    assert replays(job, 100, 3_200, 5) == 1
    assert replays(job, 100, 3_199, 5) == 4  # 10^6 steps, 31,250, 976, 30
    assert replays(replace(job, segment_steps=32), 100, 0, 5) == 1


def test_native_code_that_differs_makes_no_bid_and_says_so(monkeypatch, caplog):
    """Protects a solver's stake where one of two ways to compute is wrong, whichever it is."""
    right = Program.run

    def wrong(self, *args, **kwargs):
        after, reports = right(self, *args, **kwargs)
        if self.is_compiled:
            after[2].view(torch.int32).view(-1)[0] ^= 1
        return after, reports

    monkeypatch.setattr(Program, "from_bytes", staticmethod(decoded.__wrapped__))
    monkeypatch.setattr(Program, "run", wrong)
    world = World()
    number = world.post(world.job())
    solver = Solver(world.desk("solver", computation_of=NativeComputation), at_max_price)
    assert not solver.tick() and not solver.tick()
    assert not best(world, number)
    assert caplog.text.count(f"NO BIDS for task {number}: native code of program") == 1
    assert {r.levelname for r in caplog.records if "NO BIDS" in r.getMessage()} == {"ERROR"}


def test_what_is_missing_may_be_published_yet():
    """Protects a worker's income: an artifact that is nowhere is looked for again as long as bids
    are taken, without a restart."""
    world = World()
    number = world.post(world.job())
    away = f"{world.folder.name}.away"
    shutil.move(f"{world.folder.name}/data", away)
    solver = Solver(world.desks["solver"], at_max_price)
    with pytest.raises(Exception, match="there is no data"):
        solver.tick()
    shutil.move(away, f"{world.folder.name}/data")
    assert solver.tick() and best(world, number)


LIMITS = [
    ({"max_steps": 9}, "it has 10 steps, and jobs.max_steps allows 9"),
    ({"max_segment_steps": 3}, "it has 4 steps a segment, and jobs.max_segment_steps allows 3"),
    ({"min_price": PRICE + 1}, f"it pays at most {PRICE}, and jobs.min_price is {PRICE + 1}"),
]


@pytest.mark.parametrize("limits, said", LIMITS)
def test_a_task_outside_the_config_is_refused_by_the_field(caplog, limits, said):
    """Protects an operator: every bound of the config is named where it keeps a task away."""
    world = World()
    world.post(world.job())
    desk = world.desk("solver", limits=JobsConfig(**limits))
    assert not Solver(desk, at_max_price).tick()
    assert said in caplog.text


# --- whether it can be done --------------------------------------------------------------------


def played(promises, now):
    """Whether all is done in time where the nearest deadline always goes first, a second at a
    time."""
    left = {p: p.seconds for p in promises}
    time = now
    while any(left.values()):
        ready = [p for p in promises if left[p] and p.begins <= time]
        if ready:
            first = min(ready, key=lambda p: p.due)
            left[first] -= 1
            if time + 1 > first.due:
                return False
        time += 1
    return True


def test_the_answer_is_what_playing_it_out_gives():
    """Protects bids both ways: over 3,000 random sets of promises, what is refused cannot be done
    with the nearest deadline first, and what is taken can."""
    rng = random.Random(5)
    found = []
    for _ in range(3_000):
        promises = []
        for k in range(rng.randrange(1, 5)):
            begins = rng.randrange(0, 12)
            due = begins + rng.randrange(1, 16)
            promises.append(Promise(str(k), rng.randrange(1, 7), begins, due))
        halved = [replace(p, seconds=p.seconds / 2) for p in promises]
        fits = shortage(halved, 3) is None
        assert fits == played(promises, 3), promises
        found.append(fits)
    assert 300 < sum(found) < 2_700


def test_a_shortage_names_what_there_is_no_time_for():
    """Protects the operator's understanding: the tasks, their seconds and the time."""
    promises = [Promise("task 1", 40, 0, 100), Promise("task 2", 20, 0, 100)]
    assert str(shortage(promises, 0)) == (
        "task 1, task 2: 60 s of work here in 100 s, of which half must do"
    )
    assert shortage(promises[:1], 0) is None
    assert shortage([Promise("task 3", 1, 0, 5)], 10) is not None, "it is late already"


# --- prices ------------------------------------------------------------------------------------


def test_a_price_is_the_time_and_the_gas_rounded_up(monkeypatch):
    """Protects income: an hour at the hour's price, gas at the coin's, in the token's decimals;
    never nothing, and above the ceiling there is no bid."""
    config = PricingConfig(hour=2.0, coin=3_000.0, fraction=0.5)
    price = WorkPrice(config, 6, lambda: 10**9)
    assert price.cost(1_800, 0) == 10**6
    assert price.cost(0, 100_000) == 300_000  # 10^14 wei: 0.0001 coins at 3,000 tokens
    assert price.cost(1e-9, 0) == 1
    free = WorkPrice(PricingConfig(hour=2.0), 6, lambda: 10**9)
    assert free.cost(1_800, 10**9) == 10**6
    world = World()
    number = world.post(world.job())
    task, job = world.task(number), world.job()
    slow = WorkPrice(PricingConfig(hour=0.0036), 6, lambda: 0)  # a unit for a second
    assert slow(task, job, PRICE * 0.9) == PRICE * 9 // 10
    assert slow(task, job, PRICE * 0.9 + 0.5) is None


def test_the_gas_that_a_price_counts_is_what_a_task_uses():
    """Protects income: no task of ordinary size uses more than its price was reckoned with, and
    the price reckons with no more than thrice that."""
    world = World()
    world.commit(world.job(), world.desks["solver"])
    world.play(Verifier(world.desks["verifier"]))
    world.finish()
    gas = world.chain.gas
    assert max(gas["market.bid"]) <= GAS_BID <= 3 * max(gas["market.bid"])
    segment = max(gas["market.commitSegment"])
    assert segment <= GAS_SEGMENT <= 3 * segment
    others = ("close", "draw", "settle", "withdraw")
    task = sum(max(gas[f"market.{name}"]) for name in others)
    assert task <= GAS_TASK <= 3 * task


def test_steps_are_timed_and_none_too_many():
    """Protects time: a job's speed is had from a few steps, and each is asked about stopping."""
    world = World()
    number = world.post(world.job())
    desk = world.desks["solver"]
    computation = desk.computation(number, world.task(number))
    state = desk.store.get_tensors("state", world.job().state)
    asked: list[int] = []
    found = measure(computation, state, lambda: asked.append(1))
    assert 0 < found.step <= found.first * 10 and 0 < found.hashing < 1 < found.traced + 1
    assert len(asked) <= 2 + len(computation.program.nodes) + 1
    assert found.work(10, 2) == found.first + 10 * found.step + 2 * found.hashing
    assert world.task(number).status == Status.OPEN
