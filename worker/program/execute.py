"""Runs programs in torch: fast, or node by node for a dispute.

Both give the same bits. The fast run skips what only a dispute needs: a dot or a sum is computed
from its floats at once, without the exponents and integers that are nodes of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worker import exact
from worker.program.codes import DTYPES, F32, SUM_BITS, Kind, Map, Reduce, Source
from worker.program.needed import cone, needed
from worker.program.operands import Reader, constant, reader
from worker.program.records import Input, Node

Tamper = Callable[[int, Tensor], Tensor]
Evaluate = Callable[..., Tensor]

_NAMES = {
    Map.MAXIMUM: "max",
    Map.MINIMUM: "min",
}


@dataclass(frozen=True)
class Moment:
    """When a step happens, for its random numbers: the job's seed, and the step's number."""

    seed: int = 0
    step: int = 0


class Executor:
    """Evaluates the nodes of one well-formed program."""

    def __init__(self, nodes: Sequence[Node], outputs: Sequence[int]) -> None:
        self.nodes = tuple(nodes)
        self.outputs = tuple(outputs)
        self._steps = [_step(node) for node in self.nodes]
        self._fast = _plan(self.nodes, self.outputs, self._steps)

    def run(self, state: Sequence[Tensor], batch: Sequence[Tensor], moment: Moment) -> list[Tensor]:
        """The outputs alone. state: one tensor per state, any shape of the right count."""
        values: list[Tensor | None] = [None] * len(self.nodes)
        for index, operands, evaluate, dead in self._fast:
            node = self.nodes[index]
            if node.kind == Kind.SOURCE:
                values[index] = _source(node, index, state, batch, moment, evaluate)
            else:
                values[index] = evaluate(*(values[o] for o in operands)).contiguous()
            for gone in dead:
                values[gone] = None
        results = [values[n] for n in self.outputs]
        return [r.view(self.nodes[n].shape) for r, n in zip(results, self.outputs, strict=True)]  # type: ignore[union-attr]

    def walk(
        self,
        state: Sequence[Tensor],
        batch: Sequence[Tensor],
        moment: Moment,
        tamper: Tamper | None = None,
        wanted: Collection[int] | None = None,
    ) -> Iterator[tuple[int, Tensor]]:
        """Nodes' numbers and outputs, in order, NaNs canonical; each goes after its last reader.

        wanted: what is yielded, every node where it is not given. Nothing else than that and what
        it depends on is computed.
        """
        asked = range(len(self.nodes)) if wanted is None else frozenset(wanted)
        order = needed(self.nodes, asked)
        last = {i.node: n for n in order for i in self.nodes[n].inputs}
        values: dict[int, Tensor] = {}
        for index in order:
            node, evaluate = self.nodes[index], self._steps[index]
            if node.kind == Kind.SOURCE:
                value = _source(node, index, state, batch, moment, evaluate)
            else:
                value = evaluate(*(values[i.node] for i in node.inputs))
            value = value.contiguous().view(node.shape)
            if tamper is not None:
                value = tamper(index, value)
            value = exact.canonical(value)
            for operand in {i.node for i in node.inputs}:
                if last[operand] == index:
                    del values[operand]
            if index in last:
                values[index] = value
            if index in asked:
                yield index, value


def _source(
    node: Node,
    index: int,
    state: Sequence[Tensor],
    batch: Sequence[Tensor],
    moment: Moment,
    evaluate: Evaluate,
) -> Tensor:
    if node.fn == Source.STATE:
        value = state[node.attributes[0]]
    elif node.fn == Source.BATCH:
        value = batch[node.attributes[0]]
    else:
        device = (state[0] if state else batch[0]).device
        if node.fn == Source.RANDOM:
            numbers = exact.uniform(
                node.count, seed=moment.seed, step=moment.step, node=index, device=device
            )
            return numbers.view(node.shape)
        return evaluate(device)
    if value.dtype != DTYPES[node.dtype] or value.numel() != node.count:
        raise ValueError(
            f"{node.name} {node.attributes[0]} is {value.dtype} of shape {tuple(value.shape)}; "
            f"the program takes {DTYPES[node.dtype]} of shape {node.shape}"
        )
    return value.detach().contiguous().view(node.shape)


# one node at a time


def _step(node: Node) -> Evaluate:
    """A function from the operands' whole tensors to the node's output."""
    kinds = {
        Kind.SOURCE: _generated,
        Kind.MAP: _map,
        Kind.REDUCE: _reduce,
        Kind.DOT: _dot,
        Kind.GATHER: _gather,
        Kind.SCATTER: _scatter,
    }
    return kinds[Kind(node.kind)](node)


def _generated(node: Node) -> Evaluate:
    dtype = DTYPES[node.dtype]
    if node.fn == Source.IOTA:
        return lambda device: torch.arange(node.count, dtype=dtype, device=device)
    if node.fn == Source.CONSTANT:
        value = constant(node.attributes[0], node.dtype, node.shape)
        return lambda device: value.to(device)
    return lambda device: torch.empty(0)  # state and batch are handed in


def constant_of(node: Node) -> Tensor:
    """The tensor of a source that depends on nothing: CONSTANT or IOTA."""
    if node.fn == Source.IOTA:
        return torch.arange(node.count, dtype=DTYPES[node.dtype]).view(node.shape)
    return constant(node.attributes[0], node.dtype, node.shape)


def function(node: Node) -> Evaluate:
    """The scalar function of a MAP node on tensors of its output's shape."""
    fn = Map(node.fn)
    if fn == Map.COPY:
        return lambda x: x
    if fn == Map.CONVERT:
        dtype = DTYPES[node.dtype]
        return lambda x: exact.to(x, dtype)
    if fn == Map.WHERE:
        return torch.where
    if fn == Map.QUANTISE:
        bits = node.attributes[0]
        return lambda x, e: exact.quantise(x, e, bits)
    operand = DTYPES[node.inputs[0].dtype]
    table = (
        exact.FLOAT
        if operand == torch.float32
        else exact.BOOL
        if operand == torch.bool
        else exact.INTEGER
    )
    return table[_NAMES.get(fn, fn.name.lower())]


