"""A GPT that was trained a little on real text writes what plain PyTorch writes."""

from __future__ import annotations

import bisect
import inspect
from dataclasses import replace

import pytest
import torch

from tests.games.world import World
from worker.examples.generate import decode, encode, generate, trained
from worker.jobs import Computation, GenerationJob
from worker.program import Program
from worker.roles import Verifier, load_state, put_job


def written(job: GenerationJob, program: Program) -> list[str]:
    """The texts, computed segment by segment as a worker does."""
    computation = Computation(job.job(program), program, job.tensors)
    state = job.initial_state()
    for segment in range(computation.job.segments):
        state = computation.run_segment(segment, state).state
    return job.texts(state, program)


def plain_greedy(prompt: str, new: int) -> str:
    """The same in plain PyTorch, which reads the whole text again for each character."""
    tokens = encode(prompt)
    for _ in range(new):
        with torch.no_grad():
            logits = trained()(torch.tensor([tokens]))
        tokens.append(int(logits[0, -1].argmax()))
    return decode(tokens)


@pytest.fixture(scope="module")
def greedy() -> list[str]:
    """What an owner fetches by what the chain holds alone, of a task that one worker has solved and
    another attested."""
    job = generate(temperature=0.0, top_k=None)
    program, world = job.capture(), World()
    put_job(world.store, program, job.tensors, job.initial_state())
    number, solver = world.commit(job.job(program), world.desks["solver"])
    world.play(solver, Verifier(world.desks["verifier"]))
    assert world.task(number).attested
    market = world.desks["requester"].market
    last = market.segment(number, world.task(number).segments - 1).state
    return job.texts(load_state(world.store, program, last), program)


def test_greedy_texts_are_plain_pytorchs(greedy):
    """Protects users: character for character what plain PyTorch, without a cache, goes on with."""
    prompts = ["def insort_", "if x is ", "Return the index "]
    assert [text[: len(p)] for text, p in zip(greedy, prompts, strict=True)] == prompts
    for text, prompt in zip(greedy, prompts, strict=True):
        assert text == plain_greedy(prompt, len(text) - len(prompt))


def test_the_model_has_learned_what_it_writes(greedy):
    """Protects the example: it goes on with pieces of the source that it has read, not noise."""
    read = inspect.getsource(bisect)
    pieces = [t[i : i + 8] for t in greedy for i in range(len(t) - 8)]
    assert sum(piece in read for piece in pieces) > len(pieces) / 2


def test_drawn_texts_are_of_the_seed(greedy):
    """Protects sampling: a seed gives its texts again, others than another's or the greedy ones."""
    job = generate()
    program = job.capture()
    first, again = written(job, program), written(replace(job), program)
    other = written(replace(job, seed=1), program)
    assert first == again
    assert len({tuple(texts) for texts in (first, other, greedy)}) == 3
    assert [len(t) for t in first] == [len(t) for t in greedy]
