"""Programs on disk: what is loaded is what was saved, for every family of models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.program.helpers import same
from tests.program.models import TRAININGS, seeded, tiny
from tests.program.test_families import FAMILIES
from tests.program.test_inference import MODELS
from worker.program import (
    Kind,
    Node,
    Program,
    Source,
    capture_inference,
    capture_training,
    inference_state,
    training_state,
)
from worker.program.codes import F32
from worker.roles import put_job
from worker.store import Store


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


HOSTILE = [
    "x", "x", "", "__metadata__", "a\x00b", "../../etc/passwd", "#0", "n" * 10_000_000,
    "\x1b[2J", 7, None, ["y"], "\N{RIGHT-TO-LEFT OVERRIDE}z",
]  # fmt: skip


def test_a_strangers_names_are_harmless(tmp_path):
    """Protects workers and requesters: names are in no hash, so whoever writes into a store chooses
    them. Whatever they are, it is the same program, whose states have names that a file takes."""
    count = len(HOSTILE)
    nodes = tuple(Node(Kind.SOURCE, Source.STATE, F32, (4,), (), (i,)) for i in range(count))
    right = Program(nodes, tuple(range(count)), tuple(f"x{i}" for i in range(count)))
    document = json.loads(right.to_bytes())
    document |= {"state_names": HOSTILE, "origins": ["\x07" * 5000, {"a": 1}]}
    found = Program.from_bytes(json.dumps(document).encode(), right.root)
    assert found.state_names[0] == "x" and found.state_names[5] == "../../etc/passwd"
    assert found.state_names[1:5] == tuple(f"#{i}" for i in range(1, 5))
    assert found.state_names[6:] == tuple(f"#{i}" for i in range(6, count))
    assert all(len(o) <= 1000 and o.isprintable() for o in found.origins)
    document["state_names"][0] = "\ud800"
    with pytest.raises(ValueError):  # no text at all
        Program.from_bytes(json.dumps(document).encode(), right.root)
    store = Store(f"file://{tmp_path}")
    put_job(store, found, [torch.zeros(1)], [torch.ones(4)] * count)
    save_file({n: torch.ones(4) for n in found.state_names}, tmp_path / "named")


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
