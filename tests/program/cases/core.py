"""What the rules of the core operators are tried with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.program.cases.tools import (
    APART,
    CLOSE,
    GENERATOR,
    INF,
    NAN,
    SPECIAL,
    b,
    cases,
    f,
    i,
    i32,
    positive,
)

aten = torch.ops.aten

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
cases(aten.bitwise_and.Tensor, aten.bitwise_or.Tensor)(*LOGICAL[:2])
cases(aten.where.self)(
    (b(3, 4), f(3, 4), f(4)),
    (b(4), i(3, 1), i(4)),
    (b(4), f(4), i(4)),
    (b(4), i32(4), i(4)),
    (b(4), b(4), b(4)),
    (b(4), f(), f()),
    (b(), f(3), f(3)),
)
cases(aten.bitwise_not.default)((b(9),), (b(),))
cases(aten.clamp.default)(
    (f(3, 4), -0.5),
    (f(3, 4), None, 0.25),
    (f(3, 4), -0.5, 0.25),
    (f(5), 1.0, -1.0),
    (SPECIAL, -1, 2),
    (i(9), -3, 7),
    (i32(9), -3),
    (i(9), 0.5),
    (f(), 0.0),
)
cases(aten.sign.default)((f(3, 4),), (SPECIAL[:6],), (SPECIAL[7:],), (i(9),), (i32(9),), (f(),))
cases(aten.pow.Tensor_Scalar)(
    *((f(3, 4), n) for n in (1, 2, 3, 5, 8, 2.0, -1, -2, -3.0)),
    *((positive(3, 4), n) for n in (0.5, -0.5)),
    (SPECIAL, 2),
    (SPECIAL, -1),
    (i(9), 3),
    (i(9), 2.0),
    (i32(9), 2),
)
cases(aten.pow.Scalar)(
    *((base, torch.arange(1.0, 60.0)) for base in (0.9, 0.999, 1.0)),
    (2, f(9)),
    (10.0, f()),
    (2.0, i(9, low=-9, high=9)),
    (0.0, torch.tensor([2.0, 1.0, 0.5, 0.0])),
    (-2.0, torch.tensor([3.0, 2.0, 0.0, -1.0, 0.5])),
)
cases(aten.copy.default)(
    (f(3, 4), f(3, 4)),
    (f(3, 4), f(4)),
    (f(3), i(3)),
    (i(3), b(3)),
    (b(3), f()),
    (f(3), SPECIAL[:3]),
)
WAVES = (SPECIAL, torch.linspace(-30, 30, 61), torch.tensor([1e-8, -3e-5, 0.01, 88.0, -88.0]))
for _name in ("log1p", "expm1", "exp2", "tan", "sinh", "cosh", "asinh", "atanh", "erfc"):
    cases(getattr(aten, _name).default)(*((w,) for w in WAVES), (i(6, low=1, high=9),))
cases(aten.log2.default, aten.log10.default)((positive(4, 5),), (SPECIAL,), (i(6, low=1),))
cases(aten.hypot.default)((f(3, 4), f(4)), (f(3), 3 * f(3)))
cases(aten.pow.Tensor_Scalar)(
    *((positive(3, 4), n) for n in (1.7, 0.25, -0.75, 3.3)),
    (f(9), 0),
    (i(9), 0),
    (SPECIAL, 0.3),
    (positive(9), 65),
)
POWERS = torch.tensor([0.0, -0.0, 1.0, 2.0, 3.0, -1.0, 0.5, -2.5, 7.0])
cases(aten.pow.Tensor_Tensor)(
    (positive(3, 4), f(3, 4)),
    (torch.tensor([0.0, 1.0, -1.0, -2.0, 3.5])[:, None], POWERS),
    (positive(3), i(3, low=0, high=5)),
)
cases(aten.logical_xor.default)(*LOGICAL)
cases(aten.bitwise_xor.Tensor)(*LOGICAL[:2])
cases(aten.bitwise_and.Scalar, aten.bitwise_or.Scalar, aten.bitwise_xor.Scalar)((b(5), True))
cases(aten.isnan.default, aten.isinf.default)((SPECIAL,), (i(3),), (b(3),))
cases(aten.clamp.Tensor)(
    (f(3, 4), f(4) - 1, f(3, 1) + 1),
    (f(3, 4), None, f(4)),
    (f(3, 4), f()),
    (i(9), i(9)),
    (SPECIAL, torch.tensor(-1.0), torch.tensor(2.0)),
)
ROUNDED = torch.tensor(
    [0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.49999997, 8388607.5, -8388607.5, 8388609.0, 1e30, 4.7, -4.7]
)
for _name in ("floor", "ceil", "round", "trunc"):
    cases(getattr(aten, _name).default)((ROUNDED,), (SPECIAL,), (100 * f(3, 4),), (i(5),))
cases(aten.round.decimals)((f(3, 4), {"decimals": 2}), (1e4 * f(5), {"decimals": -2}))
DIVIDED = [
    (i(9, low=-99, high=99), 7),
    (i(9, low=-99, high=99), -7),
    (i(40, low=-(2**61), high=2**61), i(40, low=1, high=2**40)),
    (i(40, low=-(2**61), high=2**61), i(40, low=-999, high=-1)),
    (i32(9), 5),
    (
        torch.tensor([7.0, -7.0, 7.0, -7.0, 6.0, 0.0]),
        torch.tensor([2.0, 2.0, -2.0, -2.0, 3.0, 5.0]),
    ),
    (5 * f(30), 0.75),
    (f(3, 4), positive(4)),
]
_SCALARS = [c for c in DIVIDED if not isinstance(c[1], Tensor)]
_TENSORS = [c for c in DIVIDED if isinstance(c[1], Tensor)]
for _name in ("fmod", "remainder"):
    cases(getattr(aten, _name).Scalar)(*_SCALARS)
    cases(getattr(aten, _name).Tensor)(*_TENSORS)
cases(aten.floor_divide.default)(*_TENSORS)
for _mode in ("floor", "trunc", None):
    cases(aten.div.Tensor_mode)(*((*c, {"rounding_mode": _mode}) for c in _TENSORS))
    cases(aten.div.Scalar_mode)(*((*c, {"rounding_mode": _mode}) for c in _SCALARS))
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
cases(aten.arange.start_step)((0.0, 3.0, 0.5), (1.0, -1.0, -0.25))
cases(aten.eye.m)((3, 4), (3, 2, {"dtype": torch.int64}))
cases(aten.eye.default)((3,))
cases(aten.repeat.default)(
    (f(2, 3), [2, 1]), (f(2, 3), [1, 4]), (f(3), [2, 3]), (i(2, 1, 3), [2, 2, 2]), (f(), [3])
)
cases(aten.roll.default)(
    (f(5), [2], [0]), (f(3, 5), [-1, 7], [0, 1]), (f(3, 5), [4]), (i(3, 5), [0], [1])
)
cases(aten.unfold.default)(
    (f(9), 0, 3, 2), (f(3, 8), 1, 2, 3), (f(6, 4, 2), -3, 4, 1), (f(2, 6).t(), 0, 2, 2)
)
cases(aten.diagonal.default)(
    (f(3, 4),), (f(3, 4), 1), (f(4, 3), -2), (f(2, 5, 4), 1, 2, 1), (f(3, 4, 2), 0, 0, -1)
)
cases(aten.diagonal_scatter.default)(
    (f(3, 4), f(3)), (f(3, 4), f(3), 1), (f(4, 3), f(2), -2), (f(2, 5, 4), f(2, 4), 1, 2, 1)
)
cases(aten.select.int)((f(3, 4), 0, 1), (f(3, 4), -1, -1), (i(5), 0, -2))

# --- joining ---

cases(aten.cat.default)(
    ([f(2, 3), f(4, 3)],),
    ([f(2, 3), f(2, 1), f(2, 2)], 1),
    ([f(2, 3), f(2, 1), f(2, 2), f(2, 3), f(2, 5)], -1),
    ([f(2, 3, 4)], 1),
    ([SPECIAL, -SPECIAL, SPECIAL],),
    ([i(3), i(4)],),
    ([torch.tensor([-(2**63), 2**63 - 1]), i(1)],),
    ([i32(3), i(4)],),
    ([i(3), f(4)],),
    ([b(3), b(4), b(1)],),
    ([b(3), i32(4)],),
)
cases(aten.split_with_sizes.default)(
    (f(7, 3), [2, 4, 1]), (f(3, 7), [3, 4], 1), (i(2, 5), [1, 1, 3], -1), (b(4), [4])
)
cases(aten.constant_pad_nd.default)(
    (f(3, 4), [1, 2]),
    (f(3, 4), [1, 2], 0.5),
    (f(3, 4), [0, 0, 2, 1], -INF),
    (f(3, 4), [-1, 2, 1, -1], 3.0),
    (f(2, 3, 4), [-1, -1]),
    (f(2, 3, 4), [0, 0, 0, 0, 1, 1]),
    (i(5), [2, 3], -7),
    (b(5), [2, 3], True),
)
cases(aten.flip.default)(
    (f(3, 4), [0]), (f(3, 4), [0, -1]), (i(5), [0]), (f(2, 3, 4), [1]), (f(3), [])
)
cases(aten.slice_scatter.default)(
    (f(7, 3), f(3, 3), 0, 2, 5),
    (f(7, 3), f(7, 3)),
    (f(3, 7), f(3, 2), 1, -2),
    (f(3, 7), f(3, 4), -1, None, -3),
    (f(10), SPECIAL, 0, 0, 2**63 - 1),
    (i(7), i(2), 0, 1, 3),
    (b(7), b(2), 0, 5, 7),
    (f(7, 3), f(3, 3), 0, 1, 7, 2),
    (f(2, 8), f(2, 3), 1, 0, 8, 3),
)
cases(aten.select_scatter.default)(
    (f(3, 4), f(4), 0, 1), (f(3, 4), f(3), -1, -1), (i(5), i(), 0, -2), (b(2, 3), b(3), 0, 0)
)

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
cases(aten.index_select.default)(
    *TABLE, (i(6, 2, 2), -3, i(2, low=0, high=6)), (f(2, 6, 3), 1, i(4, low=0, high=6))
)
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

cases(aten.scatter.value)((f(3, 5), 1, torch.tensor([[0, 2], [1, 4], [3, 0]]), 1.0))
PLACES = torch.stack([torch.randperm(40, generator=GENERATOR) for _ in range(3)])
cases(aten.scatter.src)(
    (f(3, 5), 1, i(3, 1, low=0, high=5), f(3, 1)),
    (f(3, 40), 1, PLACES[:, :9], f(3, 9)),
    (f(3, 40), 1, PLACES, f(3, 40)),  # more than are written one after the other
    (f(40, 3), 0, PLACES.t()[:20], f(30, 3)),
    (i(3, 40), -1, PLACES, i(3, 40)),
    (i(5), 0, torch.tensor([2, 2, 0]), torch.tensor([7, 8, 9])),
    (f(2, 30), 1, torch.zeros(2, 30, dtype=torch.int64), f(2, 30)),
)
cases(aten.scatter_add.default)(
    (f(3, 5), 1, i(3, 1, low=0, high=5), f(3, 1)),
    (f(3, 5), 1, i(3, 9, low=0, high=5), f(3, 9)),
    (f(5, 2), 0, i(7, 2, low=0, high=5), f(8, 3)),
    (torch.zeros(3, 1500), 1, i(3, 1500, low=0, high=9), f(3, 1500)),  # by rows of one element
    (torch.zeros(1500, 3), 0, i(1500, 3, low=0, high=99), f(1500, 3)),
)
cases(aten.searchsorted.Tensor)(
    (torch.arange(6.0), f(3, 4)),
    (torch.arange(6.0), torch.tensor([2.0, 5.0, -1.0, 9.0]), {"right": True}),
    (f(3, 5).sort(-1)[0], f(3, 2), {"out_int32": True}),
    (i(9, low=0, high=9).sort()[0], i(5, low=0, high=9), {"side": "right"}),
)
cases(aten.bucketize.Tensor)((f(3, 4), torch.arange(-2.0, 3.0)), (f(9), f(5).sort()[0]))

cases(aten.index.Tensor, aten._unsafe_index.Tensor)(
    (f(6, 3), [i(4, low=0, high=6)]),
    (f(6, 3), [i(4, low=-6, high=6)]),
    (f(6), [i(2, 5, low=0, high=6)]),
    (i(6, 2, 2), [i32(3).abs() % 6]),
    (f(6, 3), [i(4, low=0, high=6), None]),
    (b(6), [torch.tensor(-1)]),
    (f(6, 3), [None, i(4, low=-3, high=3)]),
    (f(6, 3, 4), [i(5, low=0, high=6), i(5, low=-3, high=3)]),
    (f(6, 3, 4), [i(2, 1, low=0, high=6), None, i(5, low=0, high=4)]),
    (f(2, 6, 3, 4), [None, i(2, 1, low=0, high=6), i(5, low=0, high=3)]),
    (f(6, 3), [i32(2).abs() % 6, i(2, low=0, high=3)]),
)
DISTINCT = torch.tensor([4, 0, -1])
cases(aten.index_put.default, aten._unsafe_index_put.default)(
    (f(6, 3), [DISTINCT], f(3, 3)),
    (f(6, 3), [DISTINCT], f()),
    (f(2, 6, 3), [None, DISTINCT], f(2, 3, 3)),
    (i(6, 3), [DISTINCT, torch.tensor([0, 2, 1])], i(3)),
    (f(6, 3), [torch.tensor([2, 2, 2])], f(3, 3)),  # the last one stays
    (f(4, 5, 6), [torch.tensor([[1], [2]]), None, torch.tensor([0, 3])], f(2, 2, 5)),
    (f(4, 6), [i(9, low=0, high=4), i(9, low=0, high=6)], f(9), True),
    (f(4, 6), [None, i(9, low=0, high=6)], f(4, 9), True),
    (f(3, 4), [b(3, 4)], f()),
    (f(3, 4), [b(3)], f(4)),
)
cases(aten.index_put.default)(
    (f(6, 3), [i(9, low=0, high=6)], f(9, 3), True),
    (f(6, 3), [i(9, low=-6, high=6)], f(9, 3), True),
    (torch.zeros(6, 3), [i(2, 5, low=0, high=6)], f(2, 5, 3), True),
    (f(6), [i(9, low=0, high=6)], f(9), True),
    (f(6), [i(9, low=0, high=6)], f(), True),
    (f(6, 2, 2), [i(9, low=0, high=6)], f(2), True),
    (f(6, 3), [i(9, low=0, high=6)], f(9, 3) * torch.tensor([1e-20, 1.0, 1e-3]), True),
)

# --- products ---

cases(aten.mm.default)((f(3, 5), f(5, 4)), (f(1, 1), f(1, 1)), (f(40, 300), f(300, 20)))
cases(aten.bmm.default)((f(2, 3, 5), f(2, 5, 4)), (f(1, 3, 5), f(1, 5, 1)))
cases(aten.mv.default)((f(3, 5), f(5)))
cases(aten.dot.default)((f(9), f(9)))
cases(aten.addmv.default)((f(3), f(3, 5), f(5)), (f(3), f(3, 5), f(5), {"alpha": 0.5}))
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
    (i(3, 9), [1]),
    (i32(3, 4, 7), [0, 2], True),
    (torch.tensor([2**62, 2**62, 2**62]), [0]),
    (3 * f(9), [0], {"dtype": torch.int64}),
)
cases(aten.sum.default)((f(3, 4),), (b(9),), (f(),), (i(13),))
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
LONG = torch.zeros(3, 9001)
LONG[0, 5000] = LONG[1, 9000] = LONG[1, 17] = 1.0
LONG[2] = -INF
EXTREME = [
    (f(3, 4), 1),
    (f(3, 4), 0, True),
    (i(3, 9), 1),
    (torch.tensor([[1.0, NAN, NAN], [2.0, 2.0, 1.0], [-INF, -INF, -INF], [0.5, -3.0, -3.0]]), 1),
    (b(3, 4), 1),
]
cases(aten.max.dim, aten.min.dim)(*EXTREME, (f(), 0))
cases(aten.max.dim)((LONG, 1))
cases(aten.max.default, aten.min.default)((f(3, 4),), (i(9),), (f(),), (SPECIAL,))
cases(aten.amin.default)(
    (f(3, 4, 5), [1]),
    (f(3, 4, 5), [0, 2], True),
    (torch.tensor([[-(2**63), 2**63 - 1], [5, -5]]), [1]),
    (torch.tensor([[1.0, NAN], [INF, 2.0]]), [1]),
)
cases(aten.argmin.default)(*(c for c in EXTREME if c[0].dtype != torch.bool))
cases(aten.any.default)((b(3, 4),), (torch.zeros(3),), (i(3),))
cases(aten.any.dims)((b(3, 4, 2), [0, 2]), (b(3, 4), [1], True))
TIED = torch.tensor([[1.0, 3.0, 3.0, -2.0, 3.0, 0.0]])
cases(aten.topk.default)(
    (f(3, 9), 4),
    (f(3, 9), 2, 0),
    (f(3, 9), 9, 1, False),
    (i(40), 5),
    (torch.tensor([1.0, NAN, INF, -INF]), 3),
    (f(), 1),
)
cases(aten.sort.default)((f(3, 9),), (f(9, 3), 0, True), (i(12),), (f(),))
cases(aten.sort.stable)(
    (TIED, {"stable": True}),
    (TIED, {"stable": True, "descending": True}),
    (torch.tensor([1.0, NAN, -INF, NAN, INF, -0.5]), {"stable": True}),
    (torch.tensor([1.0, NAN, -INF, NAN, INF]), {"stable": True, "descending": True}),
    (i(30, low=0, high=5), {"stable": True, "dim": 0}),
)
NORMED = [(f(3, 9), 2.0, [1]), (f(3, 9), 1, [0], True), (f(2, 3, 4), 3, [0, 2]), (f(9), 2)]
cases(aten.linalg_vector_norm.default)(
    *NORMED, (f(3, 4), INF, [1]), (f(3, 4), -INF, [1]), (b(9).float(), 0), (f(3, 4), 0.5, [1])
)
SCANNED = [(f(3, 9), 1), (f(9, 2), 0), (f(1), 0), (f(), 0), (i(3, 10), -1), (b(9), 0), (f(300), 0)]
cases(aten.cumsum.default)(
    *SCANNED, (i(5), 0, {"dtype": torch.float32}), (torch.tensor([2**62, 2**62, 9]), 0)
)
cases(aten.cumprod.default)(*SCANNED[:-1])
cases(aten.prod.dim_int)(
    (f(3, 7), 1), (f(3, 8), 0, True), (i(3, 5, low=-3, high=4), 1), (i32(4), 0), (f(), 0)
)
cases(aten.prod.default)((f(3, 4),), (i(9, low=1, high=9),), (f(),))
cases(aten.any.dim)((b(3, 4), 1), (b(3, 4), 0, True), (i(9, 2, low=0, high=2), -1), (SPECIAL, 0))
SPREAD = [
    (f(3, 9), [1]),
    (f(3, 9), [1], {"correction": 0}),
    (f(3, 4, 5), [0, 2], {"correction": 1, "keepdim": True}),
    (f(3, 9) + 100, [-1], {"correction": 0, "keepdim": True}),
    (f(20),),
    (f(3, 9), None, {"correction": 2}),
]
cases(aten.var.correction, aten.var_mean.correction)(*SPREAD)
cases(aten.argmax.default)(
    (f(3, 4), 1),
    (f(3, 4), 0, True),
    (f(3, 4),),
    (i(3, 9), 1),
    (torch.tensor([[1.0, NAN, NAN], [2.0, 2.0, 1.0], [-INF, -INF, -INF]]), 1),
)
SOFTENED = [(f(3, 7, scale=4), 1), (f(2, 3, 4), 1), (f(2, 3, 4), -3), (f(5), 0), (f(), 0)]
cases(aten._log_softmax.default, aten._softmax.default)(*((*c, False) for c in SOFTENED))

# --- windows ---


def convolved(
    x: tuple[int, ...],
    weight: tuple[int, ...],
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int = 1,
    bias: bool = True,
) -> tuple:
    """Arguments of a convolution."""
    added = f(weight[0]) if bias else None
    zeros = [0] * len(stride)
    return (f(*x), f(*weight), added, stride, padding, dilation, False, zeros, groups)


CONVOLVED = [
    convolved((2, 3, 6, 7), (4, 3, 3, 2), [1, 1], [0, 0], [1, 1]),
    convolved((2, 3, 6, 7), (4, 3, 3, 3), [1, 1], [1, 1], [1, 1], bias=False),
    convolved((2, 3, 8, 7), (4, 3, 3, 3), [2, 2], [1, 1], [1, 1]),
    convolved((1, 2, 9, 8), (2, 2, 3, 2), [2, 3], [2, 1], [1, 2]),
    convolved((1, 1, 9, 9), (2, 1, 2, 2), [3, 3], [0, 0], [2, 2]),  # some places are in no window
    convolved((2, 4, 5, 5), (6, 2, 3, 3), [1, 1], [1, 1], [1, 1], groups=2),
    convolved((2, 4, 5, 5), (8, 1, 3, 3), [2, 1], [1, 1], [1, 1], groups=4),
    convolved((2, 3, 4, 4), (5, 3, 1, 1), [1, 1], [0, 0], [1, 1]),
    convolved((1, 3, 4, 4), (5, 3, 1, 3), [2], [1], [1]),
    convolved((1, 3, 4, 4), (5, 3, 4, 4), [1, 1], [0, 0], [1, 1]),
    convolved((2, 3, 9), (4, 3, 3), [1], [0], [1]),
    convolved((2, 4, 11), (4, 2, 3), [2], [2], [2], groups=2),
    convolved((2, 3, 9), (4, 3, 1), [2], [1], [1], bias=False),
]


def transposed(
    x: tuple[int, ...],
    weight: tuple[int, ...],
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    more: list[int],
    groups: int = 1,
) -> tuple:
    """Arguments of a transposed convolution."""
    bias = f(weight[1] * groups)
    return (f(*x), f(*weight), bias, stride, padding, dilation, True, more, groups)


TRANSPOSED = [
    transposed((2, 3, 5, 4), (3, 4, 3, 2), [1, 1], [0, 0], [1, 1], [0, 0]),
    transposed((2, 3, 5, 4), (3, 4, 3, 3), [2, 2], [1, 1], [1, 1], [1, 0]),
    transposed((1, 4, 3, 3), (4, 2, 2, 3), [2, 3], [0, 1], [2, 1], [1, 2], 2),
    transposed((2, 3, 5), (3, 4, 4), [2], [1], [1], [0]),
]
CONVOLVED += TRANSPOSED
cases(aten.convolution.default)(*CONVOLVED)


def convolved_back(case: tuple, mask: tuple[bool, ...] = (True, True, True)) -> tuple:
    """Arguments of a convolution's gradient."""
    y = aten.convolution.default(*case)
    x, weight, bias, *rest = case
    return (f(*y.shape), x, weight, None if bias is None else [len(bias)], *rest, list(mask))


