"""Indices that data names (labels, tokens, ends of edges), looked at over the whole data set.

A run reads an index that is out of range as NaN or as nothing, where PyTorch raises: from the step
on that meets such a row every loss is NaN, or something else is trained. So before a job is posted
each index that a program computes of its batch alone is computed for all rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from worker.jobs.computation import Computation
from worker.program import Kind, Program, Source
from worker.program.operands import reader
from worker.program.records import Bound

CHEAP = frozenset({Kind.SOURCE, Kind.MAP, Kind.GATHER})
NUMBERED = (Source.STATE, Source.BATCH)
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
    cones = Cones(program)
    batch_rows = cones.batch_rows
    for bound in program.bounds:
        read = cones.batch(bound.index.node)
        if not read or not cones.of_data(bound.index.node):
            continue
        given = _distinct([tensors[i] for i in read])
        holes = _Holes(program, bound, dict(zip(read, given, strict=True)), len(tensors))
        for rows in _batches(len(given[0]), batch_rows):
            if holes.found([t[rows] for t in given]):
                _refuse(holes, given, rows, tensors, read, names)


def check_step(computation: Computation, state: Sequence[Tensor], step: int) -> None:
    """Looks at every index of one step that also depends on the state or on chance. Raises
    OutOfRange."""
    program, cones = computation.program, Cones(computation.program)
    left = [b for b in program.bounds if not cones.of_data(b.index.node)]
    _look(left, dict(computation.walk(state, step, {b.index.node for b in left})))


def check_cheap(program: Program, state: Sequence[Tensor]) -> None:
    """Looks at every index that a state leads to without any product, such as a token's at a
    place. Raises OutOfRange."""
    cones = Cones(program)
    left = [b for b in program.bounds if cones.kinds(b.index.node) <= CHEAP]
    _look(left, dict(program.walk(state, [], None, {b.index.node for b in left})))


def _look(bounds: Sequence[Bound], values: Mapping[int, Tensor]) -> None:
    for bound in bounds:
        found = reader(bound.index, bound.shape)(values[bound.index.node])
        bad = (found < bound.low) | (found >= bound.high)
        if bad.any():
            value = int(found[bad].reshape(-1)[0])
            raise OutOfRange(f"an index is {value}, {_rule(bound)}", value)


class Cones:
    """What a program's nodes depend on."""

    def __init__(self, program: Program) -> None:
        self.nodes = program.nodes
        self._sources: list[frozenset[tuple[Source, int]]] = []
        self._kinds: list[frozenset[int]] = []
        for n in self.nodes:
            own: frozenset[tuple[Source, int]] = frozenset()
            if n.kind == Kind.SOURCE:
                own = frozenset({(Source(n.fn), n.attributes[0] if n.fn in NUMBERED else 0)})
            self._sources.append(own.union(*(self._sources[i.node] for i in n.inputs)))
            kinds = frozenset({n.kind}).union(*(self._kinds[i.node] for i in n.inputs))
            self._kinds.append(kinds)

    @property
    def batch_rows(self) -> int:
        batches = [n for n in self.nodes if (n.kind, n.fn) == (Kind.SOURCE, Source.BATCH)]
        return batches[0].attributes[1] if batches else 0

    def batch(self, node: int) -> list[int]:
        """The tensors of the batch that it depends on."""
        return sorted(i for kind, i in self._sources[node] if kind == Source.BATCH)

    def of_data(self, node: int) -> bool:
        """Whether it depends neither on the state nor on chance."""
        return not {kind for kind, _ in self._sources[node]} & {Source.STATE, Source.RANDOM}

    def kinds(self, node: int) -> frozenset[int]:
        """The kinds of node that it is computed by."""
        return self._kinds[node]


class _Holes:
    """Whether some rows lead an index out of its bounds."""

    def __init__(self, program: Program, bound: Bound, like: dict[int, Tensor], count: int) -> None:
        self.program, self.bound, self.places = program, bound, list(like)
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


def _distinct(tensors: list[Tensor]) -> list[Tensor]:
    """Rows enough to look at: of one tensor with short rows, such as labels, each kind once."""
    if len(tensors) == 1 and tensors[0].numel() <= 4 * len(tensors[0]):
        return [torch.unique(tensors[0], dim=0)]
    return tensors


def _batches(rows: int, batch_rows: int) -> Iterator[Tensor]:
    """All rows in batches; the last one is filled up with the last row."""
    for first in range(0, rows, batch_rows):
        yield torch.arange(first, first + batch_rows).clamp(max=rows - 1)


def _refuse(
    holes: _Holes,
    given: list[Tensor],
    rows: Tensor,
    tensors: Sequence[Tensor],
    read: list[int],
    names: Sequence[str],
) -> None:
    """Raises OutOfRange for the first row among `rows` that is out of bounds by itself, with its
    value where one element of one tensor is."""
    said = " and ".join(names[i] for i in read)
    rule = _rule(holes.bound)

    def alone(like: Sequence[Tensor]) -> bool:
        """Whether a batch of nothing but one row has a hole; like: it, of each tensor."""
        return holes.found([t.expand(len(rows), *t.shape) for t in like])

    bad = next((int(row) for row in rows if alone([t[row] for t in given])), None)
    if bad is None:  # rows that are sound by themselves, and not together
        raise OutOfRange(f"{said}: some of the rows {int(rows[0])} to {int(rows[-1])} are {rule}")
    if len(given) > 1:
        raise OutOfRange(f"{said}: row {bad} is {rule}")
    data, wrong = tensors[read[0]], given[0][bad]
    if data is not given[0]:  # only different rows were looked at
        bad = int((data == wrong).reshape(len(data), -1).all(1).nonzero()[0])
    values = wrong.unique()
    inside = (values >= 0) & (values < holes.bound.high)
    for value in torch.cat([values[~inside], values[inside]])[:MOST_TRIED]:
        if alone([value.expand(wrong.shape)]):
            place = torch.nonzero(wrong == value)[0].tolist()
            where = f"row {bad}" if len(data) > 1 else f"{place}"
            raise OutOfRange(f"{said} holds {value.item()} in {where}, {rule}")
    raise OutOfRange(f"{said}: row {bad} is {rule}")


def _rule(bound: Bound) -> str:
    where = bound.origin.split("  ", 1)[-1]
    last = bound.high - 1
    return (
        f"out of range where an index goes from {bound.low} to {last}, in {where}: count "
        f"from 0, or make what it indexes longer"
    )
