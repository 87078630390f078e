"""One sender for each key: whatever it sends is mined at most once, whenever the process dies."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from eth_account.signers.local import LocalAccount
from web3 import Web3
from web3.exceptions import (
    TransactionIndexingInProgress,
    TransactionNotFound,
    Web3RPCError,
)
from web3.types import TxParams, TxReceipt

from worker.chain.errors import (
    ChainError,
    DryRun,
    Failed,
    NodeError,
    Refused,
    Stale,
    Stopping,
    Unconfirmed,
    is_tester_failure,
)
from worker.chain.outbox import Outbox, Sent
from worker.chain.signer import Signer, simulate
from worker.chain.types import ZERO_ADDRESS

log = logging.getLogger(__name__)

TRIES = 3  # of a sending whose answer is lost
MOST_FILLED = 64  # nonces of lost transactions that are filled without asking a person
KNOWN = ("already known", "known transaction", "already imported", "alreadyknown")
USED = ("nonce too low", "invalid transaction nonce", "nonce is too low", "oldnonce")


class Sender:
    """Simulates, signs, sends and waits, one transaction at a time.

    The signed transaction is in the outbox, on disk, before the node sees it, and leaves it when
    its receipt has been seen. After any failure the chain is asked first: a transaction whose nonce
    is used is over, any other is broadcast again. Where fees have risen above what it offers it is
    signed again with higher ones and the same nonce, of which only one can be mined. So no call is
    made a second time while its first transaction may still be mined. The last transactions are
    kept: where a reorganisation has dropped some, they are sent again, in order, before anything
    else is, and a nonce whose transaction is lost is filled by a payment of nothing to oneself.
    Call `reconcile` before reading the state that a decision rests on; `send` refuses (`Stale`,
    `Unconfirmed`) rather than act on old state.

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
        stop: threading.Event | None = None,
    ) -> None:
        """timeout: seconds for a transaction to be mined. poll: seconds between two looks for its
        receipt. stop: when it is set no receipt is waited for any more."""
        self._w3 = w3
        self._timeout = timeout
        self._poll = poll
        self._on_receipt = on_receipt
        self._lock = threading.RLock()
        self._stop = stop or threading.Event()
        self._signer = Signer(w3, account, address)
        self.address = self._signer.address
        self.last_block = 0  # of the last receipt that has been seen
        self._outbox = Outbox(outbox, self.address)
        self._took: deque[float] = deque(maxlen=16)  # seconds

    @property
    def is_dry(self) -> bool:
        return self._signer.account is None

    @property
    def pending(self) -> Sent | None:
        """The transaction whose receipt has not been seen yet."""
        return self._outbox.pending

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
            if self._bring_back():
                raise Stale(f"{label} was not sent: older transactions had to be sent again first")
            call: TxParams = {
                "from": Web3.to_checksum_address(self.address),
                "to": Web3.to_checksum_address(to),
                "data": data,
                "value": value,  # type: ignore[typeddict-item]
            }
            simulate(self._w3, call, label, "pending")
            if self.is_dry:
                raise DryRun(label, self.address)
            entry = self._signer.sign(call, label)
            self._outbox.remember(entry)
            began = time.monotonic()
            self._broadcast(entry)
            receipt = self._settle(entry)
            self._took.append(time.monotonic() - began)
            return receipt

    @property
    def mean_seconds(self) -> float:
        """What the last transactions took to be mined; 0 before the first."""
        took = tuple(self._took)
        return sum(took) / len(took) if took else 0.0

    def reconcile(self) -> TxReceipt | None:
        """Settles what an earlier call, or an earlier process, left in the outbox.

        Returns its receipt, or None where there was nothing or where another transaction took its
        nonce. Raises `Unconfirmed` while its fate is open.
        """
        with self._lock:
            entry = self.pending
            if entry is None:
                return None
            if (entry.chain_id, entry.sender) != (self._signer.chain_id, self.address):
                raise ChainError(
                    f"the outbox {self._outbox.path} holds {entry.label} ({entry.hash}) of "
                    f"{entry.sender} on chain {entry.chain_id}, and this is {self.address} on "
                    f"chain {self._signer.chain_id}; give each key and chain a data folder of "
                    "its own"
                )
            if self._is_of_another_chain(entry):
                log.warning("the chain was started anew: forgotten", extra=_about(entry))
                self._outbox.forget()
                return None
            receipt = self._receipt(entry)
            if receipt is None:
                if self._is_nonce_used(entry):
                    receipt = self._receipt(entry)  # it may have been mined since it was looked for
                    if receipt is None:
                        log.warning("another transaction took its nonce", extra=_about(entry))
                        self._outbox.forget()
                        return None
                else:
                    self._fill(entry.nonce)
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

    def _raised(self, entry: Sent, waited: bool = False) -> Sent:
        """`_dearer`'s, remembered and handed to the node; the entry itself where there is none, or
        where the node refuses the other one."""
        dearer = self._signer.dearer(entry, waited)
        if dearer is None or dearer.hash in entry.others:  # which the node has refused
            return entry
        self._outbox.remember(dearer)
        try:
            self._w3.eth.send_raw_transaction(dearer.raw)  # type: ignore[arg-type]
        except Exception as error:
            if not isinstance(error, Web3RPCError) and not is_tester_failure(error):
                raise self._unconfirmed(dearer, error) from error
            log.warning("higher fees were refused: %s", error, extra=_about(entry))
            kept = replace(entry, others=(*entry.others, dearer.hash))
            self._outbox.remember(kept)
            return kept
        fees = {
            k: v
            for k, v in dearer.transaction.items()
            if "as" in k and k.endswith(("Gas", "Price"))
        }
        log.info("sent again with higher fees", extra={**_about(dearer), **fees})
        return dearer

    def _broadcast(self, entry: Sent, again: bool = False) -> None:
        """Hands the signed transaction to the node. A node that knows it already is as good.

        again: a node may have taken it before. Then a refusal of this one does not end it.
        """
        for left in reversed(range(TRIES)):
            try:
                return self._offer(entry, again)
            except NodeError as error:
                # It may have arrived: what the node says to the next one is said to a second one.
                again = True
                if not left or self._stop.wait(self._poll):
                    raise self._unconfirmed(entry, error) from error

    def _offer(self, entry: Sent, again: bool) -> None:
        try:
            self._w3.eth.send_raw_transaction(entry.raw)  # type: ignore[arg-type]
        except NodeError:
            raise
        except Exception as error:
            said = str(error).lower()
            if any(phrase in said for phrase in KNOWN):
                return
            if any(phrase in said for phrase in USED):
                # Either this very transaction has been mined, or another took its nonce.
                if self._receipt(entry) is not None:
                    return
                if self._is_nonce_used(entry):
                    self._outbox.forget()
                    raise Stale(
                        f"{entry.label} was not sent: its nonce {entry.nonce} is used"
                    ) from error
            elif isinstance(error, Web3RPCError) or is_tester_failure(error):
                if self._receipt(entry) is not None or (again and self._is_in_pool(entry)):
                    return
                if again:
                    raise self._unconfirmed(entry, error) from error
                self._outbox.forget()
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
            if self._stop.wait(self._poll):
                raise Stopping(
                    f"{entry.label} ({entry.hash}) is not waited for, as the worker stops; it "
                    "stays in the outbox, and the next start settles it"
                )
            entry = self._raised(entry)
        self._outbox.keep(entry)
        self._outbox.forget()
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
            receipt = self._receipt_of(known)
            if receipt is not None and receipt.get("blockNumber") is not None:
                return receipt
        return None

    def _receipt_of(self, transaction: str) -> TxReceipt | None:
        """A node that was just started may know a transaction and not say so: it is waited for, as
        nothing may be concluded from its silence."""
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                return self._w3.eth.get_transaction_receipt(transaction)  # type: ignore[arg-type]
            except TransactionNotFound:
                return None
            except TransactionIndexingInProgress as error:
                if time.monotonic() > deadline or self._stop.wait(self._poll):
                    raise Unconfirmed(
                        f"the node is still indexing, and does not say whether {transaction} was "
                        f"mined: {error}"
                    ) from error

    # --- after a reorganisation ------------------------------------------------------------------

    def _bring_back(self) -> bool:
        """Sends again, in order, what was mined and is not any more; False where all of it is.

        A decision may rest on it, and the node may still have it: to decide anew, with the next
        nonce, could do the same thing twice.
        """
        kept = self._kept()
        if self.is_dry or not kept:
            return False
        last, there = max(kept), self._nonce()
        if there > last:
            return False
        missing = range(there, last + 1)
        if missing[0] < min(kept):
            log.warning("a long reorganisation: %d transactions of this key are gone", len(missing))
            self._outbox.drop()  # what would come before them is not known: they cannot be mined
            return False
        log.warning(
            "%d transactions of this key were mined and are not any more; sending them again",
            len(missing),
        )
        self._fill(last + 1)
        deadline = time.monotonic() + self._timeout
        while self._nonce() <= last:
            if time.monotonic() > deadline:
                raise Unconfirmed(
                    f"transactions {missing[0]} to {last} of this key were dropped by a "
                    f"reorganisation, sent again, and not mined within {self._timeout:g} s"
                )
            if self._stop.wait(self._poll):
                raise Stopping("transactions that were sent again are not waited for")
        return True

    def _fill(self, end: int) -> None:
        """Gives the node a transaction for every nonce below `end` for which it has none."""
        if self.is_dry:
            return
        kept = self._kept()
        first = self._signer.next_nonce()
        missing = range(first, end)
        lost = [nonce for nonce in missing if nonce not in kept]
        if len(lost) > MOST_FILLED:
            raise ChainError(
                f"the chain has {first} transactions of {self.address}, and the next one would be "
                f"number {end}: {len(lost)} in between are lost. Is this another chain with the "
                f"same number? Then move {self._outbox.path} away and start again"
            )
        for nonce in missing:
            entry = kept.get(nonce) or self._nothing(nonce)
            entry = self._signer.dearer(entry) or entry
            self._outbox.keep(entry)
            try:
                self._w3.eth.send_raw_transaction(entry.raw)  # type: ignore[arg-type]
            except Exception as error:
                if not isinstance(error, Web3RPCError) and not is_tester_failure(error):
                    raise
                log.info("not taken again: %s", error, extra=_about(entry))
            else:
                log.info("sent again", extra=_about(entry))

    def _nothing(self, nonce: int) -> Sent:
        """A payment of nothing to oneself: it takes a nonce, and does nothing else."""
        call: TxParams = {"from": self.address, "to": self.address, "data": b"", "value": 0}  # type: ignore[typeddict-item]
        return self._signer.sign(call, "fill", nonce)

    def _kept(self) -> dict[int, Sent]:
        """What this key has sent on this chain."""
        mine = (self._signer.chain_id, self.address)
        return {
            nonce: entry
            for nonce, entry in self._outbox.kept.items()
            if (entry.chain_id, entry.sender) == mine and not self._is_of_another_chain(entry)
        }

    def _is_of_another_chain(self, entry: Sent) -> bool:
        """A chain of the same number that was started anew, as local ones are."""
        return (
            bool(entry.genesis and self._signer.genesis) and entry.genesis != self._signer.genesis
        )

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


def _about(entry: Sent) -> dict[str, Any]:
    return {"call": entry.label, "transaction": entry.hash, "nonce": entry.nonce}
