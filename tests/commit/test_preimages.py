"""What is hashed: the table of docs/protocol.md, written out with hashlib alone."""

from __future__ import annotations

import hmac
import struct
from hashlib import sha256

import numpy as np
import pytest
import torch

import worker.commit.journal
import worker.commit.lists
import worker.commit.tensors
import worker.program.records
from worker.commit import (
    commit_tensor,
    element_bits,
    item_preimage,
    leaf_bytes,
    list_leaf,
    list_root,
    report_item,
    report_salt,
    reports_root,
    state_root,
    tensor_item,
)
from worker.program.records import Header


def item(dtype: int, count: int, root: bytes) -> bytes:
    return sha256(b"\x02" + struct.pack(">BQ", dtype, count) + root).digest()


def one_leaf(data: bytes) -> bytes:
    return sha256(b"\x01" + data.ljust(512, b"\0")).digest()


KNOWN = [
    (torch.tensor([1.0, -0.0, 0.5]), 1, struct.pack("<3f", 1.0, -0.0, 0.5)),
    (torch.tensor([[1, -2], [3, 4]], dtype=torch.int32), 2, struct.pack("<4i", 1, -2, 3, 4)),
    (torch.tensor([-1, 2**62]), 3, struct.pack("<2q", -1, 2**62)),
    (torch.tensor([True, False, True]), 4, b"\x01\x00\x01"),
    (torch.tensor(2.0), 1, struct.pack("<f", 2.0)),
]


@pytest.mark.parametrize(("tensor", "dtype", "data"), KNOWN)
def test_a_small_tensor_hashes_as_the_protocol_says(tensor, dtype, data):
    """Protects every dtype's layout: little-endian, row-major, zero-padded, dtype and count."""
    assert leaf_bytes(tensor) == data.ljust(512, b"\0")
    assert tensor_item(tensor) == item(dtype, tensor.numel(), one_leaf(data))


@pytest.mark.parametrize("dtype", [torch.float32, torch.int32, torch.int64, torch.bool])
@pytest.mark.parametrize("leaves", [1, 2, 3, 5])
def test_leaves_hold_512_bytes_each(dtype, leaves):
    """Protects the boundaries: one element more than fits opens another leaf."""
    each = 512 // dtype.itemsize
    full = torch.arange(leaves * each) % 2
    assert len(leaf_bytes(full.to(dtype))) == leaves * 512
    commitment = commit_tensor(torch.cat([full, full[:1]]).to(dtype))
    assert commitment.tree.size == leaves + 1
    assert commitment.per_leaf == each
    last = commitment.leaf(leaves)
    assert last == bytes(dtype.itemsize) + bytes(512 - dtype.itemsize)
    assert commitment.tree.levels[0] == [
        one_leaf(commitment.data[512 * k : 512 * (k + 1)]) for k in range(leaves + 1)
    ]


def test_two_leaves_pair_and_a_third_moves_up():
    """Protects the element tree with a root that is written out by hand."""
    values = np.arange(300, dtype="<f4")
    a, b, c = (one_leaf(values[i : i + 128].tobytes()) for i in (0, 128, 256))
    root = sha256(sha256(a + b).digest() + c).digest()
    commitment = commit_tensor(torch.from_numpy(values.astype(np.float32)))
    assert commitment.elements == root
    assert commitment.item == item(1, 300, root)


def test_all_nans_commit_alike():
    """Protects machines that make other NaNs: every payload and sign is the one NaN."""
    payloads = [0x7F800001, 0x7FC00000, 0x7FFFFFFF, 0xFF800001, 0xFFC00000, 0xFFFFFFFF, 0x7FA12345]
    bits = np.array(payloads, dtype=np.uint32).view(np.int32)
    tensor = torch.from_numpy(bits).view(torch.float32)
    assert leaf_bytes(tensor)[: 4 * len(payloads)] == b"\x00\x00\xc0\x7f" * len(payloads)
    assert all(element_bits(tensor, i) == 0x7FC00000 for i in range(len(payloads)))
    others = np.array([0x7F800000, 0xFF800000, 0x80000000, 1], dtype=np.uint32)
    kept = torch.from_numpy(others.view(np.int32)).view(torch.float32)
    assert leaf_bytes(kept)[:16] == others.astype("<u4").tobytes()


def test_bools_are_0_or_1_whatever_byte_they_came_from():
    """Protects against a true bool of another byte, which the contracts read as 1."""
    odd = torch.tensor([0, 1, 2, 255], dtype=torch.uint8).view(torch.bool)
    assert leaf_bytes(odd)[:4] == b"\x00\x01\x01\x01"
    assert [element_bits(odd, i) for i in range(4)] == [0, 1, 1, 1]


def test_shape_and_strides_do_not_matter():
    """Protects reshapes: a commitment holds elements in row-major order and no shape."""
    x = torch.randn(6, 8)
    assert tensor_item(x) == tensor_item(x.reshape(2, 3, 8)) == tensor_item(x.flatten())
    assert tensor_item(x.t()) == tensor_item(x.t().contiguous()) != tensor_item(x)
    assert tensor_item(x[1:, ::2]) == tensor_item(x[1:, ::2].clone())
    assert tensor_item(x.requires_grad_()) == tensor_item(x.detach())


