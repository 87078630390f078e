"""Models of texts, sounds and time series."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from benchmarks.models import language_loss
from benchmarks.zoo.entries import Entry, labelled


class Causal(nn.Module):
    """TCN: dilated convolutions that see the past alone, with normed weights."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv1d(n, 6, 3, dilation=2**k)) for k, n in enumerate((2, 6))
        )
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        for k, layer in enumerate(self.layers):
            y = F.relu(layer(F.pad(x, (2 * 2**k, 0))))
            x = x + y if x.shape == y.shape else y
        return self.head(x[:, :, -1])


class WaveNet(nn.Module):
    """Gated dilated convolutions, whose outputs are all added."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(12, 6)
        self.gates = nn.ModuleList(nn.Conv1d(6, 12, 2, dilation=2**k) for k in range(3))
        self.mixed = nn.ModuleList(nn.Conv1d(6, 12, 1) for _ in range(3))
        self.out = nn.Conv1d(6, 12, 1)

    def forward(self, words: Tensor) -> Tensor:
        x, total = self.embedding(words).transpose(1, 2), 0.0
        for k, (gate, mix) in enumerate(zip(self.gates, self.mixed, strict=True)):
            a, b = gate(F.pad(x, (2**k, 0))).chunk(2, 1)
            residual, skip = mix(torch.tanh(a) * torch.sigmoid(b)).chunk(2, 1)
            x, total = x + residual, total + skip
        return self.out(F.relu(total)).transpose(1, 2)


class Translator(nn.Module):
    """LSTM to LSTM, with attention over what was read."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(12, 6)
        self.reader = nn.LSTM(6, 6, batch_first=True)
        self.cell, self.out = nn.LSTMCell(12, 6), nn.Linear(6, 12)

    def forward(self, words: Tensor) -> Tensor:
        read, (h, c) = self.reader(self.words(words))
        h, c, written = h[0], c[0], []
        for t in range(words.shape[1]):
            weights = torch.bmm(read, h.unsqueeze(2)).softmax(1)
            context = (weights * read).sum(1)
            h, c = self.cell(torch.cat([self.words(words[:, t]), context], 1), (h, c))
            written.append(self.out(h))
        return torch.stack(written, 1)


class DeepAR(nn.Module):
    """A GRU that gives a mean and a spread for each time."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.out = nn.GRU(1, 6, batch_first=True), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, spread = self.out(self.gru(x.unsqueeze(-1))[0]).unbind(-1)
        return mean, F.softplus(spread) + 1e-3


class NBeats(nn.Module):
    """Blocks that each take away what they explain: a trend of powers, waves of seasons."""

    def __init__(self, length: int = 6, ahead: int = 3) -> None:
        super().__init__()
        self.length = length
        times = torch.arange(length + ahead) / (length + ahead)
        trend = torch.stack([times**k for k in range(3)])
        season = torch.stack(
            [f(2 * torch.pi * k * times) for k in (1, 2) for f in (torch.sin, torch.cos)]
        )
        self.register_buffer("trend", trend)
        self.register_buffer("season", season)
        self.bodies = nn.ModuleList(
            nn.Sequential(nn.Linear(length, 8), nn.ReLU(), nn.Linear(8, n)) for n in (3, 4)
        )

    def forward(self, x: Tensor) -> Tensor:
        ahead = torch.zeros(())
        for body, basis in zip(self.bodies, (self.trend, self.season), strict=True):
            whole = body(x) @ basis
            x = x - whole[:, : self.length]
            ahead = ahead + whole[:, self.length :]
        return ahead


class TextCNN(nn.Module):
    """Windows of words of several lengths, and the greatest of each."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(20, 6, padding_idx=0)
        self.windows = nn.ModuleList(nn.Conv1d(6, 4, k) for k in (2, 3))
        self.head = nn.Linear(8, 4)

    def forward(self, words: Tensor) -> Tensor:
        x = self.words(words).transpose(1, 2)
        return self.head(torch.cat([F.relu(w(x)).amax(2) for w in self.windows], 1))


class Translating(nn.Module):
    """nn.Transformer, of one layer each, with a causal mask."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(12, 8)
        self.body = nn.Transformer(8, 2, 1, 1, 12, dropout=0.0, batch_first=True)
        self.out = nn.Linear(8, 12)

    def forward(self, words: Tensor) -> Tensor:
        x = self.words(words)
        mask = nn.Transformer.generate_square_subsequent_mask(words.shape[1])
        return self.out(self.body(x, x, tgt_mask=mask, tgt_is_causal=True))


class SkipGram(nn.Module):
    """word2vec: a word, its neighbour, and words that are none."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.outside = nn.Embedding(20, 5), nn.Embedding(20, 5)

    def forward(self, word: Tensor, near: Tensor, far: Tensor) -> Tensor:
        at = self.inside(word)
        right = (at * self.outside(near)).sum(1)
        wrong = torch.bmm(self.outside(far), at.unsqueeze(2)).squeeze(2)
        return -(F.logsigmoid(right) + F.logsigmoid(-wrong).sum(1)).mean()


def words(rows: int = 2, length: int = 5, count: int = 12) -> Tensor:
    return torch.randint(1, count, (rows, length))


ZOO = {
    "TCN": Entry(Causal, lambda: labelled(torch.randn(2, 2, 9)), asks="weight norm and dilation"),
    "WaveNet": Entry(WaveNet, lambda: [words(), words()], language_loss),
    "LSTM to LSTM": Entry(Translator, lambda: [words(), words()], language_loss, "attention"),
    "Transformer": Entry(Translating, lambda: [words(), words()], language_loss),
    "TextCNN": Entry(TextCNN, lambda: labelled(words(3, 6, 20))),
    "word2vec": Entry(
        SkipGram,
        lambda: [*words(2, 4, 20).t()[:2], words(4, 3, 20)[:2], torch.zeros(2)],
        lambda loss, _: loss,
    ),
    "DeepAR": Entry(
        DeepAR,
        lambda: [torch.randn(2, 4), torch.randn(2, 4)],
        lambda y, x: F.gaussian_nll_loss(y[0], x, y[1] ** 2),
    ),
    "N-BEATS": Entry(NBeats, lambda: [torch.randn(4, 6), torch.randn(4, 3)], F.l1_loss),
}
