"""One sender for each key: whatever it sends is mined at most once, whenever the process dies."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from eth_account.signers.local import LocalAccount
from web3 import Web3
from web3.exceptions import MethodUnavailable, TransactionNotFound, Web3RPCError
from web3.types import TxParams, TxReceipt

from worker.chain.errors import (
    ChainError,
    DryRun,
    Failed,
    Refused,
    Stale,
    Unconfirmed,
    decode_revert,
    is_tester_failure,
    revert_data,
)
from worker.chain.files import Damaged, read_json, remove, write_json
from worker.chain.types import ZERO_ADDRESS

log = logging.getLogger(__name__)

GAS_HEADROOM = 1.25  # over the estimate: what a call costs may change until it is mined
FEE_HEADROOM = 2  # over the base fee, which rises by an eighth a block at most
RAISE = 8  # nodes take another transaction of a nonce for an eighth more, no less
KNOWN = ("already known", "known transaction", "already imported", "alreadyknown")
USED = ("nonce too low", "invalid transaction nonce", "nonce is too low", "oldnonce")


@dataclass(frozen=True)
class Sent:
    """A transaction that has been signed, as the outbox keeps it.

    transaction: what was signed. others: hashes of the same call with the same nonce and other
    fees, which may be mined in its stead.
    """

    chain_id: int
    sender: str
    nonce: int
    hash: str
    raw: str
    label: str
    transaction: dict[str, Any] = field(default_factory=dict)
    others: tuple[str, ...] = ()


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


class Sender:
    """Simulates, signs, sends and waits, one transaction at a time.

    The signed transaction is in the outbox, on disk, before the node sees it, and leaves it when
    its receipt has been seen. After any failure the chain is asked first: a transaction whose nonce
    is used is over, any other is broadcast again. Where fees have risen above what it offers it is
    signed again with higher ones and the same nonce, of which only one can be mined. So no call is
    made a second time while its first transaction may still be mined. Call `reconcile` before
    reading the state that a decision rests on; `send` refuses (`Stale`, `Unconfirmed`) rather than
    act on old state.

    Without an account nothing is ever sent: `send` simulates and raises `DryRun`.
    """

    def __init__(
        self,
        w3: Web3,
        account: LocalAccount | None,
        outbox: Path | None = None,
        *,
        address: str = ZERO_ADDRESS,
        timeout: float = 180.0,
        poll: float = 0.5,
        on_receipt: Callable[[str, TxReceipt], None] | None = None,
    ) -> None:
        self._w3 = w3
        self._account = account
        self._outbox = outbox
        self._in_memory: Sent | None = None  # stands for the outbox where there is no file
        self._timeout = timeout
        self._poll = poll
        self._on_receipt = on_receipt
        self._lock = threading.RLock()
        self._chain_id = w3.eth.chain_id
        self.last_block = 0  # of the last receipt that has been seen
        self.address: str = account.address if account else Web3.to_checksum_address(address)

    @property
    def is_dry(self) -> bool:
        return self._account is None

    @property
    def pending(self) -> Sent | None:
        """The transaction whose receipt has not been seen yet."""
        if self._outbox is None:
            return self._in_memory
        try:
            entry = read_json(self._outbox)
            return Sent(**{**entry, "others": tuple(entry.get("others", ()))}) if entry else None
        except (Damaged, TypeError, AttributeError):
            raise ChainError(
                f"{self._outbox} is damaged. It held the last transaction of {self.address}, which "
                "may be mined still. Wait some minutes, move the file away and start again: what "
                "has been done stands on the chain, and is read from there"
            ) from None

    def send(self, to: str, data: bytes, label: str, value: int = 0) -> TxReceipt:
        """The receipt of the call, once it is mined and has succeeded.

        Raises `ContractError` when it would revert (nothing is sent then), `Refused` when the node
        does not take it, `Failed` when it reverts although its simulation did not, `Unconfirmed`
        when no receipt comes in time, `Stale` when an older transaction had to be settled first.
        """
        with self._lock:
            if self.pending:
                self.reconcile()
                raise Stale(f"{label} was not sent: an older transaction was settled first")
            call: TxParams = {
                "from": Web3.to_checksum_address(self.address),
                "to": Web3.to_checksum_address(to),
                "data": data,
                "value": value,  # type: ignore[typeddict-item]
            }
            simulate(self._w3, call, label, "pending")
            if self._account is None:
                raise DryRun(label, self.address)
            entry = self._sign(call, label)
            self._remember(entry)
            self._broadcast(entry)
            return self._settle(entry)

    def reconcile(self) -> TxReceipt | None:
        """Settles what an earlier call, or an earlier process, left in the outbox.

        Returns its receipt, or None where there was nothing or where another transaction took its
        nonce. Raises `Unconfirmed` while its fate is open.
        """
        with self._lock:
            entry = self.pending
            if entry is None:
                return None
            if (entry.chain_id, entry.sender) != (self._chain_id, self.address):
                raise ChainError(
                    f"the outbox {self._outbox} holds {entry.label} ({entry.hash}) of "
                    f"{entry.sender} on chain {entry.chain_id}, and this is {self.address} on "
                    f"chain {self._chain_id}; give each key and chain a data folder of its own"
                )
            receipt = self._receipt(entry)
            if receipt is None:
                if self._is_nonce_used(entry):
                    receipt = self._receipt(entry)  # it may have been mined since it was looked for
                    if receipt is None:
                        log.warning("another transaction took its nonce", extra=_about(entry))
                        self._forget()
                        return None
                else:
                    known, entry = entry, self._raised(entry, waited=True)
                    if entry.hash == known.hash:
                        log.info("broadcasting again", extra=_about(entry))
                        self._broadcast(entry, again=True)
            try:
                return self._settle(entry)
            except Failed as error:  # a fact about the past: whoever reads the chain sees it
                log.warning(str(error), extra=_about(entry))
                return None

    # --- parts -----------------------------------------------------------------------------------

    def _sign(self, call: TxParams, label: str) -> Sent:
        assert self._account is not None
        latest = self._w3.eth.get_block("latest")
        estimate = self._estimate(call, label)
        return self._signed(label, {
            "to": call["to"],
            "data": "0x" + bytes(call["data"]).hex(),  # type: ignore[arg-type]
            "value": call["value"],
            "chainId": self._chain_id,
            "nonce": self._w3.eth.get_transaction_count(call["from"], "pending"),  # type: ignore[arg-type]
            "gas": min(int(estimate * GAS_HEADROOM), int(latest["gasLimit"])),
            **self._fees(latest.get("baseFeePerGas")),
        })  # fmt: skip

    def _signed(self, label: str, transaction: dict[str, Any]) -> Sent:
        assert self._account is not None
        signed = self._account.sign_transaction(transaction)
        return Sent(
            chain_id=self._chain_id,
            sender=self.address,
            nonce=transaction["nonce"],
            hash="0x" + bytes(signed.hash).hex(),
            raw="0x" + bytes(signed.raw_transaction).hex(),
            label=label,
            transaction=transaction,
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

    def _raised(self, entry: Sent, waited: bool = False) -> Sent:
        """The same call with the fees of today where the entry's are below the base fee or, after
        it has waited, below what others pay: remembered, and handed to the node. The entry itself
        where that is not so, or where the node refuses the other one.
        """
        old = entry.transaction
        if self._account is None or not old:
            return entry
        base_fee = self._w3.eth.get_block("latest").get("baseFeePerGas")
        most, tip = ("maxFeePerGas", "maxPriorityFeePerGas")
        if most not in old:
            most = tip = "gasPrice"
        too_low = base_fee is not None and old[most] < base_fee
        if not too_low and not waited:
            return entry
        fees = self._fees(base_fee if tip != most else None)
        if not too_low and fees[tip] <= old[tip]:
            return entry
        for name in {most, tip}:
            fees[name] = max(fees[name], old[name] + -(-old[name] // RAISE))
        dearer = self._signed(entry.label, {**old, **fees})
        if dearer.hash in entry.others:  # which the node has refused
            return entry
        dearer = replace(dearer, others=(*entry.others, entry.hash))
        self._remember(dearer)
        try:
            self._w3.eth.send_raw_transaction(dearer.raw)  # type: ignore[arg-type]
        except Exception as error:
            if not isinstance(error, Web3RPCError) and not is_tester_failure(error):
                raise self._unconfirmed(dearer, error) from error
            log.warning("higher fees were refused: %s", error, extra=_about(entry))
            kept = replace(entry, others=(*entry.others, dearer.hash))
            self._remember(kept)
            return kept
        log.info("sent again with higher fees", extra={**_about(dearer), **fees})
        return dearer

    def _broadcast(self, entry: Sent, again: bool = False) -> None:
        """Hands the signed transaction to the node. A node that knows it already is as good.

        again: a node may have taken it before. Then a refusal of this one does not end it.
        """
        try:
            self._w3.eth.send_raw_transaction(entry.raw)  # type: ignore[arg-type]
        except Exception as error:
            said = str(error).lower()
            if any(phrase in said for phrase in KNOWN):
                return
            if any(phrase in said for phrase in USED):
                # Either this very transaction has been mined, or another took its nonce.
                if self._receipt(entry) is not None:
                    return
                if self._is_nonce_used(entry):
                    self._forget()
                    raise Stale(
                        f"{entry.label} was not sent: its nonce {entry.nonce} is used"
                    ) from error
            elif isinstance(error, Web3RPCError) or is_tester_failure(error):
                if self._receipt(entry) is not None or (again and self._is_in_pool(entry)):
                    return
                if again:
                    raise self._unconfirmed(entry, error) from error
                self._forget()
                raise Refused(f"the node does not take {entry.label}: {error}") from error
            raise self._unconfirmed(entry, error) from error

    @staticmethod
    def _unconfirmed(entry: Sent, error: Exception) -> Unconfirmed:
        return Unconfirmed(
            f"{entry.label} ({entry.hash}) may or may not have reached the node: {error}; it stays "
            "in the outbox and is sent again when the node answers"
        )

    def _settle(self, entry: Sent) -> TxReceipt:
        """Waits for the receipt and takes the entry out of the outbox."""
        deadline = time.monotonic() + self._timeout
        while (receipt := self._receipt(entry)) is None:
            if time.monotonic() > deadline:
                raise Unconfirmed(
                    f"{entry.label} ({entry.hash}) was not mined within {self._timeout:g} s; it "
                    "stays in the outbox. Nonce "
                    f"{entry.nonce}, the chain is at {self._nonce()}: where the chain's is lower, "
                    "earlier transactions of this key are missing; where it is equal, blocks are "
                    "full of dearer ones, or the node keeps it to itself"
                )
            time.sleep(self._poll)
            entry = self._raised(entry)
        self._forget()
        self.last_block = max(self.last_block, int(receipt["blockNumber"]))
        if self._on_receipt:
            self._on_receipt(entry.label, receipt)
        log.info(
            "transaction mined",
            extra={**_about(entry), "gas": receipt["gasUsed"], "block": receipt["blockNumber"]},
        )
        if receipt["status"] == 0:
            raise Failed(
                f"{entry.label} ({entry.hash}) reverted in block {receipt['blockNumber']} although "
                "its simulation succeeded: the state changed in between; read it again"
            )
        return receipt

    def _receipt(self, entry: Sent) -> TxReceipt | None:
        for known in (entry.hash, *entry.others):
            try:
                receipt = self._w3.eth.get_transaction_receipt(known)  # type: ignore[arg-type]
            except TransactionNotFound:
                continue
            if receipt.get("blockNumber") is not None:
                return receipt
        return None

    def _is_in_pool(self, entry: Sent) -> bool:
        for known in (entry.hash, *entry.others):
            with suppress(TransactionNotFound):
                self._w3.eth.get_transaction(known)  # type: ignore[arg-type]
                return True
        return False

    def _nonce(self) -> int:
        return self._w3.eth.get_transaction_count(self.address, "latest")  # type: ignore[arg-type]

    def _is_nonce_used(self, entry: Sent) -> bool:
        return self._nonce() > entry.nonce

    def _remember(self, entry: Sent) -> None:
        if self._outbox:
            write_json(self._outbox, vars(entry))
        else:
            self._in_memory = entry

    def _forget(self) -> None:
        if self._outbox:
            remove(self._outbox)
        self._in_memory = None


def _about(entry: Sent) -> dict[str, Any]:
    return {"call": entry.label, "transaction": entry.hash, "nonce": entry.nonce}
