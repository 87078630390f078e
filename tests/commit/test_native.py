"""Roots by the processor's own SHA-256: hashlib's, for any tensor."""

import pytest
import torch

from worker.commit import LEAF_BYTES, commit_tensor, native, state_root, tensor_item

DTYPES = (torch.float32, torch.int32, torch.int64, torch.bool)


def made(dtype: torch.dtype, count: int) -> torch.Tensor:
    """Any bits: of f32 NaNs of all kinds are among them."""
    generator = torch.Generator().manual_seed(count)
    if dtype == torch.bool:
        return torch.rand(count, generator=generator) < 0.5
    words = torch.randint(-(2**31), 2**31, (count,), generator=generator)
    if dtype != torch.float32:
        return words.to(dtype)
    words[::5] |= 0x7F800000
    return words.to(torch.int32).view(torch.float32)


def skip_without() -> None:
    if not native.available():
        pytest.skip("this host cannot hash natively")


@pytest.mark.parametrize("dtype", DTYPES)
def test_items_are_hashlibs(dtype):
    """Protects every commitment: trees of all shapes, a last leaf that is partly padding, NaNs."""
    skip_without()
    per_leaf = LEAF_BYTES // torch.empty(0, dtype=dtype).element_size()
    for leaves in (1, 2, 3, 5, 8, 300, 511, 512, 513, 515, 1024, 1025, 1100, 1537):
        for count in (leaves * per_leaf, leaves * per_leaf - 1, (leaves - 1) * per_leaf + 1):
            tensor = made(dtype, count)
            assert tensor_item(tensor) == commit_tensor(tensor).item, count


def test_neither_threads_nor_strides_matter():
    """Protects workers with other processors, and states that are views."""
    skip_without()
    tensor = made(torch.float32, 700_001).requires_grad_()
    views = [tensor, tensor[1:], tensor[:600_000].view(600, 1000).mT, tensor[::3]]
    expected = [commit_tensor(v).item for v in views]
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            assert [tensor_item(v) for v in views] == expected
    finally:
        torch.set_num_threads(threads)


def test_a_true_is_one_whatever_byte_it_was_made_of():
    """Protects masks that were read from a file: any byte that is not zero is true."""
    odd = torch.tensor([0, 1, 2, 255], dtype=torch.uint8).view(torch.bool)
    expected = commit_tensor(torch.tensor([False, True, True, True])).item
    assert tensor_item(odd) == commit_tensor(odd).item == expected


def test_without_the_processors_help_roots_are_the_same(monkeypatch):
    """Protects hosts without a compiler."""
    tensors = [made(dtype, 3000) for dtype in DTYPES]
    before = state_root(tensors)
    monkeypatch.setattr(native, "available", lambda: False)
    assert state_root(tensors) == before


@pytest.mark.parametrize("tensor", [torch.zeros(3, dtype=torch.float64), torch.empty(0)])
def test_what_has_no_commitment_has_no_item(tensor):
    """Protects against a root of something that no contract could open."""
    with pytest.raises(ValueError, match="cannot be committed"):
        tensor_item(tensor)
