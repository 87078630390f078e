"""How tensors were made: operators kept as they run, so that one result can be made again.

Much lighter than a graph of fx; enough to tell what an optimizer's tensors begin with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

aten = torch.ops.aten

# of their operand only the shape counts
_OF_A_SHAPE = (
    aten.zeros_like.default,
    aten.ones_like.default,
    aten.full_like.default,
    aten.empty_like.default,
    aten.new_zeros.default,
    aten.new_ones.default,
    aten.new_full.default,
    aten.new_empty.default,
)


@dataclass(frozen=True, eq=False)
class Made:
    """The result of an operator, or one of its results. Operands are `Made`, too, or constants."""

    function: Any
    args: Any
    kwargs: Any
    place: int | None = None

    def depends(self, on: set[Any]) -> bool:
        """Whether its values are made of those of any of `on`; of some only the shape counts."""
        seen, near = set(), [self]
        while near:
            one = near.pop()
            if one in on:
                return True
            if one not in seen and one.function not in _OF_A_SHAPE:
                seen.add(one)
                tree_map(lambda a: near.append(a) if isinstance(a, Made) else None, one.args)
                tree_map(lambda a: near.append(a) if isinstance(a, Made) else None, one.kwargs)
        return False

    def value(self, known: dict[Any, Any]) -> Any:
        """The result, from the values of what has no history; keeps in `known` what it computes."""
        if self not in known:
            args, kwargs = tree_map(
                lambda a: a.value(known) if isinstance(a, Made) else a, (self.args, self.kwargs)
            )
            found = self.function(*args, **kwargs)
            known[self] = found if self.place is None else found[self.place]
        return known[self]


class History(TorchDispatchMode):
    """Within, what operators make has a history; `given` has none, and stands for itself."""

    def __init__(self, given: Mapping[int, Made]) -> None:
        super().__init__()
        self._latest: dict[int, Made] = dict(given)
        self._alive: list[Any] = []  # an id is a tensor's for as long as it lives

    @staticmethod
    def given() -> Made:
        """One that has no history."""
        return Made(None, (), {})

    def of(self, tensor: Tensor) -> Made | None:
        """How a tensor was made last; None for one from elsewhere."""
        return self._latest.get(id(tensor))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        operands, named = tree_map(self._operand, (args, kwargs))
        results = func(*args, **kwargs)
        if isinstance(results, Tensor):
            self._keep(results, Made(func, operands, named))
        elif isinstance(results, tuple | list):
            for k, result in enumerate(results):
                if isinstance(result, Tensor):
                    self._keep(result, Made(func, operands, named, k))
        return results

    def _operand(self, value: Any) -> Any:
        return self._latest.get(id(value), value) if isinstance(value, Tensor) else value

    def _keep(self, tensor: Tensor, made: Made) -> None:
        self._latest[id(tensor)] = made
        self._alive.append(tensor)
