"""What a requester fetches is a model that PyTorch loads, as strictly as it can."""

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from scripts.fetch import write
from worker.jobs import TrainingJob


class Tied(nn.Module):
    """Weights under two names, a buffer that is not saved, and one that is."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("scale", torch.tensor([2.0]), persistent=False)

    def forward(self, x):
        return self.head(self.norm(self.embed(x)) * self.scale)


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    module = Tied()
    job = TrainingJob(
        module=module,
        loss_fn=F.cross_entropy,
        optimizer=torch.optim.Adam(module.parameters(), lr=0.1),
        data=[torch.arange(8) % 7, (torch.arange(8) + 1) % 7],
        schedule=[0.1, 0.05],
        steps=2,
        batch_rows=4,
        segment_steps=1,
    )
    program = job.capture()
    state = job.initial_state()
    for step in range(2):
        state, _ = program.run(state, [t[:4] for t in job.tensors], step=step)
    return job, program, dict(zip(program.state_names, state, strict=True))


def test_a_fetched_model_is_loaded_strictly(trained, tmp_path):
    """Protects requesters: the file is the module's own, tied names and unsaved buffers right."""
    job, program, result = trained
    write(tmp_path / "model", result, program, job)
    fresh = Tied()
    fresh.load_state_dict(load_file(tmp_path / "model"), strict=True)
    assert torch.equal(fresh.head.weight, result["embed.weight"].view(7, 4))
    assert torch.equal(fresh.norm.running_mean, result["norm.running_mean"].view(4))


def test_without_the_job_nothing_of_the_optimizer_is_in_it(trained, tmp_path):
    _, program, result = trained
    write(tmp_path / "model", result, program, None)
    assert not any("exp_avg" in n or "schedule" in n for n in load_file(tmp_path / "model"))
    fresh = Tied()
    missing, unexpected = fresh.load_state_dict(load_file(tmp_path / "model"), strict=False)
    assert (missing, unexpected) == (["head.weight"], ["scale"])


def test_all_of_the_state_is_there_for_who_asks(trained, tmp_path):
    job, program, result = trained
    write(tmp_path / "state", result, program, job, everything=True)
    found = load_file(tmp_path / "state")
    assert set(found) == set(program.state_names)
    assert any("exp_avg" in name for name in found)
