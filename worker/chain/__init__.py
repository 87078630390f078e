"""Typed contract clients, one transaction sender for each key, the board of open tasks, and events.

A leaf: imports nothing else of the worker but `disk` and `redaction`. Works on any JSON-RPC
endpoint and on an in-process `EthereumTesterProvider`.
"""

from worker.chain.board import Board
from worker.chain.contract import Receipt
from worker.chain.contracts import Court, Disputes, Market, Stakes, Token, Verifiers
from worker.chain.deployment import Clients, Deployment, connect
from worker.chain.errors import (
    ChainError,
    ContractError,
    DryRun,
    Failed,
    NodeError,
    Refused,
    Stale,
    Stopping,
    TooMuch,
    Unconfirmed,
    WrongDeployment,
)
from worker.chain.events import Event, Place
from worker.chain.node import Node, open_rpc
from worker.chain.outbox import Sent
from worker.chain.probe import Probe, probe
from worker.chain.randomness import Randomness, Word
from worker.chain.scan import Follower, read_events
from worker.chain.sender import Sender
from worker.chain.types import (
    ZERO_ADDRESS,
    Accusation,
    Claim,
    Dispute,
    Job,
    Opening,
    Parameters,
    Phase,
    Queue,
    Segment,
    Standing,
    Status,
    Struct,
    Task,
    Terms,
    ToAbi,
)

__all__ = [
    "ZERO_ADDRESS",
    "Accusation",
    "Board",
    "ChainError",
    "Claim",
    "Clients",
    "ContractError",
    "Court",
    "Deployment",
    "Dispute",
    "Disputes",
    "DryRun",
    "Event",
    "Failed",
    "Follower",
    "Job",
    "Market",
    "Node",
    "NodeError",
    "Opening",
    "Parameters",
    "Phase",
    "Place",
    "Probe",
    "Queue",
    "Randomness",
    "Receipt",
    "Refused",
    "Segment",
    "Sender",
    "Sent",
    "Stakes",
    "Stale",
    "Standing",
    "Status",
    "Stopping",
    "Struct",
    "Task",
    "Terms",
    "ToAbi",
    "Token",
    "TooMuch",
    "Unconfirmed",
    "Verifiers",
    "Word",
    "WrongDeployment",
    "connect",
    "open_rpc",
    "probe",
    "read_events",
]
