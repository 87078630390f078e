"""Generation: a cache gives what reading the whole text again would, and draws are fair."""

from __future__ import annotations

from typing import cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.program.helpers import same
from tests.program.models import seeded
from worker.examples.generate import GPT, VOCABULARY, Block
from worker.program import (
    Generation,
    Program,
    Sampling,
    capture_generation,
    capture_inference,
    inference_state,
)
from worker.program.generation import kth_greatest

PROMPTS = [[5, 9, 2], [7], [1, 1, 4, 3]]
NEW = 8


class Recorded(GPT):
    """Keeps every position's logits in its cache, for the test to look at."""

    def empty_cache(self, rows: int, length: int) -> list[Tensor]:
        return [*super().empty_cache(rows, length), torch.zeros(rows, length, VOCABULARY)]

    def step(self, tokens, cache, position):
        logits, written = super().step(tokens, cache[:-1], position)
        here = (torch.arange(cache[-1].shape[1]) == position)[:, None]
        return logits, [*written, torch.where(here, logits[:, None], cache[-1])]


class Uncached(nn.Module):
    """The same decoder without a cache: all positions of a text at once.

    A product's operand shares one exponent along what is summed, so a position that must not know
    what follows it is given values of its own, which are zero from there on.
    """

    def __init__(self, decoder: GPT) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, tokens: Tensor) -> Tensor:
        d, length = self.decoder, tokens.shape[1]
        seen = torch.ones(length, length, dtype=torch.bool).tril()
        x = d.token(tokens) + d.place(torch.arange(length))
        for block in cast("list[Block]", d.blocks):
            q, k, v = block.heads_of(x)  # [rows, heads, length, width]
            own = torch.where(seen[:, :, None], v.unsqueeze(2), 0.0)
            keys = k.unsqueeze(2).expand(own.shape)
            mixed = F.scaled_dot_product_attention(
                q.unsqueeze(3), keys, own, attn_mask=seen[:, None, :]
            )
            x = block.after(x, mixed.squeeze(3))
        return d.head(d.norm(x))


def run(program: Program, module: nn.Module, steps: int, seed: int = 0) -> dict[str, Tensor]:
    """The named state after `steps`; the last step's bits are also those of its trace."""
    before = state = inference_state(module)
    for step in range(steps):
        before = state
        state, reports = program.run(state, [], seed=seed, step=step)
    traced = program.split(program.trace(before, [], seed=seed, step=steps - 1))
    assert same([*state, *reports], [*traced[0], *traced[1]])
    return dict(zip(program.state_names, state, strict=True))


def test_a_cache_gives_the_bits_of_reading_the_whole_text_again():
    """Protects generation: every position's logits with the cache are, bit for bit, those of the
    decoder that sees the whole text at once, and so are the greedy tokens; and they are plain
    PyTorch's to a thousandth."""
    decoder = seeded(3, lambda: Recorded(width=24, heads=3, layers=3, length=16))
    program, module = capture_generation(decoder, PROMPTS, NEW)
    held = run(program, module, module.steps)
    tokens, logits = held["tokens"], held["cache_6"]
    assert tokens.shape == (3, 4 + NEW) and int(held["position"]) == module.steps == 11
    read = tokens[:, :-1].contiguous()
    uncached = Uncached(decoder)
    whole = capture_inference(uncached, [read])
    _, (expected,) = whole.run(inference_state(uncached), [read])
    assert same([logits], [expected.view(logits.shape)])
    for row, prompt in zip(range(3), PROMPTS, strict=True):
        assert tokens[row, : len(prompt)].tolist() == prompt
        greedy = expected.view(logits.shape)[row, len(prompt) - 1 :].argmax(-1)
        assert tokens[row, len(prompt) :].tolist() == greedy.tolist()
    with torch.no_grad():
        plain = decoder(read)
    scale = float(plain.abs().max())
    torch.testing.assert_close(logits, plain, rtol=0, atol=1e-3 * scale)


def test_a_texts_tokens_do_not_depend_on_the_others():
    """Protects shared batches: each prompt alone is followed by the same tokens, from the same
    keys and values."""
    decoder = seeded(3, lambda: GPT(width=24, heads=3, layers=2, length=16))
    program, module = capture_generation(decoder, PROMPTS, NEW)
    together = run(program, module, module.steps)
    for row in (1, 2):
        prompt = PROMPTS[row]
        new = 4 + NEW - len(prompt)  # what follows a shorter prompt is longer
        alone, single = capture_generation(decoder, [prompt], new)
        held = run(alone, single, single.steps)
        for name in ("tokens", "cache_0", "cache_3"):
            assert same([held[name]], [together[name][row : row + 1]])


