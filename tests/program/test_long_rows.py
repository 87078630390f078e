"""Rows that are longer than a transaction can read: they go by parts, and no record is too long."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.program.helpers import lowered, program_of, same
from tests.program.models import seeded
from worker.program import Kind, Program, capture_training, training_state
from worker.program.builder import Builder
from worker.program.codes import F32, Reduce
from worker.program.wellformed import MAX_ROW, MAX_SCATTER, check_program

aten = torch.ops.aten


def f(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def index(length: int, top: int) -> Tensor:
    return torch.randint(0, top, (length,), generator=torch.Generator().manual_seed(2))


def longest(program: Program) -> int:
    """The most elements that any one element of the program is checked from."""
    rows = [1]
    for node in program.nodes:
        if node.kind == Kind.REDUCE:
            rows.append(node.inputs[0].shape[1])
        elif node.kind == Kind.DOT:
            rows.append(node.attributes[3])
        elif node.kind == Kind.SCATTER:
            assert node.attributes[2] <= MAX_SCATTER
            rows.append(node.attributes[2])
    return max(rows)


def ran(program: Program, state: list[Tensor], batch: Any = ()) -> list[Tensor]:
    """The reports, after run was compared with trace and every record was checked."""
    check_program(program.nodes, program.outputs, program.state_count)
    assert longest(program) <= MAX_ROW
    after, reports = program.run(state, list(batch))
    trace = program.split(program.trace(state, list(batch)))
    assert same([*after, *reports], [*trace[0], *trace[1]])
    return reports


SPOILT = f(2, 9000)
SPOILT[0, 8999] = float("nan")
SPOILT[1, 4500:5000] = float("inf")
LONG: list[tuple[Any, tuple, float]] = [
    (aten.sum.dim_IntList, (f(3, MAX_ROW + 1), [1]), 1e-5),
    (aten.sum.dim_IntList, (f(2, 10_007), [1]), 1e-5),
    (aten.sum.dim_IntList, (f(5000, 3), [0], True), 1e-5),
    (aten.sum.dim_IntList, (f(70, 2, 80), [0, 2]), 1e-5),
    (aten.sum.default, (f(200, 300),), 1e-5),
    (aten.sum.default, (f(100, 100) > 0,), 0),
    (aten.mean.default, (f(90, 90) + 3,), 1e-6),
    (aten.var_mean.correction, (f(2, 9001) + 3, [1]), 1e-4),
    (aten.amax.default, (f(3, 10_007), [1]), 0),
    (aten.amax.default, (f(3, 10_007) - 100, [1], True), 0),
    (aten.amax.default, (SPOILT, [1]), 0),
    (aten.amax.default, (index(5001, 1 << 40) - (1 << 41), [0]), 0),
    (aten.any.dim, (f(2, 5000) > torch.tensor([[3.0], [99.0]]), 1), 0),
    (aten._softmax.default, (f(2, 5003), 1, False), 1e-5),
    (aten._log_softmax.default, (f(2, 5003), 1, False), 1e-5),
    (aten.mm.default, (f(3, 9001), f(9001, 4)), 1e-3),
    (aten.bmm.default, (f(2, 3, 5000), f(2, 5000, 4)), 1e-3),
    (aten.addmm.default, (f(4), f(1, MAX_ROW + 1), f(MAX_ROW + 1, 4)), 1e-3),
    (aten.index_put.default, (f(7, 3), [index(10_001, 7)], f(10_001, 3), True), 1e-5),
    (aten.index_put.default, (f(7), [index(MAX_SCATTER + 1, 7)], f(MAX_SCATTER + 1), True), 1e-5),
]


@pytest.mark.parametrize(("operator", "args", "close"), LONG)
def test_a_long_row_goes_by_parts(operator, args, close):
    """Protects large layers, long texts and large classes: what PyTorch gives, from records that
    a court can check."""
    expected = operator(*args)
    results = None if isinstance(expected, Tensor) else list(range(len(expected)))
    found = ran(*lowered(operator, args, {}, results))
    for right, ours in zip([expected] if results is None else expected, found, strict=True):
        assert right.dtype == ours.dtype
        scale = float(right.abs().max()) if close and right.is_floating_point() else 0.0
        torch.testing.assert_close(
            ours.view(right.shape), right, rtol=close, atol=close * scale, equal_nan=True
        )


def test_a_long_row_with_a_part_that_is_not_finite_has_no_sum():
    """Protects the definition: NaN, as for a short row with an infinity or a NaN."""
    (found,) = ran(*lowered(aten.sum.dim_IntList, (SPOILT, [1]), {}))
    assert found.isnan().all()


def test_a_row_of_the_greatest_length_is_one_part():
    """Protects programs that fit: parts begin at one element more."""
    for length, reduces in ((MAX_ROW, 2), (MAX_ROW + 1, 4)):
        program, state = lowered(aten.sum.dim_IntList, (f(2, length), [1]), {})
        assert sum(n.kind == Kind.REDUCE for n in program.nodes) == reduces
        ran(program, state)


@pytest.mark.parametrize("make", [Builder.sum, lambda b, x, k: b.reduce(Reduce.MAX, x, k)])
def test_a_row_with_more_parts_than_a_row_has_elements_is_parted_again(make):
    """Protects the largest tensors: records alone, for running them takes long."""
    builder = Builder()
    length = MAX_ROW * MAX_ROW + 1
    out = make(builder, builder.state(0, F32, (1, length)), 1)
    assert out.shape == (1,)
    outputs = (builder.plain(builder.state(0, F32, (1, length))).node, builder.plain(out).node)
    program = Program(tuple(builder.nodes), outputs, ("x",))
    assert longest(program) <= MAX_ROW


def test_a_long_dot_keeps_its_batches_and_rows_apart():
    """Protects the parts' order: with whole numbers nothing is rounded, so all must be equal."""
    generator = torch.Generator().manual_seed(3)
    a, b = (torch.randint(-9, 10, (2, 3, 2, 9001), generator=generator).float() for _ in range(2))
    program = program_of(lambda b_, views: [b_.dot(views[0], views[1], 14)], [a, b])
    (found,) = ran(program, [a, b])
    assert torch.equal(found.view(2, 3, 2, 2), a @ b.transpose(-1, -2))


