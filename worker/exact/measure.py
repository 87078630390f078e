"""Measures the errors of exp, log and the rest over all inputs: `python -m worker.exact.measure`.

Names as arguments choose functions; each takes some minutes of one core. The functions that are odd
or even to the bit (they take |x| first; tests/exact holds them to it) are measured where the sign
is not set, which is all there is to know of the other 2^31 inputs.
The error is the distance to the true value in units of the last place of the f32 nearest to it
(2^-149 among subnormals); "true" is torch's f64 function, itself good to 1e-15. Inputs whose
result is a NaN, an infinity or beyond the greatest f32 must have exactly the special value.
"""

import sys
from collections.abc import Callable

import torch
from torch import Tensor

from worker.exact.bits import to_bits
from worker.exact.transcendental import erf, exp, log, tanh
from worker.exact.trigonometric import cos, sin

BLOCK = 1 << 18  # what the cache holds
FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "exp": (exp, torch.exp),
    "log": (log, torch.log),
    "tanh": (tanh, torch.tanh),
    "erf": (erf, torch.erf),
    "sin": (sin, torch.sin),
    "cos": (cos, torch.cos),
}
SYMMETRIC = ("tanh", "erf", "sin", "cos")


def errors(got: Tensor, true: Tensor) -> Tensor:
    """f64 errors in ulp of f32 `got` against f64 `true`; inf where a special value is wrong."""
    nearest = true.to(torch.float32)
    special = ~torch.isfinite(nearest)
    right = (nearest == got) | (torch.isnan(nearest) & torch.isnan(got))
    ulp = torch.exp2(((to_bits(nearest) >> 23) & 0xFF).clamp_(min=1).to(torch.float64) - 150.0)
    error = (got.to(torch.float64) - true).abs_().div_(ulp)
    wrong = torch.where(right, 0.0, float("inf")).to(torch.float64)
    return torch.where(special, wrong, error.nan_to_num_(float("inf")))


def worst(name: str, start: int = -(1 << 31), stop: int = 1 << 31) -> tuple[float, int]:
    """The greatest error in ulp among the i32 bit patterns [start, stop), and where it is."""
    ours, true = FUNCTIONS[name]
    greatest, where = -1.0, start
    for first in range(start, stop, BLOCK):
        bits = torch.arange(first, min(first + BLOCK, stop), dtype=torch.int32)
        x = bits.view(torch.float32)
        error = errors(ours(x), true(x.to(torch.float64)))
        value, index = error.max(0)
        if float(value) > greatest:
            greatest, where = float(value), first + int(index)
    return greatest, where


if __name__ == "__main__":
    for function in sys.argv[1:] or FUNCTIONS:
        value, at = worst(function, start=0 if function in SYMMETRIC else -(1 << 31))
        print(f"{function}: {value:.4f} ulp at 0x{at & 0xFFFFFFFF:08x}", flush=True)
