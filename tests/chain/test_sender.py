"""Whatever is sent is mined at most once, wherever the process dies.

Minting play money is not idempotent, so a balance counts how often a call was mined.
"""

import json
import threading

import pytest
from eth_account import Account
from web3.exceptions import TransactionIndexingInProgress, Web3RPCError

from tests.chain import chains
from worker.chain import (
    ChainError,
    ContractError,
    DryRun,
    Failed,
    NodeError,
    Refused,
    Stale,
    Stopping,
    Unconfirmed,
    connect,
    signer,
)
from worker.chain import outbox as outbox_files


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
        patch.setattr(outbox_files, "write_json", die)
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


# --- reorganisations -----------------------------------------------------------------------------


@pytest.fixture
def forking(node, outbox):
    """Clients of a new account, and a way back to the chain as it is now."""
    w3, deployment = node
    account = chains.funded(w3)
    # who has some already gets more for the same gas, whatever was minted before
    connect(w3, deployment, chains.funded(w3), poll=0.02).token.mint(account.address, 100)
    before = w3.provider.make_request("evm_snapshot", [])["result"]

    def again(**options):
        return connect(w3, deployment, account, outbox=outbox, poll=0.02, timeout=5, **options)

    def back():
        nonlocal before
        w3.provider.make_request("evm_revert", [before])
        before = w3.provider.make_request("evm_snapshot", [])["result"]

    return again(), again, back


def test_what_a_reorganisation_dropped_is_sent_again_before_anything_else(forking):
    """Protects from deciding anew, with the next nonce, what may still be mined with an old one."""
    clients, again, back = forking
    for amount in (1, 2, 4):
        clients.token.mint(clients.address, amount)
    back()
    assert (nonce(clients), minted(clients)) == (0, 0)
    after = again()  # also in another process
    with pytest.raises(Stale, match="older transactions had to be sent again"):
        after.token.mint(clients.address, 8)
    assert (nonce(clients), minted(clients)) == (3, 7)
    after.token.mint(clients.address, 8)
    assert (nonce(clients), minted(clients)) == (4, 15)


def minted(clients):
    return balance(clients) - 100


def pend(clients, monkeypatch, amount):
    """A call that is in the outbox, and that no node has seen."""
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_before_the_node_sees_it(patch, clients.w3)
        clients.token.mint(clients.address, amount)


@pytest.mark.parametrize("lost", [False, True])
def test_a_gap_below_what_is_pending_is_filled(forking, monkeypatch, outbox, lost):
    """Protects from standing still for good: outbox at nonce 2, chain at 0. What is lost is filled
    by payments of nothing, and nothing of it is done twice."""
    clients, again, back = forking
    for amount in (1, 2):
        clients.token.mint(clients.address, amount)
    pend(clients, monkeypatch, 4)
    back()
    if lost:
        (outbox.parent / "sent.json").unlink()
    after = again()
    assert after.sender.reconcile() is not None
    assert (nonce(after), minted(after)) == (3, 4 if lost else 7)
    assert after.sender.reconcile() is None and not outbox.exists()


def test_what_is_sent_again_pays_the_fees_of_today(forking):
    clients, _, back = forking
    clients.token.mint(clients.address, 1)
    back()
    base_fee = clients.w3.eth.get_block("latest")["baseFeePerGas"]
    set_base_fee(clients.w3, 100 * base_fee)
    with pytest.raises(Stale):
        clients.token.mint(clients.address, 2)
    assert minted(clients) == 1
    set_base_fee(clients.w3, base_fee)


def test_killed_while_a_gap_is_filled_nothing_is_done_twice(forking, monkeypatch):
    clients, again, back = forking
    for amount in (1, 2):
        clients.token.mint(clients.address, amount)
    pend(clients, monkeypatch, 4)
    back()
    for _ in range(3):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill_before_the_node_answers(patch, clients.w3)
            again().sender.reconcile()
    again().sender.reconcile()
    assert (nonce(clients), minted(clients)) == (3, 7)


def test_a_reorganisation_longer_than_memory_is_begun_anew(forking, monkeypatch):
    """What would have to come first is not known, so what is kept can never be mined."""
    monkeypatch.setattr(outbox_files, "KEPT", 2)
    clients, again, back = forking
    for amount in (1, 2, 4):
        clients.token.mint(clients.address, amount)
    back()
    again().token.mint(clients.address, 8)
    assert (nonce(clients), minted(clients)) == (1, 8)


