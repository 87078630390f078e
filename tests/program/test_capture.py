"""Capturing: ordinary PyTorch in, the same training out, and refusals that say what and where."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.program.helpers import same
from tests.program.models import Attention, seeded
from tests.program.trainings import SGD, batch, capture, losses, perceptron
from worker.examples.digits import digits
from worker.jobs import rows_of_step
from worker.program import (
    Kind,
    Unsupported,
    capture_inference,
    capture_training,
    inference_state,
    training_state,
)
from worker.program.builder import Builder
from worker.program.graph import Graph
from worker.program.lower import RULES, lower_graph


def groups(module: nn.Sequential) -> list[dict]:
    return [
        {"params": module[2].parameters(), "lr": 0.01, "momentum": 0.5, "weight_decay": 0.1},
        {"params": module[0].parameters(), "lr": 0.2, "nesterov": True, "momentum": 0.9},
    ]


OPTIMIZERS: dict[str, Callable[[nn.Sequential], torch.optim.Optimizer]] = {
    "plain": lambda m: SGD(m.parameters(), lr=0.1),
    "momentum": lambda m: SGD(m.parameters(), lr=0.05, momentum=0.9),
    "nesterov": lambda m: SGD(m.parameters(), lr=0.05, momentum=0.9, nesterov=True),
    "decay": lambda m: SGD(m.parameters(), lr=0.1, weight_decay=0.01),
    "maximize": lambda m: SGD(m.parameters(), lr=0.001, maximize=True),
    "groups": lambda m: SGD(groups(m), lr=0.3),
    "one layer": lambda m: SGD(m[2].parameters(), lr=0.1, momentum=0.9),
    "fused": lambda m: SGD(m.parameters(), lr=0.1, momentum=0.9, fused=True),
    "foreach": lambda m: SGD(m.parameters(), lr=0.1, momentum=0.9, foreach=True),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_setting_of_sgd_trains_as_in_pytorch(name):
    """Protects the update: decay, momentum, nesterov, groups with rates of their own, in another
    order than the module's, and frozen parameters do what the optimizer does, step after step."""
    module = perceptron()
    first = copy.deepcopy(module.state_dict())
    optimizer = OPTIMIZERS[name](module)
    data = seeded(7, lambda: [torch.randn(60, 6), torch.randint(0, 3, (60,))])
    steps = [[t[rows_of_step(1, 60, 8, s)] for t in data] for s in range(20)]
    ours, plain, state = losses(module, F.cross_entropy, optimizer, steps)
    assert ours == pytest.approx(plain, rel=2e-3)
    for key, tensor in module.state_dict().items():
        torch.testing.assert_close(state[key], tensor, rtol=1e-2, atol=2e-3)
        if name == "one layer" and key.startswith("0."):
            assert same([state[key]], [first[key]]), "what is not trained stays, bit for bit"
    slots = [k for k in state if k.startswith("optimizer.momentum_buffer.")]
    for slot in slots:
        parameter = dict(module.named_parameters())[slot.removeprefix("optimizer.momentum_buffer.")]
        expected = optimizer.state[parameter]["momentum_buffer"]
        torch.testing.assert_close(state[slot], expected, rtol=2e-2, atol=2e-3)


def test_two_hundred_steps_of_the_example_follow_plain_pytorch():
    """Protects accuracy where nothing was asked for: every loss of a real training, at a rate that
    amplifies small differences, is PyTorch's; with 14 bits some are off by 17 percent."""
    job = digits(steps=200)
    steps = [[t[rows_of_step(job.seed, job.rows, 32, s)] for t in job.data] for s in range(200)]
    ours, plain, _ = losses(job.module, job.loss_fn, job.optimizer, steps)
    assert plain[-1] < plain[0] / 10
    assert ours == pytest.approx(plain, rel=5e-4)


