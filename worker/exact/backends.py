"""Ways to compute the exact integer products behind `dot`, and the choice between them.

All give the same bits. `native` is C, compiled for the host's processor at its first use; where
there is a compiler it is the fastest, and `dot` hands it floats at once. `triton` is its
counterpart on a GPU. `fp64` is one f64 matrix product; `int8` cuts the integers into signed bytes
for int8 matrix units; `integer` is plain i64, for tests. A backend serves a device only after it
gave the right bits there on inputs made to break it: some processors saturate int8 products, some
libraries flush subnormals. Among those that pass, the fastest for the shape is taken.

Shapes: M, N rows of length K, `B` leading batch axes, equal or broadcast as in `torch.matmul`.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from functools import cache
from math import prod

import torch
from torch import Tensor

from worker.exact import native
from worker.exact.rows import F64_EXACT, finish

log = logging.getLogger(__name__)

ENVIRONMENT = "ASSAY_DOT_BACKEND"
GPU = "triton"
"""The backend that only GPUs have; it needs Triton, which PyTorch's GPU builds bring."""
INT8_SPLIT = 1 << 17
"""Longest K for one int8 product: 127 * 127 * 2^17 < 2^31, so no int32 accumulator overflows."""

ROWS_AT_ONCE = 1 << 20
"""Elements of a block of rows that `fp64` converts and multiplies."""
MOST_KEPT = 1 << 26
"""Bytes that each thread keeps for that."""

Product = Callable[[Tensor, Tensor, Tensor, Tensor, int], Tensor]
"""`(qa [B,M,K], sa [B,M], qb [B,N,K], sb [B,N], bits) -> f32 [B,M,N]`.

`q` are integers below 2^(bits-1) in magnitude, as f32 or i32, and may be overwritten; `s` are f32
powers of two, 2^(e-bits+1), or NaN for a row that is not finite. Arbitrary `q` in such a row.
"""


class NoBackend(RuntimeError):
    """No way to compute dot passed its known-answer test on this device."""


def bound(k: int, bits: int) -> int:
    """A number that no sum of `k` products of `bits`-bit integers exceeds in magnitude."""
    return k << (2 * (bits - 1))


# --- the backends -------------------------------------------------------------------------------


def fp64(qa: Tensor, sa: Tensor, qb: Tensor, sb: Tensor, bits: int) -> Tensor:
    """Through f64 matrix products, each short enough in K to be exact."""
    k = qa.shape[-1]
    if bound(1, bits) >= F64_EXACT:
        raise ValueError(f"fp64 cannot hold products of {bits=}")
    if bound(k, bits) < F64_EXACT:
        # Powers of two commute with exact sums, so they go in with the operands: one pass less.
        if qa.device.type == "cpu" and qa.dim() == qb.dim() == 2 and qa.is_floating_point():
            return _by_rows(qa, sa, qb, sb)
        total = torch.matmul(_rescaled(qa, sa), _rescaled(qb, sb).mT)
        return total.add_(0.0).to(torch.float32)  # a zero sum is +0
    step = (F64_EXACT - 1) // bound(1, bits)
    qa, qb = _finite_f64(qa, sa), _finite_f64(qb, sb)
    sums = [
        torch.matmul(qa[..., i : i + step], qb[..., i : i + step].mT).to(torch.int64)
        for i in range(0, k, step)
    ]
    return _finish(torch.stack(sums).sum(0), sa, sb)


