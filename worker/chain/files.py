"""Small files that must never be seen half written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from uuid import uuid4

from worker.disk import flush


def write_json(path: Path, value: Any) -> None:
    """Replaces `path` at once: a reader, or a process that dies, leaves the old or the new text.

    It has reached the disk when this returns.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with temporary.open("w") as file:
            json.dump(value, file, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    flush(path.parent)


class Damaged(ValueError):
    """A file does not hold what was written to it; says which file, and nothing of its content."""


def read_json(path: Path) -> Any | None:
    """None where there is no such file. Raises `Damaged` for what is not JSON, OSError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        raise Damaged(f"{path} is damaged: it holds no JSON") from None


def remove(path: Path) -> None:
    """Removes `path`, which may be gone already; it is off the disk when this returns."""
    path.unlink(missing_ok=True)
    if path.parent.exists():
        flush(path.parent)
