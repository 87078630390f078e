"""Capturing changes nothing of the user's, whether it succeeds, refuses or fails."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tests.program.models import seeded
from tests.program.trainings import SGD, numbers
from worker.program import capture_inference, capture_training, inference_state


def fingerprint(module: nn.Module, optimizer: torch.optim.Optimizer, rows: list[Tensor]) -> Any:
    """What a user sees of these objects: which they are, and what they hold, bit by bit."""

    def of(t: Tensor | None) -> Any:
        if t is None:
            return None
        grad = None if t.grad is None else (id(t.grad), of(t.grad))
        seen = t.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        return (
            type(t),
            id(t),
            t._version,
            t.requires_grad,
            t.shape,
            t.dtype,
            seen,
            grad,
            {**vars(t)},
        )

    held = []
    for m in module.modules():
        for key, value in vars(m).items():
            is_dict = isinstance(value, dict)
            held.append((key, id(value), list(value.items()) if is_dict else value))
            if key in ("_parameters", "_buffers"):
                held += [of(t) for t in value.values()]
            if isinstance(value, list):
                held += [id(v) for v in value]
            if isinstance(value, Tensor):
                held.append(of(value))
    groups = [{**g, "params": list(map(id, g["params"]))} for g in optimizer.param_groups]
    chance = (
        torch.random.get_rng_state().numpy().tobytes(),
        random.getstate(),
        str(np.random.get_state()),
    )
    modes = torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled()
    return held, groups, len(optimizer.state), list(map(of, rows)), chance, modes


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.b = self.a

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x))


class Remembers(nn.Module):
    """Sets attributes, registers a buffer, appends to a list, caches a constant."""

    def __init__(self, then: Callable[[Tensor], Tensor] = lambda y: y) -> None:
        super().__init__()
        self.a, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)
        self.last: Any = None
        self.all: list[Any] = []
        self.by_name: dict[str, Any] = {"first": 0}
        self.then = then

    def forward(self, x: Tensor) -> Tensor:
        self.eval()
        self.last = self.norm(self.a(x))
        if not hasattr(self, "mask"):
            self.register_buffer("mask", torch.ones(4, 4).triu()[0])
        self.by_name["shape"] = tuple(x.shape)
        return self.then(self.last * self.mask)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.lstm(x.unsqueeze(0))[0][0]


class Writes(nn.Module):
    """Writes into its input, its buffer and its parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.register_buffer("seen", torch.zeros(()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x.mul_(2)
        self.seen += 1
        with torch.no_grad():
            self.a.bias.clamp_(-0.1, 0.1)
        return self.a(x)


def fails(y: Tensor) -> Tensor:
    raise KeyError("of my own")


def hooked() -> nn.Module:
    module = nn.Linear(4, 4)
    module.weight.register_hook(lambda g: fails(g))
    return module


def with_gradients() -> nn.Module:
    module = nn.Linear(4, 4)
    module.weight.grad = torch.ones(4, 4)
    module.weight.of_mine = "kept"
    return module


def counting() -> nn.Module:
    module = Remembers(lambda y: (module.all.append(1), y)[1])
    return module


def of_chance(y: Tensor) -> Tensor:
    torch.manual_seed(1)
    return y * random.random() * np.random.rand()


MODULES: dict[str, Callable[[], nn.Module]] = {
    "one layer under two names": Shared,
    "attributes": Remembers,
    "recurrent": Recurrent,
    "writes": Writes,
    "weight norm": lambda: nn.Sequential(nn.utils.weight_norm(nn.Linear(4, 4))),
    "gradients": with_gradients,
    "dropout": lambda: nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)),
    "an unknown operator": lambda: Remembers(torch.erfinv),
    "a value that Python looks at": lambda: Remembers(lambda y: y * y.sum().item()),
    "an error in forward": lambda: Remembers(fails),
    "an error in a hook": hooked,
    "an error in a checkpoint": lambda: Remembers(
        lambda y: checkpoint(lambda h: fails(h), y, use_reentrant=False)
    ),
    "shapes that do not fit": lambda: Remembers(lambda y: y @ torch.ones(3)),
    "chance": lambda: Remembers(of_chance),
    "a list that grows": counting,
}
CAPTURED = list(MODULES)[:7]


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")
@pytest.mark.parametrize("name", MODULES)
def test_whatever_happens_nothing_of_the_users_is_changed(name):
    """Protects the user's objects: the same tensors with the same bits, the same attributes, hooks,
    modes and random numbers, after a capture, a refusal and an error; and they still work."""
    module = seeded(1, MODULES[name])
    optimizer = SGD(module.parameters(), 0.1, momentum=0.9)
    rows = numbers()
    before = fingerprint(module, optimizer, rows)
    for capture in (
        lambda: capture_training(module, F.mse_loss, optimizer, rows),
        lambda: capture_inference(module, rows[:1]),
    ):
        try:
            capture()
            failed = False
        except Exception:
            failed = True
        assert fingerprint(module, optimizer, rows) == before
        if name in CAPTURED:
            assert not failed
    if name in CAPTURED:
        program = capture_inference(module, rows[:1])
        program.run(inference_state(module), rows[:1])
        F.mse_loss(module(rows[0]), rows[1]).backward()
        optimizer.step()


def test_an_error_in_the_loss_changes_nothing():
    """Protects the module while its tensors are replaced: the loss is called among them."""
    module = Shared()
    optimizer = SGD(module.parameters(), 0.1)
    before = fingerprint(module, optimizer, [])
    for loss_fn in (lambda o, t: fails(o), lambda o, t: o):
        with pytest.raises(Exception):  # noqa: B017
            capture_training(module, loss_fn, optimizer, numbers())
        assert fingerprint(module, optimizer, []) == before
