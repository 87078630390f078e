"""What enters a trace, operator by operator: no value of a run may enter as a constant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode

from worker.program import known
from worker.program.decompositions.values import LOOKED_AT
from worker.program.lower import Unsupported
from worker.program.tape import Tape

aten = torch.ops.aten


def memory(t: Tensor) -> tuple[int, int, int]:
    """Where a tensor's elements are: the space, the first byte and the one after the last."""
    size, offset = t.element_size(), int(t.storage_offset())
    reach = sum((n - 1) * s for n, s in zip(t.shape, t.stride(), strict=True)) + 1
    first = offset * size
    last = first + (int(reach) * size if t.numel() else 0)
    if isinstance(t, FakeTensor) or t.is_meta:
        return t.untyped_storage()._cdata, first, last
    base = t.untyped_storage().data_ptr()
    return 0, base + first, base + last


def overlap(a: tuple[int, int, int], b: tuple[int, int, int]) -> bool:
    return a[0] == b[0] and max(a[1], b[1]) < min(a[2], b[2])


class Watch(TorchDispatchMode):
    """Looks at every tensor that an operator of the step reads.

    names: the tensors of the state and of the batch, by their names for people. places: the name
    for people of each object that the user's objects hold. earlier: the tracer of the step's first
    run, of whose tensors only constants may enter.
    """

    supports_higher_order_operators = True

    def __init__(
        self, names: Mapping[str, Tensor], places: Mapping[int, str], earlier: Any = None
    ) -> None:
        super().__init__()
        self._known = [(name, memory(t)) for name, t in names.items()]
        self._places, self._earlier = places, earlier
        self.tape = Tape()
        self.tracer: Any = None

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        self.tracer = known.tracer()
        for t in _tensors((args, tuple(kwargs.values()))):
            if not isinstance(t, FakeTensor):
                self._real(func, t, args)
            elif known.made_by(t, self.tracer) is None:
                self._foreign(t)
            elif func is aten._local_scalar_dense.default and _of_a_run(t, self.tracer):
                raise Unsupported(LOOKED_AT)
        if torch.Tag.nondeterministic_seeded in getattr(func, "tags", ()):
            return self.tape.draw(func, args, kwargs)
        return func(*args, **kwargs)

    def _real(self, func: Any, t: Tensor, args: tuple[Any, ...]) -> None:
        """A tensor with elements: a constant, unless it is part of what changes from run to run."""
        here, place = memory(t), self._place(t)
        for name, other in self._known:
            if overlap(here, other):
                raise Unsupported(
                    f"{place}, which shares memory with {name} and would be a constant: read "
                    f"{name} itself, or make a copy (clone()) that is a buffer of the module"
                )
        if t.requires_grad and torch.is_grad_enabled():
            if t.is_leaf:
                raise Unsupported(
                    f"{place}, a parameter that the module does not hold: make what holds it a "
                    "part of the module"
                )
            raise Unsupported(
                f"{place}, which was computed outside of the step from what requires a gradient: "
                "compute it within, or detach() it"
            )
        if any(t is w for w in _written(func, args)):
            raise Unsupported(
                f"{place}, which the step writes into and which is neither a parameter nor a "
                "buffer: register it as a buffer of the module"
            )

    def _foreign(self, t: Tensor) -> None:
        """A tensor of the step's first run, which the second reads."""
        if _of_a_run(t, self._earlier):
            raise Unsupported(
                f"{self._place(t)}, which one step makes and the next one reads: register it as a "
                "buffer of the module, so that it is part of the state"
            )

    def _place(self, t: Tensor) -> str:
        shape = f"{str(t.dtype).removeprefix('torch.')} {tuple(t.shape)}"
        return f"the tensor {self._places.get(id(t), '')} {shape}".replace("  ", " ")


def _of_a_run(t: Tensor, tracer: Any) -> bool:
    node = known.made_by(t, tracer)
    return node is None or known.is_of_a_run(node)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for v in value:
            yield from _tensors(v)


def _written(func: Any, args: tuple[Any, ...]) -> Iterator[Tensor]:
    """The tensors that an operator writes into."""
    schema = getattr(func, "_schema", None)
    for argument, value in zip(schema.arguments if schema else (), args, strict=False):
        if argument.alias_info is not None and argument.alias_info.is_write:
            yield from _tensors(value)
