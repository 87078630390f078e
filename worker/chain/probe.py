"""One call of every kind that a worker makes: what a node lacks is known before money moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from web3.exceptions import (
    ContractLogicError,
    MethodUnavailable,
    TransactionIndexingInProgress,
    TransactionNotFound,
    Web3RPCError,
)
from web3.types import RPCEndpoint

from worker.chain.deployment import Clients
from worker.chain.errors import ChainError, NodeError, is_tester_failure
from worker.chain.node import Node
from worker.chain.reads import heads
from worker.chain.scan import SPAN, read_events

NOBODY = "0x" + "00" * 31 + "01"  # hash of no transaction
FORBIDDEN = ("not found", "not exist", "not supported", "not allowed", "not available", "forbidden")


@dataclass(frozen=True)
class Probe:
    """What a node answers. missing: what a worker can do without, each with what comes of it."""

    answered: tuple[str, ...]
    missing: tuple[str, ...]

    def __str__(self) -> str:
        return "; ".join([f"{len(self.answered)} kinds of calls answered", *self.missing])


def probe(clients: Clients) -> Probe:
    """Makes every kind of call, and sends nothing.

    Raises `ChainError` that names each call which a worker needs and the node refuses.
    """
    needed, spared = _needed(clients), _spared(clients)
    refused = {name: why for name, call in needed.items() if (why := _tried(call))}
    if refused:
        raise ChainError(
            "the node answers, and refuses what a worker needs: "
            + "; ".join(f"{name}: {why}" for name, why in refused.items())
            + ". Use another node, or another plan of the provider"
        )
    missing = {name for name, (call, _) in spared.items() if _tried(call)}
    return Probe(
        (*needed, *(name for name in spared if name not in missing)),
        tuple(f"no {name}: {spared[name][1]}" for name in spared if name in missing),
    )


def _tried(call: Callable[[], Any]) -> str:
    """What the node says against it; empty where it answers, if only that there is nothing."""
    try:
        call()
    except (TransactionNotFound, TransactionIndexingInProgress, ContractLogicError):
        return ""
    except (Web3RPCError, NodeError) as error:
        return str(error)
    except ChainError:
        return ""  # a contract's refusal, which is an answer
    except Exception as error:
        if is_tester_failure(error):
            return ""
        raise
    return ""


def _needed(clients: Clients) -> dict[str, Callable[[], Any]]:
    eth, me, first = clients.w3.eth, clients.sender.address, clients.deployment.block
    address: Any = me
    itself: Any = {"from": me, "to": me, "data": "0x", "value": 0}
    tip, is_node = eth.block_number, isinstance(clients.w3.provider, Node)
    parts = (clients.market, clients.disputes, clients.court)
    contracts = {part.address: part.name for part in parts}

    def logs(begin: int) -> Callable[[], Any]:
        end = min(tip, begin + SPAN - 1)
        return lambda: list(read_events(clients.w3, contracts, begin, end))

    def fees() -> None:
        _ = eth.max_priority_fee if eth.get_block("latest").get("baseFeePerGas") else eth.gas_price

    def send() -> None:
        """What is no transaction: a node that takes any says what is wrong with it."""
        try:
            eth.send_raw_transaction("0x00")  # type: ignore[arg-type]
        except MethodUnavailable:
            raise
        except Web3RPCError as error:
            if any(phrase in str(error).lower() for phrase in FORBIDDEN):
                raise
        except NodeError:
            raise
        except Exception as error:
            if is_node:
                raise ChainError(f"an answer that cannot be read: {error}") from error

    return {
        "eth_chainId": lambda: eth.chain_id,
        "eth_blockNumber": lambda: eth.block_number,
        "eth_getBlockByNumber": lambda: heads(clients.w3, "latest"),
        "eth_getBalance": lambda: eth.get_balance(address),
        "eth_getTransactionCount": lambda: eth.get_transaction_count(address, "latest"),
        "eth_getTransactionCount of what is pending": lambda: eth.get_transaction_count(
            address, "pending"
        ),
        "eth_call": clients.market.tasks,
        "eth_call as of a block": lambda: clients.market.reading("tasks").read(clients.w3, tip),
        "eth_call of what is pending": lambda: eth.call(itself, "pending"),
        # eth-tester estimates no pending block, and its sender does without
        "eth_estimateGas": lambda: eth.estimate_gas(itself, "pending" if is_node else "latest"),
        "the fees of today": fees,
        "eth_getLogs": logs(max(first, tip - SPAN + 1)),
        "eth_getLogs from the deployment on": logs(first),
        "eth_getTransactionReceipt": lambda: eth.get_transaction_receipt(NOBODY),  # type: ignore[arg-type]
        "eth_getTransactionByHash": lambda: eth.get_transaction(NOBODY),  # type: ignore[arg-type]
        "eth_sendRawTransaction": send,
    }


def _spared(clients: Clients) -> dict[str, tuple[Callable[[], Any], str]]:
    node = clients.w3.provider

    def batch() -> None:
        if isinstance(node, Node):
            node.make_batch_request([(RPCEndpoint("eth_chainId"), [])] * 2)
            if node.most_at_once < 2:
                raise NodeError("it refuses batches")

    def pending() -> None:
        if heads(clients.w3, "pending")[0] is None:
            raise NodeError("it has none")

    def genesis() -> None:
        if heads(clients.w3, 0)[0] is None:
            raise NodeError("it has forgotten it")

    return {
        "batches": (batch, "each call is an exchange of its own, so that looks take longer"),
        "pending block": (pending, "deadlines are compared with this machine's clock"),
        "first block": (genesis, "a chain that was started anew is not told from this one"),
    }
