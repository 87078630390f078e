"""What a capture remembers instead of asking again, and what its time grows with."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from worker.program import capture_training
from worker.program.compiled.source import step_source
from worker.program.recorder import Recorder
from worker.program.shapes import Shapes

aten = torch.ops.aten

ASKED: dict[str, tuple[Any, Callable[[Tensor, Tensor], tuple[Any, ...]]]] = {
    "a sum": (aten.add.Tensor, lambda x, y: (x, y)),
    "a sum that broadcasts": (aten.add.Tensor, lambda x, y: (x, y[0])),
    "a number of another kind": (aten.mul.Tensor, lambda x, y: (x, 2)),
    "a comparison": (aten.lt.Tensor, lambda x, y: (x, y)),
    "a product": (aten.mm.default, lambda x, y: (x, aten.t.default(y))),
    "a row": (aten.select.int, lambda x, y: (x, 0, 2)),
    "a row of a part": (aten.select.int, lambda x, y: (x[1:], 0, 2)),
    "every other column": (aten.slice.Tensor, lambda x, y: (x, 1, 1, 5, 2)),
    "a transposed one": (aten.t.default, lambda x, y: (x[1:],)),
    "an expanded one": (aten.expand.default, lambda x, y: (x[:1], [4, 6])),
    "parts": (aten.split.Tensor, lambda x, y: (x, 2, 1)),
    "two results": (aten.max.dim, lambda x, y: (x, 1)),
    "joined ones": (aten.cat.default, lambda x, y: ([x, y], 1)),
    "a sum in place": (aten.add_.Tensor, lambda x, y: (x, y)),
    "a row's sum in place": (aten.add_.Tensor, lambda x, y: (x[1], y[1])),
}


def look(t: Any, memories: list[int]) -> tuple[Any, ...]:
    """What Python sees of a traced tensor, and which of some memories it lies in."""
    assert type(t) is FakeTensor
    memory = t.untyped_storage()._cdata
    place = memories.index(memory) if memory in memories else memories.append(memory)
    shape, stride = tuple(t.shape), t.stride()
    return t.dtype, shape, stride, t.storage_offset(), t.device, t.requires_grad, place


@pytest.mark.parametrize("what", ASKED)
def test_a_remembered_result_is_pytorchs(what: str):
    """Protects captures from another shape than PyTorch's: what is remembered of an operator is
    what PyTorch says, also for operands that lie elsewhere in their memory."""
    operator, operands = ASKED[what]
    mode = FakeTensorMode()
    with mode:
        shapes = Shapes(mode)
        shapes.call(operator, operands(torch.empty(4, 6), torch.empty(4, 6)), {})
        x, y = torch.empty(12, 6)[5:9], torch.empty(4, 6)
        args = operands(x, y)
        memories = [t.untyped_storage()._cdata for t in (x, y)]
        found = shapes.call(operator, args, {})
        wanted = operator(*args)
        assert type(found) is tuple or type(found) is FakeTensor
        many = isinstance(found, tuple)
        pairs = list(zip(found, wanted, strict=True)) if many else [(found, wanted)]
        for ours, pytorchs in pairs:
            assert look(ours, [*memories]) == look(pytorchs, [*memories])
            assert (ours is args[0]) == (pytorchs is args[0])
            assert vars(ours).keys() == vars(pytorchs).keys()


def test_pytorch_is_asked_once():
    """Protects the time that a capture takes: PyTorch tells a look in a third of a millisecond."""
    mode, asked = FakeTensorMode(), 0

    class Counting(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):
            nonlocal asked
            asked += 1
            return func(*args, **(kwargs or {}))

    with mode:
        x = torch.empty(4, 6)
        shapes = Shapes(mode)
        with Counting():
            for _ in range(5):
                x = shapes.call(aten.tanh.default, (x,), {})
    assert asked == 1


def test_what_is_drawn_or_resized_is_asked_every_time():
    """Protects operands whose look an operator changes, and draws, which are no function of it."""
    mode = FakeTensorMode()
    with mode:
        shapes = Shapes(mode)
        for _ in range(2):
            x = torch.empty(4, 6)
            assert shapes.call(aten.resize_.default, (x, [2, 3]), {}).shape == (2, 3)
            x = torch.empty(4, 6)
            assert shapes.call(aten.t_.default, (x,), {}).shape == (6, 4)
            assert x.shape == (6, 4)


def test_a_recorder_holds_no_tensor():
    """Protects a program from how it was traced: autograd copies a gradient that somebody else
    holds, and the copy would be a part of the program."""
    mode = FakeTensorMode()
    with mode:
        x = torch.empty(4, 6)
        recorder = Recorder({}, Shapes(mode))
        recorder.placeholders([x])
        with recorder:
            y = x.tanh()
        made, gone = recorder.made(y), weakref.ref(y)
        assert made is recorder.graph.nodes[1]
        del y
    assert gone() is None
    assert recorder.made(x) is recorder.graph.nodes[0]


class Reader(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.reader = nn.RNN(3, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.reader(x)[0][:, -1]


def calls(length: int) -> int:
    """How many of Python's functions are called by capturing a sequence and writing its step."""
    module, count = Reader(), 0

    def count_one(frame: Any, event: str, _: Any) -> None:
        nonlocal count
        count += event == "call"

    batch = [torch.zeros(2, length, 3), torch.zeros(2, 4)]
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    sys.setprofile(count_one)
    try:
        program = capture_training(module, nn.functional.mse_loss, optimizer, batch)
        step_source(program.nodes, program.outputs)
    finally:
        sys.setprofile(None)
    return count


def test_a_captures_work_grows_linearly():
    """Protects long sequences: twice as many steps are at most about twice as much work."""
    calls(2)  # what is done once
    short, middle, long = (calls(n) for n in (4, 8, 16))
    assert long - middle < 2.2 * (middle - short)
