"""What indices that come of masks are tried with."""

from __future__ import annotations

import torch

from tests.program.cases.tools import b, cases, f, i

aten = torch.ops.aten

MASK = b(5, 4)
cases(aten.nonzero_static.default)(
    (MASK, {"size": int(MASK.sum())}),
    (MASK, {"size": 25}),
    (MASK, {"size": 3, "fill_value": 7}),
    (b(90), {"size": 40}),
    (i(3, 2, 4, low=-1, high=2), {"size": 9}),
    (torch.zeros(6), {"size": 2}),
)
for _name in ("tril_indices", "triu_indices"):
    cases(getattr(aten, _name).default)((4, 4), (3, 5, 1), (5, 3, -1), (2, 3, -1))
EDGES = torch.arange(100.0)
cases(aten.searchsorted.Tensor)(
    (EDGES, torch.tensor([-1.0, 0.0, 0.5, 63.0, 64.0, 98.5, 99.0, 100.0, float("inf")])),
    (EDGES, torch.tensor([0.0, 63.0, 99.0]), {"right": True}),
    (i(3, 70, low=0, high=30).sort(-1)[0], i(3, 5, low=-1, high=31), {"out_int32": True}),
    (f(65).sort()[0], f(2, 3)),
)
