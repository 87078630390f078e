"""Whatever is sent is mined at most once, wherever the process dies.

Minting play money is not idempotent, so a balance counts how often a call was mined.
"""

import json

import pytest
from eth_account import Account
from web3.exceptions import Web3RPCError

from tests.chain import chains
from worker.chain import (
    ChainError,
    ContractError,
    DryRun,
    Failed,
    Refused,
    Stale,
    Unconfirmed,
    connect,
    sender,
)


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


@pytest.fixture
def outbox(tmp_path):
    return tmp_path / "worker" / "outbox.json"


def balance(clients):
    return clients.token.balance_of(clients.address)


def nonce(clients):
    return clients.w3.eth.get_transaction_count(clients.address)


def test_receipt_and_empty_outbox_after_a_call(assay, clients_of, outbox):
    seen = []
    clients = clients_of(assay, outbox=outbox, on_receipt=lambda label, _: seen.append(label))
    receipt = clients.token.mint(clients.address, 7)
    assert balance(clients) == 7
    assert (receipt.label, receipt.gas > 21_000) == ("token.mint", True)
    assert seen == ["token.mint"]
    assert not outbox.exists()
    assert clients.w3.eth.get_transaction(receipt.transaction)["type"] == 2


def test_nothing_is_sent_when_the_simulation_reverts(assay, clients_of, outbox):
    clients = clients_of(assay, outbox=outbox)
    with pytest.raises(ContractError, match="ERC20InsufficientBalance"):
        clients.token.transfer(chains.funded(clients.w3).address, 1)
    assert nonce(clients) == 0
    assert not outbox.exists()


# --- dying ---------------------------------------------------------------------------------------


def kill_before_the_node_sees_it(monkeypatch, w3):
    def send(raw):
        raise Killed

    monkeypatch.setattr(w3.eth, "send_raw_transaction", send)


def kill_before_the_node_answers(monkeypatch, w3):
    real = w3.eth.send_raw_transaction

    def send(raw):
        real(raw)
        raise Killed

    monkeypatch.setattr(w3.eth, "send_raw_transaction", send)


def kill_before_the_receipt_is_seen(monkeypatch, w3):
    def receipt(transaction):
        raise Killed

    monkeypatch.setattr(w3.eth, "get_transaction_receipt", receipt)


@pytest.mark.parametrize(
    "kill",
    [
        kill_before_the_node_sees_it,
        kill_before_the_node_answers,
        kill_before_the_receipt_is_seen,
    ],
)
def test_killed_between_signature_and_receipt_it_is_mined_once(
    assay, clients_of, outbox, monkeypatch, kill
):
    account = chains.funded(assay[0])
    clients = clients_of(assay, account, outbox=outbox)
    with monkeypatch.context() as patch:
        kill(patch, clients.w3)
        with pytest.raises(Killed):
            clients.token.mint(clients.address, 1)
    signed = json.loads(outbox.read_text())

    after = clients_of(assay, account, outbox=outbox)
    assert after.sender.pending.hash == signed["hash"]
    receipt = after.sender.reconcile()
    assert "0x" + bytes(receipt["transactionHash"]).hex() == signed["hash"]
    assert balance(after) == nonce(after) == 1
    assert not outbox.exists()
    assert after.sender.reconcile() is None


def test_killed_before_the_outbox_is_written_nothing_happened(
    assay, clients_of, outbox, monkeypatch
):
    account = chains.funded(assay[0])
    clients = clients_of(assay, account, outbox=outbox)

    def die(path, value):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(sender, "write_json", die)
        clients.token.mint(clients.address, 1)
    after = clients_of(assay, account, outbox=outbox)
    assert after.sender.reconcile() is None
    assert nonce(after) == 0


def test_a_decision_made_before_the_outbox_was_settled_is_not_sent(
    assay, clients_of, outbox, monkeypatch
):
    clients = clients_of(assay, outbox=outbox)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_before_the_node_sees_it(patch, clients.w3)
        clients.token.mint(clients.address, 1)
    with pytest.raises(Stale, match="older transaction"):
        clients.token.mint(clients.address, 1)
    assert balance(clients) == 1
    clients.token.mint(clients.address, 1)
    assert balance(clients) == 2


def test_another_transaction_took_the_nonce(assay, clients_of, outbox, monkeypatch):
    account = chains.funded(assay[0])
    clients = clients_of(assay, account, outbox=outbox)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_before_the_node_sees_it(patch, clients.w3)
        clients.token.mint(clients.address, 1)
    chains.transact(clients.w3, account, {"to": account.address, "value": 1, "gas": 21_000})
    assert clients.sender.reconcile() is None
    assert not outbox.exists()
    assert balance(clients) == 0


def test_the_node_is_lost_while_sending(assay, clients_of, outbox, monkeypatch):
    clients = clients_of(assay, outbox=outbox)

    def lost(raw):
        raise ConnectionError("connection reset")

    with monkeypatch.context() as patch, pytest.raises(Unconfirmed, match="connection reset"):
        patch.setattr(clients.w3.eth, "send_raw_transaction", lost)
        clients.token.mint(clients.address, 1)
    assert outbox.exists()
    clients.sender.reconcile()
    assert balance(clients) == 1


