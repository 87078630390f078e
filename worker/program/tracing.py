"""Traces a step into a graph of core ATen operators without mutation."""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._decomp import get_decompositions
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorDeviceMismatchError,
    FakeTensorMode,
)
from torch.nn.attention import SDPBackend, sdpa_kernel

from worker.program import layers
from worker.program.codes import DTYPE_CODES
from worker.program.compared import refuse_chance, refuse_changes, told_changes
from worker.program.decompositions import LOOKED_AT, Functions, table
from worker.program.graph import Graph, Op, mapped
from worker.program.held import Look
from worker.program.known import is_of_a_run, value_of
from worker.program.libraries import batched_experts
from worker.program.lower import Unsupported
from worker.program.lower.graph import PLACE, is_users, nearest_line
from worker.program.memory import Memory
from worker.program.recorder import Recorder, recorder
from worker.program.replaced import replaced_functions
from worker.program.shapes import Shapes
from worker.program.standins import StandIns
from worker.program.watch import Watch

aten = torch.ops.aten


@contextmanager
def plain_kernels() -> Iterator[None]:
    """Attention and recurrent layers as the operators they are made of, not as one kernel.

    What the user has given to `torch.compile` runs as it was written; experts of `transformers`
    run as one batch. Within,
    `torch.compiler.is_compiling()` is true: it is how libraries are told not to choose
    their way by values (transformers looks whether a mask is all ones).
    """
    # allow_tf32=None: left as it is; to set it makes torch warn
    plain = torch.backends.mkldnn.flags(enabled=False, allow_tf32=None)
    fast = torch.backends.mha.get_fastpath_enabled()
    compiling = torch.compiler._is_compiling_flag
    torch.backends.mha.set_fastpath_enabled(False)
    torch.compiler._is_compiling_flag = True
    try:
        with (
            sdpa_kernel(SDPBackend.MATH),
            torch.compiler.set_stance("force_eager"),
            plain,
            torch.jit.optimized_execution(False),  # else a script's second run is another
            batched_experts(),
            replaced_functions(),
            Functions(),
        ):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        torch.compiler._is_compiling_flag = compiling


def _looked_at(error: Exception) -> Unsupported:
    """The refusal of a module whose Python looks at a number that only a run has."""
    return Unsupported(f"{LOOKED_AT}; asked for at {_place_of(error)}")


def _place_of(error: Exception) -> str:
    """The innermost line of the user's code that led to an error, or the layer."""
    place = ""
    for frame in traceback.extract_tb(error.__traceback__):
        if is_users(frame.filename):
            place = f"{frame.filename}:{frame.lineno}: {frame.line}"
    return place or layers.latest()


