"""What a step reads outside of the module's own call: the same tensors, trained as in PyTorch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

from tests.program.helpers import same
from tests.program.models import seeded
from tests.program.trainings import (
    SGD,
    assert_trains_as_in_pytorch,
    batch,
    capture,
    losses,
    numbers,
)
from worker.program import Kind, Source, Unsupported, capture_training, training_state


class Checkpointed(nn.Module):
    """Two layers, the second computed again for its gradient, through a closure."""

    def __init__(self, reentrant: bool | None, dropout: float = 0.0) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        self.reentrant, self.dropout = reentrant, dropout

    def second(self, h: Tensor) -> Tensor:
        return F.dropout(torch.tanh(self.b(h)), self.dropout)

    def forward(self, x: Tensor) -> Tensor:
        if self.reentrant is None:
            return self.second(self.a(x))
        return checkpoint(lambda h: self.second(h), self.a(x), use_reentrant=self.reentrant)


def test_the_losses_of_a_checkpointed_training_are_pytorchs():
    """Protects gradient checkpointing: parameters that are read in the backward are parameters."""
    torch.manual_seed(0)
    module = Checkpointed(False)
    x, y = torch.randn(8, 4), torch.randn(8, 4)
    ours, plain, _ = losses(module, F.mse_loss, SGD(module.parameters(), 0.5), [[x, y]] * 3)
    assert ours == pytest.approx(plain, rel=1e-5)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_checkpointing_changes_no_program(dropout):
    """Protects what checkpointing promises: the same numbers, also those that are drawn, which the
    layer meets again when it is computed again. So it is the same program, of either kind."""
    roots = set()
    for reentrant in (None, False, True):
        module = seeded(3, lambda r=reentrant: Checkpointed(r, dropout))
        optimizer = SGD(module.parameters(), 0.5)
        roots.add(capture_training(module, F.mse_loss, optimizer, numbers()).root)
    assert len(roots) == 1


@pytest.mark.parametrize(("reentrant", "dropout"), [(False, 0.0), (True, 0.1)])
def test_checkpointing_of_transformers_changes_no_number(reentrant, dropout):
    """Protects large models, which are trained so: the next state has the same bits, and no number
    is drawn twice."""
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        n_layer=1, n_embd=8, n_head=2, vocab_size=10, n_positions=4, bos_token_id=0, eos_token_id=0
    )
    config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = dropout
    ids = torch.arange(8).view(2, 4)
    named = {"input_ids": ids, "labels": ids.clone()}
    found = []
    for checkpointed in (False, True):
        module = seeded(2, lambda: transformers.GPT2LMHeadModel(config))
        if checkpointed:
            module.gradient_checkpointing_enable({"use_reentrant": reentrant})
        optimizer = SGD(module.parameters(), 0.1)
        program = capture_training(module, None, optimizer, named)
        draws = [n for n in program.nodes if n.kind == Kind.SOURCE and n.fn == Source.RANDOM]
        after, _ = program.run(training_state(module, optimizer), list(named.values()))
        found.append((len(draws), after))
    assert found[0][0] == found[1][0] == (4 if dropout else 0)
    # where a number is drawn depends on the draw's place in the program, which may be another one
    assert dropout or same(found[0][1], found[1][1])


def scaled(module: nn.Module):
    module.scale = nn.Parameter(torch.zeros(()))
    return lambda o, t: F.mse_loss(o * module.scale.exp(), t)


def listed(module: nn.Module):
    parameters = list(module.parameters())
    return lambda o, t: F.mse_loss(o, t) + 0.01 * sum(p.abs().sum() for p in parameters)


def penalty(module: nn.Module):
    return lambda o, t: F.mse_loss(o, t) + 0.01 * sum(p.abs().sum() for p in module.parameters())


def smooth(module: nn.Module):
    def loss_fn(o: Tensor, t: Tensor) -> Tensor:
        loss = F.mse_loss(o, t)
        gradients = torch.autograd.grad(loss, list(module.parameters()), create_graph=True)
        return loss + 0.1 * sum((g * g).sum() for g in gradients)

    return loss_fn


def twice(module: nn.Module):
    def loss_fn(o: Tensor, t: Tensor) -> Tensor:
        (module[0].weight ** 2).sum().mul(0.1).backward()
        return F.mse_loss(o, t)

    return loss_fn


def held(module: nn.Module):
    module.own = nn.Module()
    module.own.scale = nn.Parameter(torch.ones(()))
    module.own.forward = lambda o, t: F.mse_loss(o * module.own.scale, t)
    return module.own


@pytest.mark.parametrize("make", [scaled, listed, penalty, smooth, twice, held])
def test_a_loss_that_reads_parameters_trains_them(make):
    """Protects a learnable temperature, penalties of parameters and of gradients, a backward within
    the loss, a loss that is a part of the module: by whatever reference, it is the parameter."""
    module = seeded(4, lambda: nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)))
    loss_fn = make(module)
    if make is held:
        module.forward = lambda x: module[2](torch.tanh(module[0](x)))
    elif make is scaled:
        module.forward = lambda x: module[2](module[1](module[0](x)))
    assert_trains_as_in_pytorch(module, loss_fn)


class Clamped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.linear.weight.clamp_(-0.3, 0.3)
        self.linear.bias.data.mul_(0.9)
        return self.linear(x)


def test_what_forward_writes_into_a_parameter_stays_there():
    """Protects clipped weights: the update starts from what forward has left."""
    assert_trains_as_in_pytorch(seeded(4, Clamped))


def test_the_data_of_a_tensor_is_not_replaced_without_a_word():
    """Protects from an assignment that a trace cannot see: it is refused with the user's line."""

    class Assigns(Clamped):
        def forward(self, x: Tensor) -> Tensor:
            self.linear.weight.data = self.linear.weight.data.clamp(-0.3, 0.3)
            return self.linear(x)

    with pytest.raises(Unsupported, match=r"\.data, which hides .*no_grad.*weight\.data = self"):
        capture(Assigns(), F.mse_loss, rows=numbers())


