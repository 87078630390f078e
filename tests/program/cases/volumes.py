"""What convolutions and poolings along three axes are tried with."""

from __future__ import annotations

import torch

from tests.program.cases.core import convolved, convolved_back, transposed
from tests.program.cases.tools import APART, CLOSE, cases, f

aten = torch.ops.aten

ONE, NONE = [1, 1, 1], [0, 0, 0]
CONVOLVED = [
    convolved((2, 3, 3, 4, 3), (4, 3, 2, 3, 2), ONE, NONE, ONE),
    convolved((1, 2, 4, 3, 5), (2, 1, 3, 1, 2), [2, 1, 2], [1, 0, 1], [1, 1, 2], groups=2),
    convolved((1, 2, 3, 3, 3), (3, 2, 2, 2, 2), [2], [1], [1], bias=False),
    transposed((1, 3, 2, 3, 2), (3, 2, 2, 2, 3), ONE, [0, 1, 0], ONE, NONE),
    transposed((1, 4, 2, 2, 3), (4, 1, 3, 2, 1), [2, 1, 2], [1, 0, 0], ONE, [1, 0, 1], 2),
]
cases(aten.convolution.default)(*CONVOLVED)
cases(aten.convolution_backward.default)(*map(convolved_back, CONVOLVED))

# kernel, stride, padding
POOLED = [([2], [], [0]), ([3, 2, 2], [2, 1, 2], [1, 0, 1])]
APART |= {
    aten.max_pool2d_with_indices_backward.default,
    aten.max_pool3d_with_indices_backward.default,
}
cases(aten.max_pool3d_with_indices.default)(
    *((f(2, 2, 4, 5, 4), *w) for w in POOLED),
    (f(2, 4, 3, 5), [2, 2, 2], [1, 2, 2], NONE, ONE, True),
    (f(1, 1, 5, 4, 3), [2, 2, 1], [2, 1, 1], NONE, [2, 1, 1]),
)
cases(aten.avg_pool3d.default)(
    *((f(2, 2, 4, 5, 4), *w) for w in POOLED),
    (f(2, 4, 5, 4), [2, 3, 2], [2, 2, 1], [1, 1, 0], False, False),
    (f(1, 2, 4, 5, 4), [3, 3, 3], [2, 2, 2], ONE, True, True),
    (f(1, 2, 4, 5, 4), [2, 2, 2], [2, 2, 2], NONE, False, True, 3),
)


def pooled_back(kernel: list[int], stride: list[int], padding: list[int], *rest: object) -> tuple:
    """Arguments of an average pooling's gradient."""
    x = f(2, 2, 4, 5, 4)
    y = aten.avg_pool3d.default(x, kernel, stride, padding, *rest)
    return (f(*y.shape), x, kernel, stride, padding, *(rest or (False, True, None)))


cases(aten.avg_pool3d_backward.default)(
    *(pooled_back(*w) for w in POOLED), pooled_back([3, 2, 2], [2, 2, 2], ONE, True, False, None)
)
ADAPTED = [(f(1, 2, 4, 6, 2), [2, 3, 1]), (f(2, 3, 5, 2), [2, 2, 1])]
cases(aten._adaptive_avg_pool3d.default, aten.adaptive_max_pool3d.default)(*ADAPTED)
cases(aten._adaptive_avg_pool3d_backward.default)(
    *((f(*x.shape[:-3], *size), x) for x, size in ADAPTED)
)
cases(aten.adaptive_max_pool3d_backward.default)(
    *(
        (f(*x.shape[:-3], *size), x, aten.adaptive_max_pool3d.default(x, size)[1])
        for x, size in ADAPTED
    )
)
CLOSE |= dict.fromkeys(
    (
        aten.avg_pool3d.default,
        aten.avg_pool3d_backward.default,
        aten._adaptive_avg_pool3d.default,
        aten._adaptive_avg_pool3d_backward.default,
        aten.adaptive_max_pool3d_backward.default,
    ),
    1e-6,
)
