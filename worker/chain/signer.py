"""Making transactions: simulated, with gas and fees of today, signed with one key."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from eth_account.signers.local import LocalAccount
from web3 import Web3
from web3.exceptions import MethodUnavailable, Web3Exception, Web3RPCError
from web3.types import TxParams

from worker.chain.errors import Refused, decode_revert, is_tester_failure, revert_data
from worker.chain.outbox import Sent

GAS_HEADROOM = 1.25  # over the estimate: what a call costs may change until it is mined
FEE_HEADROOM = 2  # over the base fee, which rises by an eighth a block at most
RAISE = 8  # nodes take another transaction of a nonce for an eighth more, no less


def simulate(w3: Web3, call: TxParams, label: str = "", block: Any = "latest") -> bytes:
    """`eth_call`, whose revert is a `ContractError`."""
    try:
        return bytes(w3.eth.call(call, block))
    except Exception as error:
        data = revert_data(error)
        if data is not None:
            raise decode_revert(data, label) from error
        if is_tester_failure(error):  # it wants gas to be paid for in calls too
            raise Refused(f"{label}: {error}") from error
        raise


class Signer:
    """One key on one chain. genesis: hash of its first block, hex; empty where no node knows it."""

    def __init__(self, w3: Web3, account: LocalAccount | None, address: str) -> None:
        """Without an account nothing can be signed, and `address` says who is meant."""
        self._w3 = w3
        self.account = account
        self.address: str = account.address if account else Web3.to_checksum_address(address)
        self.chain_id = w3.eth.chain_id
        self.genesis = _genesis_of(w3)

    def next_nonce(self) -> int:
        """Behind what waits in the node's pool."""
        return self._w3.eth.get_transaction_count(self.address, "pending")  # type: ignore[arg-type]

    def sign(self, call: TxParams, label: str, nonce: int | None = None) -> Sent:
        """nonce: the next one, unless it is given."""
        assert self.account is not None
        latest = self._w3.eth.get_block("latest")
        estimate = self._estimate(call, label)
        return self._signed(label, {
            "to": call["to"],
            "data": "0x" + bytes(call["data"]).hex(),  # type: ignore[arg-type]
            "value": call["value"],
            "chainId": self.chain_id,
            "nonce": self.next_nonce() if nonce is None else nonce,
            "gas": min(int(estimate * GAS_HEADROOM), int(latest["gasLimit"])),
            **self._fees(latest.get("baseFeePerGas")),
        })  # fmt: skip

    def _signed(self, label: str, transaction: dict[str, Any]) -> Sent:
        assert self.account is not None
        signed = self.account.sign_transaction(transaction)
        return Sent(
            chain_id=self.chain_id,
            sender=self.address,
            nonce=transaction["nonce"],
            hash="0x" + bytes(signed.hash).hex(),
            raw="0x" + bytes(signed.raw_transaction).hex(),
            label=label,
            transaction=transaction,
            genesis=self.genesis,
        )

    def _estimate(self, call: TxParams, label: str) -> int:
        try:
            return self._w3.eth.estimate_gas(call, "pending")
        except MethodUnavailable:
            # eth-tester estimates no pending block; whatever a block holds is enough
            return int(self._w3.eth.get_block("latest")["gasLimit"])
        except Exception as error:
            data = revert_data(error)
            if data is not None:
                raise decode_revert(data, label) from error
            if isinstance(error, Web3RPCError) or is_tester_failure(error):
                raise Refused(f"{label}: no estimate of its gas: {error}") from error
            raise

    def _fees(self, base_fee: int | None) -> dict[str, int]:
        if base_fee is None:
            return {"gasPrice": int(self._w3.eth.gas_price)}
        tip = int(self._w3.eth.max_priority_fee)
        return {
            "maxPriorityFeePerGas": tip,
            "maxFeePerGas": base_fee * FEE_HEADROOM + tip,
            "type": 2,
        }

    def dearer(self, entry: Sent, waited: bool = False) -> Sent | None:
        """The same call with the fees of today where the entry's are below the base fee or, after
        it has waited, below what others pay; None where that is not so."""
        old = entry.transaction
        if self.account is None or not old:
            return None
        base_fee = self._w3.eth.get_block("latest").get("baseFeePerGas")
        most, tip = ("maxFeePerGas", "maxPriorityFeePerGas")
        if most not in old:
            most = tip = "gasPrice"
        too_low = base_fee is not None and old[most] < base_fee
        if not too_low and not waited:
            return None
        fees = self._fees(base_fee if tip != most else None)
        if not too_low and fees[tip] <= old[tip]:
            return None
        for name in {most, tip}:
            fees[name] = max(fees[name], old[name] + -(-old[name] // RAISE))
        dearer = self._signed(entry.label, {**old, **fees})
        return replace(dearer, others=(*entry.others, entry.hash))


def _genesis_of(w3: Web3) -> str:
    try:
        return bytes(w3.eth.get_block(0)["hash"]).hex()
    except Web3Exception:
        return ""
