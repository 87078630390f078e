"""The scalar functions of the torch twin against the reference and against the hardware."""

import math
import random
import struct

import numpy as np
import pytest
import torch

from tests.exact import cases, helpers
from worker import exact
from worker.exact import coefficients, guard, measure, scalar
from worker.exact import reference as ref

REFERENCE = {"max": "maximum", "min": "minimum", "abs": "abs_"}


def reference(name):
    return getattr(ref, REFERENCE.get(name, name))


@pytest.mark.parametrize("name", helpers.BINARY)
def test_every_pair_of_specials_matches_the_reference(name):
    """Zeros, subnormals, infinities and NaNs in every combination."""
    a, b = (x.ravel() for x in np.meshgrid(*[np.array(cases.SPECIALS, np.uint32)] * 2))
    got = helpers.patterns(exact.FLOAT[name](helpers.tensor(a), helpers.tensor(b)))
    function = reference(name)
    expected = np.array([function(int(x), int(y)) for x, y in zip(a, b, strict=True)], np.uint32)
    assert not helpers.disagreement(got, expected, a, b)


@pytest.mark.parametrize("name", helpers.UNARY)
def test_unary_functions_match_the_reference_on_random_bits(name):
    rng = random.Random(name)
    a = [rng.getrandbits(32) for _ in range(4000)]
    a += [rng.randrange(0x38000000, 0x43000000) | rng.getrandbits(1) << 31 for _ in range(6000)]
    a += cases.SPECIALS + cases.EXP_LOG_EDGES + cases.TANH_ERF_EDGES + cases.SIN_COS_EDGES
    function = reference(name)
    got = helpers.patterns(exact.FLOAT[name](helpers.tensor(a)))
    expected = np.array([function(x) for x in a], np.uint32)
    assert not helpers.disagreement(got, expected, np.array(a))


def test_the_reference_rounds_as_the_hardware_does():
    """The reference is the definition, so it is held against an independent IEEE-754: numpy's."""
    a, b = helpers.random_pairs(np.random.default_rng(5), 20_000)
    x, y = a.view(np.float32), b.view(np.float32)
    with np.errstate(all="ignore"):
        for name, result in {
            "add": x + y,
            "sub": x - y,
            "mul": x * y,
            "div": x / y,
        }.items():
            bits = np.where(np.isnan(result), ref.NAN, result.view(np.uint32))
            function = reference(name)
            got = np.array([function(int(p), int(q)) for p, q in zip(a, b, strict=True)])
            assert not helpers.disagreement(got, bits, a, b), name
        root = np.sqrt(x)
    bits = np.where(np.isnan(root), ref.NAN, root.view(np.uint32))
    got = np.array([ref.sqrt(int(p)) for p in a])
    assert not helpers.disagreement(got, bits, a)


def test_results_do_not_depend_on_the_memory_layout():
    """Vector and scalar code paths of a library may differ; the definition may not."""
    x = torch.rand(300, 301) * 40 - 20  # more than one block
    for name in helpers.UNARY:
        function = exact.FLOAT[name]
        whole = helpers.patterns(function(x))
        assert np.array_equal(whole, helpers.patterns(function(x.T.contiguous().T))), name
        one = [int(helpers.patterns(function(v.reshape(1)))[0]) for v in x[0]]
        assert whole[0].tolist() == one, name


def test_functions_leave_their_operands_alone():
    x = torch.tensor([0.5, -2.0, 3.0])
    for name, function in exact.FLOAT.items():
        before = x.clone()
        function(x) if name in helpers.UNARY else function(x, x)
        assert torch.equal(x, before), name


def test_a_scalar_tensor_changes_nothing_for_the_next_call():
    """Indexing a table by a scalar gives a view of it, which no step may write to."""
    x = torch.linspace(-20, 20, 999)
    for name in helpers.UNARY:
        function = exact.FLOAT[name]
        before = function(x)
        one = torch.stack([function(v) for v in x[::100]])
        assert np.array_equal(helpers.patterns(one), helpers.patterns(before[::100])), name
        assert np.array_equal(helpers.patterns(function(x)), helpers.patterns(before)), name


