"""What an owner writes: recipes that cannot be, and what becomes part of the program."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.jobs.helpers import program, training
from worker.jobs import Computation, FieldError
from worker.program import Kind, capture_inference

REFUSED = [
    ({"module": "a model"}, "module='a model'", "torch.nn.Module"),
    ({"loss_fn": "mse"}, "loss_fn='mse'", "a function of output and target"),
    ({"optimizer": "sgd"}, "optimizer='sgd'", "torch.optim.Optimizer"),
    ({"optimizer": torch.optim.SGD}, "optimizer=<class", "torch.optim.Optimizer"),
    ({"data": [torch.zeros(10, 5)]}, "data=[[10, 5]]", "then the target"),
    ({"whole": 1}, "whole=1", "True or False"),
    ({"whole": True}, "batch_rows=4", "1, as a data set that every step sees whole is one row"),
    ({"module": nn.LazyLinear(3)}, "module=a module whose weight has no shape", "call it once"),
    ({"module": nn.Linear(5, 3, device="meta")}, "module=a module whose weight", "with values"),
    ({"schedule": []}, "schedule=[]", "one for each step"),
    ({"schedule": [0.1, -0.1]}, "schedule=[0.1, -0.1]", "from 0 up"),
    ({"schedule": [0.1, float("nan")]}, "schedule=[0.1, nan]", "from 0 up"),
    ({"schedule": ["fast"]}, "schedule=['fast']", "learning rates"),
    ({"clip_norm": 0}, "clip_norm=0", "above 0"),
    ({"clip_norm": True}, "clip_norm=True", "above 0"),
    ({"evaluate": 0.9}, "evaluate=0.9", "a function of the module"),
    ({"bits": 1}, "bits=1", "from 2 to 20"),
    ({"bits": 21}, "bits=21", "from 2 to 20"),
]


@pytest.mark.parametrize(("changes", "field", "rule"), REFUSED)
def test_a_recipe_that_cannot_be_is_refused_with_field_value_and_rule(changes, field, rule):
    """Protects owners: the error says what was given, where, and what would do."""
    with pytest.raises(FieldError) as caught:
        training(**changes)
    assert str(caught.value).startswith(field) and rule in str(caught.value)


def test_a_schedule_and_clipping_are_part_of_the_program():
    """Protects owners: the job's steps are those of plain PyTorch with its own scheduler and
    clipping, and worth checking: without either they would be others."""
    module = nn.Linear(5, 3)
    module.load_state_dict(training().module.state_dict())
    rates = [0.5 * 0.8**k for k in range(10)]
    job = training(schedule=rates, clip_norm=0.05)
    c = Computation(job.job(job.capture()), job.capture(), job.data)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    state, ours, plain = job.initial_state(), [], []
    for step, rate in enumerate(rates):
        x, y = c.batch(step)
        state, (loss, _) = c.advance(state, step)
        ours.append(float(loss))
        optimizer.zero_grad()
        expected = F.cross_entropy(module(x), y)
        expected.backward()
        norm = nn.utils.clip_grad_norm_(module.parameters(), 0.05)
        assert norm > 0.05, "clipping that does nothing would show nothing"
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        plain.append(float(expected.detach()))
    assert ours == pytest.approx(plain, rel=1e-3)
    assert "schedule.step" in c.program.state_names
    roots = {program().root, c.program.root, training(clip_norm=0.05).capture().root}
    assert len(roots) == 3


def test_bits_are_part_of_the_program():
    """Protects owners: a product's integers have as many bits as the job says, and where it says
    nothing those that follow fp32."""
    found = [training(bits=bits).capture() for bits in (8, 14, 20)]
    for bits, captured in zip((8, 14, 20), found, strict=True):
        dots = [n.attributes[4] for n in captured.nodes if n.kind == Kind.DOT]
        assert dots and set(dots) == {bits}
    assert found[2].root == program().root != found[1].root
    with pytest.raises(ValueError, match=r"bits=21; products take 2 to 20"):
        capture_inference(nn.Linear(5, 3), [torch.zeros(2, 5)], bits=21)


class Margin(nn.Module):
    """A loss with a number of its own to learn, and weights of classes."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("weight", torch.tensor([0.2, 0.3, 0.5]))

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(output * self.scale, target, weight=self.weight)


def test_a_loss_has_weights_and_parameters_of_its_own():
    """Protects owners of imbalanced data and of learned losses: both are part of the state, train
    as in PyTorch, and stand in the loss when the result is loaded."""
    module, loss_fn = nn.Linear(5, 3), Margin()
    optimizer = torch.optim.SGD([*module.parameters(), *loss_fn.parameters()], lr=0.5)
    job = training(module=module, loss_fn=loss_fn, optimizer=optimizer)
    captured = job.capture()
    c = Computation(job.job(captured), captured, job.tensors)
    state, ours, plain = job.initial_state(), [], []
    for step in range(4):
        x, y = c.batch(step)
        state, (loss, _) = c.advance(state, step)
        ours.append(float(loss))
        optimizer.zero_grad()
        expected = loss_fn(module(x), y)
        expected.backward()
        optimizer.step()
        plain.append(float(expected.detach()))
    assert ours == pytest.approx(plain, rel=1e-5)
    trained = loss_fn.scale.item()
    with torch.no_grad():
        loss_fn.scale.fill_(7)
    job.load(state, captured)
    assert loss_fn.scale.item() == pytest.approx(trained, rel=1e-5) and trained != 1
    assert torch.equal(
        dict(zip(captured.state_names, state, strict=True))["loss.weight"], loss_fn.weight
    )


def test_weights_of_a_thousand_classes_are_state():
    """Protects class weights of any number: as a constant they would be refused."""
    job = training(
        module=(module := nn.Linear(5, 1000)),
        loss_fn=nn.CrossEntropyLoss(weight=torch.rand(1000)),
        optimizer=torch.optim.SGD(module.parameters(), lr=0.1),
    )
    assert "loss.weight" in job.capture().state_names
