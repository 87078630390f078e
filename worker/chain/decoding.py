"""Logs as events: by the topics of the contracts' ABIs."""

from __future__ import annotations

from functools import cache
from typing import Any

from eth_abi import decode
from eth_utils import keccak
from web3.types import LogReceipt

from worker.chain.abi import canonical_type, load_abi, signature
from worker.chain.events import EVENTS, Event, Place
from worker.chain.types import from_abi, type_hints


@cache
def _by_topic(contract: str) -> dict[bytes, dict[str, Any]]:
    found = (entry for entry in load_abi(contract) if entry["type"] == "event")
    return {keccak(text=signature(entry)): entry for entry in found}


def topic_of(cls: type[Event]) -> bytes:
    """Topic 0 of an event."""
    return next(
        topic
        for topic, entry in _by_topic(cls.contract).items()
        if EVENTS.get((cls.contract, entry["name"])) is cls
    )


def topic_word(value: int | str) -> bytes:
    """A number or an address as an indexed argument stands in a log's topics."""
    return value.to_bytes(32, "big") if isinstance(value, int) else bytes(12) + to_bytes(value)


def to_bytes(address: str) -> bytes:
    return bytes.fromhex(address.removeprefix("0x"))


def decode_log(contract: str, entry: LogReceipt) -> Event | None:
    """A log of the contract of this name, or None where its ABI has no such event."""
    topics = [bytes(topic) for topic in entry["topics"]]
    abi = _by_topic(contract).get(topics[0]) if topics else None
    cls = EVENTS.get((contract, abi["name"])) if abi else None
    if abi is None or cls is None:
        return None
    unindexed = [canonical_type(p) for p in abi["inputs"] if not p["indexed"]]
    in_data = iter(decode(unindexed, bytes(entry["data"])))
    in_topics = iter(topics[1:])
    words = [
        decode([p["type"]], next(in_topics))[0] if p["indexed"] else next(in_data)
        for p in abi["inputs"]
    ]
    hints = type_hints(cls)
    names = cls.word_names()
    decoded = {n: from_abi(hints[n], word) for n, word in zip(names, words, strict=True)}
    return cls(place=place_of(entry), **decoded)


def place_of(entry: LogReceipt) -> Place:
    """Where a log stands: block, transaction, and number within the block."""
    return Place(
        block=int(entry["blockNumber"]),
        log_index=int(entry["logIndex"]),
        block_hash=bytes(entry["blockHash"]),
        transaction=bytes(entry["transactionHash"]),
    )
