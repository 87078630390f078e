"""What a step is given: names, a module's own loss, data that every step sees whole, and tensors
that have no values."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.program.models import seeded
from worker.program import (
    Kind,
    Source,
    Unsupported,
    capture_inference,
    capture_training,
    inference_state,
    training_state,
)

SGD, Adam = torch.optim.SGD, torch.optim.Adam
Batch = dict[str, Tensor]


class GraphNet(nn.Module):
    """Two rounds of messages along edges i64 [2, E], of nodes f32 [N, 5]."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(5, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        h = torch.relu(self.passed(self.first(x), edges))
        return self.passed(self.second(h), edges)

    @staticmethod
    def passed(h: Tensor, edges: Tensor) -> Tensor:
        return h.index_add(0, edges[1], h[edges[0]])


def graph() -> Batch:
    """Of ten nodes and thirty edges; some of the nodes have labels to learn from."""
    return seeded(
        1,
        lambda: {
            "x": torch.randn(10, 5),
            "edges": torch.randint(0, 10, (2, 30)),
            "y": torch.randint(0, 3, (10,)),
            "known": torch.arange(10) % 3 > 0,
        },
    )


def of_known(scores: Tensor, batch: Batch) -> Tensor:
    each = F.cross_entropy(scores, batch["y"], reduction="none")
    return torch.where(batch["known"], each, 0).sum() / batch["known"].sum()


def test_a_graph_is_seen_whole_in_its_own_order():
    """Protects full-graph training: tensors of different lengths are one row of a data set, the
    module gets those that it takes, the loss the others, and the losses are PyTorch's."""
    module, batch = seeded(2, GraphNet), graph()
    optimizer = SGD(module.parameters(), lr=0.1)
    program = capture_training(module, of_known, optimizer, batch, whole=True)
    sources = [n for n in program.nodes if (n.kind, n.fn) == (Kind.SOURCE, Source.BATCH)]
    assert {n.attributes for n in sources} == {(0, 1, 50), (1, 1, 60), (2, 1, 10), (3, 1, 10)}
    state = training_state(module, optimizer)
    for _ in range(4):
        state, (loss,) = program.run(state, list(batch.values()))
        expected = of_known(module(batch["x"], batch["edges"]), batch)
        optimizer.zero_grad()
        expected.backward()
        optimizer.step()
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_answers_about_a_whole_have_its_shapes():
    """Protects inference on a graph: one answer for each node, in the nodes' order."""
    module, batch = seeded(2, GraphNet), graph()
    given = {name: batch[name] for name in ("x", "edges")}
    program = capture_inference(module, given, whole=True, bits=20)
    _, (scores,) = program.run(inference_state(module), list(given.values()))
    torch.testing.assert_close(scores, module(**given).detach(), rtol=1e-5, atol=1e-5)


class OwnLoss(nn.Linear):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(super().forward(x), y)


@pytest.mark.parametrize("named", [False, True])
def test_a_module_may_compute_its_loss_itself(named):
    """Protects modules that return their loss: what the module returns is the loss, of a batch
    with names or without."""
    module = seeded(3, lambda: OwnLoss(5, 3))
    x, y = seeded(4, lambda: (torch.randn(6, 5), torch.randint(0, 3, (6,))))
    batch = {"x": x, "y": y} if named else [x, y]
    optimizer = SGD(module.parameters(), lr=0.1)
    program = capture_training(module, None, optimizer, batch)
    _, (loss,) = program.run(training_state(module, optimizer), [x, y])
    assert loss.item() == pytest.approx(module(x, y).item(), rel=1e-5)