cases(aten.convolution_backward.default)(
    *map(convolved_back, CONVOLVED),
    convolved_back(CONVOLVED[2], (False, True, False)),
    convolved_back(CONVOLVED[2], (False, True, True)),
)
# kernel, stride, padding
POOLED = [([2, 2], [], [0, 0]), ([3, 2], [2, 1], [1, 0]), ([3, 3], [1, 1], [1, 1]), ([2], [3], [1])]
cases(aten.max_pool2d_with_indices.default)(
    *((f(2, 3, 7, 8), *w) for w in POOLED),
    (f(2, 3, 7, 8), [2, 3], [2, 2], [1, 1], [2, 2]),
    (f(2, 3, 6, 8), [2, 2], [2, 2], [0, 0], [1, 1], True),
    (SPECIAL.view(1, 1, 2, 5), [2, 2], [1, 1]),
    (f(2, 3, 7, 8), [3, 3], [2, 2], [1, 1], [1, 1], True),
    (f(3, 5, 5), [2, 2], [2, 2], [0, 0], [1, 1], True),
)
cases(aten.avg_pool2d.default)(
    *((f(2, 3, 7, 8), *w) for w in POOLED),
    (f(2, 3, 6, 8), [2, 2], [2, 2], [0, 0], True, False),
    (f(2, 3, 7, 8), [3, 3], [2, 2], [1, 1], False, True, 5),
    (f(2, 3, 7, 8), [3, 3], [2, 2], [1, 1], False, False),
    (f(2, 3, 7, 8), [3, 3], [2, 2], [1, 0], True, True),
    (f(3, 7, 8), [3, 2], [2, 2], [1, 1], True, False),
)


