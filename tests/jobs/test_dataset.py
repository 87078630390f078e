"""Data sets: what no program takes, or what would make every loss NaN, is refused by the tensor's
name and its row; what can be honoured is."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.data import TensorDataset

from tests.jobs.helpers import training
from worker.commit import state_root
from worker.jobs import Computation, FieldError, InferenceJob, in_order
from worker.jobs.dataset import checked

X, Y = torch.arange(50.0).view(10, 5), torch.arange(10) % 3


def with_value(value: float) -> Tensor:
    x = X.clone()
    x[7, 2] = value
    return x


def fake() -> Tensor:
    with FakeTensorMode():
        return torch.zeros(10, 5)


REFUSED = [
    (X, "data=a Tensor", "a list of tensors, or a dict"),
    (TensorDataset(X, Y), "data=a TensorDataset", "stack what it yields, such as torch.stack"),
    ([], "data=nothing", "at least one tensor"),
    ({}, "data=nothing", "at least one tensor"),
    ({"the input": X}, "data='the input'", "names of the module's arguments"),
    ({3: X}, "data=3", "names of the module's arguments"),
    ([X, [0] * 10], "data[1]=a list", "a tensor: torch.tensor(...)"),
    ([X.numpy(), Y], "data[0]=a ndarray", "torch.from_numpy(...)"),
    ({"x": X, "y": Y.byte()}, "data['y']=uint8 [10]", "int64, int32 or bool: write x.long()"),
    ([X, Y.short()], "data[1]=int16 [10]", "x.long()"),
    ([X.double()], "data[0]=float64 [10, 5]", "float32, int64, int32 or bool: write x.float()"),
    ([X.half()], "data[0]=float16 [10, 5]", "x.float()"),
    ([X.bfloat16()], "data[0]=bfloat16 [10, 5]", "x.float()"),
    ([X.cfloat()], "data[0]=complex64 [10, 5]", "torch.view_as_real(x)"),
    ([X.to("meta")], "data[0]=a tensor without values (meta)", "capture_training takes such"),
    ([fake()], "data[0]=a tensor without values (FakeTensor)", "with values"),
    ([X.to_sparse()], "data[0]=float32 [10, 5]", "a dense tensor: x.to_dense()"),
    ([X.clone().requires_grad_()], "data[0]=a tensor that requires a gradient", "x.detach()"),
    ([torch.tensor(1.0)], "data[0]=shape []", "the same rows on their first axis"),
    ([X[:0], Y[:0]], "data[0]=shape [0, 5]", "at least one"),
    ([X, Y[:3]], "data=10 rows in data[0], 3 rows in data[1]", "whole=True"),
    ([X, X[:, :0]], "data[1]=[10, 0]", "no axis of length 0"),
    ([with_value(float("nan"))], "data[0]=nan in row 7", "finite in every row: put a number in"),
    ({"x": with_value(float("-inf"))}, "data['x']=-inf in row 7", "a bool mask beside it"),
]


@pytest.mark.parametrize(("data", "said", "rule"), REFUSED, ids=range(len(REFUSED)))
def test_data_that_no_program_takes_is_refused_by_its_name(data, said, rule):
    """Protects owners: before anything is captured they read which tensor it is, what it is, and
    what to write instead."""
    with pytest.raises(FieldError) as caught:
        checked(data)
    assert str(caught.value).startswith(f"{said}; it must be: ") and rule in str(caught.value)


def test_data_is_not_changed_by_being_looked_at():
    """Protects owners: tensors stay what they are, and the job holds the same ones."""
    given = [X, Y, X > 3, Y.int(), X.t().contiguous().t()]
    before = [t.clone() for t in given]
    found = checked(given)
    assert all(a is b for a, b in zip(found, given, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(given, before, strict=True))


def test_what_was_made_under_inference_mode_is_data():
    """Protects users of features that another model computed."""
    with torch.inference_mode():
        x, y = X * 2, Y + 0
    job = training(data=[x, y])
    assert job.capture().root == training().capture().root
    assert state_root(job.tensors) == state_root([X * 2, Y])


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 3)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        return self.linear(torch.where(keep, x, 0))


def weighted(output: Tensor, batch: dict[str, Tensor]) -> Tensor:
    each = F.cross_entropy(output, batch["y"], reduction="none")
    return (each * batch["weight"]).mean()


def test_named_data_is_a_jobs_batch():
    """Protects jobs of models that take arguments by name: rows are drawn of every tensor alike,
    and the loss reads what the module does not take."""
    torch.manual_seed(3)
    module = Pair()
    data = {"keep": X > 9, "y": Y, "x": X / 50, "weight": torch.rand(10)}
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    job = training(module=module, optimizer=optimizer, data=data, loss_fn=weighted)
    program = job.capture()
    computation, state = Computation(job.job(program), program, job.tensors), job.initial_state()
    for step in range(4):
        keep, y, x, weight = computation.batch(step)
        state, (loss, _) = computation.advance(state, step)
        expected = weighted(module(x, keep), {"y": y, "weight": weight})
        optimizer.zero_grad()
        expected.backward()
        optimizer.step()
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


class OneRound(nn.Linear):
    """Messages along edges: a node's answer depends on the nodes that the edges name."""

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        return super().forward(x).index_add(0, edges[1], x[edges[0], :3])


def ring() -> dict[str, Tensor]:
    return {"x": X / 50, "edges": torch.stack([torch.arange(10), (torch.arange(10) + 1) % 10])}


@pytest.mark.parametrize("seed", [0, 7, 2**64 - 1])
def test_a_whole_data_set_keeps_its_order_whatever_the_seed(seed):
    """Protects graphs: an edge names nodes by their place, so no seed may put them elsewhere; all
    of it is one row, which has one order."""
    data = {**ring(), "y": Y}
    module = OneRound(5, 3)
    job = training(
        module=module,
        optimizer=torch.optim.SGD(module.parameters(), lr=0.1),
        data=data,
        loss_fn=lambda output, batch: F.cross_entropy(output, batch["y"]),
        whole=True,
        batch_rows=1,
        seed=seed,
    )
    program = job.capture()
    named = job.job(program)
    assert (named.rows, named.data_tensors) == (1, 3)
    computation = Computation(named, program, job.tensors)
    for step in (0, 1, 9):
        for seen, given in zip(computation.batch(step), data.values(), strict=True):
            assert torch.equal(seen[0], given)
    _, (loss, _) = computation.advance(job.initial_state(), 0)
    expected = F.cross_entropy(module(data["x"], data["edges"]), Y)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_answers_about_a_whole_are_its_result():
    """Protects inference on a graph: the result has an answer for each node, in their order."""
    module = OneRound(5, 3).eval()
    job = InferenceJob(
        module=module, data=ring(), whole=True, batch_rows=1, segment_steps=1, names=["score"]
    )
    program = job.capture()
    named = job.job(program)
    computation = Computation(named, program, job.tensors)
    _, report = computation.advance(job.initial_state(), 0)
    found = job.named(in_order(named, program, [report]))
    torch.testing.assert_close(found["score"], module(**ring()).detach(), rtol=1e-3, atol=1e-3)
