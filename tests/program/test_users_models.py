"""Ordinary models, written as in a tutorial, with nothing done for programs: what users bring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.models import language_loss
from tests.program.helpers import assert_as_in_pytorch, repeated, same
from tests.program.models import seeded
from worker.program import capture_inference, capture_training, inference_state, training_state

STEPS = 12


def twice(inside: int, outside: int) -> nn.Module:
    layers: list[nn.Module] = []
    for before in (inside, outside):
        layers += [nn.Conv2d(before, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside)]
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Down by pooling, up by a transposed convolution and by interpolation, with skips."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.down1, self.down2 = twice(1, width), twice(width, 2 * width)
        self.middle, self.pool = twice(2 * width, 4 * width), nn.MaxPool2d(2)
        self.up2 = nn.ConvTranspose2d(4 * width, 2 * width, 2, stride=2)
        self.up1 = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.back2, self.back1 = twice(4 * width, 2 * width), twice(3 * width, width)
        self.out = nn.Conv2d(width, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.down1(x)
        b = self.down2(self.pool(a))
        b = self.back2(torch.cat([b, self.up2(self.middle(self.pool(b)))], 1))
        return self.out(self.back1(torch.cat([a, self.up1(b)], 1)))


class ViT(nn.Module):
    """Patches, a token of the class, and PyTorch's own encoder with norms first."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.places = nn.Parameter(0.02 * torch.randn(1, 5, width))
        layer = nn.TransformerEncoderLayer(
            width, 2, 32, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.places
        return self.head(self.encoder(x)[:, 0])


class Padded(nn.Module):
    """PyTorch's encoder over sentences of different lengths."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(30, width), nn.Embedding(8, width)
        layer = nn.TransformerEncoderLayer(width, 2, 32, dropout=0.0, batch_first=True)
        self.encoder, self.out = nn.TransformerEncoder(layer, 1), nn.Linear(width, 3)

    def forward(self, words: Tensor) -> Tensor:
        padding = words == 0
        x = self.words(words) + self.places(torch.arange(words.shape[1], device=words.device))
        x = self.encoder(x, src_key_padding_mask=padding)
        x = x.masked_fill(padding.unsqueeze(-1), 0.0)
        return self.out(x.sum(1) / (~padding).sum(1, keepdim=True))


class Decoder(nn.Module):
    """nn.RMSNorm, rotary embeddings, a causal mask and a padding mask in one, a gated layer."""

    def __init__(self, width: int = 16, heads: int = 4, groups: int = 2, length: int = 5) -> None:
        super().__init__()
        self.heads, self.groups, self.each = heads, groups, width // heads
        self.words, self.norm1 = nn.Embedding(30, width, padding_idx=0), nn.RMSNorm(width)
        self.q = nn.Linear(width, width, bias=False)
        self.kv = nn.Linear(width, 2 * groups * self.each, bias=False)
        self.norm2, self.up = nn.RMSNorm(width), nn.Linear(width, 4 * width)
        self.down, self.norm3 = nn.Linear(2 * width, width), nn.RMSNorm(width)
        self.head = nn.Linear(width, 30, bias=False)
        self.head.weight = self.words.weight
        angles = torch.outer(torch.arange(length), 100.0 ** -torch.linspace(0, 1, self.each // 2))
        self.register_buffer("cos", angles.cos().repeat(1, 2))
        self.register_buffer("sin", angles.sin().repeat(1, 2))

    def turned(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2, -1)
        return x * self.cos + torch.cat([-b, a], -1) * self.sin

    def forward(self, words: Tensor) -> Tensor:
        n, length = words.shape
        x = self.words(words)
        h = self.norm1(x)
        q = self.q(h).view(n, length, self.heads, self.each).transpose(1, 2)
        k, v = self.kv(h).view(n, length, 2 * self.groups, self.each).transpose(1, 2).chunk(2, 1)
        causal = torch.ones(length, length, dtype=torch.bool, device=words.device).tril()
        mask = causal & (words != 0)[:, None, None, :]
        h = F.scaled_dot_product_attention(
            self.turned(q), self.turned(k), v, attn_mask=mask, enable_gqa=True
        )
        x = x + h.transpose(1, 2).flatten(2)
        a, b = self.up(self.norm2(x)).chunk(2, -1)
        return self.head(self.norm3(x + self.down(F.silu(a) * b)))


class Reader(nn.Module):
    """Two layers of LSTM, then a GRU in both directions, and the mean of what is no padding."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.words = nn.Embedding(30, width, padding_idx=0)
        self.lstm = nn.LSTM(width, width, num_layers=2, batch_first=True)
        self.gru = nn.GRU(width, width, bidirectional=True, batch_first=True)
        self.out = nn.Linear(2 * width, 3)

    def forward(self, words: Tensor) -> Tensor:
        seen = (words != 0).unsqueeze(-1)
        x, (hidden, _) = self.lstm(self.words(words))
        x, last = self.gru(x + hidden[-1].unsqueeze(1))
        x = (x * seen).sum(1) / seen.sum(1).clamp(min=1)
        return self.out(x + torch.cat([last[0], last[1]], -1))


class Mobile(nn.Module):
    """Depthwise convolution, squeeze and excitation, the hard activations."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.Hardswish()
        )
        self.deep = nn.Conv2d(8, 8, 5, padding=2, groups=8, bias=False)
        self.norm, self.wide = nn.BatchNorm2d(8), nn.Conv2d(8, 16, 1)
        self.squeeze = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 2, 1), nn.ReLU6(), nn.Conv2d(2, 8, 1)
        )
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.norm(self.deep(x))
        x = self.wide(x + y * F.hardsigmoid(self.squeeze(y)))
        return self.head(F.adaptive_max_pool2d(x, (2, 2)).mean((2, 3)))


class Experts(nn.Module):
    """Two of four experts for each row, weighted by a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.out = nn.Linear(8, 4), nn.Linear(8, 3)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(8, 12), nn.SiLU(), nn.Linear(12, 8)) for _ in range(4)
        )

    def forward(self, x: Tensor) -> Tensor:
        weights, chosen = self.gate(x).softmax(-1).topk(2)
        y = torch.zeros_like(x)
        for k, expert in enumerate(self.experts):
            y = y + ((chosen == k) * weights).sum(-1, keepdim=True) * expert(x)
        return self.out(x + y)


