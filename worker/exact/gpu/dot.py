"""The exact product on a GPU: how the kernels of `worker.exact.gpu.kernels` are launched.

Rows are packed as int8 matrices, then multiplied. Which blocks and tiles are taken cannot change a
bit; they were chosen by measurements.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import triton

from worker.exact.gpu import OPTIONS
from worker.exact.gpu.kernels import multiply, pack, pack_integers

LONGEST_ROW = 1 << 12
"""Elements; what one program of `pack` takes, and where the sums of `multiply` are sure to fit."""
MOST_BITS = 20


def slices_of(bits: int) -> int:
    """How many int8 matrices stand for one of `bits`-bit integers."""
    if not 2 <= bits <= MOST_BITS:
        raise ValueError(f"products of 2 to {MOST_BITS} bits: {bits=}")
    return 1 if bits <= 8 else 3 if bits <= 14 else 6


def padded(k: int) -> int:
    """The packed length of a row of `k` elements."""
    return max(32, triton.next_power_of_2(k)) if k <= 128 else -(-k // 128) * 128


@dataclass(frozen=True)
class Launch:
    """A kernel, its grid, its numbers and constants in the kernel's order, and compiler's options.

    The pointers, which come first, are given when it is called.
    """

    kernel: Any
    grid: tuple[int, ...]
    numbers: tuple[int, ...] = ()
    constants: tuple[tuple[str, int], ...] = ()
    warps: int = 4
    stages: int = 3

    def __call__(self, *pointers: Any) -> None:
        # what a kernel is compiled for, besides its operands' types, which are always the same
        kind = (pointers[0].get_device(), *[p.data_ptr() % 16 for p in pointers])
        if (launch := self._compiled.get(kind)) is not None:
            launch(*pointers, *self._scalars)
            return
        compiled = self.kernel[self.grid](*pointers, *self.numbers, **self._options)
        if compiled is not None:  # nothing is, under the interpreter
            self._compiled[kind] = compiled[(*self.grid, 1, 1)[:3]]

    def compile(self, *pointers: Any) -> None:
        """Compiles the kernel for such operands, unless that was done; launches nothing."""
        self.kernel.warmup(*pointers, *self.numbers, grid=self.grid, **self._options)

    @cached_property
    def _compiled(self) -> dict[object, Callable[..., None]]:
        """Of each kind of operands that a kernel is compiled for, its launch: looking for the
        kernel takes Triton several times as long as the launch."""
        return {}

    @cached_property
    def _scalars(self) -> tuple[int, ...]:
        return (*self.numbers, *(value for _, value in self.constants))

    @cached_property
    def _options(self) -> dict[str, Any]:
        return {
            **dict(self.constants),
            "num_warps": self.warps,
            "num_stages": self.stages,
            **OPTIONS,
        }


def pack_block(rows: int, k: int, k_contiguous: bool) -> tuple[int, int, int]:
    """Rows and columns of a block that packs whole rows, and its warps (measured on an H200).

    Where rows lie side by side, at least four are read together: half of what memory gives at once.
    """
    p = triton.next_power_of_2(padded(k))
    if k_contiguous:
        r, warps = max(1, 2048 // p), 4 if p <= 2048 else 16
    else:
        r, warps = (8, 8) if p > 2048 else (8192 // p, 4)
    r = min(r, 64, triton.next_power_of_2(rows))
    return r, p, max(1, min(warps, r * p // 256))


@cache
def packing(
    batch: int, rows: int, k: int, strides: tuple[int, int, int], bits: int
) -> tuple[Launch, int]:
    """The launch of `pack` (x, packed, scales), and the bytes it packs into."""
    r, p, warps = pack_block(rows, k, strides[2] == 1 or abs(strides[1]) != 1)
    kp, slices = padded(k), slices_of(bits)
    size = batch * rows * kp
    constants = (("BITS", bits), ("SLICES", slices), ("R", r), ("P", p))
    grid = (-(-rows // r) * batch,)
    return Launch(pack, grid, (rows, k, kp, size, *strides), constants, warps), slices * size


@cache
def packing_integers(batch: int, rows: int, k: int, bits: int) -> tuple[Launch, int]:
    """The launch of `pack_integers` (q, e, packed, scales), and the bytes it packs into."""
    r, p, warps = pack_block(rows, k, True)
    kp, slices = padded(k), slices_of(bits)
    size = batch * rows * kp
    constants = (("BITS", bits), ("SLICES", slices), ("R", r), ("P", p))
    grid = (-(-rows // r) * batch,)
    return Launch(pack_integers, grid, (rows, k, kp, size), constants, warps), slices * size


TILES = ((64, 64, 4), (64, 32, 4), (32, 32, 2), (16, 32, 2))
"""Rows, columns and warps of a tile, largest first."""
LARGE = {1: (128, 64, 4), 3: (128, 64, 4), 6: (128, 64, 8)}
"""For many tiles of long rows, by slices: as large as sums stay in registers."""


def tile(sizes: tuple[int, int, int, int], bits: int, processors: int) -> tuple[int, int, int]:
    """The largest tile of which there are enough to keep half of all processors busy.

    sizes: batch, M, N, K. Measured on an H200 at 14 bits: between the best and a tenth more.
    """
    batch, m, n, k = sizes

    def count(bm: int, bn: int) -> int:
        return batch * -(-m // bm) * -(-n // bn)

    large = LARGE[slices_of(bits)]
    if k > 128 and min(m, n) >= 64 and count(*large[:2]) >= 4 * processors:
        return large
    for found in TILES:
        bm, bn, _ = found
        if bm < 2 * m and bn < 2 * n and 2 * count(bm, bn) >= processors:
            return found
    return TILES[-1] if m <= 16 else TILES[-2]


@cache
def multiplying(
    sizes: tuple[int, int, int, int],
    batches: tuple[int, int],
    out_strides: tuple[int, int, int],
    bits: int,
    processors: int,
) -> Launch:
    """The launch of `multiply` (a, b, a's scales, b's, out).

    sizes: batch, M, N, K. batches: of each operand, 1 where all products have the same.
    """
    batch, m, n, k = sizes
    bm, bn, warps = tile(sizes, bits, processors)
    kp = padded(k)
    stages = 4 if kp >= 1024 and (bm, bn) == (64, 64) else 3
    numbers = (
        m, n, kp, batches[0] * m * kp, batches[1] * n * kp,
        m if batches[0] > 1 else 0, n if batches[1] > 1 else 0, *out_strides,
    )  # fmt: skip
    constants = (("SLICES", slices_of(bits)), ("BM", bm), ("BN", bn), ("BK", min(kp, 128)))
    grid = (-(-m // bm) * -(-n // bn) * batch,)
    return Launch(multiply, grid, numbers, constants, warps, stages)
