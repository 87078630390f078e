"""Elementwise operators."""

from __future__ import annotations

import functools
import math
from typing import Any

import torch

from worker.program.codes import BOOL, DTYPE_CODES, DTYPES, F32, I32, Map
from worker.program.lower.registry import Builder, Unsupported, View, rule

aten = torch.ops.aten
Operand = View | float | int | bool


def dtype_code(dtype: torch.dtype) -> int:
    """The code of a dtype that programs know; Unsupported for any other."""
    if dtype not in DTYPE_CODES:
        known = ", ".join(str(d).removeprefix("torch.") for d in DTYPE_CODES)
        half = dtype in (torch.bfloat16, torch.float16)
        remedy = "leave autocast out, or cast the tensor" if half else "cast the tensor"
        raise Unsupported(f"dtype {dtype} (programs know {known}; {remedy})")
    return DTYPE_CODES[dtype]


def promoted(b: Builder, *operands: Operand) -> list[View]:
    """Operands as views of one dtype, by PyTorch's promotion of tensors and Python numbers."""
    tensors = tuple((o.dtype, bool(o.shape)) for o in operands if isinstance(o, View))
    code = _common(tensors, tuple(type(o) for o in operands if not isinstance(o, View)))
    return [b.convert(o, code) if isinstance(o, View) else b.constant(o, code) for o in operands]


@functools.cache
def _common(tensors: tuple[tuple[int, bool], ...], numbers: tuple[type, ...]) -> int:
    """The dtype of tensors, of each its dtype and whether it has axes, and of Python numbers."""
    dtype: torch.dtype | None = None
    # a tensor with axes outranks a scalar tensor of the same category, both outrank a number
    tensors = tuple(sorted(tensors, key=lambda t: not t[1]))
    axes = tensors[0][1]
    for code, has_axes in tensors:
        sample = torch.empty((1,) * has_axes, dtype=DTYPES[code])
        known = sample if dtype is None else torch.empty((1,) * axes, dtype=dtype)
        dtype = torch.result_type(known, sample)
    assert dtype is not None
    for number in numbers:
        dtype = torch.result_type(torch.empty((1,), dtype=dtype), number(1))
    return dtype_code(dtype)


def scaled(b: Builder, x: Operand, alpha: float | int) -> Operand:
    """alpha * x, with a rounding of its own."""
    if alpha == 1:
        return x
    if not isinstance(x, View):
        return x * alpha
    return b.map(Map.MUL, *promoted(b, x, alpha))


@rule(aten.add.Tensor, aten.add.Scalar)
def add(b: Builder, x: View, y: Operand, alpha: float = 1) -> View:
    return b.map(Map.ADD, *promoted(b, x, scaled(b, y, alpha)))


@rule(aten.sub.Tensor, aten.sub.Scalar)
def sub(b: Builder, x: View, y: Operand, alpha: float = 1) -> View:
    return b.map(Map.SUB, *promoted(b, x, scaled(b, y, alpha)))


@rule(aten.rsub.Tensor, aten.rsub.Scalar)
def rsub(b: Builder, x: View, y: Operand, alpha: float = 1) -> View:
    return b.map(Map.SUB, *promoted(b, y, scaled(b, x, alpha)))


@rule(aten.mul.Tensor, aten.mul.Scalar)
def mul(b: Builder, x: View, y: Operand) -> View:
    left, right = promoted(b, x, y)
    return b.map(Map.AND if left.dtype == BOOL else Map.MUL, left, right)


@rule(aten.div.Tensor, aten.div.Scalar)
def div(b: Builder, x: View, y: Operand) -> View:
    left, right = (b.convert(v, F32) for v in promoted(b, x, y))
    return b.map(Map.DIV, left, right)


@rule(aten.reciprocal.default)
def reciprocal(b: Builder, x: View) -> View:
    return b.map(Map.DIV, b.constant(1.0, F32), floating(b, x))


