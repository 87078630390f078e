"""Captures ordinary PyTorch as a program.

A module, a loss and an optimizer are traced together, forward, backward and update, into one graph
of ATen operators, which is then lowered to the six kinds of node.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._decomp import core_aten_decompositions, get_decompositions
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention import SDPBackend, sdpa_kernel

from worker.program.builder import DOT_BITS, Builder
from worker.program.codes import DTYPE_CODES
from worker.program.lower import Unsupported, lower_graph
from worker.program.optimizers import UPDATES, clipped, slots_of
from worker.program.program import Program
from worker.program.views import row_major
from worker.program.wellformed import MOST_DOT_BITS

aten = torch.ops.aten

LossFn = Callable[..., Tensor]

# decomposed beside the core ones, so that fewer operators need a rule
_ALSO = (
    aten.native_layer_norm,
    aten.native_layer_norm_backward,
    aten.native_group_norm,
    aten.native_group_norm_backward,
    aten.native_batch_norm,
    aten._native_batch_norm_legit,
    aten._native_batch_norm_legit_no_training,
    aten.native_batch_norm_backward,
    aten.gelu,
    aten.gelu_backward,
    aten.silu,
    aten.silu_backward,
    aten.embedding_dense_backward,
    aten.binary_cross_entropy_with_logits,
    aten.hardtanh,
    aten.hardtanh_backward,
    aten.leaky_relu,
    aten.leaky_relu_backward,
    aten.elu,
    aten.elu_backward,
    aten.linalg_vector_norm,
)


def capture_training(
    module: nn.Module,
    loss_fn: LossFn,
    optimizer: torch.optim.Optimizer,
    example_batch: Sequence[Tensor],
    *,
    schedule: Sequence[float] | None = None,
    clip_norm: float | None = None,
    bits: int = DOT_BITS,
) -> Program:
    """One training step as a program.

    The step computes `loss_fn(module(*batch[:-1]), batch[-1])`, its gradient, and the optimizer's
    update. Its state is the module's parameters, then its buffers, then the optimizer's tensors;
    its report is the loss. The first axis of every batch tensor counts the rows of a step.

    schedule: the learning rate of each step, for all parameters; it is a part of the state, with
    the number of the step. clip_norm: the most that the gradients' joint norm may be. bits: of the
    integers that are multiplied; 8 is faster on some machines, and coarser.

    Neither module nor optimizer is changed. Raises Unsupported, naming operators and the user's
    lines, for anything that programs cannot express.
    """
    layout = Layout(module, optimizer, schedule)
    batch = list(example_batch)
    _check_batch(batch)

    def step(state: list[Tensor], rows: list[Tensor]) -> list[Tensor]:
        parts = layout.split(state)
        leaves = {
            name: p.detach().requires_grad_(name in layout.trained)
            for name, p in parts.parameters.items()
        }
        # copies: a module may write to its buffers, and the state that came in stays what it was
        tensors = {**leaves, **{name: t.clone() for name, t in parts.buffers.items()}}
        with torch.enable_grad(), _plain_kernels():
            outputs = functional_call(module, tensors, tuple(rows[:-1]))
            loss = loss_fn(outputs, rows[-1])
        if loss.numel() != 1:
            raise ValueError(
                f"the loss has shape {tuple(loss.shape)}; it must be one number: reduce it"
            )
        gradients = torch.autograd.grad(loss, [leaves[name] for name in layout.trained])
        named = dict(zip(layout.trained, gradients, strict=True))
        with torch.no_grad():
            after = layout.update(parts, named, clip_norm)
        # the call leaves in `tensors` what the module has bound anew
        buffers = [tensors[name] for name in layout.buffers]
        return [*after.parameters.values(), *buffers, *after.slots, loss.detach()]

    state = layout.initial()
    return _lowered(traced(step, state, batch), state, batch, layout.names, bits)


def capture_inference(
    module: nn.Module, example_batch: Sequence[Tensor], *, bits: int = DOT_BITS
) -> Program:
    """One forward pass as a program, without a gradient, in the module's own mode.

    Its state is the module's parameters and buffers; what the module writes into its buffers (a
    cache of keys and values, the token to go on from) is the next state. Its report is what the
    module returns, in its shapes: a tensor, or a tuple or list of them. The first axis of every
    batch tensor counts the rows of a step; a module that takes nothing but its buffers has an empty
    batch. bits: as for `capture_training`.
    """
    batch = list(example_batch)
    if batch:
        _check_rows(batch)
    parameters = dict(module.named_parameters())
    buffers = dict(module.named_buffers())
    names = [*parameters, *buffers]
    for name, tensor in (parameters | buffers).items():
        if tensor.dtype not in DTYPE_CODES:
            raise Unsupported(f"dtype {tensor.dtype} of {name}: use float32")

    def step(state: list[Tensor], rows: list[Tensor]) -> list[Tensor]:
        given = dict(zip(names, state, strict=True))
        tensors = {n: given[n].clone() if n in buffers else given[n] for n in names}
        with torch.no_grad(), _plain_kernels():
            outputs = functional_call(module, tensors, tuple(rows))
        returned = [outputs] if isinstance(outputs, Tensor) else list(outputs)
        return [*tensors.values(), *returned]

    state = inference_state(module)
    graph = traced(step, state, batch)
    return _lowered(graph, state, batch, names, bits, shaped=len(names))


def inference_state(module: nn.Module) -> list[Tensor]:
    """The state of an inference: copies of parameters and buffers."""
    tensors = [*dict(module.named_parameters()).values(), *dict(module.named_buffers()).values()]
    return [t.detach().clone() for t in tensors]


def _lowered(
    graph: fx.GraphModule,
    state: Sequence[Tensor],
    batch: Sequence[Tensor],
    names: Sequence[str],
    bits: int,
    shaped: int | None = None,
) -> Program:
    if not 2 <= bits <= MOST_DOT_BITS:
        raise ValueError(f"{bits=}; products take 2 to {MOST_DOT_BITS} (8 is the fast mode)")
    builder = Builder(bits)
    views = [
        builder.state(i, DTYPE_CODES[t.dtype], tuple(t.shape)) for i, t in enumerate(state)
    ] + [builder.batch(i, DTYPE_CODES[t.dtype], tuple(t.shape)) for i, t in enumerate(batch)]
    lowered = lower_graph(graph.graph, builder, views, shaped)
    return Program(lowered.nodes, lowered.outputs, tuple(names), lowered.origins)


def training_state(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: Sequence[float] | None = None,
) -> list[Tensor]:
    """The first state of a training: copies of parameters and buffers, and a fresh optimizer's."""
    return Layout(module, optimizer, schedule).initial()


