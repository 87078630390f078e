"""Checkers recompute what the definition says, element by element."""

from __future__ import annotations

import itertools
import random

import pytest
import torch

from tests.contracts.court_fixtures import (
    BATCH,
    FIRST,
    ROWS,
    SEED,
    WIDTH,
    Bench,
    Checkers,
    committed,
    mapped,
    plain,
    read_order,
)
from worker.commit import element_bits
from worker.exact import reference
from worker.jobs.sampling import rows_of_step
from worker.program.codes import BOOL, F32, I32, I64, Kind, Map, Reduce, Source
from worker.program.records import Input, Node

NAN = 0x7FC00000
FLOATS = [0, 1 << 31, 0x3F800000, 0xC0490FDB, 1, 0x7F7FFFFF, 0x7F800000, 0xFF800000, NAN]
INTEGERS = {I32: [0, 1, -1, 7, 2**31 - 1, -(2**31)], I64: [0, 1, -1, 2**31, 2**63 - 1, -(2**63)]}
WIDTHS = {I32: 32, I64: 64}
TORCH = {F32: torch.float32, I32: torch.int32, I64: torch.int64, BOOL: torch.bool}


@pytest.fixture(scope="module")
def checkers():
    return Checkers()


@pytest.fixture(scope="module")
def recompute(checkers):
    """The element that the kind's checker gives, from the operands it must be shown."""

    def recompute(bench, node, element, indices=()):
        spans = read_order(node, element, indices)
        openings = [bench.traced(i.node, *span) for i, span in zip(node.inputs, spans, strict=True)]
        index = len(bench.trace)
        arguments = (bench.context, index, node.encoded, element, openings)
        return checkers[node.kind].call("recompute", *arguments)

    return recompute


def floats(bits):
    return torch.tensor([b - (b >> 31 << 32) for b in bits], dtype=torch.int32).view(torch.float32)


def bits_of(value, dtype):
    return value & (2 ** WIDTHS.get(dtype, 32) - 1)


def vector(node, dtype, length):
    return mapped(node, dtype, (length,), 0, 1)


# --- map ---

FLOAT_FUNCTIONS = {
    Map.ADD: reference.add,
    Map.SUB: reference.sub,
    Map.MUL: reference.mul,
    Map.DIV: reference.div,
    Map.MAXIMUM: reference.maximum,
    Map.MINIMUM: reference.minimum,
    Map.SQRT: reference.sqrt,
    Map.NEG: reference.neg,
    Map.ABS: reference.abs_,
    Map.RELU: reference.relu,
    Map.EXP: reference.exp,
    Map.LOG: reference.log,
    Map.TANH: reference.tanh,
    Map.ERF: reference.erf,
    Map.SIN: reference.sin,
    Map.COS: reference.cos,
    Map.EQ: reference.eq,
    Map.NE: reference.ne,
    Map.LT: reference.lt,
    Map.LE: reference.le,
    Map.GT: reference.gt,
    Map.GE: reference.ge,
}
UNARY = {Map.SQRT, Map.NEG, Map.ABS, Map.RELU, Map.EXP, Map.LOG}
UNARY |= {Map.TANH, Map.ERF, Map.SIN, Map.COS}


@pytest.mark.parametrize("fn", FLOAT_FUNCTIONS, ids=lambda fn: fn.name)
def test_functions_of_f32(recompute, fn):
    operands = [(a,) for a in FLOATS] if fn in UNARY else list(itertools.product(FLOATS, repeat=2))
    columns = [floats(column) for column in zip(*operands, strict=True)]
    bench, count = Bench(columns), len(operands)
    dtype = BOOL if fn >= Map.EQ else F32
    inputs = tuple(vector(i, F32, count) for i in range(len(columns)))
    node = Node(Kind.MAP, fn, dtype, (count,), inputs)
    for element, given in enumerate(operands):
        assert recompute(bench, node, element) == FLOAT_FUNCTIONS[fn](*given), given


INTEGER_FUNCTIONS = {
    Map.ADD: lambda a, b: a + b,
    Map.SUB: lambda a, b: a - b,
    Map.MUL: lambda a, b: a * b,
    Map.NEG: lambda a, b: -a,
    Map.MAXIMUM: max,
    Map.MINIMUM: min,
    Map.EQ: lambda a, b: a == b,
    Map.NE: lambda a, b: a != b,
    Map.LT: lambda a, b: a < b,
    Map.LE: lambda a, b: a <= b,
    Map.GT: lambda a, b: a > b,
    Map.GE: lambda a, b: a >= b,
}


