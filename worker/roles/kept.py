"""Things that can be made again: as many are kept as there is room for."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Kept(Generic[K, V]):
    """The last ones used, as many as weigh `most` together, and one at least.

    Threads may ask at the same time: what two ask for is made once, and a third that asks for
    something else does not wait.
    """

    def __init__(self, most: int, weigh: Callable[[V], int] = lambda value: 1) -> None:
        self._most, self._weigh = most, weigh
        self._values: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()
        self._making: dict[K, threading.Lock] = {}

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: K) -> bool:
        return key in self._values

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The value of `key`, made by `make` where it is not kept; raises what that raises."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if key in self._values:
                    return self._values[key]
            try:
                value = make()
                with self._lock:
                    self._values[key] = value
                    self._shed(key)
            finally:
                with self._lock:
                    self._making.pop(key, None)
        return value

    def drop(self, gone: Callable[[K], bool]) -> None:
        """Forgets what belongs to the keys of which `gone` is true."""
        with self._lock:
            for key in [k for k in self._values if gone(k)]:
                del self._values[key]

    def _shed(self, newest: K) -> None:
        weights = {k: self._weigh(v) for k, v in self._values.items()}
        total = sum(weights.values())
        for key in list(self._values):
            if total <= self._most or key == newest:
                return
            total -= weights[key]
            del self._values[key]
