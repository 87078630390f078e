"""Losses made of `torch.distributions`: captured as they are written, and PyTorch's numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch import distributions as D
from torch.distributions import normal

from worker.program import capture_training, training_state

STEPS = 10
ROWS = 8


@contextmanager
def drawing(noise: Tensor) -> Iterator[None]:
    """Within, a normal distribution's noise is this."""
    before = normal._standard_normal
    normal._standard_normal = lambda shape, dtype, device: noise.reshape(shape)
    try:
        yield
    finally:
        normal._standard_normal = before


Loss = Callable[[Tensor, dict[str, Tensor]], Tensor]


def ppo(out: Tensor, given: dict[str, Tensor]) -> Tensor:
    policy = D.Categorical(logits=out[:, :4])
    ratio = (policy.log_prob(given["action"]) - given["old"]).exp()
    advantage = given["value"]
    clipped = ratio.clamp(0.8, 1.2) * advantage
    return -torch.min(ratio * advantage, clipped).mean() - 0.01 * policy.entropy().mean()


def continuous(out: Tensor, given: dict[str, Tensor]) -> Tensor:
    policy = D.Independent(D.Normal(out[:, :2], out[:, 2:4].exp()), 1)
    return -(policy.log_prob(given["two"]) * given["value"]).mean() - 0.01 * policy.entropy().mean()


def sac(out: Tensor, given: dict[str, Tensor]) -> Tensor:
    with drawing(given["two"]):
        base = D.Normal(out[:, :2], out[:, 2:4].clamp(-2, 1).exp(), validate_args=True)
        squashed = D.TransformedDistribution(base, [D.TanhTransform(cache_size=1)])
        action = squashed.rsample()
    return (0.2 * squashed.log_prob(action).sum(-1) - action.sum(-1)).mean()


def mixture(out: Tensor, given: dict[str, Tensor]) -> Tensor:
    parts = D.Normal(out[:, :3], nn.functional.softplus(out[:, 3:6]) + 0.1)
    both = D.MixtureSameFamily(D.Categorical(logits=out[:, 6:9]), parts)
    return -both.log_prob(given["value"]).mean()


def forecast(out: Tensor, given: dict[str, Tensor]) -> Tensor:
    """As DeepAR has it: counts, and a heavy tail."""
    counts = D.NegativeBinomial(out[:, 0].exp() + 0.5, logits=out[:, 1])
    tail = D.StudentT(2 + out[:, 2].exp(), out[:, 3], out[:, 4].exp())
    return -(counts.log_prob(given["action"].float()) + tail.log_prob(given["value"])).mean()


def variational(out: Tensor, given: dict[str, Tensor]) -> Tensor:
    posterior = D.Normal(out[:, :2], out[:, 2:4].exp())
    with drawing(given["two"]):
        z = posterior.rsample()
    prior = D.Normal(torch.zeros(2), torch.ones(2))
    pixels = D.Bernoulli(logits=z @ given["decoder"])
    seen = (given["two"] > 0).float()
    divergence = D.kl_divergence(posterior, prior).sum(-1)
    return (divergence - pixels.log_prob(seen).sum(-1)).mean()


def others(out: Tensor, given: dict[str, Tensor]) -> Tensor:
    """Of further kinds their likelihoods."""
    scale = out[:, 0].exp() + 0.1
    positive = given["value"].abs() + 0.1
    found = [
        D.Laplace(out[:, 1], scale).log_prob(given["value"]),
        D.LogNormal(out[:, 1], scale).log_prob(positive),
        D.Exponential(scale).log_prob(positive),
        D.Gamma(scale + 1, scale).log_prob(positive),
        D.Beta(scale + 1, scale + 2).log_prob(torch.sigmoid(positive)),
        D.Poisson(scale).log_prob(given["action"].float()),
        D.Gumbel(out[:, 1], scale).log_prob(given["value"]),
        D.Uniform(out[:, 1] - 9, out[:, 1] + 9).log_prob(given["value"]),
    ]
    return -torch.stack(found).mean()


# each with what it reads of the batch
LOSSES: dict[str, tuple[Loss, str]] = {
    "ppo": (ppo, "action old value"),
    "continuous": (continuous, "two value"),
    "sac": (sac, "two"),
    "mixture": (mixture, "value"),
    "forecast": (forecast, "action value"),
    "variational": (variational, "two"),
    "others": (others, "action value"),
}


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's own default. `torch.compile` turns it off for the rest of a process, so what a test
    sees without this depends on which ran before."""
    monkeypatch.setattr(D.Distribution, "_validate_args", True)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_of_distributions_is_pytorchs(name: str, checks: None) -> None:
    """Protects reinforcement learning, mixtures, forecasts and variational losses: their argument
    checks look at values, and nothing else of them does."""
    torch.manual_seed(4)
    module = nn.Sequential(nn.Linear(5, 12), nn.Tanh(), nn.Linear(12, 9))
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-2)
    of, names = LOSSES[name]
    data = {
        "input": torch.randn(ROWS, 5),
        "action": torch.randint(0, 4, (ROWS,)),
        "old": torch.randn(ROWS) - 1,
        "value": torch.randn(ROWS),
        "two": torch.randn(ROWS, 2),
    }
    batch = {key: data[key] for key in ("input", *names.split())}
    decoder = torch.randn(2, 2)

    def loss(out: Tensor, given: dict[str, Tensor]) -> Tensor:
        return of(out, {**given, "decoder": decoder})

    program = capture_training(module, loss, optimizer, batch)
    assert D.Distribution._validate_args is True
    with pytest.raises(ValueError, match="to satisfy the constraint"):
        D.Normal(torch.zeros(1), torch.tensor([-1.0]))
    state = training_state(module, optimizer)
    for _ in range(STEPS):
        state, (ours,) = program.run(state, list(batch.values()))
        optimizer.zero_grad()
        plain = loss(module(batch["input"]), batch)
        plain.backward()
        optimizer.step()
        assert float(ours) == pytest.approx(float(plain), rel=1e-3, abs=1e-4)


def test_what_a_distribution_draws_is_new_in_every_step() -> None:
    """Protects sampling: a sample is of the program's own numbers, of the right distribution."""
    module = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.0)
    x = torch.zeros(4096, 1)

    def loss(out: Any, target: Tensor) -> Tensor:
        drawn = D.Normal(out + 3 - out.detach(), 2.0).rsample()
        return ((drawn - 3) ** 2).mean() + D.Categorical(
            torch.ones(4096, 4)
        ).sample().float().mean()

    program = capture_training(module, loss, optimizer, [x, x])
    state = training_state(module, optimizer)
    first, second = (float(program.run(state, [x, x], seed=1, step=k)[1][0]) for k in (0, 1))
    assert first != second
    assert first == pytest.approx(4 + 1.5, abs=0.5)
