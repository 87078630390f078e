"""What a job takes on a machine, out of its work units."""

from __future__ import annotations

import pytest

from tests.jobs.helpers import program
from worker.jobs.speed import Speed, best_of, measured, sample


def test_work_over_speed_is_time_and_time_has_a_price():
    """Protects bids: twice the steps take twice as long and cost twice as much, whatever the price
    that a requester offers."""
    summary = program().summary()
    speed = Speed.of(summary, step_seconds=0.5, native=True)
    assert speed.units_per_second == 2 * summary.work_units
    assert speed.seconds(summary, 10) == pytest.approx(5)
    assert speed.seconds(summary, 20) == pytest.approx(10)
    assert speed.cost(summary, 7200, price_per_hour=3.0) == pytest.approx(3.0)


def test_the_sample_is_measured_as_native_code():
    """Protects `check` and bids: what is measured is how steps run here, and is no idle number."""
    summary = sample()[0].summary()
    assert summary.work_units > 500_000_000
    speed = measured()
    assert speed.native
    assert 1e8 < speed.units_per_second < 1e13


def test_a_first_call_is_not_timed():
    """Protects estimates: what a first call alone does (kernels chosen, caches cold) is no part."""
    calls = []
    assert best_of(lambda: calls.append(1), enough=0.0) >= 0
    assert len(calls) == 2