def padded_words() -> Tensor:
    lengths = torch.tensor([5, 4, 2, 3])
    return torch.randint(1, 30, (4, 5)) * (torch.arange(5) < lengths[:, None])


def labels(x: Tensor, count: int) -> list[Tensor]:
    return [x, torch.randint(0, count, (len(x),))]


def next_words() -> list[Tensor]:
    words = padded_words()
    following = F.pad(words[:, 1:], (0, 1))
    return [words, torch.where(following == 0, -100, following)]


@dataclass(frozen=True)
class Users:
    make: Callable[[], nn.Module]
    batch: Callable[[], list[Tensor]]
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy


MODELS = {
    "unet": Users(UNet, lambda: [torch.randn(2, 1, 8, 8), torch.randint(0, 2, (2, 8, 8))]),
    "vit": Users(ViT, lambda: labels(torch.randn(4, 3, 8, 8), 4)),
    "padded": Users(Padded, lambda: labels(padded_words(), 3)),
    "decoder": Users(Decoder, next_words, language_loss),
    "reader": Users(Reader, lambda: labels(padded_words()[:, :3], 3)),
    "mobile": Users(Mobile, lambda: labels(torch.randn(4, 3, 16, 16), 4)),
    "experts": Users(Experts, lambda: labels(torch.randn(6, 8), 3)),
}


@pytest.mark.parametrize("name", MODELS)
def test_it_trains_and_then_answers_as_in_pytorch(name):
    """Protects users: with nothing set, every loss is plain PyTorch's, then the answers of the
    trained model are, to the same bits in every way of running and for a row on its own."""
    users = MODELS[name]
    module, batch = seeded(1, users.make), seeded(2, users.batch)
    optimizer = torch.optim.AdamW(module.parameters(), lr=2e-3)
    program = capture_training(module, users.loss, optimizer, batch)
    state = training_state(module, optimizer)
    ours, plain = [], []
    for _ in range(STEPS):
        state, (found,) = program.run(state, batch)
        ours.append(found.item())
        optimizer.zero_grad()
        loss = users.loss(module(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        plain.append(loss.item())
    assert plain[-1] < plain[0]
    assert ours == pytest.approx(plain, rel=5e-3)
    repeated(program, state, batch)

    module.eval()
    x = batch[0]
    program, state = capture_inference(module, [x]), inference_state(module)
    (found,) = repeated(program, state, [x])
    assert_as_in_pytorch(found, module, x)
    single = capture_inference(module, [x[:1]])
    for row in range(len(x)):
        alone = single.run(state, [x[row : row + 1]])[1][0]
        assert same([alone.view(-1)], [found.view(len(x), -1)[row]])
