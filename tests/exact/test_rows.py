"""dot and sum: the same bits in any order, on any backend, and those of the reference."""

import random

import pytest
import torch

from tests.exact import cases, helpers
from worker import exact
from worker.exact import backends
from worker.exact import reference as ref

NAMES = tuple(n for n in backends.BACKENDS if n != "native" or backends.compiles())


def random_row(rng, length):
    """A row of one flavour: ordinary, huge, tiny, subnormal, zero, sparse, specials, non-finite."""
    flavour = rng.randrange(9)
    spans = {
        0: (0x3C000000, 0x40000000),
        1: (0x7D000000, 0x7F800000),
        2: (0x00800000, 0x10000000),
        3: (0x00000000, 0x00800000),
        4: (0x00000000, 0x00000001),
        5: (0x00000000, 0x7F800000),
    }
    if flavour in spans:
        low, high = spans[flavour]
        return [rng.randrange(low, high) | rng.getrandbits(1) << 31 for _ in range(length)]
    if flavour == 6:
        return [rng.choice([0, 0x80000000, 0x3F800000, 0xBF7FFFFF]) for _ in range(length)]
    finite = [a for a in cases.SPECIALS if a & 0x7FFFFFFF < ref.INF]
    row = [rng.choice(finite) for _ in range(length)]
    if flavour == 8 and length:
        row[rng.randrange(length)] = rng.choice([0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00001])
    return row


@pytest.mark.parametrize("bits", [2, 7, 8, 9, 14, 16, 24, 25, 27])
def test_every_backend_equals_the_reference(bits):
    rng = random.Random(bits)
    for _ in range(12):
        m, n, k = rng.randrange(1, 6), rng.randrange(1, 6), rng.choice([1, 2, 3, 17, 33])
        a = [random_row(rng, k) for _ in range(m)]
        b = [random_row(rng, k) for _ in range(n)]
        expected = [[ref.dot(x, y, bits) for y in b] for x in a]
        for name in NAMES:
            if name in ("native", "int8") and bits > 14:
                continue
            got = exact.dot(helpers.tensor(a), helpers.tensor(b), bits=bits, backend=name)
            assert helpers.patterns(got).tolist() == expected, (name, m, n, k)


def test_dot_of_quantised_rows_is_the_dot():
    rng = random.Random(3)
    for bits in (8, 14):
        a = helpers.tensor([random_row(rng, 21) for _ in range(9)])
        b = helpers.tensor([random_row(rng, 21) for _ in range(8)])
        ea, eb = exact.exponent(a, -1), exact.exponent(b, -1)
        qa = exact.quantise(a, ea.unsqueeze(-1), bits)
        qb = exact.quantise(b, eb.unsqueeze(-1), bits)
        copies = qa.clone(), qb.clone()
        expected = helpers.patterns(exact.dot(a, b, bits=bits, backend="integer")).tolist()
        for name in NAMES:
            got = exact.dot_quantised(qa, ea, qb, eb, bits, backend=name)
            assert helpers.patterns(got).tolist() == expected, name
        assert torch.equal(qa, copies[0]) and torch.equal(qb, copies[1])


@pytest.mark.parametrize("name", [n for n in NAMES if n != "integer"])
@pytest.mark.parametrize("bits", [8, 14])
@pytest.mark.parametrize("k", [1 << 16, backends.INT8_SPLIT, backends.INT8_SPLIT + 1000])
def test_greatest_sums_do_not_overflow(name, bits, k):
    """All elements at the clamp, so that every accumulator is at its worst, up to beyond a split.

    1 - 2^-24 rounds up to 2^(bits-1) and is clamped; the alternating row cancels nothing in the
    sliced products. The slices' own extremes (hi + lo = +-127) come from 8127 = 128 * 63 + 63.
    """
    limit = (1 << (bits - 1)) - 1
    row = torch.full((k,), 1 - 2.0**-24)
    slices = torch.full((k,), 8127 / 8192)
    a = torch.stack([row, -row, slices])
    a[:, 0] = 1 - 2.0**-24  # the same exponent in each row
    got = exact.dot(a, a, bits=bits, backend=name)
    q = exact.quantise(a, exact.exponent(a, -1).unsqueeze(-1), bits).to(torch.int64)
    assert int(q[0, 0]) == limit
    totals = (q @ q.T).tolist()
    expected = [[ref.dot_finish(t, 0, 0, bits) for t in line] for line in totals]
    assert helpers.patterns(got).tolist() == expected


