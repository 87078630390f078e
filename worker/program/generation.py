"""Generation, one token a step: the tokens so far and a decoder's cache are the state.

A step is static: every place of the cache is there from the beginning, attention masks those that
are not written yet, and where a token goes is a comparison with the position. A prompt's tokens are
read one a step as well, so that one program does both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from worker.program.capture import capture_inference
from worker.program.program import Program


class Decoder(Protocol):
    """A module that writes one token after another into a cache that it is handed."""

    def empty_cache(self, rows: int, length: int) -> Sequence[Tensor]:
        """The cache of `rows` texts of up to `length` tokens, with nothing in it.

        Raises ValueError for a length that the module cannot do.
        """
        ...

    def step(
        self, tokens: Tensor, cache: Sequence[Tensor], position: Tensor
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """Logits of the next token, and the cache with this one in it.

        tokens: i64 [rows], at `position`, i64 [1]. The logits are f32 [rows, vocabulary]; the cache
        has the shapes of the one that came in, and is written nowhere else.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is chosen from the logits.

    temperature: 0 takes the greatest logit; else a token is drawn with the probabilities of
    softmax(logits / temperature). top_k: only from the tokens with the k greatest logits, and their
    equals. Draws come from the job's seed, the step and the token's number: Gumbel's maximum, over
    uniform numbers of 24 bits, so that what is rarer than 2^-24 is rarer still.
    """

    temperature: float = 0.0
    top_k: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise ValueError(f"temperature={self.temperature!r}; it must be: 0 or more, and finite")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k={self.top_k!r}; it must be: at least 1")

    def choose(self, logits: Tensor) -> Tensor:
        """i64 [rows], from f32 [rows, vocabulary]."""
        if self.temperature == 0:
            return logits.argmax(-1)
        scores = logits
        if self.top_k is not None and self.top_k < logits.shape[-1]:
            scores = logits.masked_fill(logits < kth_greatest(logits, self.top_k), float("-inf"))
        # argmax(s + g) draws from softmax(s) where each g is -log(-log(u)), u uniform (Gumbel)
        noise = -torch.log(-torch.log(torch.rand_like(scores)))
        return (scores / self.temperature + noise).argmax(-1)


def kth_greatest(x: Tensor, k: int) -> Tensor:
    """f32 [rows, 1]: the k-th greatest of each row, equals counted one by one."""
    places = torch.arange(x.shape[-1], device=x.device)
    for _ in range(k - 1):
        x = x.masked_fill(places == x.argmax(-1, keepdim=True), float("-inf"))
    return x.amax(-1, keepdim=True)


class Generation(nn.Module):
    """A decoder with its cache, its texts and its position as buffers: a module without inputs.

    prompts: tokens of each text, at least one. new_tokens: how many follow the longest prompt; a
    shorter one is followed by more. stop: a token after which a text has nothing but that token.
    Each call makes one step, and returns the tokens that it wrote, i64 [rows].
    """

    tokens: Tensor
    lengths: Tensor
    position: Tensor

    def __init__(
        self,
        decoder: nn.Module,
        prompts: Sequence[Sequence[int]],
        new_tokens: int,
        sampling: Sampling | None = None,
        stop: int | None = None,
    ) -> None:
        super().__init__()
        if not prompts or any(len(p) == 0 or min(p) < 0 for p in prompts):
            raise ValueError(f"prompts={prompts!r}; each must be: one or more tokens, 0 or greater")
        if new_tokens < 1:
            raise ValueError(f"{new_tokens=}; it must be: at least 1")
        rows, longest = len(prompts), max(len(p) for p in prompts)
        tokens = torch.zeros(rows, longest + new_tokens, dtype=torch.int64)
        for row, prompt in zip(tokens, prompts, strict=True):
            row[: len(prompt)] = torch.tensor(list(prompt))
        self.decoder, self.sampling, self.stop = decoder, sampling or Sampling(), stop
        self.steps = longest + new_tokens - 1  # the last token is written and not read
        self.register_buffer("tokens", tokens)
        self.register_buffer("lengths", torch.tensor([len(p) for p in prompts]))
        self.register_buffer("position", torch.zeros(1, dtype=torch.int64))
        cache = decoder.empty_cache(rows, self.steps)  # type: ignore[operator]
        self._cache = [f"cache_{i}" for i in range(len(cache))]
        for name, tensor in zip(self._cache, cache, strict=True):
            self.register_buffer(name, tensor)

    def forward(self) -> Tensor:
        places = torch.arange(self.tokens.shape[1], device=self.tokens.device)
        following = places == self.position + 1
        last = self._at(self.tokens, self.position)
        cache = [getattr(self, name) for name in self._cache]
        logits, written = self.decoder.step(last, cache, self.position)  # type: ignore[operator]
        chosen = self.sampling.choose(logits)
        generated = self.position + 1 >= self.lengths
        if self.stop is not None:
            over = (last == self.stop) & (self.position >= self.lengths)
            chosen = torch.where(over, self.stop, chosen)
        tokens = torch.where(following & generated[:, None], chosen[:, None], self.tokens)
        self.tokens = tokens
        for name, tensor in zip(self._cache, written, strict=True):
            setattr(self, name, tensor)
        self.position = self.position + 1
        return self._at(tokens, self.position)

    @staticmethod
    def _at(tokens: Tensor, position: Tensor) -> Tensor:
        """Every text's token at a position."""
        return tokens.gather(1, position.expand(tokens.shape[0], 1)).squeeze(1)


def capture_generation(
    decoder: nn.Module,
    prompts: Sequence[Sequence[int]],
    new_tokens: int,
    sampling: Sampling | None = None,
    stop: int | None = None,
) -> tuple[Program, Generation]:
    """One step of a generation as a program, and the module whose `inference_state` is S_0.

    The state is the decoder's parameters, then `tokens` i64 [rows, longest + new], `lengths` of the
    prompts, `position` and the cache, then the decoder's buffers. After `Generation.steps` steps
    the tokens are complete. Raises ValueError for arguments that make no generation, and
    Unsupported.
    """
    module = Generation(decoder, prompts, new_tokens, sampling, stop)
    return capture_inference(module, []), module
