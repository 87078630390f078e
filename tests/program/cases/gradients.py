"""What the decompositions of gradients and of operators without one are tried with."""

from __future__ import annotations

import torch

from tests.program.cases.tools import CLOSE, cases, f

aten = torch.ops.aten

# of a window of elements in a row, and of every second one
cases(aten.as_strided.default)(
    (f(4, 6), [3, 4], [6, 1]),
    (f(4, 6), [3, 4], [6, 1], 7),
    (f(24), [4, 3, 2], [6, 2, 1]),
    (f(4, 6), [2, 3], [0, 2]),
)
cases(aten.as_strided_scatter.default)(
    (f(4, 6), f(3, 4), [3, 4], [6, 1]),
    (f(4, 6), f(2, 3), [2, 3], [12, 2], 1),
)
X = f(3, 9)
cases(aten.softshrink_backward.default, aten.hardshrink_backward.default)((f(3, 9), X, 0.5))
V = f(4, 3, 2)
cases(aten._weight_norm_interface_backward.default)(
    (f(4, 3, 2), V, f(4, 1, 1), V.flatten(1).norm(dim=1).view(4, 1, 1), 0)
)
cases(aten.replication_pad1d_backward.default)(
    (f(2, 3, 8), f(2, 3, 5), [1, 2]), (f(2, 3, 4), f(2, 3, 1), [1, 2])
)
cases(aten.replication_pad2d_backward.default)((f(2, 3, 8, 6), f(2, 3, 5, 4), [1, 1, 0, 3]))
cases(aten._trilinear.default)((f(4, 3), f(5, 3, 6), f(4, 6), [1, 3], [0], [1, 2], [2, 3]))
cases(aten._cdist_forward.default)((f(3, 4), f(2, 4), 2.0, None), (f(2, 3, 4), f(2, 5, 4), 1.0, 0))
A, B = f(3, 4), f(2, 4)
cases(aten._cdist_backward.default)((f(3, 2), A, B, 2.0, torch.cdist(A, B)))
cases(aten._cdist_backward.default)(
    *((f(3, 2), A, B, p, torch.cdist(A, B, p)) for p in (0.0, 1.0, 3.0, float("inf")))
)
cases(aten.replication_pad3d_backward.default)(
    (f(1, 2, 4, 3, 5), f(1, 2, 2, 3, 3), [1, 1, 0, 0, 0, 2])
)
cases(aten.addbmm.default)((f(3, 4), f(2, 3, 5), f(2, 5, 4), {"beta": 0.5, "alpha": 2.0}))
CLOSE.update(
    dict.fromkeys(
        (
            aten._weight_norm_interface_backward.default,
            aten.replication_pad1d_backward.default,
            aten.replication_pad2d_backward.default,
            aten.replication_pad3d_backward.default,
            aten._trilinear.default,
            aten._cdist_forward.default,
            aten._cdist_backward.default,
        ),
        1e-5,
    )
)
CLOSE[aten.addbmm.default] = 1e-3
