"""A job run as native code: the interpreter's bits, or not at all."""

from __future__ import annotations

import logging

import pytest
import torch

from tests.jobs.helpers import training
from worker.exact.native import NoCompiler
from worker.jobs import Computation, NativeComputation, same_bits
from worker.program import Program


def both() -> tuple[Computation, NativeComputation, list[torch.Tensor]]:
    """The same job twice, with programs of their own, and its first state."""
    job = training()
    plain, native = job.capture(), job.capture()
    on_chain = job.job(plain)
    made = Computation(on_chain, plain, job.data), NativeComputation(on_chain, native, job.data)
    return *made, job.initial_state()


def test_a_segment_natively_is_the_interpreters():
    """Protects a solver's stake: states and reports of a whole segment, bit for bit."""
    plain, native, state = both()
    expected, found = plain.run_segment(0, state), native.run_segment(0, state)
    assert native.program.is_compiled and not plain.program.is_compiled
    assert same_bits(found.state, expected.state)
    for a, b in zip(found.reports, expected.reports, strict=True):
        assert same_bits(a, b)


def test_native_code_with_a_wrong_bit_is_never_used(monkeypatch, caplog):
    """Protects a solver's stake from its compiler: one wrong bit in the first step, and every step
    is interpreted; the log says so."""
    plain, native, state = both()
    right = Program.run

    def wrong(self, *args, **kwargs):
        after, reports = right(self, *args, **kwargs)
        if self.is_compiled:
            after[0].view(torch.int32).view(-1)[0] ^= 1
        return after, reports

    monkeypatch.setattr(Program, "run", wrong)
    with caplog.at_level(logging.ERROR):
        found = native.run_segment(0, state)
    assert "other bits than the interpreter at step 0" in caplog.text
    assert same_bits(found.state, plain.run_segment(0, state).state)


def test_without_a_compiler_steps_are_interpreted_and_the_log_says_why(monkeypatch, caplog):
    """Protects hosts without a compiler: they work, slower, and are told the remedy."""
    plain, native, state = both()

    def missing(self, device):
        raise NoCompiler("no C compiler works here. Install one")

    monkeypatch.setattr(Program, "compile", missing)
    with caplog.at_level(logging.WARNING):
        found = native.run_segment(0, state)
    assert caplog.text.count("steps are interpreted") == 1
    assert "Install one" in caplog.text
    assert same_bits(found.state, plain.run_segment(0, state).state)


@pytest.mark.parametrize("change", [1, 1 << 31])
def test_bits_are_compared_and_not_values(change):
    """Protects the check itself: -0 is not +0, any NaN is the one NaN."""
    a = torch.tensor([0.0, 1.0, float("nan")])
    b = a.clone()
    b.view(torch.int32)[0] ^= change if change == 1 else -(1 << 31)
    assert same_bits([a], [a.clone()]) and not same_bits([a], [b])
    odd = a.clone()
    odd.view(torch.int32)[2] ^= 5
    assert same_bits([a], [odd])
    assert not same_bits([a], [a.double()]) and not same_bits([a], [])
