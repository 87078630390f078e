"""The scalar functions in C against the torch twin, in bits, each in a loop that is vector code.

Protects a native run's promise to give the bits that a dispute gives. The loops are compiled as a
program's are; NaNs are compared canonical, as they are wherever bits are observed.
"""

import ctypes
import re
from itertools import product

import numpy as np
import pytest
import torch

from tests.exact import cases, helpers
from worker import exact
from worker.exact import bits as bit_constants
from worker.exact import coefficients as table
from worker.exact import random as random_numbers
from worker.exact import rows, trigonometric
from worker.exact.native import build
from worker.exact.native import coefficients as native_coefficients
from worker.program.codes import Map

HEADERS = ("bits", "scalar", "transcendental", "rows", "random")
WARNINGS = ("-Wall", "-Wextra", "-Werror")

DTYPES = {"f32": torch.float32, "i32": torch.int32, "i64": torch.int64, "bool": torch.bool}
C_TYPES = {"f32": "float", "i32": "int32_t", "i64": "int64_t", "bool": "uint8_t"}
EDGES = cases.EXP_LOG_EDGES + cases.TANH_ERF_EDGES + cases.SIN_COS_EDGES
COUNT = 1 << 22


def functions():
    """Every C function of a Map code: its name, its operands' dtypes, its result's, its twin."""
    words = {"max": "maximum", "min": "minimum"}
    for dtypes, twins in (
        (["f32"], exact.FLOAT),
        (["i32", "i64"], exact.INTEGER),
        (["bool"], exact.BOOL),
    ):
        for dtype, (name, twin) in product(dtypes, twins.items()):
            unary = name in (*helpers.UNARY, "not")
            result = "bool" if name in exact.scalar.COMPARISONS else dtype
            word = words.get(name, name)
            yield f"{word}_{dtype}", [dtype] * (1 if unary else 2), result, twin
    for dtype in DTYPES:
        yield f"copy_{dtype}", [dtype], dtype, torch.clone
        yield f"where_{dtype}", ["bool", dtype, dtype], dtype, torch.where
    for source, to in product(DTYPES, DTYPES):
        dtype = DTYPES[to]
        yield f"convert_{source}_{to}", [source], to, lambda x, dtype=dtype: exact.to(x, dtype)


FUNCTIONS = {name: rest for name, *rest in functions()}


def loop(name, operands, result):
    """C of `void name(n, operands.., out)`."""
    arguments = [f"const {C_TYPES[d]} *restrict x{i}" for i, d in enumerate(operands)]
    call = ", ".join(f"x{i}[k]" for i in range(len(operands)))
    return (
        f"void {name}(int64_t n, {', '.join(arguments)}, {C_TYPES[result]} *restrict out) "
        f"{{ for (int64_t k = 0; k < n; k++) out[k] = ax_{name}({call}); }}"
    )


