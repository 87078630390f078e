"""The C source of a whole step, and what it needs to be called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from worker.program.codes import Kind, Source
from worker.program.compiled.arena import Lifetime, place
from worker.program.compiled.groups import Graph, Grouping, graph_of, is_leaf, itemsize
from worker.program.compiled.order import ordered
from worker.program.compiled.products import Rows, dot, gather, scatter
from worker.program.compiled.text import Kernel
from worker.program.compiled.walk import kernel
from worker.program.records import Node

SMALL = 8192  # elements below which sharing the work costs more than it saves

HEADER = """#include <stdint.h>
#include <string.h>

#include "dot.h"
#include "pool.h"
#include "runs.h"
#include "scalar.h"
"""


@dataclass(frozen=True)
class StepSource:
    """C, to stand below HEADER, that defines a step's function and, with `_scratch` at the end of
    its name, one that tells how much memory it needs besides the arena.

    arena: bytes of memory for what is between. leaves: constant nodes that must be in memory, in
    the order in which their pointers are handed in.
    """

    text: str
    arena: int
    leaves: tuple[int, ...]


def step_source(nodes: Sequence[Node], outputs: Sequence[int], name: str) -> StepSource:
    """The source of one step. Raises Uncompilable for programs that only the plain run takes."""
    return _Writer(graph_of(nodes, outputs), name).source()


class _Writer:
    def __init__(self, graph: Graph, name: str) -> None:
        self.graph, self.name = graph, name
        self.grouping = Grouping(graph)
        self.stored = self.grouping.stored()
        self.order = ordered(self.grouping)
        self.functions: dict[str, str] = {}
        self.leaves: list[int] = []
        self.scratch: list[str] = []
        self.most = 1
        self._place()

    def _place(self) -> None:
        """Finds each stored tensor its place: an output's own, or one in the arena."""
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
        offsets, self.arena = place(lifetimes)
        self.places = {n: f"(m + {at})" for n, at in zip(inner, offsets, strict=True)}
        for k, n in enumerate(self.graph.outputs):
            self.places.setdefault(n, f"o[{k}]")

    def place_of(self, n: int) -> str:
        """The pointer to a node's memory."""
        node = self.graph.nodes[n]
        if node.kind == Kind.SOURCE and node.fn == Source.STATE:
            return f"s[{node.attributes[0]}]"
        if node.kind == Kind.SOURCE and node.fn == Source.BATCH:
            return f"x[{node.attributes[0]}]"
        if is_leaf(node):
            if n not in self.leaves:
                self.leaves.append(n)
            return f"k[{self.leaves.index(n)}]"
        return self.places[n]

    def function(self, signature: str, text: str) -> str:
        """The name of a function with this body, which is written once."""
        body = f"{signature} {{\n{text}\n}}\n"
        if body not in self.functions:
            self.functions[body] = f"{self.name}_{len(self.functions)}"
        return self.functions[body]

    def source(self) -> StepSource:
        calls: list[str] = []
        for g in self.order:
            group = self.grouping.groups[g]
            if not group.alone:
                if any(n in self.stored for n in group.members):
                    calls += self._walk(kernel(self.graph, group, self.stored))
                continue
            n = group.full[0]
            kind = self.graph.nodes[n].kind
            if n in self.graph.rows:
                calls += self._dot(n)
            else:
                made = {Kind.DOT: dot, Kind.GATHER: gather, Kind.SCATTER: scatter}[Kind(kind)]
                calls += self._walk(made(self.graph.nodes, self.graph.operands[n], n))
        functions = [body.replace("@", name) for body, name in self.functions.items()]
        text = "\n".join(
            [
                "typedef struct {",
                f"char *p[{self.most}];",
                "uint64_t seed, step;",
                f"}} {self.name}_args;",
                "",
                *functions,
                f"size_t {self.name}_scratch(void) {{",
                "size_t most = 0, one;",
                *self.scratch,
                "return most;",
                "}",
                "",
                f"void {self.name}(char *const *s, char *const *x, char *const *o, char *const *k,",
                "char *m, void *scratch, uint64_t seed, uint64_t step) {",
                "(void)s; (void)x; (void)o; (void)k; (void)m; (void)scratch;",
                "(void)seed; (void)step;",
                *calls,
                "}",
                "",
            ]
        )
        return StepSource(text, self.arena, tuple(self.leaves))

    def _walk(self, made: Kernel) -> list[str]:
        name = self.function(
            "static void @(void *context, int64_t t)",
            f"{self.name}_args *const a = context;\n(void)t;\n{made.text}",
        )
        self.most = max(self.most, len(made.buffers))
        pointers = ", ".join(self.place_of(n) for n in made.buffers)
        args = f"{self.name}_args a = {{{{{pointers}}}, seed, step}};"
        if made.work < SMALL or made.tasks == 1:
            call = f"for (int64_t t = 0; t < {made.tasks}; t++) {name}(&a, t);"
        else:
            call = f"assay_parallel({name}, &a, {made.tasks});"
        return [f"{{ {args} {call} }}"]

    def _dot(self, n: int) -> list[str]:
        node = self.graph.nodes[n]
        batch, m, count, k, bits = node.attributes
        left, right = self.graph.rows[n]
        a, b = self._rows(left), self._rows(right)
        sizes = f"{batch}, {m}, {count}, {k}"
        null_a, null_b = self._rows(left, null=True), self._rows(right, null=True)
        self.scratch.append(
            f"one = assay_dot_scratch(&{null_a}, &{null_b}, {sizes}, {bits});"
            " if (one > most) most = one;"
        )
        order = f"1, {m}" if n in self.graph.columns else f"{count}, 1"
        return [
            f"assay_dot(&{a}, &{b}, (float *){self.place_of(n)}, {sizes}, {m * count}, {order},"
            f" {bits}, scratch);"
        ]

    def _rows(self, rows: Rows, null: bool = False) -> str:
        """An operand's descriptor; null: without its memory, to ask for sizes."""
        data = "0" if null else f"(const float *){self.place_of(rows.node)}"
        if rows.strides is not None:
            at = f"{data} + {rows.offset}" if rows.offset and not null else data
            strides = ", ".join(map(str, rows.strides))
            return f"(assay_rows){{{at}, {strides}, 0, 0, 0}}"
        name = self.function(
            "static void @(const void *context, int64_t batch, int64_t row0, int64_t rows,"
            " int64_t k0, int64_t ks, float *dst, int64_t ld)",
            "const float *restrict x = context;\n(void)batch;\n" + rows.loader,
        )
        return f"(assay_rows){{0, 0, 0, 0, {name}, {data}, {int(rows.k_major)}}}"
