"""Gathers, and scatters that are maps in disguise."""

from __future__ import annotations

import torch

from worker.program.codes import BOOL, F32, Map
from worker.program.lower.registry import Builder, Unsupported, View, axis_of, rule

aten = torch.ops.aten


@rule(aten.gather.default)
def gather(b: Builder, x: View, dim: int, index: View, sparse_grad: bool = False) -> View:
    axis = axis_of(dim, x)
    last = len(x.shape) - 1
    for k, (n, m) in enumerate(zip(x.shape, index.shape, strict=True)):
        if k != axis and m != n:
            # torch reads only the leading part of x then
            x = x.slice(k, 0, m)
    order = (*(k for k in range(last + 1) if k != axis), axis)
    moved, where = x.permute(order), index.permute(order)
    rows = moved.count // moved.shape[-1]
    out = b.gather(
        b.reshape(moved, (rows, moved.shape[-1], 1)), b.reshape(where, (rows, where.shape[-1]))
    )
    back = tuple(order.index(k) for k in range(last + 1))
    return out.reshape(where.shape).permute(back)


@rule(aten.index_select.default)
def index_select(b: Builder, x: View, dim: int, index: View) -> View:
    if axis_of(dim, x) != 0:
        raise Unsupported("index_select along another axis than the first")
    return embedding(b, x, index)


@rule(aten.embedding.default)
def embedding(
    b: Builder,
    weight: View,
    index: View,
    padding_idx: int = -1,
    scale_grad: bool = False,
    sparse: bool = False,
) -> View:
    rest = weight.shape[1:]
    width = weight.count // weight.shape[0]
    table = b.reshape(weight, (1, weight.shape[0], width))
    out = b.gather(table, b.reshape(index, (1, index.count)))
    return out.reshape((*index.shape, *rest))


@rule(aten.scatter.value)
def scatter_value(b: Builder, x: View, dim: int, index: View, value: float) -> View:
    """One constant at one index a row: the place where iota equals the index."""
    axis = axis_of(dim, x)
    if index.shape[axis] != 1 or any(
        n != m for k, (n, m) in enumerate(zip(x.shape, index.shape, strict=True)) if k != axis
    ):
        raise Unsupported("a scatter of more than one index a row")
    places = b.iota(x.shape[axis], index.dtype)
    for _ in range(axis + 1, len(x.shape)):
        places = places.unsqueeze(len(places.shape))
    here = b.map(Map.EQ, places, index, dtype=BOOL)
    return b.map(Map.WHERE, here, b.constant(value, x.dtype), x, dtype=x.dtype)


def wrapped(b: Builder, index: View, length: int) -> View:
    """Indices from the end as PyTorch counts them, -1 the last, as indices from the start."""
    negative = b.map(Map.LT, index, b.constant(0, index.dtype), dtype=BOOL)
    from_start = b.map(Map.ADD, index, b.constant(length, index.dtype))
    return b.map(Map.WHERE, negative, from_start, index, dtype=index.dtype)


@rule(aten.index_put.default)
def index_put(
    b: Builder, x: View, indices: list[View | None], values: View, accumulate: bool = False
) -> View:
    """Sums rows into a tensor by one index along its first axis: an embedding's gradient."""
    index = indices[0]
    if not accumulate or len(indices) != 1 or index is None or x.dtype != F32:
        raise Unsupported("index_put other than a sum of rows by one index")
    rest = x.shape[1:]
    width = x.count // x.shape[0]
    flat = b.reshape(values.expand((*index.shape, *rest)), (index.count, width))
    row = b.reshape(wrapped(b, index, x.shape[0]), (index.count,))
    total = b.scatter(flat, row, x.shape[0]).reshape(x.shape)
    return b.map(Map.ADD, x, total)


@rule(aten.index.Tensor)
def index_tensor(b: Builder, x: View, indices: list[View | None]) -> View:
    """Rows by one index along the first axis."""
    index = indices[0]
    if len([i for i in indices if i is not None]) != 1 or index is None or index.dtype == BOOL:
        raise Unsupported("an index of another form than rows by one integer tensor")
    return embedding(b, x, wrapped(b, index, x.shape[0]))
