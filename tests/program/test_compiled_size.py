"""How native code grows with a program, and where its memory lies."""

from __future__ import annotations

import random

import pytest
import torch

from tests.program.helpers import program_of, same
from worker.program.codes import Map
from worker.program.compiled import CompiledExecutor
from worker.program.compiled.arena import ALIGNMENT, Lifetime, place
from worker.program.compiled.groups import Grouping, graph_of
from worker.program.compiled.source import FILE, files_of, step_source
from worker.program.execute import Moment

QUICK = ("-O1",)


def recurrent(steps: int):
    """A recurrent layer, unrolled: each step reads another slice, and draws its own numbers."""

    def make(builder, views):
        (x, w, h) = views
        for t in range(steps):
            row = x.slice(0, t, 1)
            h = builder.plain(builder.map(Map.ADD, h, row))
            h = builder.plain(builder.reshape(builder.dot(h, w, 20), (1, 32)))
            kept = builder.map(Map.MUL, builder.map(Map.TANH, h), builder.random((1, 32)))
            h = builder.plain(builder.map(Map.SUB, kept, builder.sum(kept, 1).unsqueeze(1)))
        return [h]

    return make


def unrolled(steps: int):
    state = [torch.randn(steps, 32), torch.randn(32, 32), torch.randn(1, 32)]
    return program_of(recurrent(steps), state), state


def test_steps_of_an_unrolled_layer_are_the_same_code():
    """Protects time: what a compiler is given does not grow with the length of a sequence."""
    short, long = (step_source(p.nodes, p.outputs) for p, _ in (unrolled(8), unrolled(40)))
    assert len(long.calls) > 4 * len(short.calls)
    assert set(long.walks) == set(short.walks)
    assert len(long.walks) < 8


def test_shared_code_reads_what_each_step_does():
    """Protects the bits: what one function does for many steps is each step's own."""
    program, state = unrolled(12)
    (executor,) = CompiledExecutor.several([(program.nodes, program.outputs)], QUICK)
    found = executor.run(state, [], Moment(3, 4))
    after, reports = program.interpret(state, [], seed=3, step=4)
    assert same(found, [*after, *reports])


def test_functions_are_in_files_of_bounded_length_each_once():
    """Protects a host's memory, and time where there are processors: no compiler gets it all."""

    def make(builder, views):
        (x,) = views
        return [
            builder.map(Map.TANH, builder.map(Map.MUL, x.slice(0, 0, n), x.slice(0, n, n)))
            for n in range(1, 120)
        ]

    program = program_of(make, [torch.randn(240)])
    source = step_source(program.nodes, program.outputs)
    files = files_of([source, source])
    assert len(files) > 2
    assert all(len(text) < 2 * FILE for text in files)
    for name in source.walks:
        assert sum(f"void {name}(" in text for text in files) == 1


def test_small_walks_see_the_default_rounding_too():
    """Protects results among the subnormals from a thread that flushes them."""
    program = program_of(lambda b, v: [b.map(Map.MUL, *v)], [torch.zeros(3), torch.zeros(3)])
    (executor,) = CompiledExecutor.several([(program.nodes, program.outputs)], QUICK)
    state = [torch.full((3,), 2.0**-70), torch.full((3,), 2.0**-65)]
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush subnormals")
    try:
        product = executor.run(state, [], Moment())[2]
    finally:
        torch.set_flush_denormal(False)
    assert product.tolist() == [2.0**-135] * 3


def plainly(lifetimes: list[Lifetime]) -> list[int]:
    """Each at the lowest free place, the largest first."""
    offsets: dict[int, int] = {}

    def size(i: int) -> int:
        return -(-lifetimes[i].size // ALIGNMENT) * ALIGNMENT

    def free(i: int, at: int) -> bool:
        return all(
            lifetimes[p].first > lifetimes[i].last
            or lifetimes[i].first > lifetimes[p].last
            or at + size(i) <= low
            or low + size(p) <= at
            for p, low in offsets.items()
        )

    for i in sorted(range(len(lifetimes)), key=lambda i: -lifetimes[i].size):
        ends = sorted({0, *(low + size(p) for p, low in offsets.items())})
        offsets[i] = next(at for at in ends if free(i, at))
    return [offsets[i] for i in range(len(lifetimes))]


def test_tensors_that_live_at_once_lie_apart_and_low():
    """Protects every value between: no tensor is written over one that is still read."""
    for seed in range(100):
        rng = random.Random(seed)
        lifetimes = []
        for _ in range(rng.randrange(30)):
            first = rng.randrange(20)
            size = rng.choice([1, 64, 65, 100, 4096, rng.randrange(1, 10000)])
            lifetimes.append(Lifetime(size, first, first + rng.randrange(10)))
        offsets, whole = place(lifetimes)
        assert offsets == plainly(lifetimes)
        ends = (at + life.size for at, life in zip(offsets, lifetimes, strict=True))
        assert whole >= max(ends, default=0)


def test_no_group_waits_for_what_waits_for_it():
    """Protects the order of a step: a node joins a group only where nothing that it needs does."""
    program, _ = unrolled(10)
    grouping = Grouping(graph_of(program.nodes, program.outputs))
    for g, needs in enumerate(grouping.needs):
        assert all(grouping.depth[h] < grouping.depth[g] for h in needs)
