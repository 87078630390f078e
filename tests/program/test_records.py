"""Records: their encoding is Solidity's, and only one encoding is a program's."""

from __future__ import annotations

import json
import random
import re
from hashlib import sha256

import pytest

from tests import evm
from tests.program.models import TRAININGS, tiny
from worker.commit import climb, list_leaf
from worker.program import Header, Input, MalformedProgram, Node, Program
from worker.program import codes as python_codes
from worker.program.codes import BOOL, F32, I32, I64, Kind, Map, Reduce, Source, function_of
from worker.program.records import from_document, output_item, to_document


@pytest.fixture(scope="module")
def harness():
    return evm.deploy("MerkleHarness")


def word(value: int) -> bytes:
    return (value % 2**256).to_bytes(32, "big")


def test_a_record_is_encoded_as_the_words_of_the_abi():
    """Protects the encoding with a known answer, word for word, without an encoder."""
    node = Node(1, 8, 1, (2, 3), (Input(7, 1, (5,), (0, -1, 4), 9),), (14,))
    words = [32, 1, 8, 1, 6 * 32, 9 * 32, 21 * 32]  # an offset; kind, fn, dtype, three offsets
    words += [2, 2, 3]  # shape
    words += [1, 32]  # inputs: one, at an offset
    words += [7, 1, 5 * 32, 7 * 32, 9]  # node, dtype, offsets of shape and map, fill
    words += [1, 5, 3, 0, -1, 4]
    words += [1, 14]  # attributes
    words[6] = (len(words) - 3) * 32
    assert node.encoded == b"".join(word(w) for w in words)
    assert node.item == sha256(node.encoded).digest()


def random_node(rng: random.Random) -> Node:
    def numbers(top: int, most: int = 4) -> tuple[int, ...]:
        return tuple(rng.randrange(top) for _ in range(rng.randint(0, most)))

    inputs = tuple(
        Input(
            rng.randrange(2**32),
            rng.randrange(256),
            numbers(2**32),
            tuple(v - 2**63 for v in numbers(2**64)),
            rng.randrange(2**64),
        )
        for _ in range(rng.randint(0, 3))
    )
    kinds = (rng.randrange(256) for _ in range(3))
    return Node(*kinds, numbers(2**32, 8), inputs, numbers(2**64, 5))


def test_records_and_headers_hash_as_the_contracts_hash_them(harness):
    """Protects disputes: the contract finds the hash that the worker committed to."""
    rng = random.Random(1)
    for _ in range(60):
        node = random_node(rng)
        assert harness.call("nodeItem", node.to_abi()) == node.item
    header = Header(rng.randbytes(32), 2**32 - 1, rng.randbytes(32), 3, 4)
    assert harness.call("headerRoot", header.to_abi()) == header.root


@pytest.mark.parametrize("training", TRAININGS)
def test_a_programs_root_is_made_of_its_records(harness, training):
    """Protects the root: each record, each output and each count is under it, at its place."""
    program = training()[0]
    for n in (0, 1, len(program.nodes) - 1):
        leaf = list_leaf(n, program.nodes[n].item)
        tree = program.node_tree
        root = climb(leaf, n, len(program.nodes), 0, tree.path(n), tree.depth)
        assert root == program.header.nodes
    for k, n in enumerate(program.outputs):
        assert (
            program.output_tree.node(0, k) == list_leaf(k, word(n)) == list_leaf(k, output_item(n))
        )
    header = program.header
    assert harness.call("headerRoot", header.to_abi()) == program.root
    assert (header.node_count, header.state_count, header.report_count) == (
        len(program.nodes), program.state_count, 1,
    )  # fmt: skip


def test_a_program_survives_its_file(tmp_path):
    """Protects artifacts: what is loaded is what was saved, names and origins included."""
    for training in TRAININGS:
        program = training()[0]
        program.save(tmp_path / "p")
        back = Program.load(tmp_path / "p", program.root)
        assert back == program and back.root == program.root
        assert back.origins == program.origins and back.state_names == program.state_names
    with pytest.raises(ValueError, match=f"root is {back.root.hex()}, not 0101"):
        Program.load(tmp_path / "p", b"\x01" * 32)


