"""Whole trainings, exact beside fp32 and mixed-precision PyTorch: the same seeds and batches.

python -m benchmarks.training_curves [--steps N] [--json FILE] [--plot FILE]
"""

from __future__ import annotations

import copy
import inspect
import json
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.measure import machine
from benchmarks.models import GPT, language_loss
from worker.examples.digits import recipe
from worker.jobs import rows_of_step
from worker.program import capture_training, training_state

RESULTS = Path(__file__).parent / "results" / "training-curves.json"
PLOT = Path(__file__).parent.parent / "docs" / "images" / "training-curves.svg"
LIBRARY = ("argparse", "ast", "difflib", "inspect", "json.decoder", "tarfile", "typing")
CLIP_NORM = 1.0
SHAKEN = 2e-4  # what 14 bits make of a product, see product_error


@dataclass
class Training:
    """One model: what it learns from, and how."""

    name: str
    module: nn.Module
    loss_fn: Callable[..., Tensor]
    optimizer: Callable[[Any], torch.optim.Optimizer]
    data: Sequence[Tensor]
    batch_rows: int
    clip_norm: float | None = None


def perceptron() -> Training:
    found = recipe()
    return Training(
        "perceptron on digits (SGD with momentum)",
        found.module,
        found.loss_fn,
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
        found.data,
        32,
    )


def convolutional() -> Training:
    """Digits as pictures; two convolutions with batch norm between, and pooling."""
    images, labels = recipe().data
    module = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 10),
    )
    return Training(
        "CNN on digits (Adam)",
        module,
        F.cross_entropy,
        lambda p: torch.optim.Adam(p, lr=2e-3),
        [images.view(-1, 1, 8, 8), labels],
        32,
    )


def transformer() -> Training:
    """Characters of the standard library's source."""
    text = "".join(inspect.getsource(import_module(name)) for name in LIBRARY)
    letters = torch.tensor([min(ord(c), 127) for c in text])
    length = 64
    rows = (len(letters) - 1) // length
    tokens = letters[: rows * length].view(rows, length)
    targets = letters[1 : rows * length + 1].view(rows, length)
    module = GPT(vocabulary=128, width=64, heads=4, layers=2, length=length)
    for p in module.parameters():
        if p.dim() > 1:
            nn.init.normal_(p, std=0.02)
    return Training(
        "GPT on the standard library's source (AdamW, clipped)",
        module,
        language_loss,
        lambda p: torch.optim.AdamW(p, lr=1e-3),
        [tokens, targets],
        8,
        CLIP_NORM,
    )


def batches(training: Training, steps: int) -> Iterator[list[Tensor]]:
    for step in range(steps):
        rows = rows_of_step(0, len(training.data[0]), training.batch_rows, step)
        yield [t[rows] for t in training.data]


def exactly(training: Training, steps: int, bits: int) -> list[float]:
    """The losses of the captured program, with products of so many bits."""
    module = copy.deepcopy(training.module)
    optimizer = training.optimizer(module.parameters())
    example = [t[: training.batch_rows] for t in training.data]
    program = capture_training(
        module, training.loss_fn, optimizer, example, clip_norm=training.clip_norm, bits=bits
    )
    state, losses = training_state(module, optimizer), []
    for step, batch in enumerate(batches(training, steps)):
        state, (loss,) = program.run(state, batch, step=step)
        losses.append(float(loss))
    return losses


def plainly(
    training: Training, steps: int, *, bf16: bool = False, shaken: float = 0.0
) -> list[float]:
    """The losses of PyTorch, in fp32 or in its mixed precision.

    shaken: how far each initial weight is moved at random, relative to itself.
    """
    module = copy.deepcopy(training.module)
    with torch.no_grad():
        for p in module.parameters():
            p.mul_(1 + shaken * torch.randn_like(p))
    optimizer, losses = training.optimizer(module.parameters()), []
    for batch in batches(training, steps):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            outputs = module(*batch[:-1])
        loss = training.loss_fn(outputs.float(), batch[-1])
        loss.backward()
        if training.clip_norm is not None:
            nn.utils.clip_grad_norm_(module.parameters(), training.clip_norm)
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def curves(training: Training, steps: int) -> dict[str, Any]:
    """The losses of all five."""
    found = {
        "exact": exactly(training, steps, 14),
        "exact20": exactly(training, steps, 20),
        "fp32": plainly(training, steps),
        "bf16": plainly(training, steps, bf16=True),
        "shaken": plainly(training, steps, shaken=SHAKEN),
    }
    return {"name": training.name, **{k: [round(x, 7) for x in v] for k, v in found.items()}}


