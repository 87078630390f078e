"""Every lowering rule against plain PyTorch; the cases stand in cases.py."""

from __future__ import annotations

import operator as operators
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.program.cases import (
    APART,
    CASES,
    CLOSE,
    DOUBLED,
    b,
    core,
    f,
    i,
    split,
)
from tests.program.helpers import bits, finished, lowered, same
from worker.program import Program, Unsupported
from worker.program.decompositions import OURS
from worker.program.graph import Graph
from worker.program.lower import RULES

aten = torch.ops.aten


def test_every_rule_is_tested():
    """Protects the cases from falling behind: a rule or a decomposition without one fails here."""
    assert set(CASES) | APART == set(RULES) | set(OURS)
    assert not set(CASES) & APART


def described(case: tuple) -> str:
    args, kwargs = split(case)

    def word(a: Any) -> str:
        if isinstance(a, list) and any(isinstance(x, Tensor) for x in a):
            return "+".join(map(word, a))
        return f"{str(a.dtype)[6:]}{list(a.shape)}" if isinstance(a, Tensor) else str(a)

    words = [word(a) for a in args]
    return "-".join([*words, *(f"{k}={v}" for k, v in kwargs.items())]).replace(" ", "")


ALL = [
    pytest.param(operator, case, id=f"{operator}-{n}-{described(case)}")
    for operator, found in CASES.items()
    for n, case in enumerate(found)
]


@pytest.mark.parametrize(("operator", "case"), ALL)
def test_a_lowered_operator_is_pytorchs(operator, case):
    """Protects users: what is captured computes what they wrote (integers and bools exactly)."""
    args, kwargs = split(case)
    expected = operator(*args, **kwargs)
    results = None
    if not isinstance(expected, Tensor):
        results = [k for k, t in enumerate(expected) if t is not None]
    program, state = lowered(operator, args, kwargs, results)
    after, found = program.run(state, [])
    assert same(after, state)
    trace = program.trace(state, [])
    assert same(program.split(trace)[1], found)
    if operator in DOUBLED:
        expected = rounded(operator, args, kwargs)
    wanted = [expected] if results is None else [expected[k] for k in results]
    for right, ours in zip(wanted, found, strict=True):
        compare(operator, right, ours)


def rounded(operator: Any, args: Any, kwargs: Any) -> Tensor:
    """PyTorch's result in float64, rounded to float32."""

    def doubled(value: Any) -> Any:
        return value.double() if isinstance(value, Tensor) else value

    return operator(*map(doubled, args), **kwargs).float()


def compare(operator: Any, expected: Tensor, found: Tensor) -> None:
    """Integers and bools are equal, floats equal or close, as the operator's rule has it."""
    assert (found.dtype, found.numel()) == (expected.dtype, expected.numel())
    found = found.view(expected.shape)
    if operator in CLOSE and expected.is_floating_point():
        scale = 1.0 if CLOSE[operator] < 1e-3 else float(expected.abs().max())
        torch.testing.assert_close(
            found, expected, rtol=CLOSE[operator], atol=CLOSE[operator] * scale, equal_nan=True
        )
    elif expected.is_floating_point():
        assert torch.equal(bits(found + 0.0), bits(expected + 0.0)), (found, expected)
    else:
        assert torch.equal(found, expected)


def pooled(axes: int, x: Tensor, gy: Tensor, *window: Any) -> tuple[Program, list[Tensor]]:
    """Max pooling, and its gradient from the places that it found."""
    graph = Graph()
    places = [graph.placeholder("x"), graph.placeholder("gy")]
    operator = getattr(aten, f"max_pool{axes}d_with_indices").default
    y = graph.call_function(operator, (places[0], *window))
    where = graph.call_function(operators.getitem, (y, 1))
    back = getattr(aten, f"max_pool{axes}d_with_indices_backward").default
    gx = graph.call_function(back, (places[1], places[0], *window, where))
    graph.output([*places, gx])
    return finished(graph, [x, gy]), [x, gy]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(
    "window",
    [
        ([2, 2], [2, 2], [0, 0], [1, 1], False),
        ([2, 2], [], [0, 0], [1, 1], False),
        ([3, 2], [2, 1], [1, 0], [1, 1], False),
        ([3, 3], [1, 1], [1, 1], [1, 1], False),
        ([2, 3], [2, 2], [1, 1], [2, 1], False),
        ([2, 2], [3, 3], [0, 0], [1, 1], False),
        ([3, 2, 2], [2, 1, 2], [1, 0, 1], [1, 2, 1], False),
    ],
    ids=str,
)
def test_the_gradient_of_max_pooling_goes_to_each_windows_maximum(window, ties):
    """Protects overlapping, padded, dilated and gapped windows, and the first of equals."""
    axes = len(window[0])
    shape = (2, 3, 7, 8) if axes == 2 else (2, 2, 4, 5, 6)
    x = i(*shape, low=-2, high=2).float() if ties else f(*shape)
    y, where = getattr(aten, f"max_pool{axes}d_with_indices").default(x, *window)
    gy = f(*y.shape)
    back = getattr(aten, f"max_pool{axes}d_with_indices_backward").default
    expected = back(gy, x, *window, where)
    program, state = pooled(axes, x, gy, *window)
    (found,) = program.run(state, [])[1]
    torch.testing.assert_close(found.view(x.shape), expected, rtol=1e-6, atol=1e-6)
    assert same([program.trace(state, [])[program.outputs[-1]]], [found])


