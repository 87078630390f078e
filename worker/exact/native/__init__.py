"""The exact arithmetic in C, compiled for the host when it is first used.

Nothing here runs on import. A host without a compiler does without (`backends.candidates` says so).
"""

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from worker.exact.native.build import HERE, CompileError, NoCompiler, library

__all__ = [
    "LONGEST_ROW",
    "SOURCES",
    "CompileError",
    "NoCompiler",
    "Rows",
    "dot",
    "dot_scratch",
    "load",
    "prepare",
    "product",
    "run_step",
    "set_threads",
    "supports",
]

SOURCES = tuple(
    HERE / name
    for name in ("pool.c", "pack.c", "multiply.c", "doubles.c", "skinny.c", "dot.c", "step.c")
)
"""The library of `dot.h`, `pool.h` and `step.h`."""

LONGEST_ROW = 1 << 20
MOST_BITS = 20


class Rows(ctypes.Structure):
    """`assay_rows` of dot.h."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("batch_stride", ctypes.c_int64),
        ("row_stride", ctypes.c_int64),
        ("k_stride", ctypes.c_int64),
        ("load", ctypes.c_void_p),
        ("context", ctypes.c_void_p),
        ("k_major", ctypes.c_int),
        ("scales", ctypes.c_void_p),
        ("scale_batch_stride", ctypes.c_int64),
    )


@cache
def _library() -> ctypes.CDLL:
    return declare(library(SOURCES, shared=True))


def prepare() -> None:
    """Compile and load unless that was done. Raises `NoCompiler`, or OSError from the cache."""
    _library()


def load(*texts: str, flags: Sequence[str] = ()) -> ctypes.CDLL:
    """The library of C texts that may include this folder's headers and call what they declare.

    Each text is compiled by itself, several at the same time. `flags` come after the builder's own.
    Every such library has the same threads. Raises `NoCompiler`, `CompileError` or OSError.
    """
    prepare()
    return library(texts, flags=flags)


def set_threads(threads: int) -> None:
    """How many threads calls from now on may use; at least 1. Results do not depend on it."""
    _library().assay_set_threads(threads)


def dot_scratch(a: Rows, b: Rows, sizes: Sequence[int], bits: int) -> int:
    """`assay_dot_scratch`: bytes. sizes: batch, m, n, k."""
    return int(_library().assay_dot_scratch(ctypes.byref(a), ctypes.byref(b), *sizes, bits))


def run_step(
    calls: ctypes.Array[Any],
    count: int,
    memory: ctypes.Array[ctypes.c_void_p],
    scratch: int,
    seed: int,
    step: int,
) -> None:
    """`assay_run_step`. calls: `assay_call`s; memory: addresses; scratch: one, aligned to 64."""
    _library().assay_run_step(calls, count, memory, scratch, seed, step)


def declare(made: ctypes.CDLL) -> ctypes.CDLL:
    """The library with the types of what this module calls."""
    pointer, numbers = ctypes.c_void_p, ctypes.POINTER(ctypes.c_int64)
    rows = ctypes.POINTER(Rows)
    made.assay_dot_alone.argtypes = (rows, rows, pointer, numbers, numbers, ctypes.c_int)
    made.assay_dot_alone.restype = ctypes.c_int
    size = ctypes.c_int64
    made.assay_dot_scratch.argtypes = (rows, rows, size, size, size, size, ctypes.c_int)
    made.assay_dot_scratch.restype = ctypes.c_size_t
    word = ctypes.c_uint64
    made.assay_run_step.argtypes = (pointer, size, pointer, pointer, word, word)
    made.assay_run_step.restype = None
    made.assay_set_threads.argtypes = (ctypes.c_int,)
    made.assay_set_threads.restype = None
    return made


def supports(k: int, bits: int) -> bool:
    """Whether the native product takes rows of length `k` at `bits`: sums below 2^53."""
    return 2 <= bits <= MOST_BITS and k <= LONGEST_ROW and k << (2 * (bits - 1)) < 1 << 53


def dot(a: Tensor, b: Tensor, bits: int, *, made: ctypes.CDLL | None = None) -> Tensor:
    """`exact.dot` of f32 CPU tensors of any strides, [..., M, K] and [..., N, K].

    Uses as many threads as torch does. Raises ValueError for what it does not support, `NoCompiler`
    on a host without a compiler.
    """
    return _run(a, None, b, None, bits, made)


def product(qa: Tensor, sa: Tensor, qb: Tensor, sb: Tensor, bits: int) -> Tensor:
    """A `backends.Product`: rows of integers with their scales."""
    return _run(qa.to(torch.float32), sa, qb.to(torch.float32), sb, bits, None)


def _run(
    a: Tensor,
    sa: Tensor | None,
    b: Tensor,
    sb: Tensor | None,
    bits: int,
    made: ctypes.CDLL | None,
) -> Tensor:
    if a.device.type != "cpu" or b.device.type != "cpu":
        raise NotImplementedError(f"native dot runs on the CPU, not on {a.device}")
    if a.dtype != torch.float32 or b.dtype != torch.float32:
        raise TypeError(f"native dot takes float32 rows: {a.dtype}, {b.dtype}")
    (m, k), n = a.shape[-2:], b.shape[-2]
    if not supports(k, bits):
        raise ValueError(
            f"native dot takes 2 to {MOST_BITS} bits, K up to {LONGEST_ROW} and sums below 2^53: "
            f"{bits=}, {k=}"
        )
    made = made or _library()
    lead = a.shape[:-2]
    if b.shape[:-2] != lead:
        lead = torch.broadcast_shapes(lead, b.shape[:-2])
    out = torch.empty((*lead, m, n), dtype=torch.float32)
    batch = lead
    if b.dim() == 2 and a.dim() > 2:  # the batch is only more rows
        a, sa = a.reshape(-1, k), None if sa is None else sa.reshape(-1)
        m, batch = a.shape[0], torch.Size()
    left, right = _rows(a, sa, batch), _rows(b, sb, batch)
    sizes = (ctypes.c_int64 * 4)(batch.numel(), m, n, k)
    strides = (ctypes.c_int64 * 3)(m * n, n, 1)
    made.assay_set_threads(torch.get_num_threads())
    if made.assay_dot_alone(left[0], right[0], out.data_ptr(), sizes, strides, bits):
        raise MemoryError(f"native dot of {tuple(a.shape)} and {tuple(b.shape)}")
    return out


def _rows(x: Tensor, s: Tensor | None, batch: torch.Size) -> tuple[Rows, Tensor, Tensor | None]:
    """The descriptor of a tensor, and what must live as long as it."""
    same = x.dim() == 2 or x.shape[:-2].numel() == 1
    if (not same and x.dim() != 3) or x.shape[:-2] != batch:
        x = x.reshape(x.shape[-2:]) if same else _flat(x, batch, 2)
    strides = x.stride()
    rows = Rows(x.data_ptr(), 0 if same else strides[0], strides[-2], strides[-1])
    if s is not None:
        s = s.reshape(1, -1) if same else _flat(s, batch, 1)
        s = s.contiguous()
        rows.scales, rows.scale_batch_stride = s.data_ptr(), 0 if same else s.stride(0)
    return rows, x, s


def _flat(x: Tensor, batch: torch.Size, trailing: int) -> Tensor:
    """`x` with its leading axes broadcast to `batch` and made one."""
    tail = x.shape[x.dim() - trailing :]
    return x.expand(*batch, *tail).reshape(batch.numel(), *tail)
