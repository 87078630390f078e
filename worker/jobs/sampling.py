"""Which rows of the data set a step sees: a small Feistel permutation of each epoch.

No list is stored, no two epochs repeat an order, and a contract computes any one row
(`contracts/lib/Sampling.sol` is the twin).
"""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import torch
from numpy.typing import NDArray

ROUNDS = 6
MAX_ROWS = 1 << 32
MAX_DATA_TENSORS = 1 << 10

Words = NDArray[np.uint64]


def permute(seed: int, epoch: int, positions: Words, rows: int) -> Words:
    """The row at each position of an epoch: a permutation of 0 .. rows - 1.

    positions: uint64, any shape, each below rows. Balanced Feistel network on the least even number
    of bits that holds `rows`, walked until the result lies below `rows`.
    """
    if not 0 < rows <= MAX_ROWS:
        raise ValueError(f"{rows=}; a data set has 1 to {MAX_ROWS} rows")
    width = max(1, -(-(rows - 1).bit_length() // 2))
    mask = np.uint64((1 << width) - 1)
    keys = np.frombuffer(
        sha256(seed.to_bytes(8, "big") + epoch.to_bytes(8, "big")).digest(), dtype=">u4"
    )[:ROUNDS].astype(np.uint64)
    out = positions.astype(np.uint64).copy()
    outside = np.ones(out.shape, dtype=bool)
    while outside.any():
        left, right = out[outside] >> np.uint64(width), out[outside] & mask
        for key in keys:
            left, right = right, left ^ (_mix(right ^ key) & mask)
        out[outside] = left << np.uint64(width) | right
        outside = out >= rows
    return out


def _mix(x: Words) -> Words:
    """The 32-bit finalizer of MurmurHash3 (Appleby)."""
    low = np.uint64(0xFFFFFFFF)
    x = (x ^ (x >> np.uint64(16))) * np.uint64(0x85EBCA6B) & low
    x = (x ^ (x >> np.uint64(13))) * np.uint64(0xC2B2AE35) & low
    return x ^ (x >> np.uint64(16))


def rows_of_step(seed: int, rows: int, batch_rows: int, step: int) -> torch.Tensor:
    """i64 [batch_rows]: the data set's rows that make the batch of `step`."""
    places = np.arange(step * batch_rows, (step + 1) * batch_rows, dtype=np.uint64)
    out = np.empty(batch_rows, dtype=np.uint64)
    for epoch in range(int(places[0]) // rows, int(places[-1]) // rows + 1):
        here = places // np.uint64(rows) == epoch
        out[here] = permute(seed, epoch, places[here] % np.uint64(rows), rows)
    return torch.from_numpy(out.astype(np.int64))