def pooled_back(kernel: list[int], stride: list[int], padding: list[int], *rest: Any) -> tuple:
    """Arguments of an average pooling's gradient."""
    x = f(2, 3, 7, 8)
    y = aten.avg_pool2d.default(x, kernel, stride, padding, *rest)
    return (f(*y.shape), x, kernel, stride, padding, *(rest or (False, True, None)))


cases(aten.avg_pool2d_backward.default)(
    *(pooled_back(*w) for w in POOLED),
    pooled_back([3, 3], [2, 2], [1, 1], False, True, 5),
    pooled_back([3, 3], [2, 2], [1, 1], False, False, None),
    pooled_back([3, 2], [2, 2], [1, 0], True, False, None),
)
ADAPTED = [
    (f(2, 3, 6, 8), [3, 4]),
    (f(2, 3, 7, 5), [3, 2]),
    (f(3, 4, 9), [2, 4]),
    (f(1, 1, 3, 2), [5, 2]),
]
cases(aten._adaptive_avg_pool2d.default, aten.adaptive_max_pool2d.default)(*ADAPTED)
cases(aten._adaptive_avg_pool2d_backward.default)(
    *((f(*x.shape[:-2], *size), x) for x, size in ADAPTED)
)
cases(aten.adaptive_max_pool2d_backward.default)(
    *(
        (f(*x.shape[:-2], *size), x, aten.adaptive_max_pool2d.default(x, size)[1])
        for x, size in ADAPTED
    )
)
FOLDED = [([2, 3], [1, 1], [0, 0], [1, 1]), ([2, 2], [2, 1], [1, 2], [2, 2])]
cases(aten.im2col.default)(*((f(2, 3, 6, 7), *w) for w in FOLDED), (f(3, 6, 7), *FOLDED[0]))
cases(aten.col2im.default)(
    *((aten.im2col.default(f(2, 3, 6, 7), *w), [6, 7], *w) for w in FOLDED),
    (f(8, 4), [3, 3], [2, 2], [1, 1], [0, 0], [1, 1]),
)
# --- what is compared, and how closely ---

