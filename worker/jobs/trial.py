"""A job's first steps, run for real before anything is sent: do they work, and how long do they
take?"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.jobs.computation import Computation
from worker.jobs.indices import check_step
from worker.jobs.native import compiled, same_bits
from worker.jobs.rules import JobDefinition
from worker.program import Kind, Map, Program, Reduce
from worker.program.fingerprint import NAME as FINGERPRINT

log = logging.getLogger(__name__)

MOST_STEPS = 4
LONG_ENOUGH = 5.0  # seconds to spend on steps that are timed


Results = tuple[list[Tensor], list[Tensor]]  # the next state, and the reports


class NotFinite(ValueError):
    """A step gives a NaN or an infinity; says which step, what, and the line that it comes from."""


@dataclass(frozen=True)
class Trial:
    """What the first steps gave, and took."""

    reports: list[list[Tensor]]
    step_seconds: float  # of the fastest step
    native: bool  # it ran as native code, not interpreted
    compile_seconds: float
    interpreted_seconds: float  # of the first step, and of looking at its data


def first_step(definition: JobDefinition, program: Program) -> tuple[Computation, Results]:
    """Looks at every index in the data set, and interprets the first step: the job's computation,
    and what the step gives.

    Raises JobMismatch, OutOfRange and NotFinite.
    """
    computation = Computation(definition.job(program), program, definition.tensors)
    definition.check_indices(program)
    state = definition.initial_state()
    check_step(computation, state, 0)
    results = _interpreted(computation, state, 0)
    _check_finite(definition, computation, state, 0, results)
    return computation, results


def tried(definition: JobDefinition, program: Program) -> Trial:
    """The same, then some steps more, as native code where this host can. Raises what `first_step`
    raises."""
    start = time.perf_counter()
    computation, expected = first_step(definition, program)
    interpreted_seconds = time.perf_counter() - start
    first = definition.initial_state()
    start = time.perf_counter()
    native = compiled(program)
    compile_seconds = time.perf_counter() - start if native else 0.0
    if native and not same_bits(_flat(computation.advance(first, 0)), _flat(expected)):
        log.error(
            "native code of program %s gives other bits than the interpreter on this machine. "
            "Please report this, with the compiler's version.",
            program.root.hex(),
        )
        native = False
    advance = Computation.advance if native else _interpreted
    (state, report), times = expected, []
    reports = [report]
    for step in range(1, min(MOST_STEPS, computation.job.steps)):
        start = time.perf_counter()
        after, report = advance(computation, state, step)
        times.append(time.perf_counter() - start)
        _check_finite(definition, computation, state, step, (after, report))
        state = after
        reports.append(report)
        if sum(times) > LONG_ENOUGH:
            break
    if not times:  # a job of one step
        start = time.perf_counter()
        advance(computation, first, 0)
        times.append(time.perf_counter() - start)
    return Trial(reports, min(times), native, compile_seconds, interpreted_seconds)


def _interpreted(computation: Computation, state: Sequence[Tensor], step: int) -> Results:
    batch, seed = computation.batch(step), computation.job.seed
    return computation.program.interpret(state, batch, seed=seed, step=step)


def _flat(results: Results) -> list[Tensor]:
    return [*results[0], *results[1]]


# what is no number


def _check_finite(
    definition: JobDefinition,
    computation: Computation,
    before: Sequence[Tensor],
    step: int,
    results: Results,
) -> None:
    """Raises NotFinite where a loss is no number, a report has a NaN, or a tensor of the state has
    lost its numbers."""
    program = computation.program
    after, report = results
    *own, fingerprint = report
    for k, (name, tensor) in enumerate(
        zip(definition.report_names(program), own, strict=True), start=program.state_count
    ):
        # answers may well be infinite, as what a mask hides; a loss may not
        if _kind(tensor) == "nan" or (_kind(tensor) and definition.reports_losses):
            _refuse(computation, before, step, k, f"{name} is {_kind(tensor)}")
    for k, (name, old, new) in enumerate(zip(program.state_names, before, after, strict=True)):
        if _kind(new) and not _kind(old):
            _refuse(computation, before, step, k, f"{name} holds {_kind(new)} after it")
    if _kind(fingerprint):
        # of what neither says: anyone could name it
        _refuse(computation, before, step, len(program.outputs) - 1, f"{FINGERPRINT} is nan")


def _kind(tensor: Tensor) -> str:
    """What is no number in it: nan, inf, or nothing."""
    if not tensor.is_floating_point() or torch.isfinite(tensor).all():
        return ""
    return "nan" if tensor.isnan().any() else "inf"


def _refuse(
    computation: Computation, state: Sequence[Tensor], step: int, output: int, what: str
) -> None:
    """Raises NotFinite with the node that made the first of what led to an output."""
    program = computation.program
    kinds: dict[int, str] = {}
    for n, value in computation.walk(state, step):
        node = program.nodes[n]
        # a sum's and a product's integers and exponents stand for the floats that they are made of
        of_floats = (node.kind, node.fn) in (
            (Kind.MAP, Map.QUANTISE),
            (Kind.REDUCE, Reduce.EXPONENT),
        )
        kinds[n] = kinds[node.inputs[0].node] if of_floats else _kind(value)
    at = program.outputs[output]
    while True:
        operands = [i.node for i in program.nodes[at].inputs]
        # a NaN is sought first: infinities are often meant, as where attention is masked
        following = next((o for kind in ("nan", "inf") for o in operands if kinds[o] == kind), None)
        if following is None:
            break
        at = following
    origin = " at ".join(part for part in program.origin(at).split("  ") if part)
    raise NotFinite(
        f"step {step}: {what}, which comes from {origin or program.nodes[at].name}: bound what is "
        "computed there (clamp, a small number added, a mask), or mend the data that leads to it"
    )
