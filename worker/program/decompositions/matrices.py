"""Small matrices: triangular factors, and what is solved with them, by elimination.

Each column is a handful of operators on whole batches, in f32 with a rounding for each operation:
nothing here is quantised as a product's rows are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from worker.program.decompositions.registry import decomposes, replaces
from worker.program.lower import Unsupported

aten = torch.ops.aten

# rows: a program has some twenty nodes for each
MOST_ROWS = 64


def _rows(a: Tensor) -> int:
    n = a.shape[-1]
    if n > MOST_ROWS:
        raise Unsupported(f"a matrix of {n} rows, to factorise: programs take {MOST_ROWS}")
    return n


def _none(a: Tensor) -> Tensor:
    """What says that all went well, which no program can look at."""
    return torch.zeros(a.shape[:-2], dtype=torch.int32)


@decomposes(aten.linalg_cholesky_ex.default)
def cholesky_ex(
    a: Tensor, *, upper: bool = False, check_errors: bool = False
) -> tuple[Tensor, Tensor]:
    """The lower factor column by column; NaNs where a matrix is not positive definite."""
    n = _rows(a)
    rest, columns = a.mT if upper else a, []
    for k in range(n):
        column = rest[..., :, k] / rest[..., k, k].unsqueeze(-1).sqrt()
        column = torch.where(torch.arange(n) >= k, column, 0.0)
        columns.append(column)
        rest = rest - column.unsqueeze(-1) * column.unsqueeze(-2)
    # a column is a row of the upper factor
    factor = torch.stack(columns, -2 if upper else -1)
    return factor, _none(a)


@decomposes(aten.cholesky.default)
def cholesky(a: Tensor, upper: bool = False) -> Tensor:
    return cholesky_ex(a, upper=upper)[0]


@decomposes(aten.linalg_solve_triangular.default)
def solve_triangular(
    a: Tensor, b: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """Row by row, each taken out of those that are left."""
    if not left:
        turned = solve_triangular(a.mT, b.mT, upper=not upper, unitriangular=unitriangular)
        return turned.mT
    n = _rows(a)
    order = range(n - 1, -1, -1) if upper else range(n)
    found: dict[int, Tensor] = {}
    for k in order:
        row = b[..., k, :]
        if not unitriangular:
            row = row / a[..., k, k].unsqueeze(-1)
        found[k] = row
        b = b - a[..., :, k].unsqueeze(-1) * row.unsqueeze(-2)
    return torch.stack([found[k] for k in range(n)], -2)


@decomposes(aten.cholesky_solve.default)
def cholesky_solve(b: Tensor, factor: Tensor, upper: bool = False) -> Tensor:
    lower = factor.mT if upper else factor
    return solve_triangular(lower.mT, solve_triangular(lower, b, upper=False), upper=True)


@decomposes(aten.cholesky_inverse.default)
def cholesky_inverse(factor: Tensor, upper: bool = False) -> Tensor:
    return cholesky_solve(torch.eye(factor.shape[-1]).expand(factor.shape), factor, upper)


@decomposes(aten.linalg_lu_factor_ex.default)
def lu_factor_ex(
    a: Tensor, *, pivot: bool = True, check_errors: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Both factors in one matrix, and the row that each step changed places with, from 1."""
    n = _rows(a)
    places, pivots = torch.arange(n), []
    for k in range(n):
        size = torch.where(places >= k, a[..., :, k].abs(), -1.0)
        at = size.argmax(-1) if pivot else torch.full(size.shape[:-1], k)
        pivots.append(at)
        if pivot:
            a = _exchanged(a, k, at)
        below = torch.where(places > k, a[..., :, k] / a[..., k, k].unsqueeze(-1), 0.0)
        right = torch.where(places > k, a[..., k, :], 0.0)
        a = a - below.unsqueeze(-1) * right.unsqueeze(-2)
        column = torch.where(places > k, below, a[..., :, k]).unsqueeze(-1)
        a = torch.where(places == k, column, a)
    return a, torch.stack(pivots, -1).to(torch.int32) + 1, _none(a)


def _exchanged(a: Tensor, k: int, at: Tensor) -> Tensor:
    """Rows k and at[...] of a in each other's place."""
    places = torch.arange(a.shape[-2])
    other = at.unsqueeze(-1).long()
    order = torch.where(places == k, other, torch.where(places == other, k, places))
    return a.gather(-2, order.unsqueeze(-1).expand(a.shape))


