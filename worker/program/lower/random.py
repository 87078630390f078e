"""Random numbers: counter-based, so that any one of them can be computed alone."""

from __future__ import annotations

from typing import Any

import torch

from worker.program.codes import BOOL, F32, Map
from worker.program.lower.pointwise import dtype_code
from worker.program.lower.registry import Builder, Unsupported, View, rule

aten = torch.ops.aten


@rule(aten.bernoulli.p)
def bernoulli(b: Builder, x: View, p: float = 0.5, generator: Any = None) -> View:
    """1 with probability p: where a uniform number is below it. Dropout's mask."""
    below = b.map(Map.LT, b.random(x.shape), b.constant(p, F32), dtype=BOOL)
    return b.convert(below, x.dtype)


@rule(aten.rand.default)
def rand(b: Builder, size: list[int], dtype: Any = None, **ignored: Any) -> View:
    if dtype_code(dtype or torch.float32) != F32:
        raise Unsupported(f"random numbers of dtype {dtype}")
    return b.random(tuple(size))


@rule(aten.rand_like.default)
def rand_like(b: Builder, x: View, dtype: Any = None, **ignored: Any) -> View:
    return rand(b, list(x.shape), dtype)
