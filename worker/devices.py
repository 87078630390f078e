"""Where steps run: what `worker.device` in a config means on this host."""

from __future__ import annotations

import torch

from worker.config import ConfigError


def device_of(name: str) -> torch.device:
    """The device that a config names, or, for auto, a GPU if torch sees one."""
    count = torch.cuda.device_count()
    if name == "auto":
        return torch.device("cuda", 0) if count else torch.device("cpu")
    device = torch.device(name)
    if device.type == "cuda":
        device = torch.device("cuda", device.index or 0)
        if device.index >= count:
            raise ConfigError.of(
                "worker.device",
                name,
                f"is not here: torch {torch.__version__} sees {count} CUDA devices",
                'install the CUDA build of torch and a driver, or write "cpu"',
            )
    return device


def described(device: torch.device) -> str:
    """A device for people: a GPU with its name."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return str(device)
