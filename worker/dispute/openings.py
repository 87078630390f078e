"""Which elements an element of a node is recomputed from, and their proofs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from worker.chain.types import Opening
from worker.commit import TensorCommitment
from worker.commit.tensors import element_bytes
from worker.dispute.commitments import CommittedList
from worker.jobs import Computation, permute
from worker.program import Input, Kind, Node, Reduce, Source
from worker.program.operands import axes_of
from worker.program.views import row_major

PathOf = Callable[[int], list[bytes]]


def openings(
    computation: Computation,
    step: int,
    node: Node,
    element: int,
    *,
    trace: CommittedList,
    trace_path: PathOf,
    state: CommittedList,
    data: CommittedList,
) -> list[Opening]:
    """The operands of one element, in the record's order; one that is not read has no leaves."""
    if node.kind == Kind.SOURCE:
        return _source(computation, step, node, element, state, data)
    ranges = _ranges(node, element, trace)
    return [
        opened(trace[i.node], trace_path(i.node), first, length)
        for i, (first, length) in zip(node.inputs, ranges, strict=True)
    ]


def opened(tensor: TensorCommitment, path: Sequence[bytes], first: int, length: int) -> Opening:
    """Elements first .. first + length - 1 of a committed tensor; none for a length of zero."""
    leaves, leaves_path = b"", list[bytes]()
    if length:
        start, last = first // tensor.per_leaf, (first + length - 1) // tensor.per_leaf
        leaves = b"".join(tensor.leaf(k) for k in range(start, last + 1))
        leaves_path = tensor.tree.path_together(start, last - start + 1)
    tree = tensor.dtype, tensor.count, tensor.elements
    return Opening(*tree, tuple(path), leaves, tuple(leaves_path))


def _source(
    computation: Computation,
    step: int,
    node: Node,
    element: int,
    state: CommittedList,
    data: CommittedList,
) -> list[Opening]:
    if node.fn == Source.STATE:
        (index,) = node.attributes
        return [opened(state[index], state.tree.path(index), element, 1)]
    if node.fn == Source.BATCH:
        index, batch_rows, width = node.attributes
        job = computation.job
        position = step * batch_rows + element // width
        place = np.array([position % job.rows], dtype=np.uint64)
        row = int(permute(job.seed, position // job.rows, place, job.rows)[0])
        at = row * width + element % width
        return [opened(data[index], data.tree.path(index), at, 1)]
    return []


def _ranges(node: Node, element: int, trace: CommittedList) -> list[tuple[int, int]]:
    """First element and number of elements that are read of each operand."""
    if node.kind == Kind.MAP:
        return [_mapped(i, node.shape, element) for i in node.inputs]
    if node.kind == Kind.REDUCE:
        length = node.inputs[0].shape[1]
        row = (element * length, length)
        return [row, (element, 1)] if node.fn == Reduce.SUM else [row]
    if node.kind == Kind.DOT:
        _, m, n, k, _ = node.attributes
        batch, rest = divmod(element, m * n)
        left, right = batch * m + rest // n, batch * n + rest % n
        return [(left * k, k), (left, 1), (right * k, k), (right, 1)]
    if node.kind == Kind.GATHER:
        _, v, length, d = node.attributes
        outer, rest = divmod(element, length * d)
        place = outer * length + rest // d
        found = _signed(trace[node.inputs[1].node], place)
        if not 0 <= found < v:
            return [(0, 0), (place, 1)]
        return [((outer * v + found) * d + rest % d, 1), (place, 1)]
    if node.kind == Kind.SCATTER:
        _, d, length = node.attributes
        return [(element % d * length, length), (0, 1), (0, length)]
    raise AssertionError(f"no operands are known for {node.name}")


def _mapped(operand: Input, shape: tuple[int, ...], element: int) -> tuple[int, int]:
    """The operand's element that the index map gives, or nothing where it gives the fill."""
    output = [element // w % n for w, n in zip(row_major(shape), shape, strict=True)]
    flat = 0
    for axis, weight in zip(axes_of(operand, len(shape)), row_major(operand.shape), strict=True):
        at = axis.offset + sum(s * i for s, i in zip(axis.strides, output, strict=True))
        if not 0 <= at < axis.size:
            return (0, 0)
        flat += at * weight
    return (flat, 1)


def _signed(tensor: TensorCommitment, index: int) -> int:
    size = element_bytes(tensor.dtype)
    return int.from_bytes(tensor.data[index * size : (index + 1) * size], "little", signed=True)
