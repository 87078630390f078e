"""Conversions between f32, i32, i64 and bool.

A float becomes an integer toward zero, saturating, NaN as 0; an integer becomes the nearest f32,
ties to even; i64 to i32 wraps; anything is a true bool if it is not zero. What a processor does
with a float out of range differs between makers, so no such cast is ever left to it.
"""

import torch
from torch import Tensor

DTYPES = (torch.float32, torch.int32, torch.int64, torch.bool)


def to(x: Tensor, dtype: torch.dtype) -> Tensor:
    """`x` (f32, i32, i64 or bool, any shape) as `dtype` (one of the same)."""
    if x.dtype not in DTYPES or dtype not in DTYPES:
        raise ValueError(f"no exact conversion from {x.dtype} to {dtype}")
    if x.dtype == torch.float32 and dtype in (torch.int32, torch.int64):
        return _truncate(x, dtype)
    if dtype == torch.bool:
        return x != 0
    return x.to(dtype)


def _truncate(x: Tensor, dtype: torch.dtype) -> Tensor:
    limits = torch.iinfo(dtype)
    above = x >= -float(limits.min)  # 2^31 or 2^63, the first f32 out of range
    below = x < float(limits.min)
    inside = x.masked_fill(above | below | torch.isnan(x), 0.0).to(dtype)
    return inside.masked_fill_(above, limits.max).masked_fill_(below, limits.min)
