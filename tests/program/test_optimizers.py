"""Whatever optimizer a user brings trains as it does in PyTorch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from worker.program import Unsupported, capture_training, optimizer_state, training_state

optim = torch.optim
Made = Callable[[Iterable[Any]], optim.Optimizer]
STEPS = 12


def model() -> nn.Module:
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3, bias=False))


def batches() -> list[tuple[Tensor, Tensor]]:
    torch.manual_seed(6)
    return [(torch.randn(8, 6), torch.randint(0, 3, (8,))) for _ in range(STEPS)]


class Float32(TorchFunctionMode):
    """PyTorch's optimizers without bfloat16."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return args[0].clone() if func is Tensor.bfloat16 else func(*args, **(kwargs or {}))


def trained(
    module: nn.Module,
    optimizer: optim.Optimizer,
    clip: Callable[[Any], Any] | None = None,
    rates: Any = None,
) -> list[float]:
    """PyTorch's own losses."""
    losses = []
    for k, (x, y) in enumerate(batches()):
        for g, group in enumerate(optimizer.param_groups if rates else []):
            group["lr"] = rates[min(k, len(rates) - 1)][g]
        optimizer.zero_grad()
        loss = F.cross_entropy(module(x), y)
        loss.backward()
        if clip is not None:
            clip(module.parameters())
        with Float32():
            optimizer.step()
        losses.append(float(loss))
    return losses


def exact(
    module: nn.Module, optimizer: optim.Optimizer, **how: Any
) -> tuple[list[float], dict[str, Tensor]]:
    """A program's losses, and its last state by name."""
    program = capture_training(module, F.cross_entropy, optimizer, batches()[0], **how)
    state, losses = training_state(module, optimizer, how.get("schedule")), []
    for x, y in batches():
        state, (loss,) = program.run(state, [x, y])
        losses.append(float(loss))
    return losses, dict(zip(program.state_names, state, strict=True))


def assert_as_in_pytorch(
    module: nn.Module, optimizer: optim.Optimizer, tolerance: float = 2e-4, **more: Any
) -> None:
    """Losses, parameters and all that the optimizer keeps, after twelve steps."""
    clip = more.pop("clip", None)
    ours, state = exact(module, optimizer, **more)
    plain = trained(module, optimizer, clip, more.get("schedule"))
    assert ours == pytest.approx(plain, rel=tolerance)
    for name, p in module.named_parameters():
        torch.testing.assert_close(state[name], p.detach(), rtol=tolerance, atol=tolerance)
        for key, value in optimizer.state[p].items():
            if value is not None:
                found = state[f"optimizer.{key}.{name}"]
                expected = torch.as_tensor(value).to(found.dtype)
                torch.testing.assert_close(found, expected, rtol=5e-3, atol=tolerance)


class Lion(optim.Optimizer):
    """As its authors publish it."""

    def __init__(self, params: Any, lr: float = 1e-4, betas: Any = (0.9, 0.99), decay: float = 0.0):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                p.data.mul_(1 - group["lr"] * group["weight_decay"])
                grad, state = p.grad, self.state[p]
                if len(state) == 0:
                    state["exp_avg"] = torch.zeros_like(p)
                exp_avg = state["exp_avg"]
                beta1, beta2 = group["betas"]
                update = exp_avg * beta1 + grad * (1 - beta1)
                p.add_(update.sign_(), alpha=-group["lr"])
                exp_avg.mul_(beta2).add_(grad, alpha=1 - beta2)


class Counting(optim.Optimizer):
    """Keeps Python's numbers: a step of each parameter, and one of the group."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr, "done": 0, "weight": 1.0})

    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            group["done"] += 1
            group["weight"] = group["weight"] * 0.9
            for p in group["params"]:
                state = self.state[p]
                state["step"] = state.get("step", 0) + 1
                if "first" not in state:
                    state["first"] = p.data.clone()
                rate = group["lr"] / (1 + 0.5 * (1 - 0.9 ** state["step"]) + 0.1 * group["done"])
                p.data.add_(p.grad, alpha=-rate)
                p.data.add_(0.01 * group["weight"] * (state["first"] - p.data))


class Lazy(optim.Optimizer):
    """Begins with the first gradient, and not with zeros."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if "mean" not in state:
                    state["mean"] = p.grad.clone()
                else:
                    state["mean"].lerp_(p.grad, 0.1)
                p.sub_(group["lr"] * state["mean"])


