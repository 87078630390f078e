"""The vectors of the court's checkers: what plain integers make of each kind and function."""

from __future__ import annotations

import json

import pytest

from scripts.make_vectors import FOLDER, SEED, STEP
from tests.contracts.court_fixtures import Bench, Checkers, read_order
from tests.program.test_execute import everything, plain
from worker.program.codes import Kind, Source

MOST = 9
"""Elements of one node that its checker is asked for."""


@pytest.fixture(scope="module")
def vectors():
    return json.loads((FOLDER / "checkers.json").read_text())


@pytest.fixture(scope="module")
def traced():
    program, state = everything()
    return program, state, program.trace(state, [], seed=SEED, step=STEP)


def elements_of(vectors, n, node) -> list[int]:
    return [int(word, 16) for word in vectors[f"{n} {node.name}"][0].split()]


def test_the_vectors_are_of_this_program(vectors, traced):
    program, _, _ = traced
    assert vectors["root"] == [program.root.hex()] and len(vectors) == 1 + len(program.nodes)


def test_traces_in_torch_give_the_vectors(vectors, traced):
    """Protects workers: what they commit to is what the vectors say, in every element."""
    program, _, trace = traced
    for n, node in enumerate(program.nodes):
        assert plain(trace[n]) == elements_of(vectors, n, node), f"{n} {node.name}"


def opened(bench, node, element, trace) -> list:
    """What the checker must be shown."""
    if node.kind == Kind.SOURCE:
        if node.fn != Source.STATE:
            return []
        return [bench.opened(bench.state, node.attributes[0], element, 1)]
    indices = trace[node.inputs[1].node].flatten().tolist() if node.kind == Kind.GATHER else ()
    spans = read_order(node, element, indices)
    return [bench.traced(i.node, *span) for i, span in zip(node.inputs, spans, strict=True)]


@pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.name)
def test_each_checker_gives_the_vectors(kind, vectors, traced):
    """Protects the verdict: a checker's element is the vectors', for every function of its kind."""
    program, state, trace = traced
    checker = Checkers()[kind]
    bench = Bench(trace, state, seed=SEED, step=STEP)
    tried = 0
    for n, node in enumerate(program.nodes):
        if node.kind != kind:
            continue
        expected = elements_of(vectors, n, node)
        for element in range(0, node.count, -(-node.count // MOST)):
            openings = opened(bench, node, element, trace)
            arguments = (bench.context, n, node.encoded, element, openings)
            assert checker.call("recompute", *arguments) == expected[element], (n, node.name)
            tried += 1
    assert tried