@contextmanager
def remembered_gradients(loss: Tensor) -> Iterator[None]:
    """Within, an operator of the gradient is made with the number of the operator that it is of."""
    at_work = recorder()
    assert at_work is not None
    hooks, seen, stack = [], set(), [loss.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        stack += [following for following, _ in node.next_functions]

        def before(_: Any, number: int = node._sequence_nr()) -> None:
            at_work.enter_gradient(number)

        def after(*_: Any) -> None:
            at_work.leave_gradient()

        hooks += [node.register_prehook(before), node.register_hook(after)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _name_gradients(graph: Graph) -> None:
    """Gives each of the gradient's operators the user's line of the operator that it is of."""
    lines: dict[int, str] = {}
    for node in graph.nodes:
        number, line = node.meta.get("number"), node.meta.get(PLACE)
        if number is None:
            continue
        if line:
            lines[number] = line  # the last one made the gradient's node
        elif number in lines:
            node.meta[PLACE] = lines[number]


# Python's and numpy's own
_CHANCE = {
    "Python's random numbers": random.random.__self__,  # type: ignore[attr-defined]
    "numpy's random numbers": np.random.rand.__self__,  # type: ignore[attr-defined]
}


class Users:
    """The objects that a step is made of: what they hold is seen, and put back after the trace.

    named: the tensors of the state, each once. batch: those of the batch.
    """

    def __init__(
        self, roots: Mapping[str, Any], named: Mapping[str, Tensor], batch: Sequence[Tensor]
    ) -> None:
        self._roots = {**roots, **_CHANCE}
        self.before = self.look()
        known = {f"the parameter or buffer {name}": t for name, t in named.items()}
        self.memory = Memory(known | {f"tensor {k} of the batch": t for k, t in enumerate(batch)})
        self.memory.refuse_arrays(self.before.arrays)
        self.stand_ins = StandIns(named, self.before.modules, self.memory)
        self._watch: Watch | None = None

    def look(self) -> Look:
        return Look(self._roots)

    def watch(self, recorder: Recorder, look: Look) -> Watch:
        """For the next run of the step."""
        left = told_changes(self.before, look)
        self._watch = Watch(recorder, self.memory, look.places, self._watch, left)
        return self._watch

    def may_end(self) -> bool:
        """Called where a step goes on with what is none of the user's: whether it may end there,
        as the second run of a step may."""
        return self._watch is not None and self._watch.ends()


def _empty(mode: FakeTensorMode, tensor: Tensor) -> Tensor:
    """Its like without elements, a new one each time: a tensor that is given twice, in state or
    batch, is two, whose values may differ.

    One of the meta device or of another FakeTensorMode stands for one of the CPU, and so does one
    that was made under inference_mode, which no gradient may see.
    """
    if tensor.is_meta or isinstance(tensor, FakeTensor):
        with mode:
            return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype)
    return mode.from_tensor(tensor.clone() if tensor.is_inference() else tensor.detach())


def traced(
    step: Callable[..., list[Tensor]], users: Users, state: list[Tensor], batch: list[Tensor]
) -> Graph:
    """The step as a graph of core ATen operators without mutation.

    Traced with tensors that have no elements: it takes no memory, and no time for arithmetic. What
    the user's objects hold is the same afterwards, whatever happens.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    state, batch = [_empty(mode, t) for t in state], [_empty(mode, t) for t in batch]
    # batch norm's own operators change their operands in secret: they go before functionalization
    early: Any = get_decompositions([aten.native_batch_norm, aten.cudnn_batch_norm])
    shapes = Shapes(mode)
    first, second = Recorder(early, shapes, places=True), Recorder(early, shapes)
    try:
        _run(step, users.watch(first, users.before), mode, state, batch)
        after = users.look()
        refuse_chance(users.before, after)
        _run(step, users.watch(second, after), mode, state, batch)
        refuse_changes(users.before, after, users.look())
    finally:
        users.before.put_back()
    _name_gradients(first.graph)
    return decomposed(first.graph, mode, [*state, *batch], shapes)


def _run(
    step: Callable[..., list[Tensor]],
    watch: Watch,
    mode: FakeTensorMode,
    state: list[Tensor],
    batch: list[Tensor],
) -> None:
    """The step as it is written, recorded."""
    recorder = watch.recorder
    recorder.placeholders([*state, *batch])
    try:
        with mode, recorder:
            with watch:
                outputs = step(list(state), list(batch))
            recorder.finish(outputs)
    except Unsupported as error:  # of a function that hides what it does
        place = _place_of(error)
        raise Unsupported(f"{error}; asked for at {place}" if place else str(error)) from error
    except DataDependentOutputException as error:
        raise _looked_at(error) from error
    except DynamicOutputShapeException as error:
        raise Unsupported(
            f"programs cannot express {error.func}: a result whose shape only a run has, such as "
            f"x[mask]; use torch.where, or weights of zero; asked for at {_place_of(error)}"
        ) from error
    except Exception as error:
        if isinstance(error, FakeTensorDeviceMismatchError):
            raise Unsupported(
                "derivatives forwards (torch.func.hessian, jacfwd, jvp), which PyTorch cannot "
                f"trace: take them backwards, jacrev(jacrev(f)) is hessian(f) ({error})"
            ) from error
        if "_local_scalar_dense" in str(error):
            raise _looked_at(error) from error
        raise


def _is_constant(node: Op) -> bool:
    """Whether an operator makes, of what programs do not know, a constant that they do: numpy's
    numbers are float64 before they are cast."""
    dtypes = {n.meta.get("dtype", torch.float32) for n in node.inputs}
    foreign = dtypes - DTYPE_CODES.keys() and node.meta.get("dtype") in DTYPE_CODES
    return bool(foreign) and not is_of_a_run(node)


def decomposed(graph: Graph, mode: FakeTensorMode, inputs: list[Tensor], shapes: Shapes) -> Graph:
    """A graph once more, of operators that have rules, and without mutation.

    inputs: of `mode`, as its placeholders stand.
    """
    again = Recorder(table(), shapes)

    def run(*tensors: Tensor) -> list[Tensor]:
        values: dict[Op, Any] = {}
        given = iter(tensors)
        for node in graph.nodes:
            again.at = node
            args, kwargs = mapped((node.args, node.kwargs), values.__getitem__)
            if node.op == "placeholder":
                values[node] = next(given)
            elif node.op == "get_attr":
                values[node] = graph.root.get_buffer(node.target)
            elif node.op == "call_function" and _is_constant(node):
                values[node] = value_of(node)
            elif node.op == "call_function":
                values[node] = node.target(*args, **kwargs)
        outputs: list[Tensor] = args[0]
        return outputs

    again.placeholders(inputs)
    try:
        with mode, again:
            again.finish(torch.func.functionalize(run)(*inputs))
    except Exception as error:
        place = nearest_line(again.at) if again.at else ""
        said = str(error)
        if not isinstance(error, Unsupported):
            said = said.splitlines()[0]
        elif "asked for at" in said:
            place = ""
        raise Unsupported(f"{said}; asked for at {place}" if place else said) from error
    again.graph.drop_unused()
    return again.graph
