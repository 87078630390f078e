"""Masks as indices: those that every run has alike, and those that only a run has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.program.models import seeded
from tests.program.test_operators import Applied, moved_as_in_pytorch
from worker.program import Unsupported, capture_inference, inference_state


def others(n: int) -> Tensor:
    return ~torch.eye(n, dtype=torch.bool)


def contrasted(y: Tensor) -> Tensor:
    """SimCLR's loss: each row beside all others but itself."""
    z = F.normalize(y, dim=1)
    scores = (z @ z.T)[others(4)].view(4, 3) / 0.5
    return F.cross_entropy(scores, torch.tensor([1, 2, 0, 1]))


def written(y: Tensor, mask: Tensor, values: Any) -> Tensor:
    out = y * 1.0
    out[mask] = values
    return out


MASKS: dict[str, Callable[[Tensor], Tensor]] = {
    "a contrastive loss": contrasted,
    "a triangle": lambda y: (y @ y.T)[torch.ones(4, 4).tril().bool()],
    "of columns": lambda y: y[:, torch.arange(6) % 2 == 0],
    "of rows, and a number": lambda y: y[torch.arange(4) < 3, 2],
    "a list is written": lambda y: written(y @ y.T, others(4), torch.arange(12.0)),
    "one number is written": lambda y: written(y @ y.T, others(4), 2.0),
    "masked_select": lambda y: torch.masked_select(y, torch.arange(6) > 1),
    "masked_scatter": lambda y: (y @ y.T).masked_scatter(y[:, :4] > 0, y.detach()) * y[:, :4],
    "nonzero": lambda y: y[others(4).nonzero()[:, 1]] + y[torch.where(others(4))[0]],
    "pairs": lambda y: (
        torch.combinations(y[0]).prod(1) + (y @ y.T)[tuple(torch.triu_indices(6, 6, 1) % 4)]
    ),
    "repeats": lambda y: y.repeat_interleave(torch.tensor([1, 2, 0, 1]), 0),
    "so many of a run's": lambda y: y.flatten()[
        torch.nonzero_static(y.flatten() > 0, size=3)[:, 0]
    ],
}


@pytest.mark.parametrize("name", MASKS)
def test_a_mask_that_every_run_has_is_an_index(name):
    """Protects contrastive losses and full-graph models: x[mask] and its gradient are PyTorch's."""
    module = seeded(1, lambda: Applied(MASKS[name]))
    moved_as_in_pytorch(module, [seeded(2, lambda: torch.randn(4, 6)), torch.zeros(4)])


class Nodes(nn.Module):
    """Rows of some nodes alone: by a mask, or by its places."""

    def __init__(self, held: Tensor) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.register_buffer("kept", held)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)[self.kept].sum(0).expand(len(x), 2)


def test_a_mask_that_is_state_is_refused_and_its_places_are_taken():
    """Protects everybody from a buffer baked into a program: the refusal says what works, and that
    does."""
    mask, x = torch.tensor([True, False, True, True]), seeded(3, lambda: torch.randn(4, 3))
    with pytest.raises(Unsupported, match=r"register its\s+mask.nonzero\(\)") as caught:
        capture_inference(Nodes(mask), [x])
    assert "self.linear(x)[self.kept]" in str(caught.value)
    module = Nodes(mask.nonzero()[:, 0])
    (found,) = capture_inference(module, [x]).run(inference_state(module), [x])[1]
    torch.testing.assert_close(found.view(4, 2), module(x), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "function",
    [
        lambda y: y[y > 0],
        lambda y: torch.masked_select(y, y > 0),
        lambda y: y[y[:, 0] > 0, 1],
        lambda y: y * (y > 0).nonzero().sum(),
        lambda y: y[torch.rand(4) > 0.5],
        lambda y: y.repeat_interleave((y[:, 0] > 0).long(), 0),
    ],
)
def test_a_shape_that_only_a_run_has_is_refused(function):
    """Protects users from the example's shape in every step."""
    module = seeded(1, lambda: Applied(function))
    with pytest.raises(Unsupported, match="only a run"):
        capture_inference(module, [torch.randn(4, 6)])
