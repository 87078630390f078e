"""Random numbers: counter-based, so that any one of them can be computed alone.

All are made of uniform numbers in [0, 1): a step's are its seed's and number's, and another torch
draws others, of the same distribution.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from worker.program.codes import BOOL, F32, I64, Map
from worker.program.lower.extremes import topk
from worker.program.lower.pointwise import dtype_code
from worker.program.lower.reductions import argmax
from worker.program.lower.registry import Builder, Unsupported, View, rule
from worker.program.lower.rounding import floored

aten = torch.ops.aten

# uniform numbers have 24 bits
MOST_INTEGERS = 1 << 24


@rule(aten.bernoulli.p)
def bernoulli(b: Builder, x: View, p: float = 0.5, generator: Any = None) -> View:
    """1 with probability p: where a uniform number is below it. Dropout's mask."""
    below = b.map(Map.LT, b.random(x.shape), b.constant(p, F32), dtype=BOOL)
    return b.convert(below, x.dtype)


@rule(aten.bernoulli.default)
def bernoulli_each(b: Builder, x: View, generator: Any = None) -> View:
    """1 with the probability that the element is."""
    return b.convert(b.map(Map.LT, b.random(x.shape), x, dtype=BOOL), x.dtype)


def _only_floats(dtype: Any) -> None:
    if dtype_code(dtype or torch.float32) != F32:
        raise Unsupported(f"random numbers of dtype {dtype}")


@rule(aten.rand.default)
def rand(b: Builder, size: list[int], dtype: Any = None, **ignored: Any) -> View:
    _only_floats(dtype)
    return b.random(tuple(size))


@rule(aten.rand_like.default)
def rand_like(b: Builder, x: View, dtype: Any = None, **ignored: Any) -> View:
    return rand(b, list(x.shape), dtype)


def _above_zero(b: Builder, shape: tuple[int, ...]) -> View:
    """Uniform in (0, 1], exactly: its logarithm is finite."""
    return b.map(Map.SUB, b.constant(1.0, F32), b.random(shape))


def gaussian(b: Builder, shape: tuple[int, ...]) -> View:
    """Box and Muller: sqrt(-2 log u) cos(2 pi v)."""
    squared = b.map(Map.MUL, b.constant(-2.0, F32), b.map(Map.LOG, _above_zero(b, shape)))
    turn = b.map(Map.MUL, b.random(shape), b.constant(2 * math.pi, F32))
    return b.map(Map.MUL, b.map(Map.SQRT, squared), b.map(Map.COS, turn))


@rule(aten.randn.default)
def randn(b: Builder, size: list[int], dtype: Any = None, **ignored: Any) -> View:
    _only_floats(dtype)
    return gaussian(b, tuple(size))


@rule(aten.randn_like.default)
def randn_like(b: Builder, x: View, dtype: Any = None, **ignored: Any) -> View:
    return randn(b, list(x.shape), dtype)


def _moved(b: Builder, x: View, scale: float, start: float) -> View:
    return b.map(Map.ADD, b.map(Map.MUL, x, b.constant(scale, F32)), b.constant(start, F32))


@rule(aten.normal_functional.default)
def normal_functional(
    b: Builder, x: View, mean: float = 0, std: float = 1, generator: Any = None
) -> View:
    return _moved(b, gaussian(b, x.shape), std, mean)


@rule(aten.normal.float_float)
def normal(b: Builder, mean: float, std: float, size: list[int], **ignored: Any) -> View:
    return _moved(b, gaussian(b, tuple(size)), std, mean)


@rule(aten.uniform.default)
def uniform(b: Builder, x: View, start: float = 0, end: float = 1, generator: Any = None) -> View:
    return _moved(b, b.random(x.shape), end - start, start)


@rule(aten.exponential.default)
def exponential(b: Builder, x: View, rate: float = 1, generator: Any = None) -> View:
    logarithm = b.map(Map.LOG, _above_zero(b, x.shape))
    return b.map(Map.DIV, logarithm, b.constant(-rate, F32))


@rule(aten.randint.low)
def randint(
    b: Builder, low: int, high: int, size: list[int], dtype: Any = None, **ignored: Any
) -> View:
    if not 0 < high - low <= MOST_INTEGERS:
        raise Unsupported(f"random integers from {low} to {high}: at most {MOST_INTEGERS} of them")
    # rounding may reach high - low, which is one too far
    scaled = floored(b, _moved(b, b.random(tuple(size)), high - low, 0.0))
    least = b.map(Map.MINIMUM, scaled, b.constant(float(high - low - 1), F32))
    whole = b.map(Map.ADD, b.convert(least, I64), b.constant(low, I64))
    return b.convert(whole, dtype_code(dtype or torch.int64))


@rule(aten.randint.default)
def randint_from_zero(b: Builder, high: int, size: list[int], **kwargs: Any) -> View:
    return randint(b, 0, high, size, **kwargs)


@rule(aten.multinomial.default)
def multinomial(
    b: Builder, weights: View, samples: int, replacement: bool = False, generator: Any = None
) -> View:
    """One draw a row: the greatest of weight / exponential number, as PyTorch draws it.

    More draws with replacement are draws of their own; without, the greatest few.
    """
    rows = weights
    if replacement:
        rows = weights.unsqueeze(len(weights.shape) - 1)
        rows = rows.expand((*weights.shape[:-1], samples, weights.shape[-1]))
    times = b.map(Map.NEG, b.map(Map.LOG, _above_zero(b, rows.shape)))
    # never zero: a weight of zero over it must stay the least
    times = b.map(Map.MAXIMUM, times, b.constant(1e-9, F32))
    score = b.map(Map.DIV, rows, times)
    return argmax(b, score, -1) if replacement else topk(b, score, samples)[1]
