"""Small trainings that the tests share, of 14 bits: every way to make a product can make them."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worker.program import Program, capture_training, training_state
from worker.program.wellformed import DOT_BITS


def seeded(seed: int, make):  # type: ignore[no-untyped-def]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()


@cache
def tiny() -> tuple[Program, list[Tensor], list[Tensor]]:
    """A perceptron with momentum and weight decay: program, first state, batch."""
    module = seeded(1, lambda: nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)))
    optimizer = torch.optim.SGD(
        module.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True
    )
    batch = seeded(2, lambda: [torch.randn(4, 5), torch.tensor([0, 2, 1, 2])])
    program = capture_training(module, F.cross_entropy, optimizer, batch, bits=DOT_BITS)
    return program, training_state(module, optimizer), batch


class Attention(nn.Module):
    """One head of attention over embedded tokens, with a norm, a sigmoid and a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 6)
        self.embedding.weight.requires_grad_(False)
        self.qkv = nn.ModuleList([nn.Linear(6, 6) for _ in range(3)])
        self.out = nn.Linear(6, 7)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, tokens: Tensor) -> Tensor:
        self.seen += 1
        x = self.embedding(tokens)
        centred = x - x.mean(-1, keepdim=True)
        normed = centred * torch.rsqrt((centred * centred).mean(-1, keepdim=True) + 1e-5)
        q, k, v = (layer(normed) for layer in self.qkv)
        scores = q @ k.transpose(1, 2) / 6**0.5
        mask = torch.arange(4)[:, None] < torch.arange(4)[None, :]
        attended = scores.masked_fill(mask, float("-inf")).softmax(-1) @ v
        return self.out(x + attended * torch.sigmoid(x))


@cache
def attention() -> tuple[Program, list[Tensor], list[Tensor]]:
    """As `tiny`: every kind of node, several axes, an integer buffer, a frozen parameter."""
    module = seeded(3, Attention)
    trained = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.05)
    batch = seeded(4, lambda: [torch.randint(0, 7, (2, 4)), torch.randint(0, 7, (2, 4))])

    def loss_fn(y: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(y.flatten(0, 1), target.flatten())

    program = capture_training(module, loss_fn, optimizer, batch, bits=DOT_BITS)
    return program, training_state(module, optimizer), batch


class Picture(nn.Module):
    """Tokens embedded as a small picture, a convolution, poolings and a dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 2)
        self.convolution = nn.Conv2d(2, 3, 2, stride=2, padding=1)
        self.out = nn.Linear(3, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens).permute(0, 3, 1, 2)
        x = F.max_pool2d(F.gelu(self.convolution(x)), 2, stride=1)
        return self.out(F.dropout(F.avg_pool2d(x, 2).flatten(1), 0.25))


@cache
def picture() -> tuple[Program, list[Tensor], list[Tensor]]:
    """As `tiny`: windows, a gradient that is scattered, random numbers, and Adam."""
    module = seeded(5, Picture)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.05)
    batch = seeded(6, lambda: [torch.randint(0, 5, (2, 4, 4)), torch.randint(0, 3, (2,))])
    program = capture_training(module, F.cross_entropy, optimizer, batch, bits=DOT_BITS)
    return program, training_state(module, optimizer), batch


TRAININGS = [tiny, attention, picture]
