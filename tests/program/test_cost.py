"""What a step costs, beside counts made by hand and PyTorch's own."""

from __future__ import annotations

import random
import struct
from functools import cache

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.models import language_loss
from tests.program.helpers import program_of
from tests.program.models import TRAININGS, seeded
from tests.program.test_families import gpt
from worker.exact import reference
from worker.program import Kind, Map, Share, Summary, capture_training
from worker.program.builder import Builder
from worker.program.codes import F32
from worker.program.cost import MAP_FLOPS, count, size
from worker.program.views import View


def cost(make, *shapes) -> Summary:
    """The summary of a program whose state is f32 tensors of these shapes."""
    return program_of(make, [torch.ones(s) for s in shapes]).summary()


def test_a_map_costs_its_function_for_each_element():
    """Protects prices: exp of 6 elements, read once and written once."""
    s = cost(lambda b, v: [b.map(Map.EXP, v[0])], (2, 3))
    assert (s.flops, s.bytes_read, s.bytes_written) == (22 * 6, 24, 24)
    assert (s.state_bytes, s.peak_bytes, s.trace_bytes, s.trace_elements) == (24, 48, 48, 12)
    assert s.work_units == 22 * 6 + 16 * 48
    assert s.shares == {"SOURCE": Share(1, 0, 0), "MAP": Share(1, 132, 48)}


def test_a_product_costs_two_for_each_pair_and_its_integers_stay_inside():
    """Protects prices: exponents 10 + 15, integers 2 * (10 + 15), pairs 2 * 2 * 3 * 5; only the
    floats are read, and at the peak the integers and exponents are there as well."""
    s = cost(lambda b, v: [b.dot(v[0], v[1], 14)], (2, 5), (3, 5))
    assert (s.flops, s.product_flops) == (25 + 50 + 60, 60)
    assert (s.bytes_read, s.bytes_written) == (4 * 25, 4 * 6)
    assert s.peak_bytes == 4 * (25 + 6 + 25 + 5)
    assert s.shares["DOT"] == Share(1, 60, 124)
    assert s.shares["REDUCE"] == Share(2, 25, 0)


def test_a_product_of_more_bits_costs_three():
    """Protects prices: above 14 bits every backend multiplies about three times as much."""
    (narrow, wide) = (
        cost(lambda b, v, bits=bits: [b.dot(v[0], v[1], bits)], (2, 5), (3, 5)) for bits in (14, 15)
    )
    assert wide.product_flops == 3 * narrow.product_flops
    assert wide.flops - narrow.flops == 2 * narrow.product_flops


def test_a_sum_costs_one_for_each_term():
    """Protects prices: 24 magnitudes, 2 * 24 roundings, 24 additions."""
    s = cost(lambda b, v: [b.sum(v[0], 1)], (4, 6))
    assert (s.flops, s.product_flops) == (4 * 24, 0)
    assert (s.bytes_read, s.bytes_written) == (96, 16)
    assert s.peak_bytes == 96 + 16 + 96 + 16


def test_what_is_read_twice_or_stretched_is_read_once():
    """Protects prices: one element seen as ten, and one operand that is both."""

    def make(b: Builder, v: list[View]) -> list[View]:
        return [b.map(Map.ADD, v[0], v[1].expand((10,))), b.map(Map.MUL, v[0], v[0])]

    s = cost(make, (10,), (1,))
    assert s.bytes_read == (40 + 4) + 40


def test_a_lookup_reads_what_it_finds_and_moves_only():
    """Protects prices: two rows of three of a table of seven, by two indices of eight bytes."""

    def make(b: Builder, v: list[View]) -> list[View]:
        return [b.gather(v[0], b.reshape(b.iota(2), (1, 2)))]

    s = cost(make, (1, 7, 3))
    assert s.shares["GATHER"] == Share(1, 0, 24 + 16 + 24)


def test_a_scatter_costs_one_for_each_element_added():
    """Protects prices: of 12 elements, the magnitudes, the greatest by columns (12) and of those
    (3), its exponent, two for each integer, one for each addition."""
    s = cost(lambda b, v: [b.scatter(v[0], b.iota(4), 5)], (4, 3))
    assert s.flops == 12 + (12 + 3) + 1 + 24 + 12
    assert s.shares["SCATTER"] == Share(1, 12, 4 * 12 + 4 + 8 * 4 + 4 * 15)


def test_random_numbers_cost_what_philox_does():
    s = cost(lambda b, v: [b.random((8,))], (1,))
    assert s.flops == 15 * 8


def chain(b: Builder, v: list[View]) -> list[View]:
    y = b.map(Map.EXP, v[0])
    z = b.map(Map.ADD, y, y)
    return [b.map(Map.MUL, z, z)]


