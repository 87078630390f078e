"""A node that lacks what a worker needs is known before money moves; one that answers badly now and
then costs nothing but time."""

import pytest

from tests.chain import chains, servers
from worker.chain import ChainError, connect, open_rpc, probe
from worker.chain import node as node_module

TOKEN = 10**18


def kind_of(body):
    """A call's method, and which block it is about."""
    names = [p for p in body["params"] if isinstance(p, str)]
    tag = next((n for n in names if n in ("latest", "pending")), "")
    if body["method"] in ("eth_call", "eth_getBlockByNumber") and not tag:
        tag = "number"
    return body["method"], tag


def through(node, instead=lambda body, handler: None):
    """The node of these tests, behind a server that may answer in its stead."""
    return servers.serving(servers.forwarding(node[0].provider.endpoint_uri, instead))


def clients_at(server, node, account=None):
    return connect(open_rpc(server.url()), node[1], account, poll=0.02, timeout=20)


def kinds(server):
    flat = [b for body in server.asked for b in (body if isinstance(body, list) else [body])]
    return {kind_of(body) for body in flat}


def test_a_node_that_answers_everything_is_good(node):
    account = chains.funded(node[0])
    before = node[0].eth.block_number
    with through(node) as server:
        clients = clients_at(server, node, account)
        found = probe(clients)
        assert found.missing == () and "batches" in found.answered
    assert node[0].eth.block_number == before and clients.sender.pending is None


def test_the_chain_in_this_process_is_good_too(memory, clients_of):
    assert probe(clients_of(memory)).missing == ()


def test_what_a_worker_calls_is_what_was_tried(node):
    """Protects from a kind of call that is first made when money is at stake."""
    account = chains.funded(node[0])
    with through(node) as server:
        clients = clients_at(server, node, account)
        server.asked.clear()
        probe(clients)
        tried = kinds(server)
        server.asked.clear()
        clients.sender.reconcile()
        clients.token.mint(clients.address, 5 * TOKEN)
        clients.token.ensure_allowance(clients.stakes.address, TOKEN)
        clients.stakes.deposit(TOKEN)
        board = clients.board()
        board.refresh()
        chains.mine(node[0])
        board.refresh()
        follower = clients.follow()
        follower.poll(), clients.now(), clients.market.parameters()
        clients.sender.pending, clients.w3.eth.get_balance(clients.address)
        assert kinds(server) - tried == set()


NEEDED = (
    "eth_getBalance",
    "eth_getTransactionCount",
    "eth_estimateGas",
    "eth_getLogs",
    "eth_getTransactionReceipt",
    "eth_getTransactionByHash",
    "eth_sendRawTransaction",
)


@pytest.mark.parametrize("method", NEEDED)
def test_a_call_that_the_node_refuses_is_named(node, method):
    def refuse(body, _):
        if isinstance(body, dict) and body["method"] == method:
            return (200, {}, servers.refused(body, -32601, f"the method {method} is not available"))
        return None

    said = f"refuses what a worker needs: {method}"
    with through(node, refuse) as server, pytest.raises(ChainError, match=said):
        probe(clients_at(server, node, chains.funded(node[0])))


def test_logs_that_were_pruned_are_named(node):
    """A provider's plan may keep the last days only: a dispute's past would be missing."""

    def pruned(body, _):
        logs = isinstance(body, dict) and body["method"] == "eth_getLogs"
        if logs and int(body["params"][0]["fromBlock"], 16) <= 1:
            return (200, {}, servers.refused(body, -32000, "history has been pruned"))
        return None

    said = r"eth_getLogs from the deployment on: .*pruned"
    with through(node, pruned) as server, pytest.raises(ChainError, match=said):
        probe(clients_at(server, node, chains.funded(node[0])))


def test_what_can_be_done_without_is_said(node):
    def no_batches(body, _):
        if isinstance(body, list):
            return (400, {}, servers.refused(body, -32600, "no batches"))
        return None

    with through(node, no_batches) as server:
        found = probe(clients_at(server, node, chains.funded(node[0])))
        assert [line.split(":")[0] for line in found.missing] == ["no batches"]


def test_bad_answers_now_and_then_stop_nothing_and_double_nothing(node, monkeypatch):
    """Protects from a provider at its limit: every 7th answer is a refusal, a half, or a reset, and
    yet every call is made, and made once."""
    monkeypatch.setattr(node_module, "FIRST_WAIT", 0.0)
    asked = [0]

    def bad(body, handler):
        asked[0] += 1
        if asked[0] % 7:
            return None
        if asked[0] % 3 == 0:
            return (200, {}, servers.refused(body, -32005, "rate limit exceeded"))
        return (servers.truncated if asked[0] % 3 == 1 else servers.reset)(body, handler)

    account = chains.funded(node[0])
    with through(node, bad) as server:
        clients = clients_at(server, node, account)
        board = clients.board()
        for number in range(1, 13):
            clients.token.mint(clients.address, 1)
            board.refresh()
            assert clients.token.balance_of(clients.address) == number
        assert board.open_tasks() is not None
        assert clients.w3.provider.repeated > 5
    assert node[0].eth.get_transaction_count(account.address) == 12