@pytest.mark.parametrize("dtype", [I32, I64])
@pytest.mark.parametrize("fn", INTEGER_FUNCTIONS, ids=lambda fn: fn.name)
def test_functions_of_integers_wrap(recompute, fn, dtype):
    operands = list(itertools.product(INTEGERS[dtype], repeat=2))
    columns = [torch.tensor(c, dtype=TORCH[dtype]) for c in zip(*operands, strict=True)]
    inputs = tuple(vector(i, dtype, len(operands)) for i in range(1 if fn == Map.NEG else 2))
    output = BOOL if fn >= Map.EQ else dtype
    node = Node(Kind.MAP, fn, output, (len(operands),), inputs)
    bench = Bench(columns)
    for element, (a, b) in enumerate(operands):
        expected = bits_of(int(INTEGER_FUNCTIONS[fn](a, b)), dtype)
        assert recompute(bench, node, element) == expected, (a, b)


def test_logic(recompute):
    a, b = torch.tensor([False, False, True, True]), torch.tensor([False, True, False, True])
    bench = Bench([a, b])
    expected = {Map.AND: a & b, Map.OR: a | b, Map.XOR: a ^ b, Map.NOT: ~a}
    for fn, result in expected.items():
        inputs = tuple(vector(i, BOOL, 4) for i in range(1 if fn == Map.NOT else 2))
        node = Node(Kind.MAP, fn, BOOL, (4,), inputs)
        assert [recompute(bench, node, e) for e in range(4)] == result.int().tolist()


@pytest.mark.parametrize("dtype", [F32, I32, I64, BOOL])
def test_where_and_copy(recompute, dtype):
    """All combinations: protects against a choice by one of the two that are chosen from."""
    combinations = itertools.product((0, 1), (0, 5), (0, 7))
    columns = [torch.tensor(column) for column in zip(*combinations, strict=True)]
    condition, x, y = columns[0].bool(), *(c.to(TORCH[dtype]) for c in columns[1:])
    bench = Bench([condition, x, y])
    inputs = (vector(0, BOOL, 8), vector(1, dtype, 8), vector(2, dtype, 8))
    node = Node(Kind.MAP, Map.WHERE, dtype, (8,), inputs)
    chosen = torch.where(condition, x, y)
    copy = Node(Kind.MAP, Map.COPY, dtype, (8,), (vector(1, dtype, 8),))
    for element in range(8):
        assert recompute(bench, node, element) == element_bits(chosen, element)
        assert recompute(bench, copy, element) == element_bits(x, element)


def converted(value, source, target):
    """`value` (bits of an f32, an integer, or 0 or 1) in another dtype, as bits."""
    if source == F32 and target in WIDTHS:
        return bits_of(reference.to_int(value, WIDTHS[target]), target)
    if source == F32:
        return value if target == F32 else reference.to_bool(value)
    if target == F32:
        return reference.from_int(value)
    return int(value != 0) if target == BOOL else bits_of(value, target)


@pytest.mark.parametrize("source, target", itertools.product([F32, I32, I64, BOOL], repeat=2))
def test_conversions(recompute, source, target):
    values = {F32: [*FLOATS, 0x4F000000, 0xDF000001], BOOL: [0, 1], **INTEGERS}[source]
    if source == F32:
        tensor = floats(values)
    else:
        tensor = torch.tensor(values, dtype=torch.int64).to(TORCH[source])
    node = Node(Kind.MAP, Map.CONVERT, target, (len(values),), (vector(0, source, len(values)),))
    bench = Bench([tensor])
    for element, value in enumerate(values):
        assert recompute(bench, node, element) == converted(value, source, target), value


@pytest.mark.parametrize("bits", [2, 8, 20, 31])
def test_quantise(recompute, bits):
    exponents = [-96, 0, 3, 128, reference.NONFINITE]
    pairs = list(itertools.product(FLOATS, exponents))
    x, e = floats([p[0] for p in pairs]), torch.tensor([p[1] for p in pairs], dtype=torch.int32)
    inputs = (vector(0, F32, len(pairs)), vector(1, I32, len(pairs)))
    node = Node(Kind.MAP, Map.QUANTISE, I32, (len(pairs),), inputs, (bits,))
    bench = Bench([x, e])
    for element, (a, exponent) in enumerate(pairs):
        expected = bits_of(reference.quantise(a, exponent, bits), I32)
        assert recompute(bench, node, element) == expected


