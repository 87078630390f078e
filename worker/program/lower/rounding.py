"""Rounding to whole numbers, and division with a whole quotient."""

from __future__ import annotations

from typing import Any

import torch

from worker.program.codes import BOOL, F32, I64, Map
from worker.program.lower.pointwise import Operand, floating, promoted
from worker.program.lower.registry import Builder, Unsupported, View, rule

aten = torch.ops.aten

# from here on every f32 is whole
WHOLE = float(1 << 23)


def _where_small(b: Builder, x: View, rounded: View) -> View:
    """`rounded` below 2^23, x itself from there on; a NaN stays one."""
    small = b.map(Map.LT, b.map(Map.ABS, x), b.constant(WHOLE, F32), dtype=BOOL)
    return b.map(Map.WHERE, small, rounded, x, dtype=F32)


def truncated(b: Builder, x: View) -> View:
    """Toward zero. A zero has the sign +."""
    return _where_small(b, x, b.convert(b.convert(x, I64), F32))


def floored(b: Builder, x: View) -> View:
    t = truncated(b, x)
    above = b.map(Map.GT, t, x, dtype=BOOL)
    return b.map(Map.WHERE, above, b.map(Map.SUB, t, b.constant(1.0, F32)), t, dtype=F32)


@rule(aten.trunc.default)
def trunc(b: Builder, x: View) -> View:
    return truncated(b, x) if x.dtype == F32 else x


@rule(aten.floor.default)
def floor(b: Builder, x: View) -> View:
    return floored(b, x) if x.dtype == F32 else x


@rule(aten.ceil.default)
def ceil(b: Builder, x: View) -> View:
    return b.map(Map.NEG, floored(b, b.map(Map.NEG, x))) if x.dtype == F32 else x


@rule(aten.round.default)
def round_(b: Builder, x: View) -> View:
    """To the nearest, ties to even: what adding 2^23 to a magnitude leaves of it."""
    if x.dtype != F32:
        return x
    shift = b.constant(WHOLE, F32)
    size = b.map(Map.SUB, b.map(Map.ADD, b.map(Map.ABS, x), shift), shift)
    below = b.map(Map.LT, x, b.constant(0.0, F32), dtype=BOOL)
    return _where_small(b, x, b.map(Map.WHERE, below, b.map(Map.NEG, size), size, dtype=F32))


@rule(aten.round.decimals)
def round_decimals(b: Builder, x: View, *, decimals: int = 0) -> View:
    scale = b.constant(10.0 ** abs(decimals), F32)
    there, back = (Map.MUL, Map.DIV) if decimals >= 0 else (Map.DIV, Map.MUL)
    return b.map(back, round_(b, b.map(there, floating(b, x), scale)), scale)


# division


def _whole_quotient(b: Builder, x: View, y: View) -> tuple[View, View]:
    """Quotient toward zero and remainder of integers, exact below 2^62; y = 0 gives any.

    A quotient in f32 is right to 22 bits, so three of them, each of what the last one left, leave
    less than one divisor; the last correction is by one.
    """
    quotient, rest = b.constant(0, x.dtype), x
    for _ in range(3):
        q = b.convert(b.map(Map.DIV, b.convert(rest, F32), b.convert(y, F32)), x.dtype)
        quotient = b.map(Map.ADD, quotient, q)
        rest = b.map(Map.SUB, rest, b.map(Map.MUL, q, y))
    # the remainder has the sign of x, and is less than y
    for least in (True, False):
        wrong = _too_far(b, x, y, rest, least)
        step = b.map(
            Map.WHERE,
            _same_sign(b, x, y),
            b.constant(1, x.dtype),
            b.constant(-1, x.dtype),
            dtype=x.dtype,
        )
        step = b.map(Map.NEG, step) if least else step
        quotient = b.map(Map.WHERE, wrong, b.map(Map.ADD, quotient, step), quotient, dtype=x.dtype)
        moved = b.map(Map.SUB, rest, b.map(Map.MUL, step, y))
        rest = b.map(Map.WHERE, wrong, moved, rest, dtype=x.dtype)
    return quotient, rest


