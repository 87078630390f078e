"""Indices that data names (labels, tokens, ends of edges), looked at over the whole data set.

A run reads an index that is out of range as NaN or as nothing, where PyTorch raises: from the step
on that meets such a row every loss is NaN, or something else is trained. So before a job is posted
each index that a program computes of its batch alone is computed for all rows.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from math import prod

import torch
from torch import Tensor

from worker.jobs.computation import Computation
from worker.program import Kind, Program, Source
from worker.program.execute import constant_of, function
from worker.program.operands import axes_of, reader
from worker.program.records import Bound, Input
from worker.program.views import row_major

CHEAP = 1 << Kind.SOURCE | 1 << Kind.MAP | 1 << Kind.GATHER
MOST_SPAN = 1 << 24  # of different values that are found by marking them
MOST_TRIED = 4096  # values of a row that are looked at one by one, to name the wrong one


class OutOfRange(ValueError):
    """An index that lies where there is nothing; says the tensor, the row, the value, the rule."""

    def __init__(self, said: str, value: int | None = None) -> None:
        super().__init__(said)
        self.value = value


def check_data(program: Program, tensors: Sequence[Tensor], names: Sequence[str]) -> None:
    """Looks at every index that depends on nothing but the data, in every row.

    tensors: the data set, [rows, ...] each, called by `names` in errors. Raises OutOfRange.
    """
    cones, values = Cones(program), Values(program, tensors)
    for bound in program.bounds:
        read = cones.batch(bound.index.node)
        if not read or not cones.of_data(bound.index.node):
            continue
        given = [tensors[i] for i in read]
        rows = torch.arange(len(given[0]))
        wrong = values.outside(bound)
        if wrong is not None:  # all others are sound, wherever they stand
            rows = rows[torch.isin(given[0], wrong).reshape(len(rows), -1).any(1)]
        holes = _Holes(program, bound, read, len(tensors))
        for batch in _batches(rows, cones.batch_rows):
            if holes.found([t[batch] for t in given]):
                _refuse(holes, given, batch, [names[i] for i in read])


def check_step(computation: Computation, state: Sequence[Tensor], step: int) -> None:
    """Looks at every index of one step that also depends on the state or on chance. Raises
    OutOfRange."""
    program, cones = computation.program, Cones(computation.program)
    left = [b for b in program.bounds if not cones.of_data(b.index.node)]
    _look(left, dict(computation.walk(state, step, {b.index.node for b in left})))


def check_states(program: Program, states: Iterable[Sequence[Tensor]]) -> Iterator[None]:
    """Looks at every index that a state leads to without sums and products, such as a token's at a
    place; one state after another as it is asked for. Raises OutOfRange."""
    cones = Cones(program)
    left = [b for b in program.bounds if cones.is_cheap(b.index.node)]
    asked = {b.index.node for b in left}
    for state in states:
        _look(left, dict(program.walk(state, [], None, asked)))
        yield


def _look(bounds: Sequence[Bound], values: Mapping[int, Tensor]) -> None:
    for bound in bounds:
        found = reader(bound.index, bound.shape)(values[bound.index.node])
        bad = (found < bound.low) | (found >= bound.high)
        if bad.any():
            value = int(found[bad].reshape(-1)[0])
            raise OutOfRange(f"an index is {value}, {_rule(bound)}", value)


class Cones:
    """What a program's nodes depend on: for each node three sets, each a number's bits."""

    def __init__(self, program: Program) -> None:
        self.nodes = program.nodes
        self._batch: list[int] = []  # tensors of the batch
        self._varying: list[int] = []  # whether state or chance is among its sources
        self._kinds: list[int] = []
        for n in self.nodes:
            given = n.kind == Kind.SOURCE
            batch = 1 << n.attributes[0] if given and n.fn == Source.BATCH else 0
            varying = int(given and n.fn in (Source.STATE, Source.RANDOM))
            kinds = 1 << n.kind
            for operand in n.inputs:
                batch |= self._batch[operand.node]
                varying |= self._varying[operand.node]
                kinds |= self._kinds[operand.node]
            self._batch.append(batch)
            self._varying.append(varying)
            self._kinds.append(kinds)

    @property
    def batch_rows(self) -> int:
        batches = [n for n in self.nodes if (n.kind, n.fn) == (Kind.SOURCE, Source.BATCH)]
        return batches[0].attributes[1] if batches else 0

    def batch(self, node: int) -> list[int]:
        """The tensors of the batch that it depends on."""
        found = self._batch[node]
        return [i for i in range(found.bit_length()) if found >> i & 1]

    def of_data(self, node: int) -> bool:
        """Whether it depends neither on the state nor on chance."""
        return not self._varying[node]

    def is_cheap(self, node: int) -> bool:
        """Whether it is computed without sums and products."""
        return not self._kinds[node] & ~CHEAP


class Values:
    """Which values of one data tensor lead an index out of its bounds, whatever stands beside them:
    each different value is looked at once, where an index is made of one element of the data."""

    def __init__(self, program: Program, tensors: Sequence[Tensor]) -> None:
        self.nodes, self.tensors = program.nodes, tensors
        self._known: dict[int, tuple[Tensor, Hashable] | None] = {}
        self._distinct: dict[int, Tensor | None] = {}

    def outside(self, bound: Bound) -> Tensor | None:
        """The values of the one tensor that the index is made of; None where that is not known."""
        found = self._of(bound.index.node)
        if found is None or found[1] is None or not _reaches(bound.index, bound.shape):
            return None
        index, origin = found
        source = self._of(origin[0])  # type: ignore[index]
        assert source is not None
        return source[0][(index < bound.low) | (index >= bound.high)]

    def _of(self, node: int) -> tuple[Tensor, Hashable] | None:
        """A node's value for each different value of the data, and which element of which tensor
        it is made of: (source, maps), or None for a constant."""
        if node not in self._known:
            self._known[node] = self._computed(node)
        return self._known[node]

    def _computed(self, number: int) -> tuple[Tensor, Hashable] | None:
        node = self.nodes[number]
        if (node.kind, node.fn) == (Kind.SOURCE, Source.BATCH):
            values = self._values(node.attributes[0])
            return None if values is None else (values, (number,))
        if (node.kind, node.fn) == (Kind.SOURCE, Source.CONSTANT):
            return constant_of(node).reshape(1), None
        if node.kind != Kind.MAP:
            return None
        operands, origins = [], set()
        for operand in node.inputs:
            found = self._of(operand.node)
            if found is None or not _reaches(operand, node.shape):
                return None
            operands.append(found[0])
            if found[1] is not None:
                plain = _is_plain(operand, node.shape)
                origins.add(found[1] if plain else (*found[1], operand.shape, operand.map))  # type: ignore[misc]
        if len(origins) > 1:
            return None
        value = function(node)(*torch.broadcast_tensors(*operands))
        return value, next(iter(origins), None)

    def _values(self, tensor: int) -> Tensor | None:
        """The different values of a data tensor of integers."""
        data = self.tensors[tensor]
        if data.is_floating_point() or data.dtype == torch.bool:
            return None
        if tensor not in self._distinct:
            low, high = (int(v) for v in torch.aminmax(data))
            if high - low < MOST_SPAN:
                seen = torch.zeros(high - low + 1, dtype=torch.bool)
                seen[(data.reshape(-1) - low).long()] = True
                found = (seen.nonzero().reshape(-1) + low).to(data.dtype)
            else:
                found = data.unique()
            self._distinct[tensor] = found
        return self._distinct[tensor]


def _is_plain(operand: Input, shape: tuple[int, ...]) -> bool:
    """Whether an output's element is made of the operand's element in the same place."""
    strides = row_major(shape)
    return (
        len(operand.shape) == 1
        and all(n == 1 or s == w for n, s, w in zip(shape, operand.map[1:], strides, strict=True))
        and operand.map[0] == 0
        and operand.count == prod(shape)
    )


def _reaches(operand: Input, shape: tuple[int, ...]) -> bool:
    """Whether a view reads nothing but elements of its operand, and no fill."""
    spans = [axis.reach(shape) for axis in axes_of(operand, len(shape))]
    return all(
        low >= 0 and high < size for (low, high), size in zip(spans, operand.shape, strict=True)
    )


class _Holes:
    """Whether some rows lead an index out of its bounds."""

    def __init__(self, program: Program, bound: Bound, places: list[int], count: int) -> None:
        self.program, self.bound, self.places = program, bound, places
        self.read = reader(bound.index, bound.shape)
        self.batch: list[Tensor] = [torch.empty(0)] * count

    def found(self, rows: Sequence[Tensor]) -> bool:
        """rows: a batch's, of each tensor that the index depends on."""
        for place, tensor in zip(self.places, rows, strict=True):
            self.batch[place] = tensor
        node = self.bound.index.node
        ((_, value),) = self.program.walk([], self.batch, None, {node})
        index = self.read(value)
        return bool(((index < self.bound.low) | (index >= self.bound.high)).any())