class Fixed(nn.Module):
    """Knows nothing: always the same logits."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def empty_cache(self, rows: int, length: int) -> list[Tensor]:
        return [torch.zeros(rows)]

    def step(self, tokens, cache, position):
        return self.logits.expand(tokens.shape[0], -1), list(cache)


LOGITS = [0.5, 2.0, -1.0, 1.0, 0.5, -20.0]


def drawn(sampling: Sampling, seed: int, rows: int = 2000) -> Tensor:
    """i64 [rows, 2]: two steps' draws."""
    program, module = capture_generation(Fixed(LOGITS), [[0]] * rows, 2, sampling)
    return run(program, module, module.steps, seed)["tokens"][:, 1:]


@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, None), (0.5, None), (2.0, 2), (1.0, 3)])
def test_draws_have_the_probabilities_of_the_softmax(temperature, top_k):
    """Protects sampling: 4000 draws' counts fit softmax(logits / temperature) among the k greatest
    (chi-squared, five sigma), and nothing else is ever drawn."""
    found = drawn(Sampling(temperature=temperature, top_k=top_k), seed=1)
    logits = torch.tensor(LOGITS)
    if top_k is not None:
        # the third greatest has an equal, which is kept
        logits = logits.masked_fill(logits < logits.topk(top_k).values[-1], float("-inf"))
    expected = (logits / temperature).softmax(0) * found.numel()
    counts = found.flatten().bincount(minlength=len(LOGITS))
    likely = expected > 1
    assert int(counts[~likely].sum()) <= 1
    freedom = int(likely.sum()) - 1
    distance = float(((counts - expected)[likely] ** 2 / expected[likely]).sum())
    assert distance < freedom + 5 * (2 * freedom) ** 0.5


def test_draws_are_of_the_seed_and_the_step():
    """Protects disputes: the same seed draws the same tokens again, another seed or step others."""
    sampling = Sampling(temperature=1.0)
    first, again, other = (drawn(sampling, seed, rows=60) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[:, 0], first[:, 1])


def test_the_kth_greatest_counts_equals_one_by_one():
    """Protects top-k: it is what `torch.topk` finds, with equals, infinities and signed zeros."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randint(-3, 4, (50, 9), generator=generator).float()
    x[x == 3] = float("-inf")
    for k in range(1, 10):
        assert torch.equal(kth_greatest(x, k), x.topk(k).values[:, -1:])


def test_nothing_follows_the_token_that_stops():
    """Protects texts that end: from the stop token on there is only that token, but a prompt may
    hold it."""
    decoder = Fixed([0.0, 9.0, 0.0])
    program, module = capture_generation(decoder, [[2, 1, 2], [1]], 3, stop=1)
    held = run(program, module, module.steps)
    assert held["tokens"].tolist() == [[2, 1, 2, 1, 1, 1], [1, 1, 1, 1, 1, 1]]
    noisy, lengths = Sampling(temperature=50.0), set()
    program, module = capture_generation(decoder, [[1, 0]] * 40, 12, noisy, stop=1)
    for text in run(program, module, module.steps)["tokens"][:, 2:].tolist():
        ended = text.index(1) if 1 in text else len(text)
        assert set(text[ended:]) <= {1}
        lengths.add(ended)
    assert len(lengths) > 2, "texts end at different places"


def test_in_plain_pytorch_the_module_makes_the_same_greedy_texts():
    """Protects the definition: the module that is captured runs in plain PyTorch as well."""
    decoder = seeded(3, lambda: GPT(width=24, heads=3, layers=2, length=16))
    program, module = capture_generation(decoder, PROMPTS, NEW)
    held = run(program, module, module.steps)
    plain = Generation(decoder, PROMPTS, NEW)
    with torch.no_grad():
        last = [plain() for _ in range(plain.steps)][-1]
    assert torch.equal(plain.tokens, held["tokens"])
    assert torch.equal(last, held["tokens"][:, -1])


REFUSED = [
    (lambda: Sampling(temperature=-1.0), r"temperature=-1\.0"),
    (lambda: Sampling(temperature=float("nan")), "temperature=nan"),
    (lambda: Sampling(top_k=0), "top_k=0"),
    (lambda: Generation(Fixed(LOGITS), [], 3), r"prompts=\[\]"),
    (lambda: Generation(Fixed(LOGITS), [[1], []], 3), r"prompts=\[\[1\], \[\]\]"),
    (lambda: Generation(Fixed(LOGITS), [[-1]], 3), r"prompts=\[\[-1\]\]"),
    (lambda: Generation(Fixed(LOGITS), [[1]], 0), "new_tokens=0"),
    (lambda: Generation(GPT(length=8), [[1]], 9), "length=9 tokens; this GPT reads 8"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=range(len(REFUSED)))
def test_what_makes_no_generation_is_refused(make, message):
    """Protects owners: the error names the value."""
    with pytest.raises(ValueError, match=message):
        make()
