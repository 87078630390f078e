"""Affine forms over the loops of a kernel, and the loops that several shapes have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

from worker.program.operands import axes_of
from worker.program.records import Input
from worker.program.views import Axis, row_major


@dataclass(frozen=True)
class Form:
    """offset + strides . loops."""

    offset: int
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Access:
    """How an operand is read at every output: where, and what must hold for it to be inside.

    flat: index into the operand's elements. bounds: for each axis of the operand that some output
    falls off, its coordinate and its size; there the fill stands.
    """

    flat: Form
    bounds: tuple[tuple[Form, int], ...]
    fill: int

    @property
    def forms(self) -> tuple[Form, ...]:
        return (self.flat, *(form for form, _ in self.bounds))


def access(operand: Input, shape: tuple[int, ...]) -> Access:
    """A MAP operand's access, over the axes of the output's `shape`."""
    return _access(axes_of(operand, len(shape)), shape, operand.shape, operand.fill)


def _access(axes: Sequence[Axis], shape: tuple[int, ...], of: tuple[int, ...], fill: int) -> Access:
    """The access of a tensor seen under shape `of` through these axes."""
    axes = [_canonical(a, shape) for a in axes]
    weights = row_major(of)
    offset = sum(w * a.offset for w, a in zip(weights, axes, strict=True))
    strides = tuple(
        sum(w * a.strides[o] for w, a in zip(weights, axes, strict=True)) for o in range(len(shape))
    )
    bounds = []
    for axis in axes:
        low, high = axis.reach(shape)
        if low < 0 or high >= axis.size:
            bounds.append((Form(axis.offset, axis.strides), axis.size))
    return Access(Form(offset, strides), tuple(bounds), fill)


def _canonical(axis: Axis, shape: tuple[int, ...]) -> Axis:
    """The same axis; an output axis of one element is never stepped along."""
    strides = tuple(s if n > 1 else 0 for s, n in zip(axis.strides, shape, strict=True))
    return Axis(axis.size, axis.offset, strides)


def is_plain(found: Access, shape: tuple[int, ...], count: int) -> bool:
    """Whether output element f reads element f of an operand of as many elements."""
    if found.bounds or found.flat.offset or prod(shape) != count:
        return False
    return found.flat.strides == _steps(shape)


def is_per_row(found: Access, shape: tuple[int, ...], length: int) -> bool:
    """Whether output element f reads element f // length."""
    if found.bounds or found.flat.offset:
        return False
    wanted = []
    for weight, n in zip(row_major(shape), shape, strict=True):
        if n == 1 or weight * n <= length:
            wanted.append(0)
        elif weight % length == 0:
            wanted.append(weight // length)
        else:
            return False  # an axis is partly in the row
    return found.flat.strides == tuple(wanted)


def _steps(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(w if n > 1 else 0 for w, n in zip(row_major(shape), shape, strict=True))


def composed(
    outer: Input, shape: tuple[int, ...], copy: Input, middle: tuple[int, ...]
) -> Input | None:
    """What reads through `copy` the element that `outer` reads of a copy of shape `middle`.

    None where the coordinates within the copy are not affine, or some fall outside it.
    """
    found = access(outer, shape)
    if found.bounds:
        return None
    axes = _followed(found.flat, shape, copy, middle)
    if axes is None:
        return None
    index_map = tuple(v for axis in axes for v in (axis.offset, *axis.strides))
    return Input(copy.node, copy.dtype, copy.shape, index_map, copy.fill)


def followed(
    found: Access, loops: Loops, copy: Input, middle: tuple[int, ...]
) -> tuple[Access, Loops] | None:
    """An access, over `loops`, of a copy of shape `middle`, as one of what `copy` reads.

    Loops are split where they cross an axis of the copy. None where that does not make the
    coordinates affine.
    """
    if found.bounds:
        return None
    cuts = set(loops.cuts)
    for weight, size, stride in zip(loops.weights, loops.sizes, found.flat.strides, strict=True):
        for edge in row_major(middle):
            if 0 < stride < edge < stride * size:
                if edge % stride or size % (edge // stride):
                    return None
                cuts.add(weight * (edge // stride))
    finer = Loops(cuts)
    strides = []
    for w in finer.weights:
        k = next(k for k, weight in enumerate(loops.weights) if weight <= w)
        strides.append(found.flat.strides[k] * (w // loops.weights[k]))
    axes = _followed(Form(found.flat.offset, tuple(strides)), finer.sizes, copy, middle)
    if axes is None:
        return None
    return _access(axes, finer.sizes, copy.shape, copy.fill), finer


def _followed(
    flat: Form, shape: tuple[int, ...], copy: Input, middle: tuple[int, ...]
) -> list[Axis] | None:
    """The axes of what `copy` reads, where `flat` reads a copy of shape `middle`."""
    if flat.offset < 0 or any(s < 0 for s in flat.strides):
        return None
    weights = row_major(middle)
    start = _digits(flat.offset, weights)
    steps = [_digits(s, weights) for s in flat.strides]
    for j, size in enumerate(middle):
        most = start[j] + sum(step[j] * (n - 1) for step, n in zip(steps, shape, strict=True))
        if most >= size:
            return None
    axes = []
    for axis in axes_of(copy, len(middle)):
        offset = axis.offset + sum(s * d for s, d in zip(axis.strides, start, strict=True))
        along = (sum(s * d for s, d in zip(axis.strides, step, strict=True)) for step in steps)
        axes.append(Axis(axis.size, offset, tuple(along)))
    return axes


def _digits(value: int, weights: Sequence[int]) -> list[int]:
    digits = []
    for weight in weights:
        digits.append(value // weight)
        value %= weight
    return digits


class Loops:
    """The loops that walk tensors of one count in row-major order, whatever their shapes.

    cuts: the products of trailing sizes at which some shape has an axis boundary. Raises ValueError
    for shapes that have no loops in common.
    """

    def __init__(self, cuts: Iterable[int]) -> None:
        self.cuts = tuple(sorted(set(cuts)))
        if any(b % a for a, b in pairwise(self.cuts)):
            raise ValueError(f"no common loops for {self.cuts}")
        # outermost first
        self.sizes = tuple(b // a for a, b in reversed(list(pairwise(self.cuts))))
        self.weights = tuple(reversed(self.cuts[:-1]))

    def over(self, form: Form, shape: tuple[int, ...], unit: int = 1) -> Form:
        """A form over a shape's axes as one over the loops. unit: elements an index stands for."""
        strides = [0] * len(self.sizes)
        for weight, n, stride in zip(row_major(shape), shape, form.strides, strict=True):
            low, high = weight * unit, weight * n * unit
            for k, w in enumerate(self.weights):
                if low <= w < high:
                    strides[k] = stride * (w // low)
        return Form(form.offset, tuple(strides))


def cuts_of(shape: tuple[int, ...], unit: int = 1) -> set[int]:
    """Products of trailing sizes, times `unit`."""
    return {unit * prod(shape[k:]) for k in range(len(shape) + 1)}


def divides(cuts: Iterable[int]) -> bool:
    """Whether shapes with these cuts have loops in common."""
    chain = sorted(set(cuts))
    return not any(b % a for a, b in pairwise(chain))


def collapsed(
    sizes: Sequence[int], forms: Sequence[Form], keep: int | None = None
) -> tuple[list[int], list[list[int]]]:
    """Neighbouring loops as one where every form allows it: groups of axes, outermost first.

    keep: a boundary between loops that must stay. Returns the sizes, and for each its axes.
    """
    merged_sizes: list[int] = []
    groups: list[list[int]] = []
    for k, size in enumerate(sizes):
        if groups and k != keep:
            last = groups[-1][-1]
            if all(f.strides[last] == f.strides[k] * size for f in forms):
                merged_sizes[-1] *= size
                groups[-1].append(k)
                continue
        merged_sizes.append(size)
        groups.append([k])
    return merged_sizes, groups


def project(form: Form, groups: Sequence[Sequence[int]]) -> Form:
    """A form over collapsed loops: of each group its innermost stride."""
    return Form(form.offset, tuple(form.strides[g[-1]] for g in groups))
