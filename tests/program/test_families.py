"""Whole models of every family beside plain PyTorch: the same losses, the same bits everywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.models import GPT, Llama, Residual, language_loss
from tests.program.helpers import repeated, same
from tests.program.models import seeded
from worker.exact.backends import BACKENDS
from worker.program import Program, capture_training, training_state
from worker.program.wellformed import DOT_BITS, MOST_DOT_BITS

STEPS = 25
Loss = Callable[[Tensor, Tensor], Tensor]
MakeOptimizer = Callable[[Any], torch.optim.Optimizer]


def gpt(approximate: str = "none") -> nn.Module:
    """One block; GELU by erf, or by tanh as GPT-2 has it."""
    model = GPT(vocabulary=50, width=16, heads=2, layers=1, length=8)
    nn.init.normal_(model.token.weight, std=0.2)
    for block in model.blocks:
        block.gelu = nn.GELU(approximate)
    return model


def llama() -> nn.Module:
    """Two heads of keys for four of queries."""
    return Llama(vocabulary=50, width=16, heads=4, groups=2, length=8)


class Recurrent(nn.Module):
    """A GRU that reads what an LSTM has written."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(5, 6, batch_first=True)
        self.gru = nn.GRU(6, 6, batch_first=True)
        self.out = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.gru(self.lstm(x)[0])[0][:, -1])


def convolutional() -> nn.Module:
    """Stride, padding, dilation, groups, and both poolings."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2, padding=1),
        nn.Conv2d(8, 8, 3, dilation=2, groups=2, padding=2),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 4),
    )


def sequences() -> nn.Module:
    """The same along one axis, with the smooth activations between."""
    return nn.Sequential(
        nn.Conv1d(3, 6, 3, stride=2, padding=1),
        nn.SiLU(),
        nn.Conv1d(6, 6, 3, groups=3, dilation=2),
        nn.GroupNorm(2, 6),
        nn.LeakyReLU(),
        nn.ReLU6(),
        nn.Flatten(),
        nn.Linear(24, 4),
    )


def residual() -> nn.Module:
    block = Residual(8)
    block.norm2.momentum = 0.3
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        block,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )


def autoencoder() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 3), nn.Tanh(), nn.Linear(3, 8), nn.Sigmoid())


def smoothed(outputs: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(outputs, target, label_smoothing=0.1, ignore_index=0)


def classes(rows: int, count: int, *shape: int) -> list[Tensor]:
    return [torch.randn(rows, *shape), torch.randint(0, count, (rows,))]


def words() -> list[Tensor]:
    return [torch.randint(0, 50, (2, 8)), torch.randint(0, 50, (2, 8))]


def momentum(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.9)


@dataclass(frozen=True)
class Family:
    make: Callable[[], nn.Module]
    batch: Callable[[], list[Tensor]]
    loss: Loss = F.cross_entropy
    optimizer: MakeOptimizer = momentum


def linear(loss: Loss, target: Callable[..., Tensor] = torch.rand) -> Family:
    return Family(lambda: nn.Linear(8, 8), lambda: [torch.randn(4, 8), target(4, 8)], loss)


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))


def optimized(make: MakeOptimizer) -> Family:
    return Family(perceptron, lambda: classes(16, 4, 8), optimizer=make)


OPT = torch.optim
FAMILIES: dict[str, Family] = {
    "convolutions": Family(convolutional, lambda: classes(2, 4, 3, 16, 16)),
    "sequences": Family(sequences, lambda: classes(3, 4, 3, 15)),
    "residual": Family(residual, lambda: classes(2, 4, 3, 8, 8)),
    "gpt": Family(gpt, words, language_loss),
    "gpt, tanh": Family(lambda: gpt("tanh"), words, language_loss, lambda p: OPT.AdamW(p, lr=1e-2)),
    "llama": Family(llama, words, language_loss),
    "recurrent": Family(Recurrent, lambda: classes(2, 3, 4, 5)),
    "autoencoder": Family(autoencoder, lambda: [torch.randn(4, 8)] * 2, F.mse_loss),
    "binary": linear(F.binary_cross_entropy_with_logits),
    "l1": linear(F.l1_loss, torch.randn),
    "huber": linear(F.huber_loss, lambda *s: 3 * torch.randn(*s)),
    "smooth l1": linear(F.smooth_l1_loss, lambda *s: 3 * torch.randn(*s)),
    "smoothed labels": Family(
        lambda: nn.Linear(8, 4),
        lambda: [torch.randn(5, 8), torch.tensor([0, 1, 3, 0, 2])],
        smoothed,
    ),
    "ignored labels": Family(
        lambda: nn.Linear(8, 4),
        lambda: [torch.randn(5, 8), torch.tensor([-100, 1, 3, -100, 0])],
    ),
    "sgd": optimized(lambda p: OPT.SGD(p, lr=0.1)),
    "nesterov": optimized(
        lambda p: OPT.SGD(p, lr=0.02, momentum=0.9, nesterov=True, weight_decay=0.1)
    ),
    "adam": optimized(lambda p: OPT.Adam(p, lr=1e-2)),
    "adam, decay": optimized(lambda p: OPT.Adam(p, lr=1e-2, betas=(0.8, 0.99), weight_decay=0.1)),
    "adamw": optimized(lambda p: OPT.AdamW(p, lr=1e-2, weight_decay=0.3)),
}


@dataclass
class Course:
    """A captured training and plain PyTorch's, run side by side on one batch."""

    program: Program
    batch: list[Tensor]
    first: list[Tensor]
    last: list[Tensor]
    module: nn.Module
    optimizer: torch.optim.Optimizer
    ours: list[float]
    plain: list[float]

    @property
    def state(self) -> dict[str, Tensor]:
        return dict(zip(self.program.state_names, self.last, strict=True))


