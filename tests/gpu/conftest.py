"""Kernels run on the GPU where there is one; else under Triton's interpreter, on the CPU: the same
code, element by element, so that its bits are held to the other twins' on every machine."""

import os

import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when a kernel is defined


@pytest.fixture(scope="session")
def device() -> torch.device:
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
