"""Whatever a user's code or PyTorch raises is one message, with the user's line and no trace."""

from __future__ import annotations

import click
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scripts._shared import one_message
from tests.jobs.helpers import training
from worker.jobs import TrainingJob
from worker.jobs.telling import MOST_TOLD, told
from worker.program import layers


class Wrong(nn.Linear):
    """Raises something of its own, of PyTorch's, or asks for what is not there."""

    def __init__(self, fault: str) -> None:
        super().__init__(5, 3)
        self.fault = fault

    def forward(self, x: Tensor) -> Tensor:
        if self.fault == "shape":
            return super().forward(x) + torch.zeros(7)
        if self.fault == "key":
            return {"a": x}["b"]
        if self.fault == "assertion":
            raise AssertionError("the module's own words")
        if self.fault == "recursion":
            return self.forward(x)
        return torch.linalg.svd(super().forward(x))[0]


def wrong(fault: str) -> TrainingJob:
    module = Wrong(fault)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    return training(module=module, optimizer=optimizer, loss_fn=F.cross_entropy)


FAULTS = [
    ("shape", r"broadcast .* 7 .*test_telling.py:\d+: return super\(\).forward\(x\) \+ tor"),
    ("key", r"KeyError: 'b', at .*test_telling.py:\d+: return {"),
    ("assertion", r"AssertionError: the module's own words, at .*test_telling.py:\d+: raise"),
    ("recursion", r"RecursionError: .*test_telling.py:\d+"),
    ("svd", r"linalg_svd.*test_telling.py:\d+"),
]


@pytest.mark.parametrize(("fault", "said"), FAULTS)
def test_what_a_module_raises_is_one_message_with_its_line(capfd, fault, said):
    """Protects owners: they read their line and what was wrong with it, after what was being
    done; not the frames of ours and of PyTorch's."""
    definition = wrong(fault)
    with (
        pytest.raises(click.ClickException, match=said) as caught,
        one_message("job.toml: the job cannot be captured", debug=False),
    ):
        definition.capture()
    message = caught.value.message
    assert message.startswith("job.toml: the job cannot be captured: ")
    assert "Traceback" not in message + "".join(capfd.readouterr()) and len(message) < 2 * MOST_TOLD


def test_where_no_line_led_to_it_the_layer_is_named():
    """Protects owners of an nn.Sequential, whose layers are called within PyTorch."""
    module = nn.Sequential(nn.Linear(5, 3), nn.Linear(4, 2))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    definition = training(module=module, optimizer=optimizer)
    with (
        pytest.raises(click.ClickException, match=r", in layer 1, Linear\(in_features=4") as caught,
        one_message("job.toml", False, layers.latest),
    ):
        definition.capture()
    assert __file__ not in caught.value.message


def test_with_debug_the_error_itself_is_raised():
    """Protects whoever must see the frames: --debug gives the error as it was, and of a message of
    ours what it came from."""
    definition = wrong("key")
    with pytest.raises(KeyError), one_message("job.toml", debug=True):
        definition.capture()
    with pytest.raises(KeyError), one_message("job.toml", debug=True):
        try:
            raise KeyError("b")
        except KeyError as error:
            raise click.ClickException("said already") from error


def test_our_own_messages_stay_as_they_are():
    """Protects messages that name field, rule and remedy: neither cut nor prefixed by a type."""
    with pytest.raises(ValueError, match="the loss has shape") as caught:
        training(loss_fn=lambda output, target: output).capture()
    assert told(caught.value) == str(caught.value)


def test_a_long_message_is_cut_and_asks_nobody_to_report_it():
    try:
        raise RuntimeError("broken\nplease report a bug to PyTorch\n" + "x" * 5000)
    except RuntimeError as error:
        said = told(error)
    assert said.startswith("RuntimeError: broken xxx") and "..., at " in said
    assert len(said) < 2 * MOST_TOLD
