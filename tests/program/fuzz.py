"""Random well-formed programs over extreme values, by seed: all kinds, functions and dtypes, shapes
of any rank, maps that run backwards, stand still and lead far out of bounds.

`case(seed)` is the same everywhere; `shrunk` makes one that fails as small as it can.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import prod

import torch
from torch import Tensor

from tests.program.test_execute import signatures
from worker.chain.types import Job
from worker.commit import state_root
from worker.jobs import Computation
from worker.program import Input, Kind, MalformedProgram, Map, Node, Program, Reduce, Source
from worker.program.codes import BOOL, DTYPES, F32, I32, I64, SUM_BITS
from worker.program.needed import pruned
from worker.program.wellformed import MOST_DOT_BITS, NONFINITE

NAN = 0x7FC00000
FLOATS = (
    0, 1, 0x7FFFFF, 0x800000, 0x3F800000, 0x3F7FFFFF, 0x3F000000, 0x4B000000, 0x4B800001,
    0x4F000000, 0x5F000000, 0x7F7FFFFF, 0x7F800000, 0x42B17218, 0x42CFF1B5, 0x40490FDB, 0x33800000,
    0x0DA24260,
)  # fmt: skip
WHOLE = (
    0,
    1,
    2,
    3,
    7,
    2**23,
    2**24 + 1,
    2**31 - 1,
    2**31,
    2**32,
    2**53 + 1,
    2**62,
    2**63 - 1,
    2**63,
)
REACHES = (0, 1, -1, 2, -3, 9, 100, 2**20, 2**31, -(2**31), 2**40, -(2**40))
MOST = 400  # elements of a node, about


@dataclass(frozen=True)
class Case:
    """One step of a job that nobody would post: what every twin must agree on."""

    seed: int
    program: Program
    state: tuple[Tensor, ...]
    data: tuple[Tensor, ...]
    job: Job
    step: int

    @property
    def computation(self) -> Computation:
        return Computation(self.job, self.program, self.data)

    def __str__(self) -> str:
        nodes = "\n".join(f"  {n}: {node!r}" for n, node in enumerate(self.program.nodes))
        tensors = "\n".join(f"  {t.dtype} {t.flatten().tolist()}" for t in self.state)
        return (
            f"seed {self.seed}, step {self.step}, {self.job}\n{nodes}\n"
            f"outputs {self.program.outputs}, states {self.program.state_count}\n{tensors}"
        )


def elements(rng: random.Random, dtype: int, count: int) -> Tensor:
    """Some ordinary, some at the ends of what the dtype holds, some any bits."""
    if dtype == BOOL:
        return torch.tensor([rng.random() < 0.5 for _ in range(count)])
    bits = [_element(rng, dtype) for _ in range(count)]
    width = 64 if dtype == I64 else 32
    signed = [b - (b >> (width - 1) << width) for b in bits]
    integers = torch.tensor(signed, dtype=torch.int64 if dtype == I64 else torch.int32)
    return integers.view(torch.float32) if dtype == F32 else integers


def _element(rng: random.Random, dtype: int) -> int:
    """The bits of one element."""
    if dtype == BOOL:
        return rng.getrandbits(1)
    width = 64 if dtype == I64 else 32
    if dtype == F32:
        kind = rng.random()
        if kind < 0.4:  # ordinary
            number = torch.tensor(rng.gauss(0, 3), dtype=torch.float32)
            return int(number.view(torch.int32)) & 0xFFFFFFFF
        bits = rng.choice(FLOATS) if kind < 0.8 else rng.getrandbits(31)
        bits |= rng.getrandbits(1) << 31
        return NAN if bits & 0x7FFFFFFF > 0x7F800000 else bits
    kind = rng.random()
    value = rng.choice(WHOLE) if kind < 0.7 else rng.getrandbits(width)
    return (-value if rng.random() < 0.5 else value) & ((1 << width) - 1)


@cache
def _signatures() -> dict[Map, list[tuple[int, ...]]]:
    return {fn: signatures(fn) for fn in Map if fn != Map.QUANTISE}


class _Maker:
    """Nodes so far, and what they read."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        self.nodes: list[Node] = []
        self.state: list[Tensor] = []
        self.data: list[Tensor] = []
        self.rows = rng.choice((1, 2, 3, 5, 17, 64, 65))
        self.batch_rows = rng.randint(1, self.rows)

    def add(self, node: Node) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1

    # shapes and maps

    def shape(self, most: int = MOST) -> tuple[int, ...]:
        rng = self.rng
        sizes: list[int] = []
        for _ in range(rng.choice((0, 1, 1, 2, 2, 3, 4, 6, 8))):
            size = rng.choice((1, 1, 2, 3, 4, 5, 7, 8, 16, 33, 130))
            if prod(sizes) * size <= most:
                sizes.append(size)
        return tuple(sizes)

    def parted(self, count: int, rank: int | None = None) -> tuple[int, ...]:
        """A shape of so many elements."""
        sizes = [count]
        for _ in range(self.rng.randint(0, 3) if rank is None else rank - 1):
            at = self.rng.randrange(len(sizes))
            n = sizes.pop(at)
            d = self.rng.choice([d for d in range(1, n + 1) if n % d == 0])
            sizes[at:at] = [d, n // d]
        return tuple(sizes)

    def operand(self, n: int, shape: tuple[int, ...], fill: int | None = None) -> Input:
        """Node n as a MAP of this shape reads it."""
        rng, made = self.rng, self.nodes[n]
        style = rng.random()
        if style < 0.4 and made.count == prod(shape):
            seen, rank = shape, len(shape)
            turned = {o for o in range(rank) if rng.random() < 0.3} if style < 0.2 else set()
            index_map = []
            for a, size in enumerate(seen):
                steps = [0] * rank
                steps[a] = -1 if a in turned else 1
                index_map += [size - 1 if a in turned else 0, *steps]
        else:
            seen = self.parted(made.count)
            index_map = []
            for size in seen:
                wild = style > 0.985
                one = [rng.choice(REACHES) if wild else rng.randint(-2, size + 1)]
                for _ in shape:
                    one.append(rng.choice(REACHES if wild else (0, 0, 1, 1, -1, 2, -2, 3)))
                index_map += one
        if fill is None:
            fill = 0 if rng.random() < 0.3 else _element(rng, made.dtype)
        return Input(n, made.dtype, seen, tuple(index_map), fill)

    # nodes

    def source(self, dtype: int) -> int:
        rng, kind = self.rng, self.rng.random()
        if kind < 0.15:
            bits = _element(rng, dtype)
            return self.add(
                Node(Kind.SOURCE, Source.CONSTANT, dtype, (1,) * rng.randint(0, 2), (), (bits,))
            )
        if kind < 0.3 and dtype in (I32, I64):
            return self.add(Node(Kind.SOURCE, Source.IOTA, dtype, self.shape()))
        if kind < 0.3 and dtype == F32:
            return self.add(Node(Kind.SOURCE, Source.RANDOM, F32, self.shape()))
        if kind < 0.5:
            width = rng.randint(1, 5)
            self.data.append(elements(rng, dtype, self.rows * width).view(self.rows, width))
            shape = self.parted(self.batch_rows * width)
            attributes = (len(self.data) - 1, self.batch_rows, width)
            return self.add(Node(Kind.SOURCE, Source.BATCH, dtype, shape, (), attributes))
        shape = self.shape()
        self.state.append(elements(rng, dtype, prod(shape)).view(shape))
        return self.add(Node(Kind.SOURCE, Source.STATE, dtype, shape, (), (len(self.state) - 1,)))

    def any(self, dtype: int) -> int:
        """A node of this dtype; late ones rather than early ones."""
        found = [n for n, node in enumerate(self.nodes) if node.dtype == dtype]
        if not found or self.rng.random() < 0.2:
            return self.source(dtype)
        return found[max(self.rng.randrange(len(found)) for _ in range(2))]

    def copied(self, dtype: int, shape: tuple[int, ...]) -> int:
        n = self.any(dtype)
        return self.add(Node(Kind.MAP, Map.COPY, dtype, shape, (self.operand(n, shape),)))

    def map(self) -> int:
        fn = self.rng.choice([*_signatures()])
        out, *kinds = self.rng.choice(_signatures()[fn])
        operands = [self.any(k) for k in kinds]
        first = self.nodes[operands[-1]].count
        shape = self.parted(first) if self.rng.random() < 0.6 else self.shape()
        inputs = tuple(self.operand(n, shape) for n in operands)
        return self.add(Node(Kind.MAP, fn, out, shape, inputs))

    def exponents(self, rows: int) -> int:
        n = self.copied(F32, self.parted(rows * self.rng.choice((1, 2, 3, 8, 17))))
        x = Input(n, F32, (rows, self.nodes[n].count // rows))
        return self.add(Node(Kind.REDUCE, Reduce.EXPONENT, I32, self.parted(rows), (x,)))

    def quantised(self, rows: int, length: int, bits: int) -> tuple[int, int]:
        """Integers [rows, length] and an exponent for each row: of themselves as a rule."""
        rng, shape = self.rng, (rows, length)
        if rng.random() < 0.6:
            x = self.copied(F32, shape)
            row = Input(x, F32, shape)
            e = self.add(Node(Kind.REDUCE, Reduce.EXPONENT, I32, (rows,), (row,)))
            seen = Input(x, F32, (rows * length,), (0, length, 1))
            inputs = (seen, Input(e, I32, (rows,), (0, 1, 0)))
        else:
            e = self.exponents(rows)
            fill = rng.choice((0, 1, 128, 2**32 - 96, NONFINITE))
            inputs = (self.operand(self.any(F32), shape), self.operand(e, shape, fill))
        q = Node(Kind.MAP, Map.QUANTISE, I32, shape, inputs, (bits,))
        return self.add(q), e

    def reduce(self) -> int:
        rng = self.rng
        fn = rng.choice(list(Reduce))
        if fn == Reduce.SUM:
            rows, length = rng.randint(1, 6), rng.choice((1, 2, 5, 16, 33))
            if rng.random() < 0.7:
                q, e = self.quantised(rows, length, SUM_BITS)
            else:
                q, e = self.copied(I32, (rows, length)), self.exponents(rows)
            inputs = (Input(q, I32, (rows, length)), Input(e, I32, (rows,)))
            return self.add(Node(Kind.REDUCE, fn, F32, self.parted(rows), inputs))
        dtype = F32 if fn == Reduce.EXPONENT else rng.choice((F32, I32, I64))
        n = self.any(dtype)
        rows, length = self.parted(self.nodes[n].count, 2)
        out = {Reduce.MAX: dtype, Reduce.ARGMAX: I64, Reduce.EXPONENT: I32}[fn]
        operand = Input(n, dtype, (rows, length))
        return self.add(Node(Kind.REDUCE, fn, out, self.parted(rows), (operand,)))

    def dot(self) -> int:
        rng = self.rng
        b, m, n = (rng.randint(1, 4) for _ in range(3))
        k, bits = rng.choice((1, 2, 7, 16, 40)), rng.choice((2, 3, 8, 14, 14, 20, 20))
        inputs = []
        for rows in (b * m, b * n):
            q, e = self.quantised(rows, k, rng.randint(2, bits) if rng.random() < 0.3 else bits)
            inputs += [Input(q, I32, (rows, k)), Input(e, I32, (rows,))]
        assert bits <= MOST_DOT_BITS
        shape = self.parted(b * m * n)
        return self.add(Node(Kind.DOT, 0, F32, shape, tuple(inputs), (b, m, n, k, bits)))

    def places(self, count: int, top: int) -> int:
        """Indices, most of them within 0 .. top - 1."""
        rng, dtype = self.rng, self.rng.choice((I32, I64))
        if rng.random() < 0.3:
            return self.copied(dtype, (count,))
        values = [rng.randint(-1, top) for _ in range(count)]
        self.state.append(torch.tensor(values, dtype=DTYPES[dtype]))
        attributes = (len(self.state) - 1,)
        return self.add(Node(Kind.SOURCE, Source.STATE, dtype, (count,), (), attributes))

    def gather(self) -> int:
        n = self.any(self.rng.choice((F32, I32, I64, BOOL)))
        made = self.nodes[n]
        a, v, d = self.parted(made.count, 3)
        length = self.rng.randint(1, 5)
        at = self.places(a * length, v)
        inputs = (
            Input(n, made.dtype, (a, v, d)),
            Input(at, self.nodes[at].dtype, (a, length)),
        )
        shape = self.parted(a * length * d)
        return self.add(Node(Kind.GATHER, 0, made.dtype, shape, inputs, (a, v, length, d)))

    def scatter(self) -> int:
        rng = self.rng
        v, d, length = rng.randint(1, 6), rng.randint(1, 5), rng.choice((1, 3, 16, 33))
        if rng.random() < 0.7:
            x = self.copied(F32, (d, length))
            one = Input(x, F32, (1, d * length))
            e = self.add(Node(Kind.REDUCE, Reduce.EXPONENT, I32, (1,), (one,)))
            seen = Input(x, F32, (d, length), (0, 1, 0, 0, 0, 1))
            inputs = (seen, Input(e, I32, (1,), (0, 0, 0)))
            q = self.add(Node(Kind.MAP, Map.QUANTISE, I32, (d, length), inputs, (SUM_BITS,)))
        else:
            q, e = self.copied(I32, (d, length)), self.exponents(1)
        at = self.places(length, v)
        operands = (
            Input(q, I32, (d, length)),
            Input(e, I32, (1,)),
            Input(at, self.nodes[at].dtype, (length,)),
        )
        shape = self.parted(v * d)
        return self.add(Node(Kind.SCATTER, 0, F32, shape, operands, (v, d, length)))

    # the whole

    def case(self, seed: int) -> Case:
        rng = self.rng
        for dtype in (F32, I64):
            self.source(dtype)
        makers = [self.map] * 9 + [self.reduce] * 2 + [self.dot, self.gather, self.scatter]
        for _ in range(rng.randint(3, 14)):
            rng.choice(makers)()
        if not self.state:
            self.state.append(torch.zeros(1))
            self.add(Node(Kind.SOURCE, Source.STATE, F32, (1,), (), (0,)))
        if not self.data:
            self.data.append(torch.zeros(self.rows, 1))
        outputs = [self._next(i) for i in range(len(self.state))]
        read = {i.node for node in self.nodes for i in node.inputs}
        ends = [n for n in range(len(self.nodes)) if n not in read and n not in outputs]
        more = rng.sample(range(len(self.nodes)), min(2, len(self.nodes)))
        reports = [n for n in ends if rng.random() < 0.9] + more
        nodes, made, _ = pruned(self.nodes, (*outputs, *reports))
        program = Program(nodes, made, tuple(f"x{i}" for i in range(len(self.state))))
        steps = 1 << 40
        state_of, data_of = state_root(self.state), state_root(self.data)
        numbers = (len(self.data), self.rows, rng.getrandbits(64), steps, 1)
        job = Job(program.root, state_of, data_of, *numbers)
        step = rng.choice((0, 1, 2, 2**32 - 1, 2**32, steps - 1))
        return Case(seed, program, tuple(self.state), tuple(self.data), job, step)

    def _next(self, i: int) -> int:
        """What becomes of state i: itself, or anything alike."""
        here = next(
            n
            for n, node in enumerate(self.nodes)
            if node.kind == Kind.SOURCE and node.fn == Source.STATE and node.attributes == (i,)
        )
        alike = (self.nodes[here].dtype, self.nodes[here].count)
        found = [n for n, node in enumerate(self.nodes) if (node.dtype, node.count) == alike]
        return self.rng.choice([here, *found])


def case(seed: int) -> Case:
    """The case of this seed."""
    return _Maker(seed).case(seed)


# --- smaller ---


def shrunk(found: Case, fails: Callable[[Case], bool]) -> Case:
    """A case that still fails, with fewer outputs and with states in the place of nodes."""
    smaller = True
    while smaller:
        smaller = False
        for tried in _smaller(found):
            if fails(tried):
                found, smaller = tried, True
                break
    return found


def _smaller(whole: Case) -> Iterator[Case]:
    """Smaller ones: with the next states among the reports, with any node as the one report, with
    one report less, and with a state in the place of a node."""
    program, state = whole.program, whole.state
    first, reports = program.outputs[: program.state_count], program.outputs[program.state_count :]
    moved = tuple(n for n in first if program.nodes[n].kind != Kind.SOURCE)
    yield from _made(whole, program.nodes, state, (*moved, *reports))
    for n in range(len(program.nodes)):
        yield from _made(whole, program.nodes, state, (n,))
    for k in range(len(reports)):
        if len(reports) > 1:
            yield from _made(whole, program.nodes, state, reports[:k] + reports[k + 1 :])
    trace = dict(whole.computation.walk(list(state), whole.step))
    for n in reversed(range(len(program.nodes))):
        node = program.nodes[n]
        if node.kind == Kind.SOURCE and node.fn == Source.STATE:
            continue
        nodes = list(program.nodes)
        nodes[n] = Node(Kind.SOURCE, Source.STATE, node.dtype, node.shape, (), (len(state),))
        yield from _made(whole, nodes, (*state, trace[n].clone()), reports)


def _made(
    whole: Case, nodes: Sequence[Node], state: Sequence[Tensor], reports: tuple[int, ...]
) -> Iterator[Case]:
    """The case with these nodes, of which the states stay as they are, if it is a smaller one."""
    left, outputs, _ = pruned(nodes, reports)
    used: list[Tensor] = []
    first: list[int] = []
    made = list(left)
    for n, node in enumerate(made):
        if node.kind == Kind.SOURCE and node.fn == Source.STATE:
            made[n] = replace(node, attributes=(len(used),))
            used.append(state[node.attributes[0]])
            first.append(n)
    if not used:
        first.append(len(made))
        made.append(Node(Kind.SOURCE, Source.STATE, F32, (1,), (), (0,)))
        used.append(torch.zeros(1))
    names = tuple(f"x{i}" for i in range(len(used)))
    try:
        program = Program(tuple(made), (*first, *outputs), names)
    except MalformedProgram:
        return  # an operand that has to be an exponent is none any more
    if _size(program) < _size(whole.program):
        job = replace(whole.job, program=program.root, state=state_root(used))
        yield replace(whole, program=program, state=tuple(used), job=job)


def _size(program: Program) -> tuple[int, int, int]:
    """Nodes that are no states, other next states than the states themselves, outputs."""
    sources = [n.kind == Kind.SOURCE for n in program.nodes]
    states = [n.kind == Kind.SOURCE and n.fn == Source.STATE for n in program.nodes]
    moved = sum(not sources[n] for n in program.outputs[: program.state_count])
    return len(states) - sum(states), moved, len(program.outputs)
