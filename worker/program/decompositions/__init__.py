"""Operators as others, in torch: what PyTorch's own tables lack or do by looking at values.

Each module beside this one registers its own: decompositions of operators, which take their place
after autograd has made the gradient's, and functions, which are replaced before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch._decomp import core_aten_decompositions, get_decompositions
from torch.overrides import TorchFunctionMode

from worker.program.decompositions import (
    counting,
    draws,
    functions,
    gradients,
    lists,
    losses,
    masks,
    matrices,
    numbers,
    ordering,
    quantizing,
    reducing,
    sampling,
    special,
    strides,
    values,
)
from worker.program.decompositions.registry import FUNCTIONS, OURS
from worker.program.decompositions.values import LOOKED_AT
from worker.program.lower import RULES

aten = torch.ops.aten

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
    aten.dist,
)


def table() -> dict[Any, Callable[..., Any]]:
    """Operator to its decomposition. One that has a rule of its own is left as it is."""
    found: dict[Any, Callable[..., Any]] = {
        **core_aten_decompositions(),
        **get_decompositions(_ALSO),
        **OURS,
    }
    return {operator: f for operator, f in found.items() if operator not in RULES}


class Functions(TorchFunctionMode):
    """Replaces functions that would look at values, or hide how their rows belong together."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return FUNCTIONS.get(func, func)(*args, **(kwargs or {}))


__all__ = [
    "FUNCTIONS",
    "LOOKED_AT",
    "OURS",
    "Functions",
    "counting",
    "draws",
    "functions",
    "gradients",
    "lists",
    "losses",
    "masks",
    "matrices",
    "numbers",
    "ordering",
    "quantizing",
    "reducing",
    "sampling",
    "special",
    "strides",
    "table",
    "values",
]
