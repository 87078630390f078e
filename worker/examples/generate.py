"""A small GPT that has read a module of the standard library, and writes on from prompts."""

from __future__ import annotations

import bisect
import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worker.jobs import GenerationJob, GenerationRecipe

VOCABULARY = 128  # ASCII


class Block(nn.Module):
    """A transformer block with causal attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.gelu = nn.GELU()

    def heads_of(self, x: Tensor) -> list[Tensor]:
        """Queries, keys and values, [rows, heads, length, width / heads] each."""
        rows, length, width = x.shape
        parts = self.qkv(self.norm1(x)).split(width, 2)
        return [t.view(rows, length, self.heads, -1).transpose(1, 2) for t in parts]

    def after(self, x: Tensor, mixed: Tensor) -> Tensor:
        """The block's output, given what attention has mixed."""
        x = x + self.out(mixed.transpose(1, 2).reshape(x.shape))
        return x + self.down(self.gelu(self.up(self.norm2(x))))

    def forward(self, x: Tensor) -> Tensor:
        """Whole texts at once, as in training."""
        q, k, v = self.heads_of(x)
        return self.after(x, F.scaled_dot_product_attention(q, k, v, is_causal=True))

    def step(
        self, x: Tensor, keys: Tensor, values: Tensor, position: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One token of each text, [rows, 1, width], and the cache with its key and value."""
        places = torch.arange(keys.shape[2], device=x.device)
        q, k, v = self.heads_of(x)
        here = (places == position)[:, None]
        keys, values = torch.where(here, k, keys), torch.where(here, v, values)
        seen = (places <= position)[None, :]
        mixed = F.scaled_dot_product_attention(q, keys, values, attn_mask=seen)
        return self.after(x, mixed), keys, values


class GPT(nn.Module):
    """A decoder of characters with tied embeddings."""

    def __init__(self, width: int = 48, heads: int = 4, layers: int = 2, length: int = 64) -> None:
        super().__init__()
        self.token, self.place = nn.Embedding(VOCABULARY, width), nn.Embedding(length, width)
        for embedding in (self.token, self.place):
            nn.init.normal_(embedding.weight, std=0.1)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, VOCABULARY, bias=False)
        self.head.weight = self.token.weight
        self.cached = (heads, width // heads)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits [rows, length, vocabulary] of whole texts i64 [rows, length]."""
        x = self.token(tokens) + self.place(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))

    def empty_cache(self, rows: int, length: int) -> list[Tensor]:
        """Keys and values of each block, [rows, heads, length, width / heads]."""
        if length > self.place.num_embeddings:
            raise ValueError(f"{length=} tokens; this GPT reads {self.place.num_embeddings}")
        heads, width = self.cached
        return [torch.zeros(rows, heads, length, width) for _ in range(2 * len(self.blocks))]

    def step(
        self, tokens: Tensor, cache: Sequence[Tensor], position: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Logits [rows, vocabulary] of the next token, given tokens i64 [rows] at `position`, and
        the cache with theirs."""
        x = (self.token(tokens) + self.place(position))[:, None, :]
        written: list[Tensor] = []
        for number, block in enumerate(self.blocks):
            keys, values = cache[2 * number : 2 * number + 2]
            x, *pair = cast(Block, block).step(x, keys, values, position)
            written += pair
        return self.head(self.norm(x))[:, 0], written


def encode(text: str) -> list[int]:
    return list(text.encode("ascii"))


def decode(tokens: Sequence[int]) -> str:
    return bytes(tokens).decode("ascii")


@contextmanager
def one_thread() -> Iterator[None]:
    """For tiny tensors one thread is faster than several, which wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@cache
def trained(steps: int = 400) -> GPT:
    """Trained for some seconds, in plain PyTorch, on the source of `bisect`."""
    read = torch.tensor(encode(inspect.getsource(bisect)))
    with torch.random.fork_rng(), one_thread():
        torch.manual_seed(0)
        model = GPT()
        optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
        for _ in range(steps):
            starts = torch.randint(0, len(read) - 65, (8,))
            rows = torch.stack([read[s : s + 65] for s in starts])
            logits = model(rows[:, :-1])
            loss = F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


def recipe(
    prompts: Sequence[str] = ("def insort_", "if x is ", "Return the index "),
) -> GenerationRecipe:
    """To go on from some beginnings. `generate.toml` names this."""
    return GenerationRecipe(decoder=trained(), prompts=[encode(p) for p in prompts], decode=decode)


def generate(temperature: float = 0.7, top_k: int | None = 8, seed: int = 2026) -> GenerationJob:
    """Forty characters more, as a job."""
    return GenerationJob(
        **vars(recipe()),
        new_tokens=40,
        segment_steps=16,
        temperature=temperature,
        top_k=top_k,
        seed=seed,
    )
