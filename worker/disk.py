"""What must be on the disk before something else happens."""

from __future__ import annotations

import os
from pathlib import Path


def flush(path: str | Path) -> None:
    """A file, or a folder: a rename or a removal is on disk only when its folder is."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
