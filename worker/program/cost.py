"""What a step costs: operations, memory traffic, memory, and the work units that are paid for.

Everything is counted from the records alone, so anyone who has the program has the same numbers; no
clock and no machine comes in.

**FLOPs** count scalar operations; those of integers and booleans count like those of floats.

- SOURCE: none; RANDOM 15 an element, for ten rounds of Philox, 6 operations each, make four numbers
- MAP: 1 an element; COPY none; QUANTISE 2 (scale, round); exp and the like as many as their
  sequence in `worker.exact.reference` has basic operations at the longest, see `MAP_FLOPS`
- REDUCE: 1 for each element read
- DOT: 2 for each pair of elements, one product and one sum; 6 above 14 bits, where integers are
  multiplied in two parts (Karatsuba's three products)
- GATHER: none, it only moves
- SCATTER: 1 for each element added

**Bytes** are what a run must move between memory and the operators: each writes its output once and
reads each operand once, no more of it than it uses and no more than there is of it. The exponents
and integers of a product or a sum never leave its operator, which reads the floats instead.

**Memory** is the greatest sum of what lives at once: the state, the batch, every output computed so
far that something still needs, and in the operator at work the integers that it multiplies or adds.
Operators run in the order of the records. An executor that fuses needs less; what its kernels need
inside (operands as f64, slices of int8), its allocator's slack and the interpreter come on top.

**Work units** are FLOPs + 16 * bytes. A machine has more operations to offer than bytes, some ten
for each byte on a CPU of today and twenty on a GPU, so a step that only moves memory is work too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from worker.program.codes import BOOL, F32, I32, I64, Kind, Map, Reduce, Source
from worker.program.records import Node
from worker.program.wellformed import DOT_BITS

ELEMENT_BYTES = {F32: 4, I32: 4, I64: 8, BOOL: 1}
BYTE_WORK = 16  # work units of a byte moved
RANDOM_FLOPS = 15
# Basic operations in the longest way through a function; a test counts them.
MAP_FLOPS = {
    Map.COPY: 0,
    Map.QUANTISE: 2,
    Map.EXP: 22,
    Map.LOG: 20,
    Map.TANH: 27,
    Map.ERF: 38,
    Map.SIN: 16,
    Map.COS: 16,
}


def node_flops(node: Node) -> int:
    """Operations of one node."""
    if node.kind == Kind.SOURCE:
        return RANDOM_FLOPS * node.count if node.fn == Source.RANDOM else 0
    if node.kind == Kind.MAP:
        return MAP_FLOPS.get(Map(node.fn), 1) * node.count
    if node.kind == Kind.DOT:
        length, bits = node.attributes[3:]
        return (2 if bits <= DOT_BITS else 6) * length * node.count
    if node.kind == Kind.GATHER:
        return 0
    return node.inputs[0].count  # REDUCE, SCATTER


def node_bytes(node: Node) -> int:
    """Size of a node's output."""
    return ELEMENT_BYTES[node.dtype] * node.count


@dataclass(frozen=True)
class Share:
    """What all nodes of one kind cost together in a step."""

    nodes: int
    flops: int
    bytes: int


@dataclass(frozen=True)
class Summary:
    """A program's size and the cost of one step. Sizes are in bytes."""

    root: str
    nodes: int
    functions: dict[str, int]  # nodes by function, all of them
    shares: dict[str, Share]  # by kind, of the nodes that are run
    states: int
    reports: int
    flops: int
    product_flops: int  # of DOT alone
    bytes_read: int
    bytes_written: int
    state_bytes: int
    batch_bytes: int
    peak_bytes: int  # of an honest run, state and batch included
    trace_bytes: int  # all nodes' outputs: what a dispute needs of one step
    trace_elements: int

    @property
    def bytes(self) -> int:
        return self.bytes_read + self.bytes_written

    @property
    def work_units(self) -> int:
        """Of one step: FLOPs + 16 * bytes."""
        return self.flops + BYTE_WORK * self.bytes

    def rows(self) -> list[tuple[str, str]]:
        """What people want to read: names and values."""
        functions = ", ".join(f"{n} {name}" for name, n in self.functions.items())
        return [
            ("program", self.root),
            ("nodes", f"{self.nodes}: {functions}"),
            ("state", f"{self.states} tensors, {size(self.state_bytes)}"),
            ("FLOPs", f"{count(self.flops)} a step, {count(self.product_flops)} in products"),
            (
                "memory traffic",
                f"{size(self.bytes_read)} read, {size(self.bytes_written)} written a step",
            ),
            (
                "memory",
                f"{size(self.peak_bytes)} live at the peak, {size(self.trace_bytes)} a trace",
            ),
            ("work units", f"{count(self.work_units)} a step"),
        ]

    def __str__(self) -> str:
        lines = [f"{name:15} {value}" for name, value in self.rows()]
        lines += ["", f"{'kind':15} {'nodes':>7} {'FLOPs':>10} {'traffic':>12}"]
        for kind, share in self.shares.items():
            lines.append(
                f"{kind:15} {share.nodes:7} {count(share.flops):>10} {size(share.bytes):>12}"
            )
        return "\n".join(lines)


