"""The worker's own chain clients on a native EVM, in process.

`RevmChain` answers the few things that `worker.chain` asks of a `Web3`, and `RevmSender` stands
where its `Sender` does. So whole games, roles and all, run at some thousand transactions a second;
the tests that go through ape and eth-tester, and through a JSON-RPC server, check the real ones.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, ClassVar

import pyrevm
from eth_utils import to_checksum_address
from web3.exceptions import BlockNotFound, ContractLogicError

from scripts._contracts import CHECKERS
from tests import evm
from worker.chain.contracts import Court, Disputes, Market, Stakes, Token, Verifiers
from worker.chain.errors import decode_revert

GENESIS_TIME = 1_700_000_000


def address_of(name: str) -> str:
    """An account for a role."""
    return to_checksum_address(sha256(name.encode()).digest()[:20])


@dataclass(frozen=True)
class Sent:
    """A transaction: what it called, who sent it, its gas, and its calldata in bytes."""

    label: str
    sender: str
    gas: int
    calldata: int


class RevmChain:
    """A chain of one block per transaction, with time that a test sets."""

    def __init__(self) -> None:
        self.evm = pyrevm.EVM(gas_limit=evm.GAS, spec_id="CANCUN")
        self.number, self.time = 1, GENESIS_TIME
        self.mined = 0  # blocks ever, of forks that were left too
        self.hashes: dict[int, bytes] = {0: bytes(32), 1: bytes(32)}
        self.logs: list[dict[str, Any]] = []
        self.gas: dict[str, list[int]] = defaultdict(list)
        self.sent: list[Sent] = []
        self.eth = _Eth(self)
        self._lock = threading.RLock()  # a worker's lanes are threads

    def to_checksum_address(self, address: str) -> str:
        return to_checksum_address(address)

    def deploy(self, name: str, *arguments: Any) -> str:
        """The address of a new contract."""
        contract = evm.deploy(name, *arguments, evm=self.evm)
        return to_checksum_address(contract.address)

    def address_after(self, deployments: int) -> str:
        """Where the contract will be that is deployed after so many others."""
        return evm.address_after(self.evm, deployments)

    def size_of(self, address: str) -> int:
        """Bytes of a deployed contract."""
        return len(bytes(self.evm.get_code(address) or b""))

    def mine(self, blocks: int = 1, seconds: int = 0) -> None:
        """Time passes."""
        for _ in range(blocks):
            self.number, self.mined = self.number + 1, self.mined + 1
            self.hashes[self.number] = sha256(b"%d" % self.mined).digest()
        self.time += max(seconds, blocks)

    def _environment(self, number: int, time: int) -> None:
        self.evm.set_block_env(pyrevm.BlockEnv(number=number, timestamp=time, gas_limit=evm.GAS))

    def _message(self, call: dict[str, Any]) -> bytes:
        data = call.get("data", b"")
        data = bytes.fromhex(data[2:]) if isinstance(data, str) else bytes(data)
        try:
            return bytes(
                self.evm.message_call(
                    caller=call.get("from", evm.CALLER),
                    to=call["to"],
                    calldata=data,
                    gas=30_000_000,
                )
            )
        except RuntimeError as error:
            revert = evm._revert_data(error)
            raise ContractLogicError("execution reverted", data="0x" + revert.hex()) from None

    def _call(self, call: dict[str, Any], block: Any = "latest") -> bytes:
        with self._lock:
            before = self.evm.snapshot()
            try:
                self._environment(self.number + (block == "pending"), self.time)
                return self._message(call)
            finally:
                self.evm.revert(before)

    def send(self, sender: str, to: str, data: bytes, label: str) -> dict[str, Any]:
        """A transaction in a block of its own: its receipt."""
        with self._lock:
            return self._send(sender, to, data, label)

    def _send(self, sender: str, to: str, data: bytes, label: str) -> dict[str, Any]:
        self._environment(self.number + 1, self.time + 1)
        self._message({"from": sender, "to": to, "data": data})
        self.mine()
        result = self.evm.result
        self.gas[label].append(result.gas_used)
        self.sent.append(Sent(label, sender, result.gas_used, len(data)))
        block_hash = self.hashes[self.number]
        transaction = sha256(b"transaction" + block_hash).digest()
        logs = [
            {
                "address": to_checksum_address(log.address),
                "topics": [bytes.fromhex(t[2:]) for t in log.topics],
                "data": bytes(log.data[1]),
                "blockNumber": self.number,
                "blockHash": block_hash,
                "transactionHash": transaction,
                "logIndex": index,
            }
            for index, log in enumerate(result.logs)
        ]
        self.logs += logs
        return {
            "logs": logs,
            "transactionHash": transaction,
            "blockNumber": self.number,
            "gasUsed": result.gas_used,
            "status": 1,
        }

    def _block(self, which: Any = "latest") -> dict[str, Any]:
        with self._lock:  # a block is seen with its logs, or not at all
            number = which if isinstance(which, int) else self.number
            if not 0 <= number <= self.number:
                raise BlockNotFound(f"no block {number}")
            names = {"hash": self.hashes[number], "parentHash": self.hashes[max(0, number - 1)]}
            return {"number": number, "timestamp": self.time, **names}

    def _get_logs(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        with self._lock:
            return matching(self.logs, query)


def matching(logs: Sequence[dict[str, Any]], query: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that `eth_getLogs` would give for the query."""
    addresses = {a.lower() for a in query["address"]}
    topics = [bytes.fromhex(t[2:]) if isinstance(t, str) else t for t in query.get("topics", [])]
    return [
        log
        for log in logs
        if log["address"].lower() in addresses
        and query["fromBlock"] <= log["blockNumber"] <= query["toBlock"]
        and len(log["topics"]) >= len(topics)
        and all(t is None or t == found for t, found in zip(topics, log["topics"], strict=False))
    ]


