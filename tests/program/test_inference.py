"""Inference: a module alone becomes a program, with its caches as the state."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from tests.program.helpers import assert_as_in_pytorch, repeated, same
from tests.program.models import seeded
from tests.program.test_families import Recurrent, gpt, llama, residual
from worker.program import Unsupported, capture_inference, inference_state


def mixed() -> nn.Module:
    """What depends on a whole batch while training, and must not here."""
    module = nn.Sequential(
        nn.Linear(6, 12), nn.BatchNorm1d(12), nn.GELU(), nn.Dropout(0.5), nn.Linear(12, 3)
    )
    with torch.no_grad():
        for name, buffer in module.named_buffers():
            if "running" in name:
                buffer.uniform_(0.5, 1.5)
    return module.eval()


MODELS = {
    "perceptron": (mixed, lambda rows: torch.randn(rows, 6)),
    "residual": (lambda: residual().eval(), lambda rows: torch.randn(rows, 3, 8, 8)),
    "gpt": (lambda: gpt("tanh"), lambda rows: torch.randint(0, 50, (rows, 8))),
    "llama": (llama, lambda rows: torch.randint(0, 50, (rows, 8))),
    "recurrent": (Recurrent, lambda rows: torch.randn(rows, 4, 5)),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_module_answers_as_in_pytorch_and_to_the_same_bits(name):
    """Protects users: the answer is fp32's within a thousandth, and the state stays as it was."""
    make, rows = MODELS[name]
    module, x = seeded(1, make), seeded(2, lambda: rows(5))
    program, state = capture_inference(module, [x]), inference_state(module)
    (found,) = repeated(program, state, [x])
    assert_as_in_pytorch(found, module, x)
    assert same(program.run(state, [x])[0], state)


@pytest.mark.parametrize("name", MODELS)
def test_a_rows_answer_does_not_depend_on_its_neighbours(name):
    """Protects shared batches: each row's bits are those it has among copies of itself, and those
    of a program for one row."""
    make, rows = MODELS[name]
    module, x = seeded(1, make), seeded(2, lambda: rows(4))
    if x.is_floating_point():
        x[2] *= 1e4  # a neighbour that would take all of a shared exponent
    program, state = capture_inference(module, [x]), inference_state(module)

    def by_row(batch: Tensor) -> Tensor:
        return program.run(state, [batch])[1][0].view(4, -1)

    together = by_row(x)
    for row in range(4):
        alone = x[row : row + 1].expand(4, *x.shape[1:]).contiguous()
        assert same([by_row(alone)], [together[row].expand(4, -1)])
    assert same([by_row(x.roll(1, 0)).roll(-1, 0)], [together])
    single = capture_inference(module, [x[:1]])
    for row in range(4):
        (found,) = single.run(state, [x[row : row + 1]])[1]
        assert same([found.view(-1)], [together[row]])


class Writer(nn.Module):
    """Writes one token after another: a cache of keys and values, and the token to go on from."""

    def __init__(self, words: int = 23, width: int = 12, length: int = 16) -> None:
        super().__init__()
        self.embedding, self.places = nn.Embedding(words, width), nn.Embedding(length, width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, words)
        self.register_buffer("keys", torch.zeros(length, width))
        self.register_buffer("values", torch.zeros(length, width))
        self.register_buffer("token", torch.tensor([3]))
        self.register_buffer("place", torch.zeros(1, dtype=torch.int64))

    def forward(self) -> tuple[Tensor, Tensor]:
        x = self.embedding(self.token) + self.places(self.place)
        q, k, v = self.qkv(x).chunk(3, -1)
        here = (torch.arange(self.keys.shape[0]) == self.place)[:, None]
        self.keys.copy_(torch.where(here, k, self.keys))
        self.values = torch.where(here, v, self.values)
        seen = torch.arange(self.keys.shape[0]) <= self.place
        scores = (q @ self.keys.T / self.keys.shape[1] ** 0.5).masked_fill(~seen, float("-inf"))
        logits = self.out(x + scores.softmax(-1) @ self.values)
        self.token.copy_(logits.argmax(-1))
        self.place += 1
        return self.token.clone(), logits


def test_a_module_that_writes_its_cache_goes_on_as_in_pytorch():
    """Protects generation: the cache is the state, and ten greedy tokens are PyTorch's."""
    module = seeded(7, Writer)
    program, state = capture_inference(module, []), inference_state(module)
    assert int(module.place) == 0, "capturing writes nothing"
    plain = copy.deepcopy(module)
    ours, theirs = [], []
    for _ in range(10):
        token, logits = repeated(program, state, [])
        after, _ = program.run(state, [])
        with torch.no_grad():
            expected, right = plain()
        torch.testing.assert_close(logits, right, rtol=1e-3, atol=2e-3)
        ours.append(int(token))
        theirs.append(int(expected))
        assert not same(after, state)
        state = after
    assert ours == theirs and len(set(ours)) > 2
    held = dict(zip(program.state_names, state, strict=True))
    assert int(held["place"]) == 10 and int(held["token"]) == ours[-1]
    for name in ("keys", "values"):
        torch.testing.assert_close(held[name], getattr(plain, name), rtol=1e-3, atol=2e-3)
        assert not held[name][10:].any()
    assert same([held["out.weight"]], [module.out.weight.detach()])


