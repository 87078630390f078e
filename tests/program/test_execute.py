"""Runs: fast, traced and by hand; on every backend and with any number of threads."""

from __future__ import annotations

import weakref
from itertools import product

import pytest
import torch
from torch import Tensor

from tests.program.helpers import bits, program_of, same, threads
from tests.program.models import TRAININGS, attention, seeded, tiny
from tests.program.reference_run import reference_run
from worker.exact.backends import BACKENDS, ENVIRONMENT, compiles
from worker.program import Input, Kind, MalformedProgram, Map, Node, Program, Reduce, Source
from worker.program.codes import BOOL, F32, I32, I64
from worker.program.wellformed import check_node

NAN = 0x7FC00000


def plain(tensor: Tensor) -> list[int]:
    """Elements as the contracts see them."""
    mask = (1 << 64) - 1 if tensor.dtype == torch.int64 else (1 << 32) - 1
    return [int(v) & mask for v in bits(tensor).flatten().tolist()]


def follow(program: Program, state, batch, seed: int = 0, step: int = 0) -> list[Tensor]:
    """The trace, after every element of every node was compared with the reference."""
    trace = program.trace(state, batch, seed=seed, step=step)
    expected = reference_run(
        program.nodes, [plain(t) for t in state], [plain(t) for t in batch], seed, step
    )
    for n, (node, found, right) in enumerate(zip(program.nodes, trace, expected, strict=True)):
        assert plain(found) == right, f"node {n}: {node}"
    after, reports = program.run(state, batch, seed=seed, step=step)
    assert same([*after, *reports], [trace[n] for n in program.outputs])
    return trace


@pytest.mark.parametrize("wanted", [None, (), (0,), (7, 40, 41), range(5, 60, 9)])
def test_a_walk_yields_what_the_trace_holds(wanted):
    """Protects disputes about large models: a tensor computed alone, from what it depends on, is
    the one that was committed."""
    program, state, batch = attention()
    trace = program.trace(state, batch, seed=3, step=2)
    walked = dict(program.walk(state, batch, wanted=wanted, seed=3, step=2))
    assert list(walked) == list(range(len(trace)) if wanted is None else wanted)
    assert same([*walked.values()], [trace[n] for n in walked])


