"""Operators as others, in torch: what PyTorch's own tables lack or do by looking at values."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx
from torch._decomp import core_aten_decompositions, get_decompositions
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.fx.experimental.proxy_tensor import (
    disable_proxy_modes_tracing,
    get_proxy_mode,
    get_proxy_slot,
)
from torch.overrides import TorchFunctionMode

from worker.program.lower import RULES, Unsupported

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
    aten.grid_sampler_2d,
    aten.upsample_bicubic2d,
)


def table() -> dict[Any, Callable[..., Any]]:
    """Operator to its decomposition. One that has a rule of its own is left as it is."""
    found: dict[Any, Callable[..., Any]] = {
        **core_aten_decompositions(),
        **get_decompositions(_ALSO),
        **_OURS,
    }
    return {operator: f for operator, f in found.items() if operator not in RULES}


# strides: only of a tensor in row-major order, where they name places


def _as_strided(
    x: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Tensor:
    """Windows of windows of the elements in a row."""
    start = int((storage_offset or 0) - x.storage_offset())
    if not x.is_contiguous() or start < 0 or 0 in size:
        return NotImplemented
    reach = start + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) + 1
    if reach > x.numel():
        return NotImplemented
    out = x.reshape(-1)
    if start or reach != x.numel():
        out = out[start:reach]
    for k, (n, s) in enumerate(zip(size, stride, strict=True)):
        rest = 1 + sum((m - 1) * t for m, t in zip(size[k + 1 :], stride[k + 1 :], strict=True))
        if s == 0:
            out = out.unsqueeze(-2).expand(*out.shape[:-1], n, out.shape[-1])
        else:
            out = out.unfold(-1, rest, s)
    return out.squeeze(-1)


def _as_strided_scatter(
    x: Tensor,
    source: Tensor,
    size: Sequence[int],
    stride: Sequence[int],
    storage_offset: int | None = None,
) -> Tensor:
    """x with `source` at places that are rows within rows, as every slice's are."""
    start = int((storage_offset or 0) - x.storage_offset())
    order = sorted((k for k, n in enumerate(size) if n > 1), key=lambda k: -stride[k])
    steps = [stride[k] for k in order]
    spans = [*(size[k] * stride[k] for k in order[1:]), 1]
    nested = all(s >= span for s, span in zip(steps, spans, strict=True))
    if not x.is_contiguous() or not nested or start < 0 or 0 in size:
        return NotImplemented
    single = [k for k in range(len(size)) if k not in order]
    moved = source.permute([*single, *order]).reshape([size[k] for k in order])

    def spread(rows: Tensor) -> Tensor:
        """The rows with zeros between them, from the innermost outwards, in a row of x's length."""
        out = rows.unsqueeze(-1)
        for step in reversed(steps):
            more = int(step - out.shape[-1])
            out = F.pad(out, (0, more)).flatten(-2)
        return F.pad(out, (start, int(x.numel() - start - out.shape[-1])))

    here = spread(torch.ones_like(moved, dtype=torch.float32)) > 0
    return torch.where(here, spread(moved), x.reshape(-1)).reshape(x.shape)


# gradients without a decomposition


def _outside(gy: Tensor, x: Tensor, least: float) -> Tensor:
    """The gradient of what is zero up to a magnitude."""
    return torch.where(x.abs() <= least, 0.0, gy)


def _weight_norm_back(
    gw: Tensor, v: Tensor, g: Tensor, norms: Tensor, dim: int
) -> tuple[Tensor, Tensor]:
    """Of w = g v / |v|, the norm over all axes but one."""
    axes = [k for k in range(v.dim()) if k != dim % v.dim()]
    unit = v / norms
    along = (gw * unit).sum(axes, keepdim=True)
    return g / norms * (gw - unit * along), along


