"""What modules write, forward and backward, beside plain PyTorch: one step of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.program.helpers import assert_as_in_pytorch, same
from tests.program.models import seeded
from worker.program import capture_inference, capture_training, inference_state, training_state


class Applied(nn.Module):
    """A linear layer [4, 6], and then an operator."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.linear(x))


def plane(y: Tensor) -> Tensor:
    return y.view(1, 2, 3, 4)


def written(y: Tensor, index: Any, value: Any) -> Tensor:
    out = y * 1.0
    out[index] = value
    return out


def cube(y: Tensor) -> Tensor:
    return y.view(1, 2, 2, 2, 3)


def square(y: Tensor) -> Tensor:
    return y[:, :4] + 2 * torch.eye(4)


def halves() -> Tensor:
    return torch.arange(6).expand(4, 6) // 2


def grid(y: Tensor) -> Tensor:
    return y.view(1, 2, 2, 6)[..., :2]


def rows(y: Tensor) -> Tensor:
    return torch.arange(len(y))


OPERATORS: dict[str, Callable[[Tensor], Tensor]] = {
    "a part without elements": lambda y: torch.cat([y[:, :6] * y, (y[:, 6:] * 2).tanh()], 1),
    "cumsum": lambda y: y.cumsum(1),
    "logcumsumexp": lambda y: y.logcumsumexp(1),
    "running extremes": lambda y: y.cummax(1)[0] * y.cummin(0)[0],
    "medians": lambda y: y.median(1)[0] + y.median() + y.nanmedian() * y.kthvalue(2, 1)[0],
    "reduced by index": lambda y: (
        torch.zeros(4, 3).scatter_reduce(1, halves(), y, "amax")
        + torch.ones(4, 3).scatter_reduce(1, halves(), y, "mean", include_self=False)
        + torch.ones(4, 3).scatter_reduce(1, halves(), y, "prod")
    ),
    "volumes": lambda y: (
        F.max_pool3d(F.conv3d(cube(y), torch.ones(2, 2, 2, 1, 2) * y[0, 0]), 1)
        + F.avg_pool3d(cube(y), (2, 1, 2), 1)
        + F.adaptive_avg_pool3d(cube(y), (1, 2, 2))
    ),
    "pooled and unpooled": lambda y: F.max_unpool2d(
        *F.max_pool2d(plane(y), 2, return_indices=True), 2, output_size=(3, 4)
    ),
    "determinants": lambda y: torch.linalg.slogdet(square(y))[1] + torch.linalg.det(square(y)),
    "a logarithm of one": lambda y: torch.logdet(y[:, :4] @ y[:, :4].T + torch.eye(4)),
    "inverse": lambda y: torch.linalg.inv(square(y)),
    "solved": lambda y: torch.linalg.solve(square(y), y) + torch.linalg.solve(square(y).T, y),
    "cholesky": lambda y: torch.cholesky_solve(
        y, torch.linalg.cholesky(y[:, :4] @ y[:, :4].T + torch.eye(4))
    ),
    "triangular": lambda y: torch.linalg.solve_triangular(square(y).tril(), y, upper=False),
    "ctc": lambda y: F.ctc_loss(
        torch.stack([y, 2 * y], 1).log_softmax(2),
        torch.tensor([[1, 1], [3, 0]]),
        torch.tensor([4, 3]),
        torch.tensor([2, 1]),
    ),
    "other distances": lambda y: torch.cdist(y, y + 1, p=1) + torch.cdist(y, y.roll(1, 0), p=3.0),
    "pairs": lambda y: torch.pdist(y) * torch.cov(y)[0, 1] + torch.corrcoef(y)[1, 2],
    "margins of classes": lambda y: F.multi_margin_loss(y, rows(y), margin=0.5),
    "margins of several": lambda y: F.multilabel_margin_loss(
        y, torch.tensor([[3, 0, -1, 1, 2, 4], [1] + [-1] * 5, [-1] * 6, [0, 1, 2, 3, 4, 5]])
    ),
    "modes": lambda y: (y * (y > 0)).mode(1)[0] * y.histc(4, -9, 9),
    "a grid": lambda y: torch.fake_quantize_per_tensor_affine(y, 0.05, 0, -8, 7),
    "numpy's numbers": lambda y: y * torch.tensor(np.cos(np.arange(6) / 6)).exp().float(),
    "slopes": lambda y: F.rrelu(y, 0.2, 0.2, training=True) + F.rrelu(y, 0.1, 0.3),
    "angles": lambda y: torch.atan2(y, y.roll(1, 1)) + (0.2 * y).acos() + (0.2 * y).asin().atan(),
    "gamma": lambda y: (y.abs() + 0.1).lgamma() + (y.abs() + 0.1).digamma() + (0.2 * y).erfinv(),
    "prod": lambda y: y.prod(1),
    "cumprod": lambda y: y.cumprod(0),
    "max of a dim": lambda y: y.max(1)[0],
    "min of all": lambda y: y.min(),
    "aminmax": lambda y: sum(torch.aminmax(y, dim=1)),  # type: ignore[arg-type]
    "topk": lambda y: y.topk(3)[0],
    "sort": lambda y: y.sort(descending=True)[0] * torch.arange(6),
    "logsumexp": lambda y: y.logsumexp(1),
    "norm": lambda y: y.norm(dim=1),
    "normalize": lambda y: F.normalize(y, dim=1),
    "std": lambda y: y.std(1, unbiased=False) + y.std(),
    "gather": lambda y: y.gather(1, (y.detach() > 0).long()),
    "scatter": lambda y: torch.zeros(4, 6).scatter(1, y.argsort(), y) * torch.arange(6),
    "scatter_add": lambda y: torch.zeros(4, 2).scatter_add(1, (y.detach() > 0).long(), y),
    "indices": lambda y: y[rows(y), rows(y).flip(0)],
    "a list": lambda y: y[:, [0, 0, 5]],
    "take_along_dim": lambda y: torch.take_along_dim(y, y.argmax(1, keepdim=True), 1),
    "write rows": lambda y: written(y, rows(y)[:2], y[2:] * 2),
    "write a slice": lambda y: written(y, (slice(None), slice(1, 3)), y[:, 3:5] ** 2),
    "write every second": lambda y: written(y, (slice(None), slice(0, 6, 2)), 1.0),
    "write a mask": lambda y: written(y, y > 0, 0.5),
    "index_add": lambda y: torch.zeros(4, 6).index_add(1, torch.arange(6) // 2, y),
    "roll and repeat": lambda y: (y.roll(2, 1) * y).repeat(2, 2),
    "unfold": lambda y: y.unfold(1, 3, 2).amax(-1),
    "im2col": lambda y: F.unfold(plane(y), 2, padding=1) ** 2,
    "fold": lambda y: F.fold(y.view(1, 8, 3), (2, 4), 2) ** 2,
    "diagonal": lambda y: y.diagonal() * y[:, :4].trace(),
    "tril": lambda y: y.tril() @ y.triu(1).T,
    "adaptive mean": lambda y: F.adaptive_avg_pool2d(plane(y), (2, 3)) ** 2,
    "adaptive max": lambda y: F.adaptive_max_pool2d(plane(y), (2, 3)) ** 2,
    "nearest": lambda y: F.interpolate(plane(y), scale_factor=2) ** 2,
    "bicubic": lambda y: F.interpolate(plane(y), size=(4, 5), mode="bicubic") ** 2,
    "bilinear": lambda y: F.interpolate(plane(y), size=(5, 7), mode="bilinear") ** 2,
    "sampled": lambda y: F.grid_sample(plane(y), grid(y), align_corners=False),
    "sampled to the edge": lambda y: F.grid_sample(
        plane(y), grid(y), padding_mode="border", align_corners=True
    ),
    "sampled, mirrored": lambda y: F.grid_sample(
        plane(y), 2 * grid(y), padding_mode="reflection", align_corners=False
    ),
    "sampled, nearest": lambda y: F.grid_sample(
        plane(y), grid(y), mode="nearest", align_corners=False
    ),
    "sampled, bicubic": lambda y: F.grid_sample(
        plane(y), grid(y)[:, :1, :1], mode="bicubic", align_corners=False
    ),
    "sampled volumes": lambda y: F.grid_sample(
        y.view(1, 2, 2, 2, 3), y.view(1, 2, 1, 4, 3)[..., :3].tanh(), align_corners=False
    ),
    "transformed": lambda y: F.affine_grid(y[:1].view(1, 2, 3), [1, 2, 3, 4], align_corners=False),
    "transposed": lambda y: F.conv_transpose2d(plane(y), torch.ones(2, 1, 2, 2) * y[0, 0], None, 2),
    "reflect": lambda y: F.pad(plane(y), (1, 2, 1, 1), mode="reflect") ** 2,
    "replicate": lambda y: F.pad(plane(y), (1, 2, 0, 1), mode="replicate") ** 2,
    "circular": lambda y: F.pad(plane(y), (1, 2, 1, 1), mode="circular") ** 2,
    "instance norm": lambda y: F.instance_norm(y.view(2, 2, 6)) * torch.arange(6),
    "remainder": lambda y: torch.remainder(y, 0.3) + y.floor() + y.round() * y,
    "pow": lambda y: y.abs() ** 1.7 + 2.0**y,
    "clamp": lambda y: y.clamp(torch.full((6,), -0.1), y.detach() * 0 + 0.2),
    "elu, selu, celu": lambda y: F.elu(y) + F.selu(y) * F.celu(y),
    "softplus, mish": lambda y: F.softplus(y) * F.mish(y),
    "hard ones": lambda y: F.hardswish(y) + F.hardsigmoid(y) * F.hardtanh(y, -0.2, 0.2),
    "shrinks": lambda y: F.softshrink(y, 0.1) + F.hardshrink(y, 0.1) * F.tanhshrink(y),
    "glu": lambda y: F.glu(y, 1) * F.logsigmoid(y[:, :3]),
    "one_hot": lambda y: y * F.one_hot(y.argmax(1), 6),
    "cosine": lambda y: F.cosine_similarity(y, y.roll(1, 0)),
    "distances": lambda y: torch.cdist(y, y[:2] + 1) + F.pairwise_distance(y, y + 1)[:, None],
    "kl_div": lambda y: F.kl_div(y.log_softmax(1), y.detach().softmax(1) ** 2, reduction="sum"),
    "nll of planes": lambda y: F.cross_entropy(y.view(2, 3, 4), torch.zeros(2, 4).long()),
    "weighted labels": lambda y: F.cross_entropy(y, rows(y), weight=torch.arange(1.0, 7.0)),
    "variances": lambda y: F.gaussian_nll_loss(y, y.detach() * 0 + 1, (2 * y).exp(), full=True),
    "one variance": lambda y: F.gaussian_nll_loss(y, y.roll(1, 0), y[:, 0].abs(), reduction="sum"),
    "margins": lambda y: F.triplet_margin_loss(y, y.roll(1, 0), y * 2),
    "labels": lambda y: F.multilabel_soft_margin_loss(y, (y > 0).float()),
    "einsum": lambda y: torch.einsum("ij,kj->ik", y, y * 2),
    "random": lambda y: y + 0 * (torch.randn_like(y) + torch.randn(4, 6)),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_and_its_gradient_are_pytorchs(name):
    """Protects users: a step through the operator moves the weights as in PyTorch, and the way of
    running changes no bit of it."""
    module = seeded(1, lambda: Applied(OPERATORS[name]))
    moved_as_in_pytorch(module, [seeded(2, lambda: torch.randn(4, 6)), torch.zeros(4)])


def moved_as_in_pytorch(module: nn.Module, batch: list[Tensor]) -> None:
    def loss_fn(y: Tensor, target: Tensor) -> Tensor:
        return (y * y).mean() + y.sum() * 0.1 + target.sum()

    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    program = capture_training(module, loss_fn, optimizer, batch)
    state = training_state(module, optimizer)
    after, (found,) = program.run(state, batch)
    traced = program.split(program.trace(state, batch))
    assert same([*after, found], [*traced[0], *traced[1]])
    loss = loss_fn(module(*batch[:-1]), batch[-1])
    loss.backward()
    assert found.item() == pytest.approx(loss.item(), rel=2e-3, abs=2e-4)
    held = dict(zip(program.state_names, zip(state, after, strict=True), strict=True))
    for key, p in module.named_parameters():
        if p.grad is not None:
            gradient, expected = (held[key][0] - held[key][1]) / 0.1, p.grad.to_dense()
            scale = float(expected.abs().max())
            torch.testing.assert_close(
                gradient.view(p.shape), expected, rtol=0, atol=5e-3 * scale + 2e-6
            )


class Bags(nn.Module):
    """Means and sums of embeddings, with and without a word that does not count."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.EmbeddingBag(7, 3, mode="mean", padding_idx=2)
        self.sum = nn.EmbeddingBag(7, 3, mode="sum")
        self.words = nn.Embedding(7, 3, padding_idx=2, sparse=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.mean(x) * self.sum(x) + self.words(x).sum(1)


class Attending(nn.Module):
    """nn.MultiheadAttention with a causal mask and with padding, which no row sees alone."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        padded = (x[..., 0] > 0.8) & (torch.arange(x.shape[1]) > 0)
        y, weights = self.attention(x, x, x, key_padding_mask=padded, attn_mask=mask < 0)
        return y + weights.sum()


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, batch_first=True, activation="gelu")
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


MODULES: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "bags": (Bags, lambda: torch.randint(0, 7, (4, 5))),
    "attention": (Attending, lambda: torch.randn(4, 5, 6)),
    "encoder": (encoder, lambda: torch.randn(4, 5, 6)),
    "prelu": (lambda: nn.Sequential(nn.Linear(6, 4), nn.PReLU(4)), lambda: torch.randn(4, 6)),
    "weight norm": (
        lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 4))),
        lambda: torch.randn(4, 6),
    ),
    "bilinear": (lambda: Both(nn.Bilinear(6, 6, 3)), lambda: torch.randn(4, 6)),
    "decoder": (
        lambda: nn.Sequential(
            nn.ConvTranspose2d(2, 4, 3, 2, padding=1, output_padding=1, bias=False),
            nn.InstanceNorm2d(4, affine=True),
            nn.Upsample(scale_factor=2, mode="bilinear"),
            nn.Conv2d(4, 2, 3, padding=1, padding_mode="reflect"),
        ),
        lambda: torch.randn(4, 2, 3, 3),
    ),
}


class Both(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x, x + 1)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_of_torch_trains_and_answers_as_in_pytorch(name):
    """Protects modules that have ways of their own: fast paths, bags, parametrizations."""
    make, x = MODULES[name]
    module, rows = seeded(1, make), seeded(2, x)
    moved_as_in_pytorch(module, [rows, torch.zeros(4)])
    module.eval()
    program, state = capture_inference(module, [rows]), inference_state(module)
    (found,) = program.run(state, [rows])[1]
    assert_as_in_pytorch(found, module, rows)
    alone = rows[2:3].expand(rows.shape).contiguous()
    by_row = [program.run(state, [r])[1][0].view(4, -1) for r in (rows, alone)]
    if name != "attention":  # which adds a sum over the whole batch
        assert same([by_row[0][2:3].expand(4, -1)], [by_row[1]])
