"""What an optimizer keeps from step to step, found by a look at its first step.

Its `step` is traced once with tensors that have no elements. What it puts into its state is a slot
of the program's state; how a slot begins is what the step made it of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.optim import Optimizer

from worker.program.codes import DTYPE_CODES
from worker.program.lower import Unsupported
from worker.program.optimizers.binding import bound
from worker.program.optimizers.entries import Entries, States
from worker.program.optimizers.errors import told
from worker.program.optimizers.history import History, Made
from worker.program.tracing import plain_kernels


@dataclass(frozen=True)
class Slot:
    """A tensor that an optimizer keeps: `key` of what it keeps of a parameter, or of a group."""

    key: str
    owner: str


@dataclass(frozen=True)
class Slots:
    """What an optimizer keeps.

    slots: its tensors and the numbers that it changes, in order. fixed: by owner, what it keeps
    and never changes. late: slots that begin with a gradient, so that a first step is another than
    all later ones. numbers: slots that are Python's numbers to the optimizer. beginnings: what each
    slot is before the first step.
    """

    slots: list[Slot]
    fixed: dict[str, dict[str, Any]]
    late: frozenset[Slot]
    numbers: frozenset[Slot]
    beginnings: dict[Slot, Beginning]

    def initial(self) -> list[Tensor]:
        """The slots before the first step."""
        return [self.beginnings[slot].value() for slot in self.slots]


@dataclass(frozen=True)
class Beginning:
    """A tensor, or how it is made, and the values of what it is made of."""

    tensor: Tensor | Made
    given: Mapping[Made, Tensor]

    def value(self) -> Tensor:
        """A tensor of its own."""
        found = self.tensor
        tensor = found.value(dict(self.given)) if isinstance(found, Made) else found
        return tensor.detach().clone().contiguous()


def group_name(k: int) -> str:
    """The owner of what an optimizer keeps in one of its groups."""
    return f"group {k}"


def find_slots(
    optimizer: Optimizer,
    parameters: Mapping[str, Tensor],
    trained: Sequence[str],
    settings: Sequence[Mapping[str, Any]],
) -> Slots:
    """What `optimizer` keeps, where the parameters that it holds have these names.

    trained: those that get gradients. settings: what each group says, with its first rate.
    The optimizer may have made steps: then a slot begins with what it holds.

    Raises Unsupported, naming the optimizer, for what programs cannot keep.
    """
    return _Search(optimizer, parameters, trained, settings).found()


class _Search:
    def __init__(
        self,
        optimizer: Optimizer,
        parameters: Mapping[str, Tensor],
        trained: Sequence[str],
        settings: Sequence[Mapping[str, Any]],
    ) -> None:
        self.optimizer, self.kind = optimizer, type(optimizer).__name__
        self.parameters, self.trained, self.settings = parameters, trained, settings
        # by owner, what the optimizer holds before the step
        self.held: dict[str, dict[str, Any]] = {
            name: dict(optimizer.state.get(parameters[name], {})) for name in trained
        }
        others = set(optimizer.state) - {parameters[name] for name in trained}
        strange = [key for key in others if not isinstance(key, Tensor)]
        if strange:
            self._refuse_key(strange[0])
        self.after: dict[str, dict[str, Any]] = {}
        self.born: dict[Slot, Any] = {}
        # numbers that the first step sets and the second changes
        self.restated: set[Slot] = set()

    def found(self) -> Slots:
        mode = FakeTensorMode(allow_non_fake_inputs=True)
        with mode:
            parameters = {name: _empty(p) for name, p in self.parameters.items()}
            grads = {name: _empty(self.parameters[name]) for name in self.trained}
            held = {slot: _empty(t) for slot, t in self._held_tensors()}
        of_parameters = {name: History.given() for name in parameters}
        of_grads = {name: History.given() for name in grads}
        history = History(
            {id(p): of_parameters[name] for name, p in parameters.items()}
            | {id(g): of_grads[name] for name, g in grads.items()}
        )
        with told(self.kind), mode, history:
            self._first(parameters, grads, held)
        # gradients stand for their shapes
        given = {of_parameters[name]: p for name, p in self.parameters.items()}
        given |= {of_grads[name]: self.parameters[name] for name in self.trained}

        slots: list[Slot] = []
        fixed: dict[str, dict[str, Any]] = {}
        late: set[Slot] = set()
        numbers: set[Slot] = set()
        beginnings: dict[Slot, Beginning] = {}
        for owner, entries in self.after.items():
            for key, value in entries.items():
                slot = Slot(key, owner)
                before = self.held[owner].get(key)
                before = self.born.get(slot) if before is None else before
                begun = slot in self.restated
                if not begun and not isinstance(value, Tensor) and self._same(slot, before, value):
                    fixed.setdefault(owner, {})[key] = value
                    continue
                slots.append(slot)
                if not isinstance(value, Tensor):
                    numbers.add(slot)
                tensor = as_tensor(0 * value if begun else before)
                if begun:
                    late.add(slot)
                self._check_dtype(slot, tensor)
                made = history.of(tensor) if slot in self.born else None
                begins: Tensor | Made = tensor if made is None else made
                if slot not in self.born and isinstance(before, Tensor):
                    begins = self.optimizer.state[self.parameters[owner]][key]
                if made is not None and made.depends(set(of_grads.values())):
                    begins = torch.zeros(tensor.shape, dtype=tensor.dtype)
                    if not _begins_with_zeros(self.optimizer):
                        late.add(slot)
                beginnings[slot] = Beginning(begins, given)
        return Slots(slots, fixed, frozenset(late), frozenset(numbers), beginnings)

    def _held_tensors(self) -> Iterator[tuple[Slot, Tensor]]:
        for owner, entries in self.held.items():
            for key, value in entries.items():
                if isinstance(value, Tensor):
                    yield Slot(key, owner), value.detach()

    def _first(
        self,
        parameters: Mapping[str, Tensor],
        grads: Mapping[str, Tensor],
        held: Mapping[Slot, Tensor],
    ) -> None:
        """The first step, on tensors without elements; keeps what came into the state with it."""
        named = {name: p.clone() for name, p in parameters.items()}
        stand_ins = {id(self.parameters[name]): p for name, p in named.items()}
        states = States()
        for name, grad in grads.items():
            named[name].requires_grad_().grad = grad.clone()
            if self.held[name]:
                entries = Entries()
                entries.give(
                    {
                        key: held[Slot(key, name)].clone() if isinstance(v, Tensor) else v
                        for key, v in self.held[name].items()
                    }
                )
                states[named[name]] = entries
        with plain_kernels(), bound(self.optimizer, stand_ins, states, self.settings):
            groups = [_numbers(group) for group in self.optimizer.param_groups]
            own = {key: id(value) for key, value in vars(self.optimizer).items()}
            self.optimizer.step()
            for key, value in vars(self.optimizer).items():
                if own.get(key) != id(value) and not key.startswith("_"):
                    raise Unsupported(
                        f"the optimizer {self.kind}, whose step changes its own {key!r}: keep it "
                        "in self.state[p] of a parameter, or in a group"
                    )
            strange = [key for key in states if not isinstance(key, Tensor)]
            if strange:
                self._refuse_key(strange[0])
            for k, (group, before) in enumerate(
                zip(self.optimizer.param_groups, groups, strict=True)
            ):
                now = _numbers(group)
                changed = {key: value for key, value in now.items() if before.get(key) != value}
                if changed:
                    self.held[group_name(k)] = {key: before.get(key) for key in changed}
                    self.after[group_name(k)] = changed
            kept = {name: dict(states.get(named[name], {})) for name in self.trained}
            for name in self.trained:
                entries = states.get(named[name], Entries())
                self.born |= {Slot(key, name): value for key, value in entries.born.items()}
            if any(_is_plain(v) for entries in kept.values() for v in entries.values()):
                self.optimizer.step()
            for name, first_kept in kept.items():
                for key, value in first_kept.items():
                    later, slot = states[named[name]].get(key), Slot(key, name)
                    first = self.held[name].get(key, self.born.get(slot))
                    if _is_plain(value) and later != value and first == value:
                        self._same(slot, value, later)
                        self.restated.add(slot)
        self.after = {**kept, **self.after}

    def _refuse_key(self, key: Any) -> NoReturn:
        raise Unsupported(
            f"the optimizer {self.kind}, whose state has {key!r}: keep what a step changes in "
            "self.state[p] of a parameter, or in a group"
        )

    def _same(self, slot: Slot, before: Any, value: Any) -> bool:
        """Whether a step leaves it; if not, it must be a number."""
        if type(before) is type(value) and before == value:
            return True
        if isinstance(before, bool) or not isinstance(before, int | float):
            raise Unsupported(
                f"the optimizer {self.kind} keeps {slot.key!r} of {slot.owner}, first {before!r}, "
                f"then {value!r}: programs keep tensors and numbers"
            )
        return False

    def _check_dtype(self, slot: Slot, value: Tensor) -> None:
        if value.dtype not in DTYPE_CODES:
            raise Unsupported(
                f"the optimizer {self.kind} keeps {slot.key!r} of {slot.owner} in {value.dtype}: "
                "use float32"
            )


def _numbers(group: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in group.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _empty(x: Tensor) -> Tensor:
    return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype)


def _is_plain(value: Any) -> bool:
    return value is not None and not isinstance(value, Tensor)


def as_tensor(value: Any) -> Tensor:
    """A tensor as it is; a number as a scalar, i64 or f32."""
    if isinstance(value, Tensor):
        return value
    return torch.tensor(value, dtype=torch.int64 if isinstance(value, int) else torch.float32)


def _begins_with_zeros(optimizer: Optimizer) -> bool:
    """Whether a first step is as others are where what begins with a gradient begins with zeros:
    SGD's momentum, unless it is dampened."""
    return type(optimizer) is torch.optim.SGD and not any(
        group["dampening"] for group in optimizer.param_groups
    )