def test_a_loss_without_a_target_reads_the_batch():
    """Protects autoencoders: with a name the one tensor is input and target."""
    module = seeded(3, lambda: nn.Linear(5, 5))
    x = seeded(4, lambda: torch.randn(6, 5))

    def loss_fn(output: Tensor, batch: Batch) -> Tensor:
        return F.mse_loss(output, batch["input"])

    optimizer = SGD(module.parameters(), lr=0.1)
    program = capture_training(module, loss_fn, optimizer, {"input": x})
    _, (loss,) = program.run(training_state(module, optimizer), [x])
    assert loss.item() == pytest.approx(F.mse_loss(module(x), x).item(), rel=1e-5)
    with pytest.raises(ValueError, match=r"1 tensors; .*a mapping by name: loss_fn\(output, batch"):
        capture_training(module, F.mse_loss, optimizer, [x])


def test_a_tensor_given_twice_is_two_of_the_batch():
    """Protects examples like (x, x): later rows may differ, and neither stands for the other."""
    module, x = nn.Linear(5, 5), torch.randn(6, 5)
    optimizer = SGD(module.parameters(), lr=0.1)
    program = capture_training(module, F.mse_loss, optimizer, [x, x])
    _, (loss,) = program.run(training_state(module, optimizer), [x, x + 1])
    assert loss.item() == pytest.approx(F.mse_loss(module(x), x + 1).item(), rel=1e-5)


REFUSED = [
    ({"y": "labels"}, ValueError, r"'labels' is no argument of GraphNet.forward, which has x, edg"),
    ({"x": torch.zeros(10, 5, dtype=torch.float64)}, Unsupported, r"'x': use .*x\.float\(\)"),
    ({"y": torch.zeros(10, dtype=torch.uint8)}, Unsupported, r"uint8 of the .*'y'.*x\.long\(\)"),
    ({"x": torch.zeros(0, 5)}, ValueError, r"'x' has shape \(0, 5\); no axis may be of length 0"),
]


@pytest.mark.parametrize(("change", "error", "said"), REFUSED)
def test_a_batch_that_cannot_be_is_refused_by_name(change, error, said):
    """Protects users: a name that nobody reads is a slip of the pen, and a dtype is named with
    those that work."""
    batch = graph()
    for name, value in change.items():
        if isinstance(value, str):
            batch[value] = batch[name].clone()
        else:
            batch[name] = value
    module = GraphNet()
    with pytest.raises(error, match=said):
        capture_training(module, of_known, SGD(module.parameters(), lr=1), batch, whole=True)


class Mixed(nn.Module):
    """Parameters, buffers of both kinds, and a tensor that forward makes."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(5, 3), nn.BatchNorm1d(3)
        self.register_buffer("shift", torch.zeros(3), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.linear(x)) + self.shift + torch.arange(3, device=x.device)


def root(module: nn.Module, batch: list[Tensor]) -> bytes:
    return capture_training(module, F.cross_entropy, Adam(module.parameters()), batch).root


def example() -> list[Tensor]:
    return [torch.zeros(4, 5), torch.zeros(4, dtype=torch.int64)]


def test_what_has_no_values_gives_the_same_program():
    """Protects whoever captures a model that is larger than their memory: on the meta device, or
    in a FakeTensorMode of their own, module, optimizer and batch give the program of real ones."""
    expected = root(Mixed(), example())
    with torch.device("meta"):
        module, batch = Mixed(), example()
    assert root(module, batch) == root(module, example()) == expected
    with FakeTensorMode():
        module, batch = Mixed(), example()
        assert root(module, batch) == expected
    assert root(module, example()) == expected


def test_what_was_made_under_inference_mode_is_captured():
    """Protects users of saved features: such tensors are values like any other."""
    with torch.inference_mode():
        module, batch = Mixed(), example()
    assert root(module, batch) == root(Mixed(), example())


def test_a_loss_that_no_parameter_leads_to_is_refused_in_words():
    """Protects users: PyTorch speaks of element 0 of tensors and a grad_fn."""
    module, (x, y) = Mixed(), example()
    with pytest.raises(ValueError, match=r"depends on no parameter that is trained: .*detach\(\)"):
        capture_training(
            module,
            lambda output, target: F.cross_entropy(output.detach(), target),
            SGD(module.parameters(), lr=0.1),
            [x, y],
        )
