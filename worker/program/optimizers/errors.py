"""What an optimizer's step raises, told with its name and the line."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException

from worker.program.lower import Unsupported
from worker.program.lower.graph import is_users


@contextmanager
def told(kind: str) -> Iterator[None]:
    """Within, whatever is raised is one Unsupported."""
    try:
        yield
    except Unsupported:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        users = [frame for frame in frames if is_users(frame.filename)]
        place = f"; asked for at {users[-1].filename}:{users[-1].lineno}: {users[-1].line}"
        raise Unsupported(
            f"the optimizer {kind}: {_cause(error)}{place if users else ''}"
        ) from error


def _cause(error: Exception) -> str:
    if isinstance(error, DynamicOutputShapeException):
        return "its step makes a tensor whose shape only a run has (x[mask]): use torch.where"
    if isinstance(error, DataDependentOutputException) or "_local_scalar_dense" in str(error):
        return (
            "its step looks at a tensor's value, which only a run has (item(), float(), math.sqrt, "
            "if, min, max of a step's number or a rate): compute with tensors, as by torch.sqrt, "
            "torch.where, clamp"
        )
    return f"its step raises {type(error).__name__}: {error}"