def test_attention_trains_as_in_pytorch():
    """Protects batched products, softmax, masks, embeddings, frozen parameters and buffers."""
    module = seeded(8, Attention)
    optimizer = SGD([p for p in module.parameters() if p.requires_grad], lr=0.1)
    tokens = seeded(9, lambda: torch.randint(0, 7, (30, 2, 4)))

    def loss_fn(y: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(y.flatten(0, 1), target.flatten())

    steps = [[t, t.roll(1, 1)] for t in tokens]
    ours, plain, state = losses(module, loss_fn, optimizer, steps)
    assert ours == pytest.approx(plain, rel=5e-3)
    assert int(state["seen"]) == int(module.seen) == 30, "what forward writes to a buffer is kept"


class Rebinds(nn.Module):
    """Keeps a running mean by binding its buffer anew."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 3)
        self.register_buffer("mean", torch.zeros(6))

    def forward(self, x: Tensor) -> Tensor:
        self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)
        return self.linear(x - self.mean)


def test_a_buffer_that_is_bound_anew_is_kept():
    """Protects running statistics that a module assigns instead of writing in place."""
    module = seeded(10, Rebinds)
    data = seeded(7, lambda: [torch.randn(10, 4, 6), torch.randint(0, 3, (10, 4))])
    steps = [list(rows) for rows in zip(*data, strict=True)]
    ours, plain, state = losses(module, F.cross_entropy, SGD(module.parameters(), lr=0.1), steps)
    assert ours == pytest.approx(plain, rel=2e-3)
    torch.testing.assert_close(state["mean"], module.mean)


class Unused(nn.Module):
    """A layer that the loss does not depend on, as a pooler that nobody asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(6, 3), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x)


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_what_the_loss_does_not_depend_on_stays_as_it_is(kind):
    """Protects models with layers to spare: like PyTorch, which finds no gradient there, the update
    leaves them alone, weight decay and moments included."""
    module = seeded(10, Unused)
    before = module.unused.weight.detach().clone()
    more = {"momentum": 0.9} if kind is torch.optim.SGD else {}
    optimizer = kind(module.parameters(), lr=0.05, weight_decay=0.1, **more)
    ours, plain, state = losses(module, F.cross_entropy, optimizer, [batch()] * 10)
    assert ours == pytest.approx(plain, rel=2e-3)
    assert same([state["unused.weight"]], [before]) and same([module.unused.weight], [before])
    slots = [t for name, t in state.items() if name.startswith("optimizer.") and "unused" in name]
    assert slots and not any(t.any() for t in slots)


def test_a_module_that_is_compiled_by_torch_is_captured_as_it_was_written():
    """Protects users of torch.compile: it gives the very program of the module within."""
    module = perceptron()
    roots = {
        capture_training(m, F.cross_entropy, SGD(m.parameters(), 0.1), batch()).root
        for m in (module, torch.compile(module))
    }
    assert len(roots) == 1


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(6, 6)
        self.b = nn.Linear(6, 6)
        self.b.weight = self.a.weight
        self.out = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.b(torch.relu(self.a(x))))


def test_an_optimizer_in_another_order_gets_its_own_gradients():
    """Protects against swapped gradients: layers of one shape would take each other's."""
    module = seeded(12, lambda: nn.Sequential(*(nn.Linear(6, 6) for _ in range(3))))
    optimizer = SGD(reversed(list(module.parameters())), lr=0.1, momentum=0.9)
    ours, plain, _ = losses(module, F.cross_entropy, optimizer, [batch()] * 20)
    assert ours == pytest.approx(plain, rel=2e-3)


def test_tied_weights_are_one_tensor_of_the_state():
    """Protects shared parameters: one tensor, and the sum of both gradients."""
    module = seeded(11, Tied)
    optimizer = SGD(module.parameters(), lr=0.1)
    ours, plain, state = losses(module, F.cross_entropy, optimizer, [batch()] * 10)
    assert ours == pytest.approx(plain, rel=2e-3)
    assert "a.weight" in state and "b.weight" not in state