def test_fp64_is_split_where_one_product_would_round():
    """At 24 bits a row of 200 exceeds 2^53; partial sums then meet in 64-bit integers."""
    rng = random.Random(24)
    a = [[rng.randrange(0x3F700000, 0x3F800000) for _ in range(200)] for _ in range(3)]
    expected = [[ref.dot(x, y, 24) for y in a] for x in a]
    got = exact.dot(helpers.tensor(a), helpers.tensor(a), bits=24, backend="fp64")
    assert helpers.patterns(got).tolist() == expected


def test_threads_and_order_do_not_matter():
    generator = torch.Generator().manual_seed(1)
    a, b = (torch.randn(r, 700, generator=generator) for r in (65, 130))
    a[3], a[:, 5] = a[3] * 1e-30, 1e4
    shuffle = torch.randperm(700, generator=generator)
    threads = torch.get_num_threads()
    results, sums = [], []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            for name in NAMES:
                results.append(exact.dot(a, b, backend=name))
                results.append(exact.dot(a[:, shuffle], b[:, shuffle], backend=name))
                results.append(exact.dot(b, a, backend=name).T)
            results.append(torch.cat([exact.dot(row[None], b) for row in a]))
            sums += [exact.sum(a, -1), exact.sum(a[:, shuffle], -1), exact.sum(a.T, 0)]
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(results[0].view(torch.int32), r.view(torch.int32)) for r in results)
    assert all(torch.equal(sums[0].view(torch.int32), s.view(torch.int32)) for s in sums)


def test_batches_are_many_matrices():
    generator = torch.Generator().manual_seed(2)
    a = torch.randn(2, 3, 5, 40, generator=generator)
    b = torch.randn(2, 3, 7, 40, generator=generator)
    for name in NAMES:
        got = exact.dot(a, b, backend=name)
        assert got.shape == (2, 3, 5, 7)
        for i in range(2):
            for j in range(3):
                assert torch.equal(got[i, j], exact.dot(a[i, j], b[i, j], backend="integer")), name
        shared = exact.dot(a, b[0, 0], backend=name)
        assert torch.equal(shared[1, 2], exact.dot(a[1, 2], b[0, 0], backend="integer")), name
        assert torch.equal(
            exact.dot(a[:, :1], b, backend=name)[1, 2],
            exact.dot(a[1, 0], b[1, 2], backend="integer"),
        ), name


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (2, 3, 0), (1, 1, 1)])
def test_empty_and_single_shapes(shape):
    m, n, k = shape
    for name in NAMES:
        got = exact.dot(torch.ones(m, k), torch.ones(n, k), backend=name)
        assert got.shape == (m, n)
        assert got.tolist() == [[float(k)] * n] * m


def test_a_zero_product_is_plus_zero():
    """-0 operands, and negative numbers times zero, must not leave a sign."""
    a = helpers.tensor([[0x80000000], [0xBF800000], [0x00000000]])
    for name in NAMES:
        got = helpers.patterns(exact.dot(a, a, backend=name)).tolist()
        assert got == [[0, 0, 0], [0, 0x3F800000, 0], [0, 0, 0]], name
    assert helpers.patterns(exact.sum(a[:1], -1)).tolist() == [0]


def test_sum_equals_the_reference():
    rng = random.Random(11)
    for _ in range(40):
        length = rng.choice([0, 1, 2, 3, 31, 64, 100])
        rows = [random_row(rng, length) for _ in range(8)]
        x = helpers.tensor(rows).reshape(8, length)
        expected = [ref.row_sum(row) for row in rows]
        assert helpers.patterns(exact.sum(x, -1)).tolist() == expected
        assert helpers.patterns(exact.sum(x.T, 0, keepdim=True)).tolist() == [expected]
        if length:
            e = exact.exponent(x, -1)
            q = exact.quantise(x, e.unsqueeze(-1), 31)
            assert helpers.patterns(exact.sum_quantised(q, e)).tolist() == expected


