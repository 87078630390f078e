"""How exact the scalar functions are that are made of others: beside fp64, in units of the last
place."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.program.helpers import lowered

aten = torch.ops.aten


def spread(low: float, high: float, count: int = 20_000) -> Tensor:
    """Evenly over an interval, and evenly over its magnitudes from 1e-30 on."""
    even = torch.linspace(low, high, count, dtype=torch.float64)
    sizes = torch.logspace(-30, math.log10(max(abs(low), abs(high))), count, dtype=torch.float64)
    both = torch.cat([even, sizes, -sizes]).float()
    return both[(both >= low) & (both <= high)]


def missed(expected: Tensor, found: Tensor) -> Tensor:
    """Errors in units of the last place of the f32 nearest to the true value."""
    finite = expected.abs() < 3.4e38
    assert torch.equal(finite, found.isfinite())
    exponent = torch.frexp(expected.abs().clamp(min=2.0**-126)).exponent
    place = 2.0 ** (exponent - 24).double()
    return ((found.double() - expected).abs() / place)[finite]


# the worst errors that docs/models.md states, over these intervals
STATED = [
    ("atan", -1e4, 1e4, 2.5),
    ("asin", -1.0, 1.0, 2.5),
    ("acos", -1.0, 1.0, 1.5),
    ("acosh", 1.0, 1e30, 2.5),
    ("erfinv", -0.9999999, 0.9999999, 4.0),
    ("lgamma", 1e-30, 1e6, 2.5),
    ("digamma", 2.0, 1e6, 12.0),
]


@pytest.mark.parametrize(("name", "low", "high", "most"), STATED)
def test_a_function_is_as_exact_as_the_documents_say(name, low, high, most):
    """Protects users of angles and distributions: no result is further off than is stated."""
    x = spread(low, high)
    operator = getattr(aten, name).default
    program, state = lowered(operator, (x,), {})
    (found,) = program.run(state, [])[1]
    errors = missed(operator(x.double()), found)
    at = x[operator(x.double()).abs() < 3.4e38][errors.argmax()]
    assert float(errors.max()) <= most, f"{float(errors.max()):.2f} ulp at {float(at)}"