ROWS = """
void quantise(int64_t n, const float *restrict x, int32_t e, int32_t bits, int32_t *restrict out) {
    float scale = ax_quantise_scale(e, bits);
    for (int64_t k = 0; k < n; k++) out[k] = ax_quantise_scaled(x[k], scale, bits);
}
void quantise_each(int64_t n, const float *restrict x, const int32_t *restrict e, int32_t bits,
                   int32_t *restrict out) {
    for (int64_t k = 0; k < n; k++) out[k] = ax_quantise_f32(x[k], e[k], bits);
}
void exponents(int64_t n, const float *restrict x, int32_t *restrict out) {
    for (int64_t k = 0; k < n; k++) out[k] = ax_exponent(ax_magnitude(x[k]));
}
void sum_finish(int64_t n, const int64_t *restrict t, const int32_t *restrict e,
                float *restrict out) {
    for (int64_t k = 0; k < n; k++) out[k] = ax_sum_finish(t[k], e[k]);
}
void dot_finish(int64_t n, const int64_t *restrict t, const int32_t *restrict ea,
                const int32_t *restrict eb, const int32_t *restrict bits, float *restrict out) {
    for (int64_t k = 0; k < n; k++) out[k] = ax_dot_finish(t[k], ea[k], eb[k], bits[k]);
}
void greatest(int64_t rows, int64_t n, const float *restrict x, float *restrict out) {
    for (int64_t r = 0; r < rows; r++) {
        int32_t best = INT32_MIN;
        for (int64_t k = 0; k < n; k++) {
            int32_t key = ax_order_key(x[r * n + k]);
            best = key > best ? key : best;
        }
        out[r] = ax_from_order_key(best);
    }
}
void order_keys(int64_t n, const float *restrict x, int32_t *restrict out) {
    for (int64_t k = 0; k < n; k++) out[k] = ax_order_key(x[k]);
}
void canonical(int64_t n, const float *restrict x, float *restrict out) {
    for (int64_t k = 0; k < n; k++) out[k] = ax_canonical(x[k]);
}
void uniform(int64_t groups, uint64_t seed, uint64_t step, uint32_t node, float *restrict out) {
    for (int64_t g = 0; g < groups; g++) ax_uniform_group(seed, step, node, g, out + 4 * g);
}
void uniform_each(int64_t n, uint64_t seed, uint64_t step, uint32_t node, float *restrict out) {
    for (int64_t k = 0; k < n; k++) out[k] = ax_uniform(seed, step, node, k);
}
float uniform_one(uint64_t seed, uint64_t step, uint32_t node, uint64_t element) {
    return ax_uniform(seed, step, node, element);
}
"""


def constants():
    """C of `void constants(uint64_t *out)`, and what it must write, from the table by name."""
    expected = []
    for name, entry in vars(table).items():
        if name.isupper() and name != "TWO_OVER_PI":
            for i, pattern in enumerate(entry if isinstance(entry, tuple) else [entry]):
                if isinstance(entry, tuple):
                    expected.append((f"ax_bits(AX_{name}[{i}])", pattern))
                elif name == "HALF_PI":
                    expected.append(("AX_HALF_PI", pattern))
                else:
                    expected.append((f"ax_bits(AX_{name})", pattern))
                    expected.append((f"AX_{name}_BITS", pattern))
    for name in ("NAN_BITS", "INF_BITS", "MAGNITUDE", "NONFINITE", "MIN_EXPONENT", "MAX_EXPONENT"):
        expected.append((f"(uint32_t)AX_{name}", getattr(bit_constants, name) % (1 << 32)))
    for i, letter in enumerate("AB"):
        expected.append((f"AX_PHILOX_{letter}", random_numbers.MULTIPLIERS[i]))
        expected.append((f"AX_WEYL_{letter}", random_numbers.WEYL[i]))
    expected.append(("AX_PHILOX_ROUNDS", random_numbers.ROUNDS))
    high, low = trigonometric._windows(torch.device("cpu"))
    expected += [(f"AX_WINDOW_HIGH[{i}]", v % (1 << 64)) for i, v in enumerate(high.tolist())]
    expected += [(f"AX_WINDOW_LOW[{i}]", v) for i, v in enumerate(low.tolist())]
    expected.append(("sizeof AX_WINDOW_LOW / sizeof *AX_WINDOW_LOW", len(low)))
    lines = [f"    *out++ = {expression};" for expression, _ in expected]
    return "\n".join(["void constants(uint64_t *out) {", *lines, "}"]), expected


@pytest.fixture(scope="module")
def library():
    loops = [loop(name, operands, result) for name, (operands, result, _) in FUNCTIONS.items()]
    source = "\n".join(['#include "scalar.h"', *loops, ROWS, constants()[0], ""])
    return build.library([source], flags=WARNINGS)


def call(library, name, *arguments):
    """The C function on tensors (by address) and integers (of 64 bits, which hold any narrower)."""
    getattr(library, name)(
        *(
            ctypes.c_void_p(a.data_ptr()) if isinstance(a, torch.Tensor) else ctypes.c_uint64(a)
            for a in arguments
        )
    )


def equal(got, expected, *operands):
    """Asserts equal bits; an error names the first operands."""
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    got, expected = exact.canonical(got), exact.canonical(expected)
    if got.dtype == torch.float32:
        got, expected = got.view(torch.int32), expected.view(torch.int32)
    if not torch.equal(got, expected):
        wrong = (got != expected).nonzero().flatten()
        i = int(wrong[0])
        shown = [hex(int(x.view(torch.int32)[i]) & 0xFFFFFFFF) if x.dtype == torch.float32
                 else int(x[i]) for x in operands]  # fmt: skip
        raise AssertionError(f"{len(wrong)} differ, first at {shown}: {got[i]}, not {expected[i]}")


