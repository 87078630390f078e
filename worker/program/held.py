"""What a user's objects hold: to see whether a step changes it (`compared`), and to put it back.

Objects are walked from the module, the loss and the optimizer: attributes, containers, what
functions enclose and what they read of their file, classes of the user's own, and the sources of
random numbers that are none of torch's.
"""

from __future__ import annotations

import functools
import itertools
import sys
import sysconfig
import types
import warnings
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from worker.program.compared import PLAIN, Chance, Exactly, Made, chance_of, key_of
from worker.program.lower.graph import is_users
from worker.program.memory import version

_AS_VALUES = (Enum, torch.dtype, torch.device, torch.Size, torch.layout, torch.memory_format)
# what holds nothing of a step's, or nothing that could be looked at
_OPAQUE = ("logging", "threading", "_thread", "weakref", "re", "_io", "abc", "typing", "inspect")
_LIBRARIES = tuple(
    sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
_MISSING = object()
_IMMUTABLE = 1 << 8  # Py_TPFLAGS_IMMUTABLETYPE


class Look:
    """What everything that can be reached from `roots` held at one time.

    values: what stands where, by a name for people. modules, arrays: all of torch's modules and
    numpy's arrays among it, each once.
    """

    def __init__(self, roots: Mapping[str, Any]) -> None:
        self.values: dict[str, Any] = {}
        self.modules: list[nn.Module] = []
        self.arrays: list[tuple[str, np.ndarray]] = []
        self.places: dict[int, str] = {}
        self._kept: list[Any] = []  # while they live no other object has their ids
        self._back: list[Callable[[], None]] = []
        self._near: list[tuple[str, Any]] = list(reversed(list(roots.items())))
        while self._near:
            place, x = self._near.pop()
            self.values[place] = self._see(place, x)

    def put_back(self) -> None:
        """Makes everything hold what it held then."""
        for back in reversed(self._back):
            back()

    def _see(self, place: str, x: Any) -> Any:
        """What to compare `x` by; what is within it is seen later."""
        if isinstance(x, PLAIN):
            return Exactly(x)
        if isinstance(x, _AS_VALUES):
            return x
        if id(x) in self.places:
            return "the same as", self.places[id(x)]
        self.places[id(x)] = place
        self._kept.append(x)
        return self._within(place, x)

    def _later(self, inner: Iterator[tuple[str, Any]]) -> None:
        self._near += reversed(list(inner))

    def _within(self, place: str, x: Any) -> Any:
        if isinstance(x, Tensor):
            return self._tensor(place, x)
        if isinstance(x, np.ndarray):
            self.arrays.append((place, x))
            return self._array(x)
        if (chance := chance_of(x)) is not None:
            kept, write = chance
            self._back.append(lambda: write(kept))
            return Chance(kept)
        if isinstance(x, dict):
            self._mapping(x)
            self._later((f"{place}[{self._named_key(k)}]", v) for k, v in x.items())
            return type(x), tuple(map(key_of, x))
        if isinstance(x, list | deque):
            self._sequence(x)
        if isinstance(x, list | deque | tuple):
            if all(type(v) in PLAIN for v in x):
                return type(x), tuple(map(Exactly, x))
            self._later((f"{place}[{k}]", v) for k, v in enumerate(x))
            return type(x), len(x)
        if isinstance(x, set | frozenset):
            if isinstance(x, set):
                kept = set(x)
                self._back.append(lambda: x.symmetric_difference_update(x ^ kept))
            self._later((f"{place} (one of a set)", v) for v in x if not isinstance(v, PLAIN))
            return frozenset(map(key_of, x))
        if isinstance(x, bytearray):
            held = bytes(x)
            self._back.append(lambda: x.__setitem__(slice(None), held))
            return held
        if isinstance(x, types.FunctionType):
            return self._function(place, x)
        if isinstance(x, types.MethodType):
            self._later(iter([(place, x.__func__), (f"{place}'s object", x.__self__)]))
            return None
        if isinstance(x, functools.partial):
            self._later(iter([(place, x.func), (f"{place}'s", (x.args, x.keywords))]))
            return None
        if isinstance(x, functools._lru_cache_wrapper):
            count = x.cache_info().misses
            self._back.append(lambda: x.cache_clear() if x.cache_info().misses != count else None)
            self._later(iter([(place, getattr(x, "__wrapped__", None))]))
            return None
        if isinstance(x, type):
            self._class(place, x)
            return x
        if isinstance(x, types.ModuleType | types.BuiltinFunctionType):
            return id(x)
        if isinstance(x, Iterator):
            return self._iterator(place, x)
        return self._object(place, x)

    # tensors and arrays

    def _tensor(self, place: str, x: Tensor) -> Any:
        if isinstance(x, FakeTensor):
            return Made(x)
        if attributes := {k: v for k, v in vars(x).items() if k != "_is_param"}:
            self._later((f"{place}.{k}", v) for k, v in attributes.items())
        for hooks in (x._backward_hooks, x._post_accumulate_grad_hooks):
            self._later((f"{place}'s hook", hook) for hook in (hooks or {}).values())
        return id(x), version(x), x.requires_grad

    def _array(self, x: np.ndarray) -> Any:
        if x.dtype.hasobject:
            return id(x)
        kept = x.copy()

        def back() -> None:
            if x.tobytes() != kept.tobytes():
                x[...] = kept

        self._back.append(back)
        return x.shape, x.dtype, kept.tobytes()

    # containers

    def _mapping(self, x: dict[Any, Any]) -> None:
        kept = list(x.items())
        # past a subclass's own methods, but an ordered one knows its order by these alone
        kind = OrderedDict if isinstance(x, OrderedDict) else dict

        def back() -> None:
            if [*map(id, x), *map(id, x.values())] != [
                *(id(k) for k, _ in kept),
                *(id(v) for _, v in kept),
            ]:
                kind.clear(x)
                for key, value in kept:
                    kind.__setitem__(x, key, value)

        self._back.append(back)

    def _sequence(self, x: Any) -> None:
        kept = list(x)

        def back() -> None:
            if list(map(id, x)) != list(map(id, kept)):
                x.clear()
                x.extend(kept)

        self._back.append(back)

    def _named_key(self, key: Any) -> str:
        return repr(key) if isinstance(key, PLAIN) else self.places.get(id(key), _kind(key))

    def _named(self, holder: Any, name: str) -> Any:
        """What `holder` has under a name; it is put back there."""
        kept = getattr(holder, name, _MISSING)

        def back() -> None:
            now = getattr(holder, name, _MISSING)
            if now is not kept and kept is _MISSING:
                delattr(holder, name)
            elif now is not kept:
                setattr(holder, name, kept)

        self._back.append(back)
        return kept

    # code

    def _function(self, place: str, x: types.FunctionType) -> Any:
        found: list[tuple[str, Any]] = []
        for name, cell in zip(x.__code__.co_freevars, x.__closure__ or (), strict=False):
            kept = self._named(cell, "cell_contents") if _is_full(cell) else _MISSING
            if kept is not _MISSING:
                found.append((f"{place}: {name}", kept))
        for k, value in enumerate(x.__defaults__ or ()):
            found.append((f"{place}: default {k}", value))
        for name, value in (x.__kwdefaults__ or {}).items():
            found.append((f"{place}: default {name}", value))
        if vars(x):
            self._mapping(vars(x))
            found += [(f"{place}.{k}", v) for k, v in vars(x).items()]
        if _is_own(x.__code__.co_filename):
            found += [(f"the global {name}", v) for name, v in self._globals(x.__globals__, x)]
        self._later(iter(found))
        return id(x.__code__)

    def _globals(self, space: dict[str, Any], x: types.FunctionType) -> Iterator[tuple[str, Any]]:
        """What a function reads of its file, and of its user's other files."""
        for name in _names(x.__code__):
            kept = space.get(name, _MISSING)

            def back(name: str = name, kept: Any = kept) -> None:
                if space.get(name, _MISSING) is kept:
                    return
                if kept is _MISSING:
                    del space[name]
                else:
                    space[name] = kept

            self._back.append(back)
            if isinstance(kept, types.ModuleType):
                if _is_own(getattr(kept, "__file__", None) or ""):
                    for key, value in self._globals(vars(kept), x):
                        yield f"{name}.{key}", value
            elif kept is not _MISSING:
                yield name, kept

    def _class(self, place: str, x: type) -> None:
        """What a class of the user's own holds, and its functions."""
        for kind in x.__mro__:
            source = sys.modules.get(kind.__module__)
            immutable = kind.__flags__ & _IMMUTABLE  # one of C's, as itertools.chain
            if immutable or not _is_own(getattr(source, "__file__", None) or ""):
                continue
            if kind is not x:
                self._later(iter([(kind.__name__, kind)]))
                continue
            for name, value in list(vars(kind).items()):
                if name.startswith("__") and not isinstance(value, types.FunctionType):
                    continue
                if name.startswith("_abc_"):
                    continue
                if isinstance(value, staticmethod | classmethod):
                    value = value.__func__
                elif isinstance(value, property):
                    value = value.fget
                elif isinstance(value, functools.cached_property):
                    value = value.func
                elif not isinstance(value, types.FunctionType):
                    self._named(kind, name)
                self._later(iter([(f"{kind.__name__}.{name}", value)]))

    # other objects

    def _iterator(self, place: str, x: Any) -> Any:
        """Where an iterator stands, as far as it tells; it cannot be put back."""
        if isinstance(x, types.GeneratorType):
            frame = x.gi_frame
            if frame is None:
                return "at its end"
            self._later((f"{place}: {k}", v) for k, v in frame.f_locals.items())
            return frame.f_lasti
        if isinstance(x, itertools.count):
            return repr(x)
        if hasattr(x, "__dict__"):
            return self._object(place, x)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                parts = x.__reduce__()
        except (TypeError, AttributeError, NotImplementedError):
            return type(x)
        self._later(iter([(f"{place}'s place", parts[1:])]))
        return type(x)

    def _object(self, place: str, x: Any) -> Any:
        kind = type(x)
        if kind.__module__.split(".")[0] in _OPAQUE or kind.__module__.startswith("torch._C"):
            return kind
        found: list[tuple[str, Any]] = [(kind.__name__, kind)]
        attributes = getattr(x, "__dict__", None)
        if isinstance(attributes, dict):
            self._mapping(attributes)
            if isinstance(x, nn.Module):
                self.modules.append(x)
                for of in ("_parameters", "_buffers", "_modules"):
                    if isinstance(attributes.get(of), dict):
                        self._mapping(attributes[of])
                        found += [(f"{place}.{k}", v) for k, v in attributes[of].items()]
            found += [
                (f"{place}.{k}", v)
                for k, v in attributes.items()
                if not (isinstance(x, nn.Module) and k in ("_parameters", "_buffers", "_modules"))
            ]
        for base in kind.__mro__:
            slots = vars(base).get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if name in ("__dict__", "__weakref__"):
                    continue
                kept = self._named(x, name)
                if kept is not _MISSING:
                    found.append((f"{place}.{name}", kept))
        self._later(iter(found))
        return kind


def _kind(x: Any) -> str:
    return f"a {type(x).__name__}"


def _is_full(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _names(code: types.CodeType) -> list[str]:
    """Names that a function, or one within it, may read of its file."""
    names = list(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names += _names(constant)
    return list(dict.fromkeys(names))


def _is_own(file: str) -> bool:
    """Whether a file is the user's own, and no library's."""
    return is_users(file) and "site-packages" not in file and not file.startswith(_LIBRARIES)
