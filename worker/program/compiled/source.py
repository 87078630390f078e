"""A whole step as calls of C functions, and their source."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from worker.program.codes import Kind, Source
from worker.program.compiled.arena import Lifetime, place
from worker.program.compiled.groups import Graph, Grouping, graph_of, is_leaf, itemsize
from worker.program.compiled.order import ordered
from worker.program.compiled.products import Rows, dot, gather, scatter
from worker.program.compiled.text import Kernel
from worker.program.compiled.walk import kernel
from worker.program.records import Node

SMALL = 8192  # elements below which sharing the work costs more than it saves
FILE = 16384  # characters of functions in a file, about: a second of a compiler's time

HEADER = """#include <stdint.h>
#include <string.h>

#include "pool.h"
#include "scalar.h"
#include "step.h"
"""
RUNS = '#include "runs.h"\n'  # for loaders alone: where it needs intrinsics they take half a second

WALK = "void @(void *context, int64_t t)"
LOADER = (
    "void @(const void *context, int64_t batch, int64_t row0, int64_t rows, int64_t k0, int64_t ks,"
    " float *dst, int64_t ld)"
)


class Place(NamedTuple):
    """Where a tensor is: in which memory ("arena", "state", "batch", "output" or "leaf") the one of
    which number (of a leaf, the node's), and how many bytes from its start."""

    memory: str
    number: int
    offset: int = 0


@dataclass(frozen=True)
class Walk:
    """A call of a walk: its function, tensors, numbers, tasks, and whether threads share them."""

    function: str
    places: tuple[Place, ...]
    numbers: tuple[int, ...]
    tasks: int
    shared: bool


@dataclass(frozen=True)
class Operand:
    """A product's operand: its element (0, 0, 0), and strides of batch, row and k, or a loader."""

    place: Place
    strides: tuple[int, int, int] | None
    loader: str
    k_major: bool


@dataclass(frozen=True)
class Product:
    """A call of `assay_dot`. sizes: batch, m, n, k; strides: the result's batch, row, column."""

    left: Operand
    right: Operand
    result: Place
    sizes: tuple[int, int, int, int]
    strides: tuple[int, int, int]
    bits: int


@dataclass
class StepSource:
    """A step's calls in their order, and what they need.

    walks, loaders: C functions by their names, which are made of what they do: those that do the
    same are one. arena: bytes of memory for what is between.
    """

    arena: int
    calls: list[Walk | Product] = field(default_factory=list)
    walks: dict[str, str] = field(default_factory=dict)
    loaders: dict[str, str] = field(default_factory=dict)


def step_source(nodes: Sequence[Node], outputs: Sequence[int]) -> StepSource:
    """The source of one step. Raises Uncompilable for programs that only the plain run takes."""
    return _Writer(graph_of(nodes, outputs)).source()


def files_of(sources: Iterable[StepSource]) -> list[str]:
    """The functions of these steps, each once, as C files of about the same length."""
    walks: dict[str, str] = {}
    loaders: dict[str, str] = {}
    for source in sources:
        walks |= source.walks
        loaders |= source.loaders
    files = [*_files(HEADER, walks.values()), *_files(HEADER + RUNS, loaders.values())]
    return files or [HEADER]


def _files(header: str, functions: Iterable[str]) -> list[str]:
    files: list[list[str]] = []
    left = 0
    for text in functions:
        if left <= 0:
            files.append([header])
            left = FILE
        files[-1].append(text)
        left -= len(text)
    return ["\n".join(texts) for texts in files]


def _function(kept: dict[str, str], signature: str, text: str) -> str:
    """The name of a function with this body, which is written once."""
    name = "assay_" + hashlib.sha256(f"{signature}\n{text}".encode()).hexdigest()[:24]
    if name not in kept:
        kept[name] = f"{signature.replace('@', name)} {{\n{text}\n}}\n"
    return name


class _Writer:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.grouping = Grouping(graph)
        self.stored = self.grouping.stored()
        self.order = ordered(self.grouping)
        self.made = StepSource(self._place())

    def _place(self) -> int:
        """Finds each stored tensor its place: an output's own, or one in the arena, whose size this
        is."""
        moment = {g: t for t, g in enumerate(self.order)}
        outputs = set(self.graph.outputs)
        first = {n: moment[self.grouping.home[n]] for n in self.stored}
        last = dict(first)
        for n, operands in self.graph.operands.items():
            for o in operands:
                if o in last and n in self.grouping.home:
                    last[o] = max(last[o], moment[self.grouping.home[n]])
        inner = sorted(self.stored - outputs)
        lifetimes = [
            Lifetime(
                self.graph.nodes[n].count * itemsize(self.graph.nodes[n].dtype), first[n], last[n]
            )
            for n in inner
        ]
        offsets, arena = place(lifetimes)
        self.places = {n: Place("arena", 0, at) for n, at in zip(inner, offsets, strict=True)}
        for k, n in enumerate(self.graph.outputs):
            self.places.setdefault(n, Place("output", k))
        return arena

    def place_of(self, n: int) -> Place:
        """A node's memory."""
        node = self.graph.nodes[n]
        if node.kind == Kind.SOURCE and node.fn == Source.STATE:
            return Place("state", node.attributes[0])
        if node.kind == Kind.SOURCE and node.fn == Source.BATCH:
            return Place("batch", node.attributes[0])
        if is_leaf(node):
            return Place("leaf", n)
        return self.places[n]

    def source(self) -> StepSource:
        for g in self.order:
            group = self.grouping.groups[g]
            if not group.alone:
                if any(n in self.stored for n in group.members):
                    self._walk(kernel(self.graph, group, self.stored))
                continue
            n = group.full[0]
            kind = self.graph.nodes[n].kind
            if n in self.graph.rows:
                self._product(n)
            else:
                made = {Kind.DOT: dot, Kind.GATHER: gather, Kind.SCATTER: scatter}[Kind(kind)]
                self._walk(made(self.graph.nodes, self.graph.operands[n], n))
        return self.made

    def _walk(self, made: Kernel) -> None:
        text = f"const assay_walk *const a = context;\n(void)t;\n{made.text}"
        places = tuple(self.place_of(n) for n in made.buffers)
        shared = made.work >= SMALL and made.tasks > 1
        name = _function(self.made.walks, WALK, text)
        self.made.calls.append(Walk(name, places, made.numbers, made.tasks, shared))

    def _product(self, n: int) -> None:
        batch, m, count, k, bits = self.graph.nodes[n].attributes
        left, right = (self._operand(rows) for rows in self.graph.rows[n])
        by_column = n in self.graph.columns
        strides = (m * count, 1, m) if by_column else (m * count, count, 1)
        self.made.calls.append(
            Product(left, right, self.place_of(n), (batch, m, count, k), strides, bits)
        )

    def _operand(self, rows: Rows) -> Operand:
        at = self.place_of(rows.node)
        at = at._replace(offset=at.offset + 4 * rows.offset)
        if rows.strides is not None:
            return Operand(at, rows.strides, "", False)
        text = "const float *restrict x = context;\n(void)batch;\n" + rows.loader
        return Operand(at, None, _function(self.made.loaders, LOADER, text), rows.k_major)