def test_division_by_a_zero_dimensional_tensor_is_a_division():
    x = torch.arange(1.0, 100.0)
    assert torch.equal(scalar.div(x, torch.tensor(3.0)), x / torch.full_like(x, 3.0))


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_integers_wrap(dtype):
    width = torch.iinfo(dtype).bits
    rng = random.Random(width)
    ends = [-(1 << (width - 1)), (1 << (width - 1)) - 1, -1, 0, 1]
    a = ends * 5 + [ref.wrap(rng.getrandbits(width), width) for _ in range(500)]
    b = [v for v in ends for _ in ends] + [ref.wrap(rng.getrandbits(64), width) for _ in range(500)]
    x, y = torch.tensor(a, dtype=dtype), torch.tensor(b, dtype=dtype)
    for name, function in {"add": ref.int_add, "sub": ref.int_sub, "mul": ref.int_mul}.items():
        expected = [function(p, q, width) for p, q in zip(a, b, strict=True)]
        assert exact.INTEGER[name](x, y).tolist() == expected, name
    assert exact.INTEGER["neg"](x).tolist() == [ref.int_neg(p, width) for p in a]
    assert exact.INTEGER["max"](x, y).tolist() == [max(p) for p in zip(a, b, strict=True)]
    assert exact.INTEGER["min"](x, y).tolist() == [min(p) for p in zip(a, b, strict=True)]
    assert exact.INTEGER["lt"](x, y).tolist() == [p < q for p, q in zip(a, b, strict=True)]


def test_conversions_between_integers_and_bool():
    wide = torch.tensor([1 << 32, (1 << 31), -(1 << 63), 7, -7])
    assert exact.to(wide, torch.int32).tolist() == [0, -(1 << 31), 0, 7, -7]
    assert exact.to(wide, torch.bool).tolist() == [True] * 5
    assert exact.to(torch.tensor([True, False]), torch.float32).tolist() == [1.0, 0.0]
    assert exact.to(torch.tensor([-5], dtype=torch.int32), torch.int64).tolist() == [-5]
    with pytest.raises(ValueError, match="no exact conversion"):
        exact.to(torch.zeros(1), torch.float16)


def test_canonical_makes_every_nan_the_one_nan():
    nans = [0x7F800001, 0x7FFFFFFF, 0xFFC00000, 0xFF800001, 0x7FC00000]
    x = helpers.tensor([*nans, 0x7F800000, 0x80000000, 1])
    bits = exact.canonical(x).numpy().view(np.uint32).tolist()
    assert bits == [0x7FC00000] * 5 + [0x7F800000, 0x80000000, 1]


def test_row_maximum_and_argmax_follow_the_total_order():
    rng = random.Random(9)
    zeros_and_more = [0, 0x80000000, 0xFF800000, 0xBF800000, 0x80000001]
    for length in (1, 2, 3, 7, 40):
        for pool in (cases.SPECIALS, zeros_and_more, [0, 0x80000000]):
            rows = [[rng.choice(pool) for _ in range(length)] for _ in range(40)]
            x = helpers.tensor(rows)
            greatest = helpers.patterns(exact.max(x, -1)).tolist()
            assert greatest == [ref.row_max(r) for r in rows]
            assert exact.argmax(x, -1).tolist() == [ref.row_argmax(r) for r in rows]
            assert helpers.patterns(exact.max(x.T, 0, keepdim=True)).tolist() == [greatest]


SPANS = {
    "exp": [0x3F000000, 0x42A00000, -0x3D600000],
    "log": [0x3F300000, 0x3FA00000, 1],
    "tanh": [0x3F000000, 0x3F100000, 0x41080000, 1],
    "erf": [0x3F700000, 0x3F800000, 0x40700000, 1],
    "sin": [0x3F490000, 0x40490000, 0x43700000, 0x50A00000, 0x6F700000, 0x7F700000, 1],
    "cos": [0x3F490000, 0x3FC90000, 0x43700000, 0x50A00000, 0x6F700000, 0x7F700000, 1],
}
"""Where each function is worst, or changes its formula, and its most special values."""


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("exp", 0.91),
        ("log", 0.85),
        ("tanh", 1.43),
        ("erf", 1.33),
        ("sin", 1.03),
        ("cos", 1.03),
    ],
)
def test_error_stays_below_what_the_docstring_states(name, limit):
    """A sample of what `python -m worker.exact.measure` finds over all inputs."""
    for start in SPANS[name]:
        error, where = measure.worst(name, start, start + (1 << 20))
        assert error < limit, hex(where & 0xFFFFFFFF)


