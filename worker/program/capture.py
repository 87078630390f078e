"""Captures ordinary PyTorch as a program.

A module, a loss and an optimizer are traced together, forward, backward and update, into one graph
of ATen operators, which is then lowered to the six kinds of node.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._decomp import core_aten_decompositions
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention import SDPBackend, sdpa_kernel

from worker.program.builder import Builder
from worker.program.codes import DTYPE_CODES
from worker.program.lower import Unsupported, lower_graph
from worker.program.program import Program

LossFn = Callable[..., Tensor]

# what a fresh optimizer's tensors start from, by optimizer; others come with their own issue
_STATE_OF = {torch.optim.SGD: ("momentum_buffer",)}


def capture_training(
    module: nn.Module,
    loss_fn: LossFn,
    optimizer: torch.optim.Optimizer,
    example_batch: Sequence[Tensor],
) -> Program:
    """One training step as a program.

    The step computes `loss_fn(module(*batch[:-1]), batch[-1])`, its gradient, and the optimizer's
    update. Its state is the module's parameters, then its buffers, then the optimizer's tensors;
    its report is the loss. The first axis of every batch tensor counts the rows of a step.

    Neither module nor optimizer is changed. Raises Unsupported, naming operators and the user's
    lines, for anything that programs cannot express.
    """
    layout = _Layout(module, optimizer)
    batch = list(example_batch)
    _check_batch(batch)

    def step(state: list[Tensor], rows: list[Tensor]) -> list[Tensor]:
        parameters, buffers, slots = layout.split(state)
        leaves = [
            p.detach().requires_grad_(name in layout.trained) for name, p in parameters.items()
        ]
        # copies: a module may write to its buffers, and the state that came in stays what it was
        tensors = dict(zip(parameters, leaves, strict=True))
        tensors |= {name: t.clone() for name, t in buffers.items()}
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            loss = loss_fn(functional_call(module, tensors, tuple(rows[:-1])), rows[-1])
        if loss.numel() != 1:
            raise ValueError(
                f"the loss has shape {tuple(loss.shape)}; it must be one number: reduce it"
            )
        # in the optimizer's order, which need not be the module's
        gradients = torch.autograd.grad(loss, [tensors[name] for name in layout.trained])
        named = dict(zip(layout.trained, gradients, strict=True))
        updated, slots = layout.update(parameters, named, slots)
        return [*updated.values(), *(tensors[n] for n in buffers), *slots, loss.detach()]

    state = layout.initial()
    graph = _traced(step, state, batch)
    builder = Builder()
    views = [
        builder.state(i, DTYPE_CODES[t.dtype], tuple(t.shape)) for i, t in enumerate(state)
    ] + [builder.batch(i, DTYPE_CODES[t.dtype], tuple(t.shape)) for i, t in enumerate(batch)]
    lowered = lower_graph(graph.graph, builder, views)
    return Program(lowered.nodes, lowered.outputs, tuple(layout.names), lowered.origins)


def training_state(module: nn.Module, optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """The first state of a training: copies of parameters and buffers, and a fresh optimizer's."""
    return _Layout(module, optimizer).initial()