def test_memory_that_was_never_written_holds_zeros():
    """Protects equal bits: what PyTorch leaves to chance is defined."""
    program, state = lowered(aten.empty_permuted.default, ([2, 3], [1, 0]), {})
    assert same(program.run(state, [])[1], [torch.zeros(2, 3)])
    program, state = lowered(aten.empty_permuted.default, ([2], [0]), {"dtype": torch.int64})
    assert same(program.run(state, [])[1], [torch.zeros(2, dtype=torch.int64)])


# --- random numbers ---

MANY = 40_000


def drawn(operator: Any, *args: Any, seed: int = 3, step: int = 0) -> Tensor:
    """What the operator gives in a step; the trace gives the same."""
    program, state = lowered(operator, args, {})
    (found,) = program.run(state, [], seed=seed, step=step)[1]
    trace = program.trace(state, [], seed=seed, step=step)
    assert same(program.split(trace)[1], [found])
    return found


@pytest.mark.parametrize("step", [0, 7])
def test_uniform_numbers_are_uniform(step):
    """Protects initialisations and masks: every part of [0, 1) is as likely as any other."""
    x = drawn(aten.rand.default, [200, 200], step=step)
    assert (x.dtype, x.shape) == (torch.float32, (200, 200))
    assert 0 <= x.min() < 1e-3 and 1 - 1e-3 < x.max() < 1
    assert float(x.mean()) == pytest.approx(0.5, abs=5 * (1 / 12 / MANY) ** 0.5)
    assert float(x.var()) == pytest.approx(1 / 12, abs=1e-3)
    counts = torch.histc(x, 16, 0, 1)
    assert ((counts - MANY / 16) ** 2 / (MANY / 16)).sum() < 45, "chi squared, 15 degrees: 1e-4"
    for left, right in ((x[:, :-1], x[:, 1:]), (x[:-1], x[1:])):
        correlation = ((left - 0.5) * (right - 0.5)).mean() * 12
        assert abs(correlation) < 5 / MANY**0.5, "neighbours know nothing of each other"


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_bernoulli_is_one_as_often_as_it_says(p):
    """Protects dropout's rate, to its ends: never at 0 and always at 1."""
    x = drawn(aten.bernoulli.p, torch.zeros(MANY), p)
    assert set(x.unique().tolist()) <= {0.0, 1.0} and x.dtype == torch.float32
    assert abs(float(x.mean()) - p) <= 5 * (p * (1 - p) / MANY) ** 0.5
    assert drawn(aten.bernoulli.p, b(9), p).dtype == torch.bool


def test_random_numbers_depend_on_seed_and_step_alone():
    """Protects every verifier: the same step gives the same numbers, and no two steps do."""
    like = torch.zeros(50)
    first = drawn(aten.rand_like.default, like)
    assert same([first], [drawn(aten.rand_like.default, like + 9)])
    others = [
        drawn(aten.rand_like.default, like, seed=seed, step=step)
        for seed, step in ((3, 1), (3, 2), (4, 0), (2**64 - 1, 0), (3 + 2**32, 0), (0, 3))
    ]
    assert len({tuple(t.tolist()) for t in (first, *others)}) == 7