@pytest.mark.parametrize("name", ["tanh", "erf", "sin", "cos"])
def test_a_change_of_sign_changes_at_most_the_sign_of_the_result(name):
    """Odd functions (and the even cosine) are so to the bit: zeros, subnormals, infinities too."""
    a = np.random.default_rng(3).integers(0, 0x7F800001, 200_000, dtype=np.uint32)
    a[: len(cases.SPECIALS)] = np.array(cases.SPECIALS, np.uint32) & 0x7FFFFFFF
    plus = exact.FLOAT[name](helpers.tensor(a))
    minus = exact.FLOAT[name](-helpers.tensor(a))
    expected = plus if name == "cos" else -plus
    assert not helpers.disagreement(helpers.patterns(minus), helpers.patterns(expected), a)


@pytest.mark.parametrize(
    ("name", "results"),
    [
        ("tanh", (0, 0x3F800000, 0x3F800000, 0x3F800000)),
        ("erf", (0, 0x3F800000, 0x3F800000, 0x3F800000)),
        ("sin", (0, ref.NAN, 0xBF0599B3, 0x3F800000)),
        ("cos", (0x3F800000, ref.NAN, 0x3F5A5F96, 0xB0DDEEA9)),
    ],
)
def test_values_at_the_ends_of_the_domain(name, results):
    """At zero, infinity, the greatest f32 and that nearest a multiple of pi / 2 (true values)."""
    got = helpers.patterns(exact.FLOAT[name](helpers.tensor([0, ref.INF, 0x7F7FFFFF, 0x6F79BE45])))
    assert [hex(v) for v in got] == [hex(v) for v in results]


def test_every_twin_of_the_reduction_takes_its_bits_of_two_over_pi_from_the_right_place():
    """All exponents, least and greatest mantissa: a window off by one bit would show in each."""
    a = np.arange(126, 255, dtype=np.uint32)[:, None] << 23 | np.array([0, 1, 0x7FFFFF], np.uint32)
    for name, function in {"sin": ref.sin, "cos": ref.cos}.items():
        got = helpers.patterns(exact.FLOAT[name](helpers.tensor(a.ravel())))
        expected = np.array([function(int(x)) for x in a.ravel()], np.uint32)
        assert not helpers.disagreement(got, expected, a.ravel()), name


def test_integer_constants_are_the_bits_of_pi():
    """Against pi from Machin's formula, in integers."""

    def arctan_of_inverse(n, unit):
        total, term, k = 0, unit // n, 1
        while term:
            total += term // k if k % 4 == 1 else -(term // k)
            term, k = term // (n * n), k + 2
        return total

    unit = 1 << 300
    pi = 4 * (4 * arctan_of_inverse(5, unit) - arctan_of_inverse(239, unit))
    assert (2 * unit << 198) // pi == coefficients.TWO_OVER_PI
    assert ((pi << 31) // (2 * unit) + ((pi << 32) // (2 * unit) & 1)) == coefficients.HALF_PI


def test_error_measure_sees_a_wrong_special_value():
    got, true = torch.tensor([1.0, float("nan")]), torch.tensor([float("inf"), 2.0]).double()
    assert measure.errors(got, true).tolist() == [math.inf, math.inf]


def test_coefficient_parts_of_ln2_have_the_room_their_docstring_claims():
    """n * LN2_HIGH must be exact: its significand may have no more than 15 bits."""
    high = struct.unpack(">f", coefficients.LN2_HIGH.to_bytes(4, "big"))[0]
    assert high * 2**15 == int(high * 2**15)
    low = struct.unpack(">f", coefficients.LN2_LOW.to_bytes(4, "big"))[0]
    assert abs(high + low - math.log(2)) < 2**-43


def test_flushing_of_subnormals_is_refused():
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush subnormals")
    try:
        with pytest.raises(exact.SubnormalsFlushed, match="set_flush_denormal"):
            guard.check_subnormals()
    finally:
        torch.set_flush_denormal(False)
    guard.check_subnormals()
