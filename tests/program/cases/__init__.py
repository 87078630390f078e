"""What every lowering rule and every decomposition is tried with.

Whoever adds one adds its cases to a module beside this one: arguments of the operator, whose
result PyTorch gives too.
"""

from tests.program.cases import (
    core,
    counting,
    gradients,
    masks,
    matrices,
    numbers,
    reducing,
    resampling,
    special,
    volumes,
)
from tests.program.cases.tools import APART, CASES, CLOSE, DOUBLED, b, f, i, programs, split

__all__ = [
    "APART",
    "CASES",
    "CLOSE",
    "DOUBLED",
    "b",
    "core",
    "counting",
    "f",
    "gradients",
    "i",
    "masks",
    "matrices",
    "numbers",
    "programs",
    "reducing",
    "resampling",
    "special",
    "split",
    "volumes",
]
