"""What a task would have this worker fetch and hold, known before any of it is.

All of it follows from the program's records and the job, which a stranger has written: so each size
is held to a limit of the config before the artifact is read or the step is run.
"""

from __future__ import annotations

from worker.chain.types import Job
from worker.config import JobsConfig
from worker.program import Kind, Program, Source
from worker.program.cost import ELEMENT_BYTES
from worker.program.operands import index_bytes
from worker.store import stored_size

HEADER = 1 << 10  # of a journal, in JSON
ENTRY = 1 << 8  # of each step: its salt and the brackets
SHOWN = 1 << 11  # a report's item, and the values that it shows people


class TooLarge(ValueError):
    """A task asks for more than the config allows."""

    def __init__(self, what: str, size: int, field: str, most: int) -> None:
        super().__init__(f"{what} has {size} bytes, and jobs.{field} allows {most}")


def state_bytes(program: Program) -> int:
    """Of one state, its tensors alone."""
    made = [program.nodes[n] for n in program.outputs[: program.state_count]]
    return sum(ELEMENT_BYTES[n.dtype] * n.count for n in made)


def data_bytes(program: Program, job: Job) -> int:
    """Of the data set's tensors that the program reads."""
    rows = {
        n.attributes[0]: ELEMENT_BYTES[n.dtype] * n.attributes[2]
        for n in program.nodes
        if n.kind == Kind.SOURCE and n.fn == Source.BATCH
    }
    return job.rows * sum(rows.values())


def most_data_bytes(program: Program, job: Job) -> int:
    """Of the data set's file, as far as it is known: tensors may lie there that nothing reads."""
    return stored_size(data_bytes(program, job), job.data_tensors)


def memory_bytes(program: Program) -> int:
    """At the peak of a step, with the state, the batch and the interpreter's index maps."""
    maps = sum(
        index_bytes(i, n.shape) for n in program.nodes if n.kind == Kind.MAP for i in n.inputs
    )
    return program.summary().peak_bytes + maps


def journal_bytes(program: Program, steps: int) -> int:
    """Of a journal of so many steps, at most."""
    return HEADER + steps * (ENTRY + SHOWN * program.report_count)


def report_bytes(program: Program, steps: int) -> int:
    """Of a file with the reports of so many steps, at most."""
    made = [program.nodes[n] for n in program.outputs[program.state_count :]]
    content = sum(ELEMENT_BYTES[n.dtype] * n.count for n in made)
    return stored_size(steps * content, steps * len(made))


def check_sizes(program: Program, job: Job, limits: JobsConfig) -> None:
    """Raises TooLarge where anything of the task is larger than the config allows."""
    elements, steps = program.trace_elements, min(job.steps, job.segment_steps)
    if elements > limits.max_trace_elements:
        raise ValueError(
            f"a step of it has {elements} elements, and jobs.max_trace_elements allows "
            f"{limits.max_trace_elements}"
        )
    for what, size, field in (
        ("its state", stored_size(state_bytes(program), program.state_count), "max_state_bytes"),
        ("its data set", most_data_bytes(program, job), "max_data_bytes"),
        ("a step of it", memory_bytes(program), "max_memory_bytes"),
        # its steps' reports are held until it is committed
        ("a segment's journal", journal_bytes(program, steps), "max_memory_bytes"),
        ("a segment's reports", report_bytes(program, steps), "max_memory_bytes"),
    ):
        most = getattr(limits, field)
        if size > most:
            raise TooLarge(what, size, field, most)