def test_dtype_and_count_are_part_of_the_item():
    """Protects zeros: equal bytes of another dtype or another count are another tensor."""
    zeros = [
        *(torch.zeros(n) for n in (1, 2, 127, 128)),
        *(torch.zeros(n, dtype=torch.int32) for n in (1, 128)),
        torch.zeros(1, dtype=torch.int64),
        torch.zeros(1, dtype=torch.bool),
    ]
    assert len({tensor_item(t) for t in zeros}) == len(zeros)


def test_element_bits_are_unsigned():
    """Protects the contracts' reading: an element is its bits, zeros above."""
    assert element_bits(torch.tensor([1.0, -2.0]), 1) == 0xC0000000
    assert element_bits(torch.tensor([-1], dtype=torch.int32), 0) == 0xFFFFFFFF
    assert element_bits(torch.tensor([[0], [-1]]), 1) == 2**64 - 1
    assert element_bits(torch.tensor([[1.0, 2.0], [3.0, 4.0]]).t(), 1) == 0x40400000


def test_lists_reports_and_headers_hash_as_the_protocol_says():
    """Protects the other rows of the table with known answers."""
    a, b, salt, owner = b"\xaa" * 32, b"\xbb" * 32, b"\x05" * 32, b"\x0f" * 20
    leaf_a = sha256(b"\x03" + struct.pack(">Q", 0) + a).digest()
    leaf_b = sha256(b"\x03" + struct.pack(">Q", 1) + b).digest()
    assert (list_leaf(0, a), list_leaf(1, b)) == (leaf_a, leaf_b)
    assert list_root([a, b]) == sha256(leaf_a + leaf_b).digest()
    report = sha256(b"\x05" + owner + struct.pack(">Q", 9) + salt + list_root([a, b])).digest()
    assert report_item(owner, 9, salt, reports_root([a, b])) == report
    assert reports_root([]) == bytes(32), "nothing is reported"
    x, y = torch.ones(3), torch.zeros(2, dtype=torch.int64)
    assert state_root([x, y]) == list_root([tensor_item(x), tensor_item(y)])
    words = a + (7).to_bytes(32, "big") + b + (2).to_bytes(32, "big") + (1).to_bytes(32, "big")
    assert Header(a, 7, b, 2, 1).root == sha256(b"\x04" + words).digest()


def test_report_items_are_bound_to_everything():
    """Protects journals from copies: owner, step, salt and each report change the item."""
    base = (b"\x01" * 20, 3, b"\x02" * 32, b"\x03" * 32)
    items = {report_item(*base)}
    for k, other in enumerate((b"\x09" * 20, 4, b"\x09" * 32, b"\x09" * 32)):
        items.add(report_item(*base[:k], other, *base[k + 1 :]))
    assert len(items) == 5
    with pytest.raises(ValueError, match="20-byte address, not 19"):
        report_item(bytes(19), 0, bytes(32), bytes(32))
    with pytest.raises(ValueError, match="32 bytes, not 33"):
        report_item(bytes(20), 0, bytes(33), bytes(32))
    with pytest.raises(ValueError, match="32 bytes, not 31"):
        report_item(bytes(20), 0, bytes(32), bytes(31))


def test_salts_are_secret_and_their_own():
    """Protects reports from guessing: a salt is a MAC of task and step, and stays the same."""
    expected = hmac.new(b"key", b"assay journal" + b"t" * 32 + struct.pack(">Q", 5), sha256)
    assert report_salt(b"key", b"t" * 32, 5) == expected.digest()
    salts = {report_salt(k, t, s) for k in (b"a", b"b") for t in (b"c", b"d") for s in range(9)}
    assert len(salts) == 36


def test_what_cannot_be_committed_is_refused_by_name():
    """Protects users from a hash of something that the contracts cannot read."""
    for dtype in (torch.float64, torch.float16, torch.uint8, torch.complex64):
        with pytest.raises(ValueError, match=f"{dtype} cannot be committed; use one of"):
            commit_tensor(torch.zeros(2, dtype=dtype))
    with pytest.raises(ValueError, match=r"empty tensor of shape \(2, 0\)"):
        tensor_item(torch.zeros(2, 0))


def test_no_leaf_has_a_preimage_of_64_bytes(monkeypatch):
    """Protects against an inner node that passes for a leaf: their preimages differ in length."""
    lengths: dict[int, set[int]] = {}

    class Spy:
        def __init__(self, data=b""):
            self.data = bytes(data)

        def update(self, data):
            self.data += bytes(data)

        def digest(self):
            lengths.setdefault(self.data[0], set()).add(len(self.data))
            return sha256(self.data).digest()

    for module in (
        worker.commit.journal,
        worker.commit.lists,
        worker.commit.tensors,
        worker.program.records,
    ):
        monkeypatch.setattr(module, "sha256", Spy)
    commit_tensor(torch.zeros(3)).item  # noqa: B018
    commit_tensor(torch.zeros(1000, dtype=torch.bool)).item  # noqa: B018
    list_leaf(2**63, bytes(32))
    item_preimage(4, 2**63, bytes(32))
    Header(bytes(32), 2**32 - 1, bytes(32), 1, 1).root  # noqa: B018
    report_item(bytes(20), 1, bytes(32), bytes(32))
    assert lengths == {1: {513}, 2: {42}, 3: {41}, 4: {161}, 5: {93}}
