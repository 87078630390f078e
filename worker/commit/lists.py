"""Lists of items: states, data sets, traces, journals, a program's records and outputs.

Small trees, built by the `merkletools` package.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from merkletools import MerkleTools

from worker.commit.tree import Tree


def list_leaf(index: int, item: bytes) -> bytes:
    """sha256(0x03 | index u64 | item): the leaf of a 32-byte item at its place in a list."""
    if len(item) != 32:
        raise ValueError(f"an item has 32 bytes, not {len(item)}")
    return sha256(b"\x03" + index.to_bytes(8, "big") + item).digest()


def list_tree(items: Sequence[bytes]) -> Tree:
    """The tree over a list's leaves."""
    if not items:
        raise ValueError("a list needs at least one item")
    tools = MerkleTools(hash_type="sha256")
    tools.add_leaf([list_leaf(i, item).hex() for i, item in enumerate(items)])
    tools.make_tree()
    tree = Tree.__new__(Tree)
    # merkletools keeps its levels from the root down
    tree.levels = [[bytes(node) for node in level] for level in reversed(tools.levels)]
    tree.size = len(items)
    tree.depth = len(tree.levels) - 1
    return tree


def list_root(items: Sequence[bytes]) -> bytes:
    """The root of the tree over a list's leaves."""
    return list_tree(items).root
