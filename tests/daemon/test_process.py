"""The daemon on a real node: killed, restarted, stopped, doubled."""

import dataclasses
import json
import logging
import signal
import urllib.request

import pytest

from tests.chain import chains
from tests.daemon.roles import ENOUGH
from worker.chain import WrongDeployment, connect
from worker.cli import Exit
from worker.places import Busy

wait_for = chains.wait_for


@pytest.fixture
def token(node):
    w3, deployment = node
    return connect(w3, deployment).token


def test_killed_while_its_transaction_waits_it_is_mined_once(home, token):
    """kill -9 between signature and receipt, at every transaction: three mints make three."""
    me = home.account.address

    def in_pool():
        return home.w3.eth.get_transaction_count(me, "pending")

    with chains.automine_off(home.w3):
        for count in range(ENOUGH):
            process = home.start(role="minter")
            wait_for(lambda before=count: in_pool() > before, "a transaction in the pool")
            assert home.outbox.exists()
            process.kill()
            process.wait()
            chains.mine(home.w3)
            assert token.balance_of(me) == count + 1
    assert home.play("minter")
    assert token.balance_of(me) == home.w3.eth.get_transaction_count(me) == ENOUGH
    assert not home.outbox.exists()


def test_killed_at_any_moment_it_goes_on(home, token):
    me = home.account.address
    process = home.start(role="minter")
    wait_for(lambda: token.balance_of(me), "the first mint")
    process.kill()
    process.wait()
    assert home.play("minter")
    assert token.balance_of(me) == home.w3.eth.get_transaction_count(me) == ENOUGH


def test_a_signal_ends_it_after_the_current_tick(home):
    process = home.start(role="slow")
    wait_for((home.folder / "began").exists, "the tick")
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: any("stopping" in m for m in home.messages()), "the signal to be heard")
    assert process.poll() is None
    (home.folder / "go").touch()
    assert home.wait(process) == Exit.OK
    assert (home.folder / "finished").exists()
    assert home.messages()[-1] == "stopped"


def test_a_second_signal_ends_it_at_once(home):
    process = home.start(role="slow")
    wait_for((home.folder / "began").exists, "the tick")
    process.send_signal(signal.SIGINT)
    wait_for(lambda: any("stopping" in m for m in home.messages()), "the signal to be heard")
    process.send_signal(signal.SIGTERM)
    assert home.wait(process) == 128 + signal.SIGTERM
    assert not (home.folder / "finished").exists()


def test_it_shares_neither_folder_nor_key_and_wakes_for_a_signal(home):
    port = chains.free_port()
    home.write_config(poll=3600, more=f"[metrics]\nport = {port}\n")
    process = home.start(role="idle")
    wait_for(lambda: "started" in home.messages(), "the start")
    metrics = wait_for(lambda: ask(port, "assay_ticks_total"), "metrics of a tick")
    assert 'assay_ticks_total{outcome="idle",role="idle"}' in metrics

    home.write_config()
    with pytest.raises(Busy, match=rf"data folder .* \(process {process.pid}\)"):
        home.play("idle")
    home.write_config(data="elsewhere")
    with pytest.raises(Busy, match=f"key of {home.account.address}"):
        home.play("idle")
    assert home.play("idle", key=False)

    process.send_signal(signal.SIGTERM)
    assert home.wait(process) == Exit.OK
    assert home.play("idle")


def ask(port, word):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return text if word + "{" in text else None


def test_what_it_logs_is_json_and_holds_no_secret(home):
    assert home.wait(home.start("--once", role="minter")) == Exit.OK
    text = (home.folder / "log").read_text()
    records = [json.loads(line) for line in text.splitlines()]
    assert {"time", "level", "logger", "message"} <= set(records[0])
    mined = [r for r in records if r["message"] == "transaction mined"]
    assert len(mined) == ENOUGH
    assert mined[0]["call"] == "token.mint"
    assert home.account.key.hex().removeprefix("0x") not in text


def test_a_broken_role_does_not_stop_the_others(home, token, caplog):
    assert not home.play("broken")
    assert token.balance_of(home.account.address) == ENOUGH
    failed = next(r for r in caplog.records if r.levelno == logging.ERROR)
    assert failed.getMessage() == "broken failed: out of order"
    assert failed.exc_info[0] is RuntimeError


def test_without_a_key_it_says_what_it_would_do_and_sends_nothing(home, caplog):
    before = home.w3.eth.block_number
    home.write_config(more=f'[worker]\naddress = "{home.account.address}"\n')
    with caplog.at_level(logging.INFO, "worker"):
        assert home.play("minter", key=False)
    assert "dry mode: token.mint would be sent" in caplog.text
    assert home.w3.eth.get_transaction_count(home.account.address) == 0
    assert home.w3.eth.block_number == before


def test_the_wrong_chain_ends_it_before_it_does_anything(home, node):
    _, deployment = node
    dataclasses.replace(deployment, chain_id=5).save(home.folder / "registry.json")
    with pytest.raises(WrongDeployment, match="the deployment is on chain 5"):
        home.play("minter")
    assert home.w3.eth.get_transaction_count(home.account.address) == 0