def int8(qa: Tensor, sa: Tensor, qb: Tensor, sb: Tensor, bits: int) -> Tensor:
    """Through int8 matrix products with int32 accumulators; `bits` at most 14, one product to 8."""
    if bits > 14:
        raise ValueError(f"int8 slices hold at most 14 bits: {bits=}")
    if bound(qa.shape[-1], bits) >= F64_EXACT:
        raise ValueError(f"row of length {qa.shape[-1]} is too long for int8")
    slices_a, slices_b = _slices(qa, sa, bits), _slices(qb, sb, bits)
    if qb.dim() == 2:  # the batch is only more rows
        folded = [s.flatten(0, -2) for s in slices_a]
        result = _int8_matrix(folded, sa.flatten(), slices_b, sb)
        return result.reshape(*qa.shape[:-1], qb.shape[-2])
    batch = torch.broadcast_shapes(qa.shape[:-2], qb.shape[:-2])
    count = batch.numel()
    result = torch.empty(count, qa.shape[-2], qb.shape[-2], dtype=torch.float32, device=qa.device)
    parts_a = [_flat(s, batch, 2) for s in slices_a]
    parts_b = [_flat(s, batch, 2) for s in slices_b]
    scales_a, scales_b = _flat(sa, batch, 1), _flat(sb, batch, 1)
    for i in range(count):
        result[i] = _int8_matrix(
            [s[i] for s in parts_a], scales_a[i], [s[i] for s in parts_b], scales_b[i]
        )
    return result.reshape(*batch, *result.shape[-2:])


def integer(qa: Tensor, sa: Tensor, qb: Tensor, sb: Tensor, bits: int) -> Tensor:
    """Through i64 on the CPU: slow, and plainly the definition."""
    if bound(qa.shape[-1], bits) >= 1 << 63:
        raise ValueError(f"row of length {qa.shape[-1]} overflows 64 bits at {bits=}")
    ia, ib = (_finite_f64(q, s).cpu().to(torch.int64) for q, s in ((qa, sa), (qb, sb)))
    return _finish(torch.matmul(ia, ib.mT), sa.cpu(), sb.cpu()).to(qa.device)


def triton(qa: Tensor, sa: Tensor, qb: Tensor, sb: Tensor, bits: int) -> Tensor:
    """Through kernels on int8 matrix units; `product.supports` says which rows."""
    from worker.exact.gpu import product  # no Triton is needed where this is not called

    return product.product(qa, sa, qb, sb, bits)


BACKENDS: dict[str, Product] = {
    "native": native.product,
    "int8": int8,
    "fp64": fp64,
    "integer": integer,
}
"""Those that a CPU may have."""


def backend(name: str) -> Product:
    """The backend of this name; ValueError where there is none."""
    if name == GPU:
        return triton
    if name not in BACKENDS:
        raise ValueError(f"no dot backend {name!r}; there are {', '.join([*BACKENDS, GPU])}")
    return BACKENDS[name]


# --- their parts --------------------------------------------------------------------------------


class _Room(threading.local):
    """f64 that a thread keeps from one product to the next."""

    kept: Tensor = torch.empty(0, dtype=torch.float64)

    def take(self, *shapes: tuple[int, int]) -> list[Tensor]:
        """Memory for matrices of these shapes; more than MOST_KEPT is not kept."""
        sizes = [prod(shape) for shape in shapes]
        room = self.kept
        if room.numel() < sum(sizes):
            room = torch.empty(sum(sizes), dtype=torch.float64)
            if room.nbytes <= MOST_KEPT:
                self.kept = room
        pieces = room[: sum(sizes)].split(sizes)
        return [piece.view(shape) for piece, shape in zip(pieces, shapes, strict=True)]


_room = _Room()


