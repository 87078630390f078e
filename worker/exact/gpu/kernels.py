"""Kernels of the exact product: rows packed as 8-bit integers, multiplied on int8 matrix units.

A row's integers of `bits` bits are cut into digits to the base 128, the lower ones in [-64, 63],
and each product of two digits is one product of int8 matrices with i32 sums (Karatsuba: with the
digits' sums besides, three products serve for two digits and six for three). What they make
together is put together exactly and rounded once.

SLICES: how many int8 matrices stand for one, 1, 3 or 6: `dot.slices_of`.
"""

import triton
import triton.language as tl

from worker.exact.gpu.constants import NAN_BITS, NONFINITE
from worker.exact.gpu.rows import as_float, exponent, magnitude, quantise_scale, small_rint

# ---- packing -----------------------------------------------------------------------------------


@triton.jit
def scale_of(e, BITS: tl.constexpr):
    """f32 2^(e-BITS+1), NaN for a row that is not finite."""
    return as_float(tl.where(e == NONFINITE, NAN_BITS, (e + (128 - BITS)) << 23))


@triton.jit
def integers(x, e, BITS: tl.constexpr):
    """The i32 integers of f32 x [rows, k] under exponents e [rows]; any within the limit in a row
    that is not finite, as its scale is NaN."""
    limit: tl.constexpr = (1 << (BITS - 1)) - 1
    q = small_rint(x * quantise_scale(e, BITS)[:, None])
    return tl.maximum(tl.minimum(q, limit), -limit)


@triton.jit
def store_slices(q, at, inside, slice_size, SLICES: tl.constexpr):
    """Writes integers q as int8 matrices, `slice_size` bytes apart, at the pointers `at`."""
    if SLICES == 1:
        tl.store(at, q.to(tl.int8), mask=inside)
    else:
        c = ((q + 64) & 127) - 64
        b = (q - c) >> 7
        if SLICES == 3:
            tl.store(at, b.to(tl.int8), mask=inside)
            tl.store(at + slice_size, c.to(tl.int8), mask=inside)
            tl.store(at + 2 * slice_size, (b + c).to(tl.int8), mask=inside)
        else:
            a = b
            b = ((a + 64) & 127) - 64
            a = (a - b) >> 7
            tl.store(at, a.to(tl.int8), mask=inside)
            tl.store(at + slice_size, b.to(tl.int8), mask=inside)
            tl.store(at + 2 * slice_size, c.to(tl.int8), mask=inside)
            tl.store(at + 3 * slice_size, (a + b).to(tl.int8), mask=inside)
            tl.store(at + 4 * slice_size, (a + c).to(tl.int8), mask=inside)
            tl.store(at + 5 * slice_size, (b + c).to(tl.int8), mask=inside)


@triton.jit
def store_rows(
    x, packed, scales, batch, r, c, rows, kp, slice_size,
    BITS: tl.constexpr, SLICES: tl.constexpr,
):  # fmt: skip
    """Packs x [R, P], zero beyond the row's end: rows `r` of one batch, columns `c`."""
    e = exponent(tl.max(magnitude(x), axis=1))
    first = batch.to(tl.int64) * rows
    tl.store(scales + first + r, scale_of(e, BITS), mask=r < rows)
    at = packed + (first + r)[:, None] * kp + c[None, :]
    inside = (r < rows)[:, None] & (c < kp)[None, :]
    store_slices(integers(x, e, BITS), at, inside, slice_size, SLICES)


