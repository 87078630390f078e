"""A dispute about one place in a large model, played without computing the model.

What a dispute costs follows from the shapes of its trees and from the bytes at its end. So a step
of which the two sides know one node's output and its operands, all of it computed and committed,
costs what the whole step does: of every other node only the commitment is ever looked at, and here
one number stands for each. `benchmarks.court` without `--quick` computes the whole step too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from benchmarks.disputes import OneStep, Played, long_job, play_step
from benchmarks.node import NodeChain
from worker.jobs import Computation
from worker.program import Kind, Program
from worker.program.builder import Builder
from worker.program.codes import F32


class OnePlace(OneStep):
    """A replay that knows the state before one step, and a trace of it that it was given."""

    def __init__(
        self,
        computation: Computation,
        step: int,
        before: Sequence[Tensor],
        side: str,
        trace: list[Tensor],
    ) -> None:
        super().__init__(computation, step, before, side)
        self._trace = trace

    def walk(
        self, step: int, wanted: Collection[int] | None = None
    ) -> Iterator[tuple[int, Tensor]]:
        """What it was given."""
        return ((n, t) for n, t in enumerate(self._trace) if wanted is None or n in wanted)

    def root(self, step: int) -> bytes:
        return super().root(step) if step == self.step else self.stand_in(step)


def product(program: Program, node: int) -> dict[int, Tensor]:
    """A DOT node's output and operands, of random numbers, by the numbers of their nodes."""
    record = program.nodes[node]
    assert record.kind == Kind.DOT, "the place is a product"
    b, m, n, k, bits = record.attributes
    builder = Builder()
    views = [builder.state(i, F32, (b, rows, k)) for i, rows in enumerate((m, n))]
    small = builder.dot(views[0], views[1], bits)
    generator = torch.Generator().manual_seed(0)
    operands = [torch.randn((b, rows, k), generator=generator) for rows in (m, n)]
    outputs = (*(v.node for v in views), small.node)
    made = Program(tuple(builder.nodes), outputs, ("a", "b"))
    trace = made.trace(operands, [])
    inputs = zip(record.inputs, builder.nodes[small.node].inputs, strict=True)
    return {node: trace[small.node], **{i.node: trace[j.node] for i, j in inputs}}


def one_place(
    program: Program,
    state: Sequence[Tensor],
    data: Sequence[Tensor],
    node: int,
    element: int,
    *,
    known: Mapping[int, Tensor],
    chain: NodeChain,
    bit: int,
    steps: int = 1,
    arity_bits: int,
    paid: bool = True,
) -> Played:
    """A dispute about one element of a node in the middle one of `steps` steps.

    known: the outputs of the node and of its operands, by the numbers of their nodes.
    """
    job, step = long_job(program, data, steps)
    right = [known.get(n, torch.tensor([n])) for n in range(len(program.nodes))]
    wrong = list(right)
    wrong[node] = right[node].clone()
    wrong[node].view(torch.int32).view(-1)[element] ^= 1 << bit
    computation = Computation(job, program, data)
    solver = OnePlace(computation, step, state, "solver", wrong)
    challenger = OnePlace(computation, step, state, "challenger", right)
    report = program.split(wrong)[1]
    return play_step(solver, challenger, report, node, chain, arity_bits, paid)
