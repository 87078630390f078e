"""The clock that a job is posted with, where its requester gives none."""

from types import SimpleNamespace

import click
import pytest

from scripts._clock import bounds, derived, pace, window_of
from tests.games.world import World, small_training
from worker.config import JobsConfig
from worker.jobs import moves
from worker.jobs.estimate import Estimate


class Estimated(SimpleNamespace):
    """What a dry run found. work: seconds of this machine for what a dispute has to compute."""

    def dispute_seconds(self, slower, arity_bits, kept_bytes):
        assert (arity_bits, kept_bytes) == (5, JobsConfig().kept_bytes)
        return slower * self.work


def clients(least=60, most=86_400, seconds_a_block=0):
    blocks = SimpleNamespace(
        get_block=lambda which: {
            "number": (number := 500 if which == "latest" else which),
            "timestamp": 1_000 + number * seconds_a_block,
        }
    )
    return SimpleNamespace(
        market=SimpleNamespace(parameters=lambda: SimpleNamespace(min_clock=least, max_clock=most)),
        court=SimpleNamespace(arity_bits=lambda: 5),
        w3=SimpleNamespace(eth=blocks),
    )


def found(work, steps=400, segment_steps=50):
    return Estimated(work=work, job=SimpleNamespace(steps=steps, segment_steps=segment_steps))


@pytest.fixture(scope="module")
def program():
    return small_training()[0]


@pytest.mark.parametrize("seconds_a_block", [0, 1, 12])
@pytest.mark.parametrize("work", [0.01, 100.0])
def test_a_quarter_of_the_clock_is_what_a_slower_machine_needs(program, work, seconds_a_block):
    """Protects requesters from a clock for which no worker bids: four times what a machine three
    times slower than this one computes and sends in the longest dispute, in whole minutes."""
    clock = derived(clients(seconds_a_block=seconds_a_block), found(work), program)
    needed = 4 * (3 * work + moves(program, 50, 5) * (10 + 2 * seconds_a_block))
    assert needed <= clock.seconds < needed + 60 and clock.seconds % 60 == 0
    assert "on a machine 3 x slower" in clock.said and "--clock sets another" in clock.said


def test_only_the_steps_there_are_count(program):
    short, long = (derived(clients(), found(1, steps=3, segment_steps=s), program) for s in (3, 9))
    assert short == long


def test_the_markets_least_is_enough_and_more_than_its_most_is_refused(program):
    """Protects requesters: what the contract would refuse is refused by name, with a remedy."""
    assert derived(clients(least=7_200), found(1), program).seconds == 7_200
    with pytest.raises(click.ClickException, match=r"a clock of \d+ s: .* takes clocks of 60 to"):
        derived(clients(most=600), found(1_000), program)
    for seconds in (60, 600):
        bounds(clients(most=600), seconds, "")
    for seconds in (59, 601):
        with pytest.raises(click.ClickException, match=r"here: .*clocks of 60 to 600 s; write one"):
            bounds(clients(most=600), seconds, "here")


def test_the_pace_is_that_of_the_last_blocks():
    assert pace(clients(seconds_a_block=12)) == 12
    young = clients()
    young.w3.eth.get_block = lambda which: {"number": 1, "timestamp": 9}
    assert pace(young) == 0


def test_the_window_is_what_the_market_makes_of_a_clock():
    """Protects requesters: when a task settles is said as the contract reckons it."""
    world = World()
    number, _ = world.commit(world.job(10, 4), world.desks["solver"])
    task = world.task(number)
    assert task.window_ends == world.chain.time + window_of(task.clock, task.checks)


@pytest.mark.parametrize(("kept", "times"), [(1 << 32, 1), (0, 2)])
def test_what_a_dispute_takes_is_what_workers_reckon(kept, times):
    """Protects requesters: where a segment's states do not fit what a worker keeps, a dispute about
    1,000 steps has them computed twice, and a clock that forgets it finds no worker."""
    job = SimpleNamespace(steps=1_000, segment_steps=1_000)
    trial = SimpleNamespace(step_seconds=0.5, interpreted_seconds=2.0)
    summary = SimpleNamespace(state_bytes=10**6)
    found = Estimate(job, summary, 0, 0, 0, trial)  # type: ignore[arg-type]
    assert found.dispute_seconds(3, 5, kept) == 3 * (times * 1_000 * 0.5 + 3 * 2.0)