def test_capture_leaves_everything_as_it_was():
    """Protects the user's objects: parameters, gradients, buffers, optimizer, batch, grad mode,
    training mode and random state are untouched, and so is the first state."""
    module = seeded(8, Attention)
    trained = [p for p in module.parameters() if p.requires_grad]
    optimizer = SGD(trained, lr=0.1, momentum=0.9)
    trained[0].grad = torch.ones_like(trained[0])
    tokens = [torch.randint(0, 7, (2, 4)), torch.randint(0, 7, (2, 4))]
    everything = [*module.parameters(), *module.buffers(), *tokens]
    copies = [t.detach().clone() for t in everything]
    identities = [id(t) for t in everything]
    settings = copy.deepcopy(optimizer.param_groups[0] | {"params": None})
    seed = torch.random.get_rng_state()
    capture_training(
        module, lambda y, t: F.cross_entropy(y.flatten(0, 1), t.flatten()), optimizer, tokens
    )
    after = [*module.parameters(), *module.buffers(), *tokens]
    assert [id(t) for t in after] == identities and same(after, copies)
    assert torch.equal(trained[0].grad, torch.ones_like(trained[0]))
    assert all(p.grad is None for p in trained[1:])
    assert not optimizer.state
    assert optimizer.param_groups[0] | {"params": None} == settings
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == [id(p) for p in trained]
    assert torch.equal(torch.random.get_rng_state(), seed)
    assert module.training and torch.is_grad_enabled()
    state = training_state(module, optimizer)
    assert all(a.data_ptr() != b.data_ptr() for a, b in zip(state, after, strict=False))


def test_capturing_twice_gives_one_program():
    """Protects a task's name: the same job has the same root, also from a copy of the module and
    within torch.no_grad()."""
    roots = set()
    for _ in range(2):
        module = perceptron()
        program = capture_training(module, F.cross_entropy, SGD(module.parameters(), 0.1), batch())
        roots.add(program.root)
    with torch.no_grad():
        trained = SGD(module.parameters(), 0.1)
        roots.add(capture_training(module, F.cross_entropy, trained, batch()).root)
    assert len(roots) == 1


def test_other_values_of_the_batch_give_the_same_program():
    """Protects jobs: the example shows shapes and dtypes, its values are in no record."""
    module = perceptron()
    optimizer = SGD(module.parameters(), 0.1)
    x, y = batch()
    first = capture_training(module, F.cross_entropy, optimizer, [x, y])
    other = capture_training(module, F.cross_entropy, optimizer, [x * 3, (y + 1) % 3])
    assert first.root == other.root


def test_nodes_remember_the_users_lines():
    """Protects debugging: an operator's node names the operator and the line that asked for it."""
    program = capture_training(
        module := seeded(10, Rebinds), F.cross_entropy, SGD(module.parameters(), 0.1), batch()
    )
    assert len(program.origins) == len(program.nodes)
    assert any(__file__ in o and "self.mean = 0.9" in o for o in program.origins)
    assert program.origin(10**6) == ""


# --- refusals ---


class Calls(nn.Module):
    """A layer, and then something that programs may not know."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 3)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.linear(x))


OPERATORS = [
    (lambda y: torch.special.erfcx(y), "aten.special_erfcx.default"),
    (lambda y: torch.linalg.qr(y)[0], "aten.linalg_qr.default"),
    (lambda y: y * y[y > 0].sum(), "aten.nonzero.default: a result whose shape only a run has"),
    (lambda y: torch.fft.fft(y).abs(), "aten._fft"),
    (lambda y: y.t().as_strided((4, 3), (1, 4)), "aten.as_strided"),
]


@pytest.mark.parametrize(("function", "operator"), OPERATORS)
def test_an_unknown_operator_is_refused_by_name_with_the_users_line(function, operator):
    """Protects users: what cannot be expressed is named when the job is captured, and where."""
    with pytest.raises(Unsupported) as caught:
        capture(Calls(function))
    assert operator in str(caught.value)
    assert f"{__file__}:" in str(caught.value)


def test_all_unknown_operators_are_named_at_once():
    """Protects users from finding them one by one."""
    with pytest.raises(Unsupported) as caught:
        capture(Calls(lambda y: torch.linalg.qr(torch.special.erfcx(y))[0]))
    assert "aten.linalg_qr.default" in str(caught.value)
    assert "aten.special_erfcx.default" in str(caught.value)


def test_a_record_beyond_the_limits_is_refused_with_the_users_line():
    """Protects users from a bare record: the limit, the operator and the line are named."""
    with pytest.raises(Unsupported) as caught:
        capture(Calls(lambda y: y + y.detach().sum().expand([1] * 9).add(1).sum()))
    message = str(caught.value)
    assert "aten.add" in message and "rank 9; at most 8" in message
    assert f"{__file__}:" in message


def of_my_own(y: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(torch.special.erfcx(y), target)


def test_an_unknown_operator_of_the_loss_is_refused_with_the_users_line():
    """Protects users: a loss function is no module, and its lines are named as well."""
    with pytest.raises(Unsupported, match=r"torch\.special\.erfcx\(y\), target") as caught:
        capture(perceptron(), of_my_own)
    assert f"{__file__}:" in str(caught.value)


def test_an_unknown_operator_of_the_gradient_is_refused_with_the_users_line():
    """Protects users: the gradient's operators are named by the line of what they are of."""
    with pytest.raises(Unsupported, match=r"polygamma of order 2.*; asked for at .*test_capture"):
        capture(Calls(lambda y: torch.polygamma(1, y.abs() + 1)))