# A tensor of shape (3, 4) seen in other ways: shape of the output, the map, and what it means.
X = torch.arange(12, dtype=torch.int32).reshape(3, 4)
VIEWS = {
    "transposed": ((4, 3), (0, 0, 1, 0, 1, 0), X.T),
    "flipped": ((3, 4), (2, -1, 0, 3, 0, -1), X.flip(0, 1)),
    "a column": ((3,), (0, 1, 2, 0), X[:, 2]),
    "expanded": ((2, 3, 4), (0, 0, 1, 0, 0, 0, 0, 1), X.expand(2, 3, 4)),
    "every other": ((2, 2), (0, 2, 0, 1, 0, 2), X[::2, 1::2]),
    "diagonal": ((3,), (0, 1, 0, 1), X.diagonal()),
    "windows": (
        (3, 3, 2),
        (0, 1, 0, 0, 0, 0, 1, 1),
        X.unfold(1, 2, 1),
    ),
    "padded": (
        (5, 6),
        (-1, 1, 0, -1, 0, 1),
        torch.nn.functional.pad(X, (1, 1, 1, 1), value=99),
    ),
    "outside": ((2,), (2**40, 2**40, 0, -(2**40)), torch.full((2,), 99, dtype=torch.int32)),
    "scalar": ((), (1, 3), X[1, 3]),
}


@pytest.mark.parametrize("view", VIEWS)
def test_index_maps(recompute, view):
    shape, index_map, expected = VIEWS[view]
    node = Node(Kind.MAP, Map.COPY, I32, shape, (mapped(0, I32, (3, 4), *index_map, fill=99),))
    assert expected.shape == shape
    bench = Bench([X])
    for element in range(expected.numel()):
        assert recompute(bench, node, element) == element_bits(expected, element)


def test_an_operand_of_eight_axes(recompute):
    shape = (2, 1, 3, 2, 1, 2, 2, 2)
    x = torch.arange(96, dtype=torch.int64).reshape(shape)
    order = (7, 2, 0, 6, 1, 5, 4, 3)
    output = x.permute(order)
    entries = []
    for axis in range(8):
        strides = [0] * 8
        strides[order.index(axis)] = 1
        entries += [0, *strides]
    node = Node(Kind.MAP, Map.COPY, I64, output.shape, (mapped(0, I64, shape, *entries),))
    bench = Bench([x])
    for element in range(96):
        assert recompute(bench, node, element) == element_bits(output, element)


# --- reduce ---


