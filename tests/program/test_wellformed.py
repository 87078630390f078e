"""Well-formed programs: every rule by a record that breaks it, and both twins on mutations."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests import evm
from tests.program.models import TRAININGS
from tests.program.test_execute import everything
from worker.program import Input, Kind, MalformedProgram, Map, Node, Program, Reduce, Source
from worker.program.codes import BOOL, F32, I32, I64
from worker.program.wellformed import check_node, check_program

SAME = (0, 1)
ROWS = (0, 1, 0, 0, 0, 1)
X, Q, E = Input(0, F32, (6,), SAME), Input(1, I32, (2, 3)), Input(2, I32, (2,))
STATE = Node(Kind.SOURCE, Source.STATE, F32, (6,), (), (0,))
BATCH = Node(Kind.SOURCE, Source.BATCH, F32, (2, 3), (), (0, 2, 3))
CONSTANT = Node(Kind.SOURCE, Source.CONSTANT, F32, (1, 1), (), (0x3F800000,))
IOTA = Node(Kind.SOURCE, Source.IOTA, I64, (6,))
ADD = Node(Kind.MAP, Map.ADD, F32, (6,), (X, X))
COPY = Node(Kind.MAP, Map.COPY, F32, (6,), (X,))
LESS = Node(Kind.MAP, Map.LT, BOOL, (6,), (X, X))
NOT = Node(Kind.MAP, Map.NOT, BOOL, (6,), (replace(X, dtype=BOOL),))
WHERE = Node(Kind.MAP, Map.WHERE, F32, (6,), (replace(X, dtype=BOOL), X, X))
QUANTISE = Node(
    Kind.MAP, Map.QUANTISE, I32, (2, 3),
    (Input(0, F32, (2, 3), ROWS), Input(2, I32, (2,), (0, 1, 0))), (14,),
)  # fmt: skip
SUM = Node(Kind.REDUCE, Reduce.SUM, F32, (2,), (Q, E))
MAX = Node(Kind.REDUCE, Reduce.MAX, F32, (2,), (Input(0, F32, (2, 3)),))
ARGMAX = Node(Kind.REDUCE, Reduce.ARGMAX, I64, (2,), (Input(0, F32, (2, 3)),))
EXPONENT = Node(Kind.REDUCE, Reduce.EXPONENT, I32, (2,), (Input(0, F32, (2, 3)),))
DOT = Node(
    Kind.DOT, 0, F32, (2, 2, 1),
    (Input(1, I32, (4, 3)), Input(2, I32, (4,)), Input(3, I32, (2, 3)), Input(4, I32, (2,))),
    (2, 2, 1, 3, 14),
)  # fmt: skip
GATHER = Node(
    Kind.GATHER, 0, F32, (2, 5, 3), (Input(0, F32, (2, 4, 3)), Input(1, I64, (2, 5))), (2, 4, 5, 3)
)
SCATTER = Node(
    Kind.SCATTER, 0, F32, (4, 2),
    (Input(1, I32, (2, 5)), Input(2, I32, (1,)), Input(3, I64, (5,))), (4, 2, 5),
)  # fmt: skip
RANDOM = Node(Kind.SOURCE, Source.RANDOM, F32, (6,))
SOUND = {
    "STATE": STATE, "BATCH": BATCH, "CONSTANT": CONSTANT, "IOTA": IOTA, "ADD": ADD, "COPY": COPY,
    "LESS": LESS, "NOT": NOT, "WHERE": WHERE, "QUANTISE": QUANTISE, "SUM": SUM, "MAX": MAX,
    "ARGMAX": ARGMAX, "EXPONENT": EXPONENT, "DOT": DOT, "GATHER": GATHER,
    "SCATTER": SCATTER, "RANDOM": RANDOM,
}  # fmt: skip
INDEX = 9


def operand(node: Node, k: int, /, **changes: Any) -> Node:
    inputs = list(node.inputs)
    inputs[k] = replace(inputs[k], **changes)
    return replace(node, inputs=tuple(inputs))


WIDE = 1 << 12
SCATTERED = 1 << 11
MALFORMED = [
    # every kind
    (replace(COPY, kind=6), "kind 6"),
    (replace(COPY, dtype=0), "dtype code 0"),
    (replace(STATE, dtype=5), "dtype code 5"),
    (replace(STATE, shape=(1,) * 9), "rank 9; at most 8"),
    (replace(STATE, shape=(2, 0)), r"shape \(2, 0\)"),
    (replace(STATE, shape=(1 << 20, (1 << 20) + 1)), "1099512676352 elements; at most"),
    (operand(COPY, 0, node=INDEX), "operand 9 does not come before"),
    (operand(COPY, 0, node=10), "operand 10 does not come before"),
    (operand(COPY, 0, dtype=9), "operand dtype code 9"),
    (operand(COPY, 0, shape=(0,)), r"shape \(0,\)"),
    (operand(MAX, 0, map=(0,)), "only MAP has index maps"),
    (operand(MAX, 0, fill=1), "only MAP has index maps"),
    # SOURCE
    (replace(STATE, fn=5), "source function 5"),
    (replace(RANDOM, dtype=I32), "random numbers are f32"),
    (replace(RANDOM, attributes=(0,)), "1 attributes; expected 0"),
    (replace(STATE, attributes=()), "0 attributes; expected 1"),
    (replace(STATE, inputs=(replace(X, map=()),)), "1 operands; expected 0"),
    (replace(BATCH, attributes=(0, 2)), "2 attributes; expected 3"),
    (replace(BATCH, attributes=(0, 2, 4)), "rows times width is the count"),
    (replace(CONSTANT, shape=(2,)), "a constant has one element"),
    (replace(CONSTANT, attributes=(1 << 32,)), "bits 0x100000000 of a 32-bit element"),
    (replace(CONSTANT, attributes=(0x7FC00001,)), "a NaN 0x7fc00001 that is not canonical"),
    (replace(CONSTANT, dtype=BOOL, attributes=(2,)), "bits 0x2 of a 1-bit element"),
    (replace(IOTA, dtype=F32), "iota is i32 or i64"),
    (replace(IOTA, dtype=I32, shape=((1 << 31) + 1,)), "iota fits its dtype"),
    (replace(IOTA, attributes=(0,)), "1 attributes; expected 0"),
    # MAP
    *((replace(COPY, fn=fn), f"map function {fn}") for fn in (17, 19, 26, 29, 35, 39, 42, 255)),
    (replace(ADD, inputs=(X,)), "1 operands; expected 2"),
    (replace(WHERE, inputs=(X, X)), "2 operands; expected 3"),
    (replace(COPY, attributes=(0,)), "1 attributes; expected 0"),
    (operand(COPY, 0, map=(0, 1, 2)), "index map of 3; expected 2"),
    (operand(COPY, 0, map=(0, (1 << 40) + 1)), "offset or stride is too large"),
    (operand(COPY, 0, map=(-(1 << 40) - 1, 0)), "offset or stride is too large"),
    (operand(COPY, 0, fill=1 << 32), "bits 0x100000000"),
    (operand(COPY, 0, fill=0xFFC00000), "not canonical"),
    (replace(COPY, dtype=I32), "COPY of f32 giving i32"),
    (operand(ADD, 1, dtype=I32), "ADD of f32, i32 giving f32"),
    (replace(ADD, dtype=I64), "ADD of f32, f32 giving i64"),
    (replace(NOT, fn=Map.NEG), "NEG of bool giving bool"),
    (replace(NOT, dtype=I32), "NOT of bool giving i32"),
    (replace(LESS, dtype=F32), "LT of f32, f32 giving f32"),
    (operand(operand(LESS, 0, dtype=BOOL), 1, dtype=BOOL), "LT of bool, bool giving bool"),
    (operand(WHERE, 0, dtype=I32), "WHERE of i32, f32, f32 giving f32"),
    (operand(WHERE, 2, dtype=I32), "WHERE of bool, f32, i32 giving f32"),
    *(
        (operand(replace(COPY, fn=fn, dtype=I64), 0, dtype=I64), f"{fn.name} of i64 giving i64")
        for fn in (Map.SQRT, Map.RELU, Map.ABS, *(Map(n) for n in range(Map.EXP, Map.COS + 1)))
    ),
    (operand(operand(replace(ADD, fn=Map.DIV, dtype=I32), 0, dtype=I32), 1, dtype=I32), "DIV of"),
    (replace(QUANTISE, attributes=(1,)), "quantising to 1 bits"),
    (replace(QUANTISE, attributes=(21,)), "quantising to 21 bits"),
    (replace(QUANTISE, dtype=F32), "QUANTISE of f32, i32 giving f32"),
    (operand(QUANTISE, 1, dtype=I64), "QUANTISE of f32, i64 giving i32"),
    # REDUCE
    (replace(MAX, fn=4), "reduce function 4"),
    (replace(SUM, inputs=(Q,)), "1 operands; expected 2"),
    (replace(MAX, attributes=(1,)), "1 attributes; expected 0"),
    (operand(MAX, 0, shape=(3, 2)), "rows of the operand are the count"),
    (operand(MAX, 0, shape=(2,)), "rows of the operand are the count"),
    (operand(MAX, 0, shape=(2, WIDE + 1)), "a row of 4097 elements; at most 4096"),
    (operand(SUM, 1, shape=(2, 1)), "one exponent a row"),
    (operand(SUM, 0, dtype=I64), "SUM of i64 giving f32"),
    (replace(MAX, dtype=I32), "MAX of f32 giving i32"),
    (operand(replace(MAX, dtype=BOOL), 0, dtype=BOOL), "MAX of bool giving bool"),
    (replace(ARGMAX, dtype=I32), "ARGMAX of f32 giving i32"),
    (operand(EXPONENT, 0, dtype=I32), "EXPONENT of i32 giving i32"),
    # DOT
    (replace(DOT, fn=1), "dot function 1"),
    (replace(DOT, attributes=(2, 2, 1, 3)), "4 attributes; expected 5"),
    (replace(DOT, attributes=(2, 2, 1, WIDE + 1, 14)), "a row of 4097 elements"),
    (replace(DOT, attributes=(2, 2, 1, 3, 21)), "dot of 21 bits"),
    (replace(DOT, attributes=(2, 2, 1, 3, 1)), "dot of 1 bits"),
    (replace(DOT, attributes=(1, 4, 2, 3, 14)), r"B \* M \* N is the count"),
    (replace(DOT, attributes=(2, 1, 2, 3, 14)), "operand shapes; expected"),
    (replace(DOT, dtype=I32), "a dot takes i32 and gives f32"),
    (operand(DOT, 2, dtype=F32), "a dot takes i32 and gives f32"),
    # GATHER
    (replace(GATHER, fn=1), "gather function 1"),
    (replace(GATHER, attributes=(2, 4, 5)), "3 attributes; expected 4"),
    (replace(GATHER, attributes=(2, 5, 4, 3)), "operand shapes"),
    (replace(GATHER, shape=(2, 5, 4)), r"A \* L \* D is the count"),
    (operand(GATHER, 1, dtype=F32), "operand dtypes"),
    (replace(GATHER, dtype=I32), "operand dtypes"),
    # SCATTER
    (replace(SCATTER, fn=1), "scatter function 1"),
    (replace(SCATTER, attributes=(4, 2)), "2 attributes; expected 3"),
    (replace(SCATTER, attributes=(4, 5, 2)), "operand shapes"),
    (operand(SCATTER, 1, shape=(2,)), "operand shapes"),
    (replace(SCATTER, shape=(4, 3)), r"V \* D is the count"),
    (operand(SCATTER, 0, dtype=F32), "operand dtypes"),
    (operand(SCATTER, 1, dtype=F32), "operand dtypes"),
    (operand(SCATTER, 2, dtype=F32), "operand dtypes"),
    (replace(SCATTER, dtype=I64), "operand dtypes"),
    (
        replace(
            operand(operand(SCATTER, 0, shape=(2, SCATTERED + 1)), 2, shape=(SCATTERED + 1,)),
            attributes=(4, 2, SCATTERED + 1),
        ),
        "a row of 2049 elements",
    ),
]

CHECKERS = {
    Kind.SOURCE: "SourceChecker",
    Kind.MAP: "MapChecker",
    Kind.REDUCE: "ReduceChecker",
    Kind.DOT: "DotChecker",
    Kind.GATHER: "GatherChecker",
    Kind.SCATTER: "ScatterChecker",
}


@cache
def checkers() -> dict[int, evm.Contract]:
    chain = evm.deploy("SourceChecker").evm
    return {int(kind): evm.deploy(name, evm=chain) for kind, name in CHECKERS.items()}


def on_chain(node: Node, index: int = INDEX) -> int | str:
    """The count that the contracts find, or the rule by which they refuse the record."""
    checker = checkers().get(int(node.kind))
    if checker is None:
        return "no such kind"  # the court has no checker to ask
    try:
        return checker.call("check", index, node.encoded)
    except evm.Reverted as reverted:
        if reverted.data[:4] == checker.error("UnknownFunction", 0, 0)[:4]:
            return "unknown function"
        assert reverted.data[:4] == checker.error("MalformedRecord", bytes(32))[:4], reverted
        return reverted.data[4:].rstrip(b"\0").decode()


def in_python(node: Node, index: int = INDEX) -> int | str:
    try:
        check_node(node, index)
    except MalformedProgram as error:
        return str(error)
    return node.count


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_record_passes_in_both_twins(name):
    """Protects honest programs: no rule refuses the records that the rest of this file breaks."""
    assert in_python(SOUND[name]) == on_chain(SOUND[name]) == SOUND[name].count


@pytest.mark.parametrize(("node", "rule"), MALFORMED)
def test_a_malformed_record_is_refused_by_its_rule_in_both_twins(node, rule):
    """Protects each rule: the record that breaks it alone is refused with its message."""
    with pytest.raises(MalformedProgram, match=rule):
        check_node(node, INDEX)
    assert isinstance(on_chain(node), str)


LIMITS = [
    replace(STATE, shape=(1,) * 8),
    replace(STATE, shape=(1 << 20, 1 << 20)),
    replace(STATE, shape=()),
    operand(COPY, 0, node=INDEX - 1),
    operand(COPY, 0, map=(1 << 40, -(1 << 40))),
    operand(COPY, 0, map=(), shape=()),
    operand(COPY, 0, fill=0x7FC00000),
    operand(COPY, 0, fill=0xFF800000),
    replace(IOTA, dtype=I32, shape=(1 << 31,)),
    replace(CONSTANT, dtype=I64, attributes=((1 << 64) - 1,)),
    *(replace(QUANTISE, attributes=(b,)) for b in (2, 14, 20, 31)),
    *(replace(DOT, attributes=(2, 2, 1, 3, b)) for b in (2, 14, 20)),
    operand(MAX, 0, shape=(2, WIDE)),
    operand(replace(GATHER, dtype=BOOL), 0, dtype=BOOL),
    operand(GATHER, 1, dtype=I32),
    operand(SCATTER, 2, dtype=I32),
    replace(
        operand(operand(SCATTER, 0, shape=(2, SCATTERED)), 2, shape=(SCATTERED,)),
        attributes=(4, 2, SCATTERED),
    ),
]


@pytest.mark.parametrize("node", LIMITS)
def test_a_record_at_a_limit_is_sound_in_both_twins(node):
    """Protects the limits themselves: they belong to what is allowed."""
    assert in_python(node) == on_chain(node) == node.count


# --- mutations ---


def all_records() -> list[tuple[int, Node]]:
    """Every distinct sound record at hand, with its place."""
    found = [(INDEX, n) for n in (*SOUND.values(), *LIMITS)]
    for program in (*(t()[0] for t in TRAININGS), everything()[0]):
        found += list(enumerate(program.nodes))
    return found


POOL = all_records()
SIZES = st.sampled_from(
    [0, 1, 2, 3, 4, 5, 6, 8, 2048, 2049, 4096, 4097, 1 << 20, 1 << 31, (1 << 32) - 1]
)
WORDS = st.sampled_from(
    [0, 1, 2, 3, 4, 6, 14, 20, 21, 31, 4096, 4097, 0x7FC00000, 0x7FC00001, 0xFF800001, 1 << 31,
     1 << 32, 1 << 40, (1 << 40) + 1, 1 << 63, (1 << 64) - 1]
)  # fmt: skip
REACHES = st.sampled_from(
    [0, 1, -1, 2, 1 << 40, (1 << 40) + 1, -(1 << 40), -(1 << 40) - 1, -(2**63)]
)
CODES = st.one_of(st.integers(0, 6), st.sampled_from([255]))
FUNCTIONS = st.one_of(st.integers(0, 45), st.just(255))


def resized(draw: Any, values: tuple[int, ...], choice: Any) -> tuple[int, ...]:
    """One element changed, added, dropped or swapped with another."""
    out = list(values)
    what = draw(st.sampled_from(["set", "set", "insert", "drop", "swap"]))
    if what == "insert" or not out:
        out.insert(draw(st.integers(0, len(out))), draw(choice))
    elif what == "drop":
        del out[draw(st.integers(0, len(out) - 1))]
    elif what == "swap":
        a, b = (draw(st.integers(0, len(out) - 1)) for _ in range(2))
        out[a], out[b] = out[b], out[a]
    else:
        out[draw(st.integers(0, len(out) - 1))] = draw(choice)
    return tuple(out)


@st.composite
def mutated(draw: Any) -> tuple[int, Node]:
    index, node = draw(st.sampled_from(POOL))
    for _ in range(draw(st.integers(1, 3))):
        fields = ["fn", "dtype", "shape", "attributes", "index"]
        fields += ["inputs", "node", "type", "map", "view", "fill", "both"] * bool(node.inputs)
        field = draw(st.sampled_from(fields))
        k = draw(st.integers(0, len(node.inputs) - 1)) if node.inputs else 0
        if field == "index":
            index = draw(st.integers(0, index + 1))
        elif field == "fn":
            node = replace(node, fn=draw(FUNCTIONS))
        elif field == "dtype":
            node = replace(node, dtype=draw(CODES))
        elif field == "shape":
            node = replace(node, shape=resized(draw, node.shape, SIZES))
        elif field == "attributes":
            node = replace(node, attributes=resized(draw, node.attributes, WORDS))
        elif field == "inputs":
            kept = list(node.inputs)
            if draw(st.booleans()):
                kept.append(kept[k])
            else:
                del kept[k]
            node = replace(node, inputs=tuple(kept))
        elif field == "both":  # one type for all, as sound records have it
            code = draw(CODES)
            node = replace(node, dtype=code)
            for at in range(len(node.inputs)):
                node = operand(node, at, dtype=code)
        elif field == "node":
            node = operand(node, k, node=draw(st.integers(0, index + 1)))
        elif field == "type":
            node = operand(node, k, dtype=draw(CODES))
        elif field == "map":
            node = operand(node, k, map=resized(draw, node.inputs[k].map, REACHES))
        elif field == "view":
            node = operand(node, k, shape=resized(draw, node.inputs[k].shape, SIZES))
        else:
            node = operand(node, k, fill=draw(WORDS))
    return index, node


@settings(
    max_examples=1500,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(mutated())
def test_the_twins_agree_on_every_mutation(case):
    """Protects both sides: what a worker refuses, the court refuses, and the other way round; a
    record that only one of them takes would condemn the honest or acquit a cheat."""
    index, node = case
    assume(index >= 0)
    ours, theirs = in_python(node, index), on_chain(node, index)
    assert isinstance(ours, str) == isinstance(theirs, str), (ours, theirs)
    if isinstance(ours, int):
        assert ours == theirs


def test_the_twins_agree_on_every_function_and_types():
    """Protects the table of types: all functions of all kinds, with every choice of dtypes."""
    refused = 0
    for fn in range(44):
        for operands in (1, 2, 3):
            codes = [()]
            for _ in range(operands + 1):
                codes = [(*c, d) for c in codes for d in (F32, I32, I64, BOOL)]
            for out, *kinds in codes:
                inputs = tuple(replace(X, dtype=d) for d in kinds)
                attributes = (14,) if fn == Map.QUANTISE else ()
                node = Node(Kind.MAP, fn, out, (6,), inputs, attributes)
                ours = in_python(node)
                if operands == 3 and fn != Map.WHERE and isinstance(ours, str):
                    continue  # refused for its arity, which the mutations try
                assert isinstance(ours, str) == isinstance(on_chain(node), str), node
                refused += isinstance(ours, str)
    assert refused > 2000


# --- whole programs ---


def program_nodes() -> tuple[Node, ...]:
    """x [6]; its exponents and integers; their product."""
    return (
        STATE,
        EXPONENT,
        operand(QUANTISE, 1, node=1),
        Node(
            Kind.DOT, 0, F32, (2, 2),
            (Input(2, I32, (2, 3)), Input(1, I32, (2,))) * 2, (1, 2, 2, 3, 14),
        ),
        Node(Kind.REDUCE, Reduce.SUM, F32, (2,), (Input(2, I32, (2, 3)), Input(1, I32, (2,)))),
        Node(Kind.MAP, Map.CONVERT, I32, (2, 3), (Input(0, F32, (2, 3), ROWS),)),
        Node(Kind.MAP, Map.CONVERT, I32, (2,), (Input(4, F32, (2,), SAME),)),
    )  # fmt: skip


def changed(index: int, node: Node) -> tuple[Node, ...]:
    nodes = list(program_nodes())
    nodes[index] = node
    return tuple(nodes)


NODES = program_nodes()
WRONG_PROGRAMS = [
    ((), (0,), 1, "0 nodes; a program has 1 to"),
    (NODES, (), 1, "1 states of 0 outputs"),
    (NODES, (0,), 0, "0 states of 1 outputs"),
    (NODES, (0,), 2, "2 states of 1 outputs"),
    (NODES, (0, 7), 1, "output 1 is node 7, which is none"),
    (NODES, (0, -1), 1, "output 1 is node -1, which is none"),
    (NODES, (1,), 1, "state 0 comes in with another dtype or count than it goes out"),
    (changed(0, replace(STATE, attributes=(1,))), (0,), 1, "node 0 reads state 1 of 1"),
    (changed(1, operand(EXPONENT, 0, shape=(2, 4))), (0,), 1, r"node 1 .*count is node 0's"),
    (changed(2, operand(NODES[2], 0, node=1)), (0,), 1, r"node 2 .*dtype is node 1's"),
    ((*NODES, BATCH, replace(BATCH, attributes=(0, 3, 2))), (0,), 1, r"batches of \[2, 3\] rows"),
    (changed(3, replace(DOT, kind=7)), (0,), 1, "node 3 .*kind 7"),
    # numbers that the court and a worker's backends would treat differently
    (changed(2, operand(NODES[2], 1, node=1, fill=200)), (0,), 1, "a fill 200 is no exponent"),
    (changed(2, operand(NODES[2], 1, fill=2**32 - 97)), (0,), 1, "a fill -97 is no exponent"),
    ((*NODES, operand(NODES[2], 1, node=6)), (0,), 1, "node 6 gives no exponents"),
    ((*NODES, operand(NODES[4], 1, node=6)), (0,), 1, "node 6 gives no exponents"),
    ((*NODES, operand(NODES[3], 3, node=6)), (0,), 1, "node 6 gives no exponents"),
    ((*NODES, operand(NODES[3], 0, node=5)), (0,), 1, "node 5 is not quantised to 14 bits"),
    (
        (*NODES, replace(NODES[3], attributes=(1, 2, 2, 3, 13))), (0,), 1,
        "node 2 is not quantised to 13 bits",
    ),
    # what no run computes, and a trace would have to hold
    (NODES, (0, 3, 6), 1, "node 5 .*: no output needs it"),
    (NODES, (0, 3, 5), 1, "node 4 .*: no output needs it"),
    ((*NODES, RANDOM), (0, 3, 5, 6), 1, "node 7 .*: no output needs it"),
]  # fmt: skip


@pytest.mark.parametrize(("nodes", "outputs", "states", "rule"), WRONG_PROGRAMS)
def test_a_malformed_program_is_refused_by_its_rule(nodes, outputs, states, rule):
    """Protects workers: what no single record shows is refused before a task is taken."""
    with pytest.raises(MalformedProgram, match=rule):
        check_program(nodes, outputs, states)


def test_sound_programs_pass():
    """Protects honest programs from the rules for whole programs."""
    check_program(NODES, (0, 3, 5, 6), 1)
    for fill in (0, 128, 2**32 - 96, 0x7FFFFFFF):
        check_program(changed(2, operand(NODES[2], 1, fill=fill)), (0, 3, 5, 6), 1)
    error = None
    try:
        Program((*NODES, replace(COPY, fn=99)), (0,), ("x",))
    except MalformedProgram as caught:
        error = caught
    assert error is not None and re.search(r"^node 7 \(Node\(.*map function 99$", str(error))
