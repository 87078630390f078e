"""Random well-formed programs in kernels: the interpreter's bits, whatever a program holds.

`ASSAY_FUZZ=2000 ASSAY_SEED=7 python -m pytest tests/gpu/test_fuzz.py` tries as many as one likes,
from that seed on. What fails is printed as small as it could be made, with its seed.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
import torch

pytest.importorskip("triton", reason="Triton comes with PyTorch's builds for GPUs")

from tests.program import fuzz
from tests.program.fuzz import Case
from tests.program.helpers import same
from tests.program.test_execute import plain
from tests.program.test_fuzz import fail
from worker.program.compiled import Uncompilable
from worker.program.execute import Moment
from worker.program.gpu.executor import GpuExecutor
from worker.program.gpu.plan import plan_of

ON_GPU = torch.cuda.is_available()
FIRST = int(os.environ.get("ASSAY_SEED", "0"))
PROGRAMS = int(os.environ.get("ASSAY_FUZZ", "400" if ON_GPU else "16"))
MOST_NODES = 64 if ON_GPU else 16
"""Interpreted kernels are slow: there small programs alone."""


def differs_on(device: torch.device) -> Callable[[Case], str | None]:
    """What interpreter and kernels differ in; run twice, as memory is used again."""

    def differs(given: Case) -> str | None:
        program, moment = given.program, Moment(given.job.seed, given.step)
        executor = GpuExecutor(program.nodes, program.outputs, device)
        state, batch = list(given.state), given.computation.batch(given.step)
        after, reports = program.interpret(state, batch, seed=moment.seed, step=moment.step)
        there = [[t.to(device) for t in tensors] for tensors in (state, batch)]
        for _ in range(2):
            found = [t.cpu() for t in executor.run(*there, moment)]
            for k, (ours, right) in enumerate(zip(found, [*after, *reports], strict=True)):
                if not same([ours], [right]):
                    return f"output {k} is {plain(ours)}, and has to be {plain(right)}"
        return None

    return differs


def programs(count: int) -> list[Case]:
    """The first ones that kernels take; of what they cannot, the interpreter is in charge."""
    found: list[Case] = []
    for seed in range(FIRST, FIRST + 20 * count):
        given = fuzz.case(seed)
        if len(given.program.nodes) > MOST_NODES:
            continue
        try:
            plan_of(given.program.nodes, given.program.outputs, processors=1)
        except Uncompilable:
            continue
        found.append(given)
        if len(found) == count:
            return found
    raise AssertionError(f"{len(found)} of {20 * count} programs are taken")


def test_kernels_give_the_interpreters_bits(device):
    """Protects whoever computes on a GPU: extreme values, maps that lead anywhere, all dtypes."""
    differs = differs_on(device)
    for given in programs(PROGRAMS):
        if differs(given) is not None:
            fail(given, differs)