@rule(aten.maximum.default)
def maximum(b: Builder, x: View, y: View) -> View:
    return b.map(Map.MAXIMUM, *promoted(b, x, y))


@rule(aten.minimum.default)
def minimum(b: Builder, x: View, y: View) -> View:
    return b.map(Map.MINIMUM, *promoted(b, x, y))


def floating(b: Builder, x: View) -> View:
    return b.convert(x, F32)


def _unary(operator: Any, fn: Map) -> None:
    @rule(operator)
    def apply(b: Builder, x: View) -> View:
        return b.map(fn, floating(b, x))


for _operator, _fn in (
    (aten.exp.default, Map.EXP),
    (aten.log.default, Map.LOG),
    (aten.sqrt.default, Map.SQRT),
    (aten.tanh.default, Map.TANH),
    (aten.erf.default, Map.ERF),
    (aten.sin.default, Map.SIN),
    (aten.cos.default, Map.COS),
):
    _unary(_operator, _fn)


@rule(aten.neg.default)
def neg(b: Builder, x: View) -> View:
    return b.map(Map.NEG, x)


@rule(aten.abs.default)
def absolute(b: Builder, x: View) -> View:
    return b.map(Map.ABS, floating(b, x)) if x.dtype == F32 else _integer_abs(b, x)


def _integer_abs(b: Builder, x: View) -> View:
    return b.map(Map.MAXIMUM, x, b.map(Map.NEG, x))


@rule(aten.relu.default)
def relu(b: Builder, x: View) -> View:
    return b.map(Map.RELU, x) if x.dtype == F32 else b.map(Map.MAXIMUM, x, b.constant(0, x.dtype))


@rule(aten.rsqrt.default)
def rsqrt(b: Builder, x: View) -> View:
    return b.map(Map.DIV, b.constant(1.0, F32), b.map(Map.SQRT, floating(b, x)))


@rule(aten.sigmoid.default)
def sigmoid(b: Builder, x: View) -> View:
    one = b.constant(1.0, F32)
    return b.map(Map.DIV, one, b.map(Map.ADD, one, b.map(Map.EXP, b.map(Map.NEG, floating(b, x)))))


def _comparison(operators: tuple[Any, ...], fn: Map) -> None:
    @rule(*operators)
    def apply(b: Builder, x: View, y: Operand) -> View:
        left, right = promoted(b, x, y)
        if left.dtype == BOOL:
            left, right = b.convert(left, I32), b.convert(right, I32)
        return b.map(fn, left, right, dtype=BOOL)


for _name, _fn in (
    ("eq", Map.EQ),
    ("ne", Map.NE),
    ("lt", Map.LT),
    ("le", Map.LE),
    ("gt", Map.GT),
    ("ge", Map.GE),
):
    _packet = getattr(aten, _name)
    _comparison((_packet.Tensor, _packet.Scalar), _fn)


def truth(b: Builder, x: View) -> View:
    return b.convert(x, BOOL)


@rule(aten.logical_not.default)
def logical_not(b: Builder, x: View) -> View:
    return b.map(Map.NOT, truth(b, x))


@rule(aten.bitwise_not.default)
def bitwise_not(b: Builder, x: View) -> View:
    if x.dtype != BOOL:
        raise Unsupported("bitwise_not of integers: only bools have it")
    return b.map(Map.NOT, x)


@rule(aten.clamp.default, aten.clamp.Tensor)
def clamp(b: Builder, x: View, least: Operand | None = None, most: Operand | None = None) -> View:
    if least is not None:
        x = b.map(Map.MAXIMUM, *promoted(b, x, least))
    return x if most is None else b.map(Map.MINIMUM, *promoted(b, x, most))


@rule(aten.sign.default)
def sign(b: Builder, x: View) -> View:
    zero = b.constant(0, x.dtype)
    above = b.convert(b.map(Map.GT, x, zero, dtype=BOOL), x.dtype)
    below = b.convert(b.map(Map.LT, x, zero, dtype=BOOL), x.dtype)
    return b.map(Map.SUB, above, below)


