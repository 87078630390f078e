"""Models of tables, graphs and densities."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.zoo.entries import Entry, labelled


def sparsemax(x: Tensor) -> Tensor:
    """The nearest distribution: most of it is zero."""
    ordered = x.sort(-1, descending=True)[0]
    places = torch.arange(1, x.shape[-1] + 1)
    sums = ordered.cumsum(-1) - 1
    count = (places * ordered > sums).sum(-1, keepdim=True)
    return F.relu(x - sums.gather(-1, count - 1) / count)


class TabNet(nn.Module):
    """Steps that each look at few columns, through one layer that all of them share."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.shared = nn.BatchNorm1d(6), nn.Linear(6, 16, bias=False)
        self.again = self.shared
        self.choose = nn.ModuleList(nn.Linear(8, 6) for _ in range(2))
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        prior, total = torch.ones_like(x), 0.0
        found = F.glu(self.shared(x))
        for choose in self.choose:
            mask = sparsemax(choose(found) * prior)
            prior = prior * (1.3 - mask)
            found = F.glu(self.again(mask * x))
            total = total + F.relu(found)
        return self.head(total)


class Factors(nn.Module):
    """DeepFM: products of all pairs of embeddings, beside a perceptron."""

    def __init__(self) -> None:
        super().__init__()
        self.single, self.factors = nn.Embedding(20, 1), nn.Embedding(20, 4)
        self.deep = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, fields: Tensor) -> Tensor:
        each = self.factors(fields)
        pairs = 0.5 * (each.sum(1) ** 2 - (each**2).sum(1)).sum(1)
        return self.single(fields).sum((1, 2)) + pairs + self.deep(each.flatten(1)).squeeze(1)


class NeuralCF(nn.Module):
    """Users and things: a product and a perceptron."""

    def __init__(self) -> None:
        super().__init__()
        self.users, self.things = nn.Embedding(9, 8), nn.Embedding(7, 8)
        self.deep, self.out = nn.Sequential(nn.Linear(8, 4), nn.ReLU()), nn.Linear(8, 1)

    def forward(self, user: Tensor, thing: Tensor) -> Tensor:
        u, t = self.users(user), self.things(thing)
        deep = self.deep(torch.cat([u[:, 4:], t[:, 4:]], 1))
        return self.out(torch.cat([u[:, :4] * t[:, :4], deep], 1)).squeeze(1)


class GCN(nn.Module):
    """Neighbours' means by a product with the graph; some nodes alone have labels."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        graph = edges + torch.eye(len(x))
        scale = graph.sum(1).rsqrt()
        graph = scale.unsqueeze(1) * graph * scale
        y = graph @ self.second(F.relu(graph @ self.first(x)))
        return y[torch.arange(len(y)) < 4]


class GAT(nn.Module):
    """Neighbours weighted by attention."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.one, self.other = nn.Linear(4, 6), nn.Linear(6, 1), nn.Linear(6, 1)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        h = self.linear(x)
        scores = F.leaky_relu(self.one(h) + self.other(h).T, 0.2)
        scores = scores.masked_fill(edges + torch.eye(len(x)) == 0, -torch.inf)
        return self.head(F.elu(scores.softmax(1) @ h))


class Messages(nn.Module):
    """A graph by lists of edges: messages added up, or the greatest, at their targets."""

    def __init__(self) -> None:
        super().__init__()
        self.message, self.update = nn.Linear(8, 6), nn.Linear(16, 4)

    def forward(self, x: Tensor, source: Tensor, target: Tensor) -> Tensor:
        sent = F.relu(self.message(torch.cat([x[source], x[target]], 1)))
        index = target.unsqueeze(1).expand(-1, 6)
        empty = torch.zeros(len(x), 6)
        total = empty.scatter_reduce(0, index, sent, "mean")
        most = empty.scatter_reduce(0, index, sent, "amax")
        return self.update(torch.cat([x, total, most], 1))


