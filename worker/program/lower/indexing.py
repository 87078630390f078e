"""Gathers, and writing by index."""

from __future__ import annotations

from math import prod

import torch

from worker.program.builder import broadcast
from worker.program.codes import BOOL, F32, I32, I64, Map, Reduce
from worker.program.lower.registry import Builder, Unsupported, View, axis_of, rule
from worker.program.views import row_major

aten = torch.ops.aten

# comparisons of all places with all indices
MOST_COMPARED = 1 << 26


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
    b.bound(index, moved.shape[-1])
    out = b.gather(
        b.reshape(moved, (rows, moved.shape[-1], 1)), b.reshape(where, (rows, where.shape[-1]))
    )
    back = tuple(order.index(k) for k in range(last + 1))
    return out.reshape(where.shape).permute(back)


def along(b: Builder, x: View, axis: int, index: View) -> View:
    """x at a list of places of one axis."""
    order = (axis, *(k for k in range(len(x.shape)) if k != axis))
    rows = x.permute(order)
    out = embedding(b, rows, index)
    return out.permute(tuple(order.index(k) for k in range(len(order))))


def gathered_back(b: Builder, y: View, axis: int, places: View, size: int) -> View:
    """The transpose of `along`: elements summed into the places of an axis that they came from."""
    axis = axis_of(axis, y)
    order = (axis, *(k for k in range(len(y.shape)) if k != axis))
    rows = y.permute(order)
    flat = b.reshape(rows, (rows.shape[0], rows.count // rows.shape[0]))
    total = b.scatter(flat, places, size).reshape((size, *rows.shape[1:]))
    return total.permute(tuple(order.index(k) for k in range(len(order))))


@rule(aten.index_select.default)
def index_select(b: Builder, x: View, dim: int, index: View) -> View:
    return along(b, x, axis_of(dim, x), b.reshape(index, (index.count,)))


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
    b.bound(index, weight.shape[0])
    out = b.gather(table, b.reshape(index, (1, index.count)))
    return out.reshape((*index.shape, *rest))


def wrapped(b: Builder, index: View, length: int) -> View:
    """Indices from the end as PyTorch counts them, -1 the last, as indices from the start."""
    negative = b.map(Map.LT, index, b.constant(0, index.dtype), dtype=BOOL)
    from_start = b.map(Map.ADD, index, b.constant(length, index.dtype))
    return b.map(Map.WHERE, negative, from_start, index, dtype=index.dtype)


class Rows:
    """x seen as rows [V, D] by the axes that are indexed, and the indices as row numbers [L]."""

    def __init__(self, b: Builder, x: View, indices: list[View | None]) -> None:
        self.axes = [k for k, i in enumerate(indices) if i is not None]
        given = [i for i in indices if i is not None]
        if any(i.dtype == BOOL for i in given):
            raise Unsupported(
                "an index of bools, whose count only a run has: use torch.where or a product"
            )
        rest = [k for k in range(len(x.shape)) if k not in self.axes]
        self.order = (*self.axes, *rest)
        self.sizes = tuple(x.shape[k] for k in self.axes)
        self.rest = tuple(x.shape[k] for k in rest)
        self.count = prod(self.sizes)
        self.moved = x.permute(self.order)
        self.shape = broadcast(*(i.shape for i in given))
        row: View | None = None
        for index, size, stride in zip(given, self.sizes, row_major(self.sizes), strict=True):
            b.bound(index, size, wraps=True)
            part = wrapped(b, b.convert(index, I64), size).expand(self.shape)
            if stride != 1:
                part = b.map(Map.MUL, part, b.constant(stride, I64))
            row = part if row is None else b.map(Map.ADD, row, part)
        assert row is not None
        self.row = b.reshape(row, (prod(self.shape),))
        # PyTorch puts the indices' axes where the first of them was if they stand together
        together = self.axes == list(range(self.axes[0], self.axes[-1] + 1))
        self.place = self.axes[0] if together else 0

    def outwards(self, x: View) -> View:
        """[indices' axes, the rest] as PyTorch orders them."""
        s, before = len(self.shape), self.place
        order = (*range(s, s + before), *range(s), *range(s + before, len(x.shape)))
        return x.permute(order)

    def inwards(self, values: View) -> View:
        """The inverse of `outwards`, of values that broadcast to what an index reads: [L, D]."""
        s, before = len(self.shape), self.place
        whole = (*self.rest[:before], *self.shape, *self.rest[before:])
        values = values.expand(whole)
        return values.permute(
            (*range(before, before + s), *range(before), *range(before + s, len(whole)))
        )

    def back(self, x: View) -> View:
        """[V, D] as the tensor that was indexed."""
        shaped = x.reshape((*self.sizes, *self.rest))
        return shaped.permute(tuple(self.order.index(k) for k in range(len(self.order))))


@rule(aten.index.Tensor, aten._unsafe_index.Tensor)
def index_tensor(b: Builder, x: View, indices: list[View | None]) -> View:
    """Elements by integer tensors, which broadcast against each other; None takes a whole axis."""
    rows = Rows(b, x, indices)
    width = prod(rows.rest)
    out = b.gather(
        b.reshape(rows.moved, (1, rows.count, width)), rows.row.reshape((1, rows.row.count))
    )
    return rows.outwards(out.reshape((*rows.shape, *rows.rest)))


@rule(aten.index_put.default, aten._unsafe_index_put.default)
def index_put(
    b: Builder, x: View, indices: list[View | None], values: View, accumulate: bool = False
) -> View:
    """Adds or writes by index. Where an index is written twice, the last one stays."""
    mask = indices[0]
    if len(indices) == 1 and mask is not None and mask.dtype == BOOL and not accumulate:
        return _masked(b, x, mask, values)
    rows = Rows(b, x, indices)
    width, length = prod(rows.rest), rows.row.count
    flat = b.reshape(rows.inwards(values), (length, width))
    if accumulate:
        if x.dtype != F32:
            raise Unsupported("index_put that sums integers: convert them to float32")
        return b.map(Map.ADD, x, rows.back(b.scatter(flat, rows.row, rows.count)))
    if rows.count * length > MOST_COMPARED:
        raise Unsupported(
            f"writing {length} rows by index into {rows.count}: their product is at most "
            f"{MOST_COMPARED}"
        )
    # of each row the last value that is written to it, counted from 1
    here = b.map(Map.EQ, b.iota(rows.count).unsqueeze(1), rows.row, dtype=BOOL)
    number = b.map(Map.ADD, b.iota(length, I32), b.constant(1, I32))
    last = b.reduce(Reduce.MAX, b.map(Map.WHERE, here, number, b.constant(0, I32), dtype=I32), 1)
    source = b.map(Map.MAXIMUM, b.map(Map.SUB, last, b.constant(1, I32)), b.constant(0, I32))
    chosen = b.gather(flat.reshape((1, length, width)), source.reshape((1, rows.count)))
    written = b.map(Map.GT, last, b.constant(0, I32), dtype=BOOL)
    old = b.reshape(rows.moved, (rows.count, width))
    new = chosen.reshape((rows.count, width))
    return rows.back(b.map(Map.WHERE, written.unsqueeze(1), new, old, dtype=x.dtype))


def _masked(b: Builder, x: View, mask: View, values: View) -> View:
    """x[mask] = values that do not depend on where the mask is true."""
    rest = len(x.shape) - len(mask.shape)
    if values.count != 1 and (len(values.shape) > rest):
        raise Unsupported("writing a list of values where a mask is true: use torch.where")
    for _ in range(rest):
        mask = mask.unsqueeze(len(mask.shape))
    if values.count == 1:
        values = b.reshape(values, ())
    return b.map(Map.WHERE, mask, values, x, dtype=x.dtype)
