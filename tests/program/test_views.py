"""Views: affine looks at a tensor, against what PyTorch makes of the same steps."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

from tests.program.helpers import program_of, same
from worker.program.builder import Builder, broadcast, constant_bits, f32_bits
from worker.program.codes import BOOL, F32, I32, I64
from worker.program.execute import Executor, Moment
from worker.program.views import View, row_major


def step(rng: random.Random, view: View, x: Tensor) -> tuple[View, Tensor]:
    """One random view operation on both."""
    rank = x.dim()
    kind = rng.choice(["permute", "expand", "slice", "squeeze", "unsqueeze"])
    if kind == "permute" and rank:
        order = rng.sample(range(rank), rank)
        return view.permute(tuple(order)), x.permute(order)
    if kind == "expand" and x.numel() < 200 and rank < 5:
        front = [rng.randint(1, 3)] * (rng.random() < 0.5)
        shape = (*front, *(rng.randint(1, 4) if n == 1 else n for n in x.shape))
        return view.expand(shape), x.expand(shape)
    if kind == "slice" and rank:
        axis = rng.randrange(rank)
        start = rng.randrange(x.shape[axis])
        by = rng.randint(1, 3)
        length = rng.randint(1, -(-(x.shape[axis] - start) // by))
        index = [slice(None)] * rank
        index[axis] = slice(start, start + (length - 1) * by + 1, by)
        return view.slice(axis, start, length, by), x[tuple(index)]
    if kind == "squeeze" and 1 in x.shape:
        axis = rng.choice([k for k, n in enumerate(x.shape) if n == 1])
        return view.squeeze(axis), x.squeeze(axis)
    if kind == "unsqueeze" and rank < 6:
        axis = rng.randint(0, rank)
        return view.unsqueeze(axis), x.unsqueeze(axis)
    return view, x


@pytest.mark.parametrize("seed", range(60))
def test_compositions_of_views_are_pytorchs(seed):
    """Protects movement: however permute, expand, slice and squeeze follow each other, one COPY
    reads what PyTorch reads, and a view that calls itself plain is the tensor itself."""
    rng = random.Random(seed)
    shape = tuple(rng.randint(1, 5) for _ in range(rng.randint(1, 4)))
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    builder = Builder()
    view, y = builder.state(0, F32, shape), x
    for _ in range(rng.randint(1, 8)):
        view, y = step(rng, view, y)
        assert view.shape == tuple(y.shape)
    copy = builder.map(0, view)  # COPY, even of a plain view
    found = Executor(builder.nodes, [0, copy.node]).run([x], [], Moment())
    assert same([found[1]], [y])
    if view.is_plain:
        assert torch.equal(x.flatten(), y.flatten())
        assert builder.reshape(view, (y.numel(),)).node == 0, "a plain view is reshaped for nothing"
    else:
        again = builder.reshape(view, (y.numel(),))
        (moved,) = Executor(builder.nodes, [again.node]).run([x], [], Moment())
        assert torch.equal(moved.flatten(), y.flatten())


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.bool])
@pytest.mark.parametrize("seed", range(8))
def test_padding_reads_the_fill(dtype, seed):
    """Protects pads: outside the tensor stands the fill, and a pad may be moved on."""
    rng = random.Random(seed)
    shape = tuple(rng.randint(1, 4) for _ in range(rng.randint(1, 3)))
    before, after = (tuple(rng.randint(0, 2) for _ in shape) for _ in range(2))
    x = torch.randint(0, 2, shape).to(dtype)
    value = {torch.float32: -1.5, torch.int64: -7, torch.bool: True}[dtype]
    code = {torch.float32: F32, torch.int64: I64, torch.bool: BOOL}[dtype]
    sizes = [n for b, a in zip(reversed(before), reversed(after), strict=True) for n in (b, a)]
    expected = torch.nn.functional.pad(x.to(torch.float64), sizes, value=float(value)).to(dtype)

    def make(b: Builder, views: list[View]) -> list[View]:
        padded = views[0].pad(before, after, constant_bits(value, code))
        order = tuple(reversed(range(len(shape))))
        return [padded, padded.permute(order), padded.slice(0, padded.shape[0] - 1, 1)]

    program = program_of(make, [x])
    _, found = program.run([x], [])
    order = tuple(reversed(range(len(shape))))
    assert same(found, [expected, expected.permute(order), expected[-1:]])
    assert same([program.trace([x], [])[n] for n in program.outputs[1:]], found)


def test_views_refuse_what_is_not_affine():
    """Protects programs from a view that would read other elements than it says."""
    view = View.of(0, F32, (2, 3))
    with pytest.raises(ValueError, match=r"\(2, 3\) does not broadcast to \(2, 4\) at axis 1"):
        view.expand((2, 4))
    with pytest.raises(ValueError, match=r"axis 0 of .* more than one element"):
        view.squeeze(0)
    with pytest.raises(AssertionError, match="only a plain view can be reshaped"):
        view.permute((1, 0)).reshape((6,))
    with pytest.raises(AssertionError, match="only a plain view can be padded"):
        view.permute((1, 0)).pad((1, 1), (0, 0), 0)
    with pytest.raises(ValueError, match="do not broadcast against each other"):
        broadcast((2, 3), (4,))
    assert broadcast((2, 1), (3,), ()) == (2, 3)
    assert row_major((2, 3, 4)) == (12, 4, 1) and row_major(()) == ()


def test_equal_records_are_one_node():
    """Protects size: what is computed twice stands in the program once."""
    b = Builder()
    x = b.state(0, F32, (3,))
    assert b.map(1, x, x) == b.map(1, x, x)
    assert b.constant(1.0, F32) == b.constant(1, F32) != b.constant(1, I32)
    assert len(b.nodes) == 4


def test_numbers_become_bits_by_one_rounding():
    """Protects constants: a Python number is rounded once, and one that does not fit is refused."""
    assert f32_bits(0.1) == 0x3DCCCCCD and f32_bits(-0.0) == 1 << 31
    assert f32_bits(1e300) == 0x7F800000 and f32_bits(-1e300) == 0xFF800000
    assert f32_bits(3.4028235677973366e38) == 0x7F800000  # halfway, to even
    assert f32_bits(3.4028235e38) == 0x7F7FFFFF and f32_bits(1e-46) == 0
    assert f32_bits(float("nan")) == 0x7FC00000
    assert constant_bits(-1, I32) == 2**32 - 1 and constant_bits(-1, I64) == 2**64 - 1
    assert constant_bits(2.0, I64) == 2 and constant_bits(5, BOOL) == 1
    for value, dtype in ((0.5, I64), (2**31, I32), (-(2**63) - 1, I64)):
        with pytest.raises(ValueError, match="is not an integer of"):
            constant_bits(value, dtype)
    for value in (float("inf"), float("nan")):
        with pytest.raises(ValueError, match="is not an integer of"):
            constant_bits(value, I32)
