"""The journal of a segment: its steps' reports, salted, and the artifact that opens it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from worker.commit import (
    Tree,
    list_root,
    list_tree,
    report_item,
    report_salt,
    reports_root,
    tensor_item,
)
from worker.untrusted import parse_json

# A longer report is no number to look at, and JSON no place for it.
MOST_SHOWN = 64


@dataclass(frozen=True)
class Entry:
    """One step's report: a salt, the tensors' items, and for people the values of short ones."""

    salt: bytes
    items: tuple[bytes, ...]
    values: tuple[tuple[float, ...], ...] = ()

    @property
    def reports(self) -> bytes:
        """List root of the items, zeros where there are none: what the journal's leaf holds."""
        return reports_root(self.items)


@dataclass(frozen=True)
class Journal:
    """Reports of consecutive steps, bound to the worker that made them."""

    owner: bytes  # address, 20 bytes
    first_step: int
    entries: tuple[Entry, ...]

    @cached_property
    def tree(self) -> Tree:
        """Of the steps' report items. ValueError where an owner or a salt has the wrong length."""
        return list_tree(
            [
                report_item(self.owner, self.first_step + i, e.salt, e.reports)
                for i, e in enumerate(self.entries)
            ]
        )

    @property
    def root(self) -> bytes:
        return self.tree.root

    @property
    def reports_root(self) -> bytes:
        """List root of all reported tensors, step by step: where the reports' artifact stands."""
        return list_root([item for entry in self.entries for item in entry.items])

    def covers(self, owner: bytes, steps: range) -> bool:
        """It is that worker's, and has one entry for each of these steps."""
        whole = self.first_step == steps.start and len(self.entries) == len(steps)
        return self.owner == owner and whole

    @staticmethod
    def make(
        owner: bytes, secret: bytes, task: bytes, steps: range, reports: Sequence[Sequence[Tensor]]
    ) -> Journal:
        """The journal of reports computed by `owner`. secret, task: see `report_salt`."""
        entries = tuple(
            Entry(
                report_salt(secret, task, step),
                tuple(tensor_item(t) for t in report),
                tuple(
                    tuple(t.reshape(-1).tolist()) if t.numel() <= MOST_SHOWN else () for t in report
                ),
            )
            for step, report in zip(steps, reports, strict=True)
        )
        return Journal(owner, steps.start, entries)

    def to_bytes(self) -> bytes:
        """The artifact."""
        return json.dumps(
            {
                "owner": self.owner.hex(),
                "first_step": self.first_step,
                "steps": [
                    {"salt": e.salt.hex(), "items": [i.hex() for i in e.items], "values": e.values}
                    for e in self.entries
                ],
            }
        ).encode()

    @staticmethod
    def from_bytes(data: bytes) -> Journal:
        """Inverse of `to_bytes`. ValueError where the data is no journal."""
        try:
            document = parse_json(data)
            entries = tuple(
                Entry(
                    bytes.fromhex(s["salt"]),
                    tuple(bytes.fromhex(i) for i in s["items"]),
                    tuple(tuple(float(v) for v in values) for values in s["values"]),
                )
                for s in document["steps"]
            )
            journal = Journal(
                bytes.fromhex(document["owner"]), int(document["first_step"]), entries
            )
            _ = journal.tree  # its items have the lengths and the numbers that a journal's have
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"this is not a journal: {error!r}") from error
        return journal
