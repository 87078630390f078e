"""Before a job is posted: every index in its data is looked at, and its first steps are run."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.jobs.helpers import training
from worker.jobs import GenerationJob, InferenceJob, TrainingJob
from worker.jobs.indices import OutOfRange
from worker.jobs.trial import NotFinite, first_step, tried

ROWS = 50


def seeded(seed: int, make: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()


X = seeded(1, lambda: torch.randn(ROWS, 5))
Y = torch.arange(ROWS) % 3


def changed(tensor: Tensor, place: tuple[int, ...], value: int) -> Tensor:
    tensor = tensor.clone()
    tensor[place] = value
    return tensor


def job(data: Any, module: nn.Module | None = None, **changes: Any) -> TrainingJob:
    module = module or seeded(2, lambda: nn.Linear(5, 3))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    return training(module=module, data=data, optimizer=optimizer, **changes)


def first_loss(definition: TrainingJob) -> float:
    return float(first_step(definition, definition.capture())[1][1][0])


# --- indices ---


class Columns(nn.Module):
    """Categories in columns, each with a table of its own length."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.out = nn.Embedding(7, 4), nn.Embedding(30, 4), nn.Linear(8, 3)

    def forward(self, c: Tensor) -> Tensor:
        return self.out(torch.cat([self.a(c[:, 0]), self.b(c[:, 1])], 1))


class Pairs(nn.Module):
    """Elements of a matrix by two indices, which a program makes one of."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.out = nn.Parameter(torch.randn(6, 8)), nn.Linear(1, 3)

    def forward(self, i: Tensor) -> Tensor:
        return self.out(self.table[i[:, 0], i[:, 1]][:, None])


class Difference(nn.Module):
    """An index that two elements of a row make together."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.out = nn.Embedding(5, 4), nn.Linear(4, 3)

    def forward(self, c: Tensor) -> Tensor:
        return self.out(self.table(c[:, 1] - c[:, 0]))


class Words(nn.Module):
    """Predicts the next of some tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.out = nn.Embedding(40, 8), nn.Linear(8, 40)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.embedding(tokens)).transpose(1, 2)


class Messages(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(5, 3)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        return self.out(torch.zeros_like(x).index_add(0, edges[1], x[edges[0]]))


def one_hot_loss(output: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(output, F.one_hot(target, 3).float())


def scatter_loss(output: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(output, torch.zeros(4, 3).scatter(1, target[:, None], 1.0))


def of_nodes(output: Tensor, batch: dict[str, Tensor]) -> Tensor:
    return F.cross_entropy(output, batch["y"])


COLUMNS = torch.stack([torch.arange(ROWS) % 7, torch.arange(ROWS) % 30], 1)
PAIRS = torch.stack([torch.arange(ROWS) % 6, torch.arange(ROWS) % 8 - 8], 1)
SPANS = torch.stack([torch.arange(ROWS), torch.arange(ROWS) + torch.arange(ROWS) % 5], 1)
TOKENS = seeded(3, lambda: torch.randint(0, 40, (ROWS, 7)))
EDGES = seeded(4, lambda: torch.randint(0, ROWS, (2, 80)))


def sound() -> dict[str, TrainingJob]:
    return {
        "labels that are ignored": job([X, changed(Y, (37,), -100)]),
        "columns": job([COLUMNS, Y], seeded(5, Columns)),
        "pairs, from the end": job([PAIRS, Y], seeded(5, Pairs)),
        "differences": job([SPANS, Y], seeded(5, Difference)),
        "tokens": job([TOKENS[:, :-1], TOKENS[:, 1:]], seeded(5, Words)),
        "one hot": job([X, Y], loss_fn=one_hot_loss),
        "edges": graph(EDGES),
    }


def graph(edges: Tensor) -> TrainingJob:
    return job(
        {"x": X, "edges": edges, "y": Y},
        seeded(5, Messages),
        loss_fn=of_nodes,
        whole=True,
        batch_rows=1,
    )


@pytest.mark.parametrize("name", list(sound()))
def test_indices_that_are_in_range_are_let_through(name):
    """Protects owners of sound data: what PyTorch takes is taken, ignored labels and indices from
    the end too."""
    assert first_loss(sound()[name]) < 10


WRONG = {
    "label": (
        lambda: job([X, changed(Y, (37,), 3)]),
        r"data\[1\] holds 3 in row 37, .*from 0 to 2, in the loss, cross_entropy: count from 0",
    ),
    "negative label": (lambda: job([X, changed(Y, (49,), -1)]), r"data\[1\] holds -1 in row 49"),
    "label in one hot": (
        lambda: job([X, changed(Y, (8,), 3)], loss_fn=one_hot_loss),
        r"data\[1\] holds 3 in row 8, .*from 0 to 2, in .*test_trial.py:\d+: .*one_hot",
    ),
    "label in a scatter": (
        lambda: job([X, changed(Y, (8,), 5)], loss_fn=scatter_loss),
        r"data\[1\] holds 5 in row 8",
    ),
    "category": (
        lambda: job([changed(COLUMNS, (46, 0), 7), Y], seeded(5, Columns)),
        r"data\[0\] holds 7 in row 46, .*from 0 to 6, in .*test_trial.py:\d+: .*self.a\(c\[:, 0",
    ),
    "second of a pair": (
        lambda: job([changed(PAIRS, (11, 1), 8), Y], seeded(5, Pairs)),
        r"data\[0\] holds 8 in row 11, .*from -8 to 7",
    ),
    "difference": (
        lambda: job([changed(SPANS, (13, 1), 18), Y], seeded(5, Difference)),
        r"data\[0\]: row 13 is out of range where an index goes from 0 to 4",
    ),
    "token": (
        lambda: job([changed(TOKENS, (33, 4), 99)[:, :-1], TOKENS[:, 1:]], seeded(5, Words)),
        r"data\[0\] holds 99 in row 33, .*from 0 to 39, in .*self.embedding\(tokens\)",
    ),
    "edge": (
        lambda: graph(changed(EDGES, (0, 60), ROWS)),
        r"data\['edges'\] holds 50 in \[0, 60\], .*from -50 to 49",
    ),
}


@pytest.mark.parametrize("name", list(WRONG))
def test_an_index_out_of_range_is_found_in_any_row(name):
    """Protects owners: the first step need not see the row that is wrong; tensor, row, value,
    bounds and line are named, before every loss is NaN or something else is trained."""
    make, said = WRONG[name]
    definition = make()
    with pytest.raises(OutOfRange, match=said):
        first_step(definition, definition.capture())


def test_an_inference_is_looked_at_too():
    module = seeded(5, Words).eval()
    given = [changed(TOKENS, (49, 6), 40)]
    definition = InferenceJob(module=module, data=given, batch_rows=8, segment_steps=1)
    with pytest.raises(OutOfRange, match=r"data\[0\] holds 40 in row 49"):
        first_step(definition, definition.capture())


class Writer(nn.Module):
    """Knows ten tokens and eight places."""

    def __init__(self) -> None:
        super().__init__()
        self.token, self.place = nn.Embedding(10, 4), nn.Embedding(8, 4)

    def empty_cache(self, rows: int, length: int) -> list[Tensor]:
        return [torch.zeros(rows, 4)]

    def step(
        self, tokens: Tensor, cache: list[Tensor], position: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        seen = cache[0] + self.token(tokens) + self.place(position)
        return seen @ self.token.weight.T, [seen]


@pytest.mark.parametrize(
    ("prompts", "new", "said"),
    [
        ([[1, 2], [3, 4, 9, 5]], 4, None),
        ([[1, 2], [3, 4, 10, 5]], 4, r"prompts\[1\]\[2\]: an index is 10, .*from 0 to 9, in "),
        ([[1, 2], [3]], 8, r"at token 8 of a text: an index is 8, .*from 0 to 7"),
    ],
)
def test_prompts_and_places_of_a_generation_are_looked_at(prompts, new, said):
    """Protects generations: tokens are read out of the state one a step, so all steps of the
    prompts are looked at, and whether a text's places have an end before the text has."""
    definition = GenerationJob(
        decoder=seeded(6, Writer), prompts=prompts, new_tokens=new, segment_steps=1
    )
    if said is None:
        first_step(definition, definition.capture())
        return
    with pytest.raises(OutOfRange, match=said):
        first_step(definition, definition.capture())