LOOKS = {
    "item": lambda y: y * y.max().item(),
    "if": lambda y: y if y.sum() > 0 else -y,
    "int": lambda y: y * int(y[0, 0]),
    "numpy": lambda y: y * float(y.detach().numpy().max()),
    "asarray": lambda y: y * float(np.asarray(y.detach())[0, 0]),
    "tolist": lambda y: y * y.tolist()[0][0],
    "equal": lambda y: y if torch.equal(y, y.abs()) else -y,
    "allclose": lambda y: y if torch.allclose(y, y.abs()) else -y,
    "chance": lambda y: y * torch.rand(2).tolist()[0],
    "a coin": lambda y: y if torch.rand([]) < 0.5 else -y,
}


@pytest.mark.parametrize("function", LOOKS.values(), ids=LOOKS)
def test_python_that_looks_at_a_value_is_refused_with_the_users_line(function):
    """Protects users: a program has no value to look at while it is captured, and the line that
    asked for one is named, with what to do."""
    with pytest.raises(Unsupported, match=r"use torch\.where; asked for at") as caught:
        capture(Calls(function))
    assert f"{__file__}:" in str(caught.value)


def test_wrapped_modules_are_refused_with_what_to_give_instead():
    module = perceptron()
    wrapped = nn.DataParallel(module)
    with pytest.raises(Unsupported, match=r"DataParallel: give the one within"):
        capture_inference(wrapped, batch()[:1])
    with pytest.raises(Unsupported, match=r"DataParallel: give the one within"):
        capture(wrapped)
    with pytest.raises(Unsupported, match=r"hides its Python: give the module that"):
        capture(torch.jit.trace(module, batch()[0]))


def test_python_may_look_at_what_every_run_has():
    """Protects modules that keep sizes in tensors: constants are known when they are captured."""
    sizes = torch.tensor([1, 2, 3])
    capture(Calls(lambda y: y * sizes.tolist()[2] + torch.arange(4).numpy()[1]))


@pytest.mark.parametrize(("probability", "expected"), [(0.0, 2.0), (1.0, 3.0)])
def test_chance_that_decides_nothing_is_no_chance(probability, expected):
    """Protects users of `layerdrop`, which models have at 0: the branch is always the same one."""
    program = capture_inference(
        Calls(lambda y: y * 3 if torch.rand([]) < probability else y * 2), batch()[:1]
    )
    plain = capture_inference(Calls(lambda y: y * expected), batch()[:1])
    assert program.root == plain.root


@pytest.mark.parametrize("draw", [random.random, np.random.rand])
def test_chance_that_is_not_torchs_is_refused(draw):
    """Protects from a number that would be drawn once, when the job is captured, for all steps."""
    with pytest.raises(Unsupported, match=r"would be the same in every step: draw with torch"):
        capture(Calls(lambda y: y * float(draw())))


