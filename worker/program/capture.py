"""Captures ordinary PyTorch as a program.

A module, a loss and an optimizer are traced together, forward, backward and update, into one graph
of ATen operators, which is then lowered to the six kinds of node.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from worker.program import layers
from worker.program.builder import DOT_BITS
from worker.program.codes import Kind, Source
from worker.program.ends import (
    TRAINING_BITS,
    Batch,
    check_batch,
    check_module,
    lowered,
    named_batch,
    tensors_of,
)
from worker.program.layout import Layout, check_tensors
from worker.program.optimizers import Clipping, Rates
from worker.program.program import Program
from worker.program.standins import backward
from worker.program.tracing import Users, plain_kernels, remembered_gradients, traced

LossFn = Callable[..., Tensor]


def capture_training(
    module: nn.Module,
    loss_fn: LossFn | None,
    optimizer: torch.optim.Optimizer,
    example_batch: Batch,
    *,
    schedule: Rates | None = None,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    bits: int = TRAINING_BITS,
    whole: bool = False,
) -> Program:
    """One training step as a program.

    The step computes the loss, its gradient, and the optimizer's update. Its state is the module's
    parameters, then its buffers, then the optimizer's tensors; its report is the loss.

    example_batch: tensors whose first axis counts the rows of a step; only shapes and dtypes
    matter. A sequence holds the module's inputs and then the target: the loss is
    `loss_fn(module(*batch[:-1]), batch[-1])`. A mapping holds the module's arguments by name, and
    what else the loss reads: it is `loss_fn(module(**batch), batch)`, the module being handed what
    its `forward` takes. Without `loss_fn` the module is given all of the
    batch and its loss is what it returns, or the output's own `loss`, as the models of
    `transformers` have one where they are given `labels`. The program's batch is the mapping's
    tensors in their order: `program.run(state, list(batch.values()))`. whole: the batch is what
    every step sees, in this order, such as a graph; its tensors have no axis of rows, and for the
    program all of it is one row.

    What requires no gradient, or is not in the optimizer, is frozen: its next state is the node of
    its state itself, and the optimizer keeps no tensors of it. A parameter that the loss does not
    depend on stays as it is too, as where PyTorch finds no `grad`.

    optimizer: its own `step` is traced, whatever it does with tensors; where it has made steps, the
    state begins with what it keeps. schedule: the learning rate of each step, a number where all
    groups of the optimizer have one rate, else a list with the rate of each group
    (`scheduler.get_last_lr()`); it is a part of the state, with the number of the step. clip_norm:
    the most that the gradients' joint norm may be. clip_value: the most that any element's
    magnitude may be. bits: of the integers that products are made of, 2 to 20: with 20 losses are
    fp32's, with 14 products are as good as TF32's and take half the time.

    Neither module nor optimizer is changed. Raises Unsupported, naming operators and the user's
    lines, for anything that programs cannot express.
    """
    check_module(module)
    layout = Layout(module, optimizer, schedule, loss_fn)
    clipping = Clipping(clip_norm, clip_value)
    names, batch = named_batch(example_batch)
    if names is None and loss_fn is not None and len(batch) < 2:
        raise ValueError(
            f"the example batch has {len(batch)} tensors; give the module's inputs, then the "
            "target, or without a target a mapping by name: loss_fn(output, batch)"
        )
    check_batch(names, batch, whole)
    taken = _taken(module, names or [])

    users = Users(
        {"module": module, "the loss": loss_fn, "optimizer": optimizer}, layout.named, batch
    )

    def forward(rows: list[Tensor]) -> Tensor:
        if names is None and loss_fn is None:
            return _own_loss(module(*rows))
        if names is None:
            assert loss_fn is not None
            outputs = module(*rows[:-1])
            with layers.called(loss_fn):
                return loss_fn(outputs, rows[-1])
        given = dict(zip(names, rows, strict=True))
        outputs = module(**{n: given[n] for n in taken})
        if loss_fn is None:
            return _own_loss(outputs)
        with layers.called(loss_fn):
            return loss_fn(outputs, given)

    def step(state: list[Tensor], rows: list[Tensor]) -> list[Tensor]:
        parts = layout.split(state)
        # copies: a step may write into them, and the state that came in stays what it was
        tensors = {name: t.clone() for name, t in (parts.parameters | parts.buffers).items()}
        for name in layout.parameters:
            tensors[name].requires_grad_(layout.parameters[name].requires_grad)
        with (
            torch.enable_grad(),
            plain_kernels(),
            layers.named_layers(module),
            users.stand_ins.standing(tensors),
            layout.optimizer.at_work(tensors, parts.slots) as kept,
        ):
            loss = forward([t.clone() for t in rows])
            if not isinstance(loss, Tensor) or loss.numel() != 1:
                found = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
                raise ValueError(f"the loss has shape {found}; it must be one number: reduce it")
            if not loss.requires_grad:
                raise ValueError(
                    "the loss depends on no parameter that is trained: look for detach(), item() "
                    "or no_grad() on its way, and for requires_grad=False"
                )
            with remembered_gradients(loss):
                backward(loss)
            if layout.optimizer.is_torchs and users.may_end():
                return [loss]
            clipping.clip(tensors[name] for name in layout.trained)
            layout.optimizer.step()
            slots = kept()
        after = [tensors[name].detach() for name in layout.parameters]
        buffers = [tensors[name] for name in layout.buffers]
        return [*after, *buffers, *slots, loss.detach()]

    state = layout.initial()
    graph = traced(step, users, state, batch)
    program = lowered(graph, state, batch, layout.names, bits, whole=whole)
    _check_read(program, module, names or [], taken)
    return program


def capture_inference(
    module: nn.Module, example_batch: Batch, *, bits: int = DOT_BITS, whole: bool = False
) -> Program:
    """One forward pass as a program, without a gradient, in the module's own mode.

    Its state is the module's parameters and buffers; what the module writes into its buffers (a
    cache of keys and values, the token to go on from) is the next state. Its report is what the
    module returns, in its shapes: a tensor, or tensors in tuples, lists, mappings and dataclasses
    (the outputs of `transformers`), in their order; None is left out.

    example_batch: the module's arguments in their order, or a mapping of them by name. The first
    axis of every tensor counts the rows of a step; a module that takes nothing but its buffers has
    an empty batch. bits, whole: as for `capture_training`, but 14 bits by default: nothing
    amplifies an error.
    """
    check_module(module)
    names, batch = named_batch(example_batch)
    if batch:
        check_batch(names, batch, whole)
    parameters = dict(module.named_parameters())
    buffers = dict(module.named_buffers())
    held = [*parameters, *buffers]
    check_tensors(parameters | buffers)

    users = Users({"module": module}, parameters | buffers, batch)

    def step(state: list[Tensor], rows: list[Tensor]) -> list[Tensor]:
        tensors = {name: t.clone() for name, t in zip(held, state, strict=True)}
        rows = [t.clone() for t in rows]
        with (
            torch.no_grad(),
            plain_kernels(),
            layers.named_layers(module),
            users.stand_ins.standing(tensors),
        ):
            outputs = (
                module(*rows) if names is None else module(**dict(zip(names, rows, strict=True)))
            )
        returned = tensors_of(outputs)
        if not returned:
            raise ValueError("the module returns no tensor; a step needs something to report")
        return [*tensors.values(), *returned]

    state = inference_state(module)
    graph = traced(step, users, state, batch)
    return lowered(graph, state, batch, held, bits, shaped=len(held), whole=whole)


def inference_state(module: nn.Module) -> list[Tensor]:
    """The state of an inference: copies of parameters and buffers."""
    tensors = [*dict(module.named_parameters()).values(), *dict(module.named_buffers()).values()]
    return [t.detach().clone() for t in tensors]


def training_state(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: Rates | None = None,
    loss_fn: LossFn | None = None,
) -> list[Tensor]:
    """The first state of a training: copies of parameters, buffers and what the optimizer keeps.

    loss_fn: the loss, where it is a module with parameters or buffers of its own.
    """
    return Layout(module, optimizer, schedule, loss_fn).initial()


def optimizer_state(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    state: Sequence[Tensor],
    schedule: Rates | None = None,
    loss_fn: LossFn | None = None,
) -> dict[str, Any]:
    """What `optimizer.load_state_dict` takes, of a state of the training of these: to go on with
    in PyTorch."""
    layout = Layout(module, optimizer, schedule, loss_fn)
    return layout.optimizer.state_dict(list(state)[len(layout.named) :])


def _taken(module: nn.Module, names: list[str]) -> list[str]:
    """Those of a batch's names that the module's forward takes."""
    parameters = inspect.signature(module.forward).parameters
    if any(p.kind == p.VAR_KEYWORD for p in parameters.values()):
        return names
    return [n for n in names if n in parameters]


def _check_read(
    program: Program, module: nn.Module, names: list[str], taken: Collection[str]
) -> None:
    """A name that nobody knows is a mistake in writing it."""
    read = {n.attributes[0] for n in program.nodes if (n.kind, n.fn) == (Kind.SOURCE, Source.BATCH)}
    for index, name in enumerate(names):
        if name not in taken and index not in read:
            raise ValueError(
                f"the batch's {name!r} is no argument of {type(module).__name__}.forward, which "
                f"has {', '.join(inspect.signature(module.forward).parameters)}, and the loss does "
                "not read it: leave it out, or mend its name"
            )


def _own_loss(outputs: Any) -> Tensor:
    if isinstance(outputs, Tensor):
        return outputs
    loss = outputs.get("loss") if isinstance(outputs, Mapping) else getattr(outputs, "loss", None)
    if loss is None:
        raise ValueError(
            f"the module returns a {type(outputs).__name__} without a loss: give a loss function, "
            "or what the module computes its loss from (labels)"
        )
    return loss
