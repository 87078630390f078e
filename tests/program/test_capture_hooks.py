"""Hooks are part of a step as in PyTorch, or refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import grad, hessian, vmap

from tests.program.models import seeded
from tests.program.trainings import SGD, assert_trains_as_in_pytorch, capture, losses, numbers
from worker.program import Unsupported


def test_a_hook_of_a_parameter_trains_as_in_pytorch():
    """Protects masked gradients: the numbers of a hook that zeroes one, as PyTorch has them."""
    torch.manual_seed(0)
    module = nn.Linear(4, 4)
    x, y = torch.randn(8, 4), torch.randn(8, 4)
    module.weight.register_hook(lambda g: g * 0)
    ours, plain, _ = losses(module, F.mse_loss, SGD(module.parameters(), 0.5), [[x, y]] * 3)
    assert ours == pytest.approx(plain, rel=1e-5)


def clamps(p: Any) -> None:
    p.grad.clamp_(-0.01, 0.01)


def updates(p: Any) -> None:
    with torch.no_grad():
        p.add_(p.grad, alpha=-0.3)
    p.grad = None


def of_a_layer(m: nn.Module) -> None:
    m[2].register_full_backward_hook(lambda _, given, got: (given[0] * 0.5,))
    m[2].register_full_backward_pre_hook(lambda _, got: (got[0] * 0.5,))
    m[0].register_forward_pre_hook(lambda _, given: (given[0] * 2,))
    m[1].register_forward_hook(lambda _, given, out: out * 2)


def by_reference(m: nn.Module) -> None:
    weights = [m[0].weight]
    m[0].weight.register_hook(lambda g: g + 0.1 * weights[0].detach())


HOOKS: dict[str, Callable[[nn.Module], Any]] = {
    "in place": lambda m: m[0].weight.register_hook(lambda g: g.mul_(0.5)),
    "two": lambda m: [m[0].weight.register_hook(lambda g: g.clamp(-0.01, 0.01)) for _ in "12"],
    "that reads a parameter": by_reference,
    "after the gradient": lambda m: m[0].weight.register_post_accumulate_grad_hook(clamps),
    "that updates": lambda m: m[0].weight.register_post_accumulate_grad_hook(updates),
    "of a layer": of_a_layer,
}


@pytest.mark.parametrize("name", HOOKS)
def test_hooks_train_as_in_pytorch(name):
    """Protects clipping, updates in the backward and layers' hooks: in their order, on the step's
    own tensors."""
    module = seeded(4, lambda: nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)))
    HOOKS[name](module)
    assert_trains_as_in_pytorch(module)


class Within(nn.Module):
    """Hooks that forward itself sets."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        for p in self.a.parameters():
            p.requires_grad_(False)
        h = torch.tanh(self.a(x))
        for p in self.a.parameters():
            p.requires_grad_(True)
        with torch.autograd.graph.saved_tensors_hooks(lambda t: t * 1, lambda t: t * 1):
            y = torch.tanh(self.b(h))
        y.register_hook(lambda g: g.clamp(-0.01, 0.01))
        return y


def test_hooks_and_frozen_parameters_of_forward_itself_train_as_in_pytorch():
    assert_trains_as_in_pytorch(seeded(4, Within))


def test_hooks_that_cannot_be_followed_are_refused_by_name():
    """Protects from a hook that is dropped: one of several gradients, one that counts, another
    optimizer's step in the backward, a parameter that forward freezes."""
    module = nn.Linear(4, 4)
    torch.autograd.graph.register_multi_grad_hook(list(module.parameters()), lambda _: None)
    with pytest.raises(Unsupported, match="register_multi_grad_hook"):
        capture(module, F.mse_loss, rows=numbers())

    module, count = nn.Linear(4, 4), [0]

    def counts(g: Tensor) -> Tensor:
        count[0] += 1
        return g / count[0]

    module.weight.register_hook(counts)
    with pytest.raises(Unsupported, match="a second run of the step is another"):
        capture(module, F.mse_loss, rows=numbers())
    assert count == [0]

    module = nn.Linear(4, 4)
    other = SGD([module.weight], 0.1, momentum=0.9)
    module.weight.register_post_accumulate_grad_hook(lambda _: other.step())
    with pytest.raises(Unsupported, match=r"'momentum_buffer'.*one step makes and the next"):
        capture(module, F.mse_loss, SGD([module.bias], 0.1), numbers())
    assert not other.state

    class Freezes(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            self.weight.requires_grad_(False)
            return super().forward(x)

    with pytest.raises(Unsupported, match="requires_grad of weight, which the step changes"):
        capture(Freezes(4, 4), F.mse_loss, rows=numbers())


@pytest.mark.parametrize("register", ["register_step_pre_hook", "register_step_post_hook"])
def test_a_hook_of_an_optimizers_step_trains_as_in_pytorch(register):
    """Protects weights that are clipped around a step: never dropped without a word."""
    module = seeded(4, lambda: nn.Linear(4, 4))
    optimizer = SGD(module.parameters(), 0.3)

    def clips(used: torch.optim.Optimizer, *_: Any) -> None:
        with torch.no_grad():
            for p in used.param_groups[0]["params"]:
                p.clamp_(-0.2, 0.2)

    getattr(optimizer, register)(clips)
    assert_trains_as_in_pytorch(module, optimizer=optimizer)


def test_layers_without_shapes_and_quantised_ones_are_refused_by_name():
    """Protects users from PyTorch's own words about meta kernels and uninitialised parameters."""
    with pytest.raises(Unsupported, match=r"0\.weight, which has no shape yet: call the module"):
        capture(nn.Sequential(nn.LazyLinear(4)), F.mse_loss, SGD([torch.zeros(1)], 1), numbers())


def test_derivatives_of_functions_are_captured_backwards():
    """Protects torch.func: what runs forwards is refused with what gives the same."""

    class Curved(nn.Linear):
        way: Any

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * self.way(lambda z: torch.tanh(F.linear(z, self.weight)), x)

    module = seeded(4, lambda: Curved(4, 4))
    module.way = lambda f, x: vmap(grad(lambda z: f(z).sum()))(x)
    assert_trains_as_in_pytorch(module)
    module.way = lambda f, x: vmap(hessian(lambda z: f(z).sum()))(x).sum(1)
    with pytest.raises(Unsupported, match=r"hessian, jacfwd.*jacrev\(jacrev\(f\)\)"):
        capture(module, F.mse_loss, rows=numbers())
