"""Kernels run on the GPU where there is one; else interpreted, as tests/conftest.py has them."""

import pytest
import torch


@pytest.fixture(scope="session")
def device() -> torch.device:
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