OPTIMIZERS: dict[str, Made] = {
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "sgd momentum": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.01),
    "sgd dampening": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.5),
    "sgd nesterov": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "sgd maximize": lambda p: optim.SGD(p, lr=0.01, momentum=0.9, maximize=True),
    "sgd fused": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, fused=True),
    "sgd foreach": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, foreach=True),
    "sgd tensor rate": lambda p: optim.SGD(p, lr=torch.tensor(0.1), momentum=0.9),
    "adam": lambda p: optim.Adam(p, lr=0.01),
    "adam decay": lambda p: optim.Adam(p, lr=0.01, weight_decay=0.1),
    "adam amsgrad": lambda p: optim.Adam(p, lr=0.01, amsgrad=True),
    "adam maximize": lambda p: optim.Adam(p, lr=0.01, maximize=True),
    "adam beta1 of 0": lambda p: optim.Adam(p, lr=0.01, betas=(0.0, 0.9)),
    "adam foreach": lambda p: optim.Adam(p, lr=0.01, foreach=True),
    "adam fused": lambda p: optim.Adam(p, lr=0.01, fused=True),
    "adamw": lambda p: optim.AdamW(p, lr=0.01, weight_decay=0.1, amsgrad=True),
    "rmsprop": lambda p: optim.RMSprop(p, lr=0.01),
    "rmsprop all": lambda p: optim.RMSprop(
        p, lr=0.01, momentum=0.9, centered=True, weight_decay=0.01, maximize=False
    ),
    "adagrad": lambda p: optim.Adagrad(p, lr=0.1, lr_decay=0.1, initial_accumulator_value=0.1),
    "adadelta": lambda p: optim.Adadelta(p, lr=1.0, weight_decay=0.01),
    "adamax": lambda p: optim.Adamax(p, lr=0.01, weight_decay=0.01),
    "nadam": lambda p: optim.NAdam(p, lr=0.01, weight_decay=0.1, decoupled_weight_decay=True),
    "radam": lambda p: optim.RAdam(p, lr=0.01, weight_decay=0.1),
    "rprop": lambda p: optim.Rprop(p, lr=0.01),
    "asgd": lambda p: optim.ASGD(p, lr=0.1, t0=3.0),
    "adafactor": lambda p: optim.Adafactor(p, lr=0.05, weight_decay=0.1),
    "lion": lambda p: Lion(p, lr=0.01, decay=0.1),
    "counting": lambda p: Counting(p, lr=0.1),
    "lazy": lambda p: Lazy(p, lr=0.2),
    "muon": lambda p: optim.Muon(p, lr=0.05),
}
# their square roots and quotients amplify the products' last bits
LOOSE = {"rprop": 2e-3, "adadelta": 1e-3, "muon": 2e-3}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_trains_as_in_pytorch(name: str) -> None:
    """Protects the update: an optimizer's own step is in the program, with every flag it has."""
    module = model()
    if name == "muon":
        module[0].register_parameter("bias", None)
    optimizer = OPTIMIZERS[name](module.parameters())
    assert_as_in_pytorch(module, optimizer, LOOSE.get(name, 2e-4))


def grouped(module: Any, *rates: float, kind: Any = optim.SGD, **more: Any) -> optim.Optimizer:
    groups = [
        {"params": layer.parameters(), "lr": r} for layer, r in zip(module[::2], rates, strict=True)
    ]
    return kind(groups, **more)


def test_a_schedule_has_a_rate_for_each_group() -> None:
    """Protects rates: each group follows its own, and one at 0 never moves, bit for bit."""
    module = model()
    first = copy.deepcopy(module[2].weight.detach())
    optimizer = grouped(module, 0.1, 0.0, momentum=0.9)
    rates = [[0.1 / (k + 1), 0.0] for k in range(5)]
    ours, state = exact(module, optimizer, schedule=rates)
    assert torch.equal(state["2.weight"], first)
    assert state["schedule.rates"].shape == (5, 2)
    assert ours == pytest.approx(trained(module, optimizer, rates=rates), rel=2e-4)


def test_one_rate_a_step_for_groups_that_differ_is_refused() -> None:
    """Protects rates: a group's own is never replaced by another's without a word."""
    module = model()
    with pytest.raises(Unsupported, match=r"differ \(\[0.1, 0.0\]\): give a list with the rate"):
        exact(module, grouped(module, 0.1, 0.0), schedule=[0.1, 0.2])
    with pytest.raises(ValueError, match="step 1 has 1 for 2 groups of the optimizer"):
        exact(module, grouped(module, 0.1, 0.0), schedule=[[0.1, 0.0], [0.1]])
    with pytest.raises(ValueError, match="learning rates are finite, from 0 up"):
        exact(module, grouped(module, 0.1, 0.1), schedule=[0.1, float("nan")])
    with pytest.raises(ValueError, match="the schedule is empty"):
        exact(module, grouped(module, 0.1, 0.1), schedule=[])


