"""eth-tester, the chain of users' tests, with the interface of the native one in `tests.revm`.

Some thirty transactions a second: for a handful of whole games, on another implementation of the
EVM, with blocks, nonces and gas that are paid for.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from web3 import Web3
from web3.exceptions import ContractLogicError

from tests import evm
from tests.chain.chains import in_memory
from tests.revm import GENESIS_TIME, Sent, matching
from worker.chain.errors import revert_data

GAS = 16_000_000  # below any chain's cap for one transaction
LATER = GENESIS_TIME + 10**9  # ahead of the clock on the wall, so that a block takes a second


class _Eth:
    """The `eth` module; the logs are those of the receipts, as eth-tester looks for some by going
    through all blocks and recovering all senders."""

    def __init__(self, eth: Any) -> None:
        self._eth = eth
        self.logs: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._eth, name)

    def get_logs(self, query: dict[str, Any]) -> list[Any]:
        return matching(self.logs, query)


class TesterChain:
    """A chain of one block per transaction, with time that a test sets. Only `accounts` send."""

    __test__ = False  # no test, whatever its name begins with

    def __init__(self) -> None:
        self._w3 = in_memory()
        self._tester: Any = self._w3.provider.ethereum_tester  # type: ignore[attr-defined]
        self.eth, self.accounts = _Eth(self._w3.eth), list(self._w3.eth.accounts)
        self.gas: dict[str, list[int]] = defaultdict(list)
        self.sent: list[Sent] = []
        self._tester.time_travel(LATER)
        self._tester.mine_block()

    def to_checksum_address(self, address: str) -> str:
        return Web3.to_checksum_address(address)

    @property
    def time(self) -> int:
        return int(self.eth.get_block("latest")["timestamp"])

    @property
    def number(self) -> int:
        return self.eth.block_number

    def deploy(self, name: str, *arguments: Any) -> str:
        """The address of a new contract."""
        artifact = evm.load(name)
        factory = self.eth.contract(abi=artifact.abi, bytecode=artifact.bytecode)
        sent = factory.constructor(*arguments).transact({"from": self.accounts[0]})
        return str(self.eth.get_transaction_receipt(sent)["contractAddress"])

    def address_after(self, deployments: int) -> str:
        """Where the contract will be that is deployed after so many others."""
        deployer = self.accounts[0]
        sent = self.eth.get_transaction_count(deployer)
        return evm.address_of_creation(deployer, sent + deployments)

    def mine(self, blocks: int = 1, seconds: int = 0) -> None:
        """Time passes."""
        if seconds > blocks:
            self._tester.time_travel(self.time + seconds - blocks + 1)
        self._tester.mine_blocks(blocks)

    def send(self, sender: str, to: str, data: bytes, label: str) -> Any:
        """A transaction in a block of its own: its receipt."""
        call: Any = {"from": sender, "to": to, "data": data, "gas": GAS, "gasPrice": 10**10}
        receipt = self.eth.get_transaction_receipt(self.eth.send_transaction(call))
        if receipt["status"] != 1:
            raise ContractLogicError("execution reverted", data="0x" + self._why(call).hex())
        self.eth.logs += receipt["logs"]
        self.gas[label].append(receipt["gasUsed"])
        self.sent.append(Sent(label, sender, receipt["gasUsed"], len(data)))
        return receipt

    def _why(self, call: Any) -> bytes:
        """What a transaction that has just failed reverted with."""
        try:
            self.eth.call(call, "latest")
        except Exception as error:
            data = revert_data(error)
            assert data is not None, error
            return data
        raise AssertionError("a transaction failed, and now it would not")