@decomposes(aten.linalg_lu_solve.default)
def lu_solve(
    lu: Tensor, pivots: Tensor, b: Tensor, *, left: bool = True, adjoint: bool = False
) -> Tensor:
    if not left:
        return lu_solve(lu, pivots, b.mT, adjoint=not adjoint).mT
    n = _rows(lu)
    b = b.expand(*torch.broadcast_shapes(lu.shape[:-2], b.shape[:-2]), *b.shape[-2:])
    at = pivots.long() - 1
    if adjoint:
        b = solve_triangular(lu.mT, b, upper=False)
        b = solve_triangular(lu.mT, b, upper=True, unitriangular=True)
        for k in range(n - 1, -1, -1):
            b = _exchanged(b, k, at[..., k])
        return b
    for k in range(n):
        b = _exchanged(b, k, at[..., k])
    b = solve_triangular(lu, b, upper=False, unitriangular=True)
    return solve_triangular(lu, b, upper=True)


@decomposes(aten._linalg_solve_ex.default)
def solve_ex(
    a: Tensor, b: Tensor, *, left: bool = True, check_errors: bool = False
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    lu, pivots, info = lu_factor_ex(a)
    vector = b.dim() == 1 or (a.dim() - 1 == b.dim() and b.shape == a.shape[:-1])
    columns = b.unsqueeze(-1) if vector else b
    found = lu_solve(lu, pivots, columns, left=left)
    return found.squeeze(-1) if vector else found, lu, pivots, info


@decomposes(aten.linalg_inv_ex.default)
def inv_ex(a: Tensor, *, check_errors: bool = False) -> tuple[Tensor, Tensor]:
    lu, pivots, info = lu_factor_ex(a)
    return lu_solve(lu, pivots, torch.eye(a.shape[-1]).expand(a.shape)), info


def _turns(pivots: Tensor) -> Tensor:
    """1 or -1: whether rows changed places an even number of times."""
    moved = (pivots != torch.arange(1, pivots.shape[-1] + 1)).sum(-1)
    return (1 - 2 * (moved % 2)).float()


def _as_it_lies(a: Tensor) -> tuple[Tensor, Tensor]:
    """Factors of the transpose, as PyTorch takes them where rows lie together."""
    return lu_factor_ex(a.mT if a.is_contiguous() else a)[:2]


@decomposes(aten._linalg_det.default)
def det_ex(a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    lu, pivots = _as_it_lies(a)
    return lu.diagonal(0, -2, -1).prod(-1) * _turns(pivots), lu, pivots


@decomposes(aten._linalg_slogdet.default)
def slogdet_ex(a: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    lu, pivots = _as_it_lies(a)
    diagonal = lu.diagonal(0, -2, -1)
    sign = diagonal.sign().prod(-1) * _turns(pivots)
    return sign, diagonal.abs().log().sum(-1), lu, pivots


class _Determinant(torch.autograd.Function):
    """Sign and logarithm of a determinant, and itself. Their gradient is the inverse's transpose:
    PyTorch's own asks the factors how the matrix lay, which a graph does not keep."""

    @staticmethod
    def forward(ctx: Any, a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        sign, logarithm = aten._linalg_slogdet.default(a)[:2]
        value = aten._linalg_det.default(a)[0]
        ctx.save_for_backward(a, value)
        ctx.mark_non_differentiable(sign)
        return sign, logarithm, value

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        a, value = ctx.saved_tensors
        _, of_logarithm, of_value = gradients
        along = (of_logarithm + of_value * value)[..., None, None]
        return along * aten.linalg_inv_ex.default(a)[0].mT


@replaces(torch.linalg.det, torch.det, Tensor.det)
def det(a: Tensor) -> Tensor:
    return _Determinant.apply(a)[2]


@replaces(torch.linalg.slogdet, torch.slogdet, Tensor.slogdet)
def slogdet(a: Tensor) -> Any:
    sign, logarithm, _ = _Determinant.apply(a)
    return torch.return_types.linalg_slogdet((sign, logarithm))  # type: ignore[attr-defined]


@replaces(torch.logdet, Tensor.logdet)
def logdet(a: Tensor) -> Tensor:
    sign, logarithm, _ = _Determinant.apply(a)
    return torch.where(sign > 0, logarithm, torch.where(sign == 0, -torch.inf, torch.nan))