def test_a_walk_computes_and_holds_no_more_than_it_must():
    """Protects the memory and the time of a dispute: only what the wanted node depends on is
    computed, and a tensor goes once its last reader has been."""
    program, state, batch = attention()
    alive: list[weakref.ref[Tensor]] = []
    most = 0

    def watched(node: int, tensor: Tensor) -> Tensor:
        nonlocal most
        most = max(most, sum(t() is not None for t in alive))
        fresh = tensor.clone()
        alive.append(weakref.ref(fresh))
        return fresh

    last = len(program.nodes) - 1
    for _ in program.walk(state, batch, watched):
        pass
    assert len(alive) == len(program.nodes) and most < len(program.nodes) // 3
    alive.clear()
    assert [n for n, _ in program.walk(state, batch, watched, (last // 2,))] == [last // 2]
    assert len(alive) <= last // 2 + 1
    assert all(t() is None for t in alive)


@pytest.mark.parametrize("training", TRAININGS)
def test_every_element_of_a_training_step_is_the_references(training):
    """Protects an honest worker from the court: trace and fast run are the definition, bit for bit,
    at every element of three steps."""
    program, state, batch = training()
    for step in range(2):
        trace = follow(program, state, batch, seed=2**63 + 5, step=step)
        state, _ = program.split(trace)


def test_steps_that_overflow_are_the_references_too():
    """Protects diverging trainings: infinities and NaNs take the same way everywhere."""
    program, state, batch = tiny()
    large = [t * 1e30 for t in state]
    follow(program, large, batch)
    spoilt = [t.clone() for t in state]
    spoilt[0][1, 2], spoilt[2][0, 0] = float("nan"), float("inf")
    follow(program, spoilt, batch)
    small = [t * 1e-30 for t in state]
    follow(program, small, [batch[0] * 1e-12, batch[1]])


def signatures(fn: Map) -> list[tuple[int, ...]]:
    """Every choice of output and operand dtypes that a MAP function has."""
    found: list[tuple[int, ...]] = []
    for arity in (1, 2, 3):
        for dtypes in product((F32, I32, I64, BOOL), repeat=1 + arity):
            operands = tuple(Input(0, d, (), ()) for d in dtypes[1:])
            try:
                check_node(Node(Kind.MAP, fn, dtypes[0], (), operands), 1)
            except MalformedProgram:
                continue
            found.append(dtypes)
    return found


def everything() -> tuple[Program, list[Tensor]]:
    """One node of every function, on special values, through maps that lead out of bounds."""
    special = torch.tensor([0, 1 << 31, 1, 0x7F800000, -8388608, NAN, 0x3F800000, -1082130432])
    floats = special.to(torch.int32).view(torch.float32)
    ints = torch.tensor([0, -1, 5, 2**31 - 1, -(2**31), 7, 7, -100], dtype=torch.int32)
    longs = torch.tensor([0, -1, 5, 2**63 - 1, -(2**63), 2**32, 2**24 + 1, -100])
    bools = torch.tensor([True, False, True, True, False, False, True, False])
    state = [floats, ints, longs, bools]
    codes = (F32, I32, I64, BOOL)
    nodes = [Node(Kind.SOURCE, Source.STATE, c, (8,), (), (i,)) for i, c in enumerate(codes)]

    def operand(source: int, turn: int, fill: int = 0) -> Input:
        """[8, 8] whose rows run backwards from `turn`, or forwards, and partly outside."""
        steps = ((1, -1) if turn % 2 else (-1, 1)) if turn else (0, 1)
        return Input(source, codes[source], (8,), (turn, *steps), fill)

    fills = (0xC0490FDB, 0xFFFFFFFE, 2**64 - 3, 1)
    for fn in Map:
        if fn == Map.QUANTISE:
            continue  # below, with exponents of its own
        for out, *kinds in signatures(fn):
            turns = ((3, fills), (6, (0,) * 4), (5, fills))
            operands = tuple(
                operand(codes.index(k), turn, fill[codes.index(k)])
                for k, (turn, fill) in zip(kinds, turns, strict=False)
            )
            nodes.append(Node(Kind.MAP, fn, out, (8, 8), operands))
    for s in range(3):
        for shape in ((8, 1), (4, 2), (1, 8)):
            rows = (Input(s, codes[s], shape),)
            nodes.append(Node(Kind.REDUCE, Reduce.MAX, codes[s], shape[:1], rows))
            nodes.append(Node(Kind.REDUCE, Reduce.ARGMAX, I64, shape[:1], rows))
    for shape in ((8, 1), (4, 2), (1, 8)):
        e = len(nodes)
        nodes.append(Node(Kind.REDUCE, Reduce.EXPONENT, I32, shape[:1], (Input(0, F32, shape),)))
        for width in (2, 8, 14, 20, 31):
            maps = Input(0, F32, shape, (0, 1, 0, 0, 0, 1)), Input(e, I32, shape[:1], (0, 1, 0))
            nodes.append(Node(Kind.MAP, Map.QUANTISE, I32, shape, maps, (width,)))
            q = Input(len(nodes) - 1, I32, shape)
            exponents = Input(e, I32, shape[:1])
            if width == 31:
                nodes.append(Node(Kind.REDUCE, Reduce.SUM, F32, shape[:1], (q, exponents)))
            else:
                m, k = shape
                operands = (q, exponents, q, exponents)
                nodes.append(Node(Kind.DOT, 0, F32, (m, m), operands, (1, m, m, k, width)))
                operands = (Input(q.node, I32, (m, k)), exponents) * 2
                nodes.append(Node(Kind.DOT, 0, F32, (m,), operands, (m, 1, 1, k, width)))
    for index in (1, 2):
        for s in range(4):
            operands = (Input(s, codes[s], (2, 2, 2)), Input(index, codes[index], (2, 4)))
            nodes.append(Node(Kind.GATHER, 0, codes[s], (2, 4, 2), operands, (2, 2, 4, 2)))
    finite = len(nodes)
    nodes.append(Node(Kind.MAP, Map.CONVERT, F32, (8,), (Input(1, I32, (8,), (0, 1)),)))
    for values in (0, finite):
        # indices outside and one that comes twice; rows that none reaches
        e = len(nodes)
        nodes.append(Node(Kind.REDUCE, Reduce.EXPONENT, I32, (1,), (Input(values, F32, (1, 8)),)))
        maps = Input(values, F32, (8,), (0, 3, 1)), Input(e, I32, (1,), (0, 0, 0))
        nodes.append(Node(Kind.MAP, Map.QUANTISE, I32, (2, 8), maps, (31,)))
        for index in (1, 2):
            for rows in (1, 8):
                q, where = Input(e + 1, I32, (2, 8)), Input(index, codes[index], (8,))
                inputs = (q, Input(e, I32, (1,)), where)
                nodes.append(Node(Kind.SCATTER, 0, F32, (rows, 2), inputs, (rows, 2, 8)))
    nodes.append(Node(Kind.SOURCE, Source.RANDOM, F32, (3, 5)))
    nodes.append(Node(Kind.SOURCE, Source.CONSTANT, I64, (1, 1), (), (2**64 - 5,)))
    nodes.append(Node(Kind.SOURCE, Source.IOTA, I32, (2, 3)))
    nodes.append(Node(Kind.SOURCE, Source.IOTA, I64, (6,)))
    outputs = (*range(4), *range(4, len(nodes)))
    return Program(tuple(nodes), outputs, ("f", "i", "l", "b")), state


def test_every_function_on_special_values_is_the_references():
    """Protects the corners: each function of every kind, out of bounds and on special values."""
    program, state = everything()
    functions = {(n.kind, n.fn) for n in program.nodes}
    assert {fn for kind, fn in functions if kind == Kind.MAP} == set(Map)
    assert {fn for kind, fn in functions if kind == Kind.REDUCE} == set(Reduce)
    assert {kind for kind, _ in functions} == set(Kind)
    follow(program, state, [])


@pytest.mark.parametrize("training", TRAININGS)
def test_the_fast_run_gives_the_traces_bits(training):
    """Protects a dispute: what was committed fast is what the trace says, step after step."""
    program, state, batch = training()
    for _ in range(5):
        trace = program.trace(state, batch)
        expected = program.split(trace)
        found = program.run(state, batch)
        assert same(found[0], expected[0]) and same(found[1], expected[1])
        state = found[0]


@pytest.mark.parametrize("name", [n for n in BACKENDS if n != "native" or compiles()])
@pytest.mark.parametrize("count", [1, 2])
def test_backends_and_threads_do_not_matter(monkeypatch, name, count):
    """Protects every host: the fastest way of another machine gives the same trace."""
    runs = []
    for backend, used in (("integer", 1), (name, count)):
        monkeypatch.setenv(ENVIRONMENT, backend)
        with threads(used):
            for training in TRAININGS:
                program, state, batch = training()
                runs.append(program.trace(state, batch))
                runs.append([t for part in program.run(state, batch) for t in part])
    half = len(runs) // 2
    for a, b in zip(runs[:half], runs[half:], strict=True):
        assert same(a, b)


def test_a_larger_step_does_not_depend_on_threads():
    """Protects steps that are large enough for torch to share out among its threads."""
    x, y = seeded(5, lambda: (torch.randn(200, 300), torch.randn(300, 190)))

    def make(b, views):
        y = b.dot(views[0], views[1].permute((1, 0)), 14)
        return [y, b.sum(b.map(Map.EXP, y), 0), b.reduce(Reduce.MAX, y, 1)]

    program = program_of(make, [x, y])
    found = []
    for count in (1, 2):
        with threads(count):
            found.append(program.run([x, y], [])[1])
    assert same(*found)


def test_a_run_changes_none_of_its_operands():
    """Protects states that a replay keeps: neither run nor trace writes to what it was given."""
    program, state, batch = attention()
    copies = [t.clone() for t in (*state, *batch)]
    program.run(state, batch)
    program.trace(state, batch)
    assert same([*state, *batch], copies)


def test_strided_operands_are_read_as_what_they_are():
    """Protects callers whose tensors are views of something larger."""
    program, state, batch = tiny()
    expected = program.run(state, batch)
    odd = [torch.stack([t, t + 1], -1)[..., 0] for t in state]
    x = torch.cat([batch[0], batch[0]], 1)[:, :5]
    found = program.run(odd, [x, torch.cat([batch[1][:1], batch[1]])[1:]])
    assert same(found[0], expected[0]) and same(found[1], expected[1])


def test_tampering_reaches_everything_after_it():
    """Protects the games' cheats: the tampered node and what reads it change, nothing before."""
    program, state, batch = tiny()
    honest = program.trace(state, batch)
    node = next(n for n, r in enumerate(program.nodes) if r.kind == Kind.DOT)
    bad = program.trace(state, batch, lambda n, t: t + 1 if n == node else t)
    assert same(honest[:node], bad[:node])
    assert not same(honest[node:], bad[node:])
    assert not same(program.split(honest)[0], program.split(bad)[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s[0].double(), "STATE 0 is torch.float64 of shape"),
        (lambda s: s[0][:1], "the program takes torch.float32 of shape"),
    ],
)
def test_operands_of_another_kind_are_refused(change, message):
    """Protects runs from a state that is not the program's."""
    program, state, batch = tiny()
    with pytest.raises(ValueError, match=message):
        program.run([change(state), *state[1:]], batch)


def test_a_coordinate_beyond_64_bits_does_not_wrap_into_the_operand():
    """Protects an honest worker from a map whose coordinates pass 2^64: they read the fill."""
    n = (1 << 24) + 2
    node = Node(Kind.MAP, Map.COPY, BOOL, (n,), (Input(0, BOOL, (4,), (0, 1 << 40), 1),))
    nodes = (Node(Kind.SOURCE, Source.STATE, BOOL, (4,), (), (0,)), node)
    program = Program(nodes, (0, 1), ("x",))
    (found,) = program.run([torch.zeros(4, dtype=torch.bool)], [])[1]
    assert not found[0] and bool(found[1:].all())


@pytest.mark.parametrize("fill", [2**53 + 1, 2**63 - 1, 2**63, 2**64 - 2**53 - 1])
@pytest.mark.parametrize("index_map", [(-1, 1), (4, -1), (3, -2), (-8, 5)])
def test_a_fill_of_64_bits_keeps_all_of_them(fill, index_map):
    """Protects honest workers: an integer on its way through a double loses its last bits, and the
    court, which has them, convicts whoever committed the rest."""
    nodes = (
        Node(Kind.SOURCE, Source.STATE, I64, (4,), (), (0,)),
        Node(Kind.MAP, Map.COPY, I64, (6,), (Input(0, I64, (4,), index_map, fill),)),
    )
    follow(Program(nodes, (0, 1), ("x",)), [torch.arange(4)], [])


def test_an_axis_of_one_element_may_have_any_stride():
    """Protects workers from a sound record whose unused stride overflows."""
    x = torch.arange(6.0).view(2, 3)
    operand = Input(0, F32, (2, 3), (1, 1 << 40, 0, 0, 1 << 40, 1))
    nodes = (
        Node(Kind.SOURCE, Source.STATE, F32, (2, 3), (), (0,)),
        Node(Kind.MAP, Map.COPY, F32, (1, 3), (operand,)),
    )
    follow(Program(nodes, (0, 1), ("x",)), [x], [])


@pytest.mark.parametrize(
    "fn", [f for f in Map if (F32, F32) in signatures(f)], ids=lambda f: f.name
)
def test_a_scalar_leaves_nothing_behind(fn):
    """Protects later steps from earlier ones: a function of a scalar, which indexes its tables as a
    view, must not write to them."""
    x = torch.tensor([0.25, 1.5, 2.5, 30.0, 1e4])

    def run(value: Tensor) -> list[Tensor]:
        program = program_of(lambda b, views: [b.map(fn, views[0])], [value])
        return program.run([value], [])[1]

    first = run(x)
    for scalar in x:
        run(scalar.clone())
    assert same(run(x), first)
