"""Order: max, min, relu and argmax of f32 tensors by the total order of bit patterns.

-0 is less than +0, a NaN operand gives NaN, and the first of equals wins. Library maxima leave the
sign of a zero to chance (it depends on the order of evaluation), so it is settled here.
"""

import torch
from torch import Tensor

from worker.exact.bits import from_bits, order_key, to_bits


def maximum(a: Tensor, b: Tensor) -> Tensor:
    """The elementwise greater of two f32 tensors (broadcast); NaN if either is."""
    a, b = torch.broadcast_tensors(a, b)
    # Equal floats have equal bits, save the zeros, of which AND picks +0 unless both are -0.
    return torch.where(a == b, from_bits(to_bits(a) & to_bits(b)), torch.maximum(a, b))


def minimum(a: Tensor, b: Tensor) -> Tensor:
    """The elementwise lesser of two f32 tensors (broadcast); NaN if either is."""
    a, b = torch.broadcast_tensors(a, b)
    return torch.where(a == b, from_bits(to_bits(a) | to_bits(b)), torch.minimum(a, b))


def relu(x: Tensor) -> Tensor:
    """max(x, +0) of an f32 tensor; NaN stays."""
    return x.masked_fill(x <= 0, 0.0)


def max(x: Tensor, dim: int, keepdim: bool = False) -> Tensor:
    """The greatest f32 along `dim`, which must not be empty; NaN if any element is."""
    best = torch.amax(x, dim, keepdim=True)
    zero = best == 0
    if bool(zero.any()):
        # A greatest of zero is -0 only if no element is +0.
        has_plus_zero = (to_bits(x) == 0).any(dim, keepdim=True)
        signed = torch.where(has_plus_zero, 0.0, -0.0)
        best = torch.where(zero, signed, best)
    return best if keepdim else best.squeeze(dim)


def argmax(x: Tensor, dim: int, keepdim: bool = False) -> Tensor:
    """The i64 position of the first greatest element along `dim`; a NaN counts as the greatest."""
    return torch.argmax(order_key(x), dim, keepdim=keepdim)
