"""Commitments: Merkle trees, and what tensors, states, traces, journals and programs hash to.

Pure: no I/O, no clock, no chain. `docs/protocol.md` has the table of preimages; the contracts'
`lib/Merkle.sol` is the twin.
"""

from worker.commit.journal import finding, report_item, report_salt, reports_root
from worker.commit.lists import list_leaf, list_root, list_tree
from worker.commit.tensors import (
    DTYPE_CODES,
    LEAF_BYTES,
    TensorCommitment,
    commit_tensor,
    element_bits,
    item_preimage,
    leaf_bytes,
    state_root,
    tensor_item,
)
from worker.commit.tree import Tree, climb, climb_together, depth, fold, width

__all__ = [
    "DTYPE_CODES",
    "LEAF_BYTES",
    "TensorCommitment",
    "Tree",
    "climb",
    "climb_together",
    "commit_tensor",
    "depth",
    "element_bits",
    "finding",
    "fold",
    "item_preimage",
    "leaf_bytes",
    "list_leaf",
    "list_root",
    "list_tree",
    "report_item",
    "report_salt",
    "reports_root",
    "state_root",
    "tensor_item",
    "width",
]