def _by_rows(qa: Tensor, sa: Tensor, qb: Tensor, sb: Tensor) -> Tensor:
    """`fp64` of matrices on a CPU, some rows at a time in memory that is kept: a page that is new
    costs as much as 2,000 multiply-adds, and megabytes go back to the system when they are freed.
    """
    (m, k), n = qa.shape, qb.shape[0]
    rows = max(1, min(m, max(64, ROWS_AT_ONCE // max(k, n, 1))))
    b, a, total = _room.take((n, k), (rows, k), (rows, n))
    b.copy_(qb.mul_(sb.unsqueeze(-1)))
    out = torch.empty((m, n), dtype=torch.float32)
    for first in range(0, m, rows):
        last = min(first + rows, m)
        part, sums = a[: last - first], total[: last - first]
        part.copy_(qa[first:last].mul_(sa[first:last].unsqueeze(-1)))
        torch.matmul(part, b.mT, out=sums)
        out[first:last] = sums.add_(0.0)  # a zero sum is +0
    return out


def _rescaled(q: Tensor, s: Tensor) -> Tensor:
    """q * s in f64; both are f32 where that is exact, and halves the memory traffic."""
    s = s.unsqueeze(-1)
    if q.dtype == torch.float32:
        return q.mul_(s).to(torch.float64)
    return q.to(torch.float64).mul_(s)


def _finite_f64(q: Tensor, s: Tensor) -> Tensor:
    return q.to(torch.float64).masked_fill_(torch.isnan(s).unsqueeze(-1), 0.0)


def _finish(total: Tensor, sa: Tensor, sb: Tensor) -> Tensor:
    na, nb = ((s.view(torch.int32) >> 23) - 127 for s in (sa, sb))
    nonfinite = torch.isnan(sa).unsqueeze(-1) | torch.isnan(sb).unsqueeze(-2)
    return finish(total, na.unsqueeze(-1) + nb.unsqueeze(-2), nonfinite)


def _flat(x: Tensor, batch: torch.Size, trailing: int) -> Tensor:
    """`x` with its leading axes broadcast to `batch` and made one."""
    tail = x.shape[x.dim() - trailing :]
    return x.expand(*batch, *tail).reshape(batch.numel(), *tail)


def _slices(q: Tensor, s: Tensor, bits: int) -> list[Tensor]:
    """[q] or [hi, lo, hi + lo] as int8, with q = 128 hi + lo and lo in [-64, 63]."""
    if q.dtype == torch.float32:
        # Casting a NaN is left undefined by the language, and its row is NaN whatever it holds.
        q = q.nan_to_num_(0.0, 0.0, 0.0)
    q = q.to(torch.int8 if bits <= 8 else torch.int16)
    if bits <= 8:
        return [q]
    high = q.add(64).bitwise_right_shift_(7)
    low = q.sub_(high, alpha=128)
    return [high.to(torch.int8), low.to(torch.int8), high.add_(low).to(torch.int8)]


def _int8_matrix(a: list[Tensor], sa: Tensor, b: list[Tensor], sb: Tensor) -> Tensor:
    """f32 [M,N] from the int8 slices [M,K] and [N,K] of two matrices and their rows' scales."""
    m, n, k = a[0].shape[0], b[0].shape[0], a[0].shape[1]
    out = torch.empty(m, n, dtype=torch.float32, device=sa.device)
    products: list[list[Tensor]] = []
    for i in range(0, k, INT8_SPLIT):
        j = min(i + INT8_SPLIT, k)
        products.append([_int_mm(x[:, i:j], y[:, i:j]) for x, y in zip(a, b, strict=True)])
    if not products:
        return out.zero_().mul_(sa.unsqueeze(-1)).mul_(sb)
    scale_a, scale_b = sa.to(torch.float64).unsqueeze(-1), sb.to(torch.float64)
    rows = max(1, (1 << 17) // max(n, 1)) if sa.device.type == "cpu" else max(m, 1)  # in cache
    for r in range(0, m, rows):
        total = _combined([p[r : r + rows] for p in products[0]])
        for more in products[1:]:
            total.add_(_combined([p[r : r + rows] for p in more]))
        out[r : r + rows] = total.mul_(scale_a[r : r + rows]).mul_(scale_b)
    return out


def _combined(products: list[Tensor]) -> Tensor:
    """The f64 total of int32 products: of q itself, or of hi, lo and hi + lo.

    With q = 128 hi + lo on both sides and m = (hi + lo)(hi' + lo'), the total is
    16384 hi hi' + 128 (m - hi hi' - lo lo') + lo lo'.
    """
    if len(products) == 1:
        return products[0].to(torch.float64)
    high, low, middle = products
    return middle.to(torch.float64).mul_(128.0).add_(high, alpha=16256.0).sub_(low, alpha=127.0)


def _int_mm(a: Tensor, b: Tensor) -> Tensor:
    """int32 a @ b.T, padded with zeros to the sizes that the device's int8 product takes."""
    (m, k), n = a.shape, b.shape[0]
    if a.device.type == "cpu":
        # With K = 1 the CPU's product takes a wrong stride and reads beyond the operand.
        pad_k, pad_m, pad_n = int(k == 1), 0, 0
    else:
        pad_k, pad_m, pad_n = -k % 16, max(-m % 8, 24 - m), -n % 8
    if pad_k or pad_m:
        a = torch.nn.functional.pad(a, (0, pad_k, 0, pad_m))
    if pad_k or pad_n:
        b = torch.nn.functional.pad(b, (0, pad_k, 0, pad_n))
    return torch._int_mm(a.contiguous(), b.contiguous().mT)[:m, :n]


# --- the choice ---------------------------------------------------------------------------------


def known_answer_inputs(bits: int) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Operands `(qa, sa, qb, sb)` on which a wrong backend shows, made without random numbers.

    All elements at the limit, or where a slice is greatest, in both signs (an int8 unit that
    saturates pairs of products, of which it makes one operand unsigned, clips them); a spread of
    values in awkward shapes; scales that put results among the subnormals, at the least of them,
    halfway below it, and beyond the greatest f32; a NaN row.
    """
    limit = (1 << (bits - 1)) - 1
    slices = limit if bits <= 8 else (limit - 63) // 128 * 128 + 63  # hi + lo is at its greatest
    ends = torch.full((5, 1024), limit, dtype=torch.int32)
    ends[1] = -limit
    ends[2, ::2] = -limit
    ends[3], ends[4] = slices, -slices
    spread = (torch.arange(7 * 333) * 2654435761 % (2 * limit + 1) - limit).to(torch.int32)
    spread = spread.reshape(7, 333)
    column = spread[:, :1].clone()
    ones = torch.zeros(4, 5, dtype=torch.int32)
    ones[:, 0] = torch.tensor([1, min(3, limit), limit, 1])
    powers = [2.0**-75, 2.0**-74, 2.0**64, float("nan")]
    return [
        (ends, torch.ones(5), ends.clone(), torch.ones(5)),
        (spread, torch.ones(7), spread[:5].clone(), torch.full((5,), 0.5)),
        (column, torch.ones(7), column[:5].clone(), torch.ones(5)),
        (ones, torch.tensor(powers), ones.clone(), torch.tensor(powers)),
    ]


@cache
def compiles() -> bool:
    """Whether this host can make the native backend; says once what is missing."""
    try:
        native.prepare()
    except (native.NoCompiler, OSError) as error:
        log.info("the native dot backend is left out, and others are slower: %s", error)
        return False
    except native.CompileError as error:
        log.warning("the native dot backend is left out, as its source does not compile: %s", error)
        return False
    return True


@cache
def has_triton() -> bool:
    """Whether there is Triton here; says once what is missing."""
    try:
        from worker.exact.gpu import product  # noqa: F401  # it imports Triton
    except ImportError as error:
        log.warning("products on this GPU are slower without Triton: %s", error)
        return False
    return True


def gpu_supports(k: int, bits: int) -> bool:
    """Whether there is Triton here and its kernels take such rows."""
    if not has_triton():
        return False
    from worker.exact.gpu import product

    return product.supports(k, bits)


@cache
def passes(name: str, device: torch.device, bits: int) -> bool:
    """Whether the backend gives the known answers on `device`; logs a warning if it does not."""
    for case in known_answer_inputs(bits):
        expected = integer(*case, bits).nan_to_num(-1.0).view(torch.int32)
        try:
            qa, sa, qb, sb = (t.clone().to(device) for t in case)
            got = backend(name)(qa, sa, qb, sb, bits).cpu()
        except (RuntimeError, NotImplementedError, OSError) as error:
            log.warning("dot backend %s cannot run on %s: %s", name, device, error)
            return False
        if not torch.equal(got.nan_to_num(-1.0).view(torch.int32), expected):
            log.warning("dot backend %s gives wrong results on %s; not used", name, device)
            return False
    return True


def candidates(device: torch.device, k: int, bits: int) -> list[str]:
    """The backends worth timing for rows of length `k`, all of which pass on `device`."""
    names = []
    if device.type == "cpu" and native.supports(k, bits) and compiles():
        names.append("native")
    if device.type == "cuda" and gpu_supports(k, bits):
        names.append(GPU)
    if bits <= 14 and bound(k, bits) < F64_EXACT:
        names.append("int8")
    if bound(1, bits) < F64_EXACT and bound(k, bits) < 1 << 63:
        names.append("fp64")
    names = [name for name in names if passes(name, device, bits)]
    if not names and bound(1, bits) >= F64_EXACT and passes("integer", device, bits):
        names = ["integer"]
    if not names:
        raise NoBackend(
            f"no backend computes dot exactly on {device} at {bits=}, {k=}. On a CPU, see "
            "worker.exact.guard; on a GPU, update the driver and torch."
        )
    return names


def choose(a: Tensor, b: Tensor, bits: int, name: str | None = None) -> str:
    """The backend for rows `a` and `b`: `name`, else the environment's, else the fastest.

    Raises ValueError for an unknown name, `NoBackend` if the named one, or all, are wrong here.
    """
    name = name or os.environ.get(ENVIRONMENT) or None
    if name is None:
        m, n, k = a.shape[-2], b.shape[-2], a.shape[-1]
        batch = 1 if b.dim() == 2 else b.shape[:-2].numel()
        if b.dim() == 2:
            m *= a.shape[:-2].numel()
        name = _fastest(a.device, bits, _size(batch, 8), *(_size(x, 1024) for x in (m, n, k)))
        if (name == "native" and not native.supports(k, bits)) or (
            name == GPU and not gpu_supports(k, bits)
        ):
            name = candidates(a.device, k, bits)[0]
        if name == "int8" and bound(k, bits) >= F64_EXACT:
            name = "fp64"
    backend(name)
    if not passes(name, a.device, bits):
        raise NoBackend(f"dot backend {name} is not exact on {a.device} at {bits=}")
    return name


def _size(n: int, most: int) -> int:
    """The class of a size: the next power of two, up to `most`."""
    return min(1 << max(n - 1, 0).bit_length(), most)


@cache
def _fastest(device: torch.device, bits: int, batch: int, m: int, n: int, k: int) -> str:
    """The quickest backend for a class of shapes, timed once per process."""
    names = candidates(device, k, bits)
    if len(names) == 1 or names[0] in ("native", GPU):  # ahead of the others at every size
        return names[0]
    limit = (1 << (bits - 1)) - 1
    times = {}
    for name in names:
        best = float("inf")
        for _ in range(3):
            qa = torch.full((batch, m, k), float(limit), device=device).squeeze(0)
            qb = torch.full((batch, n, k), float(limit), device=device).squeeze(0)
            sa = torch.ones(qa.shape[:-1], device=device)
            sb = torch.ones(qb.shape[:-1], device=device)
            _wait(device)
            start = time.perf_counter()
            backend(name)(qa, sa, qb, sb, bits)
            _wait(device)
            best = min(best, time.perf_counter() - start)
        times[name] = best
    fastest = min(times, key=lambda name: times[name])
    log.debug("dot %s bits=%d batch=%d %dx%dx%d: %s", device, bits, batch, m, n, k, times)
    return fastest


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
