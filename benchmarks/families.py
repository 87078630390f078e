"""Small trainings of every family on real data: digits in pictures, and English text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.models import GPT, Llama, Recurrent, Residual, hugging_face, language_loss

Batch = list[Tensor] | dict[str, Tensor]
LENGTH = 32  # characters of a text's row
OPTIM = torch.optim


@dataclass(frozen=True)
class Family:
    """What is trained. rows gives the next batch, from a generator of indices."""

    make: Callable[[], nn.Module]
    rows: Callable[[torch.Generator], Batch]
    optimizer: Callable[[Any], OPTIM.Optimizer]
    loss: Callable[..., Tensor] | None = F.cross_entropy

    def batches(self, steps: int, seed: int = 0) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(seed)
        for _ in range(steps):
            yield self.rows(generator)


# data


@cache
def pictures() -> tuple[Tensor, Tensor]:
    """1797 digits of 8 x 8 pixels in [0, 1], and what they are (UCI, within scikit-learn)."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return torch.tensor(x, dtype=torch.float32).view(-1, 1, 8, 8) / 16, torch.tensor(y)


@cache
def text() -> tuple[Tensor, int]:
    """Some 20,000 characters of English as numbers: the descriptions of scikit-learn's data."""
    from sklearn import datasets

    sets = ("breast_cancer", "diabetes", "digits", "iris", "linnerud", "wine")
    letters = "".join(getattr(datasets, f"load_{name}")().DESCR for name in sets)
    alphabet = sorted(set(letters))
    return torch.tensor([alphabet.index(c) for c in letters]), len(alphabet)


def digits(count: int, shape: tuple[int, ...]) -> Callable[[torch.Generator], Batch]:
    def rows(generator: torch.Generator) -> Batch:
        x, y = pictures()
        at = torch.randint(len(x), (count,), generator=generator)
        return [x[at].view(count, *shape), y[at]]

    return rows


def themselves(generator: torch.Generator) -> Batch:
    x = digits(32, (64,))(generator)[0]  # type: ignore[index]
    return [x, x]


def _windows(count: int, generator: torch.Generator) -> Tensor:
    letters, _ = text()
    at = torch.randint(len(letters) - LENGTH - 1, (count,), generator=generator)
    return letters[at[:, None] + torch.arange(LENGTH + 1)]


def sentences(generator: torch.Generator) -> Batch:
    found = _windows(8, generator)
    return [found[:, :-1], found[:, 1:]]


def labelled(generator: torch.Generator) -> Batch:
    """As a collator of transformers has it, with rows of different lengths."""
    ids = _windows(8, generator)[:, :-1]
    lengths = torch.randint(LENGTH // 2, LENGTH + 1, (8, 1), generator=generator)
    mask = (torch.arange(LENGTH) < lengths).long()
    return {
        "input_ids": ids * mask,
        "attention_mask": mask,
        "labels": torch.where(mask.bool(), ids, -100),
    }


def masked(generator: torch.Generator) -> Batch:
    """Every seventh letter or so is hidden, and asked for."""
    batch = labelled(generator)
    assert isinstance(batch, dict)
    hidden = torch.rand(batch["labels"].shape, generator=generator) < 0.15
    ids = torch.where(hidden, 0, batch["input_ids"])
    return {**batch, "input_ids": ids, "labels": torch.where(hidden, batch["labels"], -100)}


# models


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.GELU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 10),
    )


def resnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        Residual(16),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        Residual(32),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )


def autoencoder() -> nn.Module:
    return nn.Sequential(
        nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 8), nn.Linear(8, 32), nn.Tanh(),
        nn.Linear(32, 64), nn.Sigmoid(),
    )  # fmt: skip


def gpt() -> nn.Module:
    model = GPT(vocabulary=text()[1], width=64, heads=4, layers=2, length=LENGTH)
    nn.init.normal_(model.token.weight, std=0.02)
    return model


def llama() -> nn.Module:
    return Llama(vocabulary=text()[1], width=64, heads=4, groups=2, length=LENGTH)


def of_transformers(kind: str) -> Callable[[], nn.Module]:
    return lambda: hugging_face(
        kind, vocabulary=text()[1], length=LENGTH, width=64, inner=128, layers=2, heads=4
    )


def lora() -> nn.Module:
    """The GPT-2 with adapters of rank 4 on its attention: the rest is frozen."""
    from peft import LoraConfig, get_peft_model

    adapters = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=["c_attn"])
    return get_peft_model(of_transformers("gpt2")(), adapters)


def momentum(rate: float) -> Callable[[Any], OPTIM.Optimizer]:
    return lambda parameters: OPTIM.SGD(parameters, lr=rate, momentum=0.9)


def adam(parameters: Any) -> OPTIM.Optimizer:
    return OPTIM.Adam(parameters, lr=3e-3)


def adamw(parameters: Any) -> OPTIM.Optimizer:
    return OPTIM.AdamW(parameters, lr=1e-3)


def slow_adamw(parameters: Any) -> OPTIM.Optimizer:
    return OPTIM.AdamW(parameters, lr=3e-4)


FAMILIES: Mapping[str, Family] = {
    "perceptron": Family(perceptron, digits(32, (64,)), momentum(0.02)),
    "cnn": Family(cnn, digits(32, (1, 8, 8)), momentum(0.02)),
    "resnet": Family(resnet, digits(32, (1, 8, 8)), momentum(0.001)),
    # where small differences grow, in fp32 as well: the resnet's fp32 leaves fp64 by far
    "perceptron, large steps": Family(perceptron, digits(32, (64,)), momentum(0.05)),
    "cnn, large steps": Family(cnn, digits(32, (1, 8, 8)), momentum(0.05)),
    "resnet, large steps": Family(resnet, digits(32, (1, 8, 8)), momentum(0.01)),
    "perceptron, the example's steps": Family(perceptron, digits(32, (64,)), momentum(0.1)),
    "lstm": Family(lambda: Recurrent(nn.LSTM), digits(32, (8, 8)), adam),
    "gru": Family(lambda: Recurrent(nn.GRU), digits(32, (8, 8)), adam),
    "autoencoder": Family(autoencoder, themselves, adam, F.mse_loss),
    "gpt": Family(gpt, sentences, adamw, language_loss),
    "llama": Family(llama, sentences, adamw, language_loss),
    "transformers gpt2": Family(of_transformers("gpt2"), labelled, adamw, None),
    # at the rate that Llama was trained with; below, at three times that, a seed in three drifts
    "transformers llama": Family(of_transformers("llama"), labelled, slow_adamw, None),
    "transformers llama, large steps": Family(of_transformers("llama"), labelled, adamw, None),
    "transformers bert": Family(of_transformers("bert"), masked, adamw, None),
    "peft lora on gpt2": Family(lora, labelled, lambda p: OPTIM.AdamW(p, lr=1e-2), None),
}
