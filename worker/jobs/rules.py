"""What every kind of job is checked for, and how it becomes a job of the market."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn.parameter import is_lazy

from worker.chain.types import Job
from worker.commit import state_root
from worker.jobs.computation import Computation
from worker.program import Program, check_fingerprint
from worker.program.wellformed import MOST_DOT_BITS

MOST_SHOWN = 200  # characters of a value in a message
MAX_SEGMENTS = 256  # `Market.MOST_SEGMENTS`


class JobDefinition(Protocol):
    """A job as its owner writes it: training, batch inference or generation."""

    @property
    def reports_losses(self) -> bool:
        """Whether what a step reports are losses, which must be finite."""
        ...

    @property
    def tensors(self) -> Sequence[Tensor]:
        """The data set as it is committed to: [rows, ...] each, in the program's order."""
        ...

    @property
    def rows(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def segment_steps(self) -> int: ...
    @property
    def seed(self) -> int: ...

    def capture(self) -> Program:
        """One step as a program."""
        ...

    def initial_state(self) -> list[Tensor]:
        """S_0."""
        ...

    def job(self, program: Program) -> Job:
        """What goes on chain. Raises JobMismatch where the program is not this job's."""
        ...

    def check_indices(self, program: Program) -> None:
        """Raises OutOfRange where the data leads an index out of its bounds, in any row."""
        ...

    def report_names(self, program: Program) -> list[str]:
        """What an error calls the reports of a step, but for the fingerprint."""
        ...


class Shown(str):
    """Text that an error shows as it is, without quotes."""

    __slots__ = ()
    __repr__ = str.__str__


class FieldError(ValueError):
    """A field of a job that breaks a rule."""

    def __init__(self, field: str, value: object, rule: str) -> None:
        said = repr(value)
        if len(said) > MOST_SHOWN:  # a module or a long list says nothing by its whole length
            value = Shown(f"{said[:MOST_SHOWN]}...")
        super().__init__(f"{field}={value!r}; it must be: {rule}")
        self.field, self.value, self.rule = field, value, rule


def require(condition: bool, field: str, value: object, rule: str) -> None:
    """Raises FieldError, which names field, value and rule, unless the condition holds."""
    if not condition:
        raise FieldError(field, value, rule)


def require_function(field: str, value: object, rule: str) -> None:
    """Raises FieldError unless there is none, or it can be called."""
    require(value is None or callable(value), field, value, rule)


def require_module(field: str, module: object, rule: str = "a torch.nn.Module") -> None:
    """Raises FieldError unless it is a module whose tensors have values to begin with."""
    require(isinstance(module, nn.Module), field, module, rule)
    assert isinstance(module, nn.Module)
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        require(
            not is_lazy(tensor),
            field,
            Shown(f"a module whose {name} has no shape yet"),
            "initialised: call it once with a batch, as its lazy layers ask for",
        )
        require(
            not tensor.is_meta and not isinstance(tensor, FakeTensor),
            field,
            Shown(f"a module whose {name} has no values (it is on the meta device, or fake)"),
            "one with values, from which the job starts: make it outside of torch.device('meta'), "
            "or call to_empty(device='cpu') and load them",
        )


def require_batch(batch_rows: int, rows: int, whole: bool = False) -> None:
    """Raises FieldError where a step sees no row, or one row twice."""
    rule = f"from 1 to the data set's {rows} rows"
    if whole:
        rule = "1, as a data set that every step sees whole is one row"
    require(0 < batch_rows <= rows, "batch_rows", batch_rows, rule)


def require_segments(steps: int, segment_steps: int, seed: int) -> None:
    """Raises FieldError where steps, segments or seed are not ones that the market takes."""
    require(steps > 0, "steps", steps, "at least 1")
    require(
        0 < segment_steps <= steps,
        "segment_steps",
        segment_steps,
        f"from 1 to steps, which is {steps}",
    )
    segments = -(-steps // segment_steps)
    require(
        segments <= MAX_SEGMENTS,
        "segment_steps",
        segment_steps,
        f"{segments} segments are too many (at most {MAX_SEGMENTS}): make segments longer",
    )
    require(0 <= seed < 1 << 64, "seed", seed, "an unsigned 64-bit integer")


def require_bits(bits: int) -> None:
    """Raises FieldError where no product's operands may have so many bits."""
    require(2 <= bits <= MOST_DOT_BITS, "bits", bits, f"from 2 to {MOST_DOT_BITS}")


def on_chain(definition: JobDefinition, program: Program) -> Job:
    """The job with the hashes of its parts.

    Raises JobMismatch where they do not fit together, MalformedProgram without a fingerprint.
    """
    job = Job(
        program=program.root,
        state=state_root(definition.initial_state()),
        data=state_root(definition.tensors),
        data_tensors=len(definition.tensors),
        rows=definition.rows,
        seed=definition.seed,
        steps=definition.steps,
        segment_steps=definition.segment_steps,
    )
    Computation(job, program, definition.tensors)
    check_fingerprint(program)
    return job
