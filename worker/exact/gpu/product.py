"""`exact.dot` of tensors on a GPU, through the kernels of `worker.exact.gpu.dot`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import cache

import torch
from torch import Tensor

from worker.exact.bits import NONFINITE
from worker.exact.gpu.dot import (
    LONGEST_ROW,
    MOST_BITS,
    multiplying,
    packing,
    packing_integers,
)

Packed = tuple[Tensor, Tensor, int]
"""int8 slices, f32 scales, and of how many batches they are: 1 where all products have the same."""
Pack = Callable[[Tensor], Packed]
"""Of a tensor [batch, rows, k]."""


def supports(k: int, bits: int) -> bool:
    """Whether rows of length `k` at `bits` are taken."""
    return 2 <= bits <= MOST_BITS and 0 < k <= LONGEST_ROW


def dot(a: Tensor, b: Tensor, bits: int) -> Tensor:
    """`exact.dot` of f32 tensors of any strides on one GPU, [..., M, K] and [..., N, K].

    Raises ValueError for what `supports` does not take.
    """
    k = a.shape[-1]
    _check(k, bits)

    def pack(x: Tensor) -> Packed:
        batch, rows = x.shape[0], x.shape[1]
        launch, size = packing(batch, rows, k, x.stride(), bits)
        packed, scales = _room(x, size, batch * rows)
        launch(x, packed, scales)
        return packed, scales, batch

    return _multiplied(a, b, bits, pack, pack)


def product(qa: Tensor, sa: Tensor, qb: Tensor, sb: Tensor, bits: int) -> Tensor:
    """A `backends.Product`: rows of integers with their scales."""
    k = qa.shape[-1]
    _check(k, bits)

    def packer(s: Tensor, lead: torch.Size) -> Pack:
        exponents = (s.contiguous().view(torch.int32) >> 23) - 127 + (bits - 1)
        exponents = exponents.masked_fill_(torch.isnan(s), NONFINITE)

        def pack(x: Tensor) -> Packed:
            batch, rows = x.shape[0], x.shape[1]
            e = exponents if batch * rows == s.numel() else exponents.expand(*lead, s.shape[-1])
            launch, size = packing_integers(batch, rows, k, bits)
            packed, scales = _room(x, size, batch * rows)
            launch(x.contiguous(), e.contiguous(), packed, scales)
            return packed, scales, batch

        return pack

    lead = torch.broadcast_shapes(qa.shape[:-2], qb.shape[:-2])
    a, b = (
        (q.nan_to_num(0.0, 0.0, 0.0) if q.is_floating_point() else q).to(torch.int32)
        for q in (qa, qb)
    )
    return _multiplied(a, b, bits, packer(sa, lead), packer(sb, lead))


def _multiplied(a: Tensor, b: Tensor, bits: int, pack_a: Pack, pack_b: Pack) -> Tensor:
    (m, k), n = a.shape[-2:], b.shape[-2]
    lead = a.shape[:-2]
    if lead != b.shape[:-2]:
        lead = torch.broadcast_shapes(lead, b.shape[:-2])
    out = torch.empty((*lead, m, n), dtype=torch.float32, device=a.device)
    if not out.numel():
        return out
    if b.dim() == 2 and a.dim() > 2:  # the batch is only more rows
        a, m, batch = a.reshape(1, -1, k), lead.numel() * m, 1
    else:
        batch = lead.numel()
    elsewhere = a.is_cuda and a.get_device() != torch.cuda.current_device()
    with torch.cuda.device(a.device) if elsewhere else nullcontext():
        left, right = pack_a(_flat(a, lead)), pack_b(_flat(b, lead))
        launch = multiplying(
            (batch, m, n, k), (left[2], right[2]), (m * n, n, 1), bits, processors(a.device)
        )
        launch(left[0], right[0], left[1], right[1], out)
    return out


def _flat(x: Tensor, lead: torch.Size) -> Tensor:
    """[1 or batch, rows, k]: one batch where all products have the same rows."""
    if x.dim() == 3 and (x.shape[0] == 1 or x.shape[:1] == lead):
        return x
    if x.shape[:-2].numel() == 1:
        return x.reshape(1, *x.shape[-2:])
    return x.expand(*lead, *x.shape[-2:]).reshape(-1, *x.shape[-2:])


def _room(like: Tensor, size: int, rows: int) -> tuple[Tensor, Tensor]:
    packed = torch.empty(size, dtype=torch.int8, device=like.device)
    return packed, torch.empty(rows, dtype=torch.float32, device=like.device)


def _check(k: int, bits: int) -> None:
    if not supports(k, bits):
        raise ValueError(
            f"the GPU's product takes 2 to {MOST_BITS} bits and rows of 1 to {LONGEST_ROW} "
            f"elements: {bits=}, {k=}"
        )


@cache
def processors(device: torch.device) -> int:
    """Streaming multiprocessors of a GPU; 1 for the CPU, where kernels are interpreted."""
    if device.type == "cpu":
        return 1
    return int(torch.cuda.get_device_properties(device).multi_processor_count)