def summarise(
    nodes: Sequence[Node], outputs: Sequence[int], state_count: int, root: bytes
) -> Summary:
    """Counts a well-formed program."""
    inner = _inner(nodes, outputs)
    reads = [_reads(nodes, inner, n) for n in range(len(nodes))]
    shares: dict[str, Share] = {}
    read = written = 0
    for n, node in enumerate(nodes):
        given = node.kind == Kind.SOURCE and node.fn in (Source.STATE, Source.BATCH)
        out = 0 if n in inner or given else node_bytes(node)
        taken = 0 if n in inner else sum(reads[n].values())
        read, written = read + taken, written + out
        name = Kind(node.kind).name
        s = shares.get(name, Share(0, 0, 0))
        shares[name] = Share(s.nodes + 1, s.flops + node_flops(node), s.bytes + taken + out)
    held = {source: _held(nodes, source) for source in (Source.STATE, Source.BATCH)}
    return Summary(
        root=root.hex(),
        nodes=len(nodes),
        functions=dict(sorted(Counter(node.name for node in nodes).items())),
        shares={k.name: shares[k.name] for k in Kind if k.name in shares},
        states=state_count,
        reports=len(outputs) - state_count,
        flops=sum(share.flops for share in shares.values()),
        product_flops=shares[Kind.DOT.name].flops if Kind.DOT.name in shares else 0,
        bytes_read=read,
        bytes_written=written,
        state_bytes=held[Source.STATE],
        batch_bytes=held[Source.BATCH],
        peak_bytes=sum(held.values()) + _peak(nodes, outputs, inner, reads),
        trace_bytes=sum(node_bytes(node) for node in nodes),
        trace_elements=sum(node.count for node in nodes),
    )


def _held(nodes: Sequence[Node], source: Source) -> int:
    """Bytes of the state or of the batch, however often the records name a tensor of it."""
    found = {
        node.attributes[0]: node_bytes(node)
        for node in nodes
        if node.kind == Kind.SOURCE and node.fn == source
    }
    return sum(found.values())


def _inner(nodes: Sequence[Node], outputs: Sequence[int]) -> set[int]:
    """Exponents and integers that only products, sums and scatters take."""
    users: list[list[int]] = [[] for _ in nodes]
    for n, node in enumerate(nodes):
        for operand in node.inputs:
            users[operand.node].append(n)
    inner: set[int] = set()
    given = frozenset(outputs)
    for n in reversed(range(len(nodes))):
        node = nodes[n]
        integers = node.kind == Kind.MAP and node.fn == Map.QUANTISE
        exponents = node.kind == Kind.REDUCE and node.fn == Reduce.EXPONENT
        kept = n in given or not all(u in inner or _adds(nodes[u]) for u in users[n])
        if (integers or exponents) and not kept:
            inner.add(n)
    return inner


def _adds(node: Node) -> bool:
    return node.kind in (Kind.DOT, Kind.SCATTER) or (
        node.kind == Kind.REDUCE and node.fn == Reduce.SUM
    )


def _reads(nodes: Sequence[Node], inner: set[int], n: int) -> dict[int, int]:
    """The tensors in memory that a node reads, and how many bytes of each."""
    found: dict[int, int] = {}
    used = nodes[n].count if nodes[n].kind == Kind.MAP else None
    for operand in nodes[n].inputs:
        source, most = operand.node, operand.count if used is None else used
        if nodes[n].kind == Kind.GATHER and operand is nodes[n].inputs[0]:
            most = nodes[n].count
        while source in inner:
            # an exponent's own operand is the one that the integers are made from
            source = nodes[source].inputs[0].node
        size_of = ELEMENT_BYTES[nodes[source].dtype]
        found[source] = max(found.get(source, 0), size_of * min(most, nodes[source].count))
    return found


def _peak(
    nodes: Sequence[Node],
    outputs: Sequence[int],
    inner: set[int],
    reads: list[dict[int, int]],
) -> int:
    """The most that lives at once, beside state and batch."""
    run = [n for n in range(len(nodes)) if n not in inner]
    last = {source: n for n in run for source in reads[n]}
    given = frozenset(outputs)
    live: dict[int, int] = {}
    held = most = 0
    for n in run:
        node = nodes[n]
        if node.kind != Kind.SOURCE or node.fn not in (Source.STATE, Source.BATCH):
            live[n] = node_bytes(node)
            held += live[n]
        inside = {i.node for i in node.inputs if i.node in inner}
        most = max(most, held + sum(node_bytes(nodes[i]) for i in inside))
        for source in reads[n]:
            if last[source] == n and source not in given:
                held -= live.pop(source, 0)
    return most


def count(value: float) -> str:
    """A number with three digits and its thousands' letter: 1.23 G."""
    for power, letter in ((15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if value >= 10**power:
            return f"{value / 10**power:.3g} {letter}"
    return f"{value:.3g}"


def size(value: float) -> str:
    """A number of bytes for people: 1.23 MiB."""
    for power, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if value >= 1 << power:
            return f"{value / (1 << power):.3g} {unit}"
    return f"{value:g} bytes"