def test_a_sum_longer_than_f64_holds_is_exact():
    """2^23 elements of 31 bits reach 2^53; from there the sum is kept in 64-bit integers."""
    count = (1 << 23) + 8
    x = torch.full((count,), 1 - 2.0**-24)
    x[-1] = 2.0**-24
    q = (1 << 30) - (1 << 6)
    expected = ref.sum_finish(q * (count - 1) + (1 << 6), 0)
    assert int(helpers.patterns(exact.sum(x, 0))) == expected


def test_malformed_rows_are_refused():
    x = torch.ones(2, 3)
    for e in (-97, 129, -(1 << 31), (1 << 31) - 2):
        bad = torch.full((2,), e, dtype=torch.int32)
        with pytest.raises(ValueError, match="not an exponent"):
            exact.quantise(x, bad.unsqueeze(-1), 14)
        with pytest.raises(ValueError, match="not an exponent"):
            exact.sum_quantised(torch.ones(2, 3, dtype=torch.int32), bad)
        with pytest.raises(ValueError, match="not an exponent"):
            ref.quantise(0, e, 14)
    for bits in (1, 32):
        with pytest.raises(ValueError, match="bits must be"):
            exact.dot(x, x, bits=bits)
        with pytest.raises(ValueError, match="bits must be"):
            ref.quantise(0, 0, bits)
    with pytest.raises(ValueError, match="rows do not match"):
        exact.dot(x, torch.ones(2, 4))
    with pytest.raises(ValueError, match="no dot backend"):
        exact.dot(x, x, backend="fp16")


def test_the_environment_chooses_a_backend(monkeypatch):
    used = []

    def spy(*operands):
        used.append(True)
        return backends.fp64(*operands)

    monkeypatch.setitem(backends.BACKENDS, "fp64", spy)
    monkeypatch.setenv(backends.ENVIRONMENT, "fp64")
    assert exact.dot(torch.ones(1, 2), torch.ones(1, 2)).tolist() == [[2.0]]
    assert used


@pytest.fixture
def fresh_choice(monkeypatch):
    """Choices of torch's backends, as on a host without a compiler."""
    monkeypatch.setattr(backends, "compiles", lambda: False)
    backends.passes.cache_clear()
    backends._fastest.cache_clear()
    yield
    backends.passes.cache_clear()
    backends._fastest.cache_clear()


def test_a_saturating_int8_unit_is_excluded(monkeypatch, caplog, fresh_choice):
    """What processors without VNNI do: unsigned times signed, in pairs that clip at 16 bits."""

    def saturating(a, b):
        a, b = a.to(torch.int32), b.to(torch.int32)
        wide = (a + 128).unsqueeze(1) * b.unsqueeze(0)
        wide = torch.nn.functional.pad(wide, (0, wide.shape[-1] % 2))
        pairs = wide.unflatten(-1, (-1, 2)).sum(-1).clamp(-32768, 32767)
        return (pairs.sum(-1) - 128 * b.sum(-1)).to(torch.int32)

    monkeypatch.setattr(backends, "_int_mm", saturating)
    device = torch.device("cpu")
    assert backends.candidates(device, 64, 8) == ["fp64"]
    assert backends.candidates(device, 64, 14) == ["fp64"]
    assert "int8 gives wrong results" in caplog.text
    with pytest.raises(exact.NoBackend):
        exact.dot(torch.ones(1, 2), torch.ones(1, 2), bits=8, backend="int8")


def test_a_flushing_f64_product_is_excluded(monkeypatch, caplog, fresh_choice):
    def flushing(*operands):
        result = backends.fp64(*operands)
        return result.masked_fill(result.abs() < 2.0**-126, 0.0)

    monkeypatch.setitem(backends.BACKENDS, "fp64", flushing)
    assert "fp64" not in backends.candidates(torch.device("cpu"), 64, 14)
    assert "fp64 gives wrong results" in caplog.text


def test_no_backend_at_all_is_an_error(monkeypatch, fresh_choice):
    for name in ("int8", "fp64"):
        monkeypatch.setitem(
            backends.BACKENDS, name, lambda qa, sa, qb, sb, bits: torch.zeros(qa.shape[0], 1)
        )
    with pytest.raises(exact.NoBackend, match="no backend"):
        exact.dot(torch.ones(1, 2), torch.ones(1, 2))
