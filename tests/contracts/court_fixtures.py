"""A miniature of everything that a dispute is about, and both players in a few lines each.

`Transcript` is what a solver commits to for one segment: the states between its steps, the trace
and the reports of every step. A cheat is a transcript in which something was replaced after the
honest one had been computed. `Game` plays either side; the challenger knows an honest transcript.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from typing import Any

import torch
from eth_utils import to_canonical_address
from torch import Tensor

from scripts._contracts import CHECKERS
from tests import evm
from worker.commit import (
    LEAF_BYTES,
    TensorCommitment,
    Tree,
    commit_tensor,
    list_tree,
    report_item,
    reports_root,
)
from worker.jobs.sampling import rows_of_step
from worker.program import Header, Input, Node
from worker.program.codes import F32, I32, I64, Kind, Map, Reduce, Source
from worker.program.program import Program

NONE, STEPS, STEP, TRACE, STATE, REPORTS, TENSOR, ELEMENTS, LEAF, PROOF, CLOSED, DATA = range(12)

SEED, ROWS, BATCH, WIDTH = 77, 5, 2, 3
FIRST, LAST = 10, 17
NAN_AT = 7
WEIGHTS = 16 * 128  # elements of the first state tensor: sixteen leaves


def plain(node: int, dtype: int, *shape: int) -> Input:
    """An operand whose access its reader's kind fixes."""
    return Input(node, dtype, shape)


def mapped(node: int, dtype: int, shape: Sequence[int], *index_map: int, fill: int = 0) -> Input:
    return Input(node, dtype, tuple(shape), index_map, fill)


def miniature() -> Program:
    """w -= w / 2; b += the batch's first row; n += 1. Reports: the greatest row sum, all sums."""
    same = (0, 1)  # map of a vector onto itself
    rows = (0, 1, 0, 0, 0, 1)  # map of a matrix onto itself
    nodes = (
        Node(Kind.SOURCE, Source.STATE, F32, (WEIGHTS,), (), (0,)),
        Node(Kind.SOURCE, Source.STATE, F32, (WIDTH,), (), (1,)),
        Node(Kind.SOURCE, Source.STATE, I64, (), (), (2,)),
        Node(Kind.SOURCE, Source.BATCH, F32, (BATCH, WIDTH), (), (0, BATCH, WIDTH)),
        Node(Kind.SOURCE, Source.CONSTANT, F32, (), (), (0x3F000000,)),
        Node(
            Kind.MAP,
            Map.MUL,
            F32,
            (WEIGHTS,),
            (mapped(0, F32, (WEIGHTS,), *same), mapped(4, F32, ())),
        ),
        Node(
            Kind.MAP,
            Map.SUB,
            F32,
            (WEIGHTS,),
            (mapped(0, F32, (WEIGHTS,), *same), mapped(5, F32, (WEIGHTS,), *same)),
        ),
        Node(Kind.REDUCE, Reduce.EXPONENT, I32, (BATCH,), (plain(3, F32, BATCH, WIDTH),)),
        Node(
            Kind.MAP,
            Map.QUANTISE,
            I32,
            (BATCH, WIDTH),
            (mapped(3, F32, (BATCH, WIDTH), *rows), mapped(7, I32, (BATCH,), 0, 1, 0)),
            (31,),
        ),
        Node(
            Kind.REDUCE,
            Reduce.SUM,
            F32,
            (BATCH,),
            (plain(8, I32, BATCH, WIDTH), plain(7, I32, BATCH)),
        ),
        Node(Kind.SOURCE, Source.CONSTANT, I64, (), (), (1,)),
        Node(Kind.MAP, Map.ADD, I64, (), (mapped(2, I64, ()), mapped(10, I64, ()))),
        Node(
            Kind.MAP,
            Map.ADD,
            F32,
            (WIDTH,),
            (mapped(1, F32, (WIDTH,), *same), mapped(3, F32, (BATCH, WIDTH), 0, 0, 0, 1)),
        ),
        Node(Kind.REDUCE, Reduce.MAX, F32, (), (plain(9, F32, 1, BATCH),)),
    )
    return Program(nodes, (6, 12, 11, 13, 9), ("w", "b", "n"))


