"""Print the worked example of docs/dispute.md: `python -m scripts.example_dispute [--check]`.

A step that doubles 1,000 numbers, its solver wrong in one of them: every hash on the way from the
trace's root to the element, computed by the worker's own commitments.
"""

from __future__ import annotations

from pathlib import Path

import click
import torch

from worker.dispute.commitments import CommittedList
from worker.program import Program
from worker.program.builder import Builder
from worker.program.codes import F32, Map
from worker.simulation import flipped

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "dispute.md"
COUNT, ELEMENT, BIT = 1_000, 700, 22
BEGIN, END = "<!-- example -->\n```\n", "```\n<!-- /example -->"


def example() -> str:
    """The lines of the example."""
    builder = Builder()
    x = builder.state(0, F32, (COUNT,))
    doubled = builder.map(Map.ADD, x, x)
    program = Program(tuple(builder.nodes), (0, doubled.node), ("x",))
    state = [torch.arange(COUNT, dtype=torch.float32)]
    honest = program.trace(state, [])
    cheat = program.trace(state, [], lambda n, v: flipped(v, ELEMENT, BIT) if n == 1 else v)
    theirs, own = CommittedList(cheat), CommittedList(honest)
    tensor, mine = theirs[1], own[1]
    leaf = ELEMENT // tensor.per_leaf
    lines = [
        f"program            {program.root.hex()}",
        f"  node 0           {program.nodes[0].name}, item {program.nodes[0].item.hex()}",
        f"  node 1           {program.nodes[1].name}, item {program.nodes[1].item.hex()}",
        f"S_0                {own.items[0].hex()} (its one tensor's item)",
        "",
        f"trace, solver      {theirs.root.hex()}",
        f"trace, challenger  {own.root.hex()}",
        f"  leaf 0, both     {theirs.leaf(0).hex()}",
        f"  leaf 1, solver   {theirs.leaf(1).hex()}",
        f"  leaf 1, own      {own.leaf(1).hex()}   <- the challenger descends here",
        "",
        f"tensor of node 1   f32, {tensor.count} elements, root {tensor.elements.hex()}",
    ]
    for k in range(tensor.tree.size):
        same = tensor.tree.node(0, k) == mine.tree.node(0, k)
        mark = "" if same else "   <- and here"
        lines.append(f"  leaf {k}           {tensor.tree.node(0, k).hex()}{mark}")
    place = ELEMENT % tensor.per_leaf
    was, right = (t.leaf(leaf)[4 * place : 4 * place + 4] for t in (tensor, mine))
    operand = own[0].leaf(leaf)[4 * place : 4 * place + 4]
    lines += [
        "",
        f"element {ELEMENT}: place {place} of leaf {leaf}",
        f"  committed        {was[::-1].hex()} ({cheat[1][ELEMENT].item()})",
        f"  operand x[{ELEMENT}]   {operand[::-1].hex()} ({state[0][ELEMENT].item()})",
        f"  ADD gives        {right[::-1].hex()} ({honest[1][ELEMENT].item()}): guilty",
    ]
    return "\n".join(lines) + "\n"


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; fail where the document differs.")
def main(check: bool) -> None:
    """Write the worked example into docs/dispute.md."""
    text = DOCUMENT.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    made = before + BEGIN + example() + END + after
    if made == text:
        click.echo("docs/dispute.md is up to date")
    elif check:
        raise click.ClickException("docs/dispute.md is stale: python -m scripts.example_dispute")
    else:
        DOCUMENT.write_text(made)


if __name__ == "__main__":
    main()
