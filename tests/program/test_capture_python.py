"""Python that a step changes, and constants: the same in every step, or refused by name."""

from __future__ import annotations

import functools
import itertools
import random
import time
from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.program.models import seeded
from tests.program.trainings import assert_trains_as_in_pytorch, capture, numbers
from worker.program import Unsupported

STEP = 0
COUNTS = np.zeros(1)


class Stateful(nn.Module):
    count = 0

    def __init__(self, then: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.then = then
        self.t, self.first, self.h = 0, True, None
        self.held, self.log, self.places = torch.zeros(()), [], itertools.count(1)
        self.chance, self.numpys = random.Random(1), np.random.default_rng(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.then(self, self.linear(x))


def counter(m: Any, y: Tensor) -> Tensor:
    m.t += 1
    return y * min(1.0, m.t / 10)


def counted(m: Any, y: Tensor) -> Tensor:
    m.t += 1
    return y


def recurrent(m: Any, y: Tensor) -> Tensor:
    y = y if m.h is None else y + 0.5 * m.h
    m.h = y.detach()
    return y


def in_place(m: Any, y: Tensor) -> Tensor:
    m.held += 1
    return y * m.held


def first(m: Any, y: Tensor) -> Tensor:
    y = y * 2 if m.first else y
    m.first = False
    return y


def grows(m: Any, y: Tensor) -> Tensor:
    m.log.append(y)
    return m.log[-1]


def of_the_file(m: Any, y: Tensor) -> Tensor:
    global STEP
    STEP += 1
    return y / STEP


def of_the_class(m: Any, y: Tensor) -> Tensor:
    Stateful.count += 1
    return y / Stateful.count


def of_an_array(m: Any, y: Tensor) -> Tensor:
    COUNTS[0] += 1
    return y * float(COUNTS[0])


def seeds(m: Any, y: Tensor) -> Tensor:
    torch.manual_seed(3)
    return F.dropout(y)


def forks(m: Any, y: Tensor) -> Tensor:
    with torch.random.fork_rng():
        return F.dropout(y)


def own_generator(m: Any, y: Tensor) -> Tensor:
    return y * torch.bernoulli(torch.full((8, 4), 0.5), generator=torch.Generator())


ANOTHER = "a second run of the step is another than the first"
REFUSED: dict[str, tuple[Callable[[Any, Tensor], Tensor], str]] = {
    "a counter": (counter, rf"{ANOTHER}, which has changed module\.t \(0, then 1\).* a buffer"),
    "a counter that nothing reads": (
        counted,
        r"module\.t, which every step changes \(0, then 1",
    ),
    "a tensor of the step before": (
        recurrent,
        r"module\.h .*one step makes and the next one reads",
    ),
    "in place on an attribute": (in_place, r"module\.held float32 .*writes into .*as a buffer"),
    "a first step that is another": (first, ANOTHER),
    "a list that grows": (grows, r"module\.log, .*a list of 0, then a list of 1, then a list of 2"),
    "a global": (of_the_file, rf"{ANOTHER}, which has changed the global STEP \(0, then 1\)"),
    "an attribute of a class": (of_the_class, ANOTHER),
    "an array": (of_an_array, ANOTHER),
    "an iterator": (lambda m, y: y * next(m.places), ANOTHER),
    "the time": (lambda m, y: y * time.perf_counter(), ANOTHER),
    "random.Random()": (lambda m, y: y * m.chance.random(), r"module\.chance, .*draw with torch"),
    "default_rng": (lambda m, y: y * m.numpys.random(), r"module\.numpys, .*draw with torch"),
    "a new Random()": (lambda m, y: y * random.Random().random(), ANOTHER),
    "a new default_rng": (lambda m, y: y * np.random.default_rng().random(), ANOTHER),
    "a seed": (seeds, "a seed or a state of torch's random numbers"),
    "a fork": (forks, "a seed or a state of torch's random numbers"),
    "a generator": (own_generator, r"a torch\.Generator of one's own"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_every_step_changes_is_refused(name):
    """Protects from a program that says in every step what the first one said: the object or the
    line is named, with where such a thing belongs, and nothing of it stays changed."""
    then, message = REFUSED[name]
    module = Stateful(then)
    with pytest.raises(Unsupported, match=message):
        capture(module, F.mse_loss, rows=numbers())
    held = (STEP, Stateful.count, COUNTS[0], module.t, module.first, module.h, module.log)
    assert held == (0, 0, 0, 0, True, None, []) and module.held == 0
    assert module.chance.random() == random.Random(1).random()


def test_what_a_loss_counts_is_refused():
    """Protects annealing that is written into a loss: closures, defaults, functions' attributes."""
    n = 0

    def closed(o: Tensor, t: Tensor) -> Tensor:
        nonlocal n
        n += 1
        return F.mse_loss(o, t) * n

    def default(o: Tensor, t: Tensor, n: list[int] = [0]) -> Tensor:  # noqa: B006
        n[0] += 1
        return F.mse_loss(o, t) * n[0]

    def attribute(o: Tensor, t: Tensor) -> Tensor:
        attribute.n += 1  # type: ignore[attr-defined]
        return F.mse_loss(o, t) * attribute.n  # type: ignore[attr-defined]

    attribute.n = 0  # type: ignore[attr-defined]
    for loss_fn in (closed, default, attribute):
        with pytest.raises(Unsupported, match=ANOTHER):
            capture(nn.Linear(4, 4), loss_fn, rows=numbers())
    assert n == 0 and default.__defaults__ == ([0],) and attribute.n == 0  # type: ignore[attr-defined]


def notes(m: Any, y: Tensor) -> Tensor:
    m.eval()
    m.t, m.h, m.log = tuple(y.shape), y, [y]
    return y


def cached(m: Any, y: Tensor) -> Tensor:
    if m.h is None:
        m.h = torch.arange(4.0).cos()
    return y * m.h[:4]


@functools.lru_cache
def mask(n: int) -> Tensor:
    return torch.ones(n, n).tril()[1]


def registers(m: Any, y: Tensor) -> Tensor:
    if not hasattr(m, "weights"):
        m.register_buffer("weights", torch.arange(4.0) / 4)
    return y * m.weights


KEPT: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "a mode, a shape, a tensor that nobody reads": notes,
    "a constant that the first step makes": cached,
    "a function that remembers": lambda m, y: y * mask(4),
    "a class of Python's": lambda m, y: y * sum(chain.from_iterable([[1], [2, 3]])),
    "a buffer that the first step registers": registers,
}


@pytest.mark.parametrize("name", KEPT)
def test_what_the_first_step_leaves_for_all_others_is_honoured(name):
    """Protects modules that keep notes, attention maps and caches: no later step is another."""
    module = seeded(2, lambda: Stateful(KEPT[name]))
    capture(module, F.mse_loss, rows=numbers())
    assert module.t == 0 and module.h is None and module.training
    assert mask(4).tolist() == [1, 1, 0, 0], "no cache keeps a tensor of the trace"
    assert_trains_as_in_pytorch(seeded(2, lambda: Stateful(KEPT[name])))


class Bounded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rows, self.linear = nn.Embedding(6, 4, max_norm=0.5), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) * self.rows(torch.tensor([0, 3, 3, 5, 0, 1, 2, 3]))


def test_rows_of_a_bounded_length_are_pytorchs():
    """Protects `Embedding(max_norm=)`: what a forward writes into its weights is the next state."""
    assert_trains_as_in_pytorch(seeded(5, Bounded))


def test_a_buffer_without_elements_is_refused_by_name():
    """Protects from a malformed program: observers of quantisation begin so."""
    module = nn.Linear(4, 4)
    module.register_buffer("least", torch.zeros(0))
    with pytest.raises(Unsupported, match=r"least, which has shape \(0,\) and no elements: .*call"):
        capture(module, F.mse_loss, rows=numbers())


def test_a_loss_may_read_what_forward_has_noted():
    """Protects auxiliary losses, which modules keep in an attribute for the same step's loss."""

    def forward(m: Any, y: Tensor) -> Tensor:
        m.h = y.pow(2).mean()
        return y

    module = seeded(2, lambda: Stateful(forward))
    assert_trains_as_in_pytorch(module, lambda o, t: F.mse_loss(o, t) + 0.1 * module.h)


SHARES = r"shares memory with .*linear\.weight and would be a constant"


@pytest.mark.parametrize(
    ("keep", "then"),
    [
        (lambda w: w.data[0], lambda m, y: y * m.h),
        (lambda w: w.detach(), lambda m, y: y * m.h[0].tolist()[1]),
        (lambda w: w.detach()[0, 0], lambda m, y: y * m.h.item()),
        (lambda w: w.detach().numpy(), lambda m, y: y * float(m.h.sum())),
        (lambda w: torch.from_numpy(w.detach().numpy()), lambda m, y: y + m.h.sum()),
    ],
)
def test_a_view_of_a_parameter_is_no_constant(keep, then):
    """Protects from a weight that never moves: whatever shares its memory is refused by name."""
    module = Stateful(then)
    module.h = keep(module.linear.weight)
    with pytest.raises(Unsupported, match=SHARES):
        capture(module, F.mse_loss, rows=numbers())


def test_the_batch_is_no_constant():
    """Protects a loss that holds the example itself: a step has other rows."""
    x, y = numbers()
    for held in (y, y[1:], y.numpy()):

        def loss_fn(o: Tensor, t: Tensor, held: Any = held) -> Tensor:
            return F.mse_loss(o, t) + torch.as_tensor(held).mean()

        with pytest.raises(Unsupported, match=r"shares memory with tensor 1 of the batch"):
            capture(nn.Linear(4, 4), loss_fn, rows=[x, y])


def test_tensors_of_a_state_that_share_memory_are_refused_where_one_changes():
    """Protects weights that are tied by their data: PyTorch's update changes both."""
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    module[1].weight.data = module[0].weight.data.t()
    with pytest.raises(Unsupported, match=r"0\.weight and 1\.weight, which share memory"):
        capture(module, F.mse_loss, rows=numbers())
    frozen = nn.Linear(4, 4)
    frozen.register_buffer("table", torch.arange(8.0))
    frozen.register_buffer("part", frozen.table[:4])
    capture(frozen, F.mse_loss, rows=numbers())


@pytest.mark.parametrize("look", [float, lambda t: t.item(), lambda t: t.tolist()])
def test_python_does_not_look_at_what_was_written_through_a_view(look):
    """Protects from a value that is out of date: an operator writes into a constant's memory."""

    def then(m: Any, y: Tensor) -> Tensor:
        total = torch.tensor([0.0, 0.0])
        total[0] += y.detach().sum()
        return y * torch.tensor(look(total[0]))

    with pytest.raises(Unsupported, match="Python looks at a tensor's value"):
        capture(Stateful(then), F.mse_loss, rows=numbers())


class Norm(nn.Module):
    """A buffer under each way to change it."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.linear, self.way = nn.Linear(4, 4), way
        self.register_buffer("mean", torch.zeros(4))
        self.old = self.mean

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x)
        mean = y.mean(0) if self.way == "with a gradient" else y.detach().mean(0)
        if self.way == "of another shape":
            self.mean = mean[:2]
        elif self.way == "taken away":
            self.mean = None
        else:
            self.mean = 0.9 * self.mean + 0.1 * mean
        return y - self.old if self.way == "read by another reference" else y


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("with a gradient", r"the buffer mean, .*a value with a gradient: detach"),
        ("of another shape", r"the buffer mean, .*float32 \(2,\) of float32 \(4,\)"),
        ("taken away", "the buffer mean, which the step takes away"),
        ("read by another reference", r"mean, .*binds anew and also reads by another reference"),
    ],
)
def test_a_buffer_that_the_next_step_could_not_start_from_is_refused(way, message):
    """Protects running statistics: the next state is what PyTorch's next step would read."""
    with pytest.raises(Unsupported, match=message):
        capture(Norm(way), F.mse_loss, rows=numbers())
