"""Which device a config means."""

from __future__ import annotations

import pytest
import torch

from worker.config import ConfigError
from worker.devices import device_of


def test_auto_is_the_first_gpu_or_the_processor(monkeypatch):
    """Protects owners of GPUs: they need not say that they have one."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device_of("auto") == device_of("cuda") == torch.device("cuda", 0)
    assert device_of("cuda:1") == torch.device("cuda", 1)
    assert device_of("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert device_of("auto") == torch.device("cpu")


@pytest.mark.parametrize(("name", "count"), [("cuda", 0), ("cuda:2", 2)])
def test_a_gpu_that_is_not_there_is_refused_by_name(monkeypatch, name, count):
    """Protects from computing on a processor what was meant for a GPU, unnoticed."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(ConfigError, match=rf"worker.device = '{name}'.*sees {count} CUDA devices"):
        device_of(name)
