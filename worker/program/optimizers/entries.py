"""What an optimizer keeps of each parameter, in a form that remembers how it began."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from torch import Tensor


class Entries(dict[str, Any]):
    """What an optimizer keeps of one parameter; `born` is what each entry was when it came."""

    def __init__(self) -> None:
        super().__init__()
        self.born: dict[str, Any] = {}

    def give(self, entries: Mapping[str, Any]) -> None:
        """Puts in what was there before the step."""
        super().update(entries)

    def __setitem__(self, key: str, value: Any) -> None:
        if self.get(key) is None and self.born.get(key) is None:
            # a copy: a step goes on and changes the tensor that it has put in
            self.born[key] = value.detach().clone() if isinstance(value, Tensor) else value
        super().__setitem__(key, value)

    def setdefault(self, key: str, value: Any = None) -> Any:
        if key not in self:
            self[key] = value
        return self[key]

    def update(self, *given: Any, **named: Any) -> None:
        for key, value in dict(*given, **named).items():
            self[key] = value


class States(defaultdict[Any, Entries]):
    """An optimizer's state: the entries of each parameter."""

    def __init__(self) -> None:
        super().__init__(Entries)

    def __setitem__(self, parameter: Any, entries: Mapping[str, Any]) -> None:
        """Whatever mapping a step puts in becomes entries that remember."""
        if not isinstance(entries, Entries):
            given, entries = entries, Entries()
            entries.update(given)
        super().__setitem__(parameter, entries)
