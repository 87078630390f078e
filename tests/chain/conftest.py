"""Two chains, each with Assay: in this process, and behind JSON-RPC.

Neither is ape's own, so ape need not put them back between tests.
"""

import ape
import pytest

from tests.chain import chains
from worker.chain import connect


@ape.fixture(scope="session", chain_isolation=False)
def memory():
    w3 = chains.in_memory()
    return w3, chains.deploy_assay(w3)


@ape.fixture(scope="session", chain_isolation=False)
def node():
    with chains.anvil() as w3:
        yield w3, chains.deploy_assay(w3)


@pytest.fixture(params=["memory", "node"])
def assay(request):
    """(w3, deployment), on either chain."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def clients_of():
    """Clients of a deployment for a new account, or for one that is given."""

    def make(where, account=None, **options):
        w3, deployment = where
        account = account or chains.funded(w3)
        return connect(w3, deployment, account, poll=0.02, timeout=20, **options)

    return make
