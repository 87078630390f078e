"""C for one group: a walk over rows that computes its nodes, stage by stage.

A stage is one pass over a row. A node whose value waits for a reduction of the row stands in a
later stage; what a stage needs of an earlier one is read back from memory, or kept in an array.
Rows are walked one after the other, with vector instructions along the row; or, where the elements
of a row lie far apart and those of neighbouring rows side by side, many rows at a time, with vector
instructions across them.
"""

from __future__ import annotations

from collections import defaultdict
from math import prod

from worker.program.codes import F32, I64, Kind, Map, Reduce, Source
from worker.program.compiled.affine import Access, Form, Loops, access, collapsed, project
from worker.program.compiled.groups import Graph, Group, Uncompilable, is_leaf, is_random
from worker.program.compiled.text import C_TYPES, TASK, Kernel, expression, literal, total
from worker.program.records import Node

ACROSS = 64  # rows side by side, at most


def kernel(graph: Graph, group: Group, stored: set[int]) -> Kernel:
    """The kernel of a group that is no DOT, GATHER or SCATTER."""
    return _Walk(graph, group, stored).kernel()


class _Walk:
    def __init__(self, graph: Graph, group: Group, stored: set[int]) -> None:
        self.graph, self.group, self.stored = graph, group, stored
        self.length = group.length or 1
        self.full, self.row = set(group.full), set(group.row)
        cuts = group.cuts | {1, group.count} | ({group.length} if group.length else set())
        self.loops = Loops(cuts)
        if not self.loops.sizes or (self.length == 1 and group.length is not None):
            # a loop of one, for rows of one element
            self.loops.sizes, self.loops.weights = (*self.loops.sizes, 1), (*self.loops.weights, 0)
        self._collapse()
        self._stages()
        self.pointers: dict[int, str] = {}
        self.numbers: dict[int, str] = {}
        self.written: set[int] = set()
        self.names: dict[tuple[str, int], str] = {}
        self.locals = 0

    # the loops

    def _collapse(self) -> None:
        reduces = self.group.length is not None
        boundary = sum(w >= self.length for w in self.loops.weights) if reduces else None
        self.accesses: dict[tuple[int, int], Access] = {}
        forms: list[Form] = []
        for n in self.group.members:
            node = self.graph.nodes[n]
            unit = self.length if n in self.row else 1
            if node.kind == Kind.MAP:
                for k, operand in enumerate(node.inputs):
                    if operand.node not in self.full | self.row:
                        found = self._over(access(operand, node.shape), node.shape, unit)
                        self.accesses[n, k] = found
                        forms += found.forms
        sizes, groups = collapsed(self.loops.sizes, forms, boundary)
        self.sizes, self.merged = sizes, groups
        self.accesses = {
            key: Access(
                project(a.flat, groups),
                tuple((project(f, groups), size) for f, size in a.bounds),
                a.fill,
            )
            for key, a in self.accesses.items()
        }
        weights = [self.loops.weights[g[-1]] for g in groups]
        self.rows = sum(w >= self.length for w in weights) if reduces else len(sizes) - 1
        self.plain = Form(0, tuple(weights))
        self.plain_row = Form(
            0, tuple(w // self.length if w >= self.length else 0 for w in weights)
        )
        self.across = reduces and self._is_across()
        # the loop that becomes vector code
        self.vector = self.rows - 1 if self.across else len(sizes) - 1
        if not reduces and sizes[-1] < 16:
            # a longer loop along which most is read one after the other, or else the longest
            self.vector = max(range(len(sizes)), key=self._worth)

    def _worth(self, k: int) -> tuple[bool, int, int]:
        runs = sum(f.flat.strides[k] in (-1, 0, 1) for f in self.accesses.values())
        return self.sizes[k] >= 16, runs, self.sizes[k]

    def _over(self, found: Access, shape: tuple[int, ...], unit: int) -> Access:
        return Access(
            self.loops.over(found.flat, shape, unit),
            tuple((self.loops.over(f, shape, unit), size) for f, size in found.bounds),
            found.fill,
        )

    def _is_across(self) -> bool:
        """Whether to walk many rows at a time."""
        if not self.rows:
            return False
        if self.sizes[-1] < 16:
            return self.sizes[self.rows - 1] > self.sizes[-1]
        along = across = 0
        for (n, _), found in self.accesses.items():
            if n in self.full:
                along += abs(found.flat.strides[-1]) == 1
                across += abs(found.flat.strides[-1]) > 1 and found.flat.strides[self.rows - 1] in (
                    -1,
                    1,
                )
        return across > along and self.sizes[self.rows - 1] >= 8

    # the stages

    def _stages(self) -> None:
        """In which stage each full node is computed, and before which each row's value is known."""
        self.stage: dict[int, int] = {}
        self.known: dict[int, int] = {}
        self.passes: dict[int, list[tuple[str, int]]] = defaultdict(list)
        for n in self.group.members:
            node = self.graph.nodes[n]
            operands = self.graph.operands[n]
            if node.kind == Kind.REDUCE:
                x = operands[0]
                s = self.stage.get(x, 0)
                if n in self.graph.floats:
                    self._add_pass(s, "greatest", x)
                    self._add_pass(s + 1, "sum", x)
                    self.known[n] = s + 2
                elif node.fn == Reduce.EXPONENT:
                    self._add_pass(s, "greatest", x)
                    self.known[n] = s + 1
                elif node.fn == Reduce.SUM:
                    self._add_pass(s, "integers", x)
                    self.known[n] = max(s + 1, self.known.get(operands[1], 0))
                else:
                    self._add_pass(s, "max" if node.fn == Reduce.MAX else "argmax", x)
                    self.known[n] = s + 1
                continue
            inside = [o for o in operands if o in self.full or o in self.row]
            moment = max((self.stage.get(o, self.known.get(o, 0)) for o in inside), default=0)
            (self.known if n in self.row else self.stage)[n] = moment
        self.count = 1 + max([*self.stage.values(), *self.known.values(), 0])
        used: dict[int, int] = defaultdict(int)
        for n in self.group.members:
            for o in self.graph.operands[n]:
                if o in self.full and n in self.full:
                    used[o] = max(used[o], self.stage[n])
        for s, passes in self.passes.items():
            for _, x in passes:
                if x in self.full:
                    used[x] = max(used[x], s)
        self.kept = {
            n
            for n, last in used.items()
            if last > self.stage[n] and n not in self.stored and not self.is_load(n)
        }

    def _add_pass(self, s: int, what: str, x: int) -> None:
        if (what, x) not in self.passes[s]:
            self.passes[s].append((what, x))

    def is_load(self, n: int) -> bool:
        """Whether a node is as quick to read again as to keep."""
        node = self.graph.nodes[n]
        if node.kind != Kind.MAP or node.fn not in (Map.COPY, Map.CONVERT):
            return False
        return node.inputs[0].node not in self.full | self.row

    # names

    def pointer(self, n: int) -> str:
        if n not in self.pointers:
            self.pointers[n] = f"p{len(self.pointers)}"
        return self.pointers[n]

    def number(self, value: int) -> str:
        """A number that is handed in: walks which differ in it alone, as those of a recurrent
        layer's steps do in where they read, are the same code."""
        if value not in self.numbers:
            self.numbers[value] = f"n{len(self.numbers)}"
        return self.numbers[value]

    def name(self, what: str, n: int) -> str:
        key = (what, n)
        if key not in self.names:
            self.names[key] = f"{what}{sum(k[0] == what for k in self.names)}"
        return self.names[key]

    # text

    def kernel(self) -> Kernel:
        row_sizes, inner = self.sizes[: self.rows], self.sizes[self.rows :]
        if self.across:
            lines, tasks = self._across_rows(row_sizes, inner)
        elif self.group.length is None:
            lines, tasks = self._elements()
        else:
            lines, tasks = self._along_rows(row_sizes)
        head = []
        for n, p in self.pointers.items():
            constant = "" if n in self.written else "const "
            kind = f"{constant}{C_TYPES[self.graph.nodes[n].dtype]} *"
            head.append(f"{kind}restrict {p} = ({kind})a->p[{p[1:]}];")
        head += [f"const int64_t {n} = a->n[{n[1:]}];" for n in self.numbers.values()]
        work = self.group.count * max(1, len(self.full))
        text = "\n".join([*head, *lines])
        return Kernel(text, tuple(self.pointers), tasks, work, tuple(self.numbers))

    def _elements(self) -> tuple[list[str], int]:
        """No reductions: every element for itself."""
        inner = self.sizes[self.vector]
        others = [k for k in range(len(self.sizes)) if k != self.vector]
        row_sizes = [self.sizes[k] for k in others]
        chunk = inner if inner <= 2 * TASK else TASK
        chunks = -(-inner // chunk)
        rows = prod(row_sizes)
        block = min(rows, max(1, TASK // chunk))
        scope = _Scope(self, chunks > 1, 0)
        for n in self.group.full:
            if n in self.stored:
                scope.store(n, scope.value(n))
        lines = []
        if chunks > 1:
            lines += [
                f"const int64_t b = t % {chunks} * {chunk};",
                f"const int32_t e = {inner} - b < {chunk} ? (int32_t)({inner} - b) : {chunk};",
                f"t /= {chunks};",
            ]
        end = "e" if chunks > 1 else str(inner)
        body = scope.loop(end)
        if rows > 1:
            body = self._rows(row_sizes, block, body, others)
        return [*lines, *body], chunks * -(-rows // block)

    def _rows(
        self, row_sizes: list[int], block: int, body: list[str], loops: list[int] | None = None
    ) -> list[str]:
        """A loop over the task's rows. loops: which loops these are; by default the first."""
        rows = prod(row_sizes)
        lines = [
            f"const int64_t r1 = (t + 1) * {block} < {rows} ? (t + 1) * {block} : {rows};",
            f"for (int64_t r = t * {block}; r < r1; r++) {{",
        ]
        return [*lines, *self._unravel("r", row_sizes, loops), *body, "}"]

    def _unravel(self, r: str, sizes: list[int], loops: list[int] | None = None) -> list[str]:
        lines = []
        for k, size in enumerate(sizes):
            name = f"i{loops[k] if loops else k}"
            below = prod(sizes[k + 1 :])
            index = f"{r} / {below}" if below > 1 else r
            lines.append(
                f"const int64_t {name} = {index}{f' % {size}' if k else ''}; (void){name};"
            )
        return lines

    def _along_rows(self, row_sizes: list[int]) -> tuple[list[str], int]:
        rows = prod(row_sizes)
        block = min(rows, max(1, TASK // self.length))
        body = [
            f"{C_TYPES[self.graph.nodes[n].dtype]} {self.name('t', n)}[{self.length}];"
            for n in sorted(self.kept)
        ]
        body += self._passes(None)
        return self._rows(row_sizes, block, body), -(-rows // block)

    def _across_rows(self, row_sizes: list[int], inner: list[int]) -> tuple[list[str], int]:
        side = row_sizes[-1]
        most = ACROSS if self.length * max(1, len(self.kept)) <= 8192 else 16
        width = min(side, most)
        blocks = -(-side // width)
        outer = row_sizes[:-1]
        lines = []
        if blocks > 1:
            lines += [
                f"const int64_t b = t % {blocks} * {width};",
                f"const int32_t e = {side} - b < {width} ? (int32_t)({side} - b) : {width};",
                f"t /= {blocks};",
            ]
        self.width = width
        lines += self._unravel("t", outer)
        lines += [
            f"{C_TYPES[self.graph.nodes[n].dtype]} {self.name('t', n)}[{self.length * width}];"
            for n in sorted(self.kept)
        ]
        lines += self._passes("e" if blocks > 1 else str(side))
        strips = prod(outer) * blocks
        block = min(strips, max(1, TASK // (width * self.length)))
        if block > 1:  # a strip of short rows is less than what taking a task costs
            lines = [
                f"const int64_t t1 = (t + 1) * {block} < {strips} ? (t + 1) * {block} : {strips};",
                f"for (int64_t strip = t * {block}; strip < t1; strip++) {{",
                "int64_t t = strip;",
                *lines,
                "}",
            ]
        return lines, -(-strips // block)

    def _passes(self, end: str | None) -> list[str]:
        """All stages of one row; or of rows side by side, up to `end`."""
        lines: list[str] = []
        for s in range(self.count + 1):
            lines += self._between(s, end)
            if s < self.count:
                lines += self._pass(s, end)
        return lines

    def _between(self, s: int, end: str | None) -> list[str]:
        """What is known of the row before stage s."""
        scope = _Scope(self, end == "e", s, row=True)
        for what, x in self.passes.get(s - 1, ()):
            if what == "greatest":
                greatest = scope.read("m", x)
                exponent = scope.declare("e", x, "int32_t", f"ax_exponent({greatest})")
                if ("sum", x) in self.passes.get(s, ()):
                    scope.declare("s", x, "float", f"ax_quantise_scale({exponent}, 31)")
        for n in self.group.row:
            if self.known[n] != s:
                continue
            node = self.graph.nodes[n]
            kind = C_TYPES[node.dtype]
            if node.kind == Kind.REDUCE:
                value = self._reduced(node, n, scope)
            else:
                value = expression(node, [scope.operand(n, k) for k in range(len(node.inputs))])
            name = scope.declare("r", n, kind, value)
            if n in self.stored:
                scope.store(n, name)
        return scope.loop(end) if end is not None else scope.lines()

    def _reduced(self, node: Node, n: int, scope: _Scope) -> str:
        x = self.graph.operands[n][0]
        if n in self.graph.floats:
            return f"ax_sum_finish({scope.read('a', x)}, {scope.read('e', x)})"
        if node.fn == Reduce.EXPONENT:
            return scope.read("e", x)
        if node.fn == Reduce.SUM:
            e = scope.row_of(self.graph.operands[n][1])
            return f"ax_sum_finish({scope.read('z', x)}, {e})"
        if node.fn == Reduce.ARGMAX:
            return f"(int64_t){scope.read('g', x)}"
        key = scope.read("k", x)
        return f"ax_from_order_key({key})" if node.dtype == F32 else key

    def _pass(self, s: int, end: str | None) -> list[str]:
        """Stage s: one walk over the row."""
        computed = [n for n in self.group.full if self.stage[n] == s]
        kept = [n for n in computed if n in self.kept or n in self.stored]
        passes = self.passes.get(s, [])
        if not kept and not passes:
            return []
        scope = _Scope(self, end == "e", s)
        before: list[str] = []
        for n in kept:
            value = scope.value(n)
            if n in self.stored:
                scope.store(n, value)
            else:
                scope.body.append(f"{scope.kept(n)} = {value};")
        for what, x in passes:
            before += self._accumulate(scope, what, x, end)
        inner = self.sizes[self.rows :]
        loops = list(range(self.rows, len(self.sizes) - (end is None)))
        lines = [*before]
        for k in loops:
            lines.append(f"for (int64_t i{k} = 0; i{k} < {self.sizes[k]}; i{k}++) {{")
        lines += scope.loop(end if end is not None else str(inner[-1]))
        return [*lines, *("}" for _ in loops)]

    def _accumulate(self, scope: _Scope, what: str, x: int, end: str | None) -> list[str]:
        """Adds one pass of a reduction to the stage's body; returns what stands before its loop."""
        value = scope.value(x)
        dtype = self.graph.nodes[x].dtype

        def begin(letter: str, kind: str, first: str) -> tuple[str, list[str]]:
            name = self.name(letter, x)
            if end is None:
                return name, [f"{kind} {name} = {first};"]
            line = f"{kind} {name}[{self.width}];"
            return f"{name}[j]", [line, f"for (int32_t j = 0; j < {end}; j++) {name}[j] = {first};"]

        if what == "greatest":
            m, lines = begin("m", "uint32_t", "0")
            u = scope.local("uint32_t", f"ax_magnitude({value})")
            scope.body.append(f"{m} = {u} > {m} ? {u} : {m};")
        elif what == "sum":
            a, lines = begin("a", "int64_t", "0")
            scale = scope.read("s", x)
            # a row that is not finite has the scale 0, and its sum is not used
            finite = f"{scale} != 0.0f" if end is not None else "1"
            q = f"__builtin_rintf({value} * {scale})"
            scope.body.append(f"{a} += (int64_t)(int32_t)({finite} ? {q} : 0.0f);")
        elif what == "integers":
            a, lines = begin("z", "int64_t", "0")
            scope.body.append(f"{a} += (int64_t){value};")
        else:
            key = f"ax_order_key({value})" if dtype == F32 else value
            kind = "int64_t" if dtype == I64 else "int32_t"
            least = "INT64_MIN" if dtype == I64 else "INT32_MIN"
            if what == "max":
                g, lines = begin("k", kind, least)
                u = scope.local(kind, key)
                scope.body.append(f"{g} = {u} > {g} ? {u} : {g};")
            else:
                h, lines = begin("h", kind, least)
                g, more = begin("g", "int32_t", "0")
                lines += more
                u = scope.local(kind, key)
                scope.body.append(f"{g} = {u} > {h} ? (int32_t)({self.linear()}) : {g};")
                scope.body.append(f"{h} = {u} > {h} ? {u} : {h};")
        return lines

    def linear(self) -> str:
        """The place within the row."""
        inner = self.sizes[self.rows :]
        terms = []
        for k, _ in enumerate(inner):
            below = prod(inner[k + 1 :])
            index = "j" if self.rows + k == self.vector else f"i{self.rows + k}"
            terms.append(f"{index} * {below}" if below > 1 else index)
        return total(terms)


class _Scope:
    """Statements before, and in, one innermost loop over `j`."""

    def __init__(self, walk: _Walk, blocked: bool, stage: int, row: bool = False) -> None:
        self.walk, self.stage = walk, stage
        # whether j counts from the beginning of a block, `b`
        self.blocked = blocked
        # row by row, what is of the row is one value and stands outside the innermost loop
        self.scalar = row and not walk.across
        self.head: list[str] = []
        self.body: list[str] = []
        self.memo: dict[object, str] = {}
        self.outside: list[str] = []

    def lines(self) -> list[str]:
        return [*self.outside, *self.head, *self.body]

    def loop(self, end: str) -> list[str]:
        if not self.body:
            return [*self.outside]
        return [
            *self.outside,
            "{",
            *self.head,
            "#pragma GCC ivdep",
            f"for (int32_t j = 0; j < {end}; j++) {{",
            *self.body,
            "}",
            "}",
        ]

    def new(self, letter: str) -> str:
        self.walk.locals += 1
        return f"{letter}_{self.walk.locals}"

    def local(self, kind: str, value: str) -> str:
        name = self.new("v")
        self.body.append(f"const {kind} {name} = {value};")
        return name

    # what is of the row

    def read(self, letter: str, x: int) -> str:
        name = self.walk.name(letter, x)
        return f"{name}[j]" if self.walk.across else name

    def declare(self, letter: str, x: int, kind: str, value: str) -> str:
        name = self.walk.name(letter, x)
        if self.walk.across:
            self.outside.append(f"{kind} {name}[{self.walk.width}];")
            self.body.append(f"{name}[j] = {value};")
            return f"{name}[j]"
        self.body.append(f"const {kind} {name} = {value};")
        return name

    def row_of(self, n: int) -> str:
        """A value of the row: of the group, or plainly from memory."""
        if n in self.walk.row:
            return self.read("r", n)
        return self.load(n, Access(self.walk.plain_row, (), 0))

    # elements

    def value(self, n: int) -> str:
        """The element of a full node, or of a tensor read plainly."""
        walk = self.walk
        if n not in walk.full:
            return self.load(n, Access(walk.plain, (), 0))
        if n in self.memo:
            return self.memo[n]
        kind = C_TYPES[walk.graph.nodes[n].dtype]
        node = walk.graph.nodes[n]
        if is_random(node):
            base, step = self._split(walk.plain)
            index = f"(uint64_t)({base}) + (uint64_t)j * {step}"
            node_number = f"(uint32_t){walk.number(n)}"
            name = self.local(kind, f"ax_uniform(a->seed, a->step, {node_number}, {index})")
        elif walk.stage[n] == self.stage or walk.is_load(n):
            values = [self.operand(n, k) for k in range(len(node.inputs))]
            name = self.local(kind, expression(node, values))
        elif n in walk.stored:
            name = self.load(n, Access(walk.plain, (), 0))
        else:
            name = self.local(kind, self.kept(n))
        self.memo[n] = name
        return name

    def operand(self, n: int, k: int) -> str:
        """Operand k of a MAP node of the group, at the node's element."""
        walk = self.walk
        operand = walk.graph.nodes[n].inputs[k]
        if operand.node in walk.full:
            return self.value(operand.node)
        if operand.node in walk.row:
            return self.read("r", operand.node)
        return self.load(operand.node, walk.accesses[n, k])

    def kept(self, n: int) -> str:
        walk = self.walk
        name = walk.name("t", n)
        if walk.across:
            return f"{name}[({walk.linear()}) * {walk.width} + j]"
        return f"{name}[{walk.linear()}]"

    def _split(self, form: Form) -> tuple[str, int]:
        """The part of a form that the innermost loop does not change, and its stride along it."""
        walk = self.walk
        terms = [walk.number(form.offset)] if form.offset else []
        for k, stride in enumerate(form.strides):
            if stride and (self.scalar or k != walk.vector):
                terms.append(f"i{k} * {stride}" if stride != 1 else f"i{k}")
        step = 0 if self.scalar else form.strides[walk.vector]
        if step and self.blocked:
            terms.append(f"b * {step}" if step != 1 else "b")
        return total(terms), step

    def load(self, n: int, found: Access) -> str:
        """An element of a tensor in memory, or of a leaf."""
        key = (n, found)
        if key not in self.memo:
            self.memo[key] = self._load(n, found)
        return self.memo[key]

    def _load(self, n: int, found: Access) -> str:
        walk = self.walk
        node = walk.graph.nodes[n]
        kind = C_TYPES[node.dtype]
        base, step = self._split(found.flat)
        if is_leaf(node):
            if node.fn == Source.CONSTANT:
                element = literal(node.attributes[0], node.dtype)
            else:
                element = f"({kind})({base} + (int64_t){step} * j)" if step else f"({kind})({base})"
            pointer = ""
        else:
            pointer = self._base(walk.pointer(n), base, n)
            element = f"{pointer}[{self.along(step)}]"
        inside = [self._inside(form, size) for form, size in found.bounds]
        if inside:
            fill = literal(found.fill, node.dtype)
            return self.local(kind, f"{' & '.join(inside)} ? {element} : {fill}")
        if not step and not self.scalar and n not in walk.full:
            name = self.new("c")
            self.head.append(f"const {kind} {name} = {element};")
            return name
        return self.local(kind, element)

    def _base(self, pointer: str, base: str, n: int) -> str:
        if base == "0":
            return pointer
        key = (pointer, base)
        if key not in self.memo:
            name = self.new("q")
            constant = "" if n in self.walk.written else "const "
            kind = f"{constant}{C_TYPES[self.walk.graph.nodes[n].dtype]} *"
            (self.body if self.scalar else self.head).append(
                f"{kind}{name} = {pointer} + ({base});"
            )
            self.memo[key] = name
        return self.memo[key]

    def _inside(self, form: Form, size: int) -> str:
        base, step = self._split(form)
        reach = abs(form.offset) + sum(
            abs(v) * n for v, n in zip(form.strides, self.walk.sizes, strict=True)
        )
        if reach >= 1 << 31 or size >= 1 << 31:
            raise Uncompilable("coordinates beyond 31 bits")
        key = ("inside", form, size)
        if key not in self.memo:
            if step:
                name = self.new("o")
                self.head.append(f"const int32_t {name} = (int32_t)({base});")
                self.memo[key] = f"((uint32_t)({name} + j * {step}) < {size}u)"
            else:
                name = self.new("o")
                line = f"const int {name} = (uint64_t)({base}) < {size}u;"
                (self.body if self.scalar else self.head).append(line)
                self.memo[key] = name
        return self.memo[key]

    def store(self, n: int, value: str) -> None:
        walk = self.walk
        walk.written.add(n)
        form = walk.plain_row if n in walk.row else walk.plain
        base, step = self._split(form)
        pointer = self._base(walk.pointer(n), base, n)
        self.body.append(f"{pointer}[{self.along(step)}] = {value};")

    def along(self, step: int) -> str:
        """The innermost loop's part of an index."""
        if step in (0, 1):
            return "j" if step else "0"
        wide = abs(step) * self.walk.sizes[self.walk.vector] >= 1 << 31
        return f"(int64_t)j * {step}" if wide else f"j * {step}"