class _Eth:
    """The `eth` module, as far as the clients use it."""

    def __init__(self, chain: RevmChain) -> None:
        self._chain = chain
        self.call, self.get_block = chain._call, chain._block
        self.get_logs, self.chain_id = chain._get_logs, 31337

    @property
    def block_number(self) -> int:
        with self._chain._lock:
            return self._chain.number


class RevmSender:
    """Sends as one account; a refusal is the `ContractError` that the real sender raises."""

    def __init__(self, chain: RevmChain, address: str) -> None:
        self._chain, self.address = chain, address

    def send(self, to: str, data: bytes, label: str, value: int = 0) -> dict[str, Any]:
        try:
            return self._chain.send(self.address, to, data, label)
        except ContractLogicError as error:
            raise decode_revert(bytes.fromhex(str(error.data)[2:]), label) from None


@dataclass(frozen=True)
class Hand:
    """An account's clients of all contracts."""

    market: Market
    disputes: Disputes
    court: Court
    stakes: Stakes
    verifiers: Verifiers
    token: Token


class Deployed:
    """All contracts on one chain, and clients of them for any account."""

    CLOCK = 3_600  # of tasks that are posted without another
    PARAMETERS: ClassVar = {
        "minBidTime": 60,
        "maxBidTime": 10_000_000,
        "minCommitTime": 60,
        "minClock": 60,
        "maxClock": 30 * 86_400,
        "marginBps": 15_000,
        "latePenaltyBps": 1_000,
        "floorStake": 100,
    }
    VERIFIERS: ClassVar = {"unitStake": 1_500, "drawTime": 30_000}
    DISPUTES: ClassVar = {"openTime": 600, "finderBps": 3_000, "bond": 10}

    def __init__(
        self,
        arity_bits: int = 5,
        chain: Any = None,
        parameters: Mapping[str, int] | None = None,
        randomness: tuple[Any, ...] = ("BlockhashRandomness", 2, False),
    ) -> None:
        """parameters: those that are to differ from PARAMETERS, VERIFIERS and DISPUTES.
        randomness: the source's contract, and what it is made with."""
        known = {**self.PARAMETERS, **self.VERIFIERS, **self.DISPUTES}
        given = {**known, **(parameters or {})}
        if unknown := set(given) - set(known):
            raise ValueError(f"no such parameters: {', '.join(sorted(unknown))}")
        chain = self.chain = RevmChain() if chain is None else chain
        self.token = chain.deploy("TestToken")
        self.stakes = chain.deploy("Stakes", self.token, 30 * 86_400)
        checkers = [chain.deploy(kind) for kind in CHECKERS]
        self.court = chain.deploy("Court", arity_bits, checkers)
        self.randomness = chain.deploy(*randomness)
        market, disputes = (chain.address_after(n) for n in (1, 2))
        self.verifiers = chain.deploy(
            "Verifiers", market, self.stakes, *(given[name] for name in self.VERIFIERS)
        )
        first = (self.token, self.stakes, self.randomness, self.verifiers, disputes)
        self.market = chain.deploy("Market", (*first, *(given[name] for name in self.PARAMETERS)))
        self.disputes = chain.deploy(
            "Disputes", self.market, self.court, *(given[name] for name in self.DISPUTES)
        )
        assert (self.market, self.disputes) == (market, disputes)
        self.names = {
            self.verifiers: "Verifiers",
            self.token: "Token",
            self.stakes: "Stakes",
            self.court: "Court",
            self.market: "Market",
            self.disputes: "Disputes",
        }

    def clients(self, account: str, sender: Any = None) -> Hand:
        """sender: one of the account's own kind, if it has one."""
        sender = sender or RevmSender(self.chain, account)
        w3: Any = self.chain
        return Hand(
            Market(w3, self.market, sender, self.names, 0),
            Disputes(w3, self.disputes, sender, self.names, 0),
            Court(w3, self.court, sender, self.names, 0),
            Stakes(w3, self.stakes, sender, self.names, 0),
            Verifiers(w3, self.verifiers, sender, self.names, 0),
            Token(w3, self.token, sender, self.names, 0),
        )

    def stand(self, account: str, units: int) -> None:
        """Offers units; their stake must be deposited."""
        hand = self.clients(account)
        hand.stakes.approve_locker(self.verifiers)
        hand.verifiers.offer(units)

    def leave(self, account: str) -> None:
        """Takes an account's units back, and frees their stake; its duties must be over."""
        units = self.clients(account).verifiers
        if units.units_of(account):
            units.offer(0)
        if units.releasable(account)[0]:
            self.chain.mine(seconds=units.draw_time() + 1)
            units.release(account)
