"""Reading logs: once, over a range; or again and again, following the chain's tip."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from web3 import Web3
from web3.exceptions import BlockNotFound, Web3RPCError
from web3.types import FilterParams

from worker.chain.decoding import decode_log
from worker.chain.errors import ChainError, TooMuch
from worker.chain.events import Event
from worker.chain.files import read_json, write_json

log = logging.getLogger(__name__)

SPAN = 5_000  # blocks asked for at once; halved where a node finds them too many
OVERLAP = 4  # blocks read again each time: a node may know a block before it has indexed its logs
TRAIL = 128  # block hashes remembered, to find where the chain has forked


def read_events(
    w3: Web3,
    contracts: Mapping[str, str],
    first: int,
    last: int,
    topics: Sequence[Any] | None = None,
    span: int = SPAN,
) -> Iterator[Event]:
    """The events in blocks first..last, in the chain's order.

    `contracts` gives for each address the contract's name, whose ABI decodes its logs.
    """
    names = {address.lower(): name for address, name in contracts.items()}
    addresses = [w3.to_checksum_address(address) for address in contracts]
    while first <= last:
        until = min(first + span - 1, last)
        query: FilterParams = {"address": addresses, "fromBlock": first, "toBlock": until}
        if topics is not None:
            query["topics"] = topics
        try:
            found = w3.eth.get_logs(query)
        except (Web3RPCError, TooMuch) as error:
            if span == 1:
                raise
            span = max(1, (until - first + 1) // 2)
            log.debug("the node refuses a range of logs, trying less", extra={"error": str(error)})
            continue
        for entry in sorted(found, key=lambda e: (e["blockNumber"], e["logIndex"])):
            event = decode_log(names[entry["address"].lower()], entry)
            if event is not None:
                yield event
        first = until + 1


class Follower:
    """Hands out every event once, across restarts, in the chain's order.

    `poll` returns what is new and `acknowledge` moves the cursor, on disk: a process that dies
    between the two sees the same events again, and none is lost. Only blocks with `confirmations`
    blocks above them are read. After a reorganisation it reads again from the fork: an event that
    was mined once more is handed out once more, for it stands in another block, so whoever acts on
    events must bear seeing one twice, and read the chain's state before acting.
    """

    def __init__(
        self,
        w3: Web3,
        contracts: Mapping[str, str],
        first_block: int,
        cursor: Path | None = None,
        *,
        confirmations: int = 0,
        span: int = SPAN,
    ) -> None:
        if confirmations < 0:
            raise ValueError(f"{confirmations=} must not be negative")
        self._w3 = w3
        self._contracts = dict(contracts)
        self._first = first_block
        self._cursor = cursor
        self._confirmations = confirmations
        self._span = span
        self._chain_id = w3.eth.chain_id
        # next: the first block not read yet. trail: [number, hash] of blocks read up to.
        # seen: block by identity of the events that may be read again.
        self._state: dict[str, Any] = self._load()
        self._pending: dict[str, Any] | None = None

    def _load(self) -> dict[str, Any]:
        state = read_json(self._cursor) if self._cursor else None
        if state is None:
            return {"chain": self._chain_id, "next": self._first, "trail": [], "seen": {}}
        if state["chain"] != self._chain_id:
            raise ChainError(
                f"the cursor {self._cursor} follows chain {state['chain']}, and this is chain "
                f"{self._chain_id}; give each chain a data folder of its own"
            )
        return state

    def poll(self) -> list[Event]:
        """The events since the last acknowledged poll."""
        for _ in range(5):
            tip = self._w3.eth.block_number - self._confirmations
            start, trail = self._fork_point()
            tip_hash = self._hash_of(tip)
            if tip < self._first or tip_hash is None:
                return []
            seen = dict(self._state["seen"])
            first = max(self._first, start - OVERLAP)
            new = []
            for event in read_events(self._w3, self._contracts, first, tip, span=self._span):
                if event.place.identity not in seen:
                    seen[event.place.identity] = event.place.block
                    new.append(event)
            if self._hash_of(tip) == tip_hash:
                break
            log.info("the chain forked while its logs were read, reading again")
        else:
            raise ChainError("the chain forks faster than its logs can be read; set confirmations")
        if not trail or trail[-1][0] < tip:
            trail = [*trail, [tip, tip_hash]][-TRAIL:]
        oldest = trail[0][0] - OVERLAP
        seen = {identity: block for identity, block in seen.items() if block >= oldest}
        self._pending = {"chain": self._chain_id, "next": tip + 1, "trail": trail, "seen": seen}
        return new

    def acknowledge(self) -> None:
        """What the last poll returned has been dealt with."""
        if self._pending is None:
            return
        moved = self._pending != self._state
        self._state, self._pending = self._pending, None
        if self._cursor and moved:
            write_json(self._cursor, self._state)

    def _fork_point(self) -> tuple[int, list[list[Any]]]:
        """The first block to read, and the part of the trail that is still on the chain."""
        trail = [list(step) for step in self._state["trail"]]
        while trail and self._hash_of(trail[-1][0]) != trail[-1][1]:
            trail.pop()
        if len(trail) == len(self._state["trail"]):
            return self._state["next"], trail
        start = trail[-1][0] + 1 if trail else self._first
        log.warning("the chain was reorganised", extra={"block": start})
        return start, trail

    def _hash_of(self, block: int) -> str | None:
        if block < 0:
            return None
        try:
            return bytes(self._w3.eth.get_block(block)["hash"]).hex()
        except BlockNotFound:
            return None
        except Exception as error:
            if type(error).__name__ == "BlockNotFound":  # eth-tester's
                return None
            raise
