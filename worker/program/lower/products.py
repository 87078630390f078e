"""Matrix products: `dot` contracts the last axis of both operands."""

from __future__ import annotations

import torch

from worker.program.codes import F32, Map
from worker.program.lower.registry import Builder, Unsupported, View, rule

aten = torch.ops.aten


def product(b: Builder, x: View, y: View) -> View:
    """[..., M, K] and [..., K, N] -> [..., M, N]."""
    if x.dtype != F32 or y.dtype != F32:
        raise Unsupported("a matrix product of integers: convert them to float32")
    rank = len(y.shape)
    return b.dot(x, y.permute((*range(rank - 2), rank - 1, rank - 2)), b.bits)


@rule(aten.mm.default, aten.bmm.default)
def mm(b: Builder, x: View, y: View) -> View:
    return product(b, x, y)


@rule(aten.addmv.default)
def addmv(b: Builder, bias: View, x: View, y: View, *, beta: float = 1, alpha: float = 1) -> View:
    out = addmm(b, bias.unsqueeze(len(bias.shape)), x, y.unsqueeze(1), beta=beta, alpha=alpha)
    return out.squeeze(1)


@rule(aten.dot.default)
def dot(b: Builder, x: View, y: View) -> View:
    return product(b, x.unsqueeze(0), y.unsqueeze(1)).reshape(())


@rule(aten.mv.default)
def mv(b: Builder, x: View, y: View) -> View:
    return product(b, x, y.unsqueeze(1)).squeeze(1)


@rule(aten.addmm.default)
def addmm(b: Builder, bias: View, x: View, y: View, *, beta: float = 1, alpha: float = 1) -> View:
    out = product(b, x, y)
    if alpha != 1:
        out = b.map(Map.MUL, out, b.constant(alpha, F32))
    if beta != 1:
        bias = b.map(Map.MUL, bias, b.constant(beta, F32))
    return b.map(Map.ADD, bias, out)
