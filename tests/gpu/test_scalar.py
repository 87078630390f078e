"""The scalar functions in kernels: the bits of the torch twin."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("triton", reason="Triton comes with PyTorch's builds for GPUs")

import triton
import triton.language as tl

from tests.program.helpers import same
from worker import exact
from worker.exact.gpu import OPTIONS, constants, rows, scalar

COUNT = 1 << 14
SPECIAL = [
    0.0, -0.0, float("inf"), -float("inf"), float("nan"), 1.0, -1.0, 1e-45, -1e-45, 1.1754944e-38,
    3.4028235e38, 88.7228, 88.73, -87.4, -103.9, -104.1, 0.78539813, 7.941956e15, 1.6197991e35,
    2147483648.0, -2147483648.0, 9223372036854775808.0, 0.5, 1.5, 2.5, 8388607.5, 4194303.5,
]  # fmt: skip


@triton.jit
def unary(x, out, windows, COUNT: tl.constexpr):
    i = tl.arange(0, COUNT)
    v = tl.load(x + i)
    tl.store(out + i, scalar.exp_f32(v))
    tl.store(out + COUNT + i, scalar.log_f32(v))
    tl.store(out + 2 * COUNT + i, scalar.tanh_f32(v))
    tl.store(out + 3 * COUNT + i, scalar.erf_f32(v))
    tl.store(out + 4 * COUNT + i, scalar.sin_f32(v, windows))
    tl.store(out + 5 * COUNT + i, scalar.cos_f32(v, windows))
    tl.store(out + 6 * COUNT + i, scalar.sqrt_f32(v))
    tl.store(out + 7 * COUNT + i, scalar.neg_f32(v))
    tl.store(out + 8 * COUNT + i, scalar.relu_f32(v))
    tl.store(out + 9 * COUNT + i, scalar.abs_f32(v))
    tl.store(out + 10 * COUNT + i, rows.rint(v))


@triton.jit
def binary(x, y, out, COUNT: tl.constexpr):
    i = tl.arange(0, COUNT)
    a, b = tl.load(x + i), tl.load(y + i)
    tl.store(out + i, a + b)
    tl.store(out + COUNT + i, a - b)
    tl.store(out + 2 * COUNT + i, a * b)
    tl.store(out + 3 * COUNT + i, scalar.div_f32(a, b))
    tl.store(out + 4 * COUNT + i, scalar.maximum_f32(a, b))
    tl.store(out + 5 * COUNT + i, scalar.minimum_f32(a, b))
    tl.store(out + 6 * COUNT + i, a * b + a)  # two roundings, never one


@triton.jit
def integral(x, out32, out64, COUNT: tl.constexpr):
    i = tl.arange(0, COUNT)
    v = tl.load(x + i)
    tl.store(out32 + i, scalar.f32_to_i32(v))
    tl.store(out64 + i, scalar.f32_to_i64(v))


@triton.jit
def numbers(moment, out, NODE: tl.constexpr, COUNT: tl.constexpr):
    i = tl.arange(0, COUNT).to(tl.int64)
    tl.store(out + i, scalar.uniform(tl.load(moment), tl.load(moment + 1), NODE, i))


def patterns(seed: int) -> torch.Tensor:
    """Every kind of f32: random bit patterns, ordinary numbers, special ones."""
    generator = torch.Generator().manual_seed(seed)
    whole = torch.randint(-(1 << 31), 1 << 31, (COUNT,), generator=generator)
    x = whole.to(torch.int32).view(torch.float32)
    x[: COUNT // 3] = torch.randn(COUNT // 3, generator=generator) * 4
    x[-len(SPECIAL) :] = torch.tensor(SPECIAL)
    return x


@pytest.mark.parametrize("seed", range(4))
def test_functions_of_one_operand_are_the_torch_twins(seed, device):
    """Protects solvers with GPUs: every scalar function, over all kinds of f32."""
    x = patterns(seed)
    out = torch.empty(11, COUNT, device=device)
    windows = torch.tensor(constants.window_table(), device=device)
    unary[(1,)](x.to(device), out, windows, COUNT, **OPTIONS)
    expected = [
        exact.exp(x), exact.log(x), exact.tanh(x), exact.erf(x), exact.sin(x), exact.cos(x),
        exact.sqrt(x), -x, exact.relu(x), x.abs(), x.round(),
    ]  # fmt: skip
    for n, (found, wanted) in enumerate(zip(out.cpu(), expected, strict=True)):
        assert same([found], [wanted]), n


@pytest.mark.parametrize("seed", range(4))
def test_functions_of_two_operands_are_the_torch_twins(seed, device):
    """Protects from contraction, from division that is nearly right, from flushed subnormals."""
    x, y = patterns(seed), patterns(seed + 100).flip(0)
    small = slice(0, COUNT // 8)
    x[small] *= 2.0**-120
    y[COUNT // 2 :] = x[COUNT // 2 :]
    out = torch.empty(7, COUNT, device=device)
    binary[(1,)](x.to(device), y.to(device), out, COUNT, **OPTIONS)
    products = x * y
    expected = [
        x + y, x - y, products, exact.div(x, y), exact.maximum(x, y), exact.minimum(x, y),
        products + x,
    ]  # fmt: skip
    for n, (found, wanted) in enumerate(zip(out.cpu(), expected, strict=True)):
        assert same([found], [wanted]), n


def test_conversions_saturate(device):
    """Protects from casts that languages leave undefined."""
    x = patterns(7)
    out32 = torch.empty(COUNT, dtype=torch.int32, device=device)
    out64 = torch.empty(COUNT, dtype=torch.int64, device=device)
    integral[(1,)](x.to(device), out32, out64, COUNT, **OPTIONS)
    assert same([out32.cpu()], [exact.to(x, torch.int32)])
    assert same([out64.cpu()], [exact.to(x, torch.int64)])


@pytest.mark.parametrize("seed", [0, 5, 2**63 + 11, 2**64 - 1])
def test_random_numbers_are_the_torch_twins(seed, device):
    """Protects dropout on GPUs."""
    signed = seed - (1 << 64) if seed >> 63 else seed
    out = torch.empty(COUNT, device=device)
    numbers[(1,)](torch.tensor([signed, 77], device=device), out, 9, COUNT, **OPTIONS)
    assert same([out.cpu()], [exact.uniform(COUNT, seed=seed, step=77, node=9)])
