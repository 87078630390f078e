"""A job's data set: tensors whose first axis counts the rows, in their order or by name.

What a program could not take, or what would turn every loss into NaN without a word, is refused
before anything is captured: the tensor is named, and the row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, prod

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from worker.jobs.indices import check_data
from worker.jobs.rules import FieldError, Shown, require
from worker.program import Program
from worker.program.codes import DTYPES

Data = Sequence[Tensor] | Mapping[str, Tensor]

WORKING = "float32, int64, int32 or bool"


def checked(data: object, whole: bool = False) -> Data:
    """The data set as plain tensors on the CPU: a list, or a dict where it has names.

    whole: its tensors have no axis of rows; all of it is one row. Raises FieldError, which names
    the tensor, what it is, the rule and what to write.
    """
    if isinstance(data, Mapping):
        for name in data:
            sound = isinstance(name, str) and name.isidentifier()
            require(sound, "data", name, "names of the module's arguments, such as input_ids")
        found = [_plain(f"data[{n!r}]", t) for n, t in data.items()]
        checked_data: Data = dict(zip(data, found, strict=True))
    elif isinstance(data, (list, tuple)):
        checked_data = [_plain(f"data[{k}]", t) for k, t in enumerate(data)]
    else:
        remedy = "a list of tensors, or a dict of them by name"
        if hasattr(data, "__getitem__") and not isinstance(data, Tensor):
            remedy += ": stack what it yields, such as torch.stack([x for x, _ in dataset])"
        raise FieldError("data", Shown(f"a {type(data).__name__}"), remedy)
    require(bool(checked_data), "data", Shown("nothing"), "at least one tensor")
    named = entries(checked_data)
    if not whole:
        _check_rows(named)
    for name, tensor in named:
        sizes = Shown(list(tensor.shape))
        require(tensor.numel() > 0, name, sizes, "a tensor with no axis of length 0")
        _check_finite(name, tensor, 1 if whole else tensor.shape[0])
    return checked_data


def entries(data: Data) -> list[tuple[str, Tensor]]:
    """Each tensor with what an error calls it: data[0], or data['labels']."""
    if isinstance(data, Mapping):
        return [(f"data[{name!r}]", t) for name, t in data.items()]
    return [(f"data[{k}]", t) for k, t in enumerate(data)]


class OfRows:
    """What a job's definition knows of its data set.

    whole: the tensors have no axis of rows; all of them are one row, which every step sees.
    """

    data: Data
    whole: bool

    def __post_init__(self) -> None:
        """Makes the data plain tensors on the CPU. Raises FieldError."""
        require(isinstance(self.whole, bool), "whole", self.whole, "True or False")
        object.__setattr__(self, "data", checked(self.data, self.whole))

    @property
    def tensors(self) -> list[Tensor]:
        """The data set as it is committed to, in the program's order: [rows, ...] each."""
        tensors = [t for _, t in entries(self.data)]
        return [t.unsqueeze(0) for t in tensors] if self.whole else tensors

    @property
    def rows(self) -> int:
        return int(self.tensors[0].shape[0])

    def example(self, batch_rows: int) -> Data:
        """A batch to capture with, with its names."""
        if self.whole:
            return self.data
        if isinstance(self.data, Mapping):
            return {name: t[:batch_rows] for name, t in self.data.items()}
        return [t[:batch_rows] for t in self.data]

    def check_indices(self, program: Program) -> None:
        """Raises OutOfRange where the data leads an index out of its bounds, in any row."""
        check_data(program, self.tensors, [name for name, _ in entries(self.data)])


def _plain(name: str, value: object) -> Tensor:
    """An entry as a plain tensor on the CPU. Raises FieldError where it is none."""
    if not isinstance(value, Tensor):
        kind = type(value).__name__
        remedy = "torch.from_numpy(...)" if kind == "ndarray" else "torch.tensor(...)"
        raise FieldError(name, Shown(f"a {kind}"), f"a tensor: {remedy}")
    if value.is_meta or isinstance(value, FakeTensor):
        kind = "meta" if value.is_meta else "FakeTensor"
        raise FieldError(
            name,
            Shown(f"a tensor without values ({kind})"),
            "one with values, which the job commits to (to see a program alone, "
            "worker.program.capture_training takes such tensors)",
        )
    said = Shown(f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}")
    dense = value.layout == torch.strided and not value.is_quantized and not value.is_nested
    require(dense, name, said, "a dense tensor: x.to_dense(), x.dequantize() or padded rows")
    require(
        value.dtype in DTYPES.values(), name, said, f"{WORKING}: write {_remedy_of(value.dtype)}"
    )
    require(
        not value.requires_grad,
        name,
        Shown("a tensor that requires a gradient"),
        "data: write x.detach() here, and x.requires_grad_() where the module asks for a gradient",
    )
    # what was made under inference_mode cannot be traced; its values can
    return value.clone().cpu() if value.is_inference() else value.resolve_neg().cpu()


def _remedy_of(dtype: torch.dtype) -> str:
    if dtype.is_complex:
        return "torch.view_as_real(x), and complex products as real ones in the module"
    return "x.float()" if dtype.is_floating_point else "x.long()"


def _check_rows(named: list[tuple[str, Tensor]]) -> None:
    """Raises FieldError unless all tensors have the same rows, at least one."""
    rule = "tensors of the same rows on their first axis, at least one"
    for name, tensor in named:
        sound = tensor.dim() > 0 and tensor.shape[0] > 0
        require(sound, name, Shown(f"shape {list(tensor.shape)}"), rule)
    rows = {name: t.shape[0] for name, t in named}
    counts = Shown(", ".join(f"{n} rows in {name}" for name, n in rows.items()))
    hint = "; what every step sees whole and in order, such as a graph, is whole=True"
    require(len(set(rows.values())) == 1, "data", counts, rule + hint)


def _check_finite(name: str, tensor: Tensor, rows: int) -> None:
    """Raises FieldError where there is a NaN or an infinity, with the first one's place."""
    if not tensor.is_floating_point():
        return
    if all(isfinite(float(end)) for end in torch.aminmax(tensor)):
        return
    flat = tensor.reshape(-1)
    place = int((~torch.isfinite(flat)).to(torch.uint8).argmax())
    row, within = divmod(place, prod(tensor.shape) // rows)
    where = f"row {row}" if rows > 1 or not within else f"element {place}"
    raise FieldError(
        name,
        Shown(f"{float(flat[place])} in {where}"),
        "finite in every row: put a number in its place and a bool mask beside it, or leave "
        "such rows out",
    )