def test_too_many_lost_ones_are_for_a_person(forking, monkeypatch, outbox):
    clients, again, _ = forking
    pend(clients, monkeypatch, 4)
    entry = json.loads(outbox.read_text())
    outbox.write_text(json.dumps({**entry, "nonce": 1_000}))
    with pytest.raises(ChainError, match=r"1000 in between are lost.*outbox\.json"):
        again().sender.reconcile()


def test_a_chain_that_was_started_anew_is_not_this_one(forking, monkeypatch, outbox):
    """Protects whoever restarts a local chain of the same number under the same folder."""
    clients, again, _ = forking
    clients.token.mint(clients.address, 1)
    pend(clients, monkeypatch, 4)
    monkeypatch.setattr(signer, "_genesis_of", lambda w3: "ab" * 32)
    after = again()
    assert after.sender.reconcile() is None and not outbox.exists()
    after.token.mint(clients.address, 8)
    assert (nonce(clients), minted(clients)) == (2, 9)


# --- a node that is away, or not ready ------------------------------------------------------------


def flaky(monkeypatch, w3, times, arrives):
    """The answers to the next sendings are lost, whether or not they have arrived."""
    real, left = w3.eth.send_raw_transaction, [times]

    def send(raw):
        if left[0]:
            left[0] -= 1
            if arrives:
                real(raw)
            raise NodeError("broke its answer off")
        return real(raw)

    monkeypatch.setattr(w3.eth, "send_raw_transaction", send)


@pytest.mark.parametrize("arrives", [False, True])
@pytest.mark.parametrize("times", [1, 2])
def test_a_sending_whose_answer_is_lost_is_sent_again(
    node, clients_of, monkeypatch, times, arrives
):
    """Protects a tick from one lost answer: the same transaction is handed in again."""
    clients = clients_of(node)
    with monkeypatch.context() as patch:
        flaky(patch, clients.w3, times, arrives)
        clients.token.mint(clients.address, 1)
    assert (nonce(clients), balance(clients)) == (1, 1)


def test_a_node_that_stays_away_leaves_it_in_the_outbox(assay, clients_of, monkeypatch, outbox):
    clients = clients_of(assay, outbox=outbox)
    with monkeypatch.context() as patch, pytest.raises(Unconfirmed, match="broke its answer off"):
        flaky(patch, clients.w3, 99, False)
        clients.token.mint(clients.address, 1)
    clients.sender.reconcile()
    assert balance(clients) == 1


@pytest.fixture
def indexing(monkeypatch):
    """A node that has just started knows of no receipt for a while, and says so."""

    def make(w3, times):
        real, left = w3.eth.get_transaction_receipt, [times]

        def receipt(transaction):
            if left[0]:
                left[0] -= 1
                raise TransactionIndexingInProgress("transaction indexing is in progress")
            return real(transaction)

        monkeypatch.setattr(w3.eth, "get_transaction_receipt", receipt)

    return make


def test_receipts_of_a_node_that_is_still_indexing_are_waited_for(assay, clients_of, indexing):
    clients = clients_of(assay)
    indexing(clients.w3, 3)
    clients.token.mint(clients.address, 1)
    assert balance(clients) == 1


def test_nothing_is_concluded_from_a_node_that_is_still_indexing(
    node, outbox, indexing, monkeypatch
):
    """Protects from taking a mined call for one whose nonce another took, and making it again."""
    w3, deployment = node
    account = chains.funded(w3)
    clients = connect(w3, deployment, account, outbox=outbox, poll=0.01, timeout=0.05)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_before_the_receipt_is_seen(patch, w3)
        clients.token.mint(clients.address, 1)
    with monkeypatch.context():
        indexing(w3, 10**6)
        with pytest.raises(Unconfirmed, match="indexing"):
            clients.sender.reconcile()
        assert outbox.exists()


def test_a_receipt_is_not_waited_for_when_the_worker_stops(node, outbox):
    """Protects SIGTERM from the 180 s that a transaction may take."""
    w3, deployment = node
    stop = threading.Event()
    account = chains.funded(w3)
    clients = connect(w3, deployment, account, outbox=outbox, timeout=60, stop=stop)
    with chains.automine_off(w3):
        stop.set()
        with pytest.raises(Stopping, match="stays in the outbox"):
            clients.token.mint(clients.address, 1)
    stop.clear()
    assert clients.sender.reconcile() is not None
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
    monkeypatch.setattr(signer.Signer, "_estimate", lambda *_: 24_000)  # it takes twice as much
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
