"""Functions of lists of tensors (`torch._foreach_lerp_`), as one of each tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from worker.program.decompositions.registry import replaces

_PREFIX = "_foreach_"


def _one_by_one(name: str) -> None:
    single: Callable[..., Any] | None = getattr(Tensor, name.removeprefix(_PREFIX), None)
    if single is None:
        return

    @replaces(getattr(torch, name))
    def each(first: Any, *rest: Any, **named: Any) -> Any:
        """A list among the further arguments has one for each tensor, another is for all."""
        found = []
        for k, x in enumerate(first):
            args = [a[k] if isinstance(a, list | tuple) else a for a in rest]
            found.append(single(x, *args, **named))
        return None if name.endswith("_") else found


for _name in dir(torch):
    if _name.startswith(_PREFIX):
        _one_by_one(_name)
