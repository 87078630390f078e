"""A job's computation: any step of it, and any state on the way."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from torch import Tensor

from worker.chain.types import Job
from worker.commit import state_root
from worker.jobs.sampling import MAX_DATA_TENSORS, MAX_ROWS, rows_of_step
from worker.program import Kind, Program, Source, Tamper
from worker.program.codes import DTYPES

Progress = Callable[[int], None]  # told how many steps are done

MARKING = 0.1  # of a segment's time may go to the roots of its interior states


class JobMismatch(ValueError):
    """A job that names one thing and holds another; no worker accepts it."""


@dataclass(frozen=True)
class SegmentResult:
    """What a segment gives: the state at its end and every step's report.

    roots: of states on the way, by their steps, as far as they were asked for and cost little.
    """

    state: list[Tensor]
    reports: list[list[Tensor]]
    roots: dict[int, bytes] = field(default_factory=dict)


class Computation:
    """Steps of one job, as the program, the data set and the seed determine them.

    data: the data set's tensors; the first axis of each counts its rows. Raises JobMismatch where
    they do not fit the job or the program.
    """

    def __init__(self, job: Job, program: Program, data: Sequence[Tensor]) -> None:
        self.job, self.program, self.data = job, program, list(data)
        _check(job, program, self.data)
        batches = [n for n in program.nodes if n.kind == Kind.SOURCE and n.fn == Source.BATCH]
        self.batch_rows = batches[0].attributes[1] if batches else 0

    differs = False
    """Whether code that was made for this machine has other bits than the interpreter."""

    def batch(self, step: int) -> list[Tensor]:
        """The rows of every data tensor that `step` sees."""
        if not self.batch_rows:
            return []
        rows = rows_of_step(self.job.seed, self.job.rows, self.batch_rows, step)
        return [t[rows] for t in self.data]

    def advance(self, state: Sequence[Tensor], step: int) -> tuple[list[Tensor], list[Tensor]]:
        """S_{step+1} and the report of `step`, from S_step."""
        return self.program.run(state, self.batch(step), seed=self.job.seed, step=step)

    def walk(
        self,
        state: Sequence[Tensor],
        step: int,
        wanted: Collection[int] | None = None,
        tamper: Tamper | None = None,
    ) -> Iterator[tuple[int, Tensor]]:
        """Every node's number and output in `step`, from S_step, or those of the wanted nodes."""
        batch, seed = self.batch(step), self.job.seed
        return self.program.walk(state, batch, tamper, wanted, seed=seed, step=step)

    def run_segment(
        self,
        segment: int,
        state: Sequence[Tensor],
        progress: Progress | None = None,
        points: Sequence[int] = (),
    ) -> SegmentResult:
        """All steps of a segment, from the state at its start.

        points: steps inside the segment, in order, whose states are committed to on the way, at no
        more than MARKING of the time: where a state takes longer to hash than steps to compute,
        only every so many of them.
        """
        steps = self.job.segment_range(segment)
        current, reports, roots = list(state), [], dict[int, bytes]()
        at, left = steps.start, list(points)
        while True:
            end = left.pop(0) if left else steps.stop
            began = time.perf_counter()
            told = _after(at - steps.start, progress)
            result = self.run_steps(range(at, end), current, told)
            ran = time.perf_counter()
            reports += result.reports
            if end == steps.stop:
                return SegmentResult(result.state, reports, roots)
            same = bool(roots) and untouched(current, result.state)
            roots[end] = roots[at] if same else state_root(result.state)
            every = math.ceil((time.perf_counter() - ran) / (MARKING * max(ran - began, 1e-9)))
            at, current, left = end, result.state, left[max(0, every - 1) :]

    def run_steps(
        self, steps: range, state: Sequence[Tensor], progress: Progress | None = None
    ) -> SegmentResult:
        """Steps one after another. progress: told after each how many are done."""
        current, reports = list(state), []
        for done, step in enumerate(steps, start=1):
            current, report = self.advance(current, step)
            reports.append(report)
            if progress is not None:
                progress(done)
        return SegmentResult(current, reports)


ComputationOf = Callable[[Job, Program, Sequence[Tensor]], Computation]


