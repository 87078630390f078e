"""A job's computation as native code, once it has shown that its bits are right on this host."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from worker.exact import canonical
from worker.exact.native import CompileError, NoCompiler
from worker.jobs.computation import Computation
from worker.program import Program, Uncompilable

log = logging.getLogger(__name__)


class NativeComputation(Computation):
    """Runs steps as compiled native code where the host can, and as the interpreter where not.

    A wrong bit costs a solver its stake, and a compiler is large: the first step is computed both
    ways, and native code that differs in any bit is never used. Either choice is logged.
    """

    _trusted: bool | None = None

    def advance(self, state: Sequence[Tensor], step: int) -> tuple[list[Tensor], list[Tensor]]:
        if self._trusted is None:
            return self._first(state, step)
        run = self.program.run if self._trusted else self.program.interpret
        return run(state, self.batch(step), seed=self.job.seed, step=step)

    def _first(self, state: Sequence[Tensor], step: int) -> tuple[list[Tensor], list[Tensor]]:
        batch, seed = self.batch(step), self.job.seed
        expected = self.program.interpret(state, batch, seed=seed, step=step)
        self._trusted = False
        if not compiled(self.program):
            return expected
        found = self.program.run(state, batch, seed=seed, step=step)
        if same_bits([*found[0], *found[1]], [*expected[0], *expected[1]]):
            self._trusted = True
            log.debug("step %d is the same natively and interpreted", step)
        else:
            log.error(
                "native code of program %s gives other bits than the interpreter at step %d; it is "
                "not used. Please report this, with the compiler's version.",
                self.program.root.hex(),
                step,
            )
        return expected


def compiled(program: Program) -> bool:
    """Compiles a program's step where that can be done; the log says why it could not."""
    try:
        program.compile()
    except (NoCompiler, Uncompilable, CompileError, OSError) as error:
        log.warning("steps are interpreted, several times slower: %s", error)
    return program.is_compiled


def same_bits(a: Sequence[Tensor], b: Sequence[Tensor]) -> bool:
    """Whether tensors are equal in dtype, count and bits, any NaN being the one NaN."""
    return len(a) == len(b) and all(
        x.dtype == y.dtype and torch.equal(_bits(x), _bits(y)) for x, y in zip(a, b, strict=True)
    )


def _bits(tensor: Tensor) -> Tensor:
    flat = tensor.reshape(-1)
    return canonical(flat).view(torch.int32) if flat.is_floating_point() else flat
