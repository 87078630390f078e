"""The follower hands out every event, once, across restarts and reorganisations."""

import dataclasses

import pytest
from web3.exceptions import Web3RPCError

from tests.chain import chains
from worker.chain import ChainError, Follower, read_events
from worker.chain.events import LockerApproved
from worker.chain.files import read_json, write_json

LOCKER = "0x" + "11" * 20


@pytest.fixture
def chain(memory, clients_of):
    """The chain in memory as if Assay were new on it, and afterwards as it was."""
    w3, deployment = memory
    tester = w3.provider.ethereum_tester
    before = tester.take_snapshot()
    account = chains.funded(w3)
    deployment = dataclasses.replace(deployment, block=w3.eth.block_number + 1)
    yield clients_of((w3, deployment), account)
    tester.revert_to_snapshot(before)


@pytest.fixture
def cursor(tmp_path):
    return tmp_path / "cursor.json"


def emit(clients, count=1):
    """`count` events, each in a block of its own; returns their places."""
    found = []
    for i in range(count):
        locker = f"0x{i + 1:040x}"
        found.append(clients.stakes.approve_locker(locker).one(LockerApproved).place)
    return found


def fork(clients, before):
    """The chain is as it was then; its sender does not mind, as these tests are not about it."""
    clients.w3.provider.ethereum_tester.revert_to_snapshot(before)
    clients.sender._outbox.drop()


def places(events):
    return [event.place for event in events]


def test_every_event_once_and_in_order(chain, cursor):
    follower = chain.follow(cursor)
    first = emit(chain, 2)
    assert places(follower.poll()) == first
    follower.acknowledge()
    assert follower.poll() == []
    second = emit(chain, 1)
    assert places(follower.poll()) == second


def test_the_cursor_goes_on_where_it_was_acknowledged(chain, cursor):
    follower = chain.follow(cursor)
    seen = emit(chain, 2)
    follower.poll()
    follower.acknowledge()
    unseen = emit(chain, 2)
    assert places(follower.poll()) == unseen  # not acknowledged: as if it had died
    again = chain.follow(cursor)
    assert places(again.poll()) == unseen
    again.acknowledge()
    assert chain.follow(cursor).poll() == []
    assert read_json(cursor)["next"] > max(p.block for p in seen)


def test_unacknowledged_events_come_again(chain):
    follower = chain.follow()
    emitted = emit(chain, 2)
    assert places(follower.poll()) == places(follower.poll()) == emitted


def test_only_confirmed_blocks_are_read(chain):
    follower = chain.follow(confirmations=2)
    emitted = emit(chain, 1)
    assert follower.poll() == []
    follower.acknowledge()
    chains.mine(chain.w3)
    assert follower.poll() == []
    chains.mine(chain.w3)
    assert places(follower.poll()) == emitted


def test_after_a_reorganisation_the_new_branch_is_read(chain, cursor):
    tester = chain.w3.provider.ethereum_tester
    follower = chain.follow(cursor)
    kept = emit(chain, 2)
    before = tester.take_snapshot()
    lost = emit(chain, 3)
    assert places(follower.poll()) == kept + lost
    follower.acknowledge()

    fork(chain, before)
    chains.mine(chain.w3, 100)
    new = emit(chain, 4)
    assert not set(new) & set(lost)
    for reader in (chain.follow(cursor), follower):
        assert places(reader.poll()) == new
        reader.acknowledge()
        assert reader.poll() == []


def test_a_reorganisation_to_a_shorter_chain(chain, cursor):
    tester = chain.w3.provider.ethereum_tester
    follower = chain.follow(cursor)
    before = tester.take_snapshot()
    emit(chain, 3)
    follower.poll()
    follower.acknowledge()
    fork(chain, before)
    assert follower.poll() == []
    follower.acknowledge()
    new = emit(chain, 1)
    assert places(follower.poll()) == new


def test_a_fork_while_reading_is_read_again(chain, monkeypatch):
    tester = chain.w3.provider.ethereum_tester
    follower = chain.follow()
    before = tester.take_snapshot()
    emit(chain, 1)
    real = chain.w3.eth.get_logs
    new = []

    def fork_after(query):
        found = real(query)
        if not new:
            fork(chain, before)
            chains.mine(chain.w3, 50)
            new.extend(emit(chain, 1))
        return found

    monkeypatch.setattr(chain.w3.eth, "get_logs", fork_after)
    assert places(follower.poll()) == new


def test_ranges_are_bounded_and_shrink_where_the_node_refuses(chain, monkeypatch):
    emitted = emit(chain, 6)
    asked = []
    real = chain.w3.eth.get_logs

    def fussy(query):
        span = query["toBlock"] - query["fromBlock"] + 1
        if span > 3:
            raise Web3RPCError("query returned more than 10000 results")
        asked.append(span)
        return real(query)

    monkeypatch.setattr(chain.w3.eth, "get_logs", fussy)
    contracts = {chain.stakes.address: "Stakes"}
    first, last = chain.deployment.block, chain.w3.eth.block_number
    assert places(read_events(chain.w3, contracts, first, last, span=10)) == emitted
    assert max(asked) <= 3 and sum(asked) == last - first + 1


def test_a_node_that_refuses_every_range_is_reported(chain, monkeypatch):
    emit(chain, 1)

    def refuse(query):
        raise Web3RPCError("no logs here")

    monkeypatch.setattr(chain.w3.eth, "get_logs", refuse)
    with pytest.raises(Web3RPCError, match="no logs here"):
        chain.follow().poll()


def test_the_cursor_of_another_chain_is_refused(chain, cursor):
    write_json(cursor, {"chain": 5, "next": 1, "trail": [], "seen": {}})
    with pytest.raises(ChainError, match="follows chain 5"):
        chain.follow(cursor)


def test_a_real_nodes_logs(node, clients_of, cursor):
    clients = clients_of(node)
    start = clients.w3.eth.block_number + 1
    contracts = {clients.stakes.address: "Stakes"}
    follower = Follower(clients.w3, contracts, start, cursor)
    emitted = emit(clients, 3)
    assert places(follower.poll()) == emitted
    follower.acknowledge()
    assert Follower(clients.w3, contracts, start, cursor).poll() == []


def test_a_file_is_never_half_written(tmp_path, monkeypatch):
    path = tmp_path / "state.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": {1, 2}})  # no JSON: fails in the middle
    assert read_json(path) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["state.json"]
