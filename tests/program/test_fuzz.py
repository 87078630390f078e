"""Random programs: interpreter, native code, plain integers and the contracts agree on every bit.

`ASSAY_FUZZ=2000 ASSAY_SEED=7 python -m pytest tests/program/test_fuzz.py` tries as many programs as
one likes, from that seed on. What fails is printed as small as it could be made, with its seed.
"""

from __future__ import annotations

import os
import random
from enum import IntEnum
from functools import cache

import pytest
import torch

from tests import evm
from tests.program import fuzz
from tests.program.fuzz import Case
from tests.program.helpers import same
from tests.program.reference_run import reference_run
from tests.program.test_execute import plain
from worker import exact
from worker.dispute.commitments import CommittedList
from worker.dispute.openings import openings
from worker.program import Kind, Map, Reduce, Source
from worker.program.codes import I64, function_of
from worker.program.compiled import CompiledExecutor, Uncompilable
from worker.program.compiled.source import step_source
from worker.program.execute import Moment

PROGRAMS = int(os.environ.get("ASSAY_FUZZ", "48"))
FIRST = int(os.environ.get("ASSAY_SEED", "0"))
SEEDS = range(FIRST, FIRST + PROGRAMS)
TRIED = 3  # elements of a node that the contracts compute
QUICK = ("-O1",)


@cache
def case(seed: int) -> Case:
    return fuzz.case(seed)


def referees(given: Case) -> str | None:
    """What interpreter and plain integers differ in; None where they agree."""
    state, batch = list(given.state), given.computation.batch(given.step)
    trace = dict(given.computation.walk(state, given.step))
    expected = reference_run(
        given.program.nodes,
        [plain(t) for t in state],
        [plain(t) for t in batch],
        given.job.seed,
        given.step,
    )
    for n, right in enumerate(expected):
        if plain(trace[n]) != right:
            return f"node {n} is {plain(trace[n])}, and has to be {right}"
    after, reports = given.program.interpret(state, batch, seed=given.job.seed, step=given.step)
    if not same([*after, *reports], [trace[n] for n in given.program.outputs]):
        return "the fast run is not the traced one"
    return None


def contracts(given: Case) -> str | None:
    """What interpreter and contracts differ in, at some elements of every node."""
    rng = random.Random(given.seed)
    computation, program = given.computation, given.program
    tensors = [t for _, t in computation.walk(list(given.state), given.step)]
    trace, state, data = (CommittedList(t) for t in (tensors, given.state, given.data))
    context = (
        trace.tree.root, len(trace), given.job.state, len(state), given.job.data, len(data),
        given.job.rows, given.job.seed, given.step,
    )  # fmt: skip
    for n, node in enumerate(program.nodes):
        checker = checkers()[int(node.kind)]
        if checker.call("check", n, node.encoded) != node.count:
            return f"node {n} has another count on chain"
        ends = {0, node.count - 1, *(rng.randrange(node.count) for _ in range(TRIED - 2))}
        for element in sorted(ends):
            shown = openings(
                computation, given.step, node, element,
                trace=trace, trace_path=trace.tree.path, state=state, data=data,
            )  # fmt: skip
            given_openings = [o.to_abi() for o in shown]
            found = checker.call("recompute", context, n, node.encoded, element, given_openings)
            ours = plain(tensors[n].flatten()[element : element + 1])[0]
            if found != ours:
                return f"node {n}, element {element} is {ours:#x}, and on chain {found:#x}"
    return None


def native(given: Case, executor: CompiledExecutor | None = None) -> str | None:
    """What interpreter and native code differ in; run twice, as memory is used again."""
    if executor is None:
        (executor,) = CompiledExecutor.several(
            [(given.program.nodes, given.program.outputs)], QUICK
        )
    state, batch = list(given.state), given.computation.batch(given.step)
    after, reports = given.program.interpret(state, batch, seed=given.job.seed, step=given.step)
    for _ in range(2):
        found = executor.run(state, batch, Moment(given.job.seed, given.step))
        for k, (ours, right) in enumerate(zip(found, [*after, *reports], strict=True)):
            if not same([ours], [right]):
                return f"output {k} is {plain(ours)}, and has to be {plain(right)}"
    return None


