"""The examples of docs/models.md about optimizers and steps run as they stand there."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from worker import program
from worker.program import Program

DOCUMENT = Path(__file__).parents[2] / "docs" / "models.md"
SECTION = DOCUMENT.read_text().split("## Optimizers\n")[1].split("\n## ")[0]
EXAMPLES = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)


def test_the_section_has_its_examples() -> None:
    """Protects the test below from finding nothing."""
    assert len(EXAMPLES) == 5


@pytest.mark.parametrize("k", range(5))
def test_an_example_runs(k: int) -> None:
    """Protects readers: what the document shows is captured, and its first state fits."""
    torch.manual_seed(0)
    names: dict[str, Any] = {
        **{name: getattr(program, name) for name in program.__all__},
        "torch": torch,
        "nn": nn,
        "F": F,
        "copy": copy,
        "get_ema_multi_avg_fn": get_ema_multi_avg_fn,
        "model": nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2)),
        "x": torch.randn(4, 6),
        "y": torch.randn(4, 2),
        "noise": torch.randn(4, 3),
    }
    exec(EXAMPLES[k], names)
    captured = names["program"]
    assert isinstance(captured, Program)
    if "state" in names:
        assert len(names["state"]) == len(captured.state_names)
