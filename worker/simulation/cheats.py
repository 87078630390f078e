"""Computations that are wrong in one place and consistent with it ever after."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import torch
from torch import Tensor

from worker.chain.types import Job
from worker.jobs import Computation, ComputationOf
from worker.program import Program, Tamper


def flipped(tensor: Tensor, element: int, bit: int = 0) -> Tensor:
    """A copy with one bit of one element (row-major) flipped; a bool is negated."""
    copy = tensor.clone().contiguous()
    flat = copy.view(-1)
    if flat.dtype == torch.bool:
        flat[element] = ~flat[element]
    else:
        integers = flat.view(torch.int64 if flat.element_size() == 8 else torch.int32)
        integers[element] ^= 1 << bit
    return copy


class WrongElement(Computation):
    """One element of one node in one step is wrong; all that follows is computed from it."""

    def __init__(
        self,
        job: Job,
        program: Program,
        data: Sequence[Tensor],
        *,
        step: int,
        node: int,
        element: int,
        bit: int = 0,
    ) -> None:
        super().__init__(job, program, data)
        self.step, self.node, self.element, self.bit = step, node, element, bit

    @classmethod
    def at(cls, *, step: int, node: int, element: int, bit: int = 0) -> ComputationOf:
        """For a worker's `computation_of`."""
        return lambda job, program, data: cls(
            job, program, data, step=step, node=node, element=element, bit=bit
        )

    def _tamper(self, node: int, value: Tensor) -> Tensor:
        return flipped(value, self.element, self.bit) if node == self.node else value

    def advance(self, state: Sequence[Tensor], step: int) -> tuple[list[Tensor], list[Tensor]]:
        if step != self.step:
            return super().advance(state, step)
        return self.program.split(dict(self.walk(state, step, self.program.outputs)))

    def walk(
        self,
        state: Sequence[Tensor],
        step: int,
        wanted: Collection[int] | None = None,
        tamper: Tamper | None = None,
    ) -> Iterator[tuple[int, Tensor]]:
        return super().walk(state, step, wanted, self._tamper if step == self.step else tamper)


class WrongState(Computation):
    """One element of one tensor of S_{step+1} is not what the step's right trace produced."""

    def __init__(
        self,
        job: Job,
        program: Program,
        data: Sequence[Tensor],
        *,
        step: int,
        tensor: int,
        element: int,
    ) -> None:
        super().__init__(job, program, data)
        self.step, self.tensor, self.element = step, tensor, element

    @classmethod
    def at(cls, *, step: int, tensor: int, element: int) -> ComputationOf:
        """For a worker's `computation_of`."""
        return lambda job, program, data: cls(
            job, program, data, step=step, tensor=tensor, element=element
        )

    def advance(self, state: Sequence[Tensor], step: int) -> tuple[list[Tensor], list[Tensor]]:
        after, report = super().advance(state, step)
        if step == self.step:
            after[self.tensor] = flipped(after[self.tensor], self.element)
        return after, report


class WrongReport(Computation):
    """The report of one step is not what its right trace produced."""

    def __init__(
        self, job: Job, program: Program, data: Sequence[Tensor], *, step: int, report: int = 0
    ) -> None:
        super().__init__(job, program, data)
        self.step, self.report = step, report

    @classmethod
    def at(cls, *, step: int, report: int = 0) -> ComputationOf:
        """For a worker's `computation_of`."""
        return lambda job, program, data: cls(job, program, data, step=step, report=report)

    def advance(self, state: Sequence[Tensor], step: int) -> tuple[list[Tensor], list[Tensor]]:
        after, report = super().advance(state, step)
        if step == self.step:
            report[self.report] = flipped(report[self.report], 0)
        return after, report
