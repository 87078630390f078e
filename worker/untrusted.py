"""Reading what strangers wrote."""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json


def parse_json(data: bytes) -> Any:
    """JSON of any size and shape. ValueError where it is none, or is nested beyond all reason.

    The standard library's parser recurses as deep as the interpreter's limit lets it, which other
    libraries raise until a nest of brackets ends the process.
    """
    return from_json(data)
