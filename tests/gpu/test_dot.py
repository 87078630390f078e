"""Products in kernels: the bits of the other backends."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("triton", reason="Triton comes with PyTorch's builds for GPUs")

from tests.program.helpers import same
from worker import exact
from worker.exact import backends
from worker.exact.gpu import product
from worker.exact.gpu.dot import LONGEST_ROW

SHAPES = [
    ((1, 1), (1, 1)),
    ((33, 100), (17, 100)),
    ((130, 300), (70, 300)),
    ((3, 20, 64), (3, 40, 64)),
    ((2, 3, 5, 48), (7, 48)),
    ((5, 33), (2, 9, 33)),
    ((1, 9, 130), (4, 6, 130)),
    ((2, LONGEST_ROW), (3, LONGEST_ROW)),
]


@pytest.mark.parametrize("bits", [2, 8, 9, 14, 15, 20])
@pytest.mark.parametrize("shapes", SHAPES)
def test_products_have_the_bits_of_the_definition(bits, shapes, device):
    """Protects solvers with GPUs: awkward shapes, batches, rows of zeros, tiny or not finite."""
    generator = torch.Generator().manual_seed(bits)
    a, b = (torch.randn(shape, generator=generator) for shape in shapes)
    if a.shape[-2] > 4:
        a[..., 1, :] = 0
        a[..., 2, :] *= 1e-38
        a[..., 3, -1] = float("nan")
        a[..., 4, :] *= 1e30
    expected = exact.dot(a, b, bits=bits, backend="fp64")
    assert same([product.dot(a.to(device), b.to(device), bits).cpu()], [expected])
    turned = a.mT.contiguous().mT
    assert same([product.dot(turned.to(device), b.to(device), bits).cpu()], [expected])


def test_rows_may_begin_anywhere(device):
    """Protects reads: a kernel found for rows at a multiple of 16 bytes serves none elsewhere."""
    memory = torch.randn(64 * 48 + 3)
    there, b = memory.to(device), torch.randn(20, 48)
    for start in (0, 1, 0, 3, 1):
        a = memory[start : start + 64 * 48].view(64, 48)
        found = product.dot(there[start : start + 64 * 48].view(64, 48), b.to(device), 14)
        assert same([found.cpu()], [exact.dot(a, b, bits=14, backend="fp64")])


@pytest.mark.parametrize("bits", [8, 14, 20])
def test_integers_at_their_limits_overflow_nothing(bits, device):
    """Protects the sums: all elements at the limit, in rows of the greatest length."""
    limit = float((1 << (bits - 1)) - 1)
    a = torch.full((3, LONGEST_ROW), limit)
    a[1] = -limit
    a[2, ::2] = -limit
    expected = exact.dot(a, a, bits=bits, backend="fp64")
    assert same([product.dot(a.to(device), a.to(device), bits).cpu()], [expected])


@pytest.mark.parametrize("bits", [8, 14, 20])
def test_the_known_answers_are_given(bits, device):
    """Protects the choice of a backend: this one passes what each must pass."""
    for case in backends.known_answer_inputs(bits):
        expected = backends.integer(*case, bits)
        found = backends.backend(backends.GPU)(*(t.clone().to(device) for t in case), bits)
        assert same([found.cpu()], [expected])


def test_rows_that_are_too_long_are_refused(device):
    x = torch.ones(2, LONGEST_ROW + 1, device=device)
    with pytest.raises(ValueError, match="rows of 1 to 4096"):
        product.dot(x, x, 14)
    with pytest.raises(ValueError, match="2 to 20 bits"):
        product.dot(x[:, :4], x[:, :4], 21)
