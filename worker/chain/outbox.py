"""What a key has signed: the one transaction whose fate is open, and the last ones before it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from worker.chain.errors import ChainError
from worker.chain.files import Damaged, read_json, remove, write_json

KEPT = 64  # transactions that have been mined, and may have to be sent again after a reorganisation


@dataclass(frozen=True)
class Sent:
    """A transaction that has been signed, as the outbox keeps it.

    transaction: what was signed. others: hashes of the same call with the same nonce and other
    fees, which may be mined in its stead. genesis: hash of the chain's first block, hex; empty
    where the node does not know it any more.
    """

    chain_id: int
    sender: str
    nonce: int
    hash: str
    raw: str
    label: str
    transaction: dict[str, Any] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    genesis: str = ""

    @classmethod
    def from_json(cls, entry: Any) -> Sent:
        """Raises TypeError for what is none."""
        if not isinstance(entry, dict) or not set(entry) <= {f.name for f in fields(cls)}:
            raise TypeError
        return cls(**{**entry, "others": tuple(entry.get("others", ()))})


class Outbox:
    """Files of one key: `path` for what is pending, and beside it `sent.json` for what was mined.

    Without a path both are in memory alone.
    """

    def __init__(self, path: Path | None, address: str) -> None:
        self.path = path
        self._address = address
        self._kept_path = path.with_name("sent.json") if path else None
        self._pending: Sent | None = None
        self._kept: dict[int, Sent] | None = None

    @property
    def pending(self) -> Sent | None:
        """The transaction whose receipt has not been seen yet."""
        if self.path is None:
            return self._pending
        try:
            entry = read_json(self.path)
            return None if entry is None else Sent.from_json(entry)
        except (Damaged, TypeError):
            raise ChainError(
                f"{self.path} is damaged. It held the last transaction of {self._address}, which "
                "may be mined still. Wait some minutes, move the file away and start again: what "
                "has been done stands on the chain, and is read from there"
            ) from None

    def remember(self, entry: Sent) -> None:
        if self.path:
            write_json(self.path, vars(entry))
        else:
            self._pending = entry

    def forget(self) -> None:
        if self.path:
            remove(self.path)
        self._pending = None

    @property
    def kept(self) -> dict[int, Sent]:
        """The last transactions that have been mined, by their nonces in order.

        A damaged file is as good as none: what it held can be filled up.
        """
        if self._kept is None:
            try:
                entries = (read_json(self._kept_path) if self._kept_path else None) or []
                self._kept = {e.nonce: e for e in map(Sent.from_json, entries)}
            except (Damaged, TypeError):
                self._kept = {}
        return self._kept

    def keep(self, entry: Sent) -> None:
        """Also instead of another of the same nonce."""
        by_nonce = sorted({**self.kept, entry.nonce: entry}.items())
        self._write(dict(by_nonce[-KEPT:]))

    def drop(self, *, above: int = -1) -> None:
        """Keeps no transaction whose nonce is above this one."""
        self._write({nonce: e for nonce, e in self.kept.items() if nonce <= above})

    def _write(self, kept: dict[int, Sent]) -> None:
        self._kept = kept
        if self._kept_path:
            write_json(self._kept_path, [vars(entry) for entry in kept.values()])
