"""What running extremes, medians and reductions by index are tried with."""

from __future__ import annotations

import torch

from tests.program.cases.tools import CLOSE, INF, NAN, cases, f, i, i32

aten = torch.ops.aten

TIED = torch.tensor([[1.0, 3.0, 3.0, -2.0, 3.0, 0.0], [0.5, NAN, 2.0, NAN, -INF, 1.0]])
RUNNING = [(f(3, 9), 1), (f(7, 2), 0), (TIED, 1), (i(12, low=0, high=5), 0), (f(), 0)]
cases(aten.cummax.default, aten.cummin.default)(*RUNNING)
cases(aten.logcumsumexp.default)(
    (f(3, 9), 1), (30 * f(7, 2), 0), (torch.tensor([-INF, 0.0, 9.0]), 0)
)
DISTINCT = torch.randperm(30).float().view(5, 6)
cases(aten.kthvalue.default)((DISTINCT, 2), (DISTINCT, 4, 0, True), (f(), 1))
cases(aten.median.dim)((DISTINCT, 1), (DISTINCT, 0, True), (TIED[1:], 1), (i(7), 0), (f(), 0))
cases(aten.median.default, aten.nanmedian.default)((f(3, 5),), (f(4),), (TIED,), (f(),))
cases(aten.nanmedian.dim)((DISTINCT, 1), (TIED[1:], 1, True), (f(), 0))

GROUPS = i(3, 8, low=0, high=5)
cases(aten.scatter_reduce.two)(
    *(
        (f(3, 5), 1, GROUPS, f(3, 8), kind, {"include_self": held})
        for kind in ("sum", "mean", "prod", "amax", "amin")
        for held in (True, False)
    ),
    (f(5, 2), 0, i(7, 2, low=0, high=5), f(8, 3), "amax"),
    (i(3, 5), 1, GROUPS, i(3, 8), "amin"),
    (f(), 0, torch.tensor(0), f(), "prod"),
)
cases(aten.index_reduce.default)(
    (f(4, 3), 0, torch.tensor([0, 3, 3]), f(3, 3), "amax"),
    (f(2, 4), 1, torch.tensor([1, 1]), f(2, 2), "mean", {"include_self": False}),
)
cases(aten.scatter.reduce)(
    (f(3, 5), 1, GROUPS, f(3, 8), {"reduce": "add"}),
    (f(3, 5), 1, GROUPS, f(3, 8), {"reduce": "multiply"}),
)
cases(aten.scatter.value_reduce)((f(3, 5), 1, GROUPS, 0.5, {"reduce": "multiply"}))
cases(aten.put.default)(
    (f(3, 4), torch.tensor([[7, 0], [3, 11]]), f(2, 2)),
    (i32(3, 4), torch.tensor([5]), i32(1)),
    (f(3, 4), i(6, low=0, high=12), f(6), True),
)
CLOSE |= dict.fromkeys(
    (
        aten.logcumsumexp.default,
        aten.scatter_reduce.two,
        aten.index_reduce.default,
        aten.scatter.reduce,
        aten.scatter.value_reduce,
        aten.put.default,
    ),
    2e-6,
)
