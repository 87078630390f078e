"""An optimizer's step as a part of a program's step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from worker.program import layers
from worker.program.lower import Unsupported
from worker.program.optimizers.binding import bound, settings_of
from worker.program.optimizers.entries import Entries, States
from worker.program.optimizers.errors import told
from worker.program.optimizers.schedule import Rates, Schedule
from worker.program.optimizers.slots import Slot, as_tensor, find_slots, group_name


class Stepping:
    """An optimizer with what it keeps, as tensors of a state.

    parameters: whatever the optimizer holds, by name; others of the module may be among them.
    trained: those that get gradients. label: of the optimizer in the names of its tensors.

    Raises Unsupported, naming the optimizer, for what programs cannot express, and ValueError where
    the optimizer holds something else.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        parameters: Mapping[str, Tensor],
        schedule: Rates | None = None,
        label: str = "",
    ) -> None:
        self.optimizer, self.kind = optimizer, type(optimizer).__name__
        of = {id(p): name for name, p in parameters.items()}
        self.names: list[str] = []
        for p in (p for group in optimizer.param_groups for p in group["params"]):
            if id(p) not in of:
                raise ValueError(
                    f"the optimizer holds a tensor of shape {tuple(p.shape)} that is not a "
                    "parameter of the module"
                )
            self.names.append(of[id(p)])
        self.parameters = {name: parameters[name] for name in self.names}
        self.trained = [name for name, p in self.parameters.items() if p.requires_grad]
        if not self.trained:
            raise ValueError("the optimizer has no parameters to train")
        _check(optimizer, scheduled=schedule is not None)
        scope = f"{label}." if label else ""
        self.schedule = None
        if schedule is not None:
            self.schedule = Schedule(optimizer, schedule, f"{scope}schedule")
        self.settings = settings_of(optimizer)
        first = self._settings([] if self.schedule is None else self.schedule.first)
        self.kept = find_slots(optimizer, self.parameters, self.trained, first)
        if self.schedule is not None and any(
            slot.key == "lr" and slot.owner not in self.parameters for slot in self.kept.slots
        ):
            raise Unsupported(f"a schedule for {self.kind}, whose own step changes its rate")
        self.tensor_names = [
            *(f"optimizer.{scope}{slot.key}.{slot.owner}" for slot in self.kept.slots),
            *((f"optimizer.{scope}started",) if self.kept.late else ()),
            *(self.schedule.names if self.schedule else ()),
        ]

    def _settings(self, rates: Sequence[Tensor | float]) -> list[dict[str, Any]]:
        """What each group says, with other rates where there are any."""
        if not rates:
            return self.settings
        return [{**s, "lr": rate} for s, rate in zip(self.settings, rates, strict=True)]

    @property
    def is_torchs(self) -> bool:
        """Whether its step is PyTorch's own, with nothing of the user's hooked to it."""
        hooks = (
            self.optimizer._optimizer_step_pre_hooks,
            self.optimizer._optimizer_step_post_hooks,
            _global_optimizer_pre_hooks,
            _global_optimizer_post_hooks,
        )
        own = type(self.optimizer).__module__.startswith("torch.optim.")
        return own and "step" not in vars(self.optimizer) and not any(hooks)

    def initial(self) -> list[Tensor]:
        """The optimizer's tensors before the first step, in the order of `tensor_names`."""
        return [
            *self.kept.initial(),
            *((torch.zeros((), dtype=torch.bool),) if self.kept.late else ()),
            *(self.schedule.initial() if self.schedule else ()),
        ]

    def state_dict(self, state: Sequence[Tensor]) -> dict[str, Any]:
        """What `optimizer.load_state_dict` takes, with what the optimizer keeps in a state.

        state: its tensors, in the order of `tensor_names`.
        """
        kept, found = self.kept, self.optimizer.state_dict()
        held = zip(kept.slots, state, strict=False)
        values = {s: t.item() if s in kept.numbers else t.clone() for s, t in held}
        if kept.late and not bool(state[len(kept.slots)]):
            values = {slot: t for slot, t in values.items() if slot not in kept.late}
        places = {name: k for k, name in enumerate(self.names)}
        for name in self.trained:
            entries = {slot.key: v for slot, v in values.items() if slot.owner == name}
            if entries:
                found["state"][places[name]] = {**kept.fixed.get(name, {}), **entries}
        rates = [] if self.schedule is None else self.schedule.at(state[-2:])[0]
        for k, group in enumerate(found["param_groups"]):
            group.update({s.key: v for s, v in values.items() if s.owner == group_name(k)})
            if rates:
                group["lr"] = float(rates[k])
        return found

    def step(self) -> None:
        """The optimizer's own step, on what it works on."""
        with told(self.kind), layers.called(self.optimizer, "the optimizer"):
            self.optimizer.step()

    @contextmanager
    def at_work(
        self, tensors: Mapping[str, Tensor], state: Sequence[Tensor]
    ) -> Iterator[Callable[[], list[Tensor]]]:
        """Within, the optimizer works on these tensors, which its steps change in place.

        tensors: its parameters by name. state: what it keeps, in the order of `tensor_names`.
        Yields a function, to be called within, that returns what it keeps then.
        """
        slots = self.kept.slots
        rates: list[Tensor] = []
        clock: list[Tensor] = []
        if self.schedule is not None:
            rates, clock = self.schedule.at(state[-2:])
        # copies: a step changes them in place, and the state that came in stays what it was
        entering = {slot: t.clone() for slot, t in zip(slots, state, strict=False)}
        late = _Late(self, tensors, state[len(slots)]) if self.kept.late else None
        states = States()
        for name in self.trained:
            given = {slot.key: entering[slot] for slot in slots if slot.owner == name}
            given = {**self.kept.fixed.get(name, {}), **given}
            if given:
                entries = Entries()
                entries.give(given)
                states[tensors[name]] = entries
        groups = self.optimizer.param_groups
        stand_ins = {id(p): tensors[name] for name, p in self.parameters.items()}
        late_steps = {} if late is None else {"steps": late.steps}
        with bound(self.optimizer, stand_ins, states, self._settings(rates), **late_steps):
            of_groups = {group_name(k): group for k, group in enumerate(groups)}
            for slot in slots:
                if slot.owner in of_groups:
                    of_groups[slot.owner][slot.key] = entering[slot]

            def leaving() -> list[Tensor]:
                found: dict[str, Mapping[str, Any]] = dict(of_groups)
                found |= {name: states.get(tensors[name], {}) for name in self.trained}
                self._check_fixed(found)
                after = [self._after(slot, found[slot.owner], entering[slot]) for slot in slots]
                return [*after, *([] if late is None else [late.started]), *clock]

            yield leaving

    def _after(self, slot: Slot, entries: Mapping[str, Any], before: Tensor) -> Tensor:
        value = entries.get(slot.key)
        if not isinstance(value, Tensor) or value.shape != before.shape:
            found = tuple(value.shape) if isinstance(value, Tensor) else repr(value)
            raise Unsupported(
                f"the optimizer {self.kind} makes of {slot.key!r} of {slot.owner}, "
                f"of shape {tuple(before.shape)}, {found}: what it keeps must keep its shape"
            )
        value = value.detach() if value.requires_grad else value
        return value.to(before.dtype)

    def _check_fixed(self, found: Mapping[str, Mapping[str, Any]]) -> None:
        """Whether what was the same in the first step is the same in all."""
        slots = set(self.kept.slots)
        for name in self.trained:
            fixed = self.kept.fixed.get(name, {})
            for key, value in found[name].items():
                if Slot(key, name) in slots:
                    continue
                if key not in fixed or isinstance(value, Tensor) or fixed[key] != value:
                    raise Unsupported(
                        f"the optimizer {self.kind} keeps {key!r} of {name} only from its second "
                        "step on: a program has one step; begin with a tensor of zeros"
                    )