def first_state() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(WEIGHTS, generator=generator)
    weights[NAN_AT], weights[NAN_AT + 1] = torch.nan, torch.inf
    return [weights, torch.tensor([0.5, -0.25, 3.0]), torch.tensor(FIRST, dtype=torch.int64)]


def data_set() -> list[Tensor]:
    return [torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(2))]


def items_tree(tensors: Sequence[TensorCommitment]) -> Tree:
    return _list_tree(tuple(t.item for t in tensors))


@cache
def _list_tree(items: tuple[bytes, ...]) -> Tree:
    return list_tree(items)


@dataclass
class Transcript:
    """One segment, as its solver commits to it."""

    program: Program
    data: list[TensorCommitment]
    owner: str
    first: int
    last: int
    states: dict[int, list[TensorCommitment]]
    traces: dict[int, list[TensorCommitment]]
    reports: dict[int, list[bytes]]
    changes: dict[str, Any] = field(default_factory=dict)  # of the claim

    @staticmethod
    def compute(
        program: Program,
        state: Sequence[Tensor],
        data: Sequence[Tensor],
        owner: str,
        first: int = FIRST,
        last: int = LAST,
        tamper: Callable[[int, int, Tensor], Tensor] | None = None,
    ) -> Transcript:
        """Runs the segment; `tamper(step, node, output)` replaces outputs on the way."""
        states, traces, reports = {first: [commit_tensor(t) for t in state]}, {}, {}
        current = list(state)
        for step in range(first, last):
            batch = [t[rows_of_step(SEED, ROWS, BATCH, step)] for t in data]
            change = None if tamper is None else (lambda n, t, s=step: tamper(s, n, t))
            trace = program.trace(current, batch, change)
            current, _ = program.split(trace)
            traces[step] = [commit_tensor(t) for t in trace]
            states[step + 1] = [commit_tensor(t) for t in current]
            outputs = program.outputs[program.state_count :]
            reports[step] = [traces[step][n].item for n in outputs]
        committed = [commit_tensor(t) for t in data]
        return Transcript(program, committed, owner, first, last, states, traces, reports)

    def copy(self, **changes: Any) -> Transcript:
        return replace(
            self,
            states={k: list(v) for k, v in self.states.items()},
            traces={k: list(v) for k, v in self.traces.items()},
            reports={k: list(v) for k, v in self.reports.items()},
            changes={**self.changes, **changes},
        )

    def state_tree(self, step: int) -> Tree:
        return items_tree(self.states[step])

    def trace_tree(self, step: int) -> Tree:
        return items_tree(self.traces[step])

    def salt(self, step: int) -> bytes:
        return sha256(b"salt" + bytes([step])).digest()

    @property
    def journal(self) -> Tree:
        owner = to_canonical_address(self.owner)
        return list_tree(
            [
                report_item(owner, step, self.salt(step), reports_root(self.reports[step]))
                for step in range(self.first, self.last)
            ]
        )

    @property
    def header(self) -> Header:
        return self.program.header

    def claim(self, challenger: str) -> dict[str, Any]:
        return {
            "solver": self.owner,
            "challenger": challenger,
            "program": self.program.root,
            "data": items_tree(self.data).root,
            "dataTensors": len(self.data),
            "rows": ROWS,
            "seed": SEED,
            "firstStep": self.first,
            "lastStep": self.last,
            "firstState": self.state_tree(self.first).root,
            "lastState": self.state_tree(self.last).root,
            "journal": self.journal.root,
            **self.changes,
        }

    def list_under_attack(self, d: Any) -> Tree:
        """The tree of it."""
        if d.accused == REPORTS:
            return _list_tree(tuple(self.reports[d.lo]))
        return items_tree(self.under_attack(d))

    def under_attack(self, d: Any) -> list[TensorCommitment]:
        """The list whose tensor or tree is under attack."""
        return self.states[d.hi] if d.accused == STATE else self.traces[d.lo]