def random_bits(seed, count=COUNT):
    """f32 of uniform bit patterns."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(-(1 << 31), 1 << 31, (count,), generator=generator, dtype=torch.int64)
    return drawn.to(torch.int32).view(torch.float32)


def boundaries():
    """f32 in every binade: its ends, their neighbours; and the cases of the other tests."""
    fields = np.arange(256, dtype=np.uint32)[:, None] << 23
    ends = fields | np.array([0, 1, 2, 0x3FFFFF, 0x400000, 0x400001, 0x7FFFFE, 0x7FFFFF], np.uint32)
    ends = np.concatenate([ends.ravel(), np.array(cases.SPECIALS + EDGES, np.uint32)])
    return helpers.tensor(np.concatenate([ends, ends ^ np.uint32(0x80000000)]))


def operands_of(dtypes):
    """Operands of these dtypes: all boundaries (all pairs of specials), then random bits."""
    first = next((d for d in dtypes if d != "bool"), "bool")
    if first == "f32" and dtypes == ["f32"]:
        return [torch.cat([boundaries(), random_bits(1)])]
    if first == "f32":
        a, b = np.meshgrid(*[np.array(cases.SPECIALS, np.uint32)] * 2)
        c, d = helpers.random_pairs(np.random.default_rng(2), 1 << 19)
        a, b = np.concatenate([a.ravel(), c]), np.concatenate([b.ravel(), d])
        a, b = (
            torch.cat([helpers.tensor(a), random_bits(3)]),
            torch.cat([helpers.tensor(b), random_bits(4)]),
        )
        drawn = [a, b]
    elif first == "bool":
        drawn = [torch.tensor(v) for v in zip(*product([False, True], repeat=2), strict=True)]
        drawn = [v.repeat(33) for v in drawn]  # longer than any vector, with a rest
    else:
        width = torch.iinfo(DTYPES[first]).bits
        ends = torch.tensor(
            [v for s in (0, 31, 32, 53, 62, 63) for v in (-(1 << s), -(1 << s) + 1, (1 << s) - 1)]
            + [0, 1, -1, 2, 1 << 24, (1 << 24) + 1, (1 << 62) + (1 << 38), (1 << 31), 3 << 30]
        ).to(DTYPES[first])
        generator = torch.Generator().manual_seed(width)
        span = (-(1 << (width - 1)), (1 << (width - 1)) - 1)
        some = [torch.randint(*span, (COUNT // 4,), generator=generator) for _ in range(2)]
        # of every length, not only the longest
        some[0] >>= torch.randint(0, width, some[0].shape, generator=generator)
        drawn = [torch.cat([e.flatten(), s.to(DTYPES[first])]) for e, s in zip(
            torch.meshgrid(ends, ends, indexing="ij"), some, strict=True)]  # fmt: skip
    if len(dtypes) == 3:
        condition = torch.arange(len(drawn[0])) % 3 == 0
        return [condition, *drawn]
    return drawn[: len(dtypes)]


def test_every_map_code_has_its_function_in_c():
    """A program's map node is compiled to `ax_<code>_<dtype>`."""
    covered = {name.split("_")[0] for name in FUNCTIONS} | {"quantise"}
    assert covered == {code.name.lower() for code in Map}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_gives_the_bits_of_the_torch_twin(library, name):
    dtypes, result, twin = FUNCTIONS[name]
    operands = operands_of(dtypes)
    out = torch.empty(len(operands[0]), dtype=DTYPES[result])
    call(library, name, len(out), *operands, out)
    equal(out, twin(*operands), *operands)


def test_a_loop_of_one_gives_the_bits_of_a_long_loop(library):
    """The rest of a vectorised loop is other code than its body."""
    x = boundaries()[::7].contiguous()
    for name in helpers.UNARY:
        whole, one = torch.empty_like(x), torch.empty_like(x)
        call(library, f"{name}_f32", len(x), x, whole)
        for k in range(len(x)):
            call(library, f"{name}_f32", 1, x[k:], one[k:])
        equal(one, whole, x)