class Replay:
    """States inside one segment, recomputed when a dispute asks for them.

    Keeps the segment's first state and the last one that was asked for, and of the others as many
    as `most_bytes` holds, evenly spread: so a dispute that divides an interval again and again
    computes each step a small number of times, and whatever it asks for takes no more memory.

    between: called after every step. roots: what is known of the segment's states already.
    """

    def __init__(
        self,
        computation: Computation,
        segment: int,
        first: Sequence[Tensor],
        most_bytes: int = 1 << 32,
        between: Callable[[], None] = lambda: None,
        roots: Mapping[int, bytes] | None = None,
    ) -> None:
        self.computation, self.between = computation, between
        self.steps = computation.job.segment_range(segment)
        size = sum(t.numel() * t.element_size() for t in first)
        self._most = max(1, most_bytes // max(1, size))
        self._states: dict[int, list[Tensor]] = {self.steps.start: list(first)}
        self._roots = dict(roots or {})

    def state(self, step: int) -> list[Tensor]:
        """S_step."""
        if not self.steps.start <= step <= self.steps.stop:
            raise ValueError(f"S_{step} is outside the segment's steps {self.steps}")
        near = max(s for s in self._states if s <= step)
        current = self._states[near]
        for at in range(near, step):
            current, _ = self.computation.advance(current, at)
            self.between()
        self._states[step] = current
        self._shed(step)
        return current

    def _shed(self, asked: int) -> None:
        """Lets states go where they lie closest together, until no more than allowed are kept."""
        while len(self._states) > self._most + 1:
            kept = sorted(self._states)
            after = [*kept[2:], kept[-1]]
            gaps = {
                s: last - before
                for before, s, last in zip(kept, kept[1:], after, strict=False)
                if s != asked
            }
            del self._states[min(gaps, key=gaps.__getitem__)]

    def root(self, step: int) -> bytes:
        """The commitment of S_step."""
        if step not in self._roots:
            first, state = self.steps.start, self.state(step)
            same = step != first and untouched(self._states[first], state)
            self._roots[step] = self.root(first) if same else state_root(state)
        return self._roots[step]

    def walk(
        self, step: int, wanted: Collection[int] | None = None
    ) -> Iterator[tuple[int, Tensor]]:
        """Every node's number and output in `step`, or those of the wanted nodes."""
        return self.computation.walk(self.state(step), step, wanted)


def _after(done: int, progress: Progress | None) -> Progress | None:
    """Tells of steps that come after so many others."""
    return None if progress is None else lambda more: progress(done + more)


def untouched(before: Sequence[Tensor], after: Sequence[Tensor]) -> bool:
    """Whether steps have handed a state on as it was, each tensor where it lies: as an inference
    does, whose weights then need no second hash."""
    return all(
        a.data_ptr() == b.data_ptr() and a.dtype == b.dtype and a.numel() == b.numel()
        for a, b in zip(before, after, strict=True)
    )


def _check(job: Job, program: Program, data: list[Tensor]) -> None:
    if program.root != job.program:
        raise JobMismatch(f"program {program.root.hex()}; the job names {job.program.hex()}")
    if job.data_tensors > MAX_DATA_TENSORS:
        rule = f"a data set has at most {MAX_DATA_TENSORS}"
        raise JobMismatch(f"{job.data_tensors} data tensors; {rule}")
    if len(data) != job.data_tensors:
        raise JobMismatch(f"{len(data)} data tensors; the job names {job.data_tensors}")
    if not 0 < job.rows <= MAX_ROWS:
        raise JobMismatch(f"{job.rows} rows; a data set has 1 to {MAX_ROWS}")
    for index, tensor in enumerate(data):
        if tensor.shape[:1] != (job.rows,):
            raise JobMismatch(
                f"data tensor {index} has shape {tuple(tensor.shape)}; the job has {job.rows} rows"
            )
    for node in program.nodes:
        if node.kind == Kind.SOURCE and node.fn == Source.BATCH:
            index, batch_rows, width = node.attributes
            if batch_rows > job.rows:
                # Each round through the data set has an order of its own: with one row a batch of
                # 2^20 would hash 2^20 times, which no work unit counts.
                raise JobMismatch(
                    f"the program reads {batch_rows} rows a step; the data set has {job.rows}"
                )
            if index >= len(data) or data[index].numel() != job.rows * width:
                raise JobMismatch(
                    f"the program reads rows of {width} elements from data tensor {index}; the "
                    f"{len(data)} tensors have {[t.numel() // job.rows for t in data]} a row"
                )
            if data[index].dtype != DTYPES[node.dtype]:
                raise JobMismatch(
                    f"data tensor {index} is {data[index].dtype}; the program's batch is "
                    f"{DTYPES[node.dtype]}"
                )


def interior(lo: int, hi: int, arity_bits: int) -> list[int]:
    """The points that divide an interval of steps, both ends included."""
    parts = min(1 << arity_bits, hi - lo)
    points = [lo + (hi - lo) * i // parts for i in range(parts + 1)]
    assert all(a < b for a, b in pairwise(points))
    return points
