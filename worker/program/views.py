"""Affine views: how a node's tensor is looked at without being moved.

A view has an output shape and, for every axis under which the underlying tensor is seen, an offset
and a stride per output axis. Permute, expand, slice and their compositions stay affine; a reshape
is free only where the elements already stand in row-major order.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from worker.program.records import Input


@functools.lru_cache(1 << 12)  # a program has few shapes
def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides, in elements, of a contiguous tensor."""
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))


@dataclass(frozen=True)
class Axis:
    """An axis under which the tensor is seen: coordinate = offset + strides . output."""

    size: int
    offset: int
    strides: tuple[int, ...]

    def reach(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Least and greatest coordinate over all outputs."""
        low = self.offset + sum(
            s * (n - 1) for s, n in zip(self.strides, shape, strict=True) if s < 0
        )
        high = self.offset + sum(
            s * (n - 1) for s, n in zip(self.strides, shape, strict=True) if s > 0
        )
        return low, high


@dataclass(frozen=True)
class View:
    """A value of the program being built: a node, looked at."""

    node: int
    dtype: int
    shape: tuple[int, ...]
    axes: tuple[Axis, ...]
    fill: int = 0

    @staticmethod
    def of(node: int, dtype: int, shape: tuple[int, ...]) -> View:
        """The whole of a node's output, in its own shape."""
        return View(node, dtype, shape, (Axis(prod(shape), 0, row_major(shape)),))

    @property
    def count(self) -> int:
        return prod(self.shape)

    @property
    def is_plain(self) -> bool:
        """Whether this is the node's whole tensor in its own order, under whatever shape."""
        if len(self.axes) != 1:
            return False
        axis = self.axes[0]
        if axis.offset or axis.size != self.count:
            return False
        wanted = row_major(self.shape)
        return all(
            n == 1 or s == w for n, s, w in zip(self.shape, axis.strides, wanted, strict=True)
        )

    def as_input(self) -> Input:
        """The operand of a MAP node that reads this view."""
        flat = tuple(v for axis in self.axes for v in (axis.offset, *axis.strides))
        return Input(self.node, self.dtype, tuple(a.size for a in self.axes), flat, self.fill)

    def reshape(self, shape: tuple[int, ...]) -> View:
        """Another shape of a plain view."""
        if not self.is_plain:
            raise AssertionError("only a plain view can be reshaped for nothing")
        return View.of(self.node, self.dtype, shape)

    def permute(self, order: tuple[int, ...]) -> View:
        """Output axis k becomes the old axis `order[k]`."""
        return self._rebuild(
            tuple(self.shape[o] for o in order), lambda s: tuple(s[o] for o in order)
        )

    def expand(self, shape: tuple[int, ...]) -> View:
        """Broadcast to `shape`: new axes in front, axes of one element repeated."""
        if shape == self.shape:
            return self
        new = len(shape) - len(self.shape)
        old = (1,) * new + self.shape
        for axis, (n, o) in enumerate(zip(shape, old, strict=True)):
            if n != o and o != 1:
                raise ValueError(f"shape {self.shape} does not broadcast to {shape} at axis {axis}")

        def strides(s: tuple[int, ...]) -> tuple[int, ...]:
            padded = (0,) * new + s
            return tuple(
                0 if o == 1 and n != 1 else v for n, o, v in zip(shape, old, padded, strict=True)
            )

        return self._rebuild(shape, strides)

    def slice(self, axis: int, start: int, length: int, step: int = 1) -> View:
        """`length` elements along `axis` from `start`, every `step`-th."""
        axes = tuple(
            Axis(
                a.size,
                a.offset + a.strides[axis] * start,
                tuple(v * step if o == axis else v for o, v in enumerate(a.strides)),
            )
            for a in self.axes
        )
        shape = tuple(length if o == axis else n for o, n in enumerate(self.shape))
        return View(self.node, self.dtype, shape, axes, self.fill)

    def squeeze(self, axis: int) -> View:
        """Drops an axis of one element."""
        if self.shape[axis] != 1:
            raise ValueError(f"axis {axis} of {self.shape} has more than one element")
        keep = [o for o in range(len(self.shape)) if o != axis]
        return self._rebuild(
            tuple(self.shape[o] for o in keep), lambda s: tuple(s[o] for o in keep)
        )

    def unsqueeze(self, axis: int) -> View:
        """A new axis of one element in front of `axis`."""
        shape = (*self.shape[:axis], 1, *self.shape[axis:])
        return self._rebuild(shape, lambda s: (*s[:axis], 0, *s[axis:]))

    def pad(self, before: tuple[int, ...], after: tuple[int, ...], fill: int) -> View:
        """`fill` around a plain view, `before` and `after` elements on each axis."""
        if not self.is_plain:
            raise AssertionError("only a plain view can be padded for nothing")
        rank = len(self.shape)
        axes = tuple(
            Axis(n, -before[k], tuple(int(o == k) for o in range(rank)))
            for k, n in enumerate(self.shape)
        )
        shape = tuple(b + n + a for b, n, a in zip(before, self.shape, after, strict=True))
        return View(self.node, self.dtype, shape, axes, fill)

    def _rebuild(
        self,
        shape: tuple[int, ...],
        strides: Callable[[tuple[int, ...]], tuple[int, ...]],
    ) -> View:
        axes = tuple(Axis(a.size, a.offset, strides(a.strides)) for a in self.axes)
        return View(self.node, self.dtype, shape, axes, self.fill)