def float_rows(rows, length):
    rng = random.Random(rows * length)
    values = [
        [
            rng.choice(FLOATS[:-3]) if rng.random() < 0.1 else rng.getrandbits(30)
            for _ in range(length)
        ]
        for _ in range(rows)
    ]
    values[0][length // 2] = NAN
    values[-1] = [1 << 31] * length
    return values


@pytest.mark.parametrize("length", [1, 3, 8, 250, 256, 300, 1024])
def test_reductions_of_f32(recompute, length):
    values = float_rows(5, length)
    bench = Bench([floats(itertools.chain(*values))])
    operand = (plain(0, F32, 5, length),)
    for element, row in enumerate(values):
        for fn, dtype, expected in (
            (Reduce.MAX, F32, reference.row_max(row)),
            (Reduce.ARGMAX, I64, reference.row_argmax(row)),
            (Reduce.EXPONENT, I32, bits_of(reference.exponent(row), I32)),
        ):
            node = Node(Kind.REDUCE, fn, dtype, (5,), operand)
            assert recompute(bench, node, element) == expected, fn


def test_the_first_of_the_greatest_wins(recompute):
    rows = [
        [1 << 31, 0, 0, 1 << 31],  # -0 < +0
        [NAN, 0x7F800000, NAN, 0],
        [0xFF800000, 0xFF800000, 0xFF800000, 0xFF800000],
        [0, 0x3F800000, 0x3F800000, 0],
        [0x7F800000, 0, NAN, 0],  # infinity < NaN
        [0xFF800000, 0xFF7FFFFF, 0xFF800000, 0xFF7FFFFF],
    ]
    bench = Bench([floats(itertools.chain(*rows))])
    operand = (plain(0, F32, 6, 4),)
    argmax = Node(Kind.REDUCE, Reduce.ARGMAX, I64, (6,), operand)
    greatest = Node(Kind.REDUCE, Reduce.MAX, F32, (6,), operand)
    assert [recompute(bench, argmax, e) for e in range(6)] == [1, 0, 0, 1, 2, 1]
    found = [recompute(bench, greatest, e) for e in range(6)]
    assert found == [0, NAN, 0xFF800000, 0x3F800000, NAN, 0xFF7FFFFF]


@pytest.mark.parametrize("dtype", [I32, I64])
def test_reductions_of_integers(recompute, dtype):
    rng = random.Random(dtype)
    least = -(2 ** (WIDTHS[dtype] - 1))
    values = [[rng.randrange(least, -least) for _ in range(150)] for _ in range(3)]
    values[1] = [least] * 150
    bench = Bench([torch.tensor(values, dtype=TORCH[dtype])])
    operand = (plain(0, dtype, 3, 150),)
    for element, row in enumerate(values):
        node = Node(Kind.REDUCE, Reduce.MAX, dtype, (3,), operand)
        assert recompute(bench, node, element) == bits_of(max(row), dtype)
        node = Node(Kind.REDUCE, Reduce.ARGMAX, I64, (3,), operand)
        assert recompute(bench, node, element) == row.index(max(row))


@pytest.mark.parametrize("dtype", [I32, I64])
def test_the_greatest_is_so_by_any_bit_at_any_place(recompute, dtype):
    """Protects against a bit that is lost where a word of several elements is turned around, or
    turned itself where the sign is: among zeros, and among negative numbers."""
    bits = [b for b in (0, 7, 8, 15, 16, 31, 32, 47, 63) if b < WIDTHS[dtype]]
    rows = []
    for place, bit in itertools.product(range(8), bits):
        rows += [[0] * 8, [-1] * 8]
        rows[-2][place] = 1 << bit if bit < WIDTHS[dtype] - 1 else -(1 << bit)
        if bit < WIDTHS[dtype] - 1:
            rows[-1] = [-1 - (1 << bit)] * 8
            rows[-1][place] = -1
    bench = Bench([torch.tensor(rows, dtype=TORCH[dtype])])
    operand = (plain(0, dtype, len(rows), 8),)
    node = Node(Kind.REDUCE, Reduce.ARGMAX, I64, (len(rows),), operand)
    for element, row in enumerate(rows):
        assert recompute(bench, node, element) == row.index(max(row)), row


@pytest.mark.parametrize("length", [1, 7, 8, 9, 256, 300, 4096])
def test_sums(recompute, length):
    rng = random.Random(length)
    limit = 2**30 - 1
    values = [[rng.randrange(-limit, limit + 1) for _ in range(length)] for _ in range(3)]
    values[1] = [limit] * length
    values[2] = [-(2**31)] * length
    exponents = [3, -96, reference.NONFINITE]
    tensors = [torch.tensor(v, dtype=torch.int32) for v in (values, exponents)]
    bench = Bench(tensors)
    node = Node(Kind.REDUCE, Reduce.SUM, F32, (3,), (plain(0, I32, 3, length), plain(1, I32, 3)))
    for element, row in enumerate(values):
        expected = reference.sum_finish(sum(row), exponents[element])
        assert recompute(bench, node, element) == expected


# --- dot, gather ---


@pytest.mark.parametrize(
    "b, m, n, k", [(1, 1, 1, 1), (2, 3, 2, 5), (1, 2, 2, 300), (1, 1, 2, 4096)]
)
@pytest.mark.parametrize("bits", [2, 8, 20])
def test_dots(recompute, b, m, n, k, bits):
    rng = random.Random(k)
    limit = 2 ** (bits - 1) - 1
    left = [[rng.randrange(-limit, limit + 1) for _ in range(k)] for _ in range(b * m)]
    right = [[rng.randrange(-limit, limit + 1) for _ in range(k)] for _ in range(b * n)]
    left[0] = [limit] * k
    right[0] = [-limit] * k
    ea = [rng.randrange(-96, 129) for _ in left]
    eb = [rng.randrange(-96, 129) for _ in right]
    eb[-1] = reference.NONFINITE
    bench = Bench([torch.tensor(t, dtype=torch.int32) for t in (left, ea, right, eb)])
    inputs = (
        plain(0, I32, b * m, k),
        plain(1, I32, b * m),
        plain(2, I32, b * n, k),
        plain(3, I32, b * n),
    )
    node = Node(Kind.DOT, 0, F32, (b, m, n), inputs, (b, m, n, k, bits))
    for element, (i, j, c) in enumerate(itertools.product(range(b), range(m), range(n))):
        x, y = i * m + j, i * n + c
        total = sum(p * q for p, q in zip(left[x], right[y], strict=True))
        assert recompute(bench, node, element) == reference.dot_finish(total, ea[x], eb[y], bits)


def test_a_dot_of_integers_beyond_its_bits_is_still_exact(recompute):
    """Operands of a dishonest trace may be any integers: nothing overflows."""
    rows = [[-(2**31)] * 4096, [2**31 - 1] * 4096]
    bench = Bench([torch.tensor(t, dtype=torch.int32) for t in (rows, [0, 0])])
    inputs = (plain(0, I32, 2, 4096), plain(1, I32, 2)) * 2
    node = Node(Kind.DOT, 0, F32, (2, 2), inputs, (1, 2, 2, 4096, 14))
    for element, (x, y) in enumerate(itertools.product((-(2**31), 2**31 - 1), repeat=2)):
        expected = reference.dot_finish(4096 * x * y, 0, 0, 14)
        assert recompute(bench, node, element) == expected


@pytest.mark.parametrize("index_dtype", [I32, I64])
@pytest.mark.parametrize("dtype", [F32, I32, I64, BOOL])
def test_gathers(recompute, dtype, index_dtype):
    a, v, length, d = 2, 5, 4, 3
    x = (torch.arange(a * v * d) % 7).to(TORCH[dtype]).reshape(a, v, d)
    far = 2**32 + 1 if index_dtype == I64 else 2**31 - 1  # its lower half would be a row
    index = torch.tensor([[0, 4, -1, 2], [5, far, 1, 3]], dtype=TORCH[index_dtype])
    bench = Bench([x, index])
    inputs = (plain(0, dtype, a, v, d), plain(1, index_dtype, a, length))
    node = Node(Kind.GATHER, 0, dtype, (a, length, d), inputs, (a, v, length, d))
    indices = index.reshape(-1).tolist()
    for element, (i, j, c) in enumerate(itertools.product(range(a), range(length), range(d))):
        row = int(index[i, j])
        if 0 <= row < v:
            expected = element_bits(x, (i * v + row) * d + c)
        else:
            expected = NAN if dtype == F32 else 0
        assert recompute(bench, node, element, indices) == expected


# --- scatter ---


def scatter(v, d, length, index_dtype, shape=None):
    inputs = (plain(0, I32, d, length), plain(1, I32, 1), plain(2, index_dtype, length))
    return Node(Kind.SCATTER, 0, F32, shape or (v, d), inputs, (v, d, length))


@pytest.mark.parametrize("index_dtype", [I32, I64])
@pytest.mark.parametrize("length", [1, 7, 8, 9, 130, 300])
def test_scatters(recompute, index_dtype, length):
    """Rows that come up often, once and never; indices that lead nowhere are dropped."""
    rng = random.Random(length * index_dtype)
    v, d, limit = 5, 3, 2**30 - 1
    q = [[rng.randrange(-limit, limit + 1) for _ in range(length)] for _ in range(d)]
    q[1] = [-(2**31)] * length  # of a dishonest trace
    wide = [2**32, 2**32 + 1, -(2**63), 2**63 - 1] if index_dtype == I64 else []
    nowhere = [-1, -2, -(2**31), 2**31 - 1, v, v + 1, *wide]
    index = [rng.choice([0, 0, 1, 2, v - 1, rng.choice(nowhere)]) for _ in range(length)]
    node = scatter(v, d, length, index_dtype)
    for e in (-96, 5, 128, reference.NONFINITE):
        tensors = [torch.tensor(t, dtype=torch.int32) for t in (q, [e])]
        bench = Bench([*tensors, torch.tensor(index, dtype=TORCH[index_dtype])])
        for element, (row, column) in enumerate(itertools.product(range(v), range(d))):
            total = sum(x for x, i in zip(q[column], index, strict=True) if i == row)
            expected = reference.sum_finish(total, e)
            assert recompute(bench, node, element) == expected, (e, row, column)
            assert (expected == NAN) == (e == reference.NONFINITE)


def test_a_scatter_of_nothing_to_a_row_is_zero_there(recompute):
    q = torch.tensor([[5, 6, 7]], dtype=torch.int32)
    bench = Bench([q, torch.tensor([0], dtype=torch.int32), torch.tensor([-1, 2, 9])])
    node = scatter(2, 1, 3, I64)
    assert [recompute(bench, node, e) for e in range(2)] == [0, 0]


@pytest.mark.parametrize("index_dtype", [I32, I64])
def test_rows_of_a_scatter_are_no_negative_indices(recompute, index_dtype):
    """With 2^32 rows, row 2^32 - 1 has the bits of the i32 -1, which names no row."""
    q = torch.tensor([[1, 2, 4, 8]], dtype=torch.int32)
    index = [-1, -(2**31), 2**31 - 1, 0]
    if index_dtype == I64:
        index[:2] = [2**32 - 1, 2**31]
    bench = Bench([q, torch.tensor([30]).int(), torch.tensor(index, dtype=TORCH[index_dtype])])
    node = scatter(2**32, 1, 4, index_dtype, (2**16, 2**16))
    found = [recompute(bench, node, e) for e in (2**32 - 1, 2**31, 2**31 - 1, 0)]
    named = [1, 2, 4, 8] if index_dtype == I64 else [0, 0, 4, 8]
    assert found == [reference.from_int(n) for n in named]


def longest_scatter(recompute, index_dtype):
    """A row of 2048 out of a large operand, its leaves astride, and every index the same."""
    length, d, v = 2048, 64, 1000
    q = torch.randint(-(2**30), 2**30, (d, length), dtype=torch.int32)
    index = torch.full((length,), 999, dtype=TORCH[index_dtype])
    bench = Bench([q, torch.tensor([3], dtype=torch.int32), index])
    node = scatter(v, d, length, index_dtype)
    expected = reference.sum_finish(int(q[5].long().sum()), 3)
    assert recompute(bench, node, 999 * d + 5) == expected


@pytest.mark.parametrize("index_dtype", [I32, I64])
def test_the_longest_scatter(recompute, index_dtype):
    longest_scatter(recompute, index_dtype)


@pytest.mark.parametrize("index_dtype", [I32, I64])
def test_gas_of_the_longest_scatter(recompute, checkers, index_dtype):
    longest_scatter(recompute, index_dtype)
    used = checkers[Kind.SCATTER].evm.result.gas_used
    print("scatter", index_dtype, used)
    assert used <= 1_000_000


# --- source ---


def test_sources(checkers):
    state = [torch.arange(300, dtype=torch.float32), torch.tensor([True, False])]
    data = [
        torch.arange(ROWS, dtype=torch.int64) * 11,
        torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(1)),
    ]
    source = checkers[Kind.SOURCE]
    for index, (tensor, dtype) in enumerate(zip(state, (F32, BOOL), strict=True)):
        bench = Bench((), state)
        node = Node(Kind.SOURCE, Source.STATE, dtype, tuple(tensor.shape), (), (index,))
        for element in (0, tensor.numel() - 1):
            openings = [bench.opened(bench.state, index, element, 1)]
            given = source.call("recompute", bench.context, 9, node.encoded, element, openings)
            assert given == element_bits(tensor, element)
    for step in (0, 1, 2, 3, FIRST, 2**60):  # in step 2 an epoch ends between the rows
        bench = Bench((), (), data, step=step)
        chosen = rows_of_step(SEED, ROWS, BATCH, step)
        for index, (tensor, width, dtype) in enumerate(
            zip(data, (1, WIDTH), (I64, F32), strict=True)
        ):
            node = Node(Kind.SOURCE, Source.BATCH, dtype, (BATCH, width), (), (index, BATCH, width))
            for element in range(BATCH * width):
                at = int(chosen[element // width]) * width + element % width
                openings = [bench.opened(bench.data, index, at, 1)]
                given = source.call("recompute", bench.context, 9, node.encoded, element, openings)
                assert given == element_bits(tensor, at)
    bench = Bench()
    for dtype, bits in ((F32, NAN), (I32, 2**32 - 1), (I64, 2**64 - 1), (BOOL, 1)):
        node = Node(Kind.SOURCE, Source.CONSTANT, dtype, (1, 1), (), (bits,))
        assert source.call("recompute", bench.context, 9, node.encoded, 0, []) == bits
    for dtype, count in ((I32, 2**31), (I64, 2**40)):
        node = Node(Kind.SOURCE, Source.IOTA, dtype, (count >> 20, 1 << 20))
        for element in (0, 5, count - 1):
            assert source.call("recompute", bench.context, 9, node.encoded, element, []) == element


def test_random_sources(checkers):
    """A number depends on the seed, the step, the node's place and the element, on nothing else."""
    rng, source = random.Random(6), checkers[Kind.SOURCE]
    seeds = [0, 1, 2**32, 2**64 - 1, *(rng.getrandbits(64) for _ in range(40))]
    for seed in seeds:
        step = rng.getrandbits(rng.choice([4, 32, 64]))
        index = rng.choice([0, 9, rng.getrandbits(32)])
        shape = rng.choice([(7,), (2**20, 2**20), (3, 1, 5), ()])
        node = Node(Kind.SOURCE, Source.RANDOM, F32, shape)
        bench = Bench(seed=seed, step=step)
        for element in {0, node.count - 1, rng.randrange(node.count)}:
            arguments = (bench.context, index, node.encoded, element, [])
            given = source.call("recompute", *arguments)
            assert given == reference.uniform(seed, step, index, element)
    print("random", source.evm.result.gas_used)


def test_a_strangers_tensors_read_as_definite_elements(checkers):
    """A data set may hold any bytes: a NaN of any payload is the one NaN, a bool of 7 is true."""
    source = checkers[Kind.SOURCE]
    for dtype, raw, expected in (
        (F32, b"\x01\x00\x80\xff", NAN),
        (F32, b"\xff\xff\xff\x7f", NAN),
        (F32, b"\x00\x00\x80\xff", 0xFF800000),
        (BOOL, b"\x07", 1),
        (BOOL, b"\x00", 0),
    ):
        tensor = committed(dtype, 1, raw)
        node = Node(Kind.SOURCE, Source.STATE, dtype, (), (), (0,))
        bench = Bench((), [tensor])
        openings = [bench.opened(bench.state, 0, 0, 1)]
        given = source.call("recompute", bench.context, 9, node.encoded, 0, openings)
        assert given == expected
        copy = Node(Kind.MAP, Map.COPY, dtype, (), (Input(0, dtype, ()),))
        bench = Bench([tensor])
        arguments = (bench.context, 1, copy.encoded, 0, [bench.traced(0, 0)])
        assert checkers[Kind.MAP].call("recompute", *arguments) == expected
    # a bool is its own byte, whatever the next one is
    copy = Node(Kind.MAP, Map.COPY, BOOL, (2,), (vector(0, BOOL, 2),))
    bench = Bench([committed(BOOL, 2, b"\x00\xff")])
    arguments = (bench.context, 1, copy.encoded, 0, [bench.traced(0, 0)])
    assert checkers[Kind.MAP].call("recompute", *arguments) == 0
    rows = committed(F32, 2, b"\x00\x00\x80\xff\x01\x00\x80\xff")
    node = Node(Kind.REDUCE, Reduce.MAX, F32, (1,), (plain(0, F32, 1, 2),))
    bench = Bench([rows])
    arguments = (bench.context, 1, node.encoded, 0, [bench.traced(0, 0, 2)])
    assert checkers[Kind.REDUCE].call("recompute", *arguments) == NAN
    # the first NaN wins, be its payload the least
    rows = committed(F32, 2, b"\x01\x00\x80\x7f\x02\x00\x80\x7f")
    node = Node(Kind.REDUCE, Reduce.ARGMAX, I64, (1,), (plain(0, F32, 1, 2),))
    bench = Bench([rows])
    arguments = (bench.context, 1, node.encoded, 0, [bench.traced(0, 0, 2)])
    assert checkers[Kind.REDUCE].call("recompute", *arguments) == 0
