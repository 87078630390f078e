"""The job that shows what a machine is worth."""

from __future__ import annotations

from worker.jobs import NativeComputation, measure
from worker.jobs.sample import sample


def test_the_sample_is_measured_as_native_code_as_a_bid_measures_a_task():
    """Protects `check`: what is measured is how steps run here, and is no idle number."""
    definition, program = sample()
    units = program.summary().work_units
    assert units > 500_000_000
    job = definition.job(program)
    computation = NativeComputation(job, program, definition.tensors)
    found = measure(computation, definition.initial_state())
    assert found.step < found.traced, "it ran as native code"
    assert 1e8 < units / found.step < 1e13
