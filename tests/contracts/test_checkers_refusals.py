"""What checkers refuse: records that no well-formed program has, and openings of something else.

A checker never guesses: whatever it is given, it recomputes one definite element or reverts.
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from eth_abi import encode
from eth_utils import function_signature_to_4byte_selector

from tests import evm
from tests.contracts.court_fixtures import Bench, Checkers, mapped, plain, read_order
from worker.commit import LEAF_BYTES
from worker.program.codes import BOOL, F32, I32, I64, Kind, Map, Reduce, Source
from worker.program.records import Node
from worker.program.wellformed import MalformedProgram, check_node

INDEX = 9
SAME = (0, 1)
VECTOR = mapped(0, F32, (6,), *SAME)

MUL = Node(Kind.MAP, Map.MUL, F32, (6,), (VECTOR, replace(VECTOR, node=1)))
WHERE = Node(
    Kind.MAP,
    Map.WHERE,
    I32,
    (6,),
    (mapped(2, BOOL, (6,), *SAME), mapped(3, I32, (6,), *SAME), mapped(3, I32, (2, 3), 0, 0, 0, 1)),
)
QUANTISE = Node(Kind.MAP, Map.QUANTISE, I32, (6,), (VECTOR, mapped(3, I32, (6,), 0, 0)), (14,))
CONVERT = Node(Kind.MAP, Map.CONVERT, I64, (3,), (mapped(0, F32, (6,), 1, 2, fill=0x7FC00000),))
SUM = Node(Kind.REDUCE, Reduce.SUM, F32, (2,), (plain(3, I32, 2, 3), plain(4, I32, 2)))
MAXIMUM = Node(Kind.REDUCE, Reduce.MAX, F32, (2,), (plain(0, F32, 2, 3),))
ARGMAX = Node(Kind.REDUCE, Reduce.ARGMAX, I64, (2,), (plain(0, F32, 2, 3),))
EXPONENT = Node(Kind.REDUCE, Reduce.EXPONENT, I32, (3,), (plain(0, F32, 3, 2),))
DOT = Node(
    Kind.DOT,
    0,
    F32,
    (2, 2),
    (plain(3, I32, 2, 3), plain(4, I32, 2)) * 2,
    (1, 2, 2, 3, 8),
)
GATHER = Node(
    Kind.GATHER, 0, F32, (1, 2, 3), (plain(0, F32, 1, 2, 3), plain(4, I32, 1, 2)), (1, 2, 2, 3)
)
SCATTER = Node(
    Kind.SCATTER,
    0,
    F32,
    (2, 3),
    (plain(3, I32, 3, 2), plain(5, I32, 1), plain(4, I32, 2)),
    (2, 3, 2),
)
STATE = Node(Kind.SOURCE, Source.STATE, F32, (6,), (), (0,))
BATCH = Node(Kind.SOURCE, Source.BATCH, F32, (2, 3), (), (0, 2, 3))
CONSTANT = Node(Kind.SOURCE, Source.CONSTANT, F32, (1,), (), (7,))
IOTA = Node(Kind.SOURCE, Source.IOTA, I32, (6,))
RANDOM = Node(Kind.SOURCE, Source.RANDOM, F32, (2, 3))
SOUND = {name: node for name, node in list(globals().items()) if isinstance(node, Node)}


@pytest.fixture(scope="module")
def checkers():
    return Checkers()


@pytest.fixture(scope="module")
def bench():
    floats = torch.tensor([1.5, -2.0, 0.0, 3.25, -0.5, 9.0])
    integers = torch.tensor([1, -2, 3, 40, -50, 60], dtype=torch.int32)
    flags = torch.tensor([True, False] * 3)
    index, exponent = torch.tensor([1, 0]).int(), torch.tensor([3]).int()
    trace = [floats, floats * 2, flags, integers, index, exponent]
    return Bench(trace, [floats], [torch.randn(5, 3, generator=torch.Generator().manual_seed(1))])


def sound_openings(bench, node, element):
    if node.kind == Kind.SOURCE:
        if node.fn == Source.STATE:
            return [bench.opened(bench.state, 0, element, 1)]
        return [bench.opened(bench.data, 0, 0, 1)] if node.fn == Source.BATCH else []
    spans = read_order(node, element, [1, 0])
    return [bench.traced(i.node, *span) for i, span in zip(node.inputs, spans, strict=True)]


def refusal(checker, name, *arguments):
    """The error and its first field, as text or as a number."""
    with pytest.raises(evm.Reverted) as caught:
        checker.call(name, *arguments)
    data = caught.value.data
    for entry in checker.abi:
        if entry["type"] == "error":
            count = len(entry["inputs"])
            if (
                checker.error(entry["name"], *[_blank(p["type"]) for p in entry["inputs"]])[:4]
                == data[:4]
            ):
                word = data[4:36]
                text = count and entry["inputs"][0]["type"] == "bytes32"
                return entry["name"], word.rstrip(b"\x00").decode() if text else word
    raise AssertionError(f"no error of the ABI: 0x{data.hex()}")


def _blank(kind):
    return bytes(32) if kind == "bytes32" else 0


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_record_is_sound_to_both_twins(checkers, bench, name):
    node = SOUND[name]
    check_node(node, INDEX)
    assert checkers[node.kind].call("check", INDEX, node.encoded) == node.count
    if name != "BATCH":
        openings = sound_openings(bench, node, 0)
        checkers[node.kind].call("recompute", bench.context, INDEX, node.encoded, 0, openings)


# --- records ---


def with_input(record, place, /, **changes):
    inputs = list(record.inputs)
    inputs[place] = replace(inputs[place], **changes)
    return replace(record, inputs=tuple(inputs))


@pytest.mark.parametrize("value", [2**32, 2**32 + 6, 2**255, 2**256 - 1])
def test_a_number_wider_than_its_type_is_refused(checkers, value):
    """Protects the element count: eight sizes of 32 bits fit a word, wider ones might not. The
    court hands records over as they stand, and of a reach too only those that fit pass."""
    checker = checkers[MUL.kind]
    word = lambda n: n.to_bytes(32, "big")  # noqa: E731
    shapes = word(1) + word(6)
    assert MUL.encoded.count(shapes) == 3  # of the output and of either operand
    at = -1
    for _ in range(3):
        at = MUL.encoded.index(shapes, at + 1)
        record = MUL.encoded[: at + 32] + word(value) + MUL.encoded[at + 64 :]
        assert refusal(checker, "check", INDEX, record) == ("MalformedRecord", "size")
    if value == 2**256 - 1:  # -1 is a reach
        return
    same = word(2) + word(0) + word(1)
    for place in (32, 64):
        at = MUL.encoded.index(same) + place
        record = MUL.encoded[:at] + word(value + 2**40) + MUL.encoded[at + 32 :]
        assert refusal(checker, "check", INDEX, record) == ("MalformedRecord", "reach")


HUGE = (2**32 - 1, 2**32 - 1, 2**32 - 1, 2**32 - 1, 2**32 - 1, 2**32 - 1, 2**32 - 1, 2**32 - 1)
MALFORMED = [
    # what all kinds have
    ("type", replace(MUL, dtype=0)),
    ("type", replace(MUL, dtype=5)),
    ("type", with_input(MUL, 1, dtype=0)),
    ("type", with_input(MUL, 0, dtype=255)),
    ("rank", replace(MUL, shape=(1,) * 9)),
    ("rank", with_input(MUL, 0, shape=(1,) * 9)),
    ("empty", replace(MUL, shape=(6, 0))),
    ("empty", with_input(MUL, 0, shape=(0,))),
    ("count", replace(MUL, shape=HUGE)),
    ("count", replace(IOTA, shape=(2**20, 2**20, 2))),
    ("count", with_input(MUL, 0, shape=(2**32 - 1, 2**32 - 1))),
    ("inputs", replace(MUL, inputs=MUL.inputs[:1])),
    ("inputs", replace(MUL, inputs=MUL.inputs * 2)),
    ("inputs", replace(SUM, inputs=SUM.inputs[:1])),
    ("inputs", replace(DOT, inputs=DOT.inputs[:3])),
    ("inputs", replace(GATHER, inputs=())),
    ("inputs", replace(STATE, inputs=(VECTOR,))),
    ("order", with_input(MUL, 0, node=INDEX)),
    ("order", with_input(SUM, 1, node=2**32 - 1)),
    ("fill", with_input(MUL, 0, fill=2**32)),
    ("fill", with_input(MUL, 0, fill=0x7FC00001)),
    ("fill", with_input(MUL, 0, fill=0xFFC00000)),
    ("fill", with_input(WHERE, 0, fill=2)),
    ("fill", with_input(SUM, 0, fill=1)),
    ("attributes", replace(MUL, attributes=(1,))),
    ("attributes", replace(QUANTISE, attributes=())),
    ("attributes", replace(SUM, attributes=(31,))),
    ("attributes", replace(DOT, attributes=DOT.attributes[:4])),
    ("attributes", replace(GATHER, attributes=(*GATHER.attributes, 0))),
    ("attributes", replace(STATE, attributes=())),
    ("attributes", replace(IOTA, attributes=(0,))),
    # MAP
    ("map", with_input(MUL, 0, map=())),
    ("map", with_input(MUL, 0, map=(0, 1, 0))),
    ("map", with_input(MUL, 0, map=(0,))),
    ("map", replace(MUL, shape=(2, 3))),
    ("reach", with_input(MUL, 0, map=(2**40 + 1, 1))),
    ("reach", with_input(MUL, 0, map=(0, -(2**40) - 1))),
    ("reach", with_input(MUL, 1, map=(0, -(2**63)))),
    ("operand type", with_input(MUL, 1, dtype=I32)),
    (
        "operand type",
        replace(with_input(with_input(MUL, 0, dtype=BOOL), 1, dtype=BOOL), dtype=BOOL),
    ),
    ("operand type", with_input(WHERE, 0, dtype=I32)),
    ("operand type", with_input(WHERE, 2, dtype=F32)),
    ("operand type", with_input(QUANTISE, 0, dtype=I32)),
    ("operand type", with_input(QUANTISE, 1, dtype=F32)),
    ("operand type", replace(MUL, fn=Map.AND)),
    ("output type", replace(MUL, dtype=I32)),
    ("output type", replace(MUL, fn=Map.LT)),
    ("output type", replace(QUANTISE, dtype=F32)),
    ("bits", replace(QUANTISE, attributes=(1,))),
    ("bits", replace(QUANTISE, attributes=(21,))),
    ("bits", replace(QUANTISE, attributes=(30,))),
    ("bits", replace(QUANTISE, attributes=(2**64 - 1,))),
    # REDUCE
    ("operand shape", with_input(SUM, 0, shape=(6,))),
    ("operand shape", with_input(SUM, 0, shape=(3, 2))),
    ("operand shape", with_input(SUM, 0, shape=(1, 2, 3))),
    ("operand shape", with_input(SUM, 1, shape=(1, 2))),
    ("operand shape", with_input(SUM, 1, shape=(3,))),
    ("operand shape", with_input(MAXIMUM, 0, shape=(3, 2))),
    ("map", with_input(SUM, 0, map=SAME)),
    ("row length", with_input(MAXIMUM, 0, shape=(2, 4097))),
    ("operand type", with_input(SUM, 0, dtype=I64)),
    ("operand type", with_input(SUM, 1, dtype=F32)),
    ("operand type", with_input(MAXIMUM, 0, dtype=BOOL)),
    ("operand type", with_input(EXPONENT, 0, dtype=I32)),
    ("output type", replace(SUM, dtype=I32)),
    ("output type", replace(MAXIMUM, dtype=I64)),
    ("output type", replace(ARGMAX, dtype=I32)),
    ("output type", replace(EXPONENT, dtype=F32)),
    # DOT
    ("output type", replace(DOT, dtype=I32)),
    ("output shape", replace(DOT, shape=(2, 3))),
    ("output shape", replace(DOT, attributes=(2**63, 2, 2, 3, 8))),
    ("output shape", replace(DOT, attributes=(2**64 - 1, 2**64 - 1, 2**64 - 1, 3, 8))),
    ("output shape", replace(DOT, attributes=(0, 2, 2, 3, 8))),
    ("operand shape", replace(DOT, attributes=(2, 1, 2, 3, 8))),
    ("operand shape", replace(DOT, attributes=(1, 1, 4, 3, 8))),
    ("operand shape", replace(DOT, attributes=(1, 2, 2, 2, 8))),
    ("operand shape", with_input(DOT, 2, shape=(3, 2))),
    ("operand shape", with_input(DOT, 3, shape=(1,))),
    ("row length", replace(DOT, attributes=(1, 2, 2, 4097, 8))),
    ("bits", replace(DOT, attributes=(1, 2, 2, 3, 1))),
    ("bits", replace(DOT, attributes=(1, 2, 2, 3, 21))),
    ("operand type", with_input(DOT, 0, dtype=F32)),
    ("map", with_input(DOT, 1, map=(0,))),
    # GATHER
    ("output shape", replace(GATHER, shape=(7,))),
    ("output shape", replace(GATHER, attributes=(1, 2, 2**63, 3))),
    ("operand shape", replace(GATHER, attributes=(1, 3, 2, 3))),
    ("operand shape", with_input(GATHER, 0, shape=(2, 3))),
    ("operand shape", with_input(GATHER, 1, shape=(2, 1))),
    ("operand type", with_input(GATHER, 1, dtype=F32)),
    ("operand type", with_input(GATHER, 0, dtype=I32)),
    ("map", with_input(GATHER, 0, map=(0,))),
    # SCATTER
    ("inputs", replace(SCATTER, inputs=SCATTER.inputs[:2])),
    ("attributes", replace(SCATTER, attributes=(2, 3))),
    ("attributes", replace(SCATTER, attributes=(2, 3, 2, 0))),
    ("output type", replace(SCATTER, dtype=I32)),
    ("output shape", replace(SCATTER, shape=(7,))),
    ("output shape", replace(SCATTER, attributes=(3, 3, 2))),
    ("output shape", replace(SCATTER, attributes=(0, 3, 2))),
    ("output shape", replace(SCATTER, attributes=(2**63, 2, 2))),
    ("output shape", replace(SCATTER, attributes=(2**64 - 1, 2**64 - 1, 2))),
    ("row length", replace(SCATTER, attributes=(2, 3, 2049))),
    ("operand shape", replace(SCATTER, attributes=(3, 2, 2))),
    ("operand shape", replace(SCATTER, attributes=(2, 3, 3))),
    ("operand shape", replace(SCATTER, attributes=(2, 3, 0))),
    ("operand shape", with_input(SCATTER, 0, shape=(2, 3))),
    ("operand shape", with_input(SCATTER, 0, shape=(6,))),
    ("operand shape", with_input(SCATTER, 1, shape=(2,))),
    ("operand shape", with_input(SCATTER, 1, shape=())),
    ("operand shape", with_input(SCATTER, 2, shape=(3,))),
    ("operand shape", with_input(SCATTER, 2, shape=(1, 2))),
    ("operand type", with_input(SCATTER, 0, dtype=F32)),
    ("operand type", with_input(SCATTER, 0, dtype=I64)),
    ("operand type", with_input(SCATTER, 1, dtype=F32)),
    ("operand type", with_input(SCATTER, 2, dtype=F32)),
    ("operand type", with_input(SCATTER, 2, dtype=BOOL)),
    ("map", with_input(SCATTER, 2, map=SAME)),
    ("fill", with_input(SCATTER, 0, fill=1)),
    ("order", with_input(SCATTER, 2, node=INDEX)),
    # SOURCE
    ("attributes", replace(RANDOM, attributes=(0,))),
    ("inputs", replace(RANDOM, inputs=(VECTOR,))),
    ("output type", replace(RANDOM, dtype=I32)),
    ("output type", replace(RANDOM, dtype=I64)),
    ("output type", replace(RANDOM, dtype=BOOL)),
    ("batch shape", replace(BATCH, attributes=(0, 3, 3))),
    ("batch shape", replace(BATCH, attributes=(0, 2**63, 2**63))),
    ("batch shape", replace(BATCH, attributes=(0, 0, 6))),
    ("constant shape", replace(CONSTANT, shape=(2,))),
    ("constant", replace(CONSTANT, attributes=(0x7F800001,))),
    ("constant", replace(CONSTANT, attributes=(2**32,))),
    ("constant", replace(CONSTANT, dtype=BOOL, attributes=(2,))),
    ("output type", replace(IOTA, dtype=F32)),
    ("output type", replace(IOTA, dtype=BOOL)),
    ("iota range", replace(IOTA, shape=(2**16, 2**15 + 1))),
]


@pytest.mark.parametrize("rule, node", MALFORMED, ids=lambda x: x if isinstance(x, str) else "")
def test_a_malformed_record_breaks_its_rule(checkers, bench, rule, node):
    with pytest.raises(MalformedProgram):
        check_node(node, INDEX)
    checker = checkers[node.kind]
    assert refusal(checker, "check", INDEX, node.encoded) == ("MalformedRecord", rule)
    arguments = (bench.context, INDEX, node.encoded, 0, [])
    assert refusal(checker, "recompute", *arguments) == ("MalformedRecord", rule)


def test_whatever_is_an_element_may_be_a_fill(checkers):
    """Protects programs that read infinity out of bounds, as a maximum's padding does: a record
    that is taken for malformed convicts nobody."""
    for dtype, fills in (
        (F32, (0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000, 1 << 31)),
        (I32, (0x7F800001, 2**32 - 1)),
        (I64, (2**32, 2**64 - 1)),
        (BOOL, (0, 1)),
    ):
        for fill in fills:
            operand = mapped(0, dtype, (6,), *SAME, fill=fill)
            node = Node(Kind.MAP, Map.COPY, dtype, (6,), (operand,))
            check_node(node, INDEX)
            assert checkers[Kind.MAP].call("check", INDEX, node.encoded) == 6, (dtype, fill)


@pytest.mark.parametrize("name", SOUND)
def test_a_checker_serves_its_own_kind_only(checkers, name):
    node = SOUND[name]
    for kind, checker in enumerate(checkers):
        if kind != node.kind:
            error, _ = refusal(checker, "check", INDEX, node.encoded)
            assert error in ("MalformedRecord", "UnknownFunction")


@pytest.mark.parametrize("name", SOUND)
def test_a_function_that_does_not_exist_is_unknown(checkers, name):
    node = SOUND[name]
    known = {
        Kind.SOURCE: set(Source),
        Kind.MAP: set(Map),
        Kind.REDUCE: set(Reduce),
    }.get(Kind(node.kind), {0})
    for fn in range(256):
        if fn not in known:
            error, _ = refusal(checkers[node.kind], "check", INDEX, replace(node, fn=fn).encoded)
            assert error == "UnknownFunction"


def mutated(rng, node):
    """The record with one thing changed, and sometimes another: many are still sound."""
    numbers = [0, 1, 2, 3, 4, 5, 6, 8, 31, 2048, 2049, 4096, 4097, 2**20, 2**31, 2**32 - 1]
    for _ in range(rng.choice([1, 1, 2])):
        choice = rng.randrange(8)
        if choice == 0:
            node = replace(node, dtype=rng.randrange(6))
        elif choice == 1:
            shape = [rng.choice(numbers[:9]) for _ in range(rng.randrange(4))]
            node = replace(node, shape=tuple(shape))
        elif choice == 2:
            node = replace(node, fn=rng.choice([*range(14), *range(19, 27), *range(30, 43)]))
        elif choice == 3 and node.attributes:
            attributes = list(node.attributes)
            attributes[rng.randrange(len(attributes))] = rng.choice([*numbers, 2**63, 2**64 - 1])
            node = replace(node, attributes=tuple(attributes))
        elif choice == 4:
            extra = rng.choice([(), node.attributes[:-1], (*node.attributes, 8)])
            node = replace(node, attributes=tuple(extra))
        elif choice == 5 and node.inputs:
            node = replace(node, inputs=node.inputs[rng.randrange(2) :] + node.inputs[:1])
        elif node.inputs:
            node = with_input(
                node, rng.randrange(len(node.inputs)), **mutated_input(rng, node, numbers)
            )
    return node


def mutated_input(rng, node, numbers):
    given = node.inputs[0]
    return {
        0: {"node": rng.randrange(INDEX + 2)},
        1: {"dtype": rng.randrange(6)},
        2: {"shape": tuple(rng.choice(numbers[1:9]) for _ in range(rng.randrange(4)))},
        3: {"map": tuple(rng.choice([-1, 0, 1, 2, 2**40, 2**40 + 1]) for _ in given.map)},
        4: {"map": (*given.map, 0)},
        5: {"fill": rng.choice([0, 1, 2, 0x7FC00000, 0x7FC00001, 2**32, 2**64 - 1])},
        6: {"shape": (*given.shape, 1)},
    }[rng.randrange(7)]


@pytest.mark.parametrize("name", SOUND)
def test_both_twins_agree_on_what_is_well_formed(checkers, bench, name):
    """And of a well-formed record, with the operands that it names, there is an element."""
    rng = random.Random(name)
    accepted = 0
    for _ in range(250):
        node = mutated(rng, SOUND[name])
        checker = checkers[node.kind]
        try:
            check_node(node, INDEX)
        except MalformedProgram:
            error, _ = refusal(checker, "check", INDEX, node.encoded)
            assert error in ("MalformedRecord", "UnknownFunction"), node
            continue
        assert checker.call("check", INDEX, node.encoded) == node.count, node
        accepted += 1
        for openings in [sound_openings(bench, SOUND[name], 0), []]:
            arguments = (bench.context, INDEX, node.encoded, 0, openings)
            try:
                bits = checker.call("recompute", *arguments)
            except evm.Reverted:
                continue
            # Whatever it read, an operand was of the type and count that the record gives it.
            for operand, shown in zip(node.inputs, openings, strict=node.kind != Kind.SOURCE):
                if shown[4]:
                    assert shown[:2] == (operand.dtype, operand.count)
            assert bits < 2 ** {F32: 32, I32: 32, I64: 64, BOOL: 1}[node.dtype]
    assert accepted


def test_there_is_no_element_behind_the_last(checkers, bench):
    for node in SOUND.values():
        for element in (node.count, 2**64 - 1):
            arguments = (bench.context, INDEX, node.encoded, element, [])
            error, value = refusal(checkers[node.kind], "recompute", *arguments)
            assert (error, int.from_bytes(value, "big")) == ("NoSuchElement", element)


def test_a_source_names_a_tensor_that_there_is(checkers, bench):
    source = checkers[Kind.SOURCE]
    for node, rule, context in (
        (replace(STATE, attributes=(1,)), "state", bench.context),
        (replace(STATE, attributes=(2**64 - 1,)), "state", bench.context),
        (replace(BATCH, attributes=(1, 2, 3)), "data", bench.context),
        (BATCH, "data rows", (*bench.context[:6], 0, *bench.context[7:])),
        (BATCH, "data rows", (*bench.context[:6], 2**32 + 1, *bench.context[7:])),
        (
            replace(BATCH, shape=(2, 2**20), attributes=(0, 2, 2**20)),
            "data count",
            (*bench.context[:6], 2**21, *bench.context[7:]),
        ),
        (BATCH, "epoch", (*bench.context[:6], 1, bench.context[7], 2**64 - 1)),
    ):
        openings = sound_openings(bench, STATE if node.fn == Source.STATE else BATCH, 0)
        arguments = (context, INDEX, node.encoded, 0, openings)
        assert refusal(source, "recompute", *arguments) == ("MalformedRecord", rule)


def test_a_data_set_at_a_limit_is_read(checkers, bench):
    """Refused for its opening, which is of another data set, and no longer for its size."""
    context = bench.context
    for node, rows, step in (
        (BATCH, 2**32, context[8]),
        (replace(BATCH, shape=(2, 2**20), attributes=(0, 2, 2**20)), 2**20, context[8]),
        (replace(BATCH, shape=(1, 3), attributes=(0, 1, 3)), 1, 2**64 - 1),
    ):
        given = (*context[:6], rows, context[7], step)
        openings = sound_openings(bench, BATCH, 0)
        arguments = (given, INDEX, node.encoded, 0, openings)
        assert refusal(checkers[Kind.SOURCE], "recompute", *arguments)[0] != "MalformedRecord"


# --- openings ---


def test_an_opening_shows_what_the_record_reads_and_nothing_else(checkers, bench):
    """Of every operand of every kind, each part is changed in turn."""
    tried = 0
    for name, node in SOUND.items():
        if name == "BATCH":
            continue
        good = sound_openings(bench, node, 0)
        for place, (dtype, count, elements, path, *shown) in enumerate(good):
            (leaves, leaves_path) = shown
            other = bytes([leaves[0] ^ 1]) + leaves[1:]
            for rule, opening in (
                ("type", (dtype % 4 + 1, count, elements, path, *shown)),
                ("count", (dtype, count + 1, elements, path, *shown)),
                ("list", (dtype, count, bytes(32), path, *shown)),
                ("list", (dtype, count, elements, [*path[:-1], bytes(32)], *shown)),
                ("leaves", (dtype, count, elements, path, b"", leaves_path)),
                ("leaves", (dtype, count, elements, path, leaves * 2, leaves_path)),
                ("leaves", (dtype, count, elements, path, leaves[:-1], leaves_path)),
                ("leaves", (dtype, count, elements, path, leaves + b"\0", leaves_path)),
                ("leaf", (dtype, count, elements, path, other, leaves_path)),
            ):
                if rule == "list" and opening[2] == elements and not path:
                    continue  # a list of one item has no path
                given = [*good[:place], opening, *good[place + 1 :]]
                arguments = (bench.context, INDEX, node.encoded, 0, given)
                found = refusal(checkers[node.kind], "recompute", *arguments)
                assert found == ("WrongOpening", rule), (name, place)
                tried += 1
            for longer in (
                (dtype, count, elements, [*path, bytes(32)], *shown),
                (dtype, count, elements, path, leaves, [*leaves_path, bytes(32)]),
            ):
                given = [*good[:place], longer, *good[place + 1 :]]
                arguments = (bench.context, INDEX, node.encoded, 0, given)
                assert refusal(checkers[node.kind], "recompute", *arguments)[0] == "PathLength"
        nothing = (1, 1, bytes(32), [], b"", [])
        for given in ([*good, *good] if good else [nothing], good[:-1]):
            if len(given) == len(good):
                continue
            arguments = (bench.context, INDEX, node.encoded, 0, given)
            found = refusal(checkers[node.kind], "recompute", *arguments)
            assert found == ("WrongOpening", "openings")
    assert tried > 150


def test_another_tensor_of_the_same_type_and_count_is_not_the_operand(checkers, bench):
    good = [bench.traced(0, 0), bench.traced(1, 0)]
    for given in (good[::-1], [good[0], good[0]], [good[1], good[1]]):
        arguments = (bench.context, INDEX, MUL.encoded, 0, given)
        found = refusal(checkers[Kind.MAP], "recompute", *arguments)
        assert found == ("WrongOpening", "list")


def test_another_leaf_of_the_operand_is_not_the_one_that_is_read(checkers):
    x = torch.arange(128 * 6, dtype=torch.float32)
    bench = Bench([x])
    copy = Node(Kind.MAP, Map.COPY, F32, (128 * 6,), (mapped(0, F32, (128 * 6,), *SAME),))
    for element in (0, 128, 350, 767):
        for shown in range(6):
            openings = [bench.traced(0, shown * 128)]
            arguments = (bench.context, 1, copy.encoded, element, openings)
            if shown == element // 128:
                checkers[Kind.MAP].call("recompute", *arguments)
            else:
                error, _ = refusal(checkers[Kind.MAP], "recompute", *arguments)
                assert error in ("WrongOpening", "PathLength")


def test_a_row_is_read_from_exactly_its_leaves(checkers):
    """Neither other leaves, nor the right ones in another order or number, nor a changed byte."""
    x = torch.arange(4 * 200, dtype=torch.float32)
    bench = Bench([x])
    node = Node(Kind.REDUCE, Reduce.MAX, F32, (4,), (plain(0, F32, 4, 200),))

    def refused(row, leaves, path):
        given = [(*bench.traced(0, 0)[:4], leaves, path)]
        arguments = (bench.context, 1, node.encoded, row, given)
        return refusal(checkers[Kind.REDUCE], "recompute", *arguments)

    for row in range(4):
        *_, leaves, path = bench.traced(0, row * 200, 200)
        count = len(leaves) // LEAF_BYTES
        assert count == (2, 3)[row % 2]
        each = [leaves[i * LEAF_BYTES : (i + 1) * LEAF_BYTES] for i in range(count)]
        for fewer in (each[:1], each[1:], each * 2, []):
            assert refused(row, b"".join(fewer), path) == ("WrongOpening", "leaves")
        assert refused(row, b"".join(each[::-1]), path) == ("WrongOpening", "leaf")
        for other in {0, 1, 2, 3} - {row}:
            elsewhere = bench.traced(0, other * 200, 200)[4:]
            assert refused(row, *elsewhere)[0] in ("WrongOpening", "PathLength")
        for i in range(count):
            data = bytearray(leaves)
            data[(i + 1) * LEAF_BYTES - 1] ^= 1
            assert refused(row, bytes(data), path) == ("WrongOpening", "leaf")
        for i in range(len(path)):
            forged = [*path[:i], bytes(32), *path[i + 1 :]]
            assert refused(row, leaves, forged) == ("WrongOpening", "leaf")
        assert refused(row, leaves, [*path, bytes(32)])[0] == "PathLength"
        assert refused(row, leaves, path[:-1])[0] == "PathLength"


def test_an_operand_that_is_not_read_shows_nothing(checkers, bench):
    outside = Node(Kind.MAP, Map.COPY, F32, (2,), (mapped(0, F32, (6,), 5, 1, fill=3),))
    shown, hidden = bench.traced(0, 0), bench.traced(0, 0, 0)
    for opening in (hidden, (0, 0, bytes(32), [], b"", [])):
        arguments = (bench.context, INDEX, outside.encoded, 1, [opening])
        assert checkers[Kind.MAP].call("recompute", *arguments) == 3
    arguments = (bench.context, INDEX, outside.encoded, 1, [shown])
    assert refusal(checkers[Kind.MAP], "recompute", *arguments) == ("WrongOpening", "unread")
    arguments = (bench.context, INDEX, outside.encoded, 0, [hidden])
    assert refusal(checkers[Kind.MAP], "recompute", *arguments) == ("WrongOpening", "leaves")
    table = (plain(0, F32, 1, 1, 6), plain(4, I32, 1, 2))
    gather = Node(Kind.GATHER, 0, F32, (1, 2, 6), table, (1, 1, 2, 6))
    arguments = (bench.context, INDEX, gather.encoded, 0, [shown, bench.traced(4, 0)])
    assert refusal(checkers[Kind.GATHER], "recompute", *arguments) == ("WrongOpening", "unread")


def test_an_exponent_that_no_row_has_convicts_nobody(checkers, bench):
    """A program whose exponents are no exponents is malformed as a whole: see `wellformed`."""
    node = with_input(QUANTISE, 1, map=(3, 0))  # 40 is an exponent, -50 and 60 are too
    arguments = (bench.context, INDEX, node.encoded, 0, [bench.traced(0, 0), bench.traced(3, 3)])
    checkers[Kind.MAP].call("recompute", *arguments)
    odd = Bench([torch.ones(6), *[torch.tensor([129, -97], dtype=torch.int32)] * 3])
    for element in range(2):
        node = replace(QUANTISE, inputs=(VECTOR, mapped(3, I32, (2,), element, 0)))
        openings = [odd.traced(0, 0), odd.traced(3, element)]
        arguments = (odd.context, INDEX, node.encoded, 0, openings)
        assert refusal(checkers[Kind.MAP], "recompute", *arguments)[0] == "MalformedExponent"
    for wrong in (129, -97):
        q, e = torch.ones(3, 2).int(), torch.tensor([wrong]).int()
        odd = Bench([q, q, q, q, torch.tensor([1, 0]).int(), e])
        arguments = (odd.context, INDEX, SCATTER.encoded, 0, sound_openings(odd, SCATTER, 0))
        assert refusal(checkers[Kind.SCATTER], "recompute", *arguments)[0] == "MalformedExponent"


def test_a_record_with_dirty_bits_does_not_decode(checkers):
    """An encoding that says the same record in other bytes is refused, not cleaned."""
    checker = checkers[Kind.MAP]
    selector = function_signature_to_4byte_selector("check(uint32,bytes)")
    data = bytearray(selector + encode(["uint32", "bytes"], [INDEX, MUL.encoded]))
    checker.evm.message_call(evm.CALLER, checker.address, calldata=bytes(data))
    # index; kind, fn, dtype; the shape's only size: a bit above each one's width
    node = 4 + 4 * 32
    for word in (4, node, node + 32, node + 64, node + 6 * 32 + 32):
        dirty = bytearray(data)
        dirty[word] ^= 1
        with pytest.raises(RuntimeError):
            checker.evm.message_call(evm.CALLER, checker.address, calldata=bytes(dirty))
