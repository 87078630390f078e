"""Tensors: 512-byte leaves of little-endian elements, dtype and count in the item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import torch

from worker.commit import native
from worker.commit.lists import list_root
from worker.commit.tree import Tree

LEAF_BYTES = 512

# `contracts/court/Codes.sol` is the twin
DTYPE_CODES: dict[torch.dtype, int] = {
    torch.float32: 1,
    torch.int32: 2,
    torch.int64: 3,
    torch.bool: 4,
}

_CANONICAL_NAN = 0x7FC00000


@dataclass(frozen=True)
class TensorCommitment:
    """A tensor's commitment with everything that is needed to open it."""

    dtype: int
    count: int
    data: bytes  # the elements, zero-padded to whole leaves
    tree: Tree

    @property
    def elements(self) -> bytes:
        return self.tree.root

    @property
    def item(self) -> bytes:
        return item_preimage(self.dtype, self.count, self.elements)

    @property
    def per_leaf(self) -> int:
        """Elements in one leaf."""
        return LEAF_BYTES // element_bytes(self.dtype)

    def leaf(self, index: int) -> bytes:
        """The bytes of leaf `index`."""
        return self.data[index * LEAF_BYTES : (index + 1) * LEAF_BYTES]


def element_bytes(dtype: int) -> int:
    """Bytes of one element of the dtype with this code."""
    return {1: 4, 2: 4, 3: 8, 4: 1}[dtype]


def _check(tensor: torch.Tensor) -> None:
    if tensor.dtype not in DTYPE_CODES:
        known = ", ".join(str(d) for d in DTYPE_CODES)
        raise ValueError(f"{tensor.dtype} cannot be committed; use one of {known}")
    if tensor.numel() == 0:
        raise ValueError(f"an empty tensor of shape {tuple(tensor.shape)} cannot be committed")


def leaf_bytes(tensor: torch.Tensor) -> bytes:
    """The elements in row-major order, little-endian, NaNs canonical, padded to whole leaves.

    Raises ValueError for a dtype that has no code and for an empty tensor.
    """
    _check(tensor)
    flat = tensor.detach().contiguous().reshape(-1)
    if flat.dtype == torch.float32:
        nan = torch.isnan(flat)
        if bool(nan.any()):
            # payload and sign of a NaN depend on the machine that made it
            flat = flat.view(torch.int32).masked_fill(nan, _CANONICAL_NAN)
    elif flat.dtype == torch.bool:
        # whatever byte a true one was made from
        flat = flat.view(torch.uint8).ne(0)
    array = flat.cpu().numpy()
    data: bytes = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    missing = -len(data) % LEAF_BYTES
    return data + bytes(missing) if missing else data  # a trace is gigabytes: copied once


def commit_tensor(tensor: torch.Tensor) -> TensorCommitment:
    """Hashes a tensor; keeps its bytes and its whole tree."""
    data = leaf_bytes(tensor)
    view = memoryview(data)
    leaves = []
    for start in range(0, len(data), LEAF_BYTES):
        leaf = sha256(b"\x01")
        leaf.update(view[start : start + LEAF_BYTES])
        leaves.append(leaf.digest())
    return TensorCommitment(DTYPE_CODES[tensor.dtype], tensor.numel(), data, Tree(leaves))


def item_preimage(dtype: int, count: int, elements: bytes) -> bytes:
    """sha256(0x02 | dtype u8 | count u64 | elements root): a tensor's item in a list."""
    return sha256(b"\x02" + bytes([dtype]) + count.to_bytes(8, "big") + elements).digest()


def tensor_item(tensor: torch.Tensor) -> bytes:
    """A tensor's item in a list: `commit_tensor(tensor).item`, without a copy or a tree to keep.

    Raises ValueError for a dtype that has no code and for an empty tensor.
    """
    _check(tensor)
    if not native.available():
        return commit_tensor(tensor).item
    root = native.elements_root(tensor.detach().cpu().contiguous())
    return item_preimage(DTYPE_CODES[tensor.dtype], tensor.numel(), root)


def state_root(tensors: Sequence[torch.Tensor]) -> bytes:
    """List root of tensors: a state's, a data set's or a trace's commitment."""
    return list_root([tensor_item(t) for t in tensors])


def element_bits(tensor: torch.Tensor, index: int) -> int:
    """Bits of element `index` (row-major) as the contracts see them: an unsigned integer."""
    commitment_bytes = element_bytes(DTYPE_CODES[tensor.dtype])
    element = tensor.detach().contiguous().reshape(-1)[index : index + 1]
    return int.from_bytes(leaf_bytes(element)[:commitment_bytes], "little")
