"""One report more for every job's program: a number that nobody knows who has not computed a step.

Who commits to a step's reports before they are published shows that it has computed the step, if
the reports cannot be guessed. A loss can: of a model that has learnt its data it is 0, of one that
has diverged NaN; and answers are often the labels. So every job's program ends with one report that
mixes every element of a few tensors, chosen so that most of the step's work lies behind them.

**Which tensors.** Of what a step may end in (next states that change, reports, and the products
that reports are made of) the one with the longest chain of work behind it; then again, the work of
all that the first ones need not counted, until 19/20 of the step's work is behind them or there are
`MOST_PICKS`. Together their mixing costs at most 1/100 of the step, however large a layer is; a few
elements always may, and where everything is larger the smallest is taken. It all follows from the
records alone, so that whoever is handed a program knows whether its fingerprint is the right one.
What is left out is beside the chain (another layer's gradient and update), and of a segment's last
step alone: what earlier steps leave out their followers need.

**The number.** Each f32 element has an exponent of its own, so that all 24 bits of it enter (of
those below 2^-102 fewer, and zeros of both signs are one); integers enter as i32. With its place it
becomes x = q + e K1 + place K2 mod 2^32; then x (2 x + 1), whose upper half, times K3, is added to
it, and once more x (2 x + 1): the mixing of RC6 (Rivest et al. 1998), as there are no rotations.
Nothing linear would do: a plain sum of a product follows from sums of its operands, which are cheap
(Freivalds 1977). Then the exact sum of all as f32, rounded once for every `MAX_ROW` elements. A
change of one element passes where it is less than the sum's last bit: with a chance of some 2^-18
at most where there are 4096, and 2^-15 of a million. It is NaN exactly where an element is; of an
infinity, which masks make, it knows the place alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from worker.program.builder import Builder
from worker.program.codes import BOOL, F32, I32, SUM_BITS, Kind, Map, Reduce
from worker.program.cost import BYTE_WORK, node_bytes, node_flops
from worker.program.needed import cone, pruned
from worker.program.program import Program
from worker.program.records import Node
from worker.program.views import View
from worker.program.wellformed import MalformedProgram

NAME = "the fingerprint"
COVERED = Fraction(19, 20)  # of the step's work, behind what is picked
MOST_PICKS = 4
BUDGET = Fraction(1, 100)  # of the step's work, for mixing
MIXING = 3_200  # work units of an element's mixing, as `worker.program.cost` counts
FREE = 1024  # elements that are mixed whatever they cost
FEW = 64  # fewer are taken only where nothing else ends the step: they may be guessed
# odd: Knuth's 2^32 / golden ratio, and the fourth and second prime of xxHash
K_EXPONENT, K_PLACE, K_HALF = -1640531527, 668265263, -2048144777


def fingerprinted(program: Program) -> Program:
    """The program with the fingerprint as its last report, f32 of shape ().

    Raises MalformedProgram where a step ends in nothing: it has no report and changes no state.
    """
    made = _extended(program.nodes, program.outputs, program.state_count, program.origins)
    outputs = (*program.outputs, len(made.nodes) - 1)
    return Program(
        tuple(made.nodes), outputs, program.state_names, tuple(made.origins), program.bounds
    )


def check_fingerprint(program: Program) -> None:
    """Raises MalformedProgram where the last report is not the fingerprint of all the rest."""
    if program.report_count:
        nodes, outputs, _ = pruned(program.nodes, program.outputs[:-1])
        made = _extended(nodes, outputs, program.state_count)
        last = program.outputs[-1] == len(program.nodes) - 1
        if last and len(nodes) < len(program.nodes) and tuple(made.nodes) == program.nodes:
            return
    raise MalformedProgram(
        f"the program's last report is not {NAME}, which tells who has computed a step from who "
        "has not: post a job of this version, or give the captured program to "
        "worker.program.fingerprinted"
    )


def _extended(
    nodes: Sequence[Node], outputs: Sequence[int], state_count: int, origins: Sequence[str] = ()
) -> Builder:
    """The nodes, and those of their fingerprint, which is the last one."""
    builder = Builder.after(nodes, origins)
    builder.origin = NAME
    total: View | None = None
    for node in picked(nodes, outputs, state_count):
        mixed = _mixed(builder, View.of(node, nodes[node].dtype, nodes[node].shape))
        if total is not None:
            # two picks that change places are another number
            total = builder.map(Map.MUL, total, builder.constant(3, F32))
            mixed = builder.map(Map.ADD, total, mixed)
        total = mixed
    if total is None:
        raise MalformedProgram("a step that reports nothing and changes no state computes nothing")
    return builder


# which tensors


def picked(nodes: Sequence[Node], outputs: Sequence[int], state_count: int) -> list[int]:
    """The nodes whose elements are mixed, the longest chain first."""
    operands = [tuple(i.node for i in node.inputs) for node in nodes]
    work = [
        node_flops(n) + BYTE_WORK * node_bytes(n) if n.kind != Kind.SOURCE else 0 for n in nodes
    ]
    everything, found = sum(work), list[int]()
    candidates = _ends(nodes, outputs, state_count, operands)
    left = max(FREE, int(BUDGET * everything) // MIXING)  # elements
    while len(found) < MOST_PICKS:
        chain = _chains(work, operands)
        fit = [n for n in candidates if FEW <= nodes[n].count <= left and chain[n]]
        if not fit:
            break
        best = max(fit, key=lambda n: (chain[n], -nodes[n].count))
        found.append(best)
        left -= nodes[best].count
        for n in cone([best], operands):
            work[n] = 0
        if sum(work) <= (1 - COVERED) * everything:
            break
    if not found and candidates:
        # all are too many or too few: of the largest of the small ones, else the smallest
        few = [n for n in candidates if nodes[n].count < FEW]
        found.append(max(few or candidates, key=lambda n: (1 if few else -1) * nodes[n].count))
    return found


def _ends(
    nodes: Sequence[Node],
    outputs: Sequence[int],
    state_count: int,
    operands: Sequence[Sequence[int]],
) -> list[int]:
    """What a step may end in: states that change, reports, and the products behind reports."""
    states = [n for n in outputs[:state_count] if nodes[n].kind != Kind.SOURCE]
    reports = outputs[state_count:]
    products = [n for n in cone(reports, operands) if nodes[n].kind == Kind.DOT]
    found = dict.fromkeys([*states, *reports, *products])
    return [n for n in found if nodes[n].dtype != BOOL]


def _chains(work: Sequence[int], operands: Sequence[Sequence[int]]) -> list[int]:
    """For each node the greatest sum of work along one way to it."""
    chain: list[int] = []
    for n, before in enumerate(operands):
        chain.append(work[n] + max((chain[o] for o in before), default=0))
    return chain


# the number


def _mixed(builder: Builder, tensor: View) -> View:
    """f32 []: of every element of a tensor."""
    count = tensor.count
    flat = builder.reshape(tensor, (count,))
    place = builder.map(Map.MUL, builder.iota(count, I32), builder.constant(K_PLACE, I32))
    if tensor.dtype == F32:
        rows = flat.reshape((count, 1))
        e = builder.reduce(Reduce.EXPONENT, rows, 1)
        q = builder.map(Map.QUANTISE, flat, e, dtype=I32, attributes=(SUM_BITS,))
        e = builder.map(Map.MUL, e, builder.constant(K_EXPONENT, I32))
        x = builder.map(Map.ADD, q, e)
    else:
        x = builder.convert(flat, I32)
    x = builder.map(Map.ADD, x, place)
    x = _bent(builder, x)
    # what differs in upper bits alone is to reach the lower ones
    upper = builder.map(Map.MUL, builder.convert(x, F32), builder.constant(2.0**-16, F32))
    upper = builder.map(Map.MUL, builder.convert(upper, I32), builder.constant(K_HALF, I32))
    x = _bent(builder, builder.map(Map.ADD, x, upper))
    total = builder.sum(builder.convert(x, F32), 0)
    if tensor.dtype != F32:
        return total
    # 0 where nothing is NaN, else NaN: the mixing takes both NaN and infinities for 0
    greatest = builder.reduce(Reduce.MAX, builder.map(Map.ABS, flat), 0)
    bounded = builder.map(Map.MINIMUM, greatest, builder.constant(1.0, F32))
    seen = builder.map(Map.MUL, bounded, builder.constant(0.0, F32))
    return builder.map(Map.ADD, total, seen)


def _bent(builder: Builder, x: View) -> View:
    """x (2 x + 1) mod 2^32."""
    double = builder.map(Map.ADD, x, x)
    return builder.map(Map.MUL, x, builder.map(Map.ADD, double, builder.constant(1, I32)))
