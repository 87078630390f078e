"""Every lowering rule against plain PyTorch: whoever adds a rule adds its cases here."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.program.helpers import bits, lowered, same
from worker.program import Unsupported
from worker.program.lower import RULES

aten = torch.ops.aten
INF, NAN = float("inf"), float("nan")


def f(*shape: int, scale: float = 1.0) -> Tensor:
    return torch.randn(shape, generator=_GENERATOR) * scale


def positive(*shape: int) -> Tensor:
    return f(*shape).abs() + 0.1


def i(*shape: int, low: int = -50, high: int = 50, dtype: torch.dtype = torch.int64) -> Tensor:
    return torch.randint(low, high, shape, generator=_GENERATOR, dtype=dtype)


def i32(*shape: int) -> Tensor:
    return i(*shape, dtype=torch.int32)


def b(*shape: int) -> Tensor:
    return torch.randint(0, 2, shape, generator=_GENERATOR).bool()


_GENERATOR = torch.Generator().manual_seed(12)
SPECIAL = torch.tensor([0.0, -0.0, 1.0, -1.5, INF, -INF, NAN, 1e-42, 3e38, -7.0])

CASES: dict[Any, list[tuple]] = {}


def cases(*operators: Any) -> Any:
    """Registers lists of (arguments..., keyword arguments) of these operators."""

    def register(*argument_lists: tuple) -> None:
        for operator in operators:
            CASES.setdefault(operator, []).extend(argument_lists)

    return register


# --- elementwise ---

PAIRS = [
    (f(3, 4), f(3, 4)),
    (f(2, 3, 4), f(4)),
    (f(3, 1), f(1, 5)),
    (f(3), f()),
    (f(), f()),
    (i(3, 4), i(4)),
    (i32(6), i32(6)),
    (i32(6), i(6)),
    (i(5), f(5)),
    (b(5), i(5)),
    (b(2, 3), f(3)),
    (f(3), i()),
    (i(3), f()),
    (i32(3), i()),
]
SCALARS = [
    (f(3, 4), 0.1),
    (f(3, 4), 3),
    (f(), -2.5),
    (i(4), 3),
    (i32(4), -3),
    (i(4), 0.5),
    (i(), 0.5),
    (b(4), 2),
    (b(4), 0.5),
]
ALPHAS = [(f(3, 4), f(4), {"alpha": 0.5}), (i(3), i(3), {"alpha": -2}), (f(3), 2, {"alpha": 3})]

for name in ("add", "sub", "rsub"):
    packet = getattr(aten, name)
    numbers = [p for p in PAIRS if name == "add" or torch.bool not in (p[0].dtype, p[1].dtype)]
    cases(packet.Tensor)(*numbers, *ALPHAS[:2])
    cases(packet.Scalar)(*(s for s in SCALARS if s[0].dtype != torch.bool), ALPHAS[2])
cases(aten.add.Tensor)((SPECIAL[:, None], SPECIAL))
cases(aten.mul.Tensor)(*PAIRS, (b(6), b(6)), (SPECIAL[:, None], SPECIAL))
cases(aten.mul.Scalar)(*SCALARS, (b(4), True))
cases(aten.div.Tensor)(*PAIRS, (SPECIAL[:, None], SPECIAL), (b(4), b(4)))
cases(aten.div.Scalar)(*SCALARS)
cases(aten.maximum.default, aten.minimum.default)(*PAIRS[:8], PAIRS[8], (SPECIAL, SPECIAL.flip(0)))
SMOOTH = (aten.exp.default, aten.tanh.default, aten.erf.default, aten.sin.default, aten.cos.default)
cases(aten.reciprocal.default, aten.sqrt.default, aten.sigmoid.default, *SMOOTH)(
    (f(4, 5),), (SPECIAL,), (i(6, low=1, high=9),), (f(),), (b(4),)
)
cases(aten.log.default, aten.rsqrt.default)(
    (positive(4, 5),), (SPECIAL,), (i(6, low=1, high=99),), (b(4),)
)
cases(aten.neg.default, aten.abs.default)((f(4, 5),), (SPECIAL,), (i(6),), (i32(6),), (f(),))
cases(aten.relu.default)((f(4, 5),), (SPECIAL,), (i(6),), (i32(6),))
for name in ("eq", "ne", "lt", "le", "gt", "ge"):
    packet = getattr(aten, name)
    cases(packet.Tensor)(
        *PAIRS, (i(9, high=-47), i(9, high=-47)), (b(9), b(9)), (SPECIAL[:, None], SPECIAL)
    )
    cases(packet.Scalar)(*SCALARS, (SPECIAL, 0.0), (i(9), -50), (i(9), 0.5), (b(4), True))
LOGICAL = [(b(9), b(9)), (b(3, 1), b(4)), (i(9, low=0, high=2), b(9)), (SPECIAL, b(10))]
cases(aten.logical_and.default, aten.logical_or.default)(*LOGICAL)
cases(aten.logical_not.default)((b(9),), (i(9, low=0, high=2),), (SPECIAL,))
cases(aten.bitwise_and.Tensor)(*LOGICAL[:2])
cases(aten.where.self)(
    (b(3, 4), f(3, 4), f(4)),
    (b(4), i(3, 1), i(4)),
    (b(4), f(4), i(4)),
    (b(4), i32(4), i(4)),
    (b(4), b(4), b(4)),
    (b(4), f(), f()),
    (b(), f(3), f(3)),
)
CONVERTED = torch.tensor([0.0, -0.0, 0.9, -0.9, 1.5, -2.5, 1e6, -1e6])
cases(aten._to_copy.default)(
    *((x, {"dtype": d}) for x in (CONVERTED, i(7), i32(7), b(7))
      for d in (torch.float32, torch.int32, torch.int64, torch.bool)),
    (f(3, 4),),
    (torch.tensor([2**24 + 1, 2**40 + 2**16 + 1, -(2**62) - 1]), {"dtype": torch.float32}),
    (torch.tensor([2**33 + 5, -1]), {"dtype": torch.int32}),
)  # fmt: skip

# --- made of numbers ---

cases(aten.full.default)(
    ([2, 3], 0.1),
    ([2, 3], 4),
    ([2], True),
    ([], 1.5, {"dtype": torch.float32}),
    ([3], 2, {"dtype": torch.float32}),
    ([3], 1, {"dtype": torch.bool}),
    ([2], -INF, {"dtype": torch.float32}),
    ([2], NAN),
)
cases(aten.scalar_tensor.default)((0.1,), (3, {"dtype": torch.int64}), (-INF,), (2,))
cases(aten.full_like.default)((f(2, 3), 0.1), (i(3), 2), (i(3), 0.5, {"dtype": torch.float32}))
LIKE = [(f(2, 3),), (i(3),), (b(3),), (f(3), {"dtype": torch.int64}), (f(),)]
cases(aten.zeros_like.default, aten.ones_like.default)(*LIKE)
cases(aten.arange.start_step)(
    (0, 5),
    (2, 9, 3),
    (9, 2, -3),
    (-4, 4, 2, {"dtype": torch.float32}),
    (0, 5, {"dtype": torch.int32}),
    (0.0, 5.0),
    (0, 1),
)

# --- movement ---

cases(aten.alias.default, aten.detach.default, aten.lift_fresh_copy.default, aten.clone.default)(
    (f(2, 3),), (i(3),), (b(2),), (f(),)
)
cases(aten.permute.default)((f(2, 3, 4), [2, 0, 1]), (f(2, 3), [-1, -2]), (i(2, 3), [0, 1]))
cases(aten.t.default)((f(2, 3),), (f(3),))
cases(aten.transpose.int)((f(2, 3, 4), 0, 2), (f(2, 3, 4), -1, 1), (f(2, 3), 1, 1))
cases(aten.view.default, aten._unsafe_view.default, aten.reshape.default)(
    (f(2, 6), [3, 4]), (f(2, 6), [-1]), (f(2, 6), [4, -1]), (f(1), []), (f(), [1, 1])
)
cases(aten.unsqueeze.default)((f(2, 3), 0), (f(2, 3), 1), (f(2, 3), -1), (f(2, 3), -3), (f(), 0))
cases(aten.squeeze.dims)((f(1, 3, 1), [0, 2]), (f(1, 3, 1), [1, -1]), (f(1, 3, 1), []))
cases(aten.squeeze.dim)((f(1, 3, 1), 0), (f(1, 3, 1), -1), (f(1, 3), 1), (f(), 0))
cases(aten.expand.default)(
    (f(3, 1), [3, 4]), (f(3), [2, 3]), (f(3, 1), [2, -1, 5]), (f(), [2, 2]), (f(1), [1])
)
cases(aten.slice.Tensor)(
    (f(7, 3),),
    (f(7, 3), 0, 2, 5),
    (f(7, 3), 0, 1, 7, 3),
    (f(7, 3), -1, -2),
    (f(7, 3), 0, -100, 100),
    (f(7, 3), 0, None, -3),
    (i(7), 0, 0, 2**63 - 1, 2),
)
cases(aten.select.int)((f(3, 4), 0, 1), (f(3, 4), -1, -1), (i(5), 0, -2))

# --- gathers ---

INDEX = i(3, 2, low=0, high=4)
cases(aten.gather.default)(
    (f(3, 4), 1, INDEX),
    (f(4, 2), 0, i(3, 2, low=0, high=4)),
    (f(4, 5), 1, INDEX),
    (f(2, 5, 3), 1, i(2, 1, 3, low=0, high=5)),
    (f(2, 5, 3), -3, i(4, 5, 2, low=0, high=2)),
    (i(6), 0, i(9, low=0, high=6)),
    (b(6), 0, i(9, low=0, high=6)),
)
TABLE = [(f(6, 3), 0, i(4, low=0, high=6)), (f(6), 0, i(4, low=0, high=6))]
cases(aten.index_select.default)(*TABLE, (i(6, 2, 2), -3, i(2, low=0, high=6)))
cases(aten.embedding.default)(
    (f(6, 3), i(4, low=0, high=6)),
    (f(6, 3), i(2, 5, low=0, high=6)),
    (f(6, 3), i(2, low=0, high=6), 1),
    (f(6, 3), i(2, low=0, high=6).int()),
    (f(6, 3), torch.tensor(2)),
)
cases(aten.scatter.value)(
    (f(3, 5), 1, i(3, 1, low=0, high=5), -1.0),
    (f(3, 5), 0, i(1, 5, low=0, high=3), 0.25),
    (torch.zeros(2, 3, 4), -2, i(2, 1, 4, low=0, high=3), 1.0),
    (i(3, 5), 1, i(3, 1, low=0, high=5), 7),
)

# --- products ---

cases(aten.mm.default)((f(3, 5), f(5, 4)), (f(1, 1), f(1, 1)), (f(40, 300), f(300, 20)))
cases(aten.bmm.default)((f(2, 3, 5), f(2, 5, 4)), (f(1, 3, 5), f(1, 5, 1)))
cases(aten.addmm.default)(
    (f(4), f(3, 5), f(5, 4)),
    (f(3, 4), f(3, 5), f(5, 4), {"alpha": 0.5, "beta": 2}),
    (f(1), f(3, 5), f(5, 4), {"beta": 0}),
)

# --- rows ---

SUMMED = [
    (f(3, 4, 5), [1]),
    (f(3, 4, 5), [0, 2]),
    (f(3, 4, 5), [-1], True),
    (f(3, 4, 5), [2, 0], True),
    (f(3, 4), []),
    (f(3, 4), None),
    (f(3, 4), None, True),
    (f(3, 1), [1]),
    (torch.tensor([[1.0, NAN], [NAN, 0.0], [2.0, -3.0]]), [1]),
    (f(), []),
    (f(), [-1]),
    (i(3, 4), [1], {"dtype": torch.float32}),
]
cases(aten.sum.dim_IntList)(
    *SUMMED,
    (b(3, 9), [1]),
    (b(3, 9), None),
    (b(3, 9), [1], {"dtype": torch.float32}),
)
cases(aten.sum.default)((f(3, 4),), (b(9),), (f(),))
cases(aten.mean.dim)(*SUMMED, (f(3, 4), [0], {"dtype": torch.float32}))
cases(aten.mean.default)((f(3, 4),), (f(),))
cases(aten.amax.default)(
    (f(3, 4, 5), [1]),
    (f(3, 4, 5), [-1], True),
    (f(3, 4, 5), [0, 2]),
    (f(3, 4),),
    (i(3, 9), [1]),
    (i32(3, 9), [0]),
    (torch.tensor([[1.0, NAN], [-INF, -2.0], [-0.0, 0.0]]), [1]),
)
cases(aten.argmax.default)(
    (f(3, 4), 1),
    (f(3, 4), 0, True),
    (f(3, 4),),
    (i(3, 9), 1),
    (torch.tensor([[1.0, NAN, NAN], [2.0, 2.0, 1.0], [-INF, -INF, -INF]]), 1),
)
SOFTENED = [(f(3, 7, scale=4), 1), (f(2, 3, 4), 1), (f(2, 3, 4), -3), (f(5), 0), (f(), 0)]
cases(aten._log_softmax.default, aten._softmax.default)(*((*c, False) for c in SOFTENED))

# --- the tests ---

# not one rounding of the operands: a product of 14-bit integers, a sum of 31-bit integers, an
# exponential of our own, or several operators of which PyTorch makes one
CLOSE = {
    aten.mm.default: 1e-3,
    aten.bmm.default: 1e-3,
    aten.addmm.default: 1e-3,
    **dict.fromkeys(SMOOTH, 1e-6),
    aten.log.default: 1e-6,
    aten.sigmoid.default: 1e-6,
    aten.rsqrt.default: 1e-6,
    aten.sqrt.default: 1e-6,
    aten.reciprocal.default: 1e-6,
    aten.div.Tensor: 1e-6,
    aten.div.Scalar: 1e-6,
    aten.add.Tensor: 1e-6,
    aten.add.Scalar: 1e-6,
    aten.sub.Tensor: 1e-6,
    aten.sub.Scalar: 1e-6,
    aten.rsub.Tensor: 1e-6,
    aten.rsub.Scalar: 1e-6,
    aten.sum.dim_IntList: 1e-6,
    aten.sum.default: 1e-6,
    aten.mean.dim: 1e-6,
    aten.mean.default: 1e-6,
    aten._log_softmax.default: 1e-5,
    aten._softmax.default: 1e-5,
}


def test_every_rule_is_tested():
    """Protects this file from falling behind: a rule without a case fails here."""
    assert set(CASES) == set(RULES)


def split(case: tuple) -> tuple[tuple, dict[str, Any]]:
    return (case[:-1], case[-1]) if isinstance(case[-1], dict) else (case, {})


def described(case: tuple) -> str:
    args, kwargs = split(case)
    words = [
        f"{str(a.dtype)[6:]}{list(a.shape)}" if isinstance(a, Tensor) else str(a) for a in args
    ]
    return "-".join([*words, *(f"{k}={v}" for k, v in kwargs.items())]).replace(" ", "")


ALL = [
    pytest.param(operator, case, id=f"{operator}-{n}-{described(case)}")
    for operator, found in CASES.items()
    for n, case in enumerate(found)
]


@pytest.mark.parametrize(("operator", "case"), ALL)
def test_a_lowered_operator_is_pytorchs(operator, case):
    """Protects users: what is captured computes what they wrote (integers and bools exactly)."""
    args, kwargs = split(case)
    expected = operator(*args, **kwargs)
    program, state = lowered(operator, args, kwargs)
    after, (found,) = program.run(state, [])
    assert same(after, state)
    assert (found.dtype, found.numel()) == (expected.dtype, expected.numel())
    found = found.view(expected.shape)
    trace = program.trace(state, [])
    assert same([trace[program.outputs[-1]]], [found])
    if operator in CLOSE and expected.is_floating_point():
        scale = 1.0 if CLOSE[operator] < 1e-3 else float(expected.abs().max())
        torch.testing.assert_close(
            found, expected, rtol=CLOSE[operator], atol=CLOSE[operator] * scale, equal_nan=True
        )
    elif expected.is_floating_point():
        assert torch.equal(bits(found + 0.0), bits(expected + 0.0)), (found, expected)
    else:
        assert torch.equal(found, expected)


REFUSED = [
    (aten.index_select.default, (f(3, 4), 1, i(2, low=0, high=4)), "another axis"),
    (aten.scatter.value, (f(3, 4), 1, i(3, 2, low=0, high=4), 1.0), "more than one index a row"),
    (aten.bitwise_and.Tensor, (i(3), i(3)), "bitwise_and of integers"),
    (aten.mm.default, (i(3, 3), i(3, 3)), "product of integers"),
    (aten.sum.default, (i(3),), "a sum of integers"),
    (aten.sum.dim_IntList, (f(3), [0], {"dtype": torch.int64}), "a sum of integers"),
    (aten.slice.Tensor, (f(3), 0, 2, 2), "without elements"),
    (aten.arange.start_step, (0.0, 1.0, 0.25), "arange with fractions"),
    (aten._to_copy.default, (f(3), {"dtype": torch.float64}), "dtype torch.float64"),
    (aten.full.default, ([2], 1.0, {"dtype": torch.float16}), "dtype torch.float16"),
    (aten.arange.start_step, (0, 0), "without elements"),
    (aten.amax.default, (b(3), [0]), "bool"),
    (aten.add.Tensor, (b(3), b(3)), "bool"),
    (aten.maximum.default, (b(3), b(3)), "bool"),
    (aten.full_like.default, (i(3), 0.5), "0.5"),
]


@pytest.mark.parametrize(("operator", "case", "words"), REFUSED)
def test_what_a_rule_cannot_express_is_refused_by_name(operator, case, words):
    """Protects users from a program that computes something else, or that nobody can read."""
    args, kwargs = split(case)
    with pytest.raises(Unsupported, match=words) as caught:
        lowered(operator, args, kwargs)
    assert str(operator) in str(caught.value)
