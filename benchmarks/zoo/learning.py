"""Ways of learning: contrast, reinforcement, diffusion."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.zoo.entries import Entry


def body(inside: int = 6, outside: int = 4) -> nn.Module:
    return nn.Sequential(nn.Linear(inside, 8), nn.ReLU(), nn.Linear(8, outside))


class Pairs(nn.Module):
    """Two views of each row, one encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.body = body()

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        return F.normalize(torch.cat([self.body(one), self.body(other)]), dim=1)


def simclr(z: Tensor, _: Tensor) -> Tensor:
    """NT-Xent: every row beside all others; its own view is the right one."""
    n = len(z)
    scores = (z @ z.T)[~torch.eye(n, dtype=torch.bool)].view(n, n - 1) / 0.5
    rows = torch.arange(n)
    right = (rows + n // 2) % n
    return F.cross_entropy(scores, right - (right > rows).long())


def barlow(z: Tensor, _: Tensor) -> Tensor:
    """Barlow Twins: features correlate with themselves alone."""
    a, b = ((v - v.mean(0)) / (v.std(0) + 1e-3) for v in z.chunk(2))
    products = a.T @ b / len(a)
    off = products[~torch.eye(4, dtype=torch.bool)]
    return (products.diagonal() - 1).square().sum() + 0.01 * off.square().sum()


class Siamese(nn.Module):
    """One encoder for three."""

    def __init__(self) -> None:
        super().__init__()
        self.body = body()

    def forward(self, anchor: Tensor, near: Tensor, far: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.body(x) for x in (anchor, near, far))


class Actor(nn.Module):
    """Logits of actions, and a value."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.policy, self.value = nn.Linear(6, 8), nn.Linear(8, 3), nn.Linear(8, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(self.body(x))
        return self.policy(h), self.value(h).squeeze(1)


def ppo(outputs: tuple[Tensor, Tensor], taken: Tensor) -> Tensor:
    """The clipped surrogate, the value's error and the entropy; columns: action, its old
    probability's logarithm, advantage, return."""
    logits, value = outputs
    action, before, advantage, returned = taken.unbind(1)
    logs = logits.log_softmax(1)
    ratio = (logs.gather(1, action.long().unsqueeze(1)).squeeze(1) - before).exp()
    surrogate = torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()
    entropy = -(logs.exp() * logs).sum(1).mean()
    return -surrogate + 0.5 * F.mse_loss(value, returned) - 0.01 * entropy


def played() -> list[Tensor]:
    numbers = torch.stack([torch.tensor([0.0, 2.0, 1.0, 1.0]), *torch.randn(3, 4)], 1)
    return [torch.randn(4, 6), numbers]


class Dueling(nn.Module):
    """DQN with a value and advantages; the target's net is a frozen part of the module."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.value, self.target = body(6, 3), nn.Linear(6, 1), body(6, 3)
        self.target.requires_grad_(False)

    def forward(self, x: Tensor, following: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        advantage = self.net(x)
        q = self.value(x) + advantage - advantage.mean(1, keepdim=True)
        with torch.no_grad():
            best = self.net(following).argmax(1, keepdim=True)
            later = self.target(following).gather(1, best).squeeze(1)
        return q.gather(1, action.unsqueeze(1)).squeeze(1), later


class Denoiser(nn.Module):
    """DDPM: noise of a random strength is guessed; the strengths are a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kept", torch.cumprod(1 - torch.linspace(1e-4, 0.2, 10), 0))
        self.time, self.body = nn.Embedding(10, 6), body(6, 6)

    def forward(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        kept = self.kept[t].unsqueeze(1)
        noisy = kept.sqrt() * x + (1 - kept).sqrt() * noise
        return F.mse_loss(self.body(noisy + self.time(t)), noise)


ZOO = {
    "SimCLR": Entry(
        Pairs,
        lambda: [torch.randn(4, 6), torch.randn(4, 6), torch.zeros(4)],
        simclr,
        "sim[~eye]",
    ),
    "Barlow Twins": Entry(
        Pairs, lambda: [torch.randn(5, 6), torch.randn(5, 6), torch.zeros(5)], barlow
    ),
    "Siamese triplets": Entry(
        Siamese,
        lambda: [*torch.randn(3, 4, 6), torch.zeros(4)],
        lambda y, _: F.triplet_margin_loss(*y),
    ),
    "PPO": Entry(Actor, played, ppo),
    "Dueling DQN": Entry(
        Dueling,
        lambda: [*torch.randn(2, 4, 6), torch.randint(0, 3, (4,)), torch.randn(4)],
        lambda y, reward: F.smooth_l1_loss(y[0], reward + 0.9 * y[1]),
    ),
    "DDPM": Entry(
        Denoiser,
        lambda: [*torch.randn(2, 4, 6), torch.randint(0, 10, (4,)), torch.zeros(4)],
        lambda loss, _: loss,
    ),
}
