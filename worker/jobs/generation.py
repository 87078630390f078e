"""Generation as a job: each token a step, and the texts are a tensor of its last state.

The market asks every job for a data set. A generation reads nothing but its state, in which the
prompts stand; as its data set it commits to the prompts once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import ClassVar

import torch
from torch import Tensor, nn

from worker.chain.types import Job
from worker.jobs.indices import OutOfRange, check_states
from worker.jobs.rules import (
    FieldError,
    on_chain,
    require,
    require_bits,
    require_function,
    require_module,
    require_segments,
)
from worker.program import (
    Generation,
    Program,
    Sampling,
    capture_inference,
    fingerprinted,
    inference_state,
)
from worker.program.wellformed import DOT_BITS


@dataclass(frozen=True, kw_only=True)
class GenerationRecipe:
    """What to write on from, and with which decoder: what the entry point of a job file returns.

    decoder: a module with `step` and `empty_cache`, see `worker.program.Decoder`; in the mode that
    it is to run in. prompts: tokens of each text, at least one. stop: a token that ends a text.
    decode: text from tokens, for the result.

    Raises FieldError, which names the field, the value and the rule.
    """

    decoder: nn.Module
    prompts: Sequence[Sequence[int]]
    stop: int | None = None
    decode: Callable[[Sequence[int]], str] | None = None

    def __post_init__(self) -> None:
        has = all(callable(getattr(self.decoder, name, None)) for name in ("step", "empty_cache"))
        require(
            isinstance(self.decoder, nn.Module) and has,
            "decoder",
            self.decoder,
            "a torch.nn.Module with step(tokens, cache, position) and empty_cache(rows, length)",
        )
        require_module("decoder", self.decoder)
        rule = "lists of one or more tokens, each 0 or greater"
        listed = isinstance(self.prompts, (list, tuple)) and len(self.prompts) > 0
        require(listed, "prompts", self.prompts, rule)
        for number, prompt in enumerate(self.prompts):
            sound = isinstance(prompt, (list, tuple)) and len(prompt) > 0
            sound = sound and all(type(token) is int and token >= 0 for token in prompt)
            require(sound, f"prompts[{number}]", prompt, rule)
        sound = self.stop is None or (type(self.stop) is int and self.stop >= 0)
        require(sound, "stop", self.stop, "a token, 0 or greater")
        require_function("decode", self.decode, "a function of a list of tokens")


@dataclass(frozen=True, kw_only=True)
class GenerationJob(GenerationRecipe):
    """What to write on from, how, and how long. Errors name the field, the value and the rule.

    new_tokens: how many follow the longest prompt. segment_steps: steps between two checkpoints
    that the chain holds; a step is a token, those of the longest prompt included. temperature,
    top_k: see `worker.program.Sampling`; greedy where no temperature is given. seed: of the draws.
    bits: of the integers that are multiplied.
    """

    reports_losses: ClassVar[bool] = False

    new_tokens: int
    segment_steps: int
    temperature: float = 0.0
    top_k: int | None = None
    seed: int = 0
    bits: int = DOT_BITS

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.new_tokens > 0, "new_tokens", self.new_tokens, "at least 1")
        warm = isfinite(self.temperature) and self.temperature >= 0
        require(warm, "temperature", self.temperature, "0 or more, and finite")
        require(self.top_k is None or self.top_k > 0, "top_k", self.top_k, "at least 1")
        require_bits(self.bits)
        try:
            require_segments(self.steps, self.segment_steps, self.seed)
        except FieldError:
            raise
        except ValueError as error:  # the decoder's own, about the length
            raise FieldError("new_tokens", self.new_tokens, f"what fits: {error}") from error

    @cached_property
    def module(self) -> Generation:
        sampling = Sampling(temperature=self.temperature, top_k=self.top_k)
        return Generation(self.decoder, self.prompts, self.new_tokens, sampling, self.stop)

    @property
    def tensors(self) -> Sequence[Tensor]:
        """The prompts, i64 [rows, longest]; shorter ones are filled up with zeros."""
        return [self.module.tokens[:, : max(len(p) for p in self.prompts)].contiguous()]

    @property
    def rows(self) -> int:
        return len(self.prompts)

    @property
    def steps(self) -> int:
        """One for each token but the last, those of the longest prompt included."""
        return self.module.steps

    def capture(self) -> Program:
        """The next token of every text as a program."""
        return fingerprinted(capture_inference(self.module, [], bits=self.bits))

    def initial_state(self) -> list[Tensor]:
        return inference_state(self.module)

    def job(self, program: Program) -> Job:
        """What goes on chain. Raises JobMismatch where the program is not this job's."""
        return on_chain(self, program)

    def check_indices(self, program: Program) -> None:
        """Raises OutOfRange where a prompt's token or a place in the text leads an index out of its
        bounds, at any step."""
        first, at = self.initial_state(), program.state_names.index("position")
        states = (
            [*first[:at], torch.full_like(first[at], place), *first[at + 1 :]]
            for place in range(self.steps)
        )
        look = check_states(program, states)
        for place in range(self.steps):
            try:
                next(look)
            except OutOfRange as error:
                raise OutOfRange(f"{self._token(place, error.value)}: {error}") from error

    def _token(self, place: int, token: int | None) -> str:
        """What an error calls a token: by its prompt, where a prompt has it there."""
        for number, prompt in enumerate(self.prompts):
            if list(prompt[place : place + 1]) == [token]:
                return f"prompts[{number}][{place}]"
        return f"at token {place} of a text"

    def report_names(self, program: Program) -> list[str]:
        """What an error calls the reports of a step."""
        return ["the tokens"]

    def tokens(self, state: Sequence[Tensor], program: Program) -> list[list[int]]:
        """Every text's tokens in a state, prompt included, without what follows `stop`.

        Of a state in the middle, as many as are written.
        """
        named = dict(zip(program.state_names, state, strict=True))
        written = int(named["position"].item()) + 1
        texts = named["tokens"].view(self.rows, -1)[:, :written].tolist()
        return [self._ended(t, len(p)) for t, p in zip(texts, self.prompts, strict=True)]

    def _ended(self, tokens: list[int], prompt: int) -> list[int]:
        for place, token in enumerate(tokens[prompt:], start=prompt):
            if token == self.stop:
                return tokens[: place + 1]
        return tokens

    def texts(self, state: Sequence[Tensor], program: Program) -> list[str]:
        """The same as text; as numbers where the job has no `decode`."""
        decode = self.decode or (lambda tokens: " ".join(map(str, tokens)))
        return [decode(t) for t in self.tokens(state, program)]
