"""Roots of states inside segments, kept from when those were computed, for a dispute's start."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path

from worker.chain.files import read_json, write_json
from worker.chain.types import Task
from worker.roles.memory import Memory

log = logging.getLogger("worker.roles")

MOST = 4096  # segments whose roots are kept in the folder, of a few kilobytes each


class Roots:
    """Of segments that this worker has computed, by what they are: a job and a first state.

    They are facts, so that no reorganisation makes them another task's; those in `folder` outlive
    the process. What is missing or damaged is computed again. One for all of a worker's roles: who
    computed a segment and who answers for it are two of them.
    """

    def __init__(self, folder: Path | None, known: Memory) -> None:
        self._folder, self._known = folder, known

    def put(self, task: Task, segment: int, start: bytes, roots: Mapping[int, bytes]) -> None:
        """start: root of the segment's first state."""
        if not roots:
            return
        self._known[task.job, segment, start] = dict(roots)
        if self._folder is None:
            return
        told = {str(step): root.hex() for step, root in roots.items()}
        self._folder.mkdir(parents=True, exist_ok=True)
        write_json(self._path(task, segment, start), {"roots": told, "digest": _digest(told)})
        kept = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime)
        for path in kept[:-MOST]:
            path.unlink(missing_ok=True)

    def get(self, task: Task, segment: int, start: bytes) -> dict[int, bytes]:
        """As many as are known; none where there are none."""
        known = self._known.get((task.job, segment, start))
        if known is None and self._folder is not None:
            known = self._known[task.job, segment, start] = self._read(task, segment, start)
        return dict(known or {})

    def _read(self, task: Task, segment: int, start: bytes) -> dict[int, bytes]:
        path = self._path(task, segment, start)
        try:
            entry = read_json(path)
            if entry is None:
                return {}
            # a wrong one would cost a stake
            if entry["digest"] != _digest(entry["roots"]):
                raise ValueError("its digest is another")
            return {int(step): bytes.fromhex(root) for step, root in entry["roots"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s is damaged (%s): what it held is computed again", path, error)
            return {}

    def _path(self, task: Task, segment: int, start: bytes) -> Path:
        assert self._folder is not None
        named = hashlib.sha256(task.job + start + segment.to_bytes(8, "big")).hexdigest()
        return self._folder / f"{named[:40]}.json"


def _digest(roots: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(roots, sort_keys=True).encode()).hexdigest()