@dataclass
class Parts:
    """A training state, by what its tensors are."""

    parameters: dict[str, Tensor]
    buffers: dict[str, Tensor]
    slots: list[Tensor]


class Layout:
    """Which tensor stands where in a training state."""

    def __init__(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: Sequence[float] | None = None,
    ) -> None:
        kind = type(optimizer)
        _check_optimizer(optimizer)
        self.kind, self.groups = kind, optimizer.param_groups
        self.parameters = dict(module.named_parameters())
        self.buffers = dict(module.named_buffers())
        for name, tensor in (self.parameters | self.buffers).items():
            if tensor.dtype not in DTYPE_CODES:
                raise Unsupported(f"dtype {tensor.dtype} of {name}: use float32")
        of = {id(p): name for name, p in self.parameters.items()}
        self.group_of: dict[str, dict[str, Any]] = {}
        for group in optimizer.param_groups:
            for p in group["params"]:
                if id(p) not in of:
                    raise ValueError(
                        f"the optimizer holds a tensor of shape {tuple(p.shape)} that is not a "
                        "parameter of the module"
                    )
                if p.requires_grad:
                    self.group_of[of[id(p)]] = group
        if not self.group_of:
            raise ValueError("the optimizer has no parameters to train")
        self.trained = list(self.group_of)
        self.slots = [
            (key, name) for name in self.trained for key in slots_of(kind, self.group_of[name])
        ]
        self.schedule = None
        if schedule is not None:
            self.schedule = torch.tensor(list(schedule), dtype=torch.float32)
            if self.schedule.numel() < 1:
                raise ValueError("the schedule is empty; give the learning rate of each step")
        self.names = [
            *self.parameters,
            *self.buffers,
            *(f"optimizer.{key}.{name}" for key, name in self.slots),
            *(("schedule.rates", "schedule.step") if self.schedule is not None else ()),
        ]

    def initial(self) -> list[Tensor]:
        tensors = [t.detach().clone() for t in (self.parameters | self.buffers).values()]
        for key, name in self.slots:
            like = self.parameters[name]
            tensors.append(like.new_zeros(()) if key == "step" else torch.zeros_like(like).detach())
        if self.schedule is not None:
            tensors += [self.schedule.clone(), torch.zeros(1, dtype=torch.int64)]
        return tensors

    def split(self, state: list[Tensor]) -> Parts:
        p, b = len(self.parameters), len(self.buffers)
        return Parts(
            dict(zip(self.parameters, state[:p], strict=True)),
            dict(zip(self.buffers, state[p : p + b], strict=True)),
            state[p + b :],
        )

    def update(self, parts: Parts, gradients: dict[str, Tensor], clip_norm: float | None) -> Parts:
        """The optimizer's update, on tensors of the trace."""
        after = dict(parts.parameters)
        slots = iter(parts.slots)
        rate: Tensor | None = None
        clock: list[Tensor] = []
        if self.schedule is not None:
            rates, step = parts.slots[-2:]
            rate = rates.gather(0, step.clamp(max=rates.numel() - 1)).reshape(())
            clock = [rates, step + 1]
        if clip_norm is not None:
            gradients = clipped(gradients, clip_norm)
        kept: list[Tensor] = []
        for name in self.trained:
            group = self.group_of[name]
            own = {key: next(slots) for key in slots_of(self.kind, group)}
            lr = group["lr"] if rate is None else rate
            after[name], new = UPDATES[self.kind](
                parts.parameters[name], gradients[name], own, group, lr
            )
            kept += [new[key] for key in own]
        return Parts(after, parts.buffers, [*kept, *clock])