@pytest.mark.parametrize("name", ["adamw", "rmsprop all", "adamax", "nadam", "adafactor", "lion"])
def test_a_schedule_scales_every_optimizer_as_a_scheduler_does(name: str) -> None:
    """Protects schedules: a rate may be a tensor wherever an optimizer takes a number."""
    module = model()
    optimizer = OPTIMIZERS[name](module.parameters())
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    rates = []
    for _ in range(STEPS):
        rates.append(scheduler.get_last_lr())
        optimizer._opt_called = True  # type: ignore[attr-defined]  (no warning: none has a gradient)
        scheduler.step()
    assert_as_in_pytorch(module, optimizer, schedule=rates)


def test_gradients_are_clipped_as_pytorch_clips_them() -> None:
    """Protects clipping, by norm and by value, before whatever optimizer."""
    for key, most, clip in (
        ("clip_norm", 0.05, nn.utils.clip_grad_norm_),
        ("clip_value", 0.003, nn.utils.clip_grad_value_),
    ):
        module = model()
        optimizer = optim.RMSprop(module.parameters(), lr=0.01)
        assert_as_in_pytorch(
            module, optimizer, clip=lambda p, c=clip, m=most: c(p, m), **{key: most}
        )
    with pytest.raises(ValueError, match="give one of them"):
        exact(module, optimizer, clip_norm=1.0, clip_value=1.0)
    with pytest.raises(ValueError, match="it must be a number above 0"):
        exact(module, optimizer, clip_norm=0.0)


@pytest.mark.parametrize("name", ["sgd dampening", "adam amsgrad", "asgd", "counting", "lazy"])
def test_an_optimizer_that_has_made_steps_goes_on(name: str) -> None:
    """Protects resuming: what an optimizer keeps is what the first state begins with."""
    module = model()
    optimizer = OPTIMIZERS[name](module.parameters())
    trained(module, optimizer)
    assert_as_in_pytorch(module, optimizer)


def test_neither_module_nor_optimizer_is_changed() -> None:
    """Protects the user's objects: groups, flags, state and step are theirs again, also where
    capture refuses."""
    module = model()
    kinds = [*OPTIMIZERS.values()][::4]
    for made in [*kinds, lambda p: Looks(p, {"lr": 0.1})]:
        optimizer = made(module.parameters())
        weights = copy.deepcopy(module.state_dict())
        before = copy.deepcopy(optimizer.state_dict())
        attributes = dict(vars(optimizer))
        try:
            exact(module, optimizer)
        except Unsupported:
            assert isinstance(optimizer, Looks)
        assert str(optimizer.state_dict()) == str(before)
        assert vars(optimizer).keys() == attributes.keys()
        assert all(vars(optimizer)[key] is value for key, value in attributes.items())
        assert all(
            a is b
            for a, b in zip(optimizer.param_groups[0]["params"], module.parameters(), strict=True)
        )
        assert all(torch.equal(weights[key], t) for key, t in module.state_dict().items())


