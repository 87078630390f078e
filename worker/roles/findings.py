"""What a verifier has found out about segments, by what they are; it outlives the process."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import asdict
from typing import Any

from worker.chain.files import read_json, write_json
from worker.chain.types import Segment, Task
from worker.roles.base import Desk
from worker.roles.checking import Finding

log = logging.getLogger("worker.roles")

MOST = 4096  # findings that are kept in the file


class Findings:
    """Of segments as they were committed, from the states that they start from.

    A finding is a fact about a job, a first state, and a commitment: a task's number does not come
    into it, so that no reorganisation makes it another task's. Those of tasks that are not over
    are in the desk's folder, so that a worker that was killed checks no segment twice.
    """

    def __init__(self, desk: Desk) -> None:
        self._path = desk.folder / "findings.json" if desk.folder else None
        self._known = desk.memory()
        for entry in self._read():
            self._known[bytes.fromhex(entry["job"]), entry["what"]] = Finding(**entry["found"])

    def get(self, task: Task, segment: int, start: bytes, committed: Segment) -> Finding | None:
        return self._known.get(_key(task, segment, start, committed))

    def put(
        self, task: Task, segment: int, start: bytes, committed: Segment, found: Finding
    ) -> None:
        self._known[_key(task, segment, start, committed)] = found
        if self._path is not None:
            entries = [
                {"job": job.hex(), "what": what, "found": asdict(finding)}
                for (job, what), finding in list(self._known.items())[-MOST:]
            ]
            write_json(self._path, entries)

    def _read(self) -> list[dict[str, Any]]:
        if self._path is None:
            return []
        try:
            entries = read_json(self._path) or []
            for entry in entries:
                bytes.fromhex(entry["job"]), str(entry["what"]), Finding(**entry["found"])
            return list(entries)
        except (ValueError, KeyError, TypeError) as error:
            log.warning("%s is damaged (%s): what it held is checked again", self._path, error)
            return []


def _key(task: Task, segment: int, start: bytes, committed: Segment) -> tuple[bytes, str]:
    parts = (start, committed.state, committed.journal)
    named = f"{task.solver} {segment} {' '.join(part.hex() for part in parts)}"
    return task.job, hashlib.sha256(named.encode()).hexdigest()
