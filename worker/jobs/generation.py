"""Generation as a job: each token a step, and the texts are a tensor of its last state.

The market asks every job for a data set. A generation reads nothing but its state, in which the
prompts stand; as its data set it commits to the prompts once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor, nn

from worker.chain.types import Job
from worker.jobs.rules import on_chain, require_segments
from worker.program import Generation, Program, Sampling, capture_inference, inference_state


@dataclass(frozen=True, kw_only=True)
class GenerationJob:
    """What to write on from, with which decoder. Errors name the field, the value and the rule.

    decoder: a module with `step` and `empty_cache`, see `worker.program.Decoder`; in the mode that
    it is to run in. prompts, new_tokens, sampling, stop: see `worker.program.Generation`.
    segment_steps: steps between two checkpoints that the chain holds. seed: of the draws.
    decode: text from tokens, for the result.
    """

    decoder: nn.Module
    prompts: Sequence[Sequence[int]]
    new_tokens: int
    segment_steps: int
    sampling: Sampling = field(default_factory=Sampling)
    stop: int | None = None
    seed: int = 0
    decode: Callable[[Sequence[int]], str] | None = None

    def __post_init__(self) -> None:
        require_segments(self.steps, self.segment_steps, self.seed)

    @cached_property
    def module(self) -> Generation:
        return Generation(self.decoder, self.prompts, self.new_tokens, self.sampling, self.stop)

    @property
    def data(self) -> Sequence[Tensor]:
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
        return capture_inference(self.module, [])

    def initial_state(self) -> list[Tensor]:
        return inference_state(self.module)

    def job(self, program: Program) -> Job:
        """What goes on chain. Raises JobMismatch where the program is not this job's."""
        return on_chain(self, program)

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