class Several(nn.Module):
    def __init__(self, kind: type) -> None:
        super().__init__()
        self.linear, self.kind = nn.Linear(4, 3), kind

    def forward(self, x: Tensor, scale: Tensor) -> tuple[Tensor, ...] | list[Tensor]:
        y = self.linear(x) * scale
        return self.kind([y, y.argmax(-1), y > 0, x])


@pytest.mark.parametrize("kind", [tuple, list])
def test_several_inputs_and_outputs_come_in_order(kind):
    """Protects reports: every tensor that the module returns, of whatever dtype, in its order."""
    module = seeded(3, lambda: Several(kind))
    x, scale = seeded(4, lambda: (torch.randn(5, 4), torch.randn(5, 1)))
    program = capture_inference(module, [x, scale])
    assert program.report_count == 4
    found = repeated(program, inference_state(module), [x, scale])
    with torch.no_grad():
        expected = module(x, scale)
    torch.testing.assert_close(found[0], expected[0], rtol=1e-3, atol=1e-3)
    assert same(found[1:], expected[1:])


def test_modes_and_gradients_do_not_matter():
    """Protects roots: a module gives one program, with or without gradients around it, and its
    parameters, buffers and mode stay what they were."""
    module, x = seeded(1, mixed), torch.randn(2, 6)
    before = inference_state(module)
    roots = {capture_inference(module, [x]).root}
    with torch.no_grad():
        roots.add(capture_inference(module, [x * 2]).root)
    with torch.inference_mode():
        roots.add(capture_inference(module, [x]).root)
    assert len(roots) == 1 and not module.training
    assert same(inference_state(module), before)
    assert all(p.requires_grad for p in module.parameters())


def test_a_module_in_training_mode_keeps_its_mode():
    """Protects users who forget `eval`: batch norm's statistics are then of the batch, and are the
    next state, as in PyTorch."""
    module = seeded(1, mixed).train()
    module[3].p = 0.0
    x = torch.randn(8, 6)
    program, state = capture_inference(module, [x]), inference_state(module)
    after, (found,) = program.run(state, [x])
    with torch.no_grad():
        expected = module(x)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=2e-3)
    held = dict(zip(program.state_names, after, strict=True))
    torch.testing.assert_close(held["1.running_var"], module[1].running_var, rtol=1e-3, atol=1e-4)
    assert int(held["1.num_batches_tracked"]) == 1


class Put(nn.Module):
    """Writes to a place that only the run knows, by an index."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("cache", torch.zeros(4, 3))
        self.register_buffer("place", torch.zeros(1, dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        self.cache[self.place] = x[:1]
        self.place += 1
        return self.cache * 1.0


def test_a_place_that_only_the_run_knows_is_written():
    """Protects caches that are written by index: each row goes where PyTorch puts it."""
    module, rows = Put(), torch.randn(3, 1, 3)
    program, state = capture_inference(module, [rows[0]]), inference_state(module)
    for x in rows:
        state, (found,) = program.run(state, [x])
        assert same([found], [module(x)])
    assert same(state, [module.cache, module.place])


class Chosen(nn.Module):
    """Keeps the elements that are positive: how many, only a run knows."""

    def forward(self, x: Tensor) -> Tensor:
        return x[x > 0]


def test_a_module_that_holds_nothing_is_refused_with_what_to_do():
    """Protects users of a function in a module: a chain's state cannot be of no tensors."""
    with pytest.raises(Unsupported, match=r"without parameters and buffers: .* register_buffer"):
        capture_inference(nn.Tanh(), [torch.randn(4, 3)])


def test_what_cannot_be_expressed_is_refused_with_the_line():
    """Protects users: inference names operators, dtypes and batches as training does."""
    with pytest.raises(
        Unsupported, match=r"x\[mask\]: how many there are only a run knows"
    ) as caught:
        capture_inference(nn.Sequential(nn.Linear(3, 3), Chosen()), [torch.randn(1, 3)])
    assert f"{__file__}:" in str(caught.value)
    with pytest.raises(Unsupported, match=r"dtype torch.float64 of weight"):
        capture_inference(nn.Linear(3, 3).double(), [torch.randn(1, 3)])
    with pytest.raises(ValueError, match="first axis of each must count the same rows"):
        capture_inference(nn.Bilinear(3, 3, 2), [torch.randn(2, 3), torch.randn(3, 3)])
