"""Games compute many tiny tensors: one thread is faster than two."""

import pytest
import torch

from worker.roles.ahead import Ahead


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def one_by_one(monkeypatch):
    """Whether the next segment is computed by the time the last one is stored is a matter of luck:
    here it never is, and each is committed alone."""
    monkeypatch.setattr(Ahead, "is_done", lambda ahead, key: False)