class _Late:
    """Steps of an optimizer whose first one is another than all later ones.

    Both are made, and what has been started decides which of them counts.
    """

    def __init__(self, stepping: Stepping, tensors: Mapping[str, Tensor], started: Tensor) -> None:
        self.stepping, self.tensors, self.started = stepping, tensors, started
        self.made = False

    def steps(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def both(*args: Any, **kwargs: Any) -> Any:
            if self.made:
                return step(*args, **kwargs)
            self.made = True
            states = self.stepping.optimizer.state
            before = self._copied()
            for slot in self.stepping.kept.late:
                states[self.tensors[slot.owner]].pop(slot.key)
            step(*args, **kwargs)
            first = self._copied()
            self._restore(before)
            result = step(*args, **kwargs)
            later = self._copied()
            self._restore({key: torch.where(self.started, later[key], first[key]) for key in later})
            self.started = torch.ones_like(self.started)
            return result

        return both

    def _places(self) -> Iterator[tuple[Any, Any]]:
        for name in self.stepping.trained:
            yield name, self.tensors[name]
        for slot in self.stepping.kept.slots:
            yield slot, self._entries(slot).get(slot.key)

    def _entries(self, slot: Slot) -> dict[str, Any]:
        if slot.owner in self.tensors:
            return self.stepping.optimizer.state[self.tensors[slot.owner]]
        groups = self.stepping.optimizer.param_groups
        return next(g for k, g in enumerate(groups) if group_name(k) == slot.owner)

    def _copied(self) -> dict[Any, Tensor]:
        """All that a step changes; a parameter without a gradient has nothing late."""
        return {
            place: as_tensor(value).detach().clone()
            for place, value in self._places()
            if value is not None
        }

    def _restore(self, values: Mapping[Any, Tensor]) -> None:
        for place, value in values.items():
            if isinstance(place, Slot):
                dict.__setitem__(self._entries(place), place.key, value.clone())
            else:
                self.tensors[place].detach().copy_(value)


def _check(optimizer: Optimizer, scheduled: bool) -> None:
    """Raises Unsupported for what cannot be a part of a step."""
    kind, groups = type(optimizer).__name__, optimizer.param_groups
    if isinstance(optimizer, torch.optim.LBFGS):
        raise Unsupported(f"the optimizer {kind}, which runs the model until it is satisfied")
    if isinstance(optimizer, torch.optim.SparseAdam):
        raise Unsupported(f"the optimizer {kind}: programs know no sparse gradients; use Adam")
    if any(group.get("differentiable") for group in groups):
        raise Unsupported(f"{kind} with differentiable=True, which changes no parameter in place")
    for name, value in vars(optimizer).items():
        if isinstance(value, Optimizer):
            raise Unsupported(
                f"the optimizer {kind}, which holds another one in {name!r}: write the step and "
                "list both (capture_step)"
            )
    if not scheduled and any("initial_lr" in group for group in groups):
        # a scheduler of torch marks them so; its first rate, often zero, would stay for ever
        raise Unsupported(
            "an optimizer with a scheduler, which runs outside of a step: list each step's rate "
            "(scheduler.get_last_lr() before each) as schedule=[...]"
        )
    if any("max_momentum" in group for group in groups):
        raise Unsupported("a scheduler that changes momentum too: give it cycle_momentum=False")
