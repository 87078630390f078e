"""Kernels run on the GPU where there is one; else interpreted, as tests/conftest.py has them."""

import pytest
import torch


@pytest.fixture(scope="session")
def device() -> torch.device:
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """numpy, which computes for the interpreter, warns of infinities and NaNs that it is given."""
    for item in items:
        if item.path.parent.name == "gpu":
            item.add_marker(pytest.mark.filterwarnings("ignore::RuntimeWarning"))
