"""What runs beside what: a worker that computes answers all the same, and ends when told to."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from tests.games.players import Liar, at_max_price, decoded
from tests.games.test_restart import CHEATS
from tests.games.world import PRICE, World
from worker.chain.types import Status
from worker.jobs import Computation
from worker.lanes import Daemon
from worker.metrics import Metrics
from worker.outcomes import Stopped
from worker.program import Program
from worker.roles import Keeper, Solver, Verifier
from worker.roles.turns import Rank, Turns

PATIENCE = 400.0  # seconds after which a test gives up; none takes a hundredth as a rule


@pytest.fixture(autouse=True)
def decode_once(monkeypatch):
    monkeypatch.setattr(Program, "from_bytes", staticmethod(decoded))


class Playing:
    """Roles of a desk on their lanes, as the daemon plays them."""

    def __init__(self, desk, roles):
        self.stop, self.metrics = threading.Event(), Metrics()
        desk.turns = Turns(self.stop, self.metrics.beat)
        sender = SimpleNamespace(pending=None)
        clients = SimpleNamespace(sender=sender)
        made = Daemon(roles, clients, self.metrics, poll_seconds=0.005, stop=self.stop)
        self.left: list[str] = []
        self.thread = threading.Thread(target=lambda: self.left.extend(made.run()))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.stop.set()
        self.thread.join()
        assert not self.left

    def until(self, condition, what):
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, f"in vain: {what}"
            assert self.thread.is_alive(), f"the daemon has ended: {what}"
            self.stop.wait(0.002)


@pytest.fixture
def busy():
    """A solver whose committed task may be disputed, while it computes a segment without end."""
    world = World()
    world.commit(world.job(), world.desks["solver"])
    endless = replace(world.job(), steps=10**6, segment_steps=10**6, seed=8)
    steps: list[int] = []
    desk = world.desk("solver", on_progress=lambda task, segment, done, total: steps.append(done))
    number = world.post(endless)
    desk.market.bid(number, PRICE)
    world.chain.mine(seconds=101)
    world.play(Keeper(world.desks["outsider"]))
    assert world.task(number).solver == desk.account
    return world, desk, number, steps


def test_a_worker_that_computes_answers_a_dispute_to_its_end(busy):
    """Protects an honest solver's stake: between two steps of a segment that takes longer than any
    clock, it answers every question about an earlier one."""
    world, desk, number, steps = busy
    with Playing(desk, Solver(desk, at_max_price).parts) as playing:
        playing.until(lambda: len(steps) > 10, "steps")
        liar = Liar(world.desks["outsider"], 1, CHEATS["element"]())
        playing.until(lambda: not liar.tick() and liar.refused, "the last answer")
        assert liar.refused == "ElementFollows"
        done = len(steps)
        playing.until(lambda: len(steps) > done + 10, "more steps of the work")
    assert world.task(number).status == Status.ASSIGNED and not world.task(number).committed


def test_a_worker_ends_between_two_steps(busy):
    """Protects an operator's patience: SIGTERM waits for a step, not for a segment; nothing is
    committed that is not whole, and the pulse has moved with the steps."""
    world, desk, number, steps = busy
    with Playing(desk, Solver(desk, at_max_price).parts) as playing:
        playing.until(lambda: len(steps) > 10, "steps")
        before = playing.metrics.registry.get_sample_value("assay_pulse_seconds")
        done = len(steps)
        playing.until(lambda: len(steps) > done + 10, "more steps")
        assert before < playing.metrics.registry.get_sample_value("assay_pulse_seconds")
    assert not world.task(number).committed


def test_a_verifier_that_checks_sees_its_dispute_through():
    """Protects a challenger's bond: while it recomputes another task it makes its moves."""
    world = World()
    right, _ = world.commit(replace(world.job(), seed=9), world.desks["solver"])
    cheat = Solver(world.desk("solver", computation_of=CHEATS["element"]()), at_max_price)
    number, _ = world.commit(world.job(), cheat.desk)

    class Endless(Computation):
        def run_segment(self, segment, state, progress=None, points=()):
            """Of the right task: the last step again and again."""
            while self.job.seed == 9 and world.task(number).status != Status.CONDEMNED:
                progress(1)
            return super().run_segment(segment, state, progress, points)

    desk = world.desk("verifier", computation_of=Endless)
    verifier = Verifier(desk)
    assert verifier.checks._act(number, world.task(number)), "it accuses"
    with Playing(desk, verifier.parts) as playing:
        playing.until(
            lambda: not cheat.answers.tick() and world.task(number).status == Status.CONDEMNED,
            "the verdict",
        )
        playing.until(lambda: world.task(right).attested, "the attestation")


# --- turns -------------------------------------------------------------------------------------


def test_the_most_pressing_goes_first_whenever_a_step_is_over():
    """Protects clocks: answers before measuring, measuring before work, and what is due soonest
    before the rest; one at a time."""
    turns, order = Turns(), []
    waiting = [(Rank.WORK, 50.0), (Rank.WORK, 10.0), (Rank.MEASURE, 99.0), (Rank.ANSWER, 80.0)]

    def want(rank, due):
        with turns.turn(rank, due):
            order.append((rank, due))

    with turns.turn(Rank.WORK, 20.0):
        threads = [threading.Thread(target=want, args=one) for one in waiting]
        for count, thread in enumerate(threads, start=2):
            thread.start()
            while len(turns._wanting) < count:
                time.sleep(0)
        turns.between()
        order.append((Rank.WORK, 20.0))
    for thread in threads:
        thread.join()
    assert order == sorted([*waiting, (Rank.WORK, 20.0)])


def test_who_waits_for_the_chain_lets_others_compute():
    """Protects time: a turn is given up while a transaction is mined, and had again after it."""
    turns, order = Turns(), []

    def work():
        with turns.turn(Rank.WORK, 1.0):
            order.append("work")

    with turns.turn(Rank.ANSWER, 0.0):
        thread = threading.Thread(target=work)
        thread.start()
        with turns.aside():
            thread.join()
        order.append("answer")
        with turns.turn(Rank.WORK, 9.0):  # a part of the answer
            order.append("part")
    assert order == ["work", "answer", "part"]


def test_an_error_gives_the_turn_back_and_stop_ends_whoever_waits():
    """Protects from standing still: no turn is lost with whoever fails or is told to end."""
    stop = threading.Event()
    turns, ended = Turns(stop), []
    with pytest.raises(ValueError), turns.turn(Rank.WORK, 1.0):
        raise ValueError

    def wait():
        try:
            with turns.turn(Rank.WORK, 2.0):
                ended.append("computed")
        except Stopped:
            ended.append("stopped")

    with turns.turn(Rank.WORK, 1.0):
        thread = threading.Thread(target=wait)
        thread.start()
        stop.set()
        thread.join()
        with pytest.raises(Stopped):
            turns.between()
    assert ended == ["stopped"] and not turns._wanting
