"""Jobs whose owner has written the step: what several optimizers do is a job like any other."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worker.jobs import Computation, FieldError, StepJob
from worker.jobs.trial import NotFinite, first_step

ROWS = 12


def game(scale: float = 1.0) -> dict[str, Any]:
    """A generator and a discriminator, each with its optimizer, and what a step does with them."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        g, d = nn.Linear(4, 6), nn.Linear(6, 1)
        data = {"real": torch.randn(ROWS, 6), "noise": torch.randn(ROWS, 4)}
    of_g = torch.optim.Adam(g.parameters(), lr=1e-2)
    of_d = torch.optim.SGD(d.parameters(), lr=1e-1)

    def step(real: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        fake = g(noise)
        of_d.zero_grad()
        loss_d = F.softplus(-d(real)).mean() + F.softplus(d(fake.detach())).mean()
        (loss_d * scale).backward()
        of_d.step()
        of_g.zero_grad()
        loss_g = F.softplus(-d(fake)).mean()
        loss_g.backward()
        of_g.step()
        return loss_d, loss_g

    return {
        "step": step,
        "modules": {"g": g, "d": d},
        "optimizers": {"g": of_g, "d": of_d},
        "data": data,
    }


def job(**changes: Any) -> StepJob:
    fields = {**game(), "steps": 6, "batch_rows": 4, "segment_steps": 3, "seed": 5, **changes}
    return StepJob(**fields)


def test_an_adversarial_training_is_a_job():
    """Protects owners of GANs: both losses are the plain loop's, step after step, and the result
    loads into the modules."""
    definition = job()
    before = copy.deepcopy(definition.module.state_dict())
    program = definition.capture()
    named = definition.job(program)
    c, state = Computation(named, program, definition.tensors), definition.initial_state()
    ours, plain = [], []
    for number in range(6):
        real, noise = c.batch(number)
        state, report = c.advance(state, number)
        ours += [float(t) for t in report[:-1]]
        plain += [float(t.detach()) for t in definition.step(real=real, noise=noise)]
    assert ours == pytest.approx(plain, rel=1e-4)
    after = copy.deepcopy(definition.module.state_dict())
    definition.module.load_state_dict(before)
    found = definition.load(state, program).state_dict()
    for name, tensor in after.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-5)


def test_a_report_that_is_no_number_is_named():
    """Protects owners: which of several losses it is."""
    fields = game()
    whole = fields["step"]

    def step(real: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        loss_d, loss_g = whole(real=real, noise=noise)
        return loss_d, (loss_g * 0).log()

    definition = job(**{**fields, "step": step})
    with pytest.raises(NotFinite, match=r"step 0: number 1 of what the step returns is inf"):
        first_step(definition, definition.capture())


REFUSED = [
    ({"step": "gan"}, "step='gan'", "a function of a batch's tensors"),
    ({"modules": {}}, "modules={}", "one, or several by name"),
    ({"modules": {"g": nn.LazyLinear(2)}}, "modules['g']=a module whose weight", "call it once"),
    ({"optimizers": {"g": "adam"}}, "optimizers['g']='adam'", "a torch.optim.Optimizer"),
    ({"data": [torch.zeros(4, dtype=torch.uint8)]}, "data[0]=uint8", "x.long()"),
    ({"evaluate": 3}, "evaluate=3", "a function of the module"),
]


@pytest.mark.parametrize(("changes", "field", "rule"), REFUSED, ids=range(len(REFUSED)))
def test_a_step_that_cannot_be_is_refused_with_field_value_and_rule(changes, field, rule):
    """Protects owners: the error says what was given, where, and what would do."""
    with pytest.raises(FieldError) as caught:
        job(**changes)
    assert str(caught.value).startswith(field) and rule in str(caught.value)
