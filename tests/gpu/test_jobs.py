"""Jobs on a GPU: what a solver commits is what a verifier on a CPU computes."""

from __future__ import annotations

import logging

import pytest
import torch

pytest.importorskip("triton", reason="Triton comes with PyTorch's builds for GPUs")

from tests.jobs.helpers import training
from worker.jobs import Computation, InferenceJob, NativeComputation, same_bits, untouched
from worker.program import Program

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
GPU = torch.device("cuda", 0)


def test_segments_on_a_gpu_are_the_processors():
    """Protects a solver's stake: every state and report of a job, bit for bit, on the CPU."""
    job = training()
    plain = Computation(job.job(job.capture()), job.capture(), job.data)
    ours = NativeComputation(job.job(job.capture()), job.capture(), job.data, GPU)
    state = found = job.initial_state()
    for segment in range(plain.job.segments):
        expected, got = plain.run_segment(segment, state), ours.run_segment(segment, found)
        assert ours._trusted == GPU
        assert same_bits(got.state, expected.state)
        for a, b in zip(got.reports, expected.reports, strict=True):
            assert same_bits(a, b)
        state, found = expected.state, got.state
    step = plain.job.segment_range(0).start
    again = ours.advance(job.initial_state(), step)
    assert same_bits(again[0], plain.advance(job.initial_state(), step)[0])


def test_an_inference_hands_its_weights_on_untouched():
    """Protects checkpoints: weights that no step changes need no second hash."""
    module = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.GELU(), torch.nn.Linear(16, 4))
    job = InferenceJob(
        module=module, data=[torch.randn(32, 8)], names=("y",), batch_rows=4, segment_steps=4
    )
    program = job.capture()
    plain = Computation(job.job(program), job.capture(), job.data)
    ours = NativeComputation(job.job(program), program, job.data, GPU)
    state = job.initial_state()
    for segment in range(2):
        got, expected = ours.run_segment(segment, state), plain.run_segment(segment, state)
        assert untouched(state, got.state)
        for a, b in zip(got.reports, expected.reports, strict=True):
            assert same_bits(a, b)


def test_a_gpu_with_a_wrong_bit_is_never_used(monkeypatch, caplog):
    """Protects a solver's stake from its GPU: the CPU goes on, and the log says so."""
    job = training()
    ours = NativeComputation(job.job(job.capture()), job.capture(), job.data, GPU)
    plain = Computation(job.job(job.capture()), job.capture(), job.data)
    right = Program.run

    def wrong(self, state, batch, **moment):
        after, reports = right(self, state, batch, **moment)
        if state[0].is_cuda:
            after[0].view(torch.int32).view(-1)[0] ^= 1
        return after, reports

    monkeypatch.setattr(Program, "run", wrong)
    with caplog.at_level(logging.ERROR):
        found = ours.run_segment(0, job.initial_state())
    assert "on cuda:0 gives other bits than the interpreter" in caplog.text
    assert ours._trusted == torch.device("cpu")
    assert same_bits(found.state, plain.run_segment(0, job.initial_state()).state)


def test_a_gpu_that_fails_is_left_for_the_processor(monkeypatch, caplog):
    """Protects a solver's deadline: a lack of memory or a driver's error costs speed alone."""
    job = training()
    ours = NativeComputation(job.job(job.capture()), job.capture(), job.data, GPU)
    plain = Computation(job.job(job.capture()), job.capture(), job.data)
    right = Program.run

    def failing(self, state, batch, **moment):
        if state[0].is_cuda:
            raise torch.OutOfMemoryError("no room")
        return right(self, state, batch, **moment)

    monkeypatch.setattr(Program, "run", failing)
    with caplog.at_level(logging.ERROR):
        found = ours.run_segment(0, job.initial_state())
    assert "steps do not run on cuda:0: OutOfMemoryError: no room" in caplog.text
    assert same_bits(found.state, plain.run_segment(0, job.initial_state()).state)