DRAWS = [
    ("normal", (aten.randn.default, [MANY]), 0.0, 1.0),
    ("like", (aten.randn_like.default, torch.zeros(200, 200)), 0.0, 1.0),
    ("moved", (aten.normal_functional.default, torch.zeros(MANY), 3.0, 0.5), 3.0, 0.5),
    ("sized", (aten.normal.float_float, -1.0, 2.0, [MANY]), -1.0, 2.0),
    ("uniform", (aten.uniform.default, torch.zeros(MANY), -1.0, 3.0), 1.0, 4 / 12**0.5),
    ("exponential", (aten.exponential.default, torch.zeros(MANY), 2.0), 0.5, 0.5),
    ("integers", (aten.randint.low, -2, 4, [MANY]), 0.5, (35 / 12) ** 0.5),
    ("from zero", (aten.randint.default, 2, [MANY]), 0.5, 0.5),
    ("around", (aten.normal.Tensor_float, torch.full((MANY,), 2.0), 0.5), 2.0, 0.5),
    ("as wide", (aten.normal.float_Tensor, 1.0, torch.full((MANY,), 2.0)), 1.0, 2.0),
    ("both", (aten.normal.Tensor_Tensor, torch.ones(200, 200), torch.ones(200) / 2), 1.0, 0.5),
    ("log", (aten.log_normal.default, torch.zeros(MANY), 0.0, 0.25), 1.0317, 0.262),
    ("geometric", (aten.geometric.default, torch.zeros(MANY), 0.5), 2.0, 2**0.5),
    ("like integers", (aten.randint_like.default, torch.zeros(MANY), 2), 0.5, 0.5),
    ("as integers", (aten.randint_like.low_dtype, torch.zeros(MANY), 3, 5), 3.5, 0.5),
    ("each", (aten.bernoulli.default, torch.full((MANY,), 0.25)), 0.25, 0.1875**0.5),
]


@pytest.mark.parametrize("name", [d[0] for d in DRAWS])
def test_drawn_numbers_have_the_mean_and_the_spread_of_their_distribution(name):
    """Protects initial noise, sampling and augmentation: mean, deviation and bounds are right."""
    _, (operator, *args), mean, deviation = next(d for d in DRAWS if d[0] == name)
    x = drawn(operator, *args)
    assert not x.is_floating_point() or bool(torch.isfinite(x).all())
    assert float(x.double().mean()) == pytest.approx(mean, abs=5 * deviation / MANY**0.5)
    assert float(x.double().std()) == pytest.approx(deviation, rel=0.03)
    if name == "integers":
        assert sorted(x.unique().tolist()) == [-2, -1, 0, 1, 2, 3]
    if name != "log" and ("normal" in str(operator) or "randn" in str(operator)):
        kurtosis = ((x - mean) / deviation).double().pow(4).mean()
        assert float(kurtosis) == pytest.approx(3.0, abs=0.2)


def test_a_drawn_order_holds_every_number_once():
    """Protects shuffles within a step: a permutation, and another one in every step."""
    first, second = (drawn(aten.randperm.default, 50, step=step) for step in (0, 1))
    assert sorted(first.tolist()) == list(range(50)) and not torch.equal(first, second)
    assert abs(float((first.float() - 24.5) @ (torch.arange(50.0) - 24.5))) < 10412 * 0.6


def test_cauchys_quartiles_are_where_they_should_be():
    """Protects heavy tails, which have no mean: half of all lies within sigma of the median."""
    x = drawn(aten.cauchy.default, torch.zeros(MANY), 1.0, 2.0)
    within = ((x - 1).abs() < 2).float().mean()
    assert float(within) == pytest.approx(0.5, abs=5 * 0.5 / MANY**0.5)


@pytest.mark.parametrize("replacement", [False, True])
def test_multinomial_draws_by_weight_and_never_what_weighs_nothing(replacement):
    """Protects sampling of tokens: frequencies are the weights', and without replacement no draw
    comes twice."""
    weights = torch.tensor([0.0, 1.0, 2.0, 5.0, 0.0])
    if replacement:
        found = drawn(aten.multinomial.default, weights, 20000, True)
    else:
        found = drawn(aten.multinomial.default, weights.expand(20000, 5), 1)
        pairs = drawn(aten.multinomial.default, weights.expand(500, 5), 2)
        assert bool((pairs[:, 0] != pairs[:, 1]).all())
    counts = torch.bincount(found.flatten(), minlength=5)
    assert counts[0] == counts[4] == 0
    torch.testing.assert_close(counts / 20000, weights / 8, rtol=0, atol=0.02)


def test_memory_that_nobody_has_written_holds_zeros():
    """Protects everybody: what `empty` gives is the same on all machines."""
    program, state = lowered(aten.empty.memory_format, ([2, 3],), {})
    assert same(program.run(state, [])[1], [torch.zeros(2, 3)])
    program, state = lowered(aten.new_empty_strided.default, (f(2), [2, 3], [3, 1]), {})
    assert same(program.run(state, [])[1], [torch.zeros(2, 3)])