def _map(node: Node) -> Evaluate:
    fn = function(node)
    readers: list[Reader] = [reader(i, node.shape) for i in node.inputs]
    return lambda *operands: fn(*(r(o) for r, o in zip(readers, operands, strict=True)))


def _reduce(node: Node) -> Evaluate:
    rows = node.inputs[0].shape
    if node.fn == Reduce.SUM:
        return lambda q, e: exact.sum_quantised(q.view(rows), e.view(rows[:1]))
    if node.fn == Reduce.EXPONENT:
        return lambda x: exact.exponent(x.view(rows), -1)
    floats = node.inputs[0].dtype == F32
    if node.fn == Reduce.ARGMAX:
        greatest = exact.argmax if floats else torch.argmax  # both: the first of the greatest
        return lambda x: greatest(x.view(rows), -1)
    if floats:
        return lambda x: exact.max(x.view(rows), -1)
    return lambda x: x.view(rows).amax(-1)


def _dot(node: Node) -> Evaluate:
    batch, m, n, k, bits = node.attributes

    def evaluate(qa: Tensor, ea: Tensor, qb: Tensor, eb: Tensor) -> Tensor:
        return exact.dot_quantised(
            qa.view(batch, m, k), ea.view(batch, m), qb.view(batch, n, k), eb.view(batch, n), bits
        )

    return evaluate


def _gather(node: Node) -> Evaluate:
    a, v, length, d = node.attributes

    def evaluate(x: Tensor, index: Tensor) -> Tensor:
        x, index = x.view(a, v, d), index.view(a, length).long()
        inside = (index >= 0) & (index < v)
        found = x.gather(1, index.clamp(0, v - 1).unsqueeze(-1).expand(a, length, d))
        outside = torch.full_like(found, torch.nan if x.is_floating_point() else 0)
        return torch.where(inside.unsqueeze(-1), found, outside)

    return evaluate


