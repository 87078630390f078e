"""Operators that only move elements: they become views, or one copy."""

from __future__ import annotations

from math import prod
from typing import Any

import torch

from worker.program.codes import I64, Map
from worker.program.lower.pointwise import dtype_code
from worker.program.lower.registry import Builder, Unsupported, View, axis_of, rule

aten = torch.ops.aten


@rule(aten.alias.default, aten.detach.default, aten.lift_fresh_copy.default)
def alias(b: Builder, x: View) -> View:
    return x


@rule(aten.clone.default)
def clone(b: Builder, x: View, memory_format: Any = None) -> View:
    return x


@rule(aten.permute.default)
def permute(b: Builder, x: View, dims: list[int]) -> View:
    return x.permute(tuple(axis_of(d, x) for d in dims))


@rule(aten.t.default)
def t(b: Builder, x: View) -> View:
    return x.permute(tuple(reversed(range(len(x.shape)))))


@rule(aten.transpose.int)
def transpose(b: Builder, x: View, dim0: int, dim1: int) -> View:
    order = list(range(len(x.shape)))
    first, second = axis_of(dim0, x), axis_of(dim1, x)
    order[first], order[second] = order[second], order[first]
    return x.permute(tuple(order))


@rule(aten.view.default, aten._unsafe_view.default, aten.reshape.default)
def view(b: Builder, x: View, size: list[int]) -> View:
    shape = list(size)
    if -1 in shape:
        known = prod(n for n in shape if n != -1)
        shape[shape.index(-1)] = x.count // known
    return b.reshape(x, tuple(shape))


@rule(aten.unsqueeze.default)
def unsqueeze(b: Builder, x: View, dim: int) -> View:
    return x.unsqueeze(dim % (len(x.shape) + 1))


@rule(aten.squeeze.dims, aten.squeeze.dim)
def squeeze(b: Builder, x: View, dims: list[int] | int) -> View:
    axes = [axis_of(d, x) for d in (dims if isinstance(dims, list | tuple) else [dims])]
    for axis in sorted(axes, reverse=True):
        if x.shape and x.shape[axis] == 1:
            x = x.squeeze(axis)
    return x


@rule(aten.expand.default)
def expand(b: Builder, x: View, size: list[int], implicit: bool = False) -> View:
    new = len(size) - len(x.shape)
    shape = tuple(x.shape[k - new] if n == -1 else n for k, n in enumerate(size))
    return x.expand(shape)


@rule(aten.slice.Tensor)
def slice_(
    b: Builder,
    x: View,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> View:
    axis = axis_of(dim, x)
    first, last, stride = slice(start, end, step).indices(x.shape[axis])
    length = len(range(first, last, stride))
    if not length:
        raise Unsupported("a slice without elements")
    return x.slice(axis, first, length, stride)


@rule(aten.select.int)
def select(b: Builder, x: View, dim: int, index: int) -> View:
    axis = axis_of(dim, x)
    return x.slice(axis, index % x.shape[axis], 1).squeeze(axis)


@rule(aten.arange.start_step)
def arange(
    b: Builder, start: int, end: int, step: int = 1, dtype: Any = None, **ignored: Any
) -> View:
    if any(v != int(v) for v in (start, end, step)):
        raise Unsupported("arange with fractions")
    count = len(range(int(start), int(end), int(step)))
    if not count:
        raise Unsupported("arange without elements")
    values = b.iota(count)
    if step != 1:
        values = b.map(Map.MUL, values, b.constant(int(step), I64))
    if start != 0:
        values = b.map(Map.ADD, values, b.constant(int(start), I64))
    whole = all(isinstance(v, int) for v in (start, end, step))
    return b.convert(values, dtype_code(dtype or (torch.int64 if whole else torch.float32)))