def train(
    family: Family,
    *,
    schedule: Sequence[float] | None = None,
    clip_norm: float | None = None,
    scheduler: Callable[[Any], Any] | None = None,
    prepare: Callable[[nn.Module], None] = lambda module: None,
    steps: int = STEPS,
    bits: int = DOT_BITS,
) -> Course:
    module, batch = seeded(1, family.make), seeded(2, family.batch)
    prepare(module)
    optimizer = family.optimizer(module.parameters())
    program = capture_training(
        module, family.loss, optimizer, batch, schedule=schedule, clip_norm=clip_norm, bits=bits
    )
    state = first = training_state(module, optimizer, schedule)
    rates = scheduler(optimizer) if scheduler else None
    ours, plain = [], []
    for _ in range(steps):
        state, (found,) = program.run(state, batch)
        ours.append(found.item())
        optimizer.zero_grad()
        loss = family.loss(module(*batch[:-1]), batch[-1])
        loss.backward()
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(module.parameters(), clip_norm)
        optimizer.step()
        if rates:
            rates.step()
        plain.append(loss.item())
    return Course(program, batch, first, state, module, optimizer, ours, plain)


def follows(course: Course) -> None:
    """Every loss, and what the module holds at the end."""
    assert course.ours == pytest.approx(course.plain, rel=5e-3, abs=1e-4)
    # of what moved, all together: a single gradient that ought to be zero is noise, and Adam takes
    # steps of one size by noise too
    started = dict(zip(course.program.state_names, course.first, strict=True))
    moved = missed = 0.0
    for name, parameter in course.module.named_parameters():
        found = course.state[name].view(parameter.shape)
        moved += float((parameter.detach() - started[name]).square().sum())
        missed += float((parameter.detach() - found).square().sum())
    assert missed**0.5 < 0.05 * moved**0.5
    for name, buffer in course.module.named_buffers():
        found = course.state[name].view(buffer.shape)
        if buffer.is_floating_point():
            torch.testing.assert_close(found, buffer, rtol=1e-2, atol=1e-3)
        else:
            assert torch.equal(found, buffer), name


def repeats(course: Course, backends: Sequence[str] = tuple(BACKENDS)) -> None:
    """The first state's step and the last one's, the latter with these ways to make a product."""
    repeated(course.program, course.first, course.batch)
    repeated(course.program, course.last, course.batch, backends)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_trains_as_in_pytorch_and_to_the_same_bits(name):
    """Protects users and workers: the loss of every step is PyTorch's within half a percent, and
    neither the way of running, the backend of products nor the number of threads changes a bit."""
    course = train(FAMILIES[name])
    assert course.plain[-1] < course.plain[0]
    follows(course)
    repeats(course)


