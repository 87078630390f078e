"""What factors of small matrices are tried with."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.program.cases.tools import CLOSE, cases, f

aten = torch.ops.aten


def positive(*shape: int) -> Tensor:
    """Symmetric, with all its eigenvalues above one."""
    x = f(*shape)
    return x @ x.mT + torch.eye(shape[-1])


A, TURNED = f(2, 4, 4), torch.tensor([[0.0, 2.0, 1.0], [1.0, 0.0, 3.0], [4.0, 1.0, 0.0]])
LU, PIVOTS = torch.linalg.lu_factor(A)
cases(aten.linalg_cholesky_ex.default)((positive(2, 3, 3),), (positive(5, 5), {"upper": True}))
cases(aten.cholesky.default)((positive(3, 3),), (positive(3, 3), True))
FACTOR = torch.linalg.cholesky(positive(3, 3))
cases(aten.cholesky_solve.default)((f(3, 2), FACTOR), (f(3, 2), FACTOR.mT.contiguous(), True))
cases(aten.cholesky_inverse.default)((FACTOR,), (FACTOR.mT.contiguous(), True))
cases(aten.linalg_solve_triangular.default)(
    (positive(4, 4).tril(), f(4, 2), {"upper": False}),
    (positive(2, 4, 4).triu(), f(2, 4, 3), {"upper": True}),
    (positive(4, 4).tril(), f(2, 4), {"upper": False, "left": False}),
    (0.3 * f(4, 4).triu(), f(4, 1), {"upper": True, "unitriangular": True}),
)
cases(aten.linalg_lu_factor_ex.default)((A,), (TURNED,), (positive(3, 3), {"pivot": True}))
cases(aten.linalg_lu_solve.default)(
    *(
        (LU, PIVOTS, f(2, 4, 4), {"left": left, "adjoint": adjoint})
        for left in (True, False)
        for adjoint in (True, False)
    )
)
cases(aten._linalg_solve_ex.default)((A, f(2, 4, 3)), (TURNED, f(3)), (A, f(2, 4)))
cases(aten.linalg_inv_ex.default)((A,), (TURNED,))
cases(aten._linalg_det.default)((A,), (TURNED,))
cases(aten._linalg_slogdet.default)((A,), (TURNED,))
CLOSE |= dict.fromkeys(
    (
        aten.linalg_cholesky_ex.default,
        aten.cholesky.default,
        aten.cholesky_inverse.default,
        aten.cholesky_solve.default,
        aten.linalg_solve_triangular.default,
        aten.linalg_lu_factor_ex.default,
        aten.linalg_lu_solve.default,
        aten._linalg_solve_ex.default,
        aten.linalg_inv_ex.default,
        aten._linalg_det.default,
        aten._linalg_slogdet.default,
    ),
    1e-4,
)
