"""The exact arithmetic beside plain eager fp32 PyTorch.

python -m benchmarks.exact [--json] [--only NAME]
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict

import click
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.measure import Row, compare, machine
from benchmarks.models import gpt, language_loss, resnet
from worker import exact
from worker.examples.digits import digits
from worker.program import capture_training, training_state


def product(name: str, left: tuple[int, ...], right: tuple[int, ...]) -> Row:
    """One product of random rows."""
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(left, generator=generator), torch.randn(right, generator=generator)
    return compare(name, lambda: exact.dot(a, b), lambda: a @ b.mT)


SIZES = (
    *((n, n, n) for n in (256, 512, 1024, 2048, 4096)),
    (16, 4096, 1024),
    (1, 4096, 1024),
    (8, 1000, 384),
    (2048, 1152, 384),
    (2048, 1536, 384),
    (2048, 384, 1536),
)
"""M, N and K of the products: square, skinny, and those of a small GPT."""


def dots() -> Iterator[Row]:
    """Single and batched products."""
    for m, n, k in SIZES:
        yield product(f"dot {m}x{n}x{k}", (m, k), (n, k))
    yield product("dot of 48: 256x256x64", (48, 256, 64), (48, 256, 64))


def step(
    name: str, module: nn.Module, loss_fn: Callable[..., Tensor], batch: tuple[Tensor, Tensor]
) -> Row:
    """One training step of SGD with momentum."""
    plain = copy.deepcopy(module)
    ours = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9)
    program = capture_training(module, loss_fn, ours, batch)
    state = training_state(module, ours)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.01, momentum=0.9)

    def eager() -> None:
        optimizer.zero_grad()
        loss_fn(plain(batch[0]), batch[1]).backward()
        optimizer.step()

    return compare(name, lambda: program.run(state, batch), eager)


def steps() -> Iterator[Row]:
    """Whole training steps."""
    torch.manual_seed(0)
    job = digits()
    x, y = (t[: job.batch_rows] for t in job.data)
    yield step("digits perceptron step", job.module, F.cross_entropy, (x, y))
    images, labels = torch.randn(16, 3, 32, 32), torch.randint(0, 10, (16,))
    yield step("small ResNet step, 16 images", resnet(), F.cross_entropy, (images, labels))
    tokens = torch.randint(0, 1000, (8, 257))
    yield step(
        "10 M GPT step, 8 x 256 tokens",
        gpt(),
        language_loss,
        (tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()),
    )


@click.command()
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
@click.option("--only", default="", help="What the names must contain.")
def main(as_json: bool, only: str) -> None:
    """Time exact products and training steps beside plain eager fp32 PyTorch."""
    groups = {"dot": dots, "step": steps}
    rows = [row for name, group in groups.items() if only in name for row in group()]
    if as_json:
        found = [{**asdict(row), "ratio": row.ratio} for row in rows]
        click.echo(json.dumps({"machine": machine(), "rows": found}, indent=2))
        return
    table = Table(title=f"Exact beside eager fp32 (medians; {machine()})")
    for column in ("what", "exact ms", "fp32 ms", "ratio"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for row in rows:
        ours, theirs = row.ours * 1e3, row.theirs * 1e3
        table.add_row(row.name, f"{ours:.2f}", f"{theirs:.2f}", f"{row.ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
