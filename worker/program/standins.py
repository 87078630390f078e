"""A module's tensors, replaced by those of a trace for as long as a step runs.

A step is forward, loss and backward. All three may read a parameter, and by any reference: a
module's attribute, a list, a closure's variable, an optimizer's group. So the traced tensors stand
in the modules' own dictionaries until the backward is done, and who hands PyTorch a real one by
another reference is given its stand-in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._C._functorch import is_functorch_wrapped_tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd.graph import _engine_run_backward
from torch.overrides import TorchFunctionMode

from worker.program.lower import Unsupported
from worker.program.memory import Memory, refuse_overlaps, version

_SET_DATA = Tensor.data.__set__  # type: ignore[attr-defined]


class StandIns:
    """Where a module's tensors stand, and how they are replaced.

    named: the tensors of the state, each once. modules: all modules that may hold them.
    """

    def __init__(
        self, named: Mapping[str, Tensor], modules: Iterable[nn.Module], memory: Memory
    ) -> None:
        self.real, self._memory = dict(named), memory
        name_of = {id(t): name for name, t in named.items()}
        self._name_of = name_of
        self._parameters: list[tuple[dict[str, Any], str, str]] = []
        self._buffers: list[tuple[dict[str, Any], str, str]] = []
        for module in modules:
            for held, places in (
                (module._parameters, self._parameters),
                (module._buffers, self._buffers),
            ):
                places += [(held, k, name_of[id(t)]) for k, t in held.items() if id(t) in name_of]

    @contextmanager
    def standing(self, traced: dict[str, Tensor]) -> Iterator[None]:
        """Within, `traced` stand for the real tensors. On leaving it has what stands there then: a
        module may bind a buffer anew.

        Raises Unsupported where the step leaves something that the next one could not start from.
        """
        for name, tensor in traced.items():
            _resemble(tensor, self.real[name])
        required = {name: t.requires_grad for name, t in traced.items()}
        first = {name: (id(t), version(t)) for name, t in traced.items()}
        references = _References(self._name_of, dict(traced), self._memory)
        places = [*self._parameters, *self._buffers]
        grads = {name: t.grad for name, t in self.real.items() if t.is_leaf}
        for held, key, name in places:
            held[key] = traced[name]
        try:
            with references:
                yield
            for name, grad in grads.items():
                if self.real[name].grad is not grad:
                    raise Unsupported(
                        f"the parameter {name}, whose gradient went by a reference that cannot be "
                        "followed: read it as an attribute of its module"
                    )
            for held, key, name in self._parameters:
                if held.get(key) is not traced[name]:
                    raise Unsupported(
                        f"the parameter {name}, which the step binds anew: write into it under "
                        "torch.no_grad(), or make it a buffer"
                    )
                if traced[name].requires_grad != required[name]:
                    raise Unsupported(
                        f"requires_grad of {name}, which the step changes: set it before capturing"
                    )
            for name, tensor in self._last_buffers().items():
                _check_buffer(name, traced[name], tensor, name in references.read)
                traced[name] = tensor
            last = {name: (id(t), version(t)) for name, t in traced.items()}
            trained = {name for name, wanted in required.items() if wanted}
            refuse_overlaps(self.real, trained | {n for n in first if first[n] != last[n]})
        finally:
            for name, grad in grads.items():
                if self.real[name].grad is not grad:
                    self.real[name].grad = grad
            for held, key, name in places:
                held[key] = self.real[name]

    def _last_buffers(self) -> dict[str, Any]:
        last: dict[str, Any] = {}
        for held, key, name in self._buffers:
            if last.setdefault(name, held.get(key)) is not held.get(key):
                raise Unsupported(
                    f"the buffer {name}, which has two names and is bound anew under one: write "
                    "into it (copy_)"
                )
        return last


def _check_buffer(name: str, first: Tensor, last: Any, read: bool) -> None:
    """Whether the next step can start from what a buffer's name stands for now."""
    if not isinstance(last, Tensor):
        raise Unsupported(f"the buffer {name}, which the step takes away or sets to None")
    if last.shape != first.shape or last.dtype != first.dtype:
        raise Unsupported(
            f"the buffer {name}, which the step makes {_described(last)} of {_described(first)}: "
            "every step starts from the same shapes"
        )
    if last.requires_grad:
        raise Unsupported(
            f"the buffer {name}, which the step gives a value with a gradient: detach() the value"
        )
    if last is not first and read:
        raise Unsupported(
            f"the buffer {name}, which the step binds anew and also reads by another reference, "
            "where the old one stays: write into it (copy_)"
        )


def _described(x: Tensor) -> str:
    return f"{str(x.dtype).removeprefix('torch.')} {tuple(x.shape)}"


def _resemble(tensor: Any, real: Tensor) -> None:
    """Gives a stand-in what Python sees of the real one, and its hooks."""
    for name, value in vars(real).items():
        if not hasattr(tensor, name):
            setattr(tensor, name, value)
    if isinstance(real, nn.Parameter):
        tensor._is_param = True  # what isinstance(x, nn.Parameter) looks at
    if not tensor.requires_grad:
        return
    for hook in (real._backward_hooks or {}).values():
        if getattr(hook, "__module__", "") == "torch.autograd.graph":
            raise Unsupported(
                "a hook of several gradients (register_multi_grad_hook), which belongs to a "
                "gradient outside of the step: register a hook on each parameter"
            )
        tensor.register_hook(hook)
    for hook in (real._post_accumulate_grad_hooks or {}).values():
        tensor.register_post_accumulate_grad_hook(hook)


class _References(TorchFunctionMode):
    """Gives PyTorch a stand-in wherever it is handed the real tensor, and refuses a view of one.

    read: the names of those that were.
    """

    def __init__(
        self, name_of: Mapping[int, str], traced: Mapping[str, Tensor], memory: Memory
    ) -> None:
        super().__init__()
        self._memory = memory
        self._name_of, self._traced = name_of, traced
        self.read: set[str] = set()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func == _SET_DATA:
            raise Unsupported(
                "an assignment to a tensor's .data, which hides what is written: write into the "
                "tensor under torch.no_grad()"
            )
        args, kwargs = self._stand(args), self._stand(kwargs or {})
        if func is Tensor.backward:
            with self:
                return backward(*args, **kwargs)
        return func(*args, **kwargs)

    def _stand(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            name = self._name_of.get(id(value))
            if name is None:
                if not isinstance(value, FakeTensor) and not is_functorch_wrapped_tensor(value):
                    self._memory.refuse(value, f"a tensor of shape {tuple(value.shape)}")
                return value
            self.read.add(name)
            return self._traced[name]
        kind = type(value)
        if kind in (list, tuple):
            return kind(self._stand(v) for v in value)
        if kind is dict:
            return {k: self._stand(v) for k, v in value.items()}
        return value


def backward(
    tensor: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Sequence[Tensor] | Tensor | None = None,
) -> None:
    """`tensor.backward`, with modes at work in what it calls: PyTorch's own takes them away first,
    and a hook, or what a checkpoint computes again, reads tensors too."""
    if gradient is None:
        if tensor.numel() != 1:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
        gradient = torch.ones_like(tensor)
    leaves = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs or ())
    _engine_run_backward(
        (tensor,),
        (gradient,),
        create_graph if retain_graph is None else retain_graph,
        create_graph,
        leaves,
        allow_unreachable=True,
        accumulate_grad=True,
    )
