"""Native code of whole steps: the interpreter's bits, for everything that programs can hold."""

from __future__ import annotations

import sys

import pytest
import torch

from tests.program import cases, test_execute, test_families
from tests.program.helpers import program_of, same, threads
from tests.program.models import TRAININGS, attention, seeded
from tests.program.reference_run import reference_run
from worker.exact.native import NoCompiler, build
from worker.program import Input, Node, Program, Source
from worker.program.codes import F32, Kind, Map
from worker.program.compiled import CompiledExecutor, Uncompilable
from worker.program.execute import Moment

QUICK = ("-O1",)  # for hundreds of small programs; whole models are compiled as users' are


def ran(program: Program, executor: CompiledExecutor, state, batch, moment: Moment) -> None:
    """Native code and interpreter, side by side; and again with what the first run left."""
    for _ in range(2):
        found = executor.run(state, batch, moment)
        after, reports = program.interpret(state, batch, seed=moment.seed, step=moment.step)
        assert same(found, [*after, *reports])


def test_every_operator_gives_the_interpreters_bits():
    """Protects solvers: whatever PyTorch operator a step holds, its native code computes the node
    that the court would try."""
    names, programs, states = zip(*cases.programs(), strict=True)
    executors = CompiledExecutor.several([(p.nodes, p.outputs) for p in programs], QUICK)
    moment = Moment(seed=7, step=3)
    for program, executor, state, name in zip(programs, executors, states, names, strict=True):
        found = executor.run(state, [], moment)
        after, reports = program.interpret(state, [], seed=7, step=3)
        assert same(found, [*after, *reports]), name


def test_every_function_on_special_values_through_maps_that_lead_out_of_bounds():
    """Protects solvers: fills, negative strides, subnormals, infinities and NaNs."""
    program, state = test_execute.everything()
    (executor,) = CompiledExecutor.several([(program.nodes, program.outputs)], QUICK)
    ran(program, executor, state, [], Moment(2**63 + 5, 2))


@pytest.mark.parametrize("name", ["residual", "gpt, tanh", "recurrent"])
def test_a_family_trains_to_the_same_bits(name):
    """Protects whole trainings: three steps as users run them, with one thread and with two."""
    course = test_families.train(test_families.FAMILIES[name], steps=1)
    program, batch = course.program, course.batch
    program.compile()
    assert program.is_compiled
    state = course.first
    for step in range(3):
        expected = program.interpret(state, batch, seed=5, step=step)
        for count in (1, 2):
            with threads(count):
                found = program.run(state, batch, seed=5, step=step)
            assert same(found[0], expected[0]) and same(found[1], expected[1])
        state = found[0]


def test_every_family_steps_to_the_same_bits():
    """Protects whole trainings of every family, in their first and second step."""
    courses = [test_families.train(f, steps=1) for f in test_families.FAMILIES.values()]
    programs = [(c.program.nodes, c.program.outputs) for c in courses]
    for course, executor in zip(courses, CompiledExecutor.several(programs, QUICK), strict=True):
        for state in (course.first, course.last):
            ran(course.program, executor, state, course.batch, Moment(5, 1))


def test_small_trainings_are_the_references():
    """Protects the definition itself: native code against plain integers, scalar by scalar."""
    for training in TRAININGS:
        program, state, batch = training()
        program.compile()
        expected = reference_run(
            program.nodes,
            [test_execute.plain(t) for t in state],
            [test_execute.plain(t) for t in batch],
            9,
            1,
        )
        after, reports = program.run(state, batch, seed=9, step=1)
        found = [test_execute.plain(t) for t in (*after, *reports)]
        assert found == [expected[n] for n in program.outputs]


def test_steps_that_overflow_stay_equal():
    """Protects diverging trainings: rows that are not finite take the same way."""
    program, state, batch = seeded(3, attention)
    (executor,) = CompiledExecutor.several([(program.nodes, program.outputs)])
    for factor in (1e30, 1e-30, 1.0):
        grown = [t * factor if t.is_floating_point() else t for t in state]
        ran(program, executor, grown, batch, Moment(1, 1))
    spoilt = [t.clone() for t in state]
    spoilt[0].view(-1)[3], spoilt[1].view(-1)[0] = float("nan"), float("inf")
    ran(program, executor, spoilt, batch, Moment(1, 1))