APART |= {
    aten.empty_permuted.default,
    aten.bernoulli.p,
    aten.rand.default,
    aten.rand_like.default,
    aten.bernoulli.default,
    aten.randn.default,
    aten.randn_like.default,
    aten.normal_functional.default,
    aten.normal.float_float,
    aten.uniform.default,
    aten.exponential.default,
    aten.randint.default,
    aten.randint.low,
    aten.randint_like.default,
    aten.randint_like.low_dtype,
    aten.randperm.default,
    aten.normal.Tensor_Tensor,
    aten.normal.Tensor_float,
    aten.normal.float_Tensor,
    aten.log_normal.default,
    aten.cauchy.default,
    aten.geometric.default,
    aten.multinomial.default,
    aten.empty.memory_format,
    aten.new_empty_strided.default,
}

# not one rounding of the operands: a product of 14-bit integers, a sum of 31-bit integers, an
# exponential of our own, or several operators of which PyTorch makes one
CLOSE |= {
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
    aten.var.correction: 1e-5,
    aten.var_mean.correction: 1e-5,
    aten.pow.Tensor_Scalar: 1e-5,
    aten.pow.Scalar: 1e-5,
    aten.convolution.default: 1e-3,
    aten.convolution_backward.default: 1e-3,
    aten.avg_pool2d.default: 1e-6,
    aten.avg_pool2d_backward.default: 1e-6,
    aten.index_put.default: 1e-6,
    aten._unsafe_index_put.default: 1e-6,
    aten.scatter_add.default: 1e-6,
    aten.mv.default: 1e-3,
    aten.dot.default: 1e-3,
    aten.addmv.default: 1e-3,
    **{getattr(aten, n).default: 1e-6 for n in ("log1p", "expm1", "log2", "log10", "asinh")},
    **{getattr(aten, n).default: 1e-6 for n in ("sinh", "cosh", "tan", "atanh", "erfc", "hypot")},
    aten.exp2.default: 1e-5,
    aten.pow.Tensor_Tensor: 1e-5,
    aten.linalg_vector_norm.default: 1e-5,
    **dict.fromkeys((aten.fmod.Tensor, aten.fmod.Scalar), 1e-6),
    **dict.fromkeys((aten.remainder.Tensor, aten.remainder.Scalar), 1e-6),
    **dict.fromkeys((aten.div.Tensor_mode, aten.div.Scalar_mode), 1e-6),
    aten.round.decimals: 1e-6,
    **dict.fromkeys((aten.cumsum.default, aten.cumprod.default), 1e-5),
    **dict.fromkeys((aten.prod.default, aten.prod.dim_int), 1e-6),
    aten._adaptive_avg_pool2d.default: 1e-6,
    aten._adaptive_avg_pool2d_backward.default: 1e-6,
    aten.adaptive_max_pool2d_backward.default: 1e-6,
    aten.col2im.default: 1e-6,
}
