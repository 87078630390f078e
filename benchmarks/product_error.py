"""How far a matrix product is from the true one, in the number formats that people train with.

python -m benchmarks.product_error [--json]

The error is the root mean square of (product - true) over that of the true product, which is
computed in f64. bf16 and tf32 are what tensor cores do: operands rounded to 8 and 11 significant
bits, products summed in fp32; rounding is done here, so that no GPU is needed.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import click
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from worker import exact

ROWS, LENGTH = 256, 1024


def significant(x: Tensor, bits: int) -> Tensor:
    """f32 rounded to so many significant bits, ties to even."""
    mantissa, exponent = torch.frexp(x)
    return torch.ldexp(torch.round(torch.ldexp(mantissa, torch.tensor(bits))), exponent - bits)


FORMATS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "fp32": lambda a, b: a @ b.mT,
    "exact, 20 bits": lambda a, b: exact.dot(a, b, bits=20),
    "exact, 14 bits": lambda a, b: exact.dot(a, b, bits=14),
    "tf32": lambda a, b: significant(a, 11) @ significant(b, 11).mT,
    "bf16": lambda a, b: significant(a, 8) @ significant(b, 8).mT,
    "exact, 8 bits": lambda a, b: exact.dot(a, b, bits=8),
}


def operands(generator: torch.Generator) -> dict[str, tuple[Tensor, Tensor]]:
    """Rows as they are found in models, and rows that suit a shared exponent badly."""
    a, b = (torch.randn(ROWS, LENGTH, generator=generator) for _ in range(2))
    outliers = a.clone()
    outliers[:, 7] *= 100  # one feature a hundred times the others, as in large language models
    uneven = a * torch.exp(2 * torch.randn(ROWS, LENGTH, generator=generator))
    return {
        "normal": (a, b),
        "after a ReLU": (a.relu(), b),
        "one feature x 100": (outliers, b),
        "log-normal sizes": (uneven, b),
    }


def errors() -> dict[str, dict[str, float]]:
    """By operands and format."""
    found: dict[str, dict[str, float]] = {}
    for name, (a, b) in operands(torch.Generator().manual_seed(0)).items():
        true = a.double() @ b.double().mT
        scale = true.square().mean().sqrt()
        found[name] = {
            fmt: float((product(a, b).double() - true).square().mean().sqrt() / scale)
            for fmt, product in FORMATS.items()
        }
    return found


@click.command()
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
def main(as_json: bool) -> None:
    """Measure relative errors of products of 256 rows by 256 rows of 1024 elements."""
    found = errors()
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    table = Table(title=f"Relative error of a product of rows of {LENGTH}")
    table.add_column("rows")
    for name in FORMATS:
        table.add_column(name, justify="right")
    for name, row in found.items():
        table.add_row(name, *(f"{row[f]:.1e}" for f in FORMATS))
    Console().print(table)


if __name__ == "__main__":
    main()
