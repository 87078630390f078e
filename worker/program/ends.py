"""What goes into a step that is captured, and what comes out: for all ways of capturing one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from worker.program.builder import Builder
from worker.program.codes import DTYPE_CODES
from worker.program.graph import Graph
from worker.program.lower import Unsupported, lower_graph
from worker.program.program import Program
from worker.program.wellformed import MOST_DOT_BITS

# A training amplifies what its products leave off: with so many bits its losses are fp32's.
TRAINING_BITS = MOST_DOT_BITS

Batch = Sequence[Tensor] | Mapping[str, Tensor]


def check_module(module: nn.Module) -> None:
    """Raises Unsupported for a module that cannot be traced as it stands."""
    kind = type(module).__name__
    if isinstance(module, torch.jit.ScriptModule):
        raise Unsupported(f"a {kind}, which hides its Python: give the module that it was made of")
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        raise Unsupported(f"a module in {kind}: give the one within, which is its .module")
    for name, t in [*module.named_parameters(), *module.named_buffers()]:
        if is_lazy(t):
            raise Unsupported(
                f"{name}, which has no shape yet: call the module once, on a batch, before"
            )
    for name, layer in module.named_modules():
        if ".quantized" in type(layer).__module__:
            raise Unsupported(
                f"the layer {name or 'itself'}, {type(layer).__name__}, which is quantised: give "
                "the float module; bits= says how precise a program's products are"
            )


def named_batch(batch: Batch) -> tuple[list[str] | None, list[Tensor]]:
    """The batch's names, where it has some, and its tensors."""
    if not isinstance(batch, Mapping):
        return None, list(batch)
    for name, value in batch.items():
        if not isinstance(value, Tensor):
            raise ValueError(
                f"the batch's {name!r} is a {type(value).__name__}; every entry must be a tensor: "
                "set what does not change from step to step in the module"
            )
    return list(batch), list(batch.values())


def check_batch(names: list[str] | None, batch: list[Tensor], whole: bool) -> None:
    """Raises ValueError or Unsupported, naming the tensor, for what is no batch of a program's."""
    rows = {tuple(t.shape[:1]) for t in batch}
    if not whole and (len(rows) != 1 or rows == {()}):
        raise ValueError(
            f"the batch's tensors have shapes {[tuple(t.shape) for t in batch]}; "
            "the first axis of each must count the same rows (whole=True where there are none)"
        )
    for name, t in zip(names or range(len(batch)), batch, strict=True):
        if t.dtype not in DTYPE_CODES:
            remedy = ".float()" if t.dtype.is_floating_point else ".long()"
            raise Unsupported(
                f"dtype {t.dtype} of the batch's tensor {name!r}: use float32, int64, int32 or "
                f"bool, such as x{remedy}"
            )
        if t.numel() == 0:
            raise ValueError(
                f"the batch's tensor {name!r} has shape {tuple(t.shape)}; no axis may be of "
                "length 0"
            )


def tensors_of(outputs: Any) -> list[Tensor]:
    """All tensors of what a module returns, in order."""
    if outputs is None:
        return []
    if isinstance(outputs, Tensor):
        return [outputs]
    if isinstance(outputs, Mapping):
        return [t for value in outputs.values() for t in tensors_of(value)]
    if isinstance(outputs, tuple | list):
        return [t for value in outputs for t in tensors_of(value)]
    if dataclasses.is_dataclass(outputs):
        values = (getattr(outputs, f.name) for f in dataclasses.fields(outputs))
        return [t for value in values for t in tensors_of(value)]
    raise Unsupported(
        f"the module returns a {type(outputs).__name__}; programs report tensors (a model of "
        "transformers returns a cache unless its config has use_cache=False)"
    )


def lowered(
    graph: Graph,
    state: Sequence[Tensor],
    batch: Sequence[Tensor],
    names: Sequence[str],
    bits: int,
    shaped: int | None = None,
    whole: bool = False,
) -> Program:
    """The program of a traced step. names: of the state's tensors. shaped: as for `lower_graph`.

    Raises Unsupported, with all operators that have no rule, and ValueError for `bits`.
    """
    if not 2 <= bits <= MOST_DOT_BITS:
        raise ValueError(f"{bits=}; products take 2 to {MOST_DOT_BITS} (20 is nearest to fp32)")
    if not state:
        raise Unsupported(
            "a module without parameters and buffers: a program's state is at least one tensor; "
            'give it one, as by register_buffer("unused", torch.zeros(1))'
        )
    builder = Builder(bits)
    views = [
        builder.state(i, DTYPE_CODES[t.dtype], tuple(t.shape)) for i, t in enumerate(state)
    ] + [
        builder.batch(i, DTYPE_CODES[t.dtype], tuple(t.shape), 1 if whole else t.shape[0])
        for i, t in enumerate(batch)
    ]
    made = lower_graph(graph, builder, views, shaped)
    return Program(made.nodes, made.outputs, tuple(names), made.origins, made.bounds)