@pytest.mark.parametrize("name", helpers.UNARY)
def test_unary_vectors(library, name):
    """The vectors made from the reference, which the contracts are checked against too."""
    a, expected = (
        helpers.tensor([int(v, 16) for v in column])
        for column in zip(*helpers.vectors("unary", name), strict=True)
    )
    out = torch.empty_like(a)
    call(library, f"{name}_f32", len(a), a, out)
    equal(out, expected, a)


BITS = (2, 3, 8, 12, 14, 24, 25, 30, 31)


@pytest.mark.parametrize("bits", BITS)
def test_quantise(library, bits):
    """All bit patterns under one exponent, and elements near the row's greatest under each."""
    x = torch.cat([boundaries(), random_bits(bits, 1 << 19)])
    out = torch.empty(len(x), dtype=torch.int32)
    for e in (exact.MIN_EXPONENT, -3, 0, 17, exact.MAX_EXPONENT, exact.NONFINITE):
        call(library, "quantise", len(x), x, e, bits, out)
        equal(out, exact.quantise(x, torch.tensor(e, dtype=torch.int32), bits), x)
    e = torch.randint(exact.MIN_EXPONENT, exact.MAX_EXPONENT + 1, (len(x),), dtype=torch.int32)
    e[::31] = exact.NONFINITE
    field = (e + 126 - torch.randint(-2, 20, e.shape)).clamp(0, 255).to(torch.int32)
    near = ((x.view(torch.int32) & ~0x7F800000) | field << 23).view(torch.float32)
    call(library, "quantise_each", len(x), near, e, bits, out)
    equal(out, exact.quantise(near, e, bits), near, e)


def test_quantise_vectors(library):
    for bits in {int(f[2]) for f in helpers.vectors("rows", "quantise")}:
        some = [f for f in helpers.vectors("rows", "quantise") if int(f[2]) == bits]
        x = helpers.tensor([int(f[0], 16) for f in some])
        e = torch.tensor([int(f[1]) for f in some], dtype=torch.int32)
        out = torch.empty(len(some), dtype=torch.int32)
        call(library, "quantise_each", len(some), x, e, bits, out)
        assert out.tolist() == [int(f[3]) for f in some], bits


def test_exponent(library):
    x = torch.cat([boundaries(), random_bits(5, 1 << 18)])
    out = torch.empty(len(x), dtype=torch.int32)
    call(library, "exponents", len(x), x, out)
    equal(out, exact.exponent(x[:, None], -1), x)


def test_finish(library):
    """Both roundings after a sum: the vectors, then totals of every length and every exponent."""
    fields = helpers.vectors("rows", "dot_finish")
    total, ea, eb, bits = (torch.tensor([int(f[i]) for f in fields]) for i in range(4))
    out = torch.empty(len(fields))
    call(library, "dot_finish", len(fields), total, ea.int(), eb.int(), bits.int(), out)
    equal(out, helpers.tensor([int(f[4], 16) for f in fields]), total, ea, eb, bits)
    fields = helpers.vectors("rows", "sum_finish")
    total, e = (torch.tensor([int(f[i]) for f in fields]) for i in range(2))
    out = torch.empty(len(fields))
    call(library, "sum_finish", len(fields), total, e.int(), out)
    equal(out, helpers.tensor([int(f[2], 16) for f in fields]), total, e)

    generator = torch.Generator().manual_seed(6)
    total = torch.randint(-(1 << 63) + 1, (1 << 63) - 1, (1 << 20,), generator=generator)
    length = torch.randint(0, 64, total.shape, generator=generator)
    total >>= length
    # Every other total is halfway between two f32, or beside that by one, often far below.
    halfway = torch.randint(1 << 24, 1 << 25, total.shape, generator=generator) | 1
    halfway = halfway << torch.randint(0, 38, total.shape, generator=generator)
    halfway += torch.randint(-1, 2, total.shape, generator=generator)
    total[::2] = torch.where(total < 0, -halfway, halfway)[::2]
    e = torch.randint(-96, 129, total.shape, generator=generator, dtype=torch.int32)
    e[::97] = exact.NONFINITE
    out = torch.empty(len(total))
    call(library, "sum_finish", len(total), total, e, out)
    equal(out, rows.sum_finish(total, e), total, e)