@pytest.mark.parametrize(
    "name", ["convolutions", "residual", "gpt, tanh", "llama", "recurrent", "adam"]
)
def test_twenty_bits_train_as_fp32_does(name):
    """Protects users whose training is as delicate as fp32 allows: no step's loss shows that its
    products were integers, natively compiled or not."""
    course = train(FAMILIES[name], bits=MOST_DOT_BITS)
    assert course.ours == pytest.approx(course.plain, rel=2e-5, abs=1e-6)
    repeats(course)
    course.program.compile()
    repeated(course.program, course.last, course.batch)


def test_adams_own_tensors_are_pytorchs():
    """Protects a training that goes on elsewhere: moments and step count are what torch keeps."""
    course = train(FAMILIES["adam"])
    for name, parameter in course.module.named_parameters():
        kept = course.optimizer.state[parameter]
        for key in ("exp_avg", "exp_avg_sq"):
            scale = float(kept[key].abs().max())
            found = course.state[f"optimizer.{key}.{name}"]
            torch.testing.assert_close(found, kept[key], rtol=0, atol=1e-2 * scale)
        assert float(course.state[f"optimizer.step.{name}"]) == float(kept["step"]) == STEPS


# --- schedules, clipping, freezing ---

SCHEDULERS: dict[str, Callable[[torch.optim.Optimizer], Any]] = {
    "warm up": lambda o: OPT.lr_scheduler.LambdaLR(o, lambda k: min(1.0, (k + 1) / 10)),
    "cosine": lambda o: OPT.lr_scheduler.CosineAnnealingLR(o, STEPS),
    "steps": lambda o: OPT.lr_scheduler.StepLR(o, 7, 0.3),
}


def rates_of(make: MakeOptimizer, scheduler: Callable[[Any], Any], steps: int) -> list[float]:
    """The learning rate of each step, listed beforehand."""
    optimizer = make([nn.Parameter(torch.zeros(1))])
    schedule, rates = scheduler(optimizer), []
    for _ in range(steps):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return rates


@pytest.mark.parametrize("optimizer", ["nesterov", "adamw"])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_schedule_is_torchs_own_scheduler(name, optimizer):
    """Protects schedules: the rates listed beforehand give the training that the scheduler gives,
    and the state says which step comes next."""
    family, scheduler = FAMILIES[optimizer], SCHEDULERS[name]
    rates = rates_of(family.optimizer, scheduler, STEPS)
    assert len(set(rates)) > 3
    course = train(family, schedule=rates, scheduler=scheduler)
    follows(course)
    repeats(course)
    assert int(course.state["schedule.step"]) == STEPS
    assert same([course.state["schedule.rates"]], [torch.tensor(rates)])


def test_a_schedule_decides_over_the_optimizers_rate_and_lasts():
    """Protects long trainings: after the last rate listed, that rate goes on."""
    family = FAMILIES["sgd"]
    short = train(family, schedule=[0.3, 0.2, 0.1], scheduler=None, steps=8)
    torch_rates = iter([0.3, 0.2, *[0.1] * 7])

    def follow_rates(optimizer: torch.optim.Optimizer) -> Any:
        class Rates:
            def step(self) -> None:
                optimizer.param_groups[0]["lr"] = next(torch_rates)

        Rates().step()
        return Rates()

    long = train(family, schedule=[0.3, 0.2, *[0.1] * 6], scheduler=follow_rates, steps=8)
    follows(long)
    assert short.ours == long.ours
    assert same([short.state["0.weight"]], [long.state["0.weight"]])


@pytest.mark.parametrize("most", [0.05, 1e3])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_clipping_is_clip_grad_norm(most, optimizer):
    """Protects clipping: gradients are scaled together where their norm is too large, else not."""
    course = train(FAMILIES[optimizer], clip_norm=most)
    follows(course)
    repeats(course)
    free = train(FAMILIES[optimizer])
    assert (course.ours == free.ours) == (most > 1), "where the norm is small nothing changes"