def test_without_a_line_of_the_users_the_layer_or_the_loss_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Protects users of nn.Sequential, which calls its layers within PyTorch."""
    pooled = [nn.Linear(6, 12), nn.Unflatten(1, (1, 3, 4)), nn.FractionalMaxPool2d(2, (2, 2))]
    with pytest.raises(Unsupported, match=r"max_pool2d\S+  layer 2, FractionalMaxPool2d"):
        capture(nn.Sequential(*pooled, nn.Flatten()))
    norm = nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3, momentum=None))
    with pytest.raises(Unsupported, match=r"looks at .*; asked for at layer 1, BatchNorm1d\(3"):
        capture(norm)
    monkeypatch.delitem(RULES, torch.ops.aten.abs.default)  # as if programs could not express it
    optimizer = torch.optim.SGD((module := perceptron()).parameters(), lr=0.1)
    with pytest.raises(Unsupported, match=r"abs\S+  the loss, l1_loss"):
        capture_training(module, F.l1_loss, optimizer, (batch()[0], torch.zeros(4, 3)))


def test_a_constant_tensor_is_refused_with_what_to_do():
    """Protects users from a tensor that no state would hold."""
    held = torch.randn(300)
    with pytest.raises(Unsupported, match="register it as a buffer"):
        capture(Calls(lambda y: y * held.sum()))


def test_a_short_constant_tensor_is_part_of_the_program():
    """Protects lists that a module indexes or scales with: their numbers are in the records."""
    weights, x = torch.tensor([0.5, -2.0, 1.0]), batch()[0]
    module = Calls(lambda y: (y * weights)[:, [2, 0, 0]])
    optimizer = SGD(module.parameters(), 0.1)
    rows = [batch()[0], torch.zeros(4, dtype=torch.int64)]
    ours, plain, _ = losses(module, F.cross_entropy, optimizer, [rows] * 5)
    assert ours == pytest.approx(plain, rel=2e-3)
    other = Calls(lambda y: (y * (weights + 1))[:, [2, 0, 0]])
    other.load_state_dict(module.state_dict())
    roots = {
        capture_training(m, F.cross_entropy, SGD(m.parameters(), 0.1), [x, rows[1]]).root
        for m in (module, other)
    }
    assert len(roots) == 2


def test_an_optimizer_of_something_else_is_refused() -> None:
    """Protects users: one of another module, or one whose rates a scheduler sets outside of the
    step, is refused with what to do."""
    m = perceptron()
    with pytest.raises(ValueError, match="not a parameter of the module"):
        capture(m, optimizer=SGD(perceptron().parameters(), 0.1))
    scheduled = SGD(m.parameters(), 0.1)
    torch.optim.lr_scheduler.LambdaLR(scheduled, lambda k: min(1.0, k / 10))
    with pytest.raises(Unsupported, match=r"list each step's rate .* as schedule="):
        capture(m, optimizer=scheduled)
    capture_training(m, F.cross_entropy, scheduled, batch(), schedule=[0.0, 0.01, 0.02])


class Typed(nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 3)
        self.register_buffer("odd", torch.zeros(2, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


def test_dtypes_that_programs_do_not_know_are_refused_by_name():
    """Protects users from a silent change of precision: parameter, buffer and batch are named."""
    with pytest.raises(Unsupported, match=r"dtype torch.float64 of 0.weight: use float32"):
        capture(perceptron().double())
    with pytest.raises(Unsupported, match=r"dtype torch.float16 of odd"):
        capture(Typed(torch.float16))
    with pytest.raises(Unsupported, match=r"dtype torch.float64 of the batch's tensor 0"):
        capture(perceptron(), rows=[batch()[0].double(), batch()[1]])
    with pytest.raises(Unsupported, match=r"dtype torch.float64 .*asked for at") as caught:
        capture(Calls(lambda y: y.double().float()))
    assert f"{__file__}:" in str(caught.value)


def test_batches_and_losses_that_make_no_step_are_refused():
    """Protects users: a step needs inputs and a target with the same rows, and one number."""
    x, y = batch()
    with pytest.raises(ValueError, match=r"the loss has shape \(4,\); it must be one number"):
        capture(perceptron(), lambda p, t: F.cross_entropy(p, t, reduction="none"))
    with pytest.raises(ValueError, match="example batch has 1 tensors"):
        capture(perceptron(), rows=[x])
    with pytest.raises(ValueError, match="first axis of each must count the same rows"):
        capture(perceptron(), rows=[x, y[:3]])
    with pytest.raises(ValueError, match="first axis of each must count the same rows"):
        capture(perceptron(), rows=[x, torch.tensor(1)])


# --- precision ---


def test_products_of_fewer_bits_train_nearly_as_well():
    """Protects the fast mode: eight bits are in the records, the loss stays within two percent, and
    what is no number of bits is refused."""
    module = perceptron()
    roots, ends = set(), {}
    data = seeded(7, lambda: [torch.randn(60, 6), torch.randint(0, 3, (60,))])
    for bits in (14, 8):
        optimizer = SGD(module.parameters(), lr=0.1)
        program = capture_training(module, F.cross_entropy, optimizer, data, bits=bits)
        roots.add(program.root)
        dots = {n.attributes[4] for n in program.nodes if n.kind == Kind.DOT}
        assert dots == {bits}
        state = training_state(module, optimizer)
        for _ in range(30):
            traced = program.split(program.trace(state, data))
            after, reports = program.run(state, data)
            assert same([*after, *reports], [*traced[0], *traced[1]])
            state = after
        ends[bits] = reports[0].item()
    assert len(roots) == 2 and ends[8] != ends[14]
    assert ends[8] == pytest.approx(ends[14], rel=2e-2)
    x = batch()[0]
    fast, fine = (capture_inference(module, [x], bits=bits) for bits in (8, 14))
    found = [p.run(inference_state(module), [x])[1][0] for p in (fast, fine)]
    with torch.no_grad():
        expected = module(x)
    errors = [float((f - expected).abs().max() / expected.abs().max()) for f in found]
    assert errors[1] < 1e-3 < errors[0] < 3e-2
    for bits in (1, 21):
        with pytest.raises(ValueError, match=f"bits={bits}; products take 2 to 20"):
            capture_inference(module, [x], bits=bits)


@pytest.mark.parametrize(
    "refused",
    [
        lambda y: torch.nn.functional.one_hot(y.argmax(1)).sum() + y,
        lambda y: torch.nn.functional.embedding_bag(y.argmax(1), y, torch.tensor([0])).sum() + y,
        lambda y: torch.nn.utils.rnn.pack_padded_sequence(y, torch.tensor([3, 2, 1, 1]), True)[0],
    ],
    ids=["one_hot", "embedding_bag", "pack_padded_sequence"],
)
def test_a_function_that_hides_what_it_does_is_refused_with_the_users_line(refused):
    """Protects users from looking for it: these are refused before there is a graph to look in."""
    with pytest.raises(Unsupported) as caught:
        capture(Calls(refused))
    assert f"asked for at {__file__}:" in str(caught.value)
    assert "lambda y: torch.nn." in str(caught.value)


def test_an_operator_without_a_line_is_refused_with_its_neighbours():
    """Protects users from a bare name: PyTorch makes operators on its own, which have no line."""

    def node(target, *args, line=None):
        made = graph.call_function(target, args)
        if line is not None:
            made.meta["place"] = f"model.py:{line}: y = f(x)"
        return made

    for lines, said in (((3, None, 5), "model.py:3"), ((None, None, 5), "model.py:5")):
        graph = Graph()
        x = graph.placeholder("x")
        first = node(torch.ops.aten.neg.default, x, line=lines[0])
        bare = node(torch.ops.aten.erfinv.default, first, line=lines[1])
        graph.output([node(torch.ops.aten.abs.default, bare, line=lines[2])])
        with pytest.raises(Unsupported, match=rf"aten.erfinv.default  {said}: y = f\(x\)"):
            lower_graph(graph, Builder(), [])
