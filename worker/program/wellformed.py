"""What a well-formed program is.

`contracts/lib/Records.sol` is the twin for one record at a time: there a malformed record convicts
nobody; here a worker refuses the task.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from math import prod

from worker.program.codes import (
    BOOL,
    F32,
    I32,
    I64,
    SUM_BITS,
    Kind,
    Map,
    Reduce,
    Source,
)
from worker.program.needed import needed
from worker.program.records import Input, Node

MAX_RANK = 8
MAX_COUNT = 1 << 40
MAX_STRIDE = 1 << 40
MAX_ROW = 1 << 12  # elements that one proof reads of an operand
MAX_SCATTER = 1 << 11  # of a scatter, whose indices are read as well
MAX_NODES = 1 << 20
MAX_OUTPUTS = 1 << 16  # next states and reports: each is hashed in every step
MAX_ROWS = 1 << 32
DOT_BITS = 14  # of a product's operands where nothing else is asked for
MOST_DOT_BITS = 20  # then a row's sum is below 2^50: f64 holds it, and every partial sum
EXPONENTS = range(-96, 129)
NONFINITE = 0x7FFFFFFF

_NUMBERS = (F32, I32, I64)
_SMOOTH = {Map.SQRT, Map.EXP, Map.LOG, Map.TANH, Map.ERF, Map.SIN, Map.COS}
_UNARY = {Map.COPY, Map.NEG, Map.ABS, Map.RELU, Map.NOT, Map.CONVERT, *_SMOOTH}
_COMPARING = {Map.EQ, Map.NE, Map.LT, Map.LE, Map.GT, Map.GE}
_LOGICAL = {Map.AND, Map.OR, Map.XOR, Map.NOT}
_OF_F32 = {Map.DIV, Map.RELU, Map.ABS, *_SMOOTH}
_NAMES = {F32: "f32", I32: "i32", I64: "i64", BOOL: "bool"}
_WIDTH = {F32: 32, I32: 32, I64: 64, BOOL: 1}


class MalformedProgram(ValueError):
    """A record that no well-formed program has; names the node and the rule."""


def _require(condition: bool, rule: str) -> None:
    if not condition:
        raise MalformedProgram(rule)


def check_program(nodes: Sequence[Node], outputs: Sequence[int], state_count: int) -> None:
    """Raises MalformedProgram unless the records make a well-formed program."""
    _require(0 < len(nodes) <= MAX_NODES, f"{len(nodes)} nodes; a program has 1 to {MAX_NODES}")
    for index, node in enumerate(nodes):
        try:
            check_node(node, index)
            for operand in node.inputs:
                made = nodes[operand.node]
                if operand.dtype != made.dtype:
                    raise MalformedProgram(f"operand dtype is node {operand.node}'s")
                if operand.count != made.count:
                    raise MalformedProgram(f"operand count is node {operand.node}'s")
            _check_integers(nodes, node)
        except MalformedProgram as error:
            raise MalformedProgram(f"node {index} ({node!r}): {error}") from None
    rule = f"{len(outputs)} outputs; a program has at most {MAX_OUTPUTS}"
    _require(len(outputs) <= MAX_OUTPUTS, rule)
    _require(0 < state_count <= len(outputs), f"{state_count} states of {len(outputs)} outputs")
    for position, output in enumerate(outputs):
        _require(0 <= output < len(nodes), f"output {position} is node {output}, which is none")
    _check_sources(nodes, outputs, state_count)
    if len(kept := needed(nodes, outputs)) < len(nodes):
        # No run computes it, and the trace of a dispute would have to hold it.
        spare = next(n for n, k in enumerate([*kept, len(nodes)]) if n != k)
        raise MalformedProgram(f"node {spare} ({nodes[spare]!r}): no output needs it")


def _check_integers(nodes: Sequence[Node], node: Node) -> None:
    """Exponents come from EXPONENT, and the integers of a DOT from QUANTISE.

    Of other numbers a court convicts nobody, or sums what no backend of a worker is made to hold.
    """
    exponents: tuple[Input, ...] = ()
    if node.kind == Kind.MAP and node.fn == Map.QUANTISE:
        exponents = node.inputs[1:]
        fill = exponents[0].fill
        signed = fill - (1 << 32) if fill >> 31 else fill
        _require(signed in EXPONENTS or fill == NONFINITE, f"a fill {signed} is no exponent")
    elif node.kind == Kind.REDUCE and node.fn == Reduce.SUM:
        exponents = node.inputs[1:]
    elif node.kind == Kind.DOT:
        exponents = node.inputs[1::2]
        for operand in node.inputs[::2]:
            q = nodes[operand.node]
            quantised = q.kind == Kind.MAP and q.fn == Map.QUANTISE
            _require(
                quantised and q.attributes[0] <= node.attributes[4],
                f"node {operand.node} is not quantised to {node.attributes[4]} bits",
            )
    elif node.kind == Kind.SCATTER:
        exponents = node.inputs[1:2]
    for operand in exponents:
        e = nodes[operand.node]
        _require(
            e.kind == Kind.REDUCE and e.fn == Reduce.EXPONENT,
            f"node {operand.node} gives no exponents",
        )


def _check_sources(nodes: Sequence[Node], outputs: Sequence[int], state_count: int) -> None:
    for index, node in enumerate(nodes):
        if node.kind == Kind.SOURCE and node.fn == Source.STATE:
            i = node.attributes[0]
            _require(i < state_count, f"node {index} reads state {i} of {state_count}")
            made = nodes[outputs[i]]
            same = (made.dtype, made.count) == (node.dtype, node.count)
            _require(same, f"state {i} comes in with another dtype or count than it goes out")
    rows = {n.attributes[1] for n in nodes if n.kind == Kind.SOURCE and n.fn == Source.BATCH}
    _require(len(rows) <= 1, f"batches of {sorted(rows)} rows in one step")


def check_node(node: Node, index: int) -> None:
    """Raises MalformedProgram unless a record, alone, is sound at its place in a program."""
    check = _CHECKS.get(node.kind)
    if check is None:
        raise MalformedProgram(f"kind {node.kind}")
    _check_shape(node.shape)
    _require(node.dtype in _WIDTH, f"dtype code {node.dtype}")
    for operand in node.inputs:
        if not 0 <= operand.node < index:
            raise MalformedProgram(f"operand {operand.node} does not come before")
        if operand.dtype not in _WIDTH:
            raise MalformedProgram(f"operand dtype code {operand.dtype}")
        _check_shape(operand.shape)
        if node.kind != Kind.MAP:
            _require(not operand.map and operand.fill == 0, "only MAP has index maps")
    check(node)


@functools.lru_cache(1 << 12)  # a program has few shapes
def _check_shape(shape: tuple[int, ...]) -> None:
    _require(len(shape) <= MAX_RANK, f"rank {len(shape)}; at most {MAX_RANK}")
    _require(all(0 < n < 1 << 32 for n in shape), f"shape {shape}")
    _require(prod(shape) <= MAX_COUNT, f"{prod(shape)} elements; at most {MAX_COUNT}")


def _arity(node: Node, inputs: int, attributes: int) -> None:
    if len(node.inputs) != inputs:
        raise MalformedProgram(f"{len(node.inputs)} operands; expected {inputs}")
    if len(node.attributes) != attributes:
        raise MalformedProgram(f"{len(node.attributes)} attributes; expected {attributes}")


def _check_source(node: Node) -> None:
    _require(node.fn in Source._value2member_map_, f"source function {node.fn}")
    counts = {Source.STATE: 1, Source.BATCH: 3, Source.CONSTANT: 1}
    _arity(node, 0, counts.get(Source(node.fn), 0))
    if node.fn == Source.BATCH:
        _, rows, width = node.attributes
        _require(rows * width == node.count and rows > 0, "rows times width is the count")
    elif node.fn == Source.CONSTANT:
        _require(node.count == 1, "a constant has one element")
        _check_bits(node.attributes[0], node.dtype)
    elif node.fn == Source.IOTA:
        _require(node.dtype in (I32, I64), "iota is i32 or i64")
        _require(node.dtype == I64 or node.count <= 1 << 31, "iota fits its dtype")
    elif node.fn == Source.RANDOM:
        _require(node.dtype == F32, "random numbers are f32")


def _check_bits(bits: int, dtype: int) -> None:
    if not 0 <= bits < 1 << _WIDTH[dtype]:
        raise MalformedProgram(f"bits {bits:#x} of a {_WIDTH[dtype]}-bit element")
    if dtype == F32 and bits & 0x7FFFFFFF > 0x7F800000 and bits != 0x7FC00000:
        raise MalformedProgram(f"a NaN {bits:#x} that is not canonical")


def _check_index_map(operand: Input, rank: int) -> None:
    wanted = len(operand.shape) * (1 + rank)
    if len(operand.map) != wanted:
        raise MalformedProgram(f"index map of {len(operand.map)}; expected {wanted}")
    if operand.map:
        sound = min(operand.map) >= -MAX_STRIDE and max(operand.map) <= MAX_STRIDE
        _require(sound, "an offset or stride is too large")
    _check_bits(operand.fill, operand.dtype)


def _check_map(node: Node) -> None:
    if node.fn not in Map._value2member_map_:
        raise MalformedProgram(f"map function {node.fn}")
    fn = Map(node.fn)
    arity = 1 if fn in _UNARY else 3 if fn == Map.WHERE else 2
    _arity(node, arity, 1 if fn == Map.QUANTISE else 0)
    for operand in node.inputs:
        _check_index_map(operand, len(node.shape))
    kinds = tuple(o.dtype for o in node.inputs)
    first = kinds[0]
    if fn == Map.COPY:
        sound = node.dtype == first
    elif fn == Map.CONVERT:
        sound = True
    elif fn == Map.QUANTISE:
        sound = kinds == (F32, I32) and node.dtype == I32
        bits = node.attributes[0]
        _require(2 <= bits <= MOST_DOT_BITS or bits == SUM_BITS, f"quantising to {bits} bits")
    elif fn == Map.WHERE:
        sound = kinds == (BOOL, node.dtype, node.dtype)
    elif fn in _COMPARING:
        sound = node.dtype == BOOL and kinds == (first, first) and first in _NUMBERS
    elif fn in _LOGICAL:
        sound = {*kinds, node.dtype} == {BOOL}
    elif fn in _OF_F32:
        sound = {*kinds, node.dtype} == {F32}
    else:
        sound = {*kinds, node.dtype} == {first} and first in _NUMBERS
    if not sound:
        names = ", ".join(_NAMES[k] for k in kinds)
        raise MalformedProgram(f"{fn.name} of {names} giving {_NAMES[node.dtype]}")


def _check_row(length: int, most: int = MAX_ROW) -> None:
    _require(length <= most, f"a row of {length} elements; at most {most}")


def _check_reduce(node: Node) -> None:
    _require(node.fn in Reduce._value2member_map_, f"reduce function {node.fn}")
    fn = Reduce(node.fn)
    _arity(node, 2 if fn == Reduce.SUM else 1, 0)
    x = node.inputs[0]
    _require(len(x.shape) == 2 and x.shape[0] == node.count, "rows of the operand are the count")
    _check_row(x.shape[1])
    if fn == Reduce.SUM:
        e = node.inputs[1]
        _require(e.shape == x.shape[:1], "one exponent a row")
        sound = (x.dtype, e.dtype, node.dtype) == (I32, I32, F32)
    elif fn == Reduce.MAX:
        sound = x.dtype == node.dtype and x.dtype in _NUMBERS
    elif fn == Reduce.ARGMAX:
        sound = x.dtype in _NUMBERS and node.dtype == I64
    else:
        sound = (x.dtype, node.dtype) == (F32, I32)
    _require(sound, f"{fn.name} of {_NAMES[x.dtype]} giving {_NAMES[node.dtype]}")


def _check_dot(node: Node) -> None:
    _require(node.fn == 0, f"dot function {node.fn}")
    _arity(node, 4, 5)
    batch, m, n, k, bits = node.attributes
    _check_row(k)
    _require(2 <= bits <= MOST_DOT_BITS, f"dot of {bits} bits")
    shapes = ((batch * m, k), (batch * m,), (batch * n, k), (batch * n,))
    _require(tuple(o.shape for o in node.inputs) == shapes, f"operand shapes; expected {shapes}")
    _require(node.count == batch * m * n, "B * M * N is the count")
    sound = all(o.dtype == I32 for o in node.inputs) and node.dtype == F32
    _require(sound, "a dot takes i32 and gives f32")


def _check_gather(node: Node) -> None:
    _require(node.fn == 0, f"gather function {node.fn}")
    _arity(node, 2, 4)
    a, v, length, d = node.attributes
    x, index = node.inputs
    _require(x.shape == (a, v, d) and index.shape == (a, length), "operand shapes")
    _require(node.count == a * length * d, "A * L * D is the count")
    _require(index.dtype in (I32, I64) and node.dtype == x.dtype, "operand dtypes")


def _check_scatter(node: Node) -> None:
    _require(node.fn == 0, f"scatter function {node.fn}")
    _arity(node, 3, 3)
    v, d, length = node.attributes
    _check_row(length, MAX_SCATTER)
    q, e, index = node.inputs
    shapes = (q.shape, e.shape, index.shape)
    _require(shapes == ((d, length), (1,), (length,)), "operand shapes")
    _require(node.count == v * d, "V * D is the count")
    sound = (q.dtype, e.dtype, node.dtype) == (I32, I32, F32) and index.dtype in (I32, I64)
    _require(sound, "operand dtypes")


_CHECKS: dict[int, Callable[[Node], None]] = {
    Kind.SOURCE: _check_source,
    Kind.MAP: _check_map,
    Kind.REDUCE: _check_reduce,
    Kind.DOT: _check_dot,
    Kind.GATHER: _check_gather,
    Kind.SCATTER: _check_scatter,
}
