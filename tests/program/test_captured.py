"""What docs/models.md says is captured is what is captured."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from benchmarks import captured
from benchmarks.zoo import ZOO, Entry


def printed() -> str:
    return captured.DOCUMENT.read_text().split(captured.BEGIN)[1].split(captured.END)[0]


def test_the_document_names_the_operators_that_there_are():
    """Protects readers: the list is of the registries of today; --save writes it anew."""
    assert "\n".join(captured.operators()) in printed(), "python -m benchmarks.captured --save"


def test_the_document_names_every_model_of_the_zoo():
    """Protects readers: a model that was added and not stepped is not in the list."""
    listed = printed().split("**Models**")[1].split("**")[0].split("PyTorch's:")[1]
    named = [" ".join(model.split()).split(":")[0] for model in listed.split(";")]
    assert named == list(ZOO), "python -m benchmarks.captured --save"


@pytest.mark.parametrize("name", [name for name, entry in ZOO.items() if entry.asks])
def test_a_public_architecture_steps_as_in_pytorch(name):
    """Protects users: what each asks for beyond the ordinary works in a whole model."""
    assert captured.beside_pytorch(ZOO[name], captured.momentum) > 0


def test_a_model_that_steps_otherwise_is_not_in_the_list(monkeypatch):
    """Protects the list itself: another loss than PyTorch's, or none, is told and not listed."""
    entry = captured.perceptron()
    losses = {
        "chance": lambda y, t: F.cross_entropy(y + torch.randn_like(y), t),
        "none": lambda y, t: y[y > 0].sum(),
    }
    for name, loss in losses.items():
        monkeypatch.setitem(ZOO, name, Entry(entry.make, entry.batch, loss))
    good, (apart, refused) = captured.models(losses)
    assert not good and "chance: Apart: a loss of" in apart and "none: Unsupported" in refused
