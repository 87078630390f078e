"""A node on this machine, `anvil`, with the interface of the tests' chain in process.

That one keeps everything warm between transactions, so its gas is too low; a node's is what a chain
would charge.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from web3 import Web3

from tests import evm
from tests.chain.chains import anvil
from tests.revm import Sent

GAS = 16_000_000  # below any chain's cap for one transaction


class NodeChain:
    """One block per transaction; any account may send."""

    def __init__(self, w3: Web3) -> None:
        self._w3, self.eth = w3, w3.eth
        self.sent: list[Sent] = []
        self._deployer = w3.eth.accounts[0]
        self._funded: set[str] = set()

    def to_checksum_address(self, address: str) -> str:
        return Web3.to_checksum_address(address)

    @property
    def time(self) -> int:
        return int(self.eth.get_block("latest")["timestamp"])

    def deploy(self, name: str, *arguments: Any) -> str:
        """The address of a new contract."""
        artifact = evm.load(name)
        factory = self.eth.contract(abi=artifact.abi, bytecode=artifact.bytecode)
        sent = factory.constructor(*arguments).transact({"from": self._deployer})
        address = self.eth.wait_for_transaction_receipt(sent, poll_latency=0.01)["contractAddress"]
        assert address is not None
        return str(address)

    def address_after(self, deployments: int) -> str:
        """Where the contract will be that is deployed after so many others."""
        sent = self.eth.get_transaction_count(Web3.to_checksum_address(self._deployer))
        return evm.address_of_creation(self._deployer, sent + deployments)

    def size_of(self, address: str) -> int:
        """Bytes of a deployed contract."""
        return len(self.eth.get_code(Web3.to_checksum_address(address)))

    def mine(self, blocks: int = 1, seconds: int = 0) -> None:
        """Time passes."""
        self._w3.provider.make_request("evm_increaseTime", [seconds])  # type: ignore[arg-type]
        for _ in range(blocks):
            self._w3.provider.make_request("evm_mine", [])  # type: ignore[arg-type]

    def reach(self, time: int) -> None:
        """The next block is at `time`, which must be later than the last one's."""
        self._w3.provider.make_request("evm_setNextBlockTimestamp", [time])  # type: ignore[arg-type]

    def send(self, sender: str, to: str, data: bytes, label: str) -> Any:
        """A transaction in a block of its own: its receipt."""
        if sender not in self._funded:
            self._w3.provider.make_request("anvil_setBalance", [sender, hex(10**20)])  # type: ignore[arg-type]
            self._funded.add(sender)
        call: Any = {"from": sender, "to": to, "data": data, "gas": GAS}
        self.eth.call(call, "pending")  # refuses with the contract's own error
        receipt = self.eth.wait_for_transaction_receipt(
            self.eth.send_transaction(call), poll_latency=0.005
        )
        assert receipt["status"] == 1, label
        raw = bytes.fromhex(data[2:]) if isinstance(data, str) else data
        self.sent.append(Sent(label, sender, receipt["gasUsed"], len(raw)))
        return receipt


@contextmanager
def node(*options: str) -> Iterator[NodeChain]:
    """A new node, ended with the block. options: of `anvil` besides."""
    with anvil("--auto-impersonate", "--timestamp", "1700000000", *options) as w3:
        yield NodeChain(w3)
