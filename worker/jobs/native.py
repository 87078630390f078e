"""A job's computation as native code, once it has shown that its bits are right on this host."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

import torch
from torch import Tensor

from worker.chain.types import Job
from worker.exact import canonical
from worker.exact.native import CompileError, NoCompiler
from worker.jobs.computation import Computation, Progress, SegmentResult
from worker.jobs.sampling import rows_of_step
from worker.program import Kind, Program, Source, Uncompilable

log = logging.getLogger(__name__)

CPU = torch.device("cpu")
RESIDENT = 1 << 31
"""Bytes of a data set that are kept on a GPU; of a larger one each step's rows are sent there."""


class NativeComputation(Computation):
    """Runs steps as native code where the host can, and as the interpreter where not.

    device: where steps run; states and reports are taken and returned on the CPU. A wrong bit costs
    a solver its stake, and a compiler is large: the first step is interpreted on the CPU as well,
    and native code that differs in any bit is never used. Where a GPU's code is not to be had, or
    not right, the CPU's is tried. Whatever is left out is logged, with the reason.
    """

    def __init__(
        self, job: Job, program: Program, data: Sequence[Tensor], device: torch.device = CPU
    ) -> None:
        super().__init__(job, program, data)
        self.device = device
        self._lock = threading.Lock()  # one step at a time: what it returns is read before the next
        self._trusted: torch.device | None = None  # where native code has shown its bits
        self._tried = False
        # the last state as it stands on the GPU, by its tensors on the CPU; and a small data set
        self._there: list[tuple[Tensor, int, Tensor]] = []
        self._resident: list[Tensor] = []
        made = [program.nodes[n] for n in program.outputs[: program.state_count]]
        self._handed_on = [
            (n.kind, n.fn, n.attributes) == (Kind.SOURCE, Source.STATE, (i,))
            for i, n in enumerate(made)
        ]

    def advance(self, state: Sequence[Tensor], step: int) -> tuple[list[Tensor], list[Tensor]]:
        with self._lock:
            if not self._tried:
                return self._first(state, step)
            after, reports = self._step(self._sent(state), step)
            return self._returned(state, after), reports

    def run_steps(
        self, steps: range, state: Sequence[Tensor], progress: Progress | None = None
    ) -> SegmentResult:
        """Steps one after another; between them the state stays where it is computed."""
        current, reports = list(state), []
        there: list[Tensor] = []
        for done, step in enumerate(steps, start=1):
            with self._lock:
                if not self._tried:
                    current, report = self._first(current, step)
                else:
                    if not there:
                        there, self._there = self._sent(current), []
                    there, report = self._step(there, step, donate=True)
            reports.append(report)
            if progress is not None:
                progress(done)
        with self._lock:
            return SegmentResult(self._returned(current, there) if there else current, reports)

    # one step, where it runs

    @property
    def _where(self) -> torch.device:
        return self._trusted or CPU

    def _step(
        self, state: Sequence[Tensor], step: int, donate: bool = False
    ) -> tuple[list[Tensor], list[Tensor]]:
        batch, seed = self._batch(step), self.job.seed
        if self._trusted is None:
            return self.program.interpret(state, batch, seed=seed, step=step)
        after, reports = self.program.run(state, batch, seed=seed, step=step, donate=donate)
        return after, [t.to(CPU) for t in reports]

    def _batch(self, step: int) -> list[Tensor]:
        if self._resident and self.batch_rows:
            rows = rows_of_step(self.job.seed, self.job.rows, self.batch_rows, step)
            rows = rows.to(self._where)
            return [t[rows] for t in self._resident]
        return [t.to(self._where) for t in self.batch(step)]

    def _sent(self, state: Sequence[Tensor]) -> list[Tensor]:
        """A state where steps run; what was returned from there, and not changed, stands there."""
        if self._where.type == "cpu":
            return list(state)
        known = {id(t): there for t, version, there in self._there if version == t._version}
        return [known[id(t)] if id(t) in known else t.to(self._where) for t in state]

    def _returned(self, before: Sequence[Tensor], after: Sequence[Tensor]) -> list[Tensor]:
        """A state on the CPU. A tensor that steps hand on is the one that came in, so that it is
        seen not to need another hash."""
        if self._where.type == "cpu":
            return list(after)
        back = [
            b.view(a.shape) if same else a.to(CPU)
            for b, a, same in zip(before, after, self._handed_on, strict=True)
        ]
        self._there = [(t, t._version, a) for t, a in zip(back, after, strict=True)]
        return back

    # whether native code is right

    def _first(self, state: Sequence[Tensor], step: int) -> tuple[list[Tensor], list[Tensor]]:
        batch, seed = self.batch(step), self.job.seed
        expected = self.program.interpret(state, batch, seed=seed, step=step)
        self._tried = True
        for device in dict.fromkeys((self.device, CPU)):
            if compiled(self.program, device) and self._is_right(state, step, device, expected):
                self._trusted = device
                if device.type != "cpu":
                    self._settle()
                break
        return expected

    def _is_right(
        self,
        state: Sequence[Tensor],
        step: int,
        device: torch.device,
        expected: tuple[list[Tensor], list[Tensor]],
    ) -> bool:
        batch = [t.to(device) for t in self.batch(step)]
        try:
            sent = [t.to(device) for t in state]
            seed = self.job.seed
            found = self.program.run(sent, batch, seed=seed, step=step, donate=device.type != "cpu")
            del sent
        except Exception as error:
            if device.type == "cpu":
                raise
            # a driver, a compiler or a lack of memory: the CPU can do without all of them
            log.error("steps do not run on %s: %s: %s", device, type(error).__name__, error)
            return False
        back = [t.to(CPU) for part in found for t in part]
        if same_bits(back, [*expected[0], *expected[1]]):
            log.debug("step %d is the same on %s and interpreted", step, device)
            if device.type != "cpu":  # where the next step finds it
                self._there = [
                    (t, t._version, a) for t, a in zip(expected[0], found[0], strict=True)
                ]
            return True
        self.differs = True
        log.error(
            "native code of program %s on %s gives other bits than the interpreter at step %d; it "
            "is not used. Please report this, with the compiler's version.",
            self.program.root.hex(),
            device,
            step,
        )
        return False

    def _settle(self) -> None:
        """Keeps the data set on the GPU where it is small."""
        if sum(t.numel() * t.element_size() for t in self.data) <= RESIDENT:
            self._resident = [t.to(self._where) for t in self.data]


def compiled(program: Program, device: torch.device = CPU) -> bool:
    """Compiles a program's step where that can be done; the log says why it could not."""
    try:
        program.compile(device)
    except (NoCompiler, Uncompilable, CompileError, OSError) as error:
        if device.type == "cpu":
            log.warning("steps are interpreted, several times slower: %s", error)
        else:
            log.warning("steps do not run on %s: %s", device, error)
        return False
    return True


def same_bits(a: Sequence[Tensor], b: Sequence[Tensor]) -> bool:
    """Whether tensors are equal in dtype, count and bits, any NaN being the one NaN."""
    return len(a) == len(b) and all(
        x.dtype == y.dtype and torch.equal(_bits(x), _bits(y)) for x, y in zip(a, b, strict=True)
    )


def _bits(tensor: Tensor) -> Tensor:
    flat = tensor.reshape(-1)
    return canonical(flat).view(torch.int32) if flat.is_floating_point() else flat
