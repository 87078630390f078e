"""The tables of cases, and what they are made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from zlib import crc32

import torch
from torch import Tensor

from tests.program.helpers import lowered
from worker.program import Program

aten = torch.ops.aten
INF, NAN = float("inf"), float("nan")


def f(*shape: int, scale: float = 1.0) -> Tensor:
    return torch.randn(shape, generator=GENERATOR) * scale


def positive(*shape: int) -> Tensor:
    return f(*shape).abs() + 0.1


def i(*shape: int, low: int = -50, high: int = 50, dtype: torch.dtype = torch.int64) -> Tensor:
    return torch.randint(low, high, shape, generator=GENERATOR, dtype=dtype)


def i32(*shape: int) -> Tensor:
    return i(*shape, dtype=torch.int32)


def b(*shape: int) -> Tensor:
    return torch.randint(0, 2, shape, generator=GENERATOR).bool()


GENERATOR = torch.Generator().manual_seed(12)
SPECIAL = torch.tensor([0.0, -0.0, 1.0, -1.5, INF, -INF, NAN, 1e-42, 3e38, -7.0])

CASES: dict[Any, list[tuple]] = {}


def cases(*operators: Any) -> Any:
    """Registers lists of (arguments..., keyword arguments) of these operators.

    Their numbers are theirs alone, so that no operator's cases depend on what others have.
    """
    GENERATOR.manual_seed(crc32(repr(operators).encode()))

    def register(*argument_lists: tuple) -> None:
        for operator in operators:
            CASES.setdefault(operator, []).extend(argument_lists)

    return register


# what a case of arguments and one result cannot say has a test of its own
APART: set[Any] = set()
# not one rounding of the operands: how closely the result is PyTorch's
CLOSE: dict[Any, float] = {}
# of these, whose float32 PyTorch gets less right than we do, beside a pole: its float64 is asked
DOUBLED: set[Any] = set()


def split(case: tuple) -> tuple[tuple, dict[str, Any]]:
    return (case[:-1], case[-1]) if isinstance(case[-1], dict) else (case, {})


def programs(every: int = 1) -> Iterator[tuple[str, Program, list[Tensor]]]:
    """Of every case, or every so many: a name, a program of that operator alone, its state."""
    cases = [(op, n, case) for op, found in CASES.items() for n, case in enumerate(found)]
    for operator, n, case in cases[::every]:
        args, kwargs = split(case)
        expected = operator(*args, **kwargs)
        results = None
        if not isinstance(expected, Tensor):
            results = [k for k, t in enumerate(expected) if t is not None]
        yield f"{operator}-{n}", *lowered(operator, args, kwargs, results)
