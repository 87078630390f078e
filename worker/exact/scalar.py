"""The scalar functions by name, as a program's map nodes call them.

Each takes tensors of one dtype on one device (broadcast together) and works elementwise. Integers
wrap. `FLOAT` is for f32, `INTEGER` for i32 and i64, `BOOL` for bool; conversions are `convert.to`.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from worker.exact.order import maximum, minimum, relu
from worker.exact.transcendental import erf, exp, log, tanh
from worker.exact.trigonometric import cos, sin

Scalar = Callable[..., Tensor]


def div(a: Tensor, b: Tensor) -> Tensor:
    """a / b in f32. Torch divides by a scalar from the host as a product with its reciprocal."""
    return torch.div(a, b.to(a.device))


def sqrt(x: Tensor) -> Tensor:
    """The correctly rounded f32 square root, through f64; torch's own is at times one ulp off.

    (Its vector library promises less than 1 ulp and no more.) The root of an f32 is at least
    2^-51 of itself away from every rounding boundary, and the f64 root is within 2^-52.
    """
    return x.to(torch.float64).sqrt_().to(torch.float32)


COMPARISONS: dict[str, Scalar] = {
    "eq": torch.eq,
    "ne": torch.ne,
    "lt": torch.lt,
    "le": torch.le,
    "gt": torch.gt,
    "ge": torch.ge,
}

FLOAT: dict[str, Scalar] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": div,
    "sqrt": sqrt,
    "neg": torch.neg,
    "abs": torch.abs,
    "max": maximum,
    "min": minimum,
    "relu": relu,
    "exp": exp,
    "log": log,
    "tanh": tanh,
    "erf": erf,
    "sin": sin,
    "cos": cos,
    **COMPARISONS,
}

INTEGER: dict[str, Scalar] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "neg": torch.neg,
    "max": torch.maximum,
    "min": torch.minimum,
    **COMPARISONS,
}

BOOL: dict[str, Scalar] = {
    "and": torch.logical_and,
    "or": torch.logical_or,
    "not": torch.logical_not,
    "xor": torch.logical_xor,
}