def _same_sign(b: Builder, x: View, y: View) -> View:
    zero = b.constant(0, x.dtype)
    return b.map(
        Map.EQ,
        b.convert(b.map(Map.LT, x, zero, dtype=BOOL), I64),
        b.convert(b.map(Map.LT, y, zero, dtype=BOOL), I64),
        dtype=BOOL,
    )


def _too_far(b: Builder, x: View, y: View, rest: View, least: bool) -> View:
    """Where a remainder has not the sign of x (`least`), or is not less than y."""
    zero = b.constant(0, x.dtype)
    below = b.map(Map.LT, x, zero, dtype=BOOL)
    towards = b.map(Map.WHERE, below, b.map(Map.NEG, rest), rest, dtype=x.dtype)
    if least:
        return b.map(Map.LT, towards, zero, dtype=BOOL)
    size = b.map(Map.MAXIMUM, y, b.map(Map.NEG, y))
    return b.map(Map.GE, towards, size, dtype=BOOL)


def divided(b: Builder, x: View, y: View, floor: bool) -> tuple[View, View]:
    """Whole quotient and remainder; rounded down (`floor`), else toward zero.

    Of floats: the quotient is rounded to f32 before it is made whole, and the remainder is
    x - quotient * y, each operation rounded, and moved by y once where it lies outside.
    """
    zero = b.constant(0, x.dtype)
    if x.dtype == F32:
        quotient = truncated(b, b.map(Map.DIV, x, y))
        rest = b.map(Map.SUB, x, b.map(Map.MUL, quotient, y))
    else:
        quotient, rest = _whole_quotient(b, x, y)
    one = b.constant(1, x.dtype)
    reference = y if floor else x
    wrong = b.map(
        Map.AND,
        b.map(Map.NE, rest, zero, dtype=BOOL),
        b.map(
            Map.XOR,
            b.map(Map.LT, rest, zero, dtype=BOOL),
            b.map(Map.LT, reference, zero, dtype=BOOL),
        ),
    )
    if floor:
        down = b.map(Map.SUB, quotient, one)
        moved = b.map(Map.ADD, rest, y)
    else:
        if x.dtype != F32:
            return quotient, rest
        same = b.map(Map.XOR, *(b.map(Map.LT, v, zero, dtype=BOOL) for v in (rest, y)))
        moved = b.map(Map.WHERE, same, b.map(Map.ADD, rest, y), b.map(Map.SUB, rest, y), dtype=F32)
        down = quotient
    quotient = b.map(Map.WHERE, wrong, down, quotient, dtype=x.dtype)
    return quotient, b.map(Map.WHERE, wrong, moved, rest, dtype=x.dtype)


def _numbers(b: Builder, x: Operand, y: Operand) -> tuple[View, View]:
    left, right = promoted(b, x, y)
    if left.dtype == BOOL:
        raise Unsupported("a division of bools with a whole quotient: convert them to int32")
    return left, right


@rule(aten.fmod.Tensor, aten.fmod.Scalar)
def fmod(b: Builder, x: View, y: Operand) -> View:
    return divided(b, *_numbers(b, x, y), False)[1]


@rule(aten.remainder.Tensor, aten.remainder.Scalar)
def remainder(b: Builder, x: View, y: Operand) -> View:
    return divided(b, *_numbers(b, x, y), True)[1]


@rule(aten.floor_divide.default)
def floor_divide(b: Builder, x: View, y: Operand) -> View:
    return divided(b, *_numbers(b, x, y), True)[0]


@rule(aten.div.Tensor_mode, aten.div.Scalar_mode)
def div_mode(b: Builder, x: View, y: Operand, *, rounding_mode: Any = None) -> View:
    left, right = _numbers(b, x, y)
    if rounding_mode is None:
        return b.map(Map.DIV, b.convert(left, F32), b.convert(right, F32))
    return divided(b, left, right, rounding_mode == "floor")[0]