def _replication_pad_back(gy: Tensor, x: Tensor, padding: Sequence[int]) -> Tensor:
    """Each edge takes the sum of its copies."""
    for k in range(len(padding) // 2):
        axis = x.dim() - 1 - k
        before, after, n = padding[2 * k], padding[2 * k + 1], x.shape[axis]
        if before < 0 or after < 0:
            return NotImplemented
        parts = []
        for place in dict.fromkeys((0, n - 1)):
            low = 0 if place == 0 else before + n - 1
            high = before + n + after if place == n - 1 else before + 1
            parts.append(gy.narrow(axis, low, high - low).sum(axis, keepdim=True))
        if n > 2:
            parts.insert(1, gy.narrow(axis, before + 1, n - 2))
        gy = torch.cat(parts, axis)
    return gy


def _trilinear(
    a: Tensor,
    b: Tensor,
    c: Tensor,
    expand_a: Sequence[int],
    expand_b: Sequence[int],
    expand_c: Sequence[int],
    summed: Sequence[int],
    unroll: int = 1,
) -> Tensor:
    """nn.Bilinear: the sum of products of three."""
    factors = []
    for x, axes in ((a, expand_a), (b, expand_b), (c, expand_c)):
        for axis in axes:
            x = x.unsqueeze(axis)
        factors.append(x)
    return (factors[0] * factors[1] * factors[2]).sum(list(summed))


def _cdist(x: Tensor, y: Tensor, p: float, mode: int | None) -> Tensor:
    return torch.linalg.vector_norm(x.unsqueeze(-2) - y.unsqueeze(-3), p, -1)


def _cdist_back(g: Tensor, x: Tensor, y: Tensor, p: float, distance: Tensor) -> Tensor:
    if p != 2:
        return NotImplemented
    apart = x.unsqueeze(-2) - y.unsqueeze(-3)
    scale = torch.where(distance == 0, 0.0, g / distance)
    return (apart * scale.unsqueeze(-1)).sum(-2)


_OURS: dict[Any, Callable[..., Any]] = {
    aten.as_strided.default: _as_strided,
    aten.as_strided_scatter.default: _as_strided_scatter,
    aten.softshrink_backward.default: _outside,
    aten.hardshrink_backward.default: _outside,
    aten._weight_norm_interface_backward.default: _weight_norm_back,
    aten.replication_pad1d_backward.default: _replication_pad_back,
    aten.replication_pad2d_backward.default: _replication_pad_back,
    aten._trilinear.default: _trilinear,
    aten._cdist_forward.default: _cdist,
    aten._cdist_backward.default: _cdist_back,
}


# functions that look at values on their way


def _one_hot(index: Tensor, num_classes: int = -1) -> Tensor:
    if num_classes < 0:
        raise Unsupported(
            "one_hot without a number of classes, which only a run has: give num_classes"
        )
    return (index.unsqueeze(-1) == torch.arange(num_classes)).long()


def _embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Bags of equal sizes: [rows, size] indices."""
    if input.dim() != 2 or mode == "max" or max_norm is not None or scale_grad_by_freq:
        raise Unsupported(
            "embedding_bag other than sums and means of a two-dimensional input: use embedding"
        )
    each = F.embedding(input, weight, padding_idx)
    counts: Tensor | float = float(input.shape[1])
    if per_sample_weights is not None:
        each = each * per_sample_weights.unsqueeze(-1)
    if padding_idx is not None:
        held = (input != padding_idx % weight.shape[0]).unsqueeze(-1)
        each = torch.where(held, each, 0.0)
        counts = held.float().sum(1).clamp(min=1.0)
    total = each.sum(1)
    return total if mode == "sum" else total / counts


def _gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """Without the look whether a variance is negative."""
    variance = torch.as_tensor(var, dtype=input.dtype)
    if variance.dim() and variance.shape == input.shape[:-1]:
        variance = variance.unsqueeze(-1)
    # the floor has no gradient of its own, as in PyTorch
    variance = variance + (variance.clamp(min=eps) - variance).detach()
    each = 0.5 * (variance.log() + (input - target) ** 2 / variance)
    if full:
        each = each + 0.5 * math.log(2 * math.pi)
    if reduction == "none":
        return each
    return each.mean() if reduction == "mean" else each.sum()


def _embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """With a gradient of all rows: a sparse one is the same, stored in another way."""
    return F.embedding(input, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq)


LOOKED_AT = (
    "Python looks at a tensor's value (item(), int(), float(), numpy(), if), which only a run has; "
    "compute with the tensor instead, or use torch.where"
)


def _of_a_run(x: Any) -> bool:
    """Whether a tensor's values depend on what a run is given, or on chance."""
    mode = get_proxy_mode()
    slot = get_proxy_slot(x, mode.tracer, None) if mode and isinstance(x, Tensor) else None
    if slot is None:
        return False
    seen, near = set(), [slot.proxy.node]
    while near:
        node = near.pop()
        drawn = torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
        if node.op == "placeholder" or drawn:
            return True
        seen.add(node)
        near += [n for n in node.all_input_nodes if n not in seen]
    return False


def _computed(x: Any) -> Any:
    """What a tensor holds that depends on no run; traced ones have no elements."""
    mode: Any = get_proxy_mode()
    slot = get_proxy_slot(x, mode.tracer, None) if mode and isinstance(x, Tensor) else None
    if slot is None:
        return x

    def of(node: Any) -> Any:
        if node.op == "get_attr":
            return getattr(mode.tracer.root, node.target)
        args, kwargs = fx.map_arg((node.args, node.kwargs), of)
        return node.target(*args, **kwargs)

    with disable_proxy_modes_tracing(), unset_fake_temporarily():
        return of(slot.proxy.node)


def _looks_at(function: Callable[..., Any]) -> Callable[..., Any]:
    """One that hands Python the values of tensors, which are the example's while it is traced."""

    def looked(*args: Any, **kwargs: Any) -> Any:
        if any(map(_of_a_run, args)):
            raise Unsupported(LOOKED_AT)
        known = [_computed(a) for a in args]
        with disable_proxy_modes_tracing(), unset_fake_temporarily():
            return function(*known, **kwargs)

    return looked


_UNIFORM = (aten.rand.default, aten.rand_like.default)


def _truth(x: Tensor) -> bool:
    """`bool(x)`, as in `if torch.rand([]) < self.layerdrop`: with a probability of 0 or 1, chance
    decides nothing."""
    mode = get_proxy_mode()
    slot = get_proxy_slot(x, mode.tracer, None) if mode else None
    node: Any = None if slot is None else slot.proxy.node
    if node is not None and node.target is aten.lt.Scalar:
        drawn, probability = node.args
        if drawn.target in _UNIFORM and not 0 < probability < 1:
            return bool(probability >= 1)
    return bool(Tensor.__bool__(x))


def _pack(*_: Any) -> Any:
    raise Unsupported(
        "pack_padded_sequence, whose result has a shape that only a run has: give the layer the "
        "padded rows, and mask or gather what it returns by their lengths"
    )


_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    torch._C._VariableFunctions._pack_padded_sequence: _pack,
    **{f: _looks_at(f) for f in (Tensor.numpy, Tensor.__array__, Tensor.tolist)},
    **{f: _looks_at(f) for f in (torch.equal, Tensor.equal, torch.allclose, Tensor.allclose)},
    Tensor.__bool__: _truth,
    F.one_hot: _one_hot,
    F.embedding_bag: _embedding_bag,
    F.embedding: _embedding,
    F.gaussian_nll_loss: _gaussian_nll_loss,
}


class Functions(TorchFunctionMode):
    """Replaces functions that would look at values, or hide how their rows belong together."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _FUNCTIONS.get(func, func)(*args, **(kwargs or {}))