def changed(tensor: TensorCommitment, position: int, value: bytes) -> TensorCommitment:
    """The tensor with other bytes at a byte position (the padding included)."""
    data = tensor.data[:position] + value + tensor.data[position + len(value) :]
    return committed(tensor.dtype, tensor.count, data)


def committed(dtype: int, count: int, data: bytes) -> TensorCommitment:
    """Any commitment at all, sound or not."""
    data += bytes(-len(data) % LEAF_BYTES)
    chunks = [data[i : i + LEAF_BYTES] for i in range(0, len(data), LEAF_BYTES)]
    return TensorCommitment(
        dtype, count, data, Tree([sha256(b"\x01" + c).digest() for c in chunks])
    )


def points(lo: int, hi: int, arity_bits: int) -> list[int]:
    parts = min(1 << arity_bits, hi - lo)
    return [lo + (hi - lo) * i // parts for i in range(parts + 1)]


def opening(tensor: TensorCommitment, path: Sequence[bytes], first: int, length: int) -> tuple:
    """An `Opening` of elements first .. first + length - 1; with no leaves for a length of 0."""
    leaves, leaves_path = b"", []
    if length:
        span = range(first // tensor.per_leaf, (first + length - 1) // tensor.per_leaf + 1)
        leaves = b"".join(tensor.leaf(i) for i in span)
        leaves_path = tensor.tree.path_together(span.start, len(span))
    return (tensor.dtype, tensor.count, tensor.elements, list(path), leaves, leaves_path)


class Game:
    """Both players of one dispute: `theirs` is what the solver committed to, `own` is right."""

    def __init__(
        self,
        court: Any,
        client: Any,
        theirs: Transcript,
        own: Transcript,
        solver: Any,
        challenger: Any,
        wrong_step: int | None = None,
    ) -> None:
        self.court, self.theirs, self.own = court, theirs, own
        self.solver, self.challenger = solver, challenger
        self.arity_bits = court.arityBits()
        self.wrong_step = wrong_step  # where only a report is wrong
        self.gas: list[tuple[str, int]] = []
        self.claim = theirs.claim(challenger.address)
        receipt = client.open(self.claim, CLOCK, sender=challenger)
        self.gas.append(("open", receipt.gas_used))
        self.id = court.disputes() - 1

    @property
    def d(self) -> Any:
        return self.court.dispute(self.id)

    def send(self, name: str, *arguments: Any, sender: Any) -> Any:
        receipt = getattr(self.court, name)(self.id, *arguments, sender=sender)
        self.gas.append((name, receipt.gas_used))
        return receipt

    # --- the solver ---

    def solver_move(self, d: Any = None) -> Any:
        name, arguments = self.solver_answer(d)
        return self.send(name, *arguments, sender=self.solver)

    def solver_answer(self, d: Any = None) -> tuple[str, tuple]:
        """The move that the court waits for, from the solver's transcript."""
        d, t = d or self.d, self.theirs
        if d.phase == STEPS:
            return "revealRoots", (self.roots(d),)
        if d.phase == STEP:
            trace = t.trace_tree(d.lo)
            return "revealTrace", (
                self.claim,
                t.header.to_abi(),
                trace.root,
                t.salt(d.lo),
                reports_root(t.reports[d.lo]),
                t.journal.path(d.lo - t.first),
                self.children(trace, trace.depth),
            )
        if d.phase in (TRACE, STATE, REPORTS):
            tree = t.list_under_attack(d)
            return "revealChildren", (self.children(tree, d.level, d.index),)
        tensor = t.under_attack(d)[d.item]
        if d.phase == TENSOR:
            depth = tensor.tree.depth
            under = self.children(tensor.tree, depth) if depth else []
            return "revealTensor", (tensor.dtype, tensor.count, tensor.elements, under)
        if d.phase == ELEMENTS:
            return "revealChildren", (self.children(tensor.tree, d.level, d.index),)
        assert d.phase == LEAF, d.phase
        return "revealLeaf", (tensor.leaf(d.index),)

    def children(self, tree: Tree, level: int, index: int = 0) -> list[bytes]:
        """What lies under a node, as far down as one move goes."""
        return tree.children(level, index, min(self.arity_bits, level))

    def roots(self, d: Any) -> list[bytes]:
        interior = points(d.lo, d.hi, self.arity_bits)[1:-1]
        return [self.theirs.state_tree(p).root for p in interior]

    # --- the challenger ---

    def challenger_move(self, d: Any = None) -> Any:
        name, arguments = self.challenger_answer(d)
        return self.send(name, *arguments, sender=self.challenger)

    def challenger_answer(self, d: Any = None) -> tuple[str, tuple]:
        """Towards the first place where the two transcripts differ, or the proof of it."""
        d, t, own = d or self.d, self.theirs, self.own
        if d.phase == STEPS:
            ends = points(d.lo, d.hi, self.arity_bits)[1:]
            part = next(
                i
                for i, p in enumerate(ends)
                if t.state_tree(p).root != own.state_tree(p).root
                or (self.wrong_step is not None and self.wrong_step < p)
            )
            return "descendSteps", (self.roots(d), part)
        if d.phase == TRACE and t.trace_tree(d.lo).root == own.trace_tree(d.lo).root:
            if t.reports[d.lo] != own.reports[d.lo]:
                return "accuseReports", (self.claim, t.header.to_abi())
            return "accuseState", ()
        if d.phase in (TRACE, STATE, REPORTS):
            return self.descent(d, t.list_under_attack(d), own.list_under_attack(d))
        if d.phase == PROOF and d.accused != NONE:
            return self.output_proof(d)
        tensor, mine = t.traces[d.lo][d.item], own.traces[d.lo][d.item]
        if (tensor.dtype, tensor.count) != (mine.dtype, mine.count):
            return self.shape_proof()
        if d.phase == ELEMENTS:
            return self.descent(d, tensor.tree, mine.tree)
        assert d.phase == PROOF, d.phase
        size = LEAF_BYTES // tensor.per_leaf
        data, right = tensor.leaf(d.index), mine.leaf(d.index)
        byte = next(i for i in range(LEAF_BYTES) if data[i] != right[i])
        if d.index * tensor.per_leaf + byte // size >= tensor.count:
            return "provePadding", (data, byte // size)
        return self.element_proof(byte // size)

    def descent(self, d: Any, theirs: Tree, own: Tree) -> tuple[str, tuple]:
        levels = min(self.arity_bits, d.level)
        below, first = d.level - levels, d.index << levels
        children = theirs.children(d.level, d.index, levels)
        child = next(i for i, c in enumerate(children) if c != own.node(below, first + i))
        return self.descend_to(d, theirs, child)

    def descend_to(self, d: Any, tree: Tree, child: int) -> tuple[str, tuple]:
        levels = min(self.arity_bits, d.level)
        below, index = d.level - levels, (d.index << levels) + child
        return "descend", (child, tree.node(below, index), tree.path(index, below, levels))

    # --- proofs ---

    def element_proof(self, position: int) -> tuple[str, tuple]:
        d, t = self.d, self.theirs
        tensor, program = t.traces[d.lo][d.item], t.program
        return "proveElement", (
            self.claim,
            t.header.to_abi(),
            program.nodes[d.item].to_abi(),
            program.node_tree.path(d.item),
            tensor.leaf(d.index),
            position,
            self.openings(d, d.item, d.index * tensor.per_leaf + position),
        )

    def openings(self, d: Any, index: int, element: int) -> list[tuple]:
        """The operands of one element of the miniature program."""
        t = self.theirs
        node = t.program.nodes[index]
        if node.kind == Kind.SOURCE and node.fn == Source.STATE:
            (i,) = node.attributes
            return [opening(t.states[d.lo][i], t.state_tree(d.lo).path(i), element, 1)]
        if node.kind == Kind.SOURCE and node.fn == Source.BATCH:
            row = int(rows_of_step(SEED, ROWS, BATCH, d.lo)[element // WIDTH])
            path = items_tree(t.data).path(0)
            return [opening(t.data[0], path, row * WIDTH + element % WIDTH, 1)]
        if node.kind == Kind.SOURCE:
            return []
        trace, tree = t.traces[d.lo], t.trace_tree(d.lo)
        ranges = {
            # of another program than the miniature: its test gives the openings
            3: [],
            4: [],
            5: [(element, 1), (0, 1)],
            6: [(element, 1), (element, 1)],
            7: [(element * WIDTH, WIDTH)],
            8: [(element, 1), (element // WIDTH, 1)],
            9: [(element * WIDTH, WIDTH), (element, 1)],
            11: [(0, 1), (0, 1)],
            12: [(element, 1), (element, 1)],
            13: [(0, BATCH)],
        }[index]
        return [
            opening(trace[i.node], tree.path(i.node), first, length)
            for i, (first, length) in zip(node.inputs, ranges, strict=bool(ranges))
        ]

    def shape_proof(self) -> tuple[str, tuple]:
        d, program = self.d, self.theirs.program
        return "proveShape", (
            self.claim,
            self.theirs.header.to_abi(),
            program.nodes[d.item].to_abi(),
            program.node_tree.path(d.item),
        )

    def output_proof(self, d: Any) -> tuple[str, tuple]:
        """Of the next state's tensor, or of the report, under attack."""
        place = d.item + (self.theirs.program.state_count if d.accused == REPORTS else 0)
        return "proveOutput", (self.claim, self.theirs.header.to_abi(), *self.output(place))

    def output(self, place: int) -> tuple[int, list[bytes], bytes, list[bytes]]:
        d, program = self.d, self.theirs.program
        node = program.outputs[place]
        trace, tree = self.theirs.traces[d.lo], self.theirs.trace_tree(d.lo)
        return node, program.output_tree.path(place), trace[node].item, tree.path(node)

    # --- both ---

    def walk(self, item: int, leaf: int = 0, accused: int = NONE) -> Any:
        """To the proof of one leaf of one tensor of `wrong_step`, whatever is right or wrong; or of
        one tensor of its next state, or of its reports."""
        while (d := self.d).phase != PROOF:
            if d.solverToMove:
                self.solver_move(d)
            elif d.phase == STEPS:
                ends = points(d.lo, d.hi, self.arity_bits)[1:]
                part = next(i for i, p in enumerate(ends) if self.wrong_step < p)
                self.send("descendSteps", self.roots(d), part, sender=self.challenger)
            elif accused == STATE and d.phase == TRACE:
                self.send("accuseState", sender=self.challenger)
            elif accused == REPORTS and d.phase == TRACE:
                header = self.theirs.header.to_abi()
                self.send("accuseReports", self.claim, header, sender=self.challenger)
            else:
                listed = self.theirs.list_under_attack(d)
                of_elements = d.phase == ELEMENTS
                tree = self.theirs.under_attack(d)[d.item].tree if of_elements else listed
                below = d.level - min(self.arity_bits, d.level)
                target = leaf if d.phase == ELEMENTS else item
                child = (target >> below) - (d.index << (d.level - below))
                name, arguments = self.descend_to(d, tree, child)
                self.send(name, *arguments, sender=self.challenger)
        return d

    def play(self, until: int = CLOSED, solver_to_move: bool | None = None) -> Any:
        """Both move until the dispute is in phase `until` (with this side to move, if given)."""
        while True:
            d = self.d
            reached = d.phase == until and solver_to_move in (None, d.solverToMove)
            if reached or d.phase == CLOSED:
                assert d.phase == until, f"closed before phase {until}"
                return d
            if d.solverToMove:
                self.solver_move(d)
            else:
                self.challenger_move(d)


CLOCK = 3_600  # of every dispute


class Checkers(Sequence[evm.Contract]):
    """Every kind's checker on a native EVM, deployed when it is first asked for."""

    def __init__(self) -> None:
        self._deployed: dict[int, evm.Contract] = {}

    def __len__(self) -> int:
        return len(CHECKERS)

    def __getitem__(self, kind: Any) -> Any:
        if kind not in self._deployed:
            self._deployed[kind] = evm.deploy(CHECKERS[kind])  # IndexError behind the last
        return self._deployed[kind]


def deploy_court(project: Any, deployer: Any, arity_bits: int) -> tuple[Any, Any]:
    """A court with its checkers, and a client of it."""
    checkers = [deployer.deploy(getattr(project, name)) for name in CHECKERS]
    court = deployer.deploy(project.Court, arity_bits, checkers)
    return court, deployer.deploy(project.StubClient, court)


# --- one checker at a time ---


class Bench:
    """A trace, a state and a data set of given tensors, and checkers to read them with."""

    def __init__(
        self,
        trace: Sequence[Tensor | TensorCommitment] = (),
        state: Sequence[Tensor | TensorCommitment] = (),
        data: Sequence[Tensor | TensorCommitment] = (),
        **context: Any,
    ) -> None:
        def commit(tensors: Sequence[Tensor | TensorCommitment]) -> list[TensorCommitment]:
            return [t if isinstance(t, TensorCommitment) else commit_tensor(t) for t in tensors]

        self.trace, self.state, self.data = commit(trace), commit(state), commit(data)
        self.given = context

    @property
    def context(self) -> tuple:
        def root(tensors: list[TensorCommitment]) -> bytes:
            return items_tree(tensors).root if tensors else bytes(32)

        fields = {
            "trace": root(self.trace),
            "nodeCount": len(self.trace),
            "state": root(self.state),
            "stateCount": len(self.state),
            "data": root(self.data),
            "dataTensors": len(self.data),
            "rows": ROWS,
            "seed": SEED,
            "step": FIRST,
        }
        return tuple({**fields, **self.given}.values())

    def traced(self, index: int, first: int, length: int = 1) -> tuple:
        return self.opened(self.trace, index, first, length)

    def opened(self, tensors: list[TensorCommitment], index: int, first: int, length: int) -> tuple:
        return opening(tensors[index], items_tree(tensors).path(index), first, length)


def read_order(node: Node, element: int, indices: Sequence[int] = ()) -> list[tuple[int, int]]:
    """First element and length of what is read of each operand: docs/protocol.md once more."""
    if node.kind == Kind.MAP:
        return [locate(i, node.shape, element) for i in node.inputs]
    if node.kind == Kind.REDUCE:
        length = node.inputs[0].shape[1]
        return [(element * length, length), (element, 1)][: len(node.inputs)]
    if node.kind == Kind.DOT:
        _, m, n, k, _ = node.attributes
        b, i, j = element // (m * n), element // n % m, element % n
        left, right = b * m + i, b * n + j
        return [(left * k, k), (left, 1), (right * k, k), (right, 1)]
    if node.kind == Kind.SCATTER:
        _, d, length = node.attributes
        return [((element % d) * length, length), (0, 1), (0, length)]
    assert node.kind == Kind.GATHER
    _, v, length, d = node.attributes
    a, place, column = element // (length * d), element // d, element % d
    index = indices[place]
    return [((a * v + index) * d + column, int(0 <= index < v)), (place, 1)]


def locate(operand: Input, shape: Sequence[int], element: int) -> tuple[int, int]:
    """An operand's flat index for an output element, and 1; 0 where it reads its fill."""
    at = []
    for size in reversed(shape):
        element, coordinate = divmod(element, size)
        at.insert(0, coordinate)
    flat, step = 0, len(shape) + 1
    for axis, size in enumerate(operand.shape):
        offset, *strides = operand.map[axis * step : (axis + 1) * step]
        coordinate = offset + sum(s * i for s, i in zip(strides, at, strict=True))
        if not 0 <= coordinate < size:
            return (0, 0)
        flat = flat * size + coordinate
    return (flat, 1)
