"""Trainings that the tests of capture share: made small, captured, and held to plain PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.program.models import seeded
from worker.program import capture_training, training_state

SGD = torch.optim.SGD


def perceptron() -> nn.Sequential:
    return seeded(5, lambda: nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)))


def batch(rows: int = 4) -> list[Tensor]:
    return seeded(6, lambda: [torch.randn(rows, 6), torch.randint(0, 3, (rows,))])


def numbers(rows: int = 8) -> list[Tensor]:
    """x and y, f32 [rows, 4] each."""
    return seeded(6, lambda: [torch.randn(rows, 4), torch.randn(rows, 4)])


def capture(module: nn.Module, loss_fn=F.cross_entropy, optimizer=None, rows=None):
    optimizer = optimizer or SGD(module.parameters(), 0.1)
    return capture_training(module, loss_fn, optimizer, rows or batch())


def losses(
    module: nn.Module,
    loss_fn: Callable[..., Tensor],
    optimizer: torch.optim.Optimizer,
    batches: Sequence[list[Tensor]],
) -> tuple[list[float], list[float], dict[str, Tensor]]:
    """The captured training's losses, plain PyTorch's, and the captured one's last state."""
    program = capture_training(module, loss_fn, optimizer, batches[0])
    state = training_state(module, optimizer)
    ours, plain = [], []
    for rows in batches:
        state, (loss,) = program.run(state, rows)
        ours.append(loss.item())
        optimizer.zero_grad()
        expected = loss_fn(module(*rows[:-1]), rows[-1])
        expected.backward()
        optimizer.step()
        plain.append(expected.item())
    return ours, plain, dict(zip(program.state_names, state, strict=True))


def assert_trains_as_in_pytorch(
    module: nn.Module,
    loss_fn: Callable[..., Tensor] = F.mse_loss,
    optimizer: torch.optim.Optimizer | None = None,
    steps: int = 4,
) -> None:
    """Every loss is PyTorch's to a ten-thousandth, and every parameter and buffer at last too."""
    optimizer = optimizer or SGD(module.parameters(), lr=0.3, momentum=0.5)
    ours, plain, state = losses(module, loss_fn, optimizer, [numbers()] * steps)
    torch.testing.assert_close(torch.tensor(ours), torch.tensor(plain), rtol=1e-4, atol=1e-5)
    assert len({f"{loss:.4f}" for loss in plain}) == steps, "a training that moves"
    last = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    for name in state.keys() & last.keys():
        tensor = last[name]
        found = state[name].view(tensor.shape)
        torch.testing.assert_close(found, tensor.detach(), rtol=1e-3, atol=1e-4)
