"""What a module was doing when it asked for an operator: for places where the user wrote no line.

An `nn.Sequential` calls its layers within PyTorch, and a loss may be a function of PyTorch's. There
a refusal names the layer or the loss instead of a line.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

_running: list[str] = []
_latest = ""


def running() -> str:
    """The innermost layer or function that is being called, or nothing."""
    return _running[-1] if _running else ""


def latest() -> str:
    """The one that was called last: where an error came from, after it has left."""
    return _latest


def _enter(what: str) -> None:
    global _latest
    _running.append(what)
    _latest = what


@contextmanager
def named_layers(module: nn.Module) -> Iterator[None]:
    """Within, the layers of `module` are known by their names while they are called."""
    global _latest
    _latest = ""
    names = {id(layer): name for name, layer in module.named_modules()}

    def enter(layer: nn.Module, _: Any) -> None:
        name = names.get(id(layer))
        text = repr(layer).splitlines()[0].removesuffix("(")
        _enter(f"layer {name}, {text}" if name else f"the module, {text}")

    def leave(*_: Any) -> None:
        _running.pop()

    hooks: list[RemovableHandle] = []
    for layer in module.modules():
        hooks.append(layer.register_forward_pre_hook(enter))
        hooks.append(layer.register_forward_hook(leave, always_call=True))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        _running.clear()


@contextmanager
def called(function: Any, what: str = "the loss") -> Iterator[None]:
    """Within, the loss, or what else it is, is what is being called."""
    name = getattr(function, "__name__", None) or type(function).__name__
    _enter(f"{what}, {name}")
    try:
        yield
    finally:
        _running.pop()
