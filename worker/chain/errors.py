"""What can go wrong between here and the chain, said so that the reader knows what to do."""

from __future__ import annotations

import ast
from functools import cache
from typing import Any

from eth_abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils import keccak
from web3.exceptions import ContractLogicError, Web3Exception

from worker.chain.abi import canonical_type, entries, signature


class ChainError(Exception):
    """Base of everything that this package raises on purpose."""


class NodeError(ChainError):
    """The node did not answer a call, or not with what a node answers; it may do so later."""


class TooMuch(NodeError):
    """The node finds that one call asks for too much, or its answer is longer than we read."""


class Stopping(ChainError):
    """The worker has been told to stop, so a call was not waited for."""


class WrongDeployment(ChainError):
    """The contracts are not where the registry says, or this is another chain."""


class Refused(ChainError):
    """The node did not take a transaction: it will not be mined."""


class Failed(ChainError):
    """A transaction was mined and reverted."""


class Unconfirmed(ChainError):
    """A transaction has been sent and its receipt not been seen; it is kept in the outbox."""


class Stale(ChainError):
    """An earlier transaction has only now been settled: read the chain again before acting."""


class DryRun(ChainError):
    """There is no key, so what would have been sent has only been simulated."""

    def __init__(self, label: str, address: str) -> None:
        super().__init__(f"dry mode: {label} would be sent from {address}; nothing was sent")
        self.label = label


REMEDIES = {
    "AlreadyAttested": "nothing is left to do",
    "AlreadyOffered": "nothing is left to do",
    "BiddingClosed": "bid for another task, and sooner",
    "BiddingOpen": "wait until bidding has ended",
    "ClockStillRunning": "wait until the clock has run out",
    "DisputesOpen": "wait for the verdicts, or call time in a dispute whose clock has run out",
    "DrawOver": "the task can only end: lapse it",
    "ERC20InsufficientAllowance": "approve the contract to take the tokens first",
    "ERC20InsufficientBalance": "the account needs more tokens",
    "ElementFollows": "this element is right: prove one that differs",
    "CommitmentFollows": "this commitment is right: the difference is somewhere else",
    "NoSuchPart": "descend into one of the parts that were revealed",
    "NoReason": "it gives no reason. A contract that it calls, such as the token, may refuse: "
    "does this account have what it takes, and has it approved it?",
    "NotApproved": "name the locker first: python -m worker stake",
    "NotEnoughFree": "deposit more stake (python -m worker stake), or wait for a release",
    "NotLower": "bid below the best bid, or let the task be",
    "NotKept": "bring the word that draws the verifier, as a keeper does: python -m worker run",
    "NotYet": "wait until the word that draws the verifier is published",
    "NotYourMove": "wait for the other side's move, or call time when its clock has run out",
    "NothingToRelease": "offer fewer units first: verifier.units in the config",
    "NothingUnbonding": "start with: python -m worker unbond",
    "OnDuty": "wait until the tasks that it was drawn for are over",
    "PriceTooHigh": "bid at most the task's maximum price",
    "StillDrawable": "wait until `until` (unix time): a draw that was armed before may name it",
    "StillUnbonding": "wait until `availableAt` (unix time)",
    "TooEarly": "wait until the deadline has passed",
    "TooManyUnits": "offer fewer",
    "TooLate": "the deadline has passed; only what follows it is possible now",
    "UnknownTask": "check the task's number and the deployment file",
    "UnknownDispute": "check the dispute's number and the deployment file",
    "WrongStatus": "the task has moved on: read it again",
    "WrongPhase": "the dispute has moved on: read it again",
}


UNSAID = ("NoReason", "Unknown")  # names for reverts that no error of ours explains


class ContractError(ChainError):
    """A contract refused, with one of its errors: `name` and `args` by their Solidity names."""

    def __init__(self, name: str, args: dict[str, Any], context: str = "") -> None:
        said = ", ".join(f"{key}={_shown(value)}" for key, value in args.items())
        remedy = REMEDIES.get(name)
        super().__init__(
            f"{context + ': ' if context else ''}the contract refuses with {name}({said})"
            + (f"; {remedy}" if remedy else "")
        )
        self.name = name
        self.arguments = args

    def of_call(self, tried: str) -> ContractError:
        """The same, telling what was tried: for a revert that does not say why."""
        return ContractError(self.name, self.arguments, tried)


def _shown(value: Any) -> str:
    return f"0x{value.hex()}" if isinstance(value, bytes) else str(value)


# What Solidity itself reverts with.
_BUILT_IN = [
    {"name": "Error", "type": "error", "inputs": [{"name": "reason", "type": "string"}]},
    {"name": "Panic", "type": "error", "inputs": [{"name": "code", "type": "uint256"}]},
]


@cache
def _by_selector() -> dict[bytes, dict[str, Any]]:
    return {keccak(text=signature(entry))[:4]: entry for entry in _BUILT_IN + entries("error")}


def decode_revert(data: bytes, context: str = "") -> ContractError:
    """The error that revert data names; `Unknown` with the raw data where no ABI knows it."""
    entry = _by_selector().get(data[:4])
    if entry is None:
        return ContractError(
            "Unknown" if data else "NoReason", {"data": data} if data else {}, context
        )
    try:
        values = decode([canonical_type(p) for p in entry["inputs"]], data[4:])
    except DecodingError:
        return ContractError("Unknown", {"data": data}, context)
    names = [p["name"] or str(i) for i, p in enumerate(entry["inputs"])]
    return ContractError(entry["name"], dict(zip(names, values, strict=True)), context)


def is_tester_failure(error: BaseException) -> bool:
    """eth-tester's own exceptions; it is there in tests only, so it is known by name."""
    return any(
        cls.__name__ in ("TransactionFailed", "ValidationError")
        and cls.__module__.split(".")[0] in ("eth_tester", "eth_utils")
        for cls in type(error).__mro__
    )


def revert_data(error: BaseException) -> bytes | None:
    """The data that a call reverted with, out of whatever a provider raises; None if it did not.

    Nodes and eth-tester say it differently, and there is no common form below web3's exceptions.
    """
    if isinstance(error, ContractLogicError):
        data = error.data
        if isinstance(data, dict):  # some nodes wrap it once more
            data = next((v for v in data.values() if isinstance(v, str)), None)
        if isinstance(data, str) and data.startswith("0x"):
            return bytes.fromhex(data[2:])
        return _as_reason(str(error.message or ""))
    if isinstance(error, Web3Exception) or not is_tester_failure(error):
        return None
    text = str(error.args[0]) if error.args else ""
    if not text.startswith("execution reverted"):
        return None
    literal = text.removeprefix("execution reverted").removeprefix(": ")
    if literal[:2] in ("b'", 'b"'):
        return bytes(ast.literal_eval(literal))
    return _as_reason(literal)


def _as_reason(message: str) -> bytes:
    reason = message.removeprefix("execution reverted").removeprefix(": ")
    return keccak(text="Error(string)")[:4] + encode(["string"], [reason]) if reason else b""