@cache
def checkers() -> dict[int, evm.Contract]:
    names = ("Source", "Map", "Reduce", "Dot", "Gather", "Scatter")
    chain = evm.deploy("SourceChecker").evm
    return {k: evm.deploy(f"{name}Checker", evm=chain) for k, name in enumerate(names)}


def fail(given: Case, differs) -> None:
    """The failure, of the smallest program that still has it."""

    def fails(tried: Case) -> bool:
        try:
            return differs(tried) is not None
        except Uncompilable:
            return False

    small = fuzz.shrunk(given, fails)
    pytest.fail(f"{differs(small)}\n{small}", pytrace=False)


def test_programs_have_every_kind_function_and_dtype():
    """Protects the other tests here from a generator that leaves something out."""
    if FIRST or PROGRAMS < 48:
        pytest.skip("of the programs that are always tried")
    nodes = [n for seed in SEEDS for n in case(seed).program.nodes]
    tables: dict[Kind, type[IntEnum]] = {Kind.SOURCE: Source, Kind.MAP: Map, Kind.REDUCE: Reduce}
    every = {function_of(k, fn) for k, table in tables.items() for fn in table}
    assert {n.name for n in nodes} == every | {"DOT", "GATHER", "SCATTER"}
    maps = [i for n in nodes if n.kind == Kind.MAP for i in n.inputs]
    assert sum(i.dtype == I64 and (1 << 53) < i.fill < (1 << 64) - (1 << 53) for i in maps) > 20
    assert sum(any(v < 0 for v in i.map) for i in maps) > 200
    assert {len(n.shape) for n in nodes} >= set(range(7))


@pytest.mark.parametrize("part", range(4))
def test_the_interpreter_is_what_plain_integers_give(part):
    """Protects honest workers: what they commit to is the definition, whatever a program holds."""
    for seed in SEEDS[part::4]:
        if referees(case(seed)) is not None:
            fail(case(seed), referees)


@pytest.mark.parametrize("part", range(4))
def test_the_contracts_compute_what_the_interpreter_does(part):
    """Protects honest workers and the court: no element of an honest trace convicts."""
    for seed in SEEDS[part::4]:
        if contracts(case(seed)) is not None:
            fail(case(seed), contracts)


def test_native_code_gives_the_interpreters_bits():
    """Protects solvers, which commit to what native code has computed."""
    made: list[Case] = []
    for seed in SEEDS:
        given = case(seed)
        try:
            step_source(given.program.nodes, given.program.outputs)
        except Uncompilable:
            continue  # coordinates beyond 31 bits are the interpreter's
        made.append(given)
    assert len(made) > 0.6 * PROGRAMS
    for k in range(0, len(made), 48):
        some = made[k : k + 48]
        programs = [(c.program.nodes, c.program.outputs) for c in some]
        for given, executor in zip(some, CompiledExecutor.several(programs, QUICK), strict=True):
            if native(given, executor) is not None:
                fail(given, native)


def test_a_wrong_bit_is_found_and_made_small(monkeypatch):
    """Protects this file from passing whatever happens: a function that errs is caught, and what is
    printed holds it and little else."""
    right = torch.minimum
    monkeypatch.setitem(exact.INTEGER, "min", lambda a, b: right(a, b) ^ (a == 7).to(a.dtype))
    for seed in range(400):
        given = fuzz.case(seed)
        if any(n.name == "MAP.MINIMUM" for n in given.program.nodes) and referees(given):
            break
    small = fuzz.shrunk(given, lambda tried: referees(tried) is not None)
    made = [n.name for n in small.program.nodes if n.kind != Kind.SOURCE]
    assert made == ["MAP.MINIMUM"], made
    assert str(small).startswith(f"seed {seed}, step ")
