"""What an operator's result looks like: remembered, once PyTorch has told.

A tensor of a trace has no elements, only a dtype, a shape, strides and a place in a memory. An
operator gives the same ones whenever it is given the same ones, and the steps of a recurrent layer,
the layers of a model and the runs of a capture ask for the same a thousand times. PyTorch takes a
third of a millisecond to tell.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

_TAGS = {
    torch.Tag.data_dependent_output,
    torch.Tag.dynamic_output_shape,
    torch.Tag.inplace_view,
    torch.Tag.nondeterministic_seeded,
}
# what Python compares as equal, and an operator tells apart
_NUMBERS = (bool, int, float)
_PLAIN = (str, type(None), torch.dtype, torch.layout, torch.device, torch.memory_format)


class _Look(NamedTuple):
    """A result. lies_in: the operand whose memory it is a view of, None for one of its own; offset:
    how many elements after that operand's first. attributes: those of PyTorch's traced tensor."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    lies_in: int | None
    device: torch.device
    attributes: Mapping[str, Any]


# of a look: the first operand itself, which the operator has written into
_ITSELF = "itself"


class _Other(Exception):
    """What is not remembered."""


class Shapes:
    """Calls operators, for the traced tensors of `mode`."""

    def __init__(self, mode: FakeTensorMode) -> None:
        self._mode = mode
        self._known: dict[tuple[Any, ...], tuple[bool, list[_Look | str]] | None] = {}

    def call(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """`func(*args, **kwargs)`."""
        if not _is_plain(func) or (_writes(func) and type(args[0]) is not FakeTensor):
            return func(*args, **kwargs)
        try:
            told, tensors = self._told(func, args, kwargs)
        except _Other:
            return func(*args, **kwargs)
        if told not in self._known:
            out = func(*args, **kwargs)
            # what writes may change its operand's look as well, and then is called every time
            same = not _writes(func) or self._told(func, args, kwargs)[0] == told
            with torch._C.DisableTorchFunction():
                self._known[told] = self._looks(func, out, tensors) if same else None
            return out
        if (found := self._known[told]) is None:
            return func(*args, **kwargs)
        many, looks = found
        # no mode is asked: what is made here is what they would make
        with torch._C.DisableTorchFunction(), torch._C._DisableTorchDispatch():
            made = [self._made(look, tensors) for look in looks]
        return tuple(made) if many else made[0]

    def _told(
        self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], list[FakeTensor]]:
        """What the look of a result depends on, and the tensors among the arguments."""
        tensors: list[FakeTensor] = []
        key = [func, torch.get_default_dtype(), torch.is_inference_mode_enabled()]
        with torch._C.DisableTorchFunction():
            self._tell(args, key, tensors)
            self._tell(kwargs, key, tensors)
        if not tensors:
            raise _Other
        return tuple(key), tensors

    def _tell(self, value: Any, key: list[Any], tensors: list[FakeTensor]) -> None:
        """Adds to a key what the look of a result depends on."""
        kind = type(value)
        if kind is FakeTensor:
            if value.fake_mode is not self._mode or not _is_simple(value):
                raise _Other
            tensors.append(value)
            key += (value.dtype, value.shape, value.stride())
        elif kind in _NUMBERS:
            key += (kind, value)
        elif kind in (tuple, list):
            key += (kind, len(value))
            for v in value:
                self._tell(v, key, tensors)
        elif kind is dict:
            for name, v in value.items():
                key.append(name)
                self._tell(v, key, tensors)
        elif isinstance(value, _PLAIN):
            key.append(value)
        else:
            raise _Other

    def _looks(
        self, func: Any, out: Any, tensors: list[FakeTensor]
    ) -> tuple[bool, list[_Look | str]] | None:
        """How to make the like of a result; None where only PyTorch can."""
        if _writes(func):
            return (False, [_ITSELF]) if out is tensors[0] else None
        many = isinstance(out, tuple | list)
        try:
            return many, [self._look(t, tensors) for t in (out if many else (out,))]
        except _Other:
            return None

    def _look(self, t: Any, tensors: list[FakeTensor]) -> _Look:
        if type(t) is not FakeTensor or t.fake_mode is not self._mode or not _is_simple(t):
            raise _Other
        if t.requires_grad or any(t is o for o in tensors):
            raise _Other
        memory: Any = t.untyped_storage()
        held = [o.untyped_storage()._cdata == memory._cdata for o in tensors]
        offset, lies_in = int(t.storage_offset()), None
        if any(held):
            lies_in = held.index(True)
            offset -= int(tensors[lies_in].storage_offset())
            if sum(held) > 1 or t.dtype != tensors[lies_in].dtype:
                raise _Other
        elif offset or memory.nbytes() != _bytes(t):
            raise _Other
        shape, stride = tuple(t.shape), tuple(t.stride())
        return _Look(t.dtype, shape, stride, offset, lies_in, t.fake_device, dict(vars(t)))

    def _made(self, look: _Look | str, tensors: list[FakeTensor]) -> FakeTensor:
        if isinstance(look, str):
            return tensors[0]
        elements = torch.empty_strided(look.shape, look.stride, dtype=look.dtype, device="meta")
        if look.lies_in is not None:
            lies_in = tensors[look.lies_in]
            storage: Any = lies_in.untyped_storage()
            offset = int(lies_in.storage_offset()) + look.offset
            elements.set_(storage, offset, look.shape, look.stride)
        made: FakeTensor = Tensor._make_subclass(
            FakeTensor,
            elements,
            False,
            dispatch_device=True,
            device_for_backend_keys=look.device,
        )
        torch._C._set_warn_deprecated_on_mutable_data_ptr(made)
        vars(made).update(look.attributes)
        return made


def _is_simple(t: FakeTensor) -> bool:
    """Whether a traced tensor is what its dtype, shape and strides say, and no more."""
    return t.constant is None and t.layout is torch.strided and not t.dtype.is_complex


def _bytes(t: FakeTensor) -> int:
    """How long the memory of a tensor of its own is."""
    if not t.numel():
        return 0
    last = sum((n - 1) * s for n, s in zip(t.shape, t.stride(), strict=True))
    return (int(last) + 1) * t.element_size()


@functools.cache
def _is_plain(func: Any) -> bool:
    """Whether an operator's results follow from its operands' looks, and it writes into none but
    its first."""
    if not isinstance(func, torch._ops.OpOverload) or func.namespace != "aten":
        return False
    # as_strided counts from the memory's beginning, and not from its operand's
    if _TAGS & set(func.tags) or func is torch.ops.aten.as_strided.default:
        return False
    return _writes(func) or not func._schema.is_mutable


@functools.cache
def _writes(func: Any) -> bool:
    """Whether an operator writes into its first operand alone, and returns it."""
    written = [a.alias_info is not None and a.alias_info.is_write for a in func._schema.arguments]
    returned = [r.alias_info is not None and r.alias_info.is_write for r in func._schema.returns]
    return written[:1] == [True] and sum(written) == 1 and returned == [True]