class _Layout:
    """Which tensor stands where in a training state."""

    def __init__(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        kind = type(optimizer)
        if kind not in _STATE_OF:
            known = ", ".join(k.__name__ for k in _STATE_OF)
            raise Unsupported(f"the optimizer {kind.__name__}: use one of {known}")
        if any(isinstance(v, Tensor) for g in optimizer.param_groups for v in g.values()):
            raise Unsupported("a hyperparameter that is a tensor: use Python numbers")
        if any(g.get("dampening") for g in optimizer.param_groups):
            # its first step differs from all others, and a program has one step
            raise Unsupported("SGD with dampening: set dampening=0")
        if optimizer.state:
            raise Unsupported("an optimizer that has made steps: pass a fresh one")
        self.module, self.optimizer = module, optimizer
        self.parameters = dict(module.named_parameters())
        self.buffers = dict(module.named_buffers())
        for name, tensor in (self.parameters | self.buffers).items():
            if tensor.dtype not in DTYPE_CODES:
                raise Unsupported(f"dtype {tensor.dtype} of {name}: use float32")
        of = {id(p): name for name, p in self.parameters.items()}
        self.trained: list[str] = []
        self.slots: list[tuple[str, str]] = []  # (key, parameter)
        for group in optimizer.param_groups:
            for p in group["params"]:
                if id(p) not in of:
                    raise ValueError(
                        f"the optimizer holds a tensor of shape {tuple(p.shape)} that is not a "
                        "parameter of the module"
                    )
                self.trained.append(of[id(p)])
                if group.get("momentum"):
                    self.slots += [(key, of[id(p)]) for key in _STATE_OF[kind]]
        if not self.trained:
            raise ValueError("the optimizer has no parameters to train")
        self.names = [
            *self.parameters,
            *self.buffers,
            *(f"optimizer.{key}.{name}" for key, name in self.slots),
        ]

    def initial(self) -> list[Tensor]:
        tensors = [t.detach().clone() for t in (self.parameters | self.buffers).values()]
        return tensors + [torch.zeros_like(self.parameters[name]) for _, name in self.slots]

    def split(
        self, state: list[Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], list[Tensor]]:
        """Parameters and buffers by name, and the optimizer's tensors in order."""
        p, b = len(self.parameters), len(self.buffers)
        return (
            dict(zip(self.parameters, state[:p], strict=True)),
            dict(zip(self.buffers, state[p : p + b], strict=True)),
            state[p + b :],
        )

    def update(
        self, parameters: dict[str, Tensor], gradients: dict[str, Tensor], slots: list[Tensor]
    ) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Runs the optimizer itself, on tensors of the trace."""
        optimizer = copy.copy(self.optimizer)
        fresh = {name: t.detach().clone() for name, t in parameters.items()}
        names = iter(self.trained)
        optimizer.param_groups = [
            {
                **g,
                "params": [fresh[next(names)] for _ in g["params"]],
                "foreach": False,
                "fused": False,
            }
            for g in self.optimizer.param_groups
        ]
        optimizer.state = type(self.optimizer.state)(self.optimizer.state.default_factory)
        for name in self.trained:
            fresh[name].grad = gradients[name]
        for (key, name), slot in zip(self.slots, slots, strict=True):
            optimizer.state[fresh[name]][key] = slot.clone()
        with torch.no_grad():
            # the step itself, without the hooks and the profiler that wrap it
            type(optimizer).step.__wrapped__(optimizer)  # type: ignore[attr-defined]
        return fresh, [optimizer.state[fresh[name]][key] for key, name in self.slots]


def _check_batch(batch: list[Tensor]) -> None:
    if len(batch) < 2:
        raise ValueError(
            f"the example batch has {len(batch)} tensors; give the module's inputs, then the target"
        )
    rows = {tuple(t.shape[:1]) for t in batch}
    if len(rows) != 1 or rows == {()}:
        raise ValueError(
            f"the batch's tensors have shapes {[tuple(t.shape) for t in batch]}; "
            "the first axis of each must count the same rows"
        )
    for t in batch:
        if t.dtype not in DTYPE_CODES:
            raise Unsupported(f"dtype {t.dtype} of a batch tensor: use float32, int64 or bool")


def _traced(
    step: Callable[..., list[Tensor]], state: list[Tensor], batch: list[Tensor]
) -> fx.GraphModule:
    """The step as a graph of core ATen operators without mutation."""
    state = [t.detach().clone() for t in state]
    first = make_fx(step, tracing_mode="real", record_stack_traces=True)(state, batch)

    def again(*args: Any) -> Any:
        # an interpreter hands the user's lines on to the decomposed operators
        with fx.traceback.preserve_node_meta():
            return fx.Interpreter(first).run(*args)

    flat = [*state, *batch]
    graph = make_fx(
        torch.func.functionalize(again),
        decomposition_table=dict(core_aten_decompositions()),
        tracing_mode="real",
        record_stack_traces=True,
    )(*flat)
    graph.graph.eliminate_dead_code()
    return graph
