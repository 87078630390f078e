"""A generation as its owner writes it, and what is read from its state."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import nn

from tests.program.models import seeded
from worker.commit import state_root
from worker.examples.generate import GPT
from worker.jobs import Computation, GenerationJob, JobMismatch
from worker.program import Program


def generation(**changes: Any) -> GenerationJob:
    """Two texts of seven tokens: six steps in two segments."""
    fields: dict[str, Any] = {
        "decoder": decoder(),
        "prompts": [[5, 9, 2], [7]],
        "new_tokens": 4,
        "segment_steps": 4,
        "temperature": 1.0,
        "top_k": 20,
        "seed": 8,
    }
    return GenerationJob(**{**fields, **changes})


@cache
def decoder() -> GPT:
    return seeded(1, lambda: GPT(width=8, heads=2, layers=1, length=8))


@cache
def program() -> Program:
    return generation().capture()


def test_a_state_is_read_as_far_as_it_is_written():
    """Protects owners who look at a running task: a checkpoint's texts are the beginnings of the
    last one's."""
    job = generation()
    computation = Computation(job.job(program()), program(), job.tensors)
    state = job.initial_state()
    assert job.tokens(state, program()) == [[5], [7]]
    middle = computation.run_segment(0, state)
    end = computation.run_segment(1, middle.state)
    first, last = (job.tokens(s.state, program()) for s in (middle, end))
    assert [len(t) for t in first] == [5, 5] and [len(t) for t in last] == [7, 7]
    assert [t[:5] for t in last] == first
    assert last[0][:3] == [5, 9, 2] and last[1][0] == 7
    reported = [r for r, _ in (*middle.reports, *end.reports)]
    assert torch.stack(reported, 1).tolist() == [t[1:] for t in last]


def test_a_text_ends_with_the_token_that_stops_it():
    """Protects results: what follows `stop` is no text, and a prompt may hold that token."""
    job = generation(
        prompts=[[5, 1, 2], [7]], stop=1, decode=lambda tokens: "-".join(map(str, tokens))
    )
    named = dict(zip(program().state_names, job.initial_state(), strict=True))
    named["position"] = torch.tensor([6])
    named["tokens"] = torch.tensor([[5, 1, 2, 3, 1, 1, 1], [7, 6, 6, 6, 6, 6, 6]])
    assert job.texts(list(named.values()), program()) == ["5-1-2-3-1", "7-6-6-6-6-6-6"]


def test_a_jobs_hashes_are_those_of_its_parts():
    """Protects what goes on chain: the prompts are the data set, and the state holds them too."""
    job = generation()
    assert [t.tolist() for t in job.tensors] == [[[5, 9, 2], [7, 0, 0]]]
    named = job.job(program())
    assert (named.rows, named.data_tensors, named.steps, named.segments) == (2, 1, 6, 2)
    assert named.data == state_root(job.tensors) and named.state == state_root(job.initial_state())
    with pytest.raises(JobMismatch, match="the job names"):
        Computation(named, generation(top_k=3).capture(), job.tensors)


REFUSED = [
    ({"decoder": nn.Linear(2, 2)}, "decoder=", "step(tokens, cache, position)"),
    ({"prompts": []}, "prompts=[]", "one or more tokens"),
    ({"prompts": [[1], []]}, "prompts[1]=[]", "one or more tokens"),
    ({"prompts": [[-1]]}, "prompts[0]=[-1]", "each 0 or greater"),
    ({"prompts": ["text"]}, "prompts[0]='text'", "one or more tokens"),
    ({"prompts": torch.ones(1, 2)}, "prompts=tensor", "one or more tokens"),
    ({"stop": "."}, "stop='.'", "a token"),
    ({"decode": "utf-8"}, "decode='utf-8'", "a function"),
    ({"new_tokens": 0}, "new_tokens=0", "at least 1"),
    ({"new_tokens": 7}, "new_tokens=7", "length=9 tokens; this GPT reads 8"),
    ({"temperature": -0.5}, "temperature=-0.5", "0 or more"),
    ({"temperature": float("inf")}, "temperature=inf", "finite"),
    ({"top_k": 0}, "top_k=0", "at least 1"),
    ({"segment_steps": 7}, "segment_steps=7", "from 1 to steps, which is 6"),
    ({"seed": -1}, "seed=-1", "unsigned 64-bit"),
    ({"bits": 21}, "bits=21", "from 2 to 20"),
]


@pytest.mark.parametrize(("changes", "field", "rule"), REFUSED, ids=range(len(REFUSED)))
def test_a_job_that_cannot_be_is_refused_with_field_value_and_rule(changes, field, rule):
    """Protects owners: the error says what was given, where, and what would do."""
    with pytest.raises(ValueError) as caught:
        generation(**changes)
    assert str(caught.value).startswith(field) and rule in str(caught.value)
