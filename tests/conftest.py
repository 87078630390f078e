"""Who takes part, by role. Every role is another account of the test chain."""

import pytest


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
