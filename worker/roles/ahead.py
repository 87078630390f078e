"""One piece of work done ahead, on a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from contextvars import copy_context
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """Computes what will be asked for next, while its owner waits for the store and the chain.

    Holds one piece of work at a time. Nothing of it outlives the process: whoever restarts computes
    it again.
    """

    def __init__(self) -> None:
        self._key: Hashable = None
        self._thread: threading.Thread | None = None
        self._result: list[T] = []
        self._error: BaseException | None = None

    def start(self, key: Hashable, work: Callable[[], T]) -> bool:
        """Begins `work`; False where an earlier one still runs."""
        if self._thread is not None and self._thread.is_alive():
            return False
        self._key, self._result, self._error = key, [], None
        task = copy_context()  # what it logs is told of the same task
        self._thread = threading.Thread(
            target=task.run, args=(self._do, work), daemon=True, name="ahead"
        )
        self._thread.start()
        return True

    def _do(self, work: Callable[[], T]) -> None:
        try:
            self._result.append(work())
        except BaseException as error:  # raised again where the result is asked for
            self._error = error

    def is_done(self, key: Hashable) -> bool:
        """Whether what was begun under `key` can be taken without waiting."""
        return self._thread is not None and self._key == key and not self._thread.is_alive()

    def take(self, key: Hashable, work: Callable[[], T]) -> T:
        """What was begun under `key`, once done, or raises what it raised; else does `work`."""
        if self._thread is None or self._key != key:
            return work()
        self._thread.join()
        result, error = self._result, self._error
        self._key, self._thread, self._result, self._error = None, None, [], None
        if error is not None:
            raise error
        return result[0]

    def drop(self) -> None:
        """Forgets what was begun, where it is over."""
        if self._thread is not None and not self._thread.is_alive():
            self._key, self._thread, self._result, self._error = None, None, [], None
