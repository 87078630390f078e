"""Writing and adding along an axis, by one index for each element."""

from __future__ import annotations

import torch

from worker.program.codes import BOOL, F32, I32, Map, Reduce
from worker.program.lower.indexing import MOST_COMPARED, gather
from worker.program.lower.registry import Builder, Unsupported, View, axis_of, rule
from worker.program.views import row_major

aten = torch.ops.aten

# where an index a row is written one after the other, else all places are compared with all indices
MOST_WRITES = 16
# elements up to which sums by index are made as masked sums, each with an exponent of its own
MOST_MASKED = 1 << 22


def _checked(x: View, axis: int, index: View) -> None:
    if any(
        n != m
        for k, (n, m) in enumerate(zip(x.shape, index.shape, strict=True))
        if k != axis and n != m
    ):
        raise Unsupported(
            f"a scatter whose index {index.shape} is smaller than the tensor {x.shape} on an "
            "axis that it does not index"
        )


def _places(b: Builder, x: View, axis: int, index: View) -> View:
    """0, 1, 2, ... along an axis, of the index's dtype."""
    places = b.iota(x.shape[axis], index.dtype)
    for _ in range(axis + 1, len(x.shape)):
        places = places.unsqueeze(len(places.shape))
    return places


def _compared(b: Builder, x: View, axis: int, index: View) -> tuple[View, tuple[int, ...]]:
    """Where place [.., D, 1] equals index [.., 1, L], with the axis last but one, and the order
    that brings the axis to the end."""
    order = (*(k for k in range(len(x.shape)) if k != axis), axis)
    where = index.permute(order).unsqueeze(len(order) - 1)
    places = b.iota(x.shape[axis], index.dtype).unsqueeze(1)
    return b.map(Map.EQ, places, where, dtype=BOOL), order


@rule(aten.scatter.src)
def scatter_source(b: Builder, x: View, dim: int, index: View, source: View) -> View:
    """Writes along an axis. Where an index is written twice, the last one stays."""
    if not x.shape:
        return source
    axis = axis_of(dim, x)
    _checked(x, axis, index)
    b.bound(index, x.shape[axis])
    for k, n in enumerate(index.shape):
        source = source.slice(k, 0, n)
    length = index.shape[axis]
    if length <= MOST_WRITES:
        places = _places(b, x, axis, index)
        for k in range(length):
            here = b.map(Map.EQ, places, index.slice(axis, k, 1), dtype=BOOL)
            x = b.map(Map.WHERE, here, source.slice(axis, k, 1), x, dtype=x.dtype)
        return x
    if x.count * length > MOST_COMPARED:
        raise Unsupported(
            f"a scatter of {length} indices a row into {x.count} elements: their product is at "
            f"most {MOST_COMPARED}"
        )
    here, order = _compared(b, x, axis, index)
    number = b.map(Map.ADD, b.iota(length, I32), b.constant(1, I32))
    last = b.reduce(Reduce.MAX, b.map(Map.WHERE, here, number, b.constant(0, I32), dtype=I32), -1)
    at = b.map(Map.MAXIMUM, b.map(Map.SUB, last, b.constant(1, I32)), b.constant(0, I32))
    chosen = gather(b, source.permute(order), -1, at)
    written = b.map(Map.GT, last, b.constant(0, I32), dtype=BOOL)
    out = b.map(Map.WHERE, written, chosen, x.permute(order), dtype=x.dtype)
    return out.permute(tuple(order.index(k) for k in range(len(order))))


@rule(aten.scatter.value)
def scatter_value(b: Builder, x: View, dim: int, index: View, value: float) -> View:
    return scatter_source(b, x, dim, index, b.full(value, x.dtype, index.shape))


@rule(aten.scatter_add.default)
def scatter_add(b: Builder, x: View, dim: int, index: View, source: View) -> View:
    """Adds along an axis: the gradient of a gather."""
    if x.dtype != F32:
        raise Unsupported("scatter_add of integers: convert them to float32")
    if not x.shape:
        return b.map(Map.ADD, x, source)
    axis = axis_of(dim, x)
    _checked(x, axis, index)
    b.bound(index, x.shape[axis])
    for k, n in enumerate(index.shape):
        source = source.slice(k, 0, n)
    zero = b.constant(0.0, F32)
    if index.shape[axis] == 1:
        here = b.map(Map.EQ, _places(b, x, axis, index), index, dtype=BOOL)
        return b.map(Map.ADD, x, b.map(Map.WHERE, here, source, zero, dtype=F32))
    if x.count * index.shape[axis] <= MOST_MASKED:
        here, order = _compared(b, x, axis, index)
        moved = source.permute(order).unsqueeze(len(order) - 1)
        total = b.sum(b.map(Map.WHERE, here, moved, zero, dtype=F32), -1)
        total = total.permute(tuple(order.index(k) for k in range(len(order))))
        return b.map(Map.ADD, x, total)
    # as rows of one element each, numbered over the whole tensor
    row: View = index
    strides = row_major(x.shape)
    if strides[axis] != 1:
        row = b.map(Map.MUL, row, b.constant(strides[axis], index.dtype))
    for k, n in enumerate(x.shape):
        if k != axis and n > 1:
            places = _places(b, x, k, index)
            row = b.map(Map.ADD, row, b.map(Map.MUL, places, b.constant(strides[k], index.dtype)))
    values = b.reshape(source, (index.count, 1))
    total = b.scatter(values, b.reshape(row, (index.count,)), x.count)
    return b.map(Map.ADD, x, total.reshape(x.shape))
