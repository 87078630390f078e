"""Batches: a permutation of each epoch, the same in Python, in the protocol and on chain."""

from __future__ import annotations

import random
from hashlib import sha256

import numpy as np
import pytest

from tests import evm
from worker.jobs import permute, rows_of_step

ROWS = [
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    15,
    16,
    17,
    63,
    64,
    65,
    100,
    255,
    256,
    257,
    1000,
    1347,
    4096,
    5000,
]


def definition(seed: int, epoch: int, position: int, rows: int) -> int:
    """`permute` as docs/protocol.md words it."""

    def mix(x: int) -> int:
        x ^= x >> 16
        x = x * 0x85EBCA6B % 2**32
        x ^= x >> 13
        x = x * 0xC2B2AE35 % 2**32
        return x ^ x >> 16

    w = max(1, -(-(rows - 1).bit_length() // 2))
    digest = sha256(seed.to_bytes(8, "big") + epoch.to_bytes(8, "big")).digest()
    keys = [int.from_bytes(digest[4 * i : 4 * i + 4], "big") for i in range(6)]
    x = position
    while True:
        left, right = x >> w, x % 2**w
        for key in keys:
            left, right = right, left ^ mix(right ^ key) % 2**w
        x = left << w | right
        if x < rows:
            return x


def epoch_of(seed: int, epoch: int, rows: int) -> list[int]:
    return permute(seed, epoch, np.arange(rows, dtype=np.uint64), rows).tolist()


@pytest.fixture(scope="module")
def harness():
    return evm.deploy("MerkleHarness")


@pytest.mark.parametrize("rows", ROWS)
def test_every_epoch_sees_every_row_once(rows):
    """Protects training: no row is seen twice or left out, and the words are the protocol's."""
    for seed, epoch in ((0, 0), (7, 1), (2**64 - 1, 2**64 - 1)):
        images = epoch_of(seed, epoch, rows)
        assert sorted(images) == list(range(rows))
        some = range(0, rows, max(1, rows // 40))
        assert [images[i] for i in some] == [definition(seed, epoch, i, rows) for i in some]


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 64, 65, 300])
def test_the_contract_sees_the_same_rows(harness, rows):
    """Protects a dispute over a batch: the court finds the row that the worker used."""
    for seed, epoch in ((3, 0), (2**64 - 1, 5)):
        assert list(harness.call("permuteMany", seed, epoch, 0, rows, rows)) == epoch_of(
            seed, epoch, rows
        )


@pytest.mark.parametrize("rows", [2**32, 2**32 - 1, 2**31 + 1, 10**9])
def test_huge_data_sets_are_sampled_alike(harness, rows):
    """Protects against 32-bit overflows in either twin."""
    rng = random.Random(rows)
    for position in (0, rows - 1, rng.randrange(rows), rng.randrange(rows)):
        seed, epoch = rng.getrandbits(64), rng.getrandbits(64)
        found = int(permute(seed, epoch, np.array([position], dtype=np.uint64), rows)[0])
        assert found == definition(seed, epoch, position, rows)
        assert found == harness.call("permute", seed, epoch, position, rows)


def test_epochs_and_seeds_have_orders_of_their_own():
    """Protects the order's randomness: none of these repeats another."""
    orders = {tuple(epoch_of(s, e, 50)) for s in (0, 1, 2**63, 2**64 - 1) for e in range(10)}
    assert len(orders) == 40


def test_orders_are_spread_evenly():
    """Protects against a permutation that leaves rows near their place (chi-squared)."""
    rows, epochs = 16, 1600
    counts = np.zeros((rows, rows))
    for epoch in range(epochs):
        counts[np.arange(rows), epoch_of(5, epoch, rows)] += 1
    expected = epochs / rows
    assert ((counts - expected) ** 2 / expected).sum() < 340  # 225 degrees of freedom, 5 sigma


@pytest.mark.parametrize(("rows", "batch"), [(10, 4), (7, 7), (5, 3), (3, 8), (1, 2), (4, 1)])
def test_batches_run_on_over_an_epochs_end(rows, batch):
    """Protects the place p = t * B + j: steps take rows one after another, epoch by epoch."""
    steps = 4 * rows
    seen = [r for t in range(steps) for r in rows_of_step(9, rows, batch, t).tolist()]
    epochs = -(-steps * batch // rows)
    wanted = [r for e in range(epochs) for r in epoch_of(9, e, rows)]
    assert seen == wanted[: steps * batch]


def test_a_step_far_away_needs_no_steps_before_it():
    """Protects disputes late in a long training."""
    rows, batch, step = 1347, 32, 10**12
    found = rows_of_step(1, rows, batch, step).tolist()
    places = range(step * batch, (step + 1) * batch)
    assert found == [definition(1, p // rows, p % rows, rows) for p in places]


@pytest.mark.parametrize("rows", [0, -1, 2**32 + 1])
def test_sizes_that_no_data_set_has_are_refused(rows):
    """Protects against a data set that the contract refuses."""
    with pytest.raises(ValueError, match=f"rows={rows}; a data set has 1 to 4294967296 rows"):
        permute(0, 0, np.zeros(1, dtype=np.uint64), rows)
