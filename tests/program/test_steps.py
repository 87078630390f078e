"""A training step as a user writes it: several optimizers, losses, averages and target nets."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from worker.program import Unsupported, capture_step, capture_training, step_state, training_state

STEPS = 10


def net(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def assert_as_in_pytorch(
    step: Callable[..., Any],
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, torch.optim.Optimizer],
    batches: list[tuple[Tensor, ...]],
    tolerance: float = 3e-4,
) -> list[float]:
    """What the step reports and leaves in the modules, step after step."""
    before = {name: copy.deepcopy(m.state_dict()) for name, m in modules.items()}
    program = capture_step(step, modules, optimizers, batches[0])
    state = step_state(modules, optimizers)
    for name, m in modules.items():
        assert all(torch.equal(t, before[name][k]) for k, t in m.state_dict().items())
    reports = []
    for batch in batches:
        state, found = program.run(state, list(batch))
        expected = step(*batch)
        expected = expected if isinstance(expected, tuple) else (expected,)
        for ours, plain in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, plain.detach(), rtol=tolerance, atol=tolerance)
        reports.append(float(found[0]))
    last = dict(zip(program.state_names, state, strict=True))
    for name, m in modules.items():
        for key, t in m.state_dict().items():
            torch.testing.assert_close(last[f"{name}.{key}"], t, rtol=1e-3, atol=tolerance)
    return reports


def rows(*sizes: int) -> list[tuple[Tensor, ...]]:
    torch.manual_seed(3)
    return [tuple(torch.randn(8, n) for n in sizes) for _ in range(STEPS)]


def test_two_networks_with_an_optimizer_each_play_as_in_pytorch() -> None:
    """Protects adversarial training: each optimizer moves its own network by its own loss, and the
    gradients that the other's loss leaves are cleared."""
    torch.manual_seed(0)
    g, d = net(4, 8, 6), net(6, 8, 1)
    of_g = torch.optim.Adam(g.parameters(), lr=1e-3, betas=(0.0, 0.9))
    of_d = torch.optim.RMSprop(d.parameters(), lr=1e-3)

    def step(real: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        fake = g(noise)
        of_d.zero_grad()
        loss_d = F.softplus(-d(real)).mean() + F.softplus(d(fake.detach())).mean()
        loss_d.backward()
        nn.utils.clip_grad_norm_(d.parameters(), 0.5)
        of_d.step()
        of_g.zero_grad()
        loss_g = F.softplus(-d(fake)).mean()
        loss_g.backward()
        of_g.step()
        return loss_d, loss_g

    assert_as_in_pytorch(step, {"g": g, "d": d}, {"g": of_g, "d": of_d}, rows(6, 4))


def test_a_target_network_follows_by_copies_under_no_grad() -> None:
    """Protects reinforcement learning and distillation: parameters that a step writes into."""
    torch.manual_seed(0)
    q = net(5, 8, 2)
    target = copy.deepcopy(q).requires_grad_(False)
    optimizer = torch.optim.AdamW(q.parameters(), lr=1e-2)

    def step(seen: Tensor, then: Tensor, reward: Tensor) -> Tensor:
        wanted = reward[:, 0] + 0.9 * target(then).max(1).values
        loss = F.smooth_l1_loss(q(seen)[:, 0], wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for slow, fast in zip(target.parameters(), q.parameters(), strict=True):
                slow.lerp_(fast, 0.1)
            target[0].bias.copy_(q[0].bias)
            target[2].bias.data.mul_(0.5)
        return loss

    assert_as_in_pytorch(step, {"q": q, "target": target}, {"q": optimizer}, rows(5, 5, 1))


@pytest.mark.parametrize("how", [{}, {"multi_avg_fn": get_ema_multi_avg_fn(0.8)}])
def test_an_averaged_model_is_averaged_as_in_pytorch(how: dict[str, Any]) -> None:
    """Protects averages of weights: the first time a copy, then the mean, or the running one."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2))
    average = AveragedModel(model, **how)
    with torch.no_grad():
        for p in average.parameters():
            p.add_(1.0)  # what stands there before the first update counts for nothing
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, dampening=0.2)

    def step(x: Tensor, y: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        average.update_parameters(model)
        return loss

    modules = {"model": model, "average": average}
    assert_as_in_pytorch(step, modules, {"sgd": optimizer}, rows(4, 2))


class Margin(nn.Module):
    """A loss with centres of its own, and a weight that is data."""

    def __init__(self) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.randn(3, 4))
        self.register_buffer("weight", torch.rand(3) + 0.5)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(-torch.cdist(x, self.centres), label, weight=self.weight)


def test_a_loss_with_parameters_of_its_own_trains_them() -> None:
    """Protects metric learning: a loss that is a module is a part of the state."""
    torch.manual_seed(0)
    module, loss = net(6, 8, 4), Margin()
    optimizer = torch.optim.Adam([*module.parameters(), *loss.parameters()], lr=1e-2)
    x, y = torch.randn(8, 6), torch.randint(0, 3, (8,))
    program = capture_training(module, loss, optimizer, (x, y))
    state = training_state(module, optimizer, loss_fn=loss)
    for _ in range(STEPS):
        state, (ours,) = program.run(state, [x, y])
        optimizer.zero_grad()
        plain = loss(module(x), y)
        plain.backward()
        optimizer.step()
        assert float(ours) == pytest.approx(float(plain), rel=2e-4)
    last = dict(zip(program.state_names, state, strict=True))
    torch.testing.assert_close(last["loss.centres"], loss.centres.detach(), rtol=1e-3, atol=1e-4)
    assert torch.equal(last["loss.weight"], loss.weight)


def test_gradients_are_not_carried_from_step_to_step_without_a_word() -> None:
    """Protects users: a step that adds to old gradients is refused, one that clears them at its
    end is not."""
    torch.manual_seed(0)
    model = net(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def adds(x: Tensor) -> Tensor:
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    def clears(x: Tensor) -> Tensor:
        loss = adds(x)
        model.zero_grad()
        return loss

    with pytest.raises(ValueError, match=r"left of \['0.weight', '0.bias'\]: call optimizer.zero_"):
        capture_step(adds, model, optimizer, [torch.randn(4, 3)])
    capture_step(clears, model, optimizer, [torch.randn(4, 3)])
    with pytest.raises(ValueError, match="the step returns no tensor"):
        capture_step(lambda x: None, model, optimizer, [torch.randn(4, 3)])
    with pytest.raises(Unsupported, match=r"test_steps.py:\d+: if loss > 0"):
        capture_step(looks(model, optimizer), model, optimizer, [torch.randn(4, 3)])


def looks(model: nn.Module, optimizer: torch.optim.Optimizer) -> Callable[[Tensor], Tensor]:
    def step(x: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        if loss > 0:
            optimizer.step()
        return loss

    return step