class Looks(optim.Optimizer):
    """Asks what the step's number is."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for p in self.param_groups[0]["params"]:
            state = self.state[p]
            state["step"] = state.get("step", 0) + 1
            if state["step"] % 2 == 0:
                p.sub_(0.1 * p.grad)


class Keeps(optim.Optimizer):
    """Keeps what it is told to keep."""

    def __init__(self, params: Any, keep: Callable[[Any, Any], None]) -> None:
        self.keep = keep
        super().__init__(params, {"lr": 0.1})

    def step(self, closure: Any = None) -> None:
        for p in self.param_groups[0]["params"]:
            self.keep(self, p)


def keeps_half(o: Any, p: Any) -> None:
    o.state[p]["mean"] = torch.zeros_like(p, dtype=torch.float16)


def keeps_words(o: Any, p: Any) -> None:
    o.state[p]["phase"] = "warm" if "phase" not in o.state[p] else "cold"


def keeps_by_word(o: Any, p: Any) -> None:
    o.state["all"]["mean"] = torch.zeros_like(p)


def grows(o: Any, p: Any) -> None:
    o.state[p]["all"] = torch.cat([o.state[p].get("all", torch.zeros(1)), torch.ones(1)])


def counts_itself(o: Any, p: Any) -> None:
    o.steps = getattr(o, "steps", 0) + 1


def remembers_itself(o: Any, p: Any) -> None:
    o.mean = torch.zeros_like(p)


def raises(o: Any, p: Any) -> None:
    raise KeyError("rho")


def two(p: Any) -> optim.Optimizer:
    outer = optim.SGD(p, lr=0.1)
    outer.base = optim.SGD(outer.param_groups, lr=0.1)  # type: ignore[attr-defined]
    return outer


def cycled(p: Any) -> optim.Optimizer:
    optimizer = optim.SGD(p, lr=0.1, momentum=0.9)
    optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=9)
    return optimizer


REFUSED: dict[str, tuple[str, Made]] = {
    "lbfgs": ("LBFGS, which runs the model until", lambda p: optim.LBFGS(p)),
    "sparse": ("SparseAdam: .* use Adam", lambda p: optim.SparseAdam(p)),
    "differentiable": ("differentiable=True", lambda p: optim.Adam(p, differentiable=True)),
    "looks": (
        r"looks at a tensor's value.*test_optimizers.py:\d+: if state",
        lambda p: Looks(p, {}),
    ),
    "half": ("Keeps keeps 'mean' of 0.weight in torch.float16", lambda p: Keeps(p, keeps_half)),
    "words": ("keeps 'phase' of 0.weight, .*'cold'", lambda p: Keeps(p, keeps_words)),
    "by word": ("whose state has 'all'", lambda p: Keeps(p, keeps_by_word)),
    "grows": ("makes of 'all' of 0.weight, of shape .*keep its shape", lambda p: Keeps(p, grows)),
    "counts": ("changes its own 'steps'", lambda p: Keeps(p, counts_itself)),
    "remembers": ("changes its own 'mean'", lambda p: Keeps(p, remembers_itself)),
    "raises": (
        r"its step raises KeyError: 'rho'; asked for at .*raise Key",
        lambda p: Keeps(p, raises),
    ),
    "holds another": ("holds another one in 'base'", two),
    "a scheduler of momentum": ("cycle_momentum=False", cycled),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_step_can_do_is_refused_by_the_optimizers_name(name: str) -> None:
    """Protects users: an optimizer is honoured, or refused with what to do."""
    message, made = REFUSED[name]
    module = model()
    schedule = [0.1] if name.startswith("a scheduler") else None
    with pytest.raises(Unsupported, match=f"(?s){message}"):
        exact(module, made(module.parameters()), schedule=schedule)


def test_what_is_hooked_to_an_optimizer_is_part_of_its_step() -> None:
    """Protects hooks: one before the step sees the gradients, one after it the parameters."""
    module = model()
    optimizer = optim.SGD(module.parameters(), lr=0.5, momentum=0.9)

    def before(o: Any, args: Any, kwargs: Any) -> None:
        for p in o.param_groups[0]["params"]:
            p.grad.mul_(0.3)

    def after(o: Any, args: Any, kwargs: Any) -> None:
        with torch.no_grad():
            module[0].weight.clamp_(-0.3, 0.3)

    optimizer.register_step_pre_hook(before)
    optimizer.register_step_post_hook(after)
    assert_as_in_pytorch(module, optimizer)
    assert float(module[0].weight.detach().abs().max()) == pytest.approx(0.3)


@pytest.mark.parametrize("name", ["adam amsgrad", "counting", "sgd dampening"])
def test_an_optimizers_state_goes_back_into_pytorch(name: str) -> None:
    """Protects who fetches a training: the optimizer takes its state and goes on as if it had made
    the steps itself."""
    module = model()
    optimizer = OPTIMIZERS[name](module.parameters())
    rates = [[0.05], [0.04], [0.03]]
    _, state = exact(module, optimizer, schedule=rates)
    mine = copy.deepcopy(module)
    again = OPTIMIZERS[name](mine.parameters())
    found = optimizer_state(module, optimizer, list(state.values()), rates)
    again.load_state_dict(found)
    mine.load_state_dict({key: state[key] for key in mine.state_dict()})
    trained(module, optimizer, rates=rates)
    assert again.param_groups[0]["lr"] == pytest.approx(0.03)
    assert found.keys() == optimizer.state_dict().keys()
    assert trained(mine, again) == pytest.approx(trained(module, optimizer), rel=1e-3)