def big(builder, views):
    """Walks in many tasks: rows along memory and across it, one long loop, a transposed copy."""
    (x, y) = views
    rows = builder.sum(builder.map(Map.EXP, x), 1)
    columns = builder.sum(builder.map(Map.MUL, x, y), 0)
    shifted = builder.map(Map.SUB, x, rows.unsqueeze(1))
    return [
        rows,
        columns,
        builder.map(Map.ADD, shifted, columns.unsqueeze(0)),
        builder.map(Map.TANH, x.permute((1, 0))),
        builder.dot(x, y, 14),
        builder.map(Map.NEG, builder.dot(y.permute((1, 0)), x.permute((1, 0)), 14).permute((1, 0))),
    ]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_walks_in_many_tasks_do_not_depend_on_threads(count):
    """Protects speed from being paid for in bits: tasks, blocks and remainders meet exactly."""
    state = [torch.randn(517, 333), torch.randn(517, 333)]
    program = program_of(big, state)
    (executor,) = CompiledExecutor.several([(program.nodes, program.outputs)])
    with threads(count):
        ran(program, executor, state, [], Moment())


def test_a_run_changes_none_of_its_operands_and_hands_sources_through():
    """Protects the state before a step, which a dispute reads again."""
    program, state, batch = TRAININGS[0]()
    program.compile()
    before = [t.clone() for t in (*state, *batch)]
    program.run(state, batch)
    assert same([*state, *batch], before)


def test_operands_of_another_kind_are_refused():
    """Protects memory: native code never reads a tensor that is not what the program takes."""
    program, state, batch = TRAININGS[0]()
    program.compile()
    with pytest.raises(ValueError, match=r"STATE 0 is .* the program takes"):
        program.run([state[0].double(), *state[1:]], batch)
    with pytest.raises(ValueError, match=r"STATE 0 is .* the program takes"):
        program.run([state[0].flatten()[:-1], *state[1:]], batch)


def test_strided_operands_are_read_as_what_they_are():
    program, state, batch = TRAININGS[0]()
    program.compile()
    strided = [t.repeat_interleave(2, dim=-1)[..., ::2] for t in state]
    assert same(program.run(strided, batch)[0], program.interpret(state, batch)[0])


def test_without_a_compiler_the_reason_and_the_remedy_are_named(monkeypatch):
    """Protects hosts without a compiler: they learn what to install, and can still interpret."""
    build.compiler.cache_clear()
    monkeypatch.setenv("CC", "/no/such/compiler")
    program, state, batch = TRAININGS[0]()
    try:
        with pytest.raises(NoCompiler, match=r"no/such/compiler: not found.*Install one"):
            CompiledExecutor.several([(program.nodes, program.outputs)], ("-O0",))
    finally:
        build.compiler.cache_clear()
    program.run(state, batch)


def test_without_triton_a_gpu_is_refused_with_the_remedy(monkeypatch):
    """Protects hosts whose torch has no Triton: they learn what to install, and the CPU serves."""
    monkeypatch.setitem(sys.modules, "worker.program.gpu.executor", None)
    program, state, batch = TRAININGS[0]()
    with pytest.raises(NoCompiler, match=r"Triton.*pip install triton"):
        program.compile("cuda:0")
    program.run(state, batch)


def test_coordinates_beyond_31_bits_are_left_to_the_interpreter():
    """Protects from wrong code: what the compiler does not take it refuses."""
    far = Input(0, F32, (4, 1), (0, 1, 0, 1 << 33), 0)
    nodes = (
        Node(Kind.SOURCE, Source.STATE, F32, (4,), (), (0,)),
        Node(Kind.MAP, Map.COPY, F32, (4,), (far,)),
    )
    program = Program(nodes, (0, 1), ("x",))
    with pytest.raises(Uncompilable, match="31 bits"):
        program.compile()
    assert not program.is_compiled
    assert program.run([torch.ones(4)], [])[1][0].tolist() == [1.0, 0.0, 0.0, 0.0]


def test_random_numbers_are_the_interpreters():
    """Protects dropout: the same numbers by seed, step and node."""
    program = program_of(lambda b, v: [b.random((3, 7)), b.random((40000,))], [torch.zeros(1)])
    assert any(n.kind == Kind.SOURCE and n.fn == Source.RANDOM for n in program.nodes)
    (executor,) = CompiledExecutor.several([(program.nodes, program.outputs)])
    for moment in (Moment(0, 0), Moment(2**64 - 1, 2**32 - 1)):
        ran(program, executor, [torch.zeros(1)], [], moment)