def _check_optimizer(optimizer: torch.optim.Optimizer) -> None:
    kind = type(optimizer)
    if kind not in UPDATES:
        known = ", ".join(k.__name__ for k in UPDATES)
        raise Unsupported(f"the optimizer {kind.__name__}: use one of {known}")
    if any(isinstance(v, Tensor) for g in optimizer.param_groups for v in g.values()):
        raise Unsupported("a hyperparameter that is a tensor: use Python numbers, or a schedule")
    if any(g.get("dampening") for g in optimizer.param_groups):
        # its first step differs from all others, and a program has one step
        raise Unsupported("SGD with dampening: set dampening=0")
    if any(g.get("amsgrad") for g in optimizer.param_groups):
        raise Unsupported("Adam with amsgrad: set amsgrad=False")
    if optimizer.state:
        raise Unsupported("an optimizer that has made steps: pass a fresh one")


def _check_batch(batch: list[Tensor]) -> None:
    if len(batch) < 2:
        raise ValueError(
            f"the example batch has {len(batch)} tensors; give the module's inputs, then the target"
        )
    _check_rows(batch)


def _check_rows(batch: list[Tensor]) -> None:
    rows = {tuple(t.shape[:1]) for t in batch}
    if len(rows) != 1 or rows == {()}:
        raise ValueError(
            f"the batch's tensors have shapes {[tuple(t.shape) for t in batch]}; "
            "the first axis of each must count the same rows"
        )
    for t in batch:
        if t.dtype not in DTYPE_CODES:
            raise Unsupported(f"dtype {t.dtype} of a batch tensor: use float32, int64 or bool")


def _in_order(
    x: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Tensor:
    """as_strided where it is a reshape, as in group norm; elsewhere it is refused by name later."""
    if x.is_contiguous() and not storage_offset and tuple(stride) == row_major(tuple(size)):
        return x.view(size) if x.numel() == prod(size) else NotImplemented
    return NotImplemented


@contextmanager
def _plain_kernels() -> Iterator[None]:
    """Attention and recurrent layers as the operators they are made of, not as one kernel."""
    # allow_tf32=None: left as it is; to set it makes torch warn
    plain = torch.backends.mkldnn.flags(enabled=False, allow_tf32=None)
    with sdpa_kernel(SDPBackend.MATH), plain:
        yield


def _looked_at(error: RuntimeError) -> Unsupported:
    """The refusal of a module whose Python looks at a number that only a run has."""
    place = ""
    for frame in traceback.extract_tb(error.__traceback__):
        if "/torch/" not in frame.filename and "/worker/program/" not in frame.filename:
            place = f"{frame.filename}:{frame.lineno}: {frame.line}"
    return Unsupported(
        "Python looks at a tensor's value (item(), int(), float(), if), which only a run has; "
        f"compute with the tensor instead, or use torch.where; asked for at {place}"
    )


def traced(
    step: Callable[..., list[Tensor]], state: list[Tensor], batch: list[Tensor]
) -> fx.GraphModule:
    """The step as a graph of core ATen operators without mutation."""
    state = [t.detach().clone() for t in state]
    table: Any = {**core_aten_decompositions(), **get_decompositions(_ALSO)}
    table[aten.as_strided.default] = _in_order
    # batch norm's own operators change their operands in secret: they go before functionalization
    early: Any = get_decompositions([aten.native_batch_norm, aten.cudnn_batch_norm])
    try:
        first = make_fx(
            step, decomposition_table=early, tracing_mode="real", record_stack_traces=True
        )(state, batch)
    except RuntimeError as error:
        if "_local_scalar_dense" not in str(error):
            raise
        raise _looked_at(error) from error

    def again(*args: Any) -> Any:
        # an interpreter hands the user's lines on to the decomposed operators
        with fx.traceback.preserve_node_meta():
            return fx.Interpreter(first).run(*args)

    flat = [*state, *batch]
    graph = make_fx(
        torch.func.functionalize(again),
        decomposition_table=table,
        tracing_mode="real",
        record_stack_traces=True,
    )(*flat)
    graph.graph.eliminate_dead_code()
    return graph
