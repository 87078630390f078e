"""Captures a training step that the user has written: several optimizers, losses and modules.

The step is an ordinary loop's body. Whatever it does in place to parameters, buffers and what the
optimizers keep is the next state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.overrides import TorchFunctionMode

from worker.program import layers
from worker.program.ends import (
    TRAINING_BITS,
    Batch,
    check_batch,
    check_module,
    lowered,
    named_batch,
    tensors_of,
)
from worker.program.layout import check_tensors
from worker.program.optimizers import Rates, Stepping
from worker.program.program import Program
from worker.program.tracing import Users, plain_kernels, remembered_gradients, traced

Modules = nn.Module | Mapping[str, nn.Module]
Optimizers = Optimizer | Mapping[str, Optimizer]
Schedules = Rates | Mapping[str, Rates] | None

_SET_GRAD = Tensor.grad.__set__  # type: ignore[union-attr]


def capture_step(
    step: Callable[..., Any],
    modules: Modules,
    optimizers: Optimizers,
    example_batch: Batch,
    *,
    schedule: Schedules = None,
    bits: int = TRAINING_BITS,
    whole: bool = False,
) -> Program:
    """A training step, as it is written, as a program.

    step: what a loop does with one batch: `zero_grad`, `backward`, `optimizer.step()`, clipping,
    `copy_` into other parameters. It is called with the batch's tensors, or with its names, and
    returns the tensors that the program reports, such as the loss. It begins without gradients:
    those that the step before has left are cleared before new ones are added.

    modules: all whose parameters and buffers the step reads or writes: one, or several by name.
    optimizers: those whose `step` it calls: one, or several by name. Their tensors are the state:
    parameters, buffers, then what each optimizer keeps and its schedule. schedule: as for
    `capture_training`, of the one optimizer, or by the optimizers' names. example_batch, bits,
    whole: as for `capture_training`; the first state is `step_state`'s.

    Nothing of the user's is changed. Raises Unsupported, naming operators and the user's lines, for
    anything that programs cannot express, and ValueError for a step that adds to old gradients.
    """
    layout = _Layout(modules, optimizers, schedule)
    names, batch = named_batch(example_batch)
    if batch:
        check_batch(names, batch, whole)
    roots = {"the step": step, "module": layout.module, **layout.roots}
    users = Users(roots, layout.named, batch)

    def whole_step(state: list[Tensor], rows: list[Tensor]) -> list[Tensor]:
        # copies: a step writes into them, and the state that came in stays what it was
        tensors = {name: t.clone() for name, t in zip(layout.named, state, strict=False)}
        for name, t in tensors.items():
            t.requires_grad_(layout.named[name].requires_grad)
        rows = [t.clone() for t in rows]
        gradients = _Gradients({name: tensors[name] for name in layout.trained})
        with ExitStack() as entered:
            for context in (torch.enable_grad(), plain_kernels()):
                entered.enter_context(context)
            entered.enter_context(layers.named_layers(layout.module))
            entered.enter_context(users.stand_ins.standing(tensors))
            entered.enter_context(gradients)  # it hands a backward on to the stand-ins
            kept = layout.enter(entered, tensors, state)
            named = {} if names is None else dict(zip(names, rows, strict=True))
            returned = tensors_of(step(*(rows if names is None else ()), **named))
            gradients.check()
            slots = [t for leaving in kept for t in leaving()]
        if not returned:
            raise ValueError("the step returns no tensor; it needs something to report: its loss")
        return [
            *(t.detach() for t in tensors.values()),
            *slots,
            *(t.detach() for t in returned),
        ]

    state = layout.initial()
    graph = traced(whole_step, users, state, batch)
    return lowered(graph, state, batch, layout.names, bits, shaped=len(state), whole=whole)


def step_state(
    modules: Modules, optimizers: Optimizers, schedule: Schedules = None
) -> list[Tensor]:
    """The first state of a step: copies of parameters, buffers and what the optimizers keep."""
    return _Layout(modules, optimizers, schedule).initial()


class _Layout:
    """Which tensor stands where in a state."""

    def __init__(self, modules: Modules, optimizers: Optimizers, schedule: Schedules) -> None:
        self.module = modules if isinstance(modules, nn.Module) else nn.ModuleDict(modules)
        for module in [self.module, *self.module.children()]:
            check_module(module)
        parameters = dict(self.module.named_parameters())
        self.named: dict[str, Tensor] = {**parameters, **dict(self.module.named_buffers())}
        check_tensors(self.named)
        one = isinstance(optimizers, Optimizer)
        given: Mapping[str, Optimizer] = {"": optimizers} if one else dict(optimizers)  # type: ignore[dict-item, arg-type]
        rates: Mapping[str, Any] = {"": schedule} if one else dict(schedule or {})  # type: ignore[arg-type]
        if unknown := set(rates) - set(given):
            raise ValueError(f"a schedule for {sorted(unknown)}; the optimizers are {list(given)}")
        self.optimizers = {
            label: Stepping(optimizer, parameters, rates.get(label), label)
            for label, optimizer in given.items()
        }
        self.roots = {f"optimizer {label}".strip(): o for label, o in given.items()}
        self.trained = list(dict.fromkeys(n for o in self.optimizers.values() for n in o.trained))
        self.names = [
            *self.named,
            *(name for o in self.optimizers.values() for name in o.tensor_names),
        ]

    def initial(self) -> list[Tensor]:
        held = [t.detach().clone() for t in self.named.values()]
        return [*held, *(t for o in self.optimizers.values() for t in o.initial())]

    def enter(
        self, entered: ExitStack, tensors: Mapping[str, Tensor], state: list[Tensor]
    ) -> list[Callable[[], list[Tensor]]]:
        """Every optimizer at work; functions that return what each keeps then."""
        kept, place = [], len(self.named)
        for optimizer in self.optimizers.values():
            count = len(optimizer.tensor_names)
            work = optimizer.at_work(tensors, state[place : place + count])
            kept.append(entered.enter_context(work))
            place += count
        return kept


class _Gradients(TorchFunctionMode):
    """Sees whether a step clears the gradients that it adds to.

    A program's state has none: a step that would add to what the last one left is refused.
    """

    def __init__(self, parameters: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._parameters = dict(parameters)
        self._cleared: set[int] = set()
        self._added: set[int] = set()
        for p in parameters.values():
            p.register_post_accumulate_grad_hook(self._add)

    def __enter__(self) -> Any:
        # they leave alone what has no gradient, as all have here
        self._before = (Optimizer.zero_grad, nn.Module.zero_grad)
        of_optimizers, of_modules = self._before

        def zero_grad(optimizer: Optimizer, *args: Any, **kwargs: Any) -> None:
            self._clear(p for group in optimizer.param_groups for p in group["params"])
            of_optimizers(optimizer, *args, **kwargs)

        def zero_grads(module: nn.Module, *args: Any, **kwargs: Any) -> None:
            self._clear(module.parameters())
            of_modules(module, *args, **kwargs)

        Optimizer.zero_grad = zero_grad  # type: ignore[method-assign, assignment]
        nn.Module.zero_grad = zero_grads  # type: ignore[method-assign, assignment]
        return super().__enter__()

    def __exit__(self, *error: Any) -> Any:
        Optimizer.zero_grad, nn.Module.zero_grad = self._before  # type: ignore[method-assign]
        return super().__exit__(*error)

    def _clear(self, parameters: Iterable[Tensor]) -> None:
        self._cleared |= {id(p) for p in parameters}

    def _add(self, p: Tensor) -> None:
        if id(p) not in self._cleared:
            self._added.add(id(p))

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func == _SET_GRAD and args[1] is None:
            self._clear([args[0]])
        if func is Tensor.backward:
            with remembered_gradients(args[0]):
                return func(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def check(self) -> None:
        """Raises ValueError, naming the parameters."""
        left = [
            name
            for name, p in self._parameters.items()
            if id(p) in self._added and p.grad is not None
        ]
        if left:
            raise ValueError(
                f"the step adds to the gradients that the step before has left of {left[:4]}: call "
                "optimizer.zero_grad() before backward(), with set_to_none=True, or at the end; to "
                "accumulate over several batches give a step all of them, and take it in chunks"
            )
