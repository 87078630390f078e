"""A job's artifacts: fetched by the commitments that the chain holds, and judged before use."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from worker.chain.types import Job
from worker.config import JobsConfig
from worker.jobs import Computation, ComputationOf, JobMismatch, Journal, changed
from worker.program import Kind, Program, Source, check_fingerprint
from worker.program.codes import DTYPES
from worker.roles.checkpoint import Checkpoint
from worker.roles.sizes import check_sizes, most_data_bytes, state_bytes
from worker.store import Store, stored_size

PROGRAM, DATA, STATE, JOURNAL, REPORTS = "program", "data", "state", "journal", "reports"


def put_job(
    store: Store, program: Program, data: Sequence[Tensor], state: Sequence[Tensor]
) -> tuple[bytes, bytes, bytes]:
    """Stores what a job names; returns the program's, the data set's and the state's addresses."""
    check_state(program, state)
    store.put_bytes(PROGRAM, program.root, program.to_bytes())
    return program.root, store.put_tensors(DATA, data), store.put_tensors(STATE, state)


def load_computation(
    store: Store, job: Job, computation_of: ComputationOf, limits: JobsConfig | None = None
) -> Computation:
    """The job's program and data set, where they are no larger than the limits.

    Raises a StoreError, MalformedProgram, JobMismatch, or TooLarge before anything large is read;
    whichever it is, no worker should take the task now.
    """
    limits = limits or JobsConfig()
    program = load_program(store, job.program, limits.max_program_bytes)
    check_fingerprint(program)
    check_sizes(program, job, limits)
    # no more is known of tensors that the program does not read
    most = limits.max_data_bytes if job.data_tensors > 1 else most_data_bytes(program, job)
    return computation_of(job, program, store.get_tensors(DATA, job.data, most))


def load_program(store: Store, root: bytes, most: int | None = None) -> Program:
    """The program with this root. most: bytes that are read of its file."""
    read: list[Program] = []  # decoding takes longer than fetching: it is done once

    def root_of(data: bytes) -> bytes:
        read.append(Program.from_bytes(data))
        return read[-1].root

    store.get_bytes(PROGRAM, root, root_of, most)
    return read[-1]


def load_state(store: Store, program: Program, root: bytes) -> list[Tensor]:
    """The state with this root, as the program takes it."""
    state = store.get_tensors(STATE, root, stored_size(state_bytes(program), program.state_count))
    check_state(program, state)
    return state


def check_state(program: Program, state: Sequence[Tensor]) -> None:
    """Raises JobMismatch where a state's tensors are not the ones the program reads."""
    if len(state) != program.state_count:
        raise JobMismatch(f"{len(state)} state tensors; the program has {program.state_count}")
    for node in program.nodes:
        if node.kind == Kind.SOURCE and node.fn == Source.STATE:
            tensor = state[node.attributes[0]]
            if tensor.dtype != DTYPES[node.dtype] or tensor.numel() != node.count:
                raise JobMismatch(
                    f"state tensor {node.attributes[0]} is {tensor.dtype} of shape "
                    f"{tuple(tensor.shape)}; the program reads {DTYPES[node.dtype]} of {node.shape}"
                )


def load_journal(store: Store, root: bytes, most: int | None = None) -> Journal:
    """The journal with this root. most: bytes that are read of its file."""
    return Journal.from_bytes(
        store.get_bytes(JOURNAL, root, lambda data: Journal.from_bytes(data).root, most)
    )


def put_result(
    store: Store,
    program: Program,
    reports: Sequence[Sequence[Tensor]],
    start: Checkpoint,
    end: Checkpoint,
) -> None:
    """Stores what a segment has computed.

    Where the program changes no state, its reports are the result: they are stored at the root that
    the journal's items give. A state that is still the segment's first is in the store already. A
    store that takes nothing is no failure where it holds the same.
    """
    if not changed(program) and program.report_count:
        store.put_tensors(REPORTS, [t for report in reports for t in report])
    if end is not start:
        store.put_tensors(STATE, end.state, end.root)


def load_reports(store: Store, journal: Journal) -> list[list[Tensor]]:
    """The reported tensors of a segment's steps, as its journal commits to them."""
    tensors = iter(store.get_tensors(REPORTS, journal.reports_root))
    return [[next(tensors) for _ in entry.items] for entry in journal.entries]
