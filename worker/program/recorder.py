"""Records the operators of a run as a trace.

What `make_fx` does, without what no program needs: it takes a snapshot of every tensor and a trace
of every stack, and keeps proxies and symbols for shapes that are not known.
"""

from __future__ import annotations

import functools
import linecache
import operator
import sys
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, Self

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from worker.program import layers
from worker.program.graph import Graph, Op
from worker.program.lower.graph import PLACE, is_users
from worker.program.shapes import Shapes

aten, prim = torch.ops.aten, torch.ops.prim

# whose frames call the user's code
_CAPTURE = {str(Path(__file__).with_name(name)) for name in ("capture.py", "steps.py")}
# a copy of what was made by torch.tensor(...), as the step may write into it
_COPIED = {aten.lift_fresh.default: aten.lift_fresh_copy.default}
_is_users = functools.cache(is_users)


class Watching(Protocol):
    """Sees every operator that a run asks for, and gives its result, as by `Recorder.run`."""

    def sees(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any: ...


class _Running(threading.local):
    def __init__(self) -> None:
        self.recorders: list[Recorder] = []


_running = _Running()


def recorder() -> Recorder | None:
    """The one that is at work, or None."""
    return _running.recorders[-1] if _running.recorders else None


class Recorder(TorchDispatchMode):
    """Within, operators become nodes of `graph`, whose root holds the constants that they read.

    decompositions: what stands for an operator. shapes: what gives the results. places: whether
    nodes note where they come from.
    """

    supports_higher_order_operators = True

    def __init__(
        self,
        decompositions: Mapping[Any, Callable[..., Any]],
        shapes: Shapes,
        places: bool = False,
    ) -> None:
        super().__init__()
        self.graph = Graph()
        # whoever looks at the operators of a run, and not at what they are made of
        self.watch: Watching | None = None
        self._decompositions, self._shapes, self._places = decompositions, shapes, places
        # by a tensor's id, which another one gets once it is gone. Not held: what autograd does
        # with a gradient depends on whether somebody else holds it
        self._nodes: dict[int, tuple[weakref.ref[Tensor], Op]] = {}
        self._constants: dict[int, tuple[Tensor, str]] = {}
        self._gradients: list[int] = []
        # of a graph that is run once more: nodes come from where this one came from
        self.at: Op | None = None

    def placeholders(self, tensors: Sequence[Tensor]) -> None:
        """The graph's inputs."""
        for k, t in enumerate(tensors):
            self._nodes[id(t)] = weakref.ref(t), self.graph.placeholder(f"x{k}")

    def finish(self, outputs: Sequence[Tensor]) -> None:
        """The graph's outputs."""
        self.graph.output(tuple(map(self._operand, outputs)))

    def made(self, t: Any) -> Op | None:
        """The node that made a tensor, or wrote into it last; None where none of these did."""
        found = self._nodes.get(id(t))
        return found[1] if found is not None and found[0]() is t else None

    def enter_gradient(self, number: int) -> None:
        """What follows is the gradient of the operator with this number of autograd's."""
        self._gradients.append(number)

    def leave_gradient(self) -> None:
        self._gradients.pop()

    # the mode

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled within: a guard on every call would be for nothing

    def __enter__(self) -> Self:
        _running.recorders.append(self)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        _running.recorders.pop()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is prim.device.default and isinstance(args[0], FakeTensor):
            return args[0].fake_device  # what a mode would say, that is asked at every step
        if self.watch is None:
            return self.run(func, args, kwargs)
        watch, self.watch = self.watch, None
        try:
            return watch.sees(func, args, kwargs)
        finally:
            self.watch = watch

    def run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """An operator, recorded."""
        if func is prim.device.default or getattr(func, "namespace", "") == "profiler":
            return func(*args, **kwargs)
        if (ours := self._decompositions.get(func)) is not None:
            with self:
                out = ours(*args, **kwargs)
                if out is not NotImplemented:
                    return out
        if _is_composite(func):
            with self:
                out = func.decompose(*args, **kwargs)
                if out is not NotImplemented:
                    return out
        if torch.Tag.data_dependent_output in getattr(func, "tags", ()) and _has_elements(args):
            with _disable_current_modes():  # of constants alone: it is the same in every run
                return func(*args, **kwargs)
        func = _COPIED.get(func, func)
        operands, named = self._operands(args), self._operands(kwargs)
        out = self._shapes.call(func, args, kwargs)
        self._note(func, operands, named, out)
        return out

    def _note(self, func: Any, operands: Any, named: Any, out: Any) -> None:
        many = isinstance(out, tuple | list)
        if not many and not isinstance(out, Tensor) and out is not None:
            return  # a number of Python's
        node = self._called(func, operands, named, None if many else out)
        for k, t in enumerate(out if many else ()):
            if isinstance(t, Tensor):
                self._called(operator.getitem, (node, k), {}, t)

    def _called(self, target: Any, operands: Any, named: Any, out: Any) -> Op:
        node = self.graph.call_function(target, operands, named)
        if isinstance(out, Tensor):
            self._nodes[id(out)] = weakref.ref(out), node
            with torch._C.DisableTorchFunction():  # no mode of functions is asked for these
                node.meta["shape"], node.meta["dtype"] = tuple(out.shape), out.dtype
        if self.at is not None:
            node.meta[PLACE] = self.at.meta.get(PLACE, "")
        elif self._places:
            node.meta[PLACE] = _place()
            latest: int = torch.autograd._get_sequence_nr() - 1
            node.meta["number"] = self._gradients[-1] if self._gradients else latest
        return node

    def _operands(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self._operand(value)
        if isinstance(value, tuple | list):
            return type(value)(map(self._operands, value))
        if isinstance(value, dict):
            return {k: self._operands(v) for k, v in value.items()}
        return value

    def _operand(self, t: Tensor) -> Op:
        node = self.made(t)
        return self._constant(t) if node is None else node

    def _constant(self, t: Tensor) -> Op:
        if id(t) not in self._constants:
            name = f"constant{len(self._constants)}"
            self._constants[id(t)] = t, name
            self.graph.root.register_buffer(name, t)
        node = self.graph.get_attr(self._constants[id(t)][1])
        node.meta["dtype"] = t.dtype
        return node


def _has_elements(operands: tuple[Any, ...]) -> bool:
    return not any(isinstance(x, FakeTensor) for x in operands)


@functools.cache
def _is_composite(func: Any) -> bool:
    """Whether autograd would have seen what an operator is made of, and not the operator."""
    if not isinstance(func, torch._ops.OpOverload):
        return False
    key = torch._C.DispatchKey.CompositeImplicitAutograd
    has: Any = torch._C._dispatch_has_kernel_for_dispatch_key
    return (key in func.py_kernels or has(func.name(), key)) and not has(func.name(), "CPU")


def _place() -> str:
    """The innermost line of the user's code that runs now, or the layer."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if file in _CAPTURE:
            break
        if _is_users(file):
            line = linecache.getline(file, frame.f_lineno, frame.f_globals).strip()
            return f"{file}:{frame.f_lineno}: {line}"
        frame = frame.f_back
    return layers.running()
