"""What enters a trace, operator by operator: no value of a run may enter as a constant.

A step is run twice. What its first run has left in Python is there in the second, so if the second
asks for the same operators with the same constants, and leaves the same, all later ones will.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import _disable_current_modes

from worker.program import known
from worker.program.decompositions.values import LOOKED_AT
from worker.program.graph import Op
from worker.program.lower import Unsupported
from worker.program.memory import Memory
from worker.program.recorder import Recorder
from worker.program.tape import Tape

aten = torch.ops.aten


class Watch:
    """Looks at every operator of one run of a step, and at every tensor that it reads.

    recorder: what records the run. memory: where the tensors of state and batch lie. places: the
    name for people of each object that the user's objects hold. earlier: the watch of the step's
    first run, which this one must be like. left: what the first run has changed.
    """

    def __init__(
        self,
        recorder: Recorder,
        memory: Memory,
        places: Mapping[int, str],
        earlier: Watch | None = None,
        left: Sequence[str] = (),
    ) -> None:
        self.recorder, self._left = recorder, left
        self._memory, self._places, self._earlier = memory, places, earlier
        self._asked: list[str] = []  # every operator of a run's values
        self._told: dict[Op, str] = {}  # which of them made a value; for a constant, how
        self._tape = Tape()
        self._over = False

    def sees(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if func is torch.ops.prim.device.default:
            return func(*args, **kwargs)
        for t in _tensors((args, tuple(kwargs.values()))):
            if not isinstance(t, FakeTensor):
                self._real(func, t, args)
            elif self.recorder.made(t) is None:
                self._foreign(t)
            elif func is aten._local_scalar_dense.default and self._is_of_a_run(t):
                raise Unsupported(LOOKED_AT)
        asked = "" if self._over else f"{func} {self._tell(args)} {self._tell(kwargs)}"
        if torch.Tag.nondeterministic_seeded in getattr(func, "tags", ()):
            asked = f"a draw of {asked}"
            with self.recorder:  # it asks for copies too
                out = self._tape.draw(func, args, kwargs)
        else:
            out = self.recorder.run(func, args, kwargs)
        self._note(asked, out)
        return out

    def __enter__(self) -> Self:
        self._tape.start()
        self.recorder.watch = self
        return self

    def __exit__(self, *error: Any) -> None:
        self.recorder.watch = None
        try:
            if error[0] is None:
                self.ends()
        finally:
            self._tape.stop()

    def ends(self) -> bool:
        """Whether the user's part of the step, which ends here, has been run before. Raises
        Unsupported where the earlier run asked for more, or chance would not go on from here."""
        if not self._over:
            self._over = True
            self._tape.check()
            if self._earlier is not None and len(self._asked) < len(self._earlier._asked):
                raise Unsupported(_another(self._left))
        return self._earlier is not None

    # which tensors may be read

    def _real(self, func: Any, t: Tensor, args: tuple[Any, ...]) -> None:
        """A tensor with elements: a constant, unless it is part of what changes from run to run."""
        place = self._place(t)
        self._memory.refuse(t, place)
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
        if self._earlier is None:
            raise Unsupported(
                f"{self._place(t)}, which is read by a reference that cannot be followed: read a "
                "parameter as an attribute of its module"
            )
        if self._earlier._is_of_a_run(t):
            raise Unsupported(
                f"{self._place(t)}, which one step makes and the next one reads: register it as a "
                "buffer of the module, so that it is part of the state"
            )

    def _is_of_a_run(self, t: Tensor) -> bool:
        node = self.recorder.made(t)
        return node is None or known.is_of_a_run(node)

    def _place(self, t: Tensor) -> str:
        place = self._places.get(id(t), "")
        return f"the tensor {place + ' ' if place else ''}{described(t)}"

    # whether two runs are one

    def _note(self, asked: str, out: Any) -> None:
        if self._over:
            return
        if _RUN in asked or asked.startswith("a draw"):
            number = len(self._asked)
            if self._earlier is not None and self._earlier._asked[number : number + 1] != [asked]:
                raise Unsupported(_another(self._left))
            self._asked.append(asked)
            made = f"{_RUN}{number}"
        else:
            made = hashlib.sha256(asked.encode()).hexdigest()
        for k, t in enumerate(_tensors(out)):
            if (node := self.recorder.made(t)) is not None:
                self._told[node] = f"{made}.{k}"

    def _tell(self, value: Any) -> str:
        """An operand, in words that are the same in every run."""
        if isinstance(value, Tensor):
            return self._tell_tensor(value)
        if isinstance(value, tuple | list):
            return f"[{', '.join(map(self._tell, value))}]"
        if isinstance(value, dict):
            return f"[{', '.join(f'{k}={self._tell(v)}' for k, v in value.items())}]"
        plain = isinstance(value, int | float | str | None | torch.dtype | torch.layout)
        return f"{type(value).__name__} {value if plain else ''}"

    def _tell_tensor(self, t: Tensor) -> str:
        if not isinstance(t, FakeTensor):
            return f"{described(t)} {_contents(t)}"
        node = self.recorder.made(t)
        if node is None:
            assert self._earlier is not None
            node, told = self._earlier.recorder.made(t), self._earlier._told
        else:
            told = self._told
        if node is not None and node.op == "placeholder":
            return f"{_RUN}{node.target}"
        return told.get(node, "") if node is not None else ""


_RUN = "%"  # before the names of values that depend on a run


def _another(left: Sequence[str]) -> str:
    told = "a second run of the step is another than the first"
    if left:
        return (
            f"{told}, which has changed {', '.join(left[:3])}: keep what every step changes in a "
            "buffer of the module (register_buffer, and write into it in forward)"
        )
    return (
        f"{told}: what changes from step to step must come with the batch, from torch's random "
        "numbers, or from a buffer"
    )


def described(t: Tensor) -> str:
    """A tensor's dtype and shape."""
    return f"{str(t.dtype).removeprefix('torch.')} {tuple(t.shape)}"


def _contents(t: Tensor) -> str:
    """A digest of a constant's elements."""
    if t.is_meta or t.layout != torch.strided:
        return ""
    with _disable_current_modes():
        elements = t.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
    return hashlib.sha256(elements.tobytes()).hexdigest()


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