def test_a_schedule_and_clipping_go_together():
    family, scheduler = FAMILIES["gpt"], SCHEDULERS["cosine"]
    rates = rates_of(family.optimizer, scheduler, STEPS)
    course = train(family, schedule=rates, scheduler=scheduler, clip_norm=0.5)
    follows(course)


@pytest.mark.parametrize("left_out", [False, True])
def test_a_frozen_backbone_never_changes(left_out):
    """Protects fine-tuning: parameters that need no gradient keep every bit, whether the optimizer
    was given them or not, and the head trains as in PyTorch."""

    def freeze(module: nn.Module) -> None:
        for child in list(module.children())[:-1]:
            for p in child.parameters():
                p.requires_grad_(False)

    def make(parameters: Any) -> torch.optim.Optimizer:
        held = [p for p in parameters if p.requires_grad or not left_out]
        return OPT.AdamW(held, lr=1e-2)

    family = FAMILIES["convolutions"]
    course = train(Family(family.make, family.batch, optimizer=make), prepare=freeze)
    assert course.plain[-1] < course.plain[0]
    follows(course)
    started = dict(zip(course.program.state_names, course.first, strict=True))
    for name, parameter in course.module.named_parameters():
        assert same([started[name]], [course.state[name]]) == (not parameter.requires_grad)
    slots = {n.split(".", 2)[2] for n in course.program.state_names if n.startswith("optimizer.")}
    assert slots == {"6.weight", "6.bias"}, "only what trains has tensors of the optimizer's"


def test_a_module_in_its_evaluation_mode_keeps_its_statistics():
    """Protects fine-tuning with frozen norms: batch norm then uses what it holds."""

    def evaluate(module: nn.Module) -> None:
        module.eval()
        with torch.no_grad():
            for b in module.buffers():
                if b.is_floating_point():
                    b.add_(0.25)

    course = train(FAMILIES["residual"], prepare=evaluate)
    follows(course)
    started = dict(zip(course.program.state_names, course.first, strict=True))
    names = dict(course.module.named_buffers())
    assert len(names) == 6 and all(same([started[n]], [course.state[n]]) for n in names)


# --- dropout ---


def test_dropout_draws_anew_in_every_step_and_the_same_for_everybody():
    """Protects trainings with dropout: a step's mask is its seed's and number's, the kept elements
    are scaled up, and in evaluation mode nothing is dropped."""
    module = nn.Sequential(nn.Dropout(0.25), nn.Flatten())
    module.append(nn.Linear(400, 1, bias=False))
    with torch.no_grad():
        module[2].weight.fill_(1.0)
    optimizer = OPT.SGD(module.parameters(), lr=1.0)
    batch = [torch.ones(2, 400), torch.zeros(2)]

    def loss(y: Tensor, target: Tensor) -> Tensor:
        return (y[:, 0] - target).mean()

    program = capture_training(module, loss, optimizer, batch)
    state = training_state(module, optimizer)

    def mask(seed: int, step: int) -> Tensor:
        """The weight's gradient is the mean of both rows' inputs after dropout."""
        after, reports = program.run(state, batch, seed=seed, step=step)
        trace = program.split(program.trace(state, batch, seed=seed, step=step))
        assert same([*after, *reports], [*trace[0], *trace[1]])
        return state[0] - after[0]

    first = mask(5, 0)
    kept = torch.tensor([0, 1, 2]) / 0.75 / 2
    assert (first.view(-1, 1) - kept).abs().min(1).values.max() < 1e-3
    assert float(first.mean()) == pytest.approx(1.0, abs=5 * (1 / 3 / 800) ** 0.5)
    assert same([first], [mask(5, 0)])
    assert not any(same([first], [mask(*other)]) for other in ((5, 1), (6, 0)))
    module.eval()
    evaluated = capture_training(module, loss, optimizer, batch)
    after, _ = evaluated.run(state, batch, seed=5, step=0)
    torch.testing.assert_close(state[0] - after[0], torch.ones(1, 400), rtol=1e-3, atol=0)
