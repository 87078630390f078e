"""Whatever a user's code or PyTorch raises, in one message: what, and at which line of theirs."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.program.lower.graph import is_users

OURS = Path(__file__).resolve().parents[1]
MOST_TOLD = 600  # characters; PyTorch's own messages may have pages


def told(error: BaseException, file: Path | None = None, place: str = "") -> str:
    """An error with the line that led to it: the last one in `file`, or else the last one that is
    neither ours nor PyTorch's, or else `place`. What we raise ourselves says all of that and stays
    as it is."""
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, ValueError) and frames and _is_ours(frames[-1].filename):
        return str(error)
    said = _brief(str(error))
    said = f"{type(error).__name__}: {said}" if said else type(error).__name__
    if isinstance(error, SyntaxError):
        return said  # it names its own place
    places = {(f.filename, f.lineno) for f in frames}
    own = [f for f in frames if file is not None and Path(f.filename).resolve() == file.resolve()]
    calls = next((k for k, f in enumerate(frames) if _is_ours(f.filename)), 0)  # into their code
    users = own or [f for f in frames[calls:] if _is_source(f.filename)]
    if any(f"{name}:{line}" in said for name, line in places):
        return said
    if not users:
        return f"{said}, in {place}" if place else said
    last = users[-1]
    return f"{said}, at {last.filename}:{last.lineno}: {last.line}"


@contextmanager
def without_traces() -> Iterator[None]:
    """Within, PyTorch does not log the frames of an error that it raises as well."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def _is_ours(file: str) -> bool:
    return Path(file).is_relative_to(OURS) and not Path(file).is_relative_to(OURS / "examples")


def _is_source(file: str) -> bool:
    return is_users(file) and not _is_ours(file) and Path(file).is_file()


def _brief(said: str) -> str:
    """An error's own text without the advice to report it, and not longer than people read."""
    lines = [
        line.strip()
        for line in said.splitlines()
        if line.strip() and "report a bug" not in line and "--- Logging error" not in line
    ]
    text = " ".join(lines)
    return text if len(text) <= MOST_TOLD else f"{text[:MOST_TOLD]}..."
