"""A block's header as the bytes that its hash is of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import rlp
from eth_utils import keccak

from worker.chain.errors import ChainError

# In the header's order; from the base fee on, what a later fork has added.
ALWAYS = (
    "parentHash",
    "sha3Uncles",
    "miner",
    "stateRoot",
    "transactionsRoot",
    "receiptsRoot",
    "logsBloom",
    "difficulty",
    "number",
    "gasLimit",
    "gasUsed",
    "timestamp",
    "extraData",
    "mixHash",
    "nonce",
)
ADDED = (
    "baseFeePerGas",
    "withdrawalsRoot",
    "blobGasUsed",
    "excessBlobGas",
    "parentBeaconBlockRoot",
    "requestsHash",
)


def encode_header(block: Mapping[str, Any]) -> bytes:
    """The RLP of the header of a block as a node tells it (`eth_getBlockByNumber`).

    Raises ChainError where it does not hash to the block's hash: the chain has another header.
    """
    fields = [block[name] for name in ALWAYS]
    fields += [block[name] for name in ADDED if block.get(name) is not None]
    header: bytes = rlp.encode([_bytes(field) for field in fields])
    if keccak(header) != bytes(block["hash"]):
        raise ChainError(
            f"the header of block {block['number']} does not hash to {bytes(block['hash']).hex()}: "
            "this chain's headers are not those of Ethereum that this worker knows; bring the word "
            "by another tool"
        )
    return header


def _bytes(field: Any) -> bytes:
    if isinstance(field, int):
        return field.to_bytes((field.bit_length() + 7) // 8, "big")
    return bytes.fromhex(field[2:]) if isinstance(field, str) else bytes(field)