def differences(curve: dict[str, Any], of: str) -> list[float]:
    """|loss - fp32's| / fp32's of every step."""
    return [abs(a - b) / b for a, b in zip(curve[of], curve["fp32"], strict=True)]


def smooth(values: Sequence[float], width: int = 10) -> list[float]:
    """Means of the last `width`: what batches differ in is no news."""
    return [
        sum(values[max(0, i - width + 1) : i + 1]) / min(width, i + 1) for i in range(len(values))
    ]


LINES = {
    "shaken": ("fp32, weights moved by 2e-4", "#888888", "--"),
    "bf16": ("bf16", "#c77d1e", "-"),
    "exact": ("exact, 14 bits", "#1f5fbf", "-"),
    "exact20": ("exact, 20 bits", "#2a9d5c", "-"),
}


def plot(found: Sequence[dict[str, Any]], path: Path) -> None:
    """Both curves of each model over each other, and how far they are apart."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "assay", "svg.fonttype": "none", "font.size": 8})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        2, len(found), figsize=(10, 4.8), sharex="col", height_ratios=(3, 2), squeeze=False
    )
    for (upper, lower), curve in zip(axes.T, found, strict=True):
        upper.plot(curve["fp32"], color="#bbbbbb", linewidth=3.5, label="fp32")
        upper.plot(curve["exact"], color="#1f5fbf", linewidth=0.9, label="exact, 14 bits")
        upper.set_title(textwrap.fill(curve["name"], 40), fontsize=8)
        upper.set_ylim(bottom=0)
        for of, (label, colour, style) in LINES.items():
            apart = smooth(differences(curve, of))
            lower.semilogy(apart, style, color=colour, linewidth=1.2, label=label)
        lower.set_ylim(1e-8, 1e1)
        lower.set_xlabel("step")
        for axis in (upper, lower):
            axis.grid(alpha=0.25, linewidth=0.5)
    axes[0][0].set_ylabel("loss")
    axes[0][0].legend(frameon=False)
    axes[1][-1].legend(frameon=False, fontsize=7, loc="upper right", labelspacing=0.2)
    axes[1][0].set_ylabel("relative difference\n(means of 10 steps)")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


@click.command()
@click.option("--steps", default=200, show_default=True)
@click.option("--json", "out", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
@click.option("--plot", "picture", type=click.Path(path_type=Path), default=PLOT, show_default=True)
@click.option("--again", is_flag=True, help="Train anew, though there are results.")
def main(steps: int, out: Path, picture: Path, again: bool) -> None:
    """Train three models both ways, keep the losses, and plot them."""
    if again or not out.exists():
        found = []
        for make in (perceptron, convolutional, transformer):
            torch.manual_seed(0)
            found.append(curves(make(), steps))
            click.echo(f"{found[-1]['name']}: done", err=True)
        document = {"machine": machine(), "steps": steps, "curves": found}
        out.write_text(json.dumps(document) + "\n")
    found = json.loads(out.read_text())["curves"]
    for curve in found:
        for of in LINES:
            apart = differences(curve, of)
            mean = sum(curve[of]) / sum(curve["fp32"]) - 1
            click.echo(
                f"{curve['name']}: loss {curve['fp32'][0]:.3f} to {curve['fp32'][-1]:.4f}; {of} "
                f"apart at most {max(apart):.1e}, median {sorted(apart)[len(apart) // 2]:.1e}, "
                f"mean of all losses {mean:+.1e}"
            )
    plot(found, picture)


if __name__ == "__main__":
    main()