def test_without_a_file_the_process_itself_remembers(assay, clients_of, monkeypatch):
    clients = clients_of(assay)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_before_the_node_answers(patch, clients.w3)
        clients.token.mint(clients.address, 1)
    assert clients.sender.pending is not None
    clients.sender.reconcile()
    assert (balance(clients), clients.sender.pending) == (1, None)


@pytest.mark.parametrize("field, value", [("chain_id", 5), ("sender", "0x" + "12" * 20)])
def test_the_outbox_of_another_key_or_chain_is_refused(assay, clients_of, outbox, field, value):
    clients = clients_of(assay, outbox=outbox)
    entry = {"chain_id": 1, "sender": "", "nonce": 0, "hash": "0x00", "raw": "0x00", "label": "x"}
    entry |= {"chain_id": clients.deployment.chain_id, "sender": clients.address, field: value}
    outbox.parent.mkdir(exist_ok=True)
    outbox.write_text(json.dumps(entry))
    with pytest.raises(ChainError, match="data folder of its own"):
        clients.sender.reconcile()
    assert outbox.exists()


# --- the pool ------------------------------------------------------------------------------------


def test_waiting_in_the_pool_it_is_sent_again_unchanged_and_mined_once(node, outbox):
    w3, deployment = node
    account = chains.funded(w3)
    clients = connect(w3, deployment, account, outbox=outbox, poll=0.02, timeout=0.1)
    with chains.automine_off(w3):
        with pytest.raises(Unconfirmed, match=r"not mined within 0\.1 s"):
            clients.token.mint(clients.address, 1)
        first = clients.sender.pending
        with pytest.raises(Unconfirmed):
            clients.token.mint(clients.address, 1)  # settles the first one before anything else
        assert clients.sender.pending == first
        assert w3.eth.get_transaction_count(account.address, "pending") == 1
        chains.mine(w3)
    assert clients.sender.reconcile() is not None
    assert balance(clients) == nonce(clients) == 1


def set_base_fee(w3, fee):
    """Of a block that is mined now; that of the next one is near it."""
    w3.provider.make_request("anvil_setNextBlockBaseFeePerGas", [hex(fee)])
    chains.mine(w3)


@pytest.fixture
def outbid(node, outbox):
    """A call that waits in the pool, below the base fee."""
    w3, deployment = node
    account = chains.funded(w3)

    def again():
        return connect(w3, deployment, account, outbox=outbox, poll=0.02, timeout=0.1)

    with chains.automine_off(w3):
        clients = again()
        with pytest.raises(Unconfirmed):
            clients.token.mint(clients.address, 1)
        base_fee = w3.eth.get_block("latest")["baseFeePerGas"]
        set_base_fee(w3, 2 * clients.sender.pending.transaction["maxFeePerGas"])
        assert nonce(clients) == 0
        yield clients, again
        set_base_fee(w3, base_fee)


def test_a_call_below_the_base_fee_is_signed_again_and_mined_once(outbid):
    """Protects a solver's clock from fees that rise while its answer waits."""
    clients, _ = outbid
    first = clients.sender.pending
    with pytest.raises(Unconfirmed):
        clients.sender.reconcile()
    second = clients.sender.pending
    assert (second.nonce, second.others) == (first.nonce, (first.hash,))
    with pytest.raises(Unconfirmed):
        clients.sender.reconcile()
    assert clients.sender.pending == second  # which is dear enough
    chains.mine(clients.w3)
    receipt = clients.sender.reconcile()
    assert "0x" + bytes(receipt["transactionHash"]).hex() == second.hash
    assert balance(clients) == nonce(clients) == 1


def test_killed_before_the_node_sees_the_dearer_one_it_is_mined_once(outbid, monkeypatch):
    clients, again = outbid
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_before_the_node_sees_it(patch, clients.w3)
        clients.sender.reconcile()
    after = again()
    assert len(after.sender.pending.others) == 1
    with pytest.raises(Unconfirmed):
        after.sender.reconcile()
    chains.mine(after.w3)
    assert after.sender.reconcile() is not None
    assert balance(after) == nonce(after) == 1


@pytest.mark.parametrize("arrives", [False, True])
def test_whichever_is_mined_where_the_node_says_no_to_the_dearer_one(outbid, monkeypatch, arrives):
    """Protects from a second call: a refusal, even one that is wrong, forgets neither of them."""
    clients, _ = outbid
    first = clients.sender.pending
    broadcast = clients.w3.eth.send_raw_transaction

    def send(raw):
        if raw == first.raw:
            return broadcast(raw)
        if arrives:
            broadcast(raw)
        raise Web3RPCError("replacement transaction underpriced")

    with monkeypatch.context() as patch:
        patch.setattr(clients.w3.eth, "send_raw_transaction", send)
        for _ in range(2):
            with pytest.raises(Unconfirmed):
                clients.sender.reconcile()
        assert clients.sender.pending.hash == first.hash
        assert len(clients.sender.pending.others) == 1
        if not arrives:  # and the node has dropped the first one meanwhile
            set_base_fee(clients.w3, 10**8)
            with pytest.raises(Unconfirmed):
                clients.sender.reconcile()
        chains.mine(clients.w3)
        assert clients.sender.reconcile() is not None
    assert balance(clients) == nonce(clients) == 1


