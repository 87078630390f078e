"""Where values lie among sorted edges."""

from __future__ import annotations

import torch

from worker.program.codes import BOOL, F32, I32, I64, Map
from worker.program.lower.pointwise import promoted
from worker.program.lower.registry import Builder, Unsupported, View, rule

aten = torch.ops.aten

# edges up to which all are compared
MOST_COUNTED = 64


@rule(aten.searchsorted.Tensor)
def searchsorted(
    b: Builder,
    edges: View,
    x: View,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: View | None = None,
) -> View:
    """How many edges lie before each value: counted where they are few, else by halving."""
    if (len(edges.shape) > 1 and edges.shape[:-1] != x.shape[:-1]) or sorter is not None:
        raise Unsupported(
            "searchsorted with a sorter, or with edges of another shape: sort them first"
        )
    strict = not (right or side == "right")
    if edges.shape[-1] > MOST_COUNTED:
        found = _halved(b, Map.LT if strict else Map.LE, *promoted(b, edges, x))
        return b.convert(found, I32 if out_int32 else I64)
    one = x.unsqueeze(len(x.shape))
    if len(edges.shape) > 1:
        edges = edges.unsqueeze(len(edges.shape) - 1)
    before = b.map(Map.LT if strict else Map.LE, *promoted(b, edges, one), dtype=BOOL)
    count = b.sum(b.convert(before, F32), -1)
    return b.convert(count, I32 if out_int32 else I64)


def _halved(b: Builder, fn: Map, edges: View, x: View) -> View:
    """i64: how many of a row's edges are before each of its values, from the highest bit down."""
    n, shape = edges.shape[-1], x.shape
    rows = edges.count // n
    table = b.reshape(edges, (rows, n, 1))
    values = b.reshape(x, (rows, x.count // rows))
    place = b.full(0, I64, values.shape)
    step = 1 << (n.bit_length() - 1)
    while step:
        probe = b.map(Map.ADD, place, b.constant(step - 1, I64))
        edge = b.gather(table, probe).reshape(values.shape)
        inside = b.map(Map.LT, probe, b.constant(n, I64), dtype=BOOL)
        before = b.map(Map.AND, inside, b.map(fn, edge, values, dtype=BOOL))
        further = b.map(Map.ADD, place, b.constant(step, I64))
        place = b.map(Map.WHERE, before, further, place, dtype=I64)
        step //= 2
    return b.reshape(place, shape)


@rule(aten.bucketize.Tensor)
def bucketize(
    b: Builder, x: View, edges: View, *, out_int32: bool = False, right: bool = False
) -> View:
    return searchsorted(b, edges, x, out_int32=out_int32, right=right)