class Shared(nn.Module):
    """One layer under two names, as TabNet and N-BEATS share theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
        self.b = self.a
        self.blocks = nn.ModuleList([self.a, nn.Linear(4, 4), self.a])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = torch.tanh(block(x))
        return self.b(x)


def test_one_layer_under_two_names_is_one_layer():
    """Protects shared layers: each tensor once in the state, all gradients summed."""
    module = seeded(4, Shared)
    assert_trains_as_in_pytorch(module)
    optimizer = SGD(module.parameters(), 0.1)
    program = capture_training(module, F.mse_loss, optimizer, numbers())
    assert program.state_names[:2] == ("a.0.weight", "a.0.bias")
    assert not [name for name in program.state_names if name.startswith(("b.", "blocks.0"))]
    state, _ = program.run(training_state(module, optimizer), numbers())
    assert len(state) == len(program.state_names)


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x @ w.t()

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        return g @ w, 2 * g.t() @ x


class OfMyOwn(nn.Module):
    def __init__(self, listed: bool) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(4, 4) * 0.3)
        self.all = [self.w] if listed else None

    def forward(self, x: Tensor) -> Tensor:
        return Square.apply(x, self.all[0] if self.all else self.w)


def test_a_function_with_a_gradient_of_its_own_is_trained_by_that():
    """Protects torch.autograd.Function; where it is handed a parameter by a reference that cannot
    be followed, the parameter is named."""
    assert_trains_as_in_pytorch(seeded(4, lambda: OfMyOwn(False)))
    with pytest.raises(Unsupported, match="the parameter w, whose gradient went by a reference"):
        capture(seeded(4, lambda: OfMyOwn(True)), F.mse_loss, rows=numbers())


NORMS = {
    "weight_norm": nn.utils.weight_norm,
    "spectral_norm": nn.utils.spectral_norm,
    "new weight_norm": parametrizations.weight_norm,
    "new spectral_norm": parametrizations.spectral_norm,
}


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")
@pytest.mark.parametrize("name", NORMS)
def test_parametrized_layers_train_as_in_pytorch(name):
    """Protects weights that are computed before every call."""
    module = seeded(4, lambda: nn.Sequential(NORMS[name](nn.Linear(4, 4)), nn.Tanh()))
    assert_trains_as_in_pytorch(module)


def test_a_parameter_that_the_module_does_not_hold_is_refused_by_name():
    """Protects a loss with parameters of its own: left alone, they would never move."""
    scale = nn.Parameter(torch.ones(()))
    module = nn.Linear(6, 3)
    with pytest.raises(Unsupported, match=r"the loss: scale .*, a parameter that the module does"):
        capture(module, lambda o, t: F.cross_entropy(o * scale, t))
    with pytest.raises(Unsupported, match=r"tensor 1 of the batch and would be a constant"):
        rows = batch()
        capture(module, lambda o, t: F.cross_entropy(o, rows[1][:]), rows=rows)
