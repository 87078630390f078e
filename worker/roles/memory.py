"""What roles remember of tasks."""

from __future__ import annotations

from typing import Any


class Memory(dict[tuple[Any, ...], Any]):
    """What a role remembers, by keys that begin with a job's hash; desks forget what is over."""
