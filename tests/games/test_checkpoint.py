"""Checkpoints: a state's root, without hashing again what no step has touched."""

from __future__ import annotations

import itertools

import pytest
import torch

from tests.games.test_inference import answers, posted, texts
from worker.commit import state_root
from worker.roles import Checkpoint, Verifier, checkpoint

SIZES = (3, 300, 1000)


@pytest.fixture
def hashed(monkeypatch):
    """The sizes of the tensors that were hashed, in order."""
    found: list[int] = []
    real = checkpoint.tensor_item

    def item(tensor: torch.Tensor) -> bytes:
        found.append(tensor.numel())
        return real(tensor)

    monkeypatch.setattr(checkpoint, "tensor_item", item)
    return found


def test_whatever_steps_touch_the_root_is_the_states(hashed):
    """Protects honest solvers: for every choice of tensors that are made anew, in two segments one
    after the other, the root is the plain one, and each tensor that stays is hashed once."""
    for changed, again in itertools.product(range(8), repeat=2):
        hashed.clear()
        state = [torch.rand(n) for n in SIZES]
        now = Checkpoint(state_root(state), state)
        for mask in (changed, again):
            state = [t + 1 if mask >> k & 1 else t.view(-1) for k, t in enumerate(state)]
            now = now.after(state)
            assert now.root == state_root(state)
        for k, n in enumerate(SIZES):
            times = (changed >> k & 1) + (again >> k & 1)
            assert hashed.count(n) <= max(times, 1) + (times == 1)


def test_a_copy_with_the_same_elements_has_the_same_root(hashed):
    """Protects against looking at addresses only: what has moved is hashed, and all is right."""
    state = [torch.rand(n) for n in SIZES]
    before = Checkpoint(state_root(state), state)
    assert before.after(state) is before and not hashed
    after = before.after([t.clone() for t in state])
    assert after is not before and after.root == before.root and len(hashed) == 3


@pytest.mark.parametrize("made", [answers, texts], ids=["inference", "generation"])
def test_weights_are_hashed_at_most_once_by_each_worker(made, hashed):
    """Protects time: of all of a task's segments, solver's and verifier's, frozen tensors are
    hashed once each; an inference hashes nothing."""
    job, program = made()
    world = posted((job, program))
    hashed.clear()
    number, solver = world.commit(job.job(program), world.desks["solver"])
    world.play(solver, Verifier(world.desks["verifier"]))
    assert world.task(number).attested
    weights = max(t.numel() for t in job.initial_state())
    assert hashed.count(weights) == (0 if made is answers else 2)
