"""What modes, histograms, shifts, grids of whole numbers and bounded rows are tried with."""

from __future__ import annotations

import torch

from tests.program.cases.tools import CLOSE, cases, f, i, i32, positive

aten = torch.ops.aten

FEW = torch.tensor([[2.0, 1.0, 2.0, 1.0, 3.0], [0.0, 5.0, 5.0, 5.0, -1.0]])
cases(aten.mode.default)((FEW,), (FEW, 1, True), (i(3, 8, low=0, high=3), 1), (FEW.T, 0))
cases(aten.histc.default)(
    (f(40), 7, -2.0, 2.0), (f(5, 6), 4), (torch.full((3,), 2.0), 3), (positive(9), 5, 0, 1)
)
cases(aten.__lshift__.Scalar, aten.bitwise_left_shift.Tensor_Scalar)(
    (i(6), 3), (i32(6), 5), (torch.tensor([2**62, -(2**62)]), 1)
)
cases(aten.__rshift__.Scalar, aten.bitwise_right_shift.Tensor_Scalar)((i(6), 3), (i32(6), 1))

cases(aten.fake_quantize_per_tensor_affine_cachemask.default)(
    (f(30), 0.05, 3, -20, 20), (f(4, 4), 0.3, 0, -128, 127)
)
cases(aten._fake_quantize_per_tensor_affine_cachemask_tensor_qparams.default)(
    *(
        (f(30), torch.tensor(0.05), torch.tensor(3, dtype=torch.int32), on, -20, 20)
        for on in (torch.tensor([1]), torch.tensor([0]))
    )
)
cases(aten.fake_quantize_per_channel_affine_cachemask.default)(
    (f(3, 9), positive(3) / 9, torch.tensor([0, 2, -1], dtype=torch.int32), 0, -8, 7)
)
cases(aten.embedding_renorm.default)(
    (f(6, 4), i(9, low=0, high=6), 1.0, 2.0), (f(6, 4), i(2, 2, low=0, high=3), 0.5, 1.0)
)
CLOSE |= {
    aten.embedding_renorm.default: 1e-6,
    aten.fake_quantize_per_tensor_affine_cachemask.default: 1e-6,
    aten._fake_quantize_per_tensor_affine_cachemask_tensor_qparams.default: 1e-6,
    aten.fake_quantize_per_channel_affine_cachemask.default: 1e-6,
}