def _scatter(node: Node) -> Evaluate:
    v, d, length = node.attributes

    def evaluate(q: Tensor, e: Tensor, index: Tensor) -> Tensor:
        index = index.view(length).long()
        inside = (index >= 0) & (index < v)
        # one more row takes what is dropped; integers add up to the same in any order
        total = torch.zeros(v + 1, d, dtype=torch.int64, device=q.device)
        total.index_add_(0, torch.where(inside, index, v), q.view(d, length).t().long())
        return exact.sum_finish(total[:v], e.view(1, 1))

    return evaluate


# the fast run

Planned = tuple[int, tuple[int, ...], Evaluate, tuple[int, ...]]


def _plan(
    nodes: Sequence[Node], outputs: Sequence[int], steps: Sequence[Evaluate]
) -> list[Planned]:
    """The nodes the outputs need, products and sums fused, with what dies after each."""
    fused = {n: f for n, node in enumerate(nodes) if (f := _fused(nodes, node)) is not None}
    operands = {
        n: fused[n][0] if n in fused else tuple(i.node for i in node.inputs)
        for n, node in enumerate(nodes)
    }
    order = cone(outputs, operands)
    last = {o: n for n in order for o in operands[n]}
    dead: dict[int, list[int]] = {}
    given = frozenset(outputs)
    for o, n in last.items():
        if o not in given:
            dead.setdefault(n, []).append(o)
    return [
        (n, operands[n], fused[n][1] if n in fused else steps[n], tuple(dead.get(n, ())))
        for n in order
    ]


def float_rows(nodes: Sequence[Node], q: int, e: int, bits: int) -> int | None:
    """The node whose rows `q` quantises with their own exponents `e`; None where it is not so."""
    integers, exponents = nodes[q], nodes[e]
    if integers.kind != Kind.MAP or integers.fn != Map.QUANTISE or integers.attributes != (bits,):
        return None
    if exponents.kind != Kind.REDUCE or exponents.fn != Reduce.EXPONENT:
        return None
    x, used = integers.inputs
    rows, length = exponents.inputs[0].shape
    same = x.node == exponents.inputs[0].node and integers.shape == (rows, length)
    if not same or used.node != e or not _reads_plainly(x, used, rows, length):
        return None
    return x.node


def _reads_plainly(x: Input, e: Input, rows: int, length: int) -> bool:
    """Whether element (r, k) reads x[r * length + k] and e[r]; an axis of one element may have any
    stride."""
    if len(x.shape) != 1 or len(e.shape) != 1:
        return False
    (x0, x1, x2), (e0, e1, e2) = x.map, e.map
    return (x0, x1 if rows > 1 else length, x2 if length > 1 else 1) == (0, length, 1) and (
        e0,
        e1 if rows > 1 else 1,
        e2 if length > 1 else 0,
    ) == (0, 1, 0)


def _fused(nodes: Sequence[Node], node: Node) -> tuple[tuple[int, ...], Evaluate] | None:
    """A dot's or a sum's float operands, and the function from them to its output."""
    if node.kind == Kind.REDUCE and node.fn == Reduce.SUM:
        q, e = node.inputs
        x = float_rows(nodes, q.node, e.node, SUM_BITS)
        if x is None:
            return None
        return (x,), lambda t: exact.sum(t.view(q.shape), -1)
    if node.kind == Kind.DOT:
        batch, m, n, k, bits = node.attributes
        qa, ea, qb, eb = (i.node for i in node.inputs)
        a, b = float_rows(nodes, qa, ea, bits), float_rows(nodes, qb, eb, bits)
        if a is None or b is None:
            return None
        return (a, b), lambda s, t: exact.dot(s.view(batch, m, k), t.view(batch, n, k), bits=bits)
    return None
