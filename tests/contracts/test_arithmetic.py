"""Conversions, quantised rows and vectors in Solidity; what each operation may cost in gas."""

import itertools
import random

import numpy as np
import pytest

from tests import evm
from tests.exact import cases, helpers
from tests.exact.test_random import ANSWERS, words
from worker.exact import reference as ref


@pytest.fixture(scope="module")
def harness():
    return evm.deploy("ArithmeticHarness")


@pytest.mark.parametrize("name", helpers.UNARY)
def test_unary_vectors(harness, name):
    columns = zip(*helpers.vectors("unary", name), strict=True)
    a, expected = (np.array([int(v, 16) for v in c], np.uint32) for c in columns)
    assert not helpers.disagreement(helpers.unary_on_evm(harness, name, a), expected, a)


@pytest.mark.parametrize("name", helpers.BINARY)
def test_binary_vectors(harness, name):
    columns = zip(*helpers.vectors("binary", name), strict=True)
    a, b, expected = (np.array([int(v, 16) for v in c], np.uint32) for c in columns)
    assert not helpers.disagreement(helpers.binary_on_evm(harness, name, a, b), expected, a, b)


def test_conversion_vectors(harness):
    to_i32 = helpers.vectors("convert", "to_i32")
    to_i64 = helpers.vectors("convert", "to_i64")
    for (a, narrow), (_, wide) in zip(to_i32, to_i64, strict=True):
        bits = int(a, 16)
        finite = bits & 0x7FFFFFFF < ref.INF
        expected = (int(narrow), int(wide), finite, ref.is_nan(bits), ref.canonical(bits))
        assert harness.call("convert", bits) == expected, a
    for v, r in helpers.vectors("convert", "from_int"):
        assert harness.call("fromInt", int(v)) == int(r, 16), v


def test_from_scaled_rounds_once(harness):
    """Magnitudes to 2^100 and beyond, exponents across and far outside the f32 range."""
    rng = random.Random(7)
    for _ in range(3000):
        m = rng.getrandbits(rng.choice([1, 24, 25, 26, 53, 100, 200, 255]))
        if rng.random() < 0.3:  # ties and what is just beside them
            m = (rng.getrandbits(25) << rng.randrange(1, 200)) + rng.randrange(-1, 2)
        m *= rng.choice((1, -1))
        centre = rng.choice([-149, -126, 0, 127]) - abs(m).bit_length()
        e = rng.choice([centre + rng.randrange(-3, 4), rng.randrange(-1000, 1001)])
        assert harness.call("fromScaled", m, e) == ref.from_scaled(m, e), (m, e)
    for k, e in itertools.product(range(0, 255, 6), cases.SUBNORMAL_EXPONENTS):
        for m in ((1 << k) - 1, 1 << k, (1 << k) + 1):
            assert harness.call("fromScaled", m, e - k) == ref.from_scaled(m, e - k), (m, e - k)
    for m in (-(1 << 255), (1 << 255) - 1, 0):
        for e in (-405, -404, -403, -256, -128, -127, 0, 1000, -1000):
            assert harness.call("fromScaled", m, e) == ref.from_scaled(m, e), (m, e)


def test_row_vectors(harness):
    for *row, e in helpers.vectors("rows", "exponent"):
        assert harness.call("exponent", bytes.fromhex("".join(row))) == int(e), row
    for x, e, bits, q in helpers.vectors("rows", "quantise"):
        assert harness.call("quantise", int(x, 16), int(e), int(bits)) == int(q), (x, e, bits)
    for total, ea, eb, bits, r in helpers.vectors("rows", "dot_finish"):
        got = harness.call("dotFinish", int(total), int(ea), int(eb), int(bits))
        assert got == int(r, 16), (total, ea, eb, bits)
    for total, e, r in helpers.vectors("rows", "sum_finish"):
        assert harness.call("sumFinish", int(total), int(e)) == int(r, 16), (total, e)


def test_subnormals_under_the_least_exponent_are_one_or_nothing(harness):
    """Protects the unit of a subnormal, which no other row's quantisation sees."""
    for x, e, bits in itertools.product(cases.LEAST, (-96, -95), (29, 30, 31)):
        assert harness.call("quantise", x, e, bits) == ref.quantise(x, e, bits), (hex(x), e, bits)


def test_philox_gives_the_papers_answers(harness):
    for counter, key, output in ANSWERS:
        assert harness.call("philox", words(counter), *words(key)) == words(output)


def test_random_numbers(harness):
    for *place, expected in helpers.vectors("uniform", "uniform"):
        assert harness.call("uniform", *map(int, place)) == int(expected, 16), place
    rng = random.Random(4)
    for _ in range(500):
        place = [rng.getrandbits(rng.randrange(1, width + 1)) for width in (64, 64, 32, 40)]
        assert harness.call("uniform", *place) == ref.uniform(*place), place


@pytest.mark.parametrize("e", [-97, 129, -(1 << 31), (1 << 31) - 2])
def test_malformed_exponents_revert(harness, e):
    expected = harness.error("MalformedExponent", e)
    for call in (
        ("quantise", 0, e, 14),
        ("dotFinish", 1, e, 0, 14),
        ("dotFinish", 1, ref.NONFINITE, e, 14),
        ("sumFinish", 1, e),
    ):
        with pytest.raises(evm.Reverted) as reverted:
            harness.call(*call)
        assert reverted.value.data == expected, call


@pytest.mark.parametrize("bits", [0, 1, 32, 1 << 255])
def test_malformed_precisions_revert(harness, bits):
    for call in (("quantise", 0, 0, bits), ("dotFinish", 1, 0, 0, bits)):
        with pytest.raises(evm.Reverted) as reverted:
            harness.call(*call)
        assert reverted.value.data == harness.error("MalformedBits", bits), call


GAS = {
    # `test_court_snapshot.py` has what the basic ones cost at most, whatever the operands.
    "add": 450,
    "sub": 450,
    "mul": 350,
    "div": 500,
    "max": 300,
    "min": 300,
    "sqrt": 900,
    "exp": 8000,
    "log": 8000,
    "tanh": 11000,
    "erf": 16000,
    "sin": 7500,
    "cos": 7500,
}


@pytest.mark.parametrize("name", GAS)
def test_gas_of_normal_operands(harness, name):
    """The median, over numbers of like size and equal sign, stays within its budget."""
    two = name in helpers.BINARY
    code = (helpers.BINARY if two else helpers.UNARY).index(name)
    rng = np.random.default_rng(12)
    a, b = (rng.uniform(0.01, 30, 200).astype(np.float32).view(np.uint32) for _ in range(2))
    if name == "sub":
        b ^= np.uint32(0x80000000)
    used = [harness.call("gasOf", two, code, int(p), int(q)) for p, q in zip(a, b, strict=True)]
    assert sorted(used)[len(used) // 2] <= GAS[name]