def test_two_random_operators_of_a_step_differ():
    """Protects masks from repeating: equal operators are one node, except these."""
    graph = Graph()
    x = graph.placeholder("x")
    draws = [graph.call_function(aten.rand.default, ([50],)) for _ in range(3)]
    graph.output([x, *draws])
    program = finished(graph, [torch.zeros(1)])
    reports = program.run([torch.zeros(1)], [])[1]
    assert len({tuple(t.tolist()) for t in reports}) == 3


REFUSED = [
    (aten.bitwise_and.Tensor, (i(3), i(3)), "bitwise_and of integers"),
    (aten.mm.default, (i(3, 3), i(3, 3)), "product of integers"),
    (aten.slice.Tensor, (f(3), 0, 2, 2), "without elements"),
    (aten._to_copy.default, (f(3), {"dtype": torch.float64}), "dtype torch.float64"),
    (aten.full.default, ([2], 1.0, {"dtype": torch.float16}), "dtype torch.float16"),
    (aten.arange.start_step, (0, 0), "without elements"),
    (aten.add.Tensor, (b(3), b(3)), "bool"),
    (aten.maximum.default, (b(3), b(3)), "bool"),
    (aten.full_like.default, (i(3), 0.5), "0.5"),
    (aten.bitwise_not.default, (i(3),), "bitwise_not of integers"),
    (aten.bitwise_or.Tensor, (i(3), i(3)), "bitwise_or of integers"),
    (aten.constant_pad_nd.default, (f(3), [-2, -1]), "leaves no element"),
    (
        aten.convolution.default,
        core.convolved((1, 1, 3, 3), (1, 1, 4, 4), [1, 1], [0, 0], [1, 1]),
        "over a plane",
    ),
    (aten.rand.default, ([3], {"dtype": torch.int64}), "random numbers of dtype"),
    (aten.index.Tensor, (f(3), [b(3)]), "an index of bools, whose count only a run has"),
    (aten.index_put.default, (i(3), [i(2, low=0, high=3)], i(2), True), "that sums integers"),
    (aten.index_put.default, (f(3, 4), [b(3, 4)], f(5)), "where a mask is true: use torch.where"),
    (aten.index_put.default, (f(9000), [i(9000, low=0, high=9)], f(9000)), "at most 67108864"),
    (aten.scatter.src, (f(3, 4), 1, i(2, 4, low=0, high=4), f(2, 4)), "smaller than the tensor"),
    (aten.scatter.src, (f(9000), 0, i(9000, low=0, high=9), f(9000)), "at most 67108864"),
    (aten.scatter_add.default, (i(3), 0, i(3, low=0, high=3), i(3)), "scatter_add of integers"),
    (aten.pow.Tensor_Scalar, (i(3), 65), "a power of 65 of integers"),
    (aten.pow.Tensor_Tensor, (i(3), i(3)), "a power of integers by integers"),
    (aten.arange.start_step, (0.5, 3.5, {"dtype": torch.int64}), "with fractions of dtype"),
    (aten.topk.default, (f(99), 65), "programs take 1 to 64"),
    (aten.sort.default, (f(5000),), "use topk"),
    (aten.sort.default, (b(3),), "a sort of bools"),
    (aten.remainder.Tensor, (b(3), b(3)), "a division of bools"),
    (aten.bitwise_xor.Tensor, (i(3), i(3)), "bitwise_xor of integers"),
    (aten.repeat.default, (f(3), [0]), "a repeat without elements"),
    (aten.unfold.default, (f(3), 0, 4, 1), "windows of 4 over an axis of 3"),
    (aten.diagonal.default, (f(3, 4), 4), "a diagonal without elements"),
    (aten.randint.low, (0, 2**25, [3]), "at most 16777216 of them"),
    (aten.searchsorted.Tensor, (f(3, 4), f(2, 4)), "edges of another shape"),
]


@pytest.mark.parametrize(("operator", "case", "words"), REFUSED)
def test_what_a_rule_cannot_express_is_refused_by_name(operator, case, words):
    """Protects users from a program that computes something else, or that nobody can read."""
    args, kwargs = split(case)
    with pytest.raises(Unsupported, match=words) as caught:
        lowered(operator, args, kwargs)
    assert str(operator) in str(caught.value)
