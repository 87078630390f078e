"""What sums and products that optimizers are made of are tried with."""

from __future__ import annotations

import torch

from tests.program.cases.tools import CLOSE, cases, f, positive

aten = torch.ops.aten

cases(aten.lerp.Scalar)(*((f(3, 4), f(4), w) for w in (0.0, 0.1, 0.5, 0.9, 1.0, -0.3)))
cases(aten.addcmul.default)((f(3, 4), f(4), f(3, 1)), (f(3), f(3), f(3), {"value": -0.3}))
cases(aten.addcdiv.default)(
    (f(3, 4), f(4), positive(3, 1)), (f(3), f(3), positive(3), {"value": -0.3})
)
CLOSE |= dict.fromkeys((aten.lerp.Scalar, aten.addcmul.default, aten.addcdiv.default), 1e-6)