@triton.jit
def pack(
    x, packed, scales, rows, k, kp, slice_size, batch_stride, row_stride, k_stride,
    BITS: tl.constexpr, SLICES: tl.constexpr, R: tl.constexpr, P: tl.constexpr,
):  # fmt: skip
    """Packs f32 rows that stand in memory by strides. Grid: of each batch, blocks of R rows."""
    blocks = tl.cdiv(rows, R)
    r = tl.program_id(0) % blocks * R + tl.arange(0, R)
    c = tl.arange(0, P)
    batch = (tl.program_id(0) // blocks).to(tl.int64)
    along = r.to(tl.int64) * row_stride
    across = c.to(tl.int64) * k_stride
    at = x + batch * batch_stride + along[:, None] + across[None, :]
    values = tl.load(at, mask=(r < rows)[:, None] & (c < k)[None, :], other=0.0)
    store_rows(values, packed, scales, batch, r, c, rows, kp, slice_size, BITS, SLICES)


@triton.jit
def pack_integers(
    q, e, packed, scales, rows, k, kp, slice_size,
    BITS: tl.constexpr, SLICES: tl.constexpr, R: tl.constexpr, P: tl.constexpr,
):  # fmt: skip
    """Packs i32 integers [batch, rows, k] that stand under exponents [batch, rows]."""
    blocks = tl.cdiv(rows, R)
    r = tl.program_id(0) % blocks * R + tl.arange(0, R)
    c = tl.arange(0, P)
    first = (tl.program_id(0) // blocks).to(tl.int64) * rows
    exponents = tl.load(e + first + r, mask=r < rows, other=0)
    tl.store(scales + first + r, scale_of(exponents, BITS), mask=r < rows)
    within = (r < rows)[:, None]
    values = tl.load(
        q + (first + r)[:, None] * k + c[None, :], mask=within & (c < k)[None, :], other=0
    )
    at = packed + (first + r)[:, None] * kp + c[None, :]
    store_slices(values, at, within & (c < kp)[None, :], slice_size, SLICES)


# ---- multiplying -------------------------------------------------------------------------------


@triton.jit
def multiply(
    a, b, a_scales, b_scales, out, m, n, kp, a_slice, b_slice, a_batch, b_batch,
    out_batch, out_row, out_column,
    SLICES: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """f32 out[batch, i, j] of packed rows i of a and j of b. Grid: of each batch, tiles.

    a_batch, b_batch: rows from one batch to the next, 0 where all have the same.
    """
    tiles_n = tl.cdiv(n, BN)
    tiles_m = tl.cdiv(m, BM)
    # eight tiles of rows at a time meet all columns, so that both stay in the cache
    pid = tl.program_id(0) % (tiles_m * tiles_n)
    band = pid // (8 * tiles_n)
    height = tl.minimum(tiles_m - band * 8, 8)
    tile_m = band * 8 + (pid % (8 * tiles_n)) % height
    tile_n = (pid % (8 * tiles_n)) // height
    batch = (tl.program_id(0) // (tiles_m * tiles_n)).to(tl.int64)

    i = tile_m * BM + tl.arange(0, BM)
    j = tile_n * BN + tl.arange(0, BN)
    row_a = batch * a_batch + tl.minimum(i, m - 1)
    row_b = batch * b_batch + tl.minimum(j, n - 1)
    c = tl.arange(0, BK)
    at_a = a + row_a[:, None] * kp + c[None, :]
    at_b = b + row_b[None, :] * kp + c[:, None]
    zero = tl.zeros((BM, BN), tl.int32)
    if SLICES == 1:
        total = summed(at_a, at_b, kp, zero, BK).to(tl.int64)
    elif SLICES == 3:
        # x x' = 128 t + cc' of digits x = 128 b + c, with t = 127 bb' - cc' + (b + c)(b' + c').
        # t may wrap on the way, but not in the end: its sum is within 4096 * (8191^2 + 64^2) / 128
        low = summed(at_a + a_slice, at_b + b_slice, kp, zero, BK)
        high = summed(at_a, at_b, kp, zero, BK)
        middle = summed(at_a + 2 * a_slice, at_b + 2 * b_slice, kp, high * 127 - low, BK)
        total = middle.to(tl.int64) * 128 + low
    else:
        # x = 2^14 a + 2^7 b + c: x x' = 2^21 t + 2^14 u + 2^7 v + cc', where (a + b)(a' + b') less
        # aa' and bb' is ab' + ba', and so on: t = 128 aa' + ab' + ba', u = ac' + ca' + bb',
        # v = bc' + cb'. |a| <= 33, so t's sum is below 4096 * 2^18, the others' below 4096 * 2^14
        first = summed(at_a, at_b, kp, zero, BK)
        second = summed(at_a + a_slice, at_b + b_slice, kp, zero, BK)
        third = summed(at_a + 2 * a_slice, at_b + 2 * b_slice, kp, zero, BK)
        t, u, v = first * 127 - second, second - first - third, -second - third
        t = summed(at_a + 3 * a_slice, at_b + 3 * b_slice, kp, t, BK)
        u = summed(at_a + 4 * a_slice, at_b + 4 * b_slice, kp, u, BK)
        v = summed(at_a + 5 * a_slice, at_b + 5 * b_slice, kp, v, BK)
        total = (t.to(tl.int64) * 128 + u) * 16384 + (v.to(tl.int64) * 128 + third)
    scale_a = tl.load(a_scales + row_a).to(tl.float64)
    scale_b = tl.load(b_scales + row_b).to(tl.float64)
    # powers of two: exact, and the cast rounds once
    result = (small_f64(total) * scale_a[:, None] * scale_b[None, :]).to(tl.float32)
    at = out + batch * out_batch + i.to(tl.int64)[:, None] * out_row
    at += j.to(tl.int64)[None, :] * out_column
    tl.store(at, result, mask=(i < m)[:, None] & (j < n)[None, :])


@triton.jit
def summed(a, b, kp, sums, BK: tl.constexpr):
    """i32 sums plus the product of the int8 tiles from pointers a [BM, BK] and b [BK, BN] on."""
    for _ in range(0, kp, BK):
        sums = tl.dot(tl.load(a), tl.load(b), sums, out_dtype=tl.int32)
        a += BK
        b += BK
    return sums


@triton.jit
def small_f64(x):
    """i64 of less than 2^51 in magnitude as f64: several times as fast as the conversion.

    Added to the bits of 1.5 * 2^52, where one unit is 1, it is there what it is.
    """
    return (x + 0x4338000000000000).to(tl.float64, bitcast=True) - 6755399441055744.0
