"""Programs on disk: what is loaded is what was saved, for every family of models."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import Tensor

from tests.program.helpers import same
from tests.program.models import TRAININGS, seeded, tiny
from tests.program.test_families import FAMILIES
from tests.program.test_inference import MODELS
from worker.program import (
    Program,
    capture_inference,
    capture_training,
    inference_state,
    training_state,
)


def outcome(program: Program, state: list[Tensor], batch: list[Tensor]) -> list[Tensor]:
    after, reports = program.run(state, batch, seed=3, step=4)
    return [*after, *reports]


def survives(program: Program, state: list[Tensor], batch: list[Tensor], folder: Path) -> None:
    """Root, summary, names, origins and a run."""
    path = folder / "program.json"
    program.save(path)
    loaded = Program.load(path, program.root)
    assert loaded == program and loaded.root == program.root
    assert loaded.summary() == program.summary()
    assert loaded.origins == program.origins and loaded.origins
    assert same(outcome(loaded, state, batch), outcome(program, state, batch))
    assert loaded.to_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", FAMILIES)
def test_a_familys_training_survives_the_disk(name, tmp_path):
    """Protects tasks: what a worker loads is what the requester captured, to the last bit."""
    family = FAMILIES[name]
    module, batch = seeded(1, family.make), seeded(2, family.batch)
    optimizer = family.optimizer(module.parameters())
    options = {"schedule": [0.1, 0.2], "clip_norm": 1.0} if name == "adamw" else {}
    program = capture_training(module, family.loss, optimizer, batch, **options)
    state = training_state(module, optimizer, options.get("schedule"))
    survives(program, state, batch, tmp_path)


@pytest.mark.parametrize("name", MODELS)
def test_a_familys_inference_survives_the_disk(name, tmp_path):
    make, rows = MODELS[name]
    module, x = seeded(1, make), seeded(2, lambda: rows(3))
    survives(capture_inference(module, [x]), inference_state(module), [x], tmp_path)


@pytest.mark.parametrize("training", TRAININGS)
def test_random_numbers_and_masks_survive_the_disk(training, tmp_path):
    """Protects dropout: random numbers belong to a node's number, which is saved too."""
    survives(*training(), tmp_path)


def test_another_program_is_not_loaded_in_its_place(tmp_path):
    """Protects tasks: who names a root gets that program or an error."""
    program, _, _ = tiny()
    path = tmp_path / "program.json"
    program.save(path)
    with pytest.raises(ValueError, match="the program's root is"):
        Program.load(path, b"\1" * 32)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError):
        Program.load(path)
