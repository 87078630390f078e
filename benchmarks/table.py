"""README's table of `benchmarks.exact`, made of the results that are committed.

python -m benchmarks.table [--write]
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import click

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "README.md"
FILES = (("exact-cpu-2-cores.json", ""), ("exact-cpu-2-cores-avx2.json", "AVX2 alone, "))
"""What the columns are taken from, in their order, and what their names begin with."""
START = "| what | 14 bits : fp32 | 20 bits : fp32 |"
NONE = "-"  # not measured there

Ratios = dict[tuple[int, str], float]


def ratio(x: float) -> str:
    """As the table has them: two digits after the point, one from 2 on, one digit if tiny."""
    if x < 0.01:
        return f"{x:.1g}"
    return f"{x:.2f}" if x < 2 else f"{x:.1f}"


def listed(found: Sequence[float]) -> str:
    """All of them."""
    return ", ".join(map(ratio, found))


def parted(found: Sequence[float]) -> str:
    """Two of different kinds."""
    return "; ".join(map(ratio, found))


def ranged(found: Sequence[float]) -> str:
    """From the least to the greatest."""
    return f"{ratio(min(found))} to {ratio(max(found))}"


STEPS = (
    "digits perceptron step",
    "small ResNet step, 16 images",
    "10 M GPT step, 8 x 256 tokens",
    "MiniLM, 32 sentences of 64 tokens",
)
CUBES = tuple(f"dot {n}x{n}x{n}" for n in (1024, 2048, 4096))
ROWS: tuple[tuple[str, tuple[str, ...], Callable[[Sequence[float]], str]], ...] = (
    ("product of 1024, 2048, 4096 cubed", CUBES, listed),
    ("product of 256, 512 cubed", ("dot 256x256x256", "dot 512x512x512"), listed),
    (
        "product 16 x 4096 x 1024; 48 of 256 x 256 x 64",
        ("dot 16x4096x1024", "dot of 48: 256x256x64"),
        parted,
    ),
    ("training step: digits perceptron", STEPS[:1], listed),
    ("training step: small ResNet, 16 images of 32 x 32", STEPS[1:2], listed),
    ("training step: 10 M-parameter GPT, 8 x 256 tokens", STEPS[2:3], listed),
    ("inference: MiniLM, 32 sentences of 64 tokens", STEPS[3:], listed),
    ("peak memory of these steps", tuple(f"memory: {name}" for name in STEPS), ranged),
    (
        "hashing the GPT's state, beside a segment of 50 steps",
        ("state root beside 50 GPT steps",),
        listed,
    ),
    (
        "without a C compiler and VNNI: product of 1024, 2048, 4096 cubed",
        tuple(f"{name} through fp64" for name in CUBES),
        listed,
    ),
)
"""What a row is called, the results that it is made of, and how they are put."""


def ratios(path: Path) -> Ratios:
    """By bits and name, of one file of results."""
    return {(r["bits"], r["name"]): r["ratio"] for r in json.loads(path.read_text())["rows"]}


def table() -> str:
    """The table, its last line ended: two columns for each of the files that there are."""
    there = [(RESULTS / name, prefix) for name, prefix in FILES if (RESULTS / name).exists()]
    columns = [(ratios(path), bits) for path, _ in there for bits in (14, 20)]
    names = [f"{prefix}{bits} bits : fp32" for _, prefix in there for bits in (14, 20)]
    lines = ["| what | " + " | ".join(names) + " |", "|---" * (1 + len(columns)) + "|"]
    for what, names, put in ROWS:
        cells = [
            put([found[bits, name] for name in names])
            if all((bits, name) in found for name in names)
            else NONE
            for found, bits in columns
        ]
        lines.append("| " + " | ".join([what, *cells]) + " |")
    return "\n".join(lines) + "\n"


def within(readme: str) -> tuple[int, int]:
    """Where the table begins and ends in README's text."""
    start = readme.index(START)
    return start, readme.index("\n\n", start) + 1


@click.command()
@click.option("--write", is_flag=True, help="Put it into README.md instead of printing it.")
def main(write: bool) -> None:
    """README's table of exact products and steps beside fp32, from the committed results."""
    if not write:
        click.echo(table(), nl=False)
        return
    text = README.read_text()
    start, end = within(text)
    README.write_text(text[:start] + table() + text[end:])


if __name__ == "__main__":
    main()
