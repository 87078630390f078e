"""The vector files: that they are the reference's, and that the torch twin gives the same bits.

Protects the definition itself: a bit changed in the reference shows as drift, a bit changed in
the fast code as a mismatch.
"""

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from scripts import make_vectors
from tests.exact import helpers
from worker import exact


def test_no_vector_file_has_drifted_from_the_reference():
    result = CliRunner().invoke(make_vectors.cli, ["--check"])
    assert result.exit_code == 0, result.output


def test_a_drifted_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(make_vectors, "FOLDER", tmp_path / "vectors")
    monkeypatch.setattr(make_vectors, "ROOT", tmp_path)
    runner = CliRunner()
    assert runner.invoke(make_vectors.cli, []).exit_code == 0
    path = tmp_path / "vectors" / "convert.json"
    path.write_text(path.read_text().replace("00000000 0", "00000000 1", 1))
    result = runner.invoke(make_vectors.cli, ["--check"])
    assert result.exit_code != 0
    assert "vectors/convert.json" in result.output


@pytest.mark.parametrize("name", helpers.UNARY)
def test_unary(name):
    a, expected = (list(c) for c in zip(*helpers.vectors("unary", name), strict=True))
    a, expected = (np.array([int(v, 16) for v in c], np.uint32) for c in (a, expected))
    got = helpers.patterns(exact.FLOAT[name](helpers.tensor(a)))
    assert not helpers.disagreement(got, expected, a)


@pytest.mark.parametrize("name", helpers.BINARY)
def test_binary(name):
    columns = zip(*helpers.vectors("binary", name), strict=True)
    a, b, expected = (np.array([int(v, 16) for v in c], np.uint32) for c in columns)
    got = helpers.patterns(exact.FLOAT[name](helpers.tensor(a), helpers.tensor(b)))
    assert not helpers.disagreement(got, expected, a, b)


@pytest.mark.parametrize(
    ("name", "dtype"), [("to_i32", torch.int32), ("to_i64", torch.int64), ("to_bool", torch.bool)]
)
def test_conversion_of_floats(name, dtype):
    fields = helpers.vectors("convert", name)
    got = exact.to(helpers.tensor([int(a, 16) for a, _ in fields]), dtype)
    assert got.dtype == dtype
    assert [int(v) for v in got.tolist()] == [int(v) for _, v in fields]


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_conversion_of_integers(dtype):
    fields = [(int(v), int(r, 16)) for v, r in helpers.vectors("convert", "from_int")]
    fields = [(v, r) for v, r in fields if abs(v) <= torch.iinfo(dtype).max]
    got = helpers.patterns(exact.to(torch.tensor([v for v, _ in fields], dtype=dtype), torch.float))
    assert got.tolist() == [r for _, r in fields]


def test_uniform():
    for *place, expected in helpers.vectors("uniform", "uniform"):
        seed, step, node, element = map(int, place)
        if element < 64:
            got = exact.uniform(element + 1, seed=seed, step=step, node=node)
            assert helpers.patterns(got)[-1] == int(expected, 16), place


def test_exponent():
    for *row, e in helpers.vectors("rows", "exponent"):
        x = helpers.tensor([int(a, 16) for a in row])
        assert int(exact.exponent(x, 0)) == int(e), row


def test_quantise():
    fields = helpers.vectors("rows", "quantise")
    for bits in {int(f[2]) for f in fields}:
        some = [f for f in fields if int(f[2]) == bits]
        x = helpers.tensor([int(f[0], 16) for f in some])
        e = torch.tensor([int(f[1]) for f in some], dtype=torch.int32)
        got = exact.quantise(x, e, bits)
        assert got.dtype == torch.int32
        assert got.tolist() == [int(f[3]) for f in some], bits


def test_finish():
    """One row of one integer, so that the sum is that integer: both roundings after a sum."""
    for total, ea, eb, bits, expected in helpers.vectors("rows", "dot_finish"):
        ea, eb, n = int(ea), int(eb), int(ea) + int(eb) - 2 * (int(bits) - 1)
        nonfinite = torch.tensor([exact.NONFINITE in (ea, eb)])
        n = torch.tensor([0 if nonfinite else n], dtype=torch.int32)
        got = helpers.patterns(exact.rows.finish(torch.tensor([int(total)]), n, nonfinite))
        assert got.tolist() == [int(expected, 16)], (total, ea, eb, bits)
    for total, e, expected in helpers.vectors("rows", "sum_finish"):
        if abs(int(total)) < 1 << 31:
            q = torch.tensor([int(total)], dtype=torch.int32)
            got = helpers.patterns(exact.sum_quantised(q, torch.tensor(int(e), dtype=torch.int32)))
            assert got == int(expected, 16), (total, e)