def test_memory_is_what_lives_at_once():
    """Protects workers' memory: of three tensors in a row two live at a time; what is reported
    lives to the end."""
    assert cost(chain, (100,)).peak_bytes == 400 + 800

    def told(b: Builder, v: list[View]) -> list[View]:
        (last,) = chain(b, v)
        return [View.of(1, F32, (100,)), last]

    assert cost(told, (100,)).peak_bytes == 400 + 1200


def test_integers_that_are_shown_are_written():
    """Protects the count of traffic: only what stays inside an operator is free."""

    def make(b: Builder, v: list[View]) -> list[View]:
        _, e = b.quantised(v[0], 31)
        return [b.sum(v[0], 1), e]

    s = cost(make, (4, 6))
    # the exponents read the floats, the sum reads the floats and the exponents
    assert (s.bytes_read, s.bytes_written) == (96 + 96 + 16, 16 + 16)


BASIC = ("add", "sub", "mul", "div", "sqrt", "maximum", "minimum", "neg", "abs_")
ARGUMENTS = [
    *(random.Random(0).choice((-1, 1)) * 2 ** random.Random(i).uniform(-20, 20) for i in range(99)),
    1e-40,
    -0.75,
]


@pytest.mark.parametrize("fn", [Map.EXP, Map.LOG, Map.TANH, Map.ERF, Map.SIN, Map.COS])
def test_a_functions_weight_is_its_number_of_operations(fn, monkeypatch):
    """Protects prices: the reference's own operations are counted as it runs, on arguments of all
    sizes; the longest way is the weight."""
    made, depth = 0, 0

    def counting(operation):
        def counted(*operands):
            nonlocal made, depth
            made += depth == 0  # sub is made of add, but is one operation
            depth += 1
            try:
                return operation(*operands)
            finally:
                depth -= 1

        return counted

    for name in BASIC:
        monkeypatch.setattr(reference, name, counting(getattr(reference, name)))
    longest = 0
    for x in ARGUMENTS:
        made = 0
        getattr(reference, fn.name.lower())(struct.unpack("<I", struct.pack("<f", x))[0])
        longest = max(longest, made)
    assert longest == MAP_FLOPS[fn]


def words(rows: int) -> list[Tensor]:
    return [torch.randint(0, 50, (rows, 8)), torch.randint(0, 50, (rows, 8))]


@cache
def counted(rows: int) -> tuple[Summary, int]:
    """The summary of a step, and PyTorch's count of its products."""
    module, batch = seeded(1, gpt), seeded(2, lambda: words(rows))
    optimizer = torch.optim.AdamW(module.parameters())
    summary = capture_training(module, language_loss, optimizer, batch, bits=14).summary()
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        language_loss(module(batch[0]), batch[1]).backward()
    return summary, counter.get_total_flops()


def test_a_transformers_products_are_those_that_pytorch_counts():
    """Protects prices: forward and backward of a GPT, to the last operation."""
    for rows in (2, 5):
        summary, expected = counted(rows)
        assert summary.product_flops == expected > 0


def test_twice_the_rows_are_twice_the_products_but_not_twice_the_update():
    """Protects prices: what grows with the batch does, and the optimizer's part does not."""
    small, large = counted(2)[0], counted(4)[0]
    assert large.product_flops == 2 * small.product_flops
    assert small.flops < large.flops < 2 * small.flops
    assert small.state_bytes == large.state_bytes
    assert large.batch_bytes == 2 * small.batch_bytes


@pytest.mark.parametrize("training", TRAININGS)
def test_a_summary_adds_up(training):
    """Protects the table that people read: kinds add up to the whole, and memory lies between what
    is handed in and everything there is."""
    program, state, batch = training()
    s = program.summary()
    assert s.root == program.root.hex() and s.trace_elements == program.trace_elements
    assert s.nodes == sum(s.functions.values()) == len(program.nodes)
    assert set(s.shares) <= {k.name for k in Kind}
    assert s.flops == sum(share.flops for share in s.shares.values())
    assert s.bytes == sum(share.bytes for share in s.shares.values())
    held = sum(t.numel() * t.element_size() for t in (*state, *batch))
    assert s.state_bytes + s.batch_bytes == held
    assert held < s.peak_bytes < s.trace_bytes
    text = str(s)
    for part in (s.root, count(s.flops), size(s.peak_bytes), count(s.work_units), *s.shares):
        assert part in text


def test_numbers_for_people():
    found = [count(v) for v in (0, 999, 1234, 5.5e6, 2e9, 3.14159e12, 1e15)]
    assert found == ["0", "999", "1.23 k", "5.5 M", "2 G", "3.14 T", "1 P"]
    assert [size(v) for v in (0, 1000, 2048, 5 << 20, 3 << 30)] == [
        "0 bytes",
        "1000 bytes",
        "2 KiB",
        "5 MiB",
        "3 GiB",
    ]
