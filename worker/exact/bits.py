"""Bit patterns of f32 tensors: the few views and constants that the other modules share."""

import torch
from torch import Tensor

NAN_BITS = 0x7FC00000
INF_BITS = 0x7F800000
MAGNITUDE = 0x7FFFFFFF
NONFINITE = 0x7FFFFFFF
"""The exponent (i32) of a row that has a non-finite element."""
MIN_EXPONENT = -96
MAX_EXPONENT = 128


def to_bits(x: Tensor) -> Tensor:
    """The i32 bit patterns of an f32 tensor, sharing its memory."""
    return x.view(torch.int32)


def from_bits(bits: Tensor) -> Tensor:
    """The f32 tensor with these i32 bit patterns, sharing their memory."""
    return bits.view(torch.float32)


def canonical(x: Tensor) -> Tensor:
    """`x` with every NaN the one NaN 0x7fc00000; other dtypes than f32 are returned as they are.

    Inside a computation a NaN may have any sign and payload (processors differ). Whoever observes
    bits, to hash, store or compare them, applies this first.
    """
    if x.dtype != torch.float32 or not bool(torch.isnan(x.sum())):  # no copy where there is none
        return x
    nan = from_bits(torch.tensor(NAN_BITS, dtype=torch.int32, device=x.device))
    return torch.where(torch.isnan(x), nan, x)


def order_key(x: Tensor) -> Tensor:
    """i32 keys that sort as the total order: -inf < ... < -0 < +0 < ... < inf < NaN (all equal)."""
    bits = to_bits(x)
    key = bits ^ ((bits >> 31) & MAGNITUDE)
    return key.masked_fill_(torch.isnan(x), NAN_BITS)