@rule(aten.logical_and.default)
def logical_and(b: Builder, x: View, y: View) -> View:
    return b.map(Map.AND, truth(b, x), truth(b, y))


@rule(aten.logical_or.default)
def logical_or(b: Builder, x: View, y: View) -> View:
    return b.map(Map.OR, truth(b, x), truth(b, y))


@rule(aten.logical_xor.default)
def logical_xor(b: Builder, x: View, y: View) -> View:
    return b.map(Map.XOR, truth(b, x), truth(b, y))


def _bitwise(name: str, fn: Map) -> None:
    @rule(getattr(aten, name).Tensor, getattr(aten, name).Scalar)
    def apply(b: Builder, x: View, y: Operand) -> View:
        left, right = promoted(b, x, y)
        if left.dtype != BOOL:
            raise Unsupported(
                f"{name} of integers: only bools have it; use // and % with powers of two"
            )
        return b.map(fn, left, right)


_bitwise("bitwise_and", Map.AND)
_bitwise("bitwise_or", Map.OR)
_bitwise("bitwise_xor", Map.XOR)


@rule(aten.isnan.default)
def isnan(b: Builder, x: View) -> View:
    return b.map(Map.NE, x, x, dtype=BOOL) if x.dtype == F32 else b.full(False, BOOL, x.shape)


@rule(aten.isinf.default)
def isinf(b: Builder, x: View) -> View:
    if x.dtype != F32:
        return b.full(False, BOOL, x.shape)
    return b.map(Map.EQ, b.map(Map.ABS, x), b.constant(math.inf, F32), dtype=BOOL)


@rule(aten.where.self)
def where(b: Builder, condition: View, x: View, y: View) -> View:
    return b.map(Map.WHERE, truth(b, condition), *(p := promoted(b, x, y)), dtype=p[0].dtype)


@rule(aten._to_copy.default)
def to_copy(b: Builder, x: View, dtype: torch.dtype | None = None, **ignored: Any) -> View:
    return x if dtype is None else b.convert(x, dtype_code(dtype))


@rule(aten.copy.default)
def copy(b: Builder, x: View, source: View, non_blocking: bool = False) -> View:
    return b.convert(source.expand(x.shape), x.dtype)


@rule(aten.empty_permuted.default)
def empty_permuted(b: Builder, size: list[int], order: list[int], **kwargs: Any) -> View:
    """Whatever a module does with memory it has not written: here it holds zeros."""
    return full(b, size, 0.0, kwargs.get("dtype") or torch.float32)


@rule(aten.empty.memory_format)
def empty(b: Builder, size: list[int], **kwargs: Any) -> View:
    return empty_permuted(b, size, [], **kwargs)


@rule(aten.new_empty_strided.default)
def new_empty_strided(
    b: Builder, x: View, size: list[int], stride: list[int], **kwargs: Any
) -> View:
    return full(b, size, 0, kwargs.get("dtype") or DTYPES[x.dtype])


@rule(aten.full.default)
def full(b: Builder, size: list[int], value: float, dtype: Any = None, **ignored: Any) -> View:
    code = dtype_code(dtype or torch.tensor(value).dtype)
    return b.full(value, code, tuple(size))


@rule(aten.scalar_tensor.default)
def scalar_tensor(b: Builder, value: float, dtype: Any = None, **ignored: Any) -> View:
    return b.constant(value, dtype_code(dtype or torch.float32))


@rule(aten.full_like.default)
def full_like(b: Builder, x: View, value: float, dtype: Any = None, **ignored: Any) -> View:
    return b.full(value, dtype_code(dtype) if dtype else x.dtype, x.shape)


@rule(aten.zeros_like.default)
def zeros_like(b: Builder, x: View, **kwargs: Any) -> View:
    return full_like(b, x, 0, **kwargs)


@rule(aten.ones_like.default)
def ones_like(b: Builder, x: View, **kwargs: Any) -> View:
    return full_like(b, x, 1, **kwargs)