def test_a_root_changes_with_anything_in_the_program():
    """Protects tasks: another record, another order or another output is another program."""
    program = tiny()[0]
    outputs = (*program.outputs, program.outputs[-1] - 1)
    others = [Program(program.nodes, outputs, program.state_names)]
    nodes = list(program.nodes)
    k = next(i for i, n in enumerate(nodes) if n.kind == Kind.SOURCE and n.fn == Source.CONSTANT)
    n = nodes[k]
    nodes[k] = Node(n.kind, n.fn, n.dtype, n.shape, n.inputs, (n.attributes[0] ^ 1,))
    others.append(Program(tuple(nodes), program.outputs, program.state_names))
    renamed = Program(program.nodes, program.outputs, tuple("x" * program.state_count))
    assert len({program.root, *(o.root for o in others)}) == 3
    assert renamed.root == program.root, "names are for people"


def test_mutated_files_are_refused_or_are_another_program():
    """Protects readers: no two sets of records share a root, and no file crashes its reader."""
    program = tiny()[0]
    data = program.to_bytes()
    rng = random.Random(2)
    refused = 0
    for _ in range(600):
        bad = bytearray(data)
        kind = rng.randrange(3)
        if kind == 0:
            bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del bad[rng.randrange(len(bad)) :]
        else:
            bad += rng.randbytes(rng.choice([1, 31, 32]))
        try:
            decoded = Program.from_bytes(bytes(bad))
        except ValueError:
            refused += 1
        else:
            same = (decoded.nodes, decoded.outputs) == (program.nodes, program.outputs)
            assert same == (decoded.root == program.root)
    assert refused > 300


@pytest.mark.parametrize("bad", [True, 1.0, "1", None, -1, 256, [1], {}])
def test_a_field_is_an_integer_that_fits(bad):
    """Protects hashes: what Solidity would not read as this field is no record."""
    document = to_document(tiny()[0].nodes)
    document[3][0] = bad
    with pytest.raises(ValueError, match="8 bits"):
        from_document(document)


BROKEN = [
    (lambda d: d.update(format="assay-program-0"), "format 'assay-program-0'"),
    (lambda d: d.pop("records"), "not a serialised program"),
    (lambda d: d.update(records=5), "where a list should be"),
    (lambda d: d["records"][0].pop(), "where a list should be"),
    (lambda d: d["records"][0].append(7), "where a list should be"),
    (lambda d: d["outputs"].append(10**6), "which is none"),
    (lambda d: d.update(outputs="many"), "where a list should be"),
    (lambda d: d.update(state_names=["one"]), "of 1"),
    (lambda d: d.update(state_names=None), "not a serialised program"),
    (lambda d: d.pop("origins"), "not a serialised program"),
]


@pytest.mark.parametrize(("change", "message"), BROKEN)
def test_what_is_no_program_is_refused(change, message):
    """Protects workers: a stranger's file is either a well-formed program or a ValueError."""
    document = json.loads(tiny()[0].to_bytes())
    change(document)
    with pytest.raises(ValueError, match=message):
        Program.from_bytes(json.dumps(document).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"format": 1}'])
def test_what_is_not_even_a_document_is_refused(data):
    """Protects workers from files that are nothing at all."""
    with pytest.raises(ValueError):
        Program.from_bytes(data)


def test_a_malformed_program_in_a_sound_file_is_refused():
    """Protects workers: the records are judged whenever they are read."""
    program = tiny()[0]
    document = json.loads(program.to_bytes())
    nodes = (*program.nodes[:-1], Node(9, 0, 1, ()))
    document["records"] = to_document(nodes)
    with pytest.raises(MalformedProgram, match="kind 9"):
        Program.from_bytes(json.dumps(document).encode())


def test_numbers_stand_for_the_same_words_in_solidity():
    """Protects every record: codes.py and Codes.sol agree, name by name, and neither has more."""
    source = (evm.CONTRACTS / "court" / "Codes.sol").read_text()
    found = re.findall(r"uint8 internal constant (\w+) = (\d+);", source)
    wanted = {"F32": F32, "I32": I32, "I64": I64, "BOOL": BOOL}
    for words in (Kind, Source, Map, Reduce):
        for name, value in words.__members__.items():
            assert name not in wanted, f"{name} stands for two things in one Solidity library"
            wanted[name] = int(value)
    assert {name: int(value) for name, value in found} == wanted
    assert len(found) == len(wanted)
    assert python_codes.SUM_BITS == 31


def test_functions_have_names_for_people():
    """Protects messages: a kind with functions names both, others their kind."""
    assert function_of(Kind.MAP, Map.MUL) == "MAP.MUL"
    assert function_of(Kind.REDUCE, Reduce.SUM) == "REDUCE.SUM"
    assert function_of(Kind.DOT, 0) == "DOT"
    summary = tiny()[0].summary()
    assert summary.nodes == sum(summary.functions.values()) == len(tiny()[0].nodes)
