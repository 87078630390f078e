"""Batch inference: every row is answered once, and its answer is found again."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worker.jobs import Computation, InferenceJob, JobMismatch, Journal, changed, in_order
from worker.program import Program, capture_inference, inference_state

ROWS = 10


class Encoder(nn.Module):
    """Words to a vector of length one, and the word that counts most."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.out = nn.Embedding(11, 6), nn.Linear(6, 4)

    def forward(self, words: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.tanh(self.embedding(words))
        return F.normalize(self.out(x.mean(1)), dim=-1), x.sum(-1).argmax(-1)


@cache
def encoder() -> Encoder:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return Encoder().eval()


def inference(**changes: Any) -> InferenceJob:
    """Ten rows in batches of four, two steps to a segment: the last batch is half full."""
    words = torch.randint(0, 11, (ROWS, 5), generator=torch.Generator().manual_seed(6))
    fields: dict[str, Any] = {
        "module": encoder(),
        "data": [words],
        "batch_rows": 4,
        "segment_steps": 2,
        "seed": 3,
        "names": ("embedding", "word"),
    }
    return InferenceJob(**{**fields, **changes})


@cache
def program(batch_rows: int = 4) -> Program:
    return inference(batch_rows=batch_rows, segment_steps=1).capture()


def reports(job: InferenceJob, captured: Program) -> list[list[Tensor]]:
    computation, state = Computation(job.job(captured), captured, job.data), job.initial_state()
    found = []
    for segment in range(computation.job.segments):
        result = computation.run_segment(segment, state)
        state = result.state
        found += result.reports
    return found


@pytest.mark.parametrize("seed", [0, 3, 2**64 - 1])
@pytest.mark.parametrize("batch_rows", [1, 3, 4, 5, 10])
def test_every_row_is_answered_once_and_stands_in_its_place(batch_rows, seed):
    """Protects results: whatever the batches and the order, row i of the result is the module's
    answer to row i of the data set, bit for bit what it is in one batch of all rows."""
    job = inference(batch_rows=batch_rows, segment_steps=1, seed=seed)
    captured = program(batch_rows)
    assert job.steps == -(-ROWS // batch_rows)
    found = in_order(job.job(captured), captured, reports(job, captured))
    whole = capture_inference(encoder(), job.data)
    _, expected = whole.run(inference_state(encoder()), job.data)
    assert [t.shape for t in found] == [(ROWS, 4), (ROWS,)]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype and torch.equal(ours, theirs)
    with torch.no_grad():
        plain, words = encoder()(job.data[0])
    torch.testing.assert_close(found[0], plain, rtol=1e-3, atol=1e-3)
    assert torch.equal(found[1], words)


def test_an_inference_changes_no_state():
    """Protects storage: what is known to stay the same need be neither hashed nor stored again."""
    assert changed(program()) == []
    state = inference().initial_state()
    after, _ = program().run(state, [inference().data[0][:4]])
    assert [a.data_ptr() for a in after] == [b.data_ptr() for b in state]


def test_a_module_that_would_depend_on_the_rows_order_is_refused():
    """Protects owners: batch norm in training mode is named, with the remedy."""
    module = nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3))
    job = inference(module=module.train(), data=[torch.randn(ROWS, 5)], names=())
    with pytest.raises(JobMismatch, match=r"changes 1\.running_mean.*call eval\(\)"):
        job.job(job.capture())
    ready = replace(job, module=module.eval())
    ready.job(ready.capture())


class Shaped(nn.Linear):
    """Answers whose last step is a reshape, which is no node of its own."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = super().forward(x).view(-1)
        return y.view(4, 2, 3), y.view(4, 6)[:, 0]


def test_answers_have_the_shapes_that_the_module_gives_them():
    """Protects results: a reshape at the end is not lost."""
    job = inference(module=Shaped(5, 6), data=[torch.randn(ROWS, 5)], names=())
    captured = job.capture()
    found = in_order(job.job(captured), captured, reports(job, captured))
    assert [t.shape for t in found] == [(ROWS, 2, 3), (ROWS,)]
    assert torch.equal(found[0][:, 0, 0], found[1])


class Whole(nn.Linear):
    """One answer to a whole batch."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).sum(0)


def test_answers_that_are_not_rows_are_refused():
    """Protects results: what has no row for each row of a batch cannot be put in order."""
    job = inference(module=Whole(5, 3), data=[torch.randn(ROWS, 5)], names=())
    with pytest.raises(JobMismatch, match=r"shape \(3,\) for a batch of 4 rows"):
        job.job(job.capture())
    with pytest.raises(JobMismatch, match="returns 2 tensors"):
        inference(names=("one",)).job(program())


def test_reports_that_are_not_one_epochs_are_refused():
    """Protects `fetch`: a training, or a part of the answers, is not taken for all answers."""
    job, found = inference(), reports(inference(), program())
    named = job.job(program())
    with pytest.raises(JobMismatch, match="reports of 2 steps; the job has 3"):
        in_order(named, program(), found[:2])
    with pytest.raises(JobMismatch, match="4 steps of 4 rows do not see each of 10 rows once"):
        in_order(replace(named, steps=4), program(), found)
    scalar = capture_inference(Whole(5, 3), [torch.randn(4, 5)])
    with pytest.raises(JobMismatch, match="not answers to a batch's rows"):
        in_order(named, scalar, [])


REFUSED = [
    ({"data": []}, "data=nothing", "at least one tensor"),
    ({"names": "word"}, "names='word'", "a list of texts"),
    ({"evaluate": 0.9}, "evaluate=0.9", "a function of the outputs"),
    ({"batch_rows": 0}, "batch_rows=0", "from 1 to the data set's 10 rows"),
    ({"batch_rows": 11}, "batch_rows=11", "from 1 to the data set's 10 rows"),
    ({"segment_steps": 4}, "segment_steps=4", "from 1 to steps, which is 3"),
    ({"seed": -1}, "seed=-1", "unsigned 64-bit"),
    ({"names": ("a", "a")}, "names=('a', 'a')", "different names"),
]


@pytest.mark.parametrize(("changes", "field", "rule"), REFUSED)
def test_a_job_that_cannot_be_is_refused_with_field_value_and_rule(changes, field, rule):
    """Protects owners: the error says what was given, where, and what would do."""
    with pytest.raises(ValueError) as caught:
        inference(**changes)
    assert str(caught.value).startswith(field) and rule in str(caught.value)


def test_outputs_have_the_names_that_the_job_gives_them():
    """Protects the result's file: names in the order of the module's outputs."""
    tensors = [torch.zeros(2), torch.ones(3)]
    assert list(inference().named(tensors)) == ["embedding", "word"]
    assert list(inference(names=()).named(tensors)) == ["output.0", "output.1"]
    assert list(inference(names=()).named(tensors[:1])) == ["output"]


def test_a_journal_names_the_reports_that_it_is_too_small_for():
    """Protects the result's address: the list root of all reported tensors, in order; and a long
    report's values are not in the journal."""
    from worker.commit import state_root

    found = reports(inference(), program())
    journal = Journal.make(b"\x0a" * 20, b"s" * 32, b"t" * 32, range(3), found)
    assert journal.reports_root == state_root([t for report in found for t in report])
    long = [[torch.zeros(65), torch.zeros(64)]]
    (entry,) = Journal.make(b"\x0a" * 20, b"s" * 32, b"t" * 32, range(1), long).entries
    assert [len(v) for v in entry.values] == [0, 64]
