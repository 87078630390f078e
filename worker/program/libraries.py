"""What libraries would compute in a way that looks at values, computed in another way of theirs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# transformers' ways of running experts that look which rows an expert has
BY_VALUE = (None, "eager", "grouped_mm")
BATCHED = "batched_mm"


@contextmanager
def batched_experts() -> Iterator[None]:
    """Within, the experts of `transformers`' mixture models take their rows as one batch of
    products: its own `experts_implementation="batched_mm"`, the same function of any input.

    Neither a module nor its config is touched, and an implementation of the user's own stays.
    """
    moe: Any = sys.modules.get("transformers.integrations.moe")
    interface = getattr(moe, "ExpertsInterface", None)
    if interface is None:
        yield
        return
    before = interface.get_interface

    def chosen(self: Any, name: str | None, default: Callable[..., Any]) -> Callable[..., Any]:
        found: Callable[..., Any] = before(self, BATCHED if name in BY_VALUE else name, default)
        return found

    interface.get_interface = chosen
    try:
        yield
    finally:
        interface.get_interface = before