def test_order_keys_and_greatest_of_rows(library):
    x = torch.cat([boundaries(), random_bits(7, 1 << 18)])
    keys = torch.empty(len(x), dtype=torch.int32)
    call(library, "order_keys", len(x), x, keys)
    equal(keys, bit_constants.order_key(x), x)
    few = helpers.tensor(np.random.default_rng(8).choice(np.array(cases.SPECIALS, np.uint32), 9999))
    few = few[~few.isnan()]
    zeros = helpers.tensor([0x80000000, 0, 0x80000000, 0xBF800000] * 5000)
    for values in (x, few, zeros):
        for length in (1, 2, 3, 19, 64):
            matrix = values[: len(values) // length * length].view(-1, length)
            out = torch.empty(len(matrix))
            call(library, "greatest", len(matrix), length, matrix, out)
            equal(out, exact.max(matrix, -1))


def test_canonical_makes_every_nan_the_one_nan(library):
    x = torch.cat([boundaries(), random_bits(9, 1 << 16)])
    out = torch.empty_like(x)
    call(library, "canonical", len(x), x, out)
    nan = x.isnan()
    assert (out.view(torch.int32)[nan] == bit_constants.NAN_BITS).all()
    assert torch.equal(out.view(torch.int32)[~nan], x.view(torch.int32)[~nan])


def test_uniform(library):
    """The vectors one by one, as they reach the far ends of the counter; then a node's numbers."""
    one = library.uniform_one
    one.restype = ctypes.c_float
    one.argtypes = [ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_uint64]
    for *place, expected in helpers.vectors("uniform", "uniform"):
        assert one(*map(int, place)) == float(helpers.tensor([int(expected, 16)])), place
    for seed, step, node in [(0, 0, 0), ((1 << 64) - 3, (1 << 40) + 5, (1 << 32) - 1), (7, 8, 9)]:
        out = torch.empty(4 * 65_537)
        call(library, "uniform", len(out) // 4, seed, step, node, out)
        equal(out, exact.uniform(len(out), seed=seed, step=step, node=node))
        each = torch.empty(50_003)
        call(library, "uniform_each", len(each), seed, step, node, each)
        equal(each, out[: len(each)])


def test_constants_in_c_are_those_of_the_table(library):
    """Every constant as the compiler read it, against the table by name."""
    _, expected = constants()
    out = (ctypes.c_uint64 * len(expected))()
    library.constants(out)
    for got, (expression, value) in zip(out, expected, strict=True):
        assert got == value, expression


def test_a_changed_coefficient_changes_the_header(monkeypatch):
    """The header is written from the table whenever it is asked for."""
    before = native_coefficients.header()
    monkeypatch.setattr(table, "EXP_Q", (table.EXP_Q[0] + 1, *table.EXP_Q[1:]))
    assert native_coefficients.header() != before


def test_no_constant_of_the_table_is_repeated_in_the_code():
    """The code may only spell what IEEE-754 itself fixes: halves, ones, limits of integers."""
    code = "".join((build.HERE / f"{name}.h").read_text() for name in HEADERS)
    code = re.sub(r"/\*.*?\*/", "", code, flags=re.S)
    floats = {float.fromhex(v) for v in re.findall(r"\b(0x[0-9a-f.]+p[-+]?\d+)f?\b", code)}
    floats |= {float(v) for v in re.findall(r"(?<![\w.])(\d+\.\d*(?:e[-+]?\d+)?)f?\b", code)}
    assert floats == {0.0, 0.5, 1.0, 2.0, 2.0**31, 2.0**63, 2.0**-24}
    patterns = {int(v, 16) for v in re.findall(r"\b0x[0-9a-f]+(?=u?l*\b)(?!p)", code)}
    assert patterns == {0x80000000, 0x007FFFFF, 0x00800000, 0x00400000, 0x7FFFFFFF}
