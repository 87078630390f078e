"""Where the tensors of a state and a batch lie: what shares their memory is no constant."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from worker.program.lower import Unsupported


def version(t: Tensor) -> int | None:
    """How often a tensor has been written to; None under inference_mode, where nobody counts."""
    return None if t.is_inference() else int(t._version)


# the space, the first byte and the one after the last
Span = tuple[int, int, int]


class Memory:
    """named: the tensors of state and batch, by their names for people."""

    def __init__(self, named: Mapping[str, Tensor]) -> None:
        self._spans = [(name, _span(t)) for name, t in named.items()]

    def shared_with(self, span: Span) -> str | None:
        for name, (space, first, last) in self._spans:
            if span[0] == space and max(span[1], first) < min(span[2], last):
                return name
        return None

    def refuse(self, t: Tensor, place: str) -> None:
        """Raises Unsupported for a tensor that shares memory with one of these."""
        self._refuse(self.shared_with(_span(t)), place)

    def refuse_arrays(self, arrays: Iterable[tuple[str, np.ndarray]]) -> None:
        """Raises Unsupported where numpy can see these tensors: a trace could not."""
        for place, x in arrays:
            start = x.__array_interface__["data"][0]
            reaches = [(n - 1) * s for n, s in zip(x.shape, x.strides, strict=True) if n]
            first = start + sum(min(r, 0) for r in reaches)
            last = start + sum(max(r, 0) for r in reaches) + (x.itemsize if x.size else 0)
            self._refuse(self.shared_with((0, first, last)), f"the array {place}")

    @staticmethod
    def _refuse(name: str | None, place: str) -> None:
        if name is not None:
            raise Unsupported(
                f"{place}, which shares memory with {name} and would be a constant: read "
                f"{name} itself, or make a copy (clone()) that is a buffer of the module"
            )


def refuse_overlaps(named: Mapping[str, Tensor], changed: Container[str]) -> None:
    """Raises Unsupported where a tensor of a state that a step changes shares memory with another
    one: PyTorch would change both."""
    spans = sorted((*_span(t), name) for name, t in named.items() if t.numel())
    for (space, _, last, name), (other, first, _, second) in pairwise(spans):
        if space == other and first < last and (name in changed or second in changed):
            raise Unsupported(
                f"{name} and {second}, which share memory, so that PyTorch would change both: let "
                "both names hold one tensor (b.weight = a.weight), or clone() it"
            )


def _span(t: Tensor) -> Span:
    size, offset = t.element_size(), int(t.storage_offset())
    reach = sum((n - 1) * s for n, s in zip(t.shape, t.stride(), strict=True)) + 1
    first = offset * size
    last = first + (int(reach) * size if t.numel() else 0)
    storage: Any = t.untyped_storage()
    if isinstance(t, FakeTensor) or t.is_meta:
        return storage._cdata, first, last
    return 0, storage.data_ptr() + first, storage.data_ptr() + last