@pytest.mark.parametrize("length", [MAX_ROW + 1, 3 * MAX_ROW, 50257])
def test_a_long_argmax_is_the_first_of_the_greatest(length):
    """Protects greedy generation over large vocabularies: by parts, and still the row's place."""
    x = f(4, length)
    x[1, [5, length - 1]] = 9.0
    x[2] = float("-inf")
    x[3, [length // 2, length - 2]] = float("nan")
    program, state = lowered(aten.argmax.default, (x, 1), {})
    (found,) = program.run(state, [])[1]
    assert torch.equal(found.view(4), x.argmax(1)) and int(found[1]) == 5
    assert torch.equal(program.split(program.trace(state, []))[1][0], found)


def trained(
    module: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], batch: list[Tensor]
) -> None:
    """One step with rate 1: what the state moved by is the gradient."""
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    program = capture_training(module, loss, optimizer, batch)
    state = training_state(module, optimizer)
    ran(program, state, batch)
    after, (found,) = program.run(state, batch)
    expected = loss(module(batch[0]), batch[1])
    expected.backward()
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)
    for before, then, p in zip(state, after, module.parameters(), strict=True):
        moved, scale = before - then, float(p.grad.abs().max())
        torch.testing.assert_close(moved, p.grad, rtol=0, atol=2e-3 * scale)


def test_a_convolutions_gradients_over_many_places():
    """Protects images: weight and bias gradients sum over batch, height and width."""
    module = seeded(4, lambda: nn.Conv2d(3, 4, 3, padding=1, groups=1))
    batch = [f(3, 3, 40, 41), f(3, 4, 40, 41, seed=5)]
    assert prod((3, 40, 41)) > MAX_ROW
    trained(module, F.mse_loss, batch)


def test_a_grouped_convolutions_gradients_over_many_places():
    module = seeded(4, lambda: nn.Conv1d(4, 6, 5, stride=2, groups=2))
    trained(module, F.mse_loss, [f(2, 4, 4500), f(2, 6, 2248, seed=5)])


def test_an_embeddings_gradient_over_many_tokens():
    """Protects long texts: more tokens in a batch than a scatter reads at once."""
    module = seeded(4, lambda: nn.Sequential(nn.Embedding(11, 3), nn.Flatten(0, 1)))
    tokens = index(4 * 1100, 11).view(4, 1100)

    def loss(y: Tensor, target: Tensor) -> Tensor:
        return ((y - target.view(-1, 1)) ** 2).mean()

    trained(module, loss, [tokens, f(4, 1100)])


def test_a_loss_over_many_classes():
    """Protects large vocabularies: softmax and its gradient over more words than a row holds."""
    module = seeded(4, lambda: nn.Linear(5, 5000))
    trained(module, F.cross_entropy, [f(4, 5), index(4, 5000)])
