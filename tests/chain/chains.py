"""Chains for the tests of what speaks to one: in memory, and a real node; and Assay on either."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import EthereumTesterProvider, HTTPProvider, Web3

from scripts._contracts import CHECKERS
from tests import evm
from worker.chain import Deployment

ROOT = Path(__file__).resolve().parent.parent.parent
CHAIN_ID = 1337
DEADLINE = 60.0


def wait_for(condition: Callable[[], Any], what: str, seconds: float = DEADLINE) -> Any:
    """The condition's first true value; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)
    return value


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def anvil(*options: str) -> Iterator[Web3]:
    """A node of its own on a loopback port, which mines a block for each transaction."""
    port = free_port()
    command = [str(ROOT / "node_modules/.bin/anvil"), "--port", str(port), "--silent"]
    # npm's `anvil` starts the real one as a child: a group of their own, so that both are ended.
    node = subprocess.Popen(
        [*command, "--chain-id", str(CHAIN_ID), *options], start_new_session=True
    )
    try:
        w3 = Web3(HTTPProvider(f"http://127.0.0.1:{port}"))
        wait_for(w3.is_connected, "the node's first answer")
        yield w3
    finally:
        os.killpg(node.pid, signal.SIGKILL)
        node.wait()


def in_memory() -> Web3:
    return Web3(EthereumTesterProvider())


def is_node(w3: Web3) -> bool:
    return isinstance(w3.provider, HTTPProvider)


def funded(w3: Web3) -> LocalAccount:
    """A new account with coin to pay for gas: tests do not meet in each other's nonces."""
    account = Account.create()
    if is_node(w3):
        w3.provider.make_request("anvil_setBalance", [account.address, hex(10**20)])
    else:
        rich = Account.from_key(w3.provider.ethereum_tester.backend.account_keys[0].to_bytes())
        transact(w3, rich, {"to": account.address, "value": 10**20, "gas": 21_000})
    return account


def transact(w3: Web3, account: LocalAccount, transaction: dict[str, Any]) -> Any:
    """Signs, sends and waits: the plain way."""
    price = {"maxFeePerGas": 10**11, "maxPriorityFeePerGas": 10**9, "chainId": w3.eth.chain_id}
    nonce = {"nonce": w3.eth.get_transaction_count(account.address, "pending")}
    signed = account.sign_transaction({**price, **nonce, **transaction})
    sent = w3.eth.send_raw_transaction(signed.raw_transaction)
    receipt = w3.eth.wait_for_transaction_receipt(sent, timeout=DEADLINE, poll_latency=0.02)
    assert receipt["status"] == 1
    return receipt


def deploy_assay(w3: Web3) -> Deployment:
    """Assay with the parameters of a local chain, whichever node it is."""
    deployer = funded(w3)
    parameters = yaml.safe_load((ROOT / "deployments/local.yaml").read_text())

    def create(name: str, *arguments: Any) -> str:
        artifact = evm.load(name)
        factory = w3.eth.contract(abi=artifact.abi, bytecode=artifact.bytecode)
        built = factory.constructor(*arguments).build_transaction(
            {"from": deployer.address, "nonce": w3.eth.get_transaction_count(deployer.address)}
        )
        return transact(w3, deployer, {"data": built["data"], "gas": built["gas"]}).contractAddress

    token = create("TestToken")
    checkers = [create(name) for name in CHECKERS]
    court = create("Court", *parameters["court"].values(), checkers)
    stakes = create("Stakes", token, parameters["stakes"]["unbondingDelay"])
    randomness = create("BlockhashRandomness", 1, False)
    # the market and the two beside it name each other
    sent = w3.eth.get_transaction_count(deployer.address)
    expected = [evm.address_of_creation(deployer.address, sent + n) for n in (1, 2)]
    verifiers = create("Verifiers", expected[0], stakes, *parameters["verifiers"].values())
    named = (token, stakes, randomness, verifiers, expected[1])
    market = create("Market", (*named, *parameters["market"].values()))
    disputes = create("Disputes", market, court, *parameters["disputes"].values())
    assert [market, disputes] == expected
    return Deployment(
        chain_id=w3.eth.chain_id,
        block=1,
        market=market,
        disputes=disputes,
        court=court,
        stakes=stakes,
        verifiers=verifiers,
        token=token,
        randomness=randomness,
        checkers=tuple(checkers),
    )


def mine(w3: Web3, seconds: int = 0) -> None:
    """One more block, `seconds` later than it would be."""
    if is_node(w3):
        if seconds:
            w3.provider.make_request("evm_increaseTime", [seconds])
        w3.provider.make_request("evm_mine", [])
        return
    tester = w3.provider.ethereum_tester
    if seconds:
        tester.time_travel(w3.eth.get_block("pending")["timestamp"] + seconds)
    tester.mine_block()


@contextmanager
def automine_off(w3: Web3) -> Iterator[None]:
    """Transactions stay in the node's pool until `mine`."""
    w3.provider.make_request("evm_setAutomine", [False])
    try:
        yield
    finally:
        w3.provider.make_request("evm_mine", [])
        w3.provider.make_request("evm_setAutomine", [True])


def environment(**more: str) -> dict[str, str]:
    """For a process of the worker, without what this one's environment says about keys."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith("ASSAY_")}
    return {**plain, "PYTHONPATH": str(ROOT), **more}
