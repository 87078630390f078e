"""What scalar functions that are made of others are tried with."""

from __future__ import annotations

import torch

from tests.program.cases.tools import CLOSE, DOUBLED, SPECIAL, cases, f, i, i32, positive

aten = torch.ops.aten

INSIDE = torch.linspace(-1, 1, 41)
WHOLE = torch.tensor([-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 40.0])
TWO = torch.tensor([0.0, -0.0, 1.0, -1.0, float("inf"), -float("inf"), float("nan"), 3e-5])

cases(aten.atan.default)((SPECIAL,), (30 * f(40),), (i(5),))
cases(aten.asin.default, aten.acos.default)((INSIDE,), (SPECIAL,), (i(6, low=-1, high=2),))
cases(aten.acosh.default)((1 + positive(30),), (SPECIAL,), (torch.tensor([1.0, 1e-7 + 1, 2e9]),))
cases(aten.atan2.default)((TWO[:, None], TWO), (f(3, 4), f(4)), (i(5), f(5)))
cases(aten.signbit.default)((SPECIAL[SPECIAL == SPECIAL],), (i(5),), (f(3, 4),))
cases(aten.copysign.Tensor)((f(3, 4), f(4)), (f(6), TWO[:6]), (i(4), f(4)))
cases(aten.copysign.Scalar)((f(3), -0.0), (f(3), 2.0))
cases(aten.erfinv.default)((INSIDE,), (SPECIAL,))
cases(aten.special_ndtri.default)((torch.linspace(0.01, 0.99, 30),))
cases(aten.lgamma.default)((positive(40) * 9,), (-9 * positive(40),), (SPECIAL,), (WHOLE,))
cases(aten.digamma.default)((positive(40) * 9,), (-5 * positive(40),), (SPECIAL,), (WHOLE,))
cases(aten.polygamma.default)((1, positive(30) * 9), (0, positive(5)), (1, -3 * positive(9)))
cases(aten.fmax.default, aten.fmin.default)((TWO[:, None], TWO), (f(3, 4), f(4)), (i32(3), i32(3)))
_CLOSE = {
    **dict.fromkeys(
        (
            *(getattr(aten, n).default for n in ("atan", "asin", "acos", "acosh", "atan2")),
            aten.erfinv.default,
        ),
        1e-6,
    ),
    aten.special_ndtri.default: 2e-6,
    aten.lgamma.default: 1e-5,
    aten.digamma.default: 1e-5,
    aten.polygamma.default: 1e-5,
}
CLOSE |= _CLOSE
DOUBLED |= _CLOSE.keys()