def _batches(rows: Tensor, batch_rows: int) -> Iterator[Tensor]:
    """Rows in batches; the last one is filled up with the last row."""
    for first in range(0, len(rows), batch_rows):
        yield rows[torch.arange(first, first + batch_rows).clamp(max=len(rows) - 1)]


def _refuse(holes: _Holes, given: list[Tensor], rows: Tensor, names: list[str]) -> None:
    """Raises OutOfRange for the first row among `rows` that is out of bounds by itself, with its
    value where one element of one tensor is."""
    said, rule = " and ".join(names), _rule(holes.bound)

    def alone(like: Sequence[Tensor]) -> bool:
        """Whether a batch of nothing but one row has a hole; like: it, of each tensor."""
        return holes.found([t.expand(len(rows), *t.shape) for t in like])

    bad = next((int(row) for row in rows if alone([t[row] for t in given])), None)
    if bad is None:  # rows that are sound by themselves, and not together
        raise OutOfRange(f"{said}: some of the rows {int(rows[0])} to {int(rows[-1])} are {rule}")
    if len(given) > 1:
        raise OutOfRange(f"{said}: row {bad} is {rule}")
    wrong = given[0][bad]
    values = wrong.unique()
    inside = (values >= 0) & (values < holes.bound.high)
    for value in torch.cat([values[~inside], values[inside]])[:MOST_TRIED]:
        if alone([value.expand(wrong.shape)]):
            place = torch.nonzero(wrong == value)[0].tolist()
            where = f"row {bad}" if len(given[0]) > 1 else f"{place}"
            raise OutOfRange(f"{said} holds {value.item()} in {where}, {rule}")
    raise OutOfRange(f"{said}: row {bad} is {rule}")


def _rule(bound: Bound) -> str:
    where = bound.origin.split("  ", 1)[-1]
    last = bound.high - 1
    return (
        f"out of range where an index goes from {bound.low} to {last}, in {where}: count "
        f"from 0, or make what it indexes longer"
    )