class RealNVP(nn.Module):
    """A flow: half of the numbers scaled and moved by what the other half says."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 4)) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        volume = torch.zeros(len(x))
        for layer in self.layers:
            a, b = x.chunk(2, 1)
            scale, move = layer(a).chunk(2, 1)
            volume = volume + scale.tanh().sum(1)
            x = torch.cat([b * scale.tanh().exp() + move, a], 1)
        return -(volume - 0.5 * (x**2).sum(1) - 2 * math.log(2 * math.pi)).mean()


class Mixture(nn.Module):
    """A mixture density network."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 9))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.body(x).chunk(3, 1)


def mixture_loss(outputs: tuple[Tensor, ...], y: Tensor) -> Tensor:
    weights, means, spreads = outputs
    each = -0.5 * ((y - means) * (-spreads).exp()) ** 2 - spreads
    return -(weights.log_softmax(1) + each).logsumexp(1).mean()


class Counts(nn.Module):
    """Counts of a negative binomial distribution, as single-cell models have them."""

    def __init__(self) -> None:
        super().__init__()
        self.mean, self.spread = nn.Linear(3, 5), nn.Parameter(torch.zeros(5))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return F.softplus(self.mean(x)), self.spread.exp()


def counts_loss(outputs: tuple[Tensor, Tensor], y: Tensor) -> Tensor:
    mean, r = outputs
    binomial = torch.lgamma(y + r) - torch.lgamma(r) - torch.lgamma(y + 1)
    return -(binomial + r * (r / (r + mean)).log() + y * (mean / (r + mean)).log()).mean()


class Sets(nn.Module):
    """Deep sets: a sum over what has no order."""

    def __init__(self) -> None:
        super().__init__()
        self.each, self.whole = nn.Linear(3, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.whole(F.relu(self.each(x)).sum(1))


class Flowing(nn.Module):
    """A neural ODE in Runge and Kutta's four steps."""

    def __init__(self) -> None:
        super().__init__()
        self.field = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 3))
        self.head = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        step = 0.5
        for _ in range(2):
            k1 = self.field(x)
            k2 = self.field(x + step / 2 * k1)
            k3 = self.field(x + step / 2 * k2)
            k4 = self.field(x + step * k3)
            x = x + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return self.head(x)


def graph() -> list[Tensor]:
    edges = (torch.rand(6, 6) < 0.4).float()
    return [torch.randn(6, 4), torch.maximum(edges, edges.T)]


def clicks() -> Tensor:
    return torch.tensor([0.0, 1.0, 1.0, 0.0])


BINARY = F.binary_cross_entropy_with_logits
ZOO = {
    "TabNet": Entry(
        TabNet, lambda: labelled(torch.randn(5, 6)), asks="sparsemax and a shared layer"
    ),
    "DeepFM": Entry(Factors, lambda: [torch.randint(0, 20, (4, 3)), clicks()], BINARY),
    "Neural collaborative filtering": Entry(
        NeuralCF,
        lambda: [torch.randint(0, 9, (4,)), torch.randint(0, 7, (4,)), clicks()],
        BINARY,
    ),
    "GCN (dense)": Entry(
        GCN,
        lambda: [*graph(), torch.randint(0, 4, (6,))],
        lambda y, labels: F.cross_entropy(y, labels[:4]),
        "a mask of numbers",
    ),
    "GAT (dense)": Entry(GAT, lambda: [*graph(), torch.randint(0, 4, (6,))]),
    "Messages along edges": Entry(
        Messages,
        lambda: [torch.randn(6, 4), *torch.randint(0, 6, (2, 6)), torch.randint(0, 4, (6,))],
        asks="scatter_reduce",
    ),
    "RealNVP": Entry(RealNVP, lambda: [torch.randn(4, 4), torch.zeros(4)], lambda loss, _: loss),
    "Mixture density network": Entry(
        Mixture, lambda: [torch.randn(4, 3), torch.randn(4, 1)], mixture_loss
    ),
    "Negative binomial counts": Entry(
        Counts,
        lambda: [torch.randn(4, 3), torch.randint(0, 9, (4, 5)).float()],
        counts_loss,
        "lgamma",
    ),
    "Deep sets": Entry(Sets, lambda: labelled(torch.randn(3, 5, 3))),
    "Neural ODE": Entry(Flowing, lambda: labelled(torch.randn(4, 3))),
}