# --- numbers ---


def log_loss(output: Tensor, target: Tensor) -> Tensor:
    return F.nll_loss(torch.log(torch.relu(output)), target)


def root_loss(output: Tensor, target: Tensor) -> Tensor:
    return torch.sqrt((output * 0).square() + target[:, None] * 0).mean()


def test_a_loss_that_is_no_number_names_the_line_that_made_it():
    """Protects owners: a dry run shows it, with the operator and the line that the first NaN or
    infinity comes from, not the mean over it."""
    definition = job([X, Y], loss_fn=log_loss)
    with pytest.raises(NotFinite, match=r"step 0: the loss is (nan|inf), .*aten.log.*_trial.py:\d"):
        first_step(definition, definition.capture())


def test_a_gradient_that_is_no_number_is_seen_in_the_state():
    """Protects owners: the first loss may be a number while its gradient is not."""
    definition = job([X, Y.float()], loss_fn=root_loss)
    with pytest.raises(NotFinite, match=r"step 0: weight holds nan after it, .*test_trial.py:\d"):
        first_step(definition, definition.capture())


class Masked(nn.Linear):
    """Hides a part of its answers, and keeps a mask of infinities."""

    def __init__(self) -> None:
        super().__init__(5, 3)
        self.register_buffer("mask", torch.tensor([0.0, float("-inf"), 0.0]))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.mask


def test_infinities_that_are_meant_are_let_through():
    """Protects masks: of answers and of buffers; a loss stays a number with them."""
    module = seeded(7, Masked)
    answers = InferenceJob(module=module.eval(), data=[X], batch_rows=10, segment_steps=1)
    first_step(answers, answers.capture())
    assert first_loss(job([X, Y % 2 * 2], seeded(7, Masked))) < 10


# --- the trial ---


def test_the_first_steps_are_those_of_the_job_as_native_code():
    """Protects estimates: steps that follow one another are run and timed as a worker would run
    them, and their losses are those of the interpreter."""
    definition = training(module=seeded(8, lambda: nn.Linear(5, 3)))
    definition = job(definition.data, definition.module)
    found = tried(definition, definition.capture())
    assert found.native and found.step_seconds > 0
    computation, (state, report) = first_step(definition, definition.capture())
    losses = [report[0]]
    for step in range(1, 4):
        state, (loss, _) = computation.advance(state, step)
        losses.append(loss)
    assert [r[0].item() for r in found.reports] == [loss.item() for loss in losses]


def test_without_a_compiler_the_interpreter_is_timed(monkeypatch):
    """Protects estimates where there is no compiler: they say so."""
    monkeypatch.setattr("worker.jobs.trial.compiled", lambda program: False)
    definition = training(steps=1, segment_steps=1)
    found = tried(definition, definition.capture())
    assert not found.native and found.step_seconds > 0 and found.compile_seconds == 0
