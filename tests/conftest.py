"""What all tests share: who takes part, by role (each another account of the test chain), and one
thread, which for many tiny tensors is faster than two."""

import os

import pytest
import torch

if not torch.cuda.is_available():
    # Read once, when Triton is first imported, by whatever test: kernels are then interpreted on
    # the CPU, the same code, so that their bits are held to the other twins' on every machine.
    os.environ["TRITON_INTERPRET"] = "1"


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def deployer(accounts):
    return accounts[0]


@pytest.fixture(scope="session")
def requester(accounts):
    return accounts[1]


@pytest.fixture(scope="session")
def solver(accounts):
    return accounts[2]


@pytest.fixture(scope="session")
def verifier(accounts):
    return accounts[3]


@pytest.fixture(scope="session")
def challenger(accounts):
    return accounts[4]


@pytest.fixture(scope="session")
def outsider(accounts):
    """Somebody with no part in anything."""
    return accounts[5]


@pytest.fixture(scope="session")
def rivals(accounts):
    """More workers, for bids and draws."""
    return [accounts[i] for i in range(6, 10)]