def test_the_node_is_lost_while_the_dearer_one_is_sent(outbid, monkeypatch):
    clients, _ = outbid
    first = clients.sender.pending
    broadcast = clients.w3.eth.send_raw_transaction

    def send(raw):
        broadcast(raw)
        if raw != first.raw:
            raise ConnectionError("lost")

    with monkeypatch.context() as patch, pytest.raises(Unconfirmed, match="lost"):
        patch.setattr(clients.w3.eth, "send_raw_transaction", send)
        clients.sender.reconcile()
    chains.mine(clients.w3)
    assert clients.sender.reconcile() is not None
    assert balance(clients) == nonce(clients) == 1


def test_the_pools_transactions_count_for_the_nonce(node, clients_of):
    """A transaction of the same key, sent by other hands, waits in the pool."""
    w3, _ = node
    account = chains.funded(w3)
    clients = clients_of(node, account)
    with chains.automine_off(w3):
        price = {"maxFeePerGas": 10**11, "maxPriorityFeePerGas": 10**9, "chainId": w3.eth.chain_id}
        plain = {"to": account.address, "value": 1, "gas": 21_000, "nonce": 0, **price}
        w3.eth.send_raw_transaction(account.sign_transaction(plain).raw_transaction)
        clients.sender._timeout = 0.05
        with pytest.raises(Unconfirmed):
            clients.token.mint(clients.address, 1)
        assert clients.sender.pending.nonce == 1
    clients.sender.reconcile()
    assert (nonce(clients), balance(clients)) == (2, 1)


def test_a_gap_below_the_nonce_is_named(node, clients_of, outbox):
    """The chain has been rolled back: earlier transactions of the key are gone."""
    clients = clients_of(node, outbox=outbox)
    account = clients.sender._account
    call = {"from": clients.address, "to": clients.token.address, "value": 0}
    call["data"] = clients.token.encode_call("mint", clients.address, 1)
    entry = clients.sender._sign(call, "token.mint")
    later = {"to": clients.token.address, "data": call["data"], "value": 0, "gas": 100_000}
    later |= {"nonce": 3, "chainId": entry.chain_id, "maxFeePerGas": 10**11}
    signed = account.sign_transaction({**later, "maxPriorityFeePerGas": 1})
    known = {"raw": "0x" + signed.raw_transaction.hex(), "hash": "0x" + signed.hash.hex()}
    outbox.parent.mkdir()
    outbox.write_text(json.dumps({**vars(entry), **known, "nonce": 3}))
    clients.sender._timeout = 0.05
    with pytest.raises(Unconfirmed, match=r"Nonce 3, the chain is at 0"):
        clients.sender.reconcile()
    for _ in range(3):
        chains.transact(
            clients.w3, account, {"to": clients.address, "gas": 21_000, "nonce": nonce(clients)}
        )
    clients.sender.reconcile()
    assert balance(clients) == 1


# --- refusals and failures -----------------------------------------------------------------------


def test_who_cannot_pay_is_refused_and_nothing_is_left(assay, outbox):
    w3, deployment = assay
    clients = connect(w3, deployment, Account.create(), outbox=outbox)
    with pytest.raises(Refused):
        clients.token.mint(clients.address, 1)
    assert not outbox.exists()


def test_reverting_although_the_simulation_succeeded(assay, clients_of, outbox, monkeypatch):
    clients = clients_of(assay, outbox=outbox)
    monkeypatch.setattr(sender.Sender, "_estimate", lambda *_: 24_000)  # it takes twice as much
    with pytest.raises(Failed, match="reverted in block"):
        clients.token.mint(clients.address, 1)
    assert (nonce(clients), balance(clients)) == (1, 0)
    assert not outbox.exists()


def test_a_chain_without_base_fee_gets_legacy_transactions(assay, clients_of, monkeypatch):
    clients = clients_of(assay)
    real = clients.w3.eth.get_block

    def old(*arguments):
        block = dict(real(*arguments))
        block.pop("baseFeePerGas", None)
        return block

    monkeypatch.setattr(clients.w3.eth, "get_block", old)
    receipt = clients.token.mint(clients.address, 1)
    assert clients.w3.eth.get_transaction(receipt.transaction)["type"] == 0
    assert balance(clients) == 1


def test_without_a_key_calls_are_only_simulated(assay, outbox):
    w3, deployment = assay
    someone = chains.funded(w3).address
    clients = connect(w3, deployment, address=someone, outbox=outbox)
    with pytest.raises(DryRun, match=f"token.mint would be sent from {someone}"):
        clients.token.mint(someone, 1)
    with pytest.raises(ContractError, match="UnknownTask"):
        clients.market.bid(10**6, 1)
    assert not outbox.exists()
    assert balance(clients) == 0
