"""Random numbers: those of the paper, the same in torch as in the reference, and evenly spread."""

import random

import pytest
import torch

from tests.exact import helpers
from worker import exact
from worker.exact import reference as ref

# Random123's own known answers: counter, key, output.
ANSWERS = [
    (
        "00000000 00000000 00000000 00000000",
        "00000000 00000000",
        "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
    ),
    (
        "ffffffff ffffffff ffffffff ffffffff",
        "ffffffff ffffffff",
        "408f276d 41c83b0e a20bc7c6 6d5451fd",
    ),
    (
        "243f6a88 85a308d3 13198a2e 03707344",
        "a4093822 299f31d0",
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


def words(text):
    return tuple(int(word, 16) for word in text.split())


@pytest.mark.parametrize("counter, key, output", ANSWERS)
def test_the_reference_gives_the_papers_answers(counter, key, output):
    assert ref.philox(words(counter), words(key)) == words(output)


def test_torch_equals_the_reference():
    rng = random.Random(1)
    for count in [0, 1, 2, 3, 4, 5, 7, 8, 9, *(rng.randrange(10, 60) for _ in range(20))]:
        seed, step = (rng.getrandbits(rng.choice([3, 32, 63, 64])) for _ in range(2))
        node = rng.choice([0, 1, rng.getrandbits(20), 2**32 - 1])
        got = exact.uniform(count, seed=seed, step=step, node=node)
        assert got.dtype == torch.float32
        assert got.is_contiguous()
        expected = [ref.uniform(seed, step, node, i) for i in range(count)]
        assert helpers.patterns(got).tolist() == expected


def test_numbers_do_not_depend_on_how_many_are_made_at_a_time(monkeypatch):
    whole = exact.uniform(1003, seed=5, step=6, node=7)
    monkeypatch.setattr("worker.exact.random.PART", 16)
    assert exact.uniform(1003, seed=5, step=6, node=7).equal(whole)
    assert exact.uniform(77, seed=5, step=6, node=7).equal(whole[:77])


def test_beyond_2_to_34_the_second_word_of_the_counter_counts():
    out = torch.empty(3, 4)
    exact.random._fill(out, 2**32 - 1, 1, 2, 3)
    expected = [ref.uniform(1, 2, 3, 2**34 - 4 + i) for i in range(12)]
    assert helpers.patterns(out.view(-1)).tolist() == expected


def test_every_part_of_a_place_changes_the_numbers():
    place = {"seed": 1, "step": 2, "node": 3}
    base = exact.uniform(64, **place)
    for change in ({"seed": 2}, {"seed": 1 + 2**32}, {"step": 3}, {"node": 2}):
        assert (exact.uniform(64, **{**place, **change}) == base).float().mean() < 0.1


def test_numbers_are_spread_over_zero_to_one():
    x = exact.uniform(1 << 18, seed=11, step=0, node=0).double()
    assert x.min() >= 0 and x.max() < 1
    assert abs(x.mean() - 1 / 2) < 0.003
    assert abs(x.var() - 1 / 12) < 0.002
    assert torch.histc(x, 64, 0, 1).sub(4096).abs().max() < 6 * 64  # six standard deviations
    assert (x * 2**24 == (x * 2**24).round()).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_cuda_equals_the_processor():
    place = {"seed": 2**64 - 3, "step": 2**33 + 5, "node": 77}
    assert (
        exact.uniform(300_001, device="cuda", **place).cpu().equal(exact.uniform(300_001, **place))
    )
