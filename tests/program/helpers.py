"""Programs made by hand: one operator, one view, random records. How results are compared."""

from __future__ import annotations

import operator as operators
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from worker import exact
from worker.exact.backends import ENVIRONMENT
from worker.program import Program, tracing
from worker.program.builder import Builder
from worker.program.codes import DTYPE_CODES, Kind
from worker.program.graph import Graph
from worker.program.lower import RULES, lower_graph
from worker.program.shapes import Shapes
from worker.program.views import View
from worker.program.wellformed import DOT_BITS


def sources(builder: Builder, tensors: Sequence[Tensor]) -> list[View]:
    """One STATE source for each tensor."""
    return [builder.state(i, DTYPE_CODES[t.dtype], tuple(t.shape)) for i, t in enumerate(tensors)]


def program_of(
    make: Callable[[Builder, list[View]], Sequence[View]], tensors: Sequence[Tensor]
) -> Program:
    """A program whose state is `tensors`, unchanged, and whose reports are what `make` builds."""
    builder = Builder()
    views = sources(builder, tensors)
    reports = [builder.plain(v) for v in make(builder, views)]
    outputs = tuple(v.node for v in (*views, *reports))
    return Program(tuple(builder.nodes), outputs, tuple(f"x{i}" for i in range(len(tensors))))


def lowered(
    operator: Any,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    results: Sequence[int] | None = None,
) -> tuple[Program, list]:
    """A program of one ATen operator, and its state: the tensors among the arguments.

    One without a rule is decomposed as capture does it. results: which of several results the
    program reports; None where the operator has one. The state begins with a tensor of its own, so
    that operators without operands have one too.
    """
    graph = Graph()
    tensors = [torch.zeros(1)]
    places = [graph.placeholder("nothing")]

    def place(value: Any) -> Any:
        if isinstance(value, Tensor):
            tensors.append(value)
            places.append(graph.placeholder(f"x{len(places)}"))
            return places[-1]
        return [place(v) for v in value] if isinstance(value, list) else value

    call = graph.call_function(operator, tuple(place(a) for a in args), kwargs)
    taken = (
        [call]
        if results is None
        else [graph.call_function(operators.getitem, (call, k)) for k in results]
    )
    graph.output([*places, *taken])
    return finished(graph if operator in RULES else decomposed(graph, tensors), tensors), tensors


def decomposed(graph: Graph, tensors: Sequence[Tensor]) -> Graph:
    """A graph without the operators that have no rule, as capture's second pass makes it."""
    mode = FakeTensorMode()
    inputs = [mode.from_tensor(t) for t in tensors]
    return tracing.decomposed(graph, mode, inputs, Shapes(mode))


def finished(graph: Graph, tensors: Sequence[Tensor]) -> Program:
    """A graph whose placeholders are `tensors`, and whose outputs are those and then reports."""
    builder = Builder()
    low = lower_graph(graph, builder, sources(builder, tensors))
    names = tuple(f"x{i}" for i in range(len(tensors)))
    return Program(low.nodes, low.outputs, names, low.origins)


def bits(tensor: Tensor) -> Tensor:
    """What is compared where bits matter: integers, with one NaN."""
    if tensor.is_floating_point():
        return exact.canonical(tensor.contiguous()).view(torch.int32)
    return tensor


def same(a: Sequence[Tensor], b: Sequence[Tensor]) -> bool:
    """Equal dtypes, element counts and bits."""
    return len(a) == len(b) and all(
        x.dtype == y.dtype and torch.equal(bits(x).flatten(), bits(y).flatten())
        for x, y in zip(a, b, strict=True)
    )


@contextmanager
def threads(count: int) -> Iterator[None]:
    """torch and native code use so many threads inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def repeated(
    program: Program, state: list[Tensor], batch: list[Tensor], backends: Sequence[str] = ()
) -> list[Tensor]:
    """One step's reports, after a look that next state and reports keep their bits: run and traced,
    with one thread and with two, and run with each of these ways to make a product (int8 makes
    those of 14 bits alone)."""
    after, reports = program.run(state, batch)
    expected = [*after, *reports]
    for count in (1, 2):
        with threads(count):
            ran = program.run(state, batch)
            traced = program.split(program.trace(state, batch))
        for found in (ran, traced):
            assert same([*found[0], *found[1]], expected), f"{count} threads"
    most = max((n.attributes[4] for n in program.nodes if n.kind == Kind.DOT), default=0)
    for backend in backends:
        if backend == "int8" and most > DOT_BITS:
            continue
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(ENVIRONMENT, backend)
            found = program.run(state, batch)
        assert same([*found[0], *found[1]], expected), backend
    return reports


def assert_as_in_pytorch(found: Tensor, module: torch.nn.Module, *rows: Any, **named: Any) -> None:
    """An inference's report is the module's answer, or its logits, within a thousandth of the
    greatest."""
    with torch.no_grad():
        expected = module(*rows, **named)
    expected = getattr(expected, "logits", expected)
    scale = float(expected.abs().max())
    torch.testing.assert_close(found.view(expected.shape), expected, rtol=0, atol=1e-3 * scale)
