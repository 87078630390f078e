"""Where the contracts are: a registry file for each network, and connecting to what it names."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from eth_account.signers.local import LocalAccount
from eth_utils import is_address, to_checksum_address
from web3 import Web3
from web3.types import TxReceipt

from worker.chain.board import Board
from worker.chain.contracts import Court, Disputes, Market, Stakes, Token, Verifiers
from worker.chain.errors import WrongDeployment
from worker.chain.files import read_json, write_json
from worker.chain.scan import Follower
from worker.chain.sender import Sender
from worker.chain.types import ZERO_ADDRESS


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """One deployment: its chain, the block from which its events are read, its addresses."""

    chain_id: int
    block: int
    market: str
    disputes: str
    court: str
    stakes: str
    verifiers: str
    token: str
    randomness: str
    checkers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, address in self.contracts.items():
            if not is_address(address):
                raise WrongDeployment(
                    f"{name}={address!r} is not an address (0x and 40 hex digits)"
                )

    @property
    def contracts(self) -> dict[str, str]:
        """Every address by what it is for."""
        single = {f.name: getattr(self, f.name) for f in fields(self) if f.type == "str"}
        return {**single, **{f"checkers[{i}]": a for i, a in enumerate(self.checkers)}}

    @classmethod
    def load(cls, path: Path) -> Self:
        """From a registry file. An error names the file and what is wrong in it."""
        try:
            entry = read_json(path)
        except ValueError as error:
            raise WrongDeployment(f"{path} is not JSON: {error}") from error
        if entry is None:
            raise WrongDeployment(f"there is no {path}; write it with: ape run deploy")
        known = {f.name for f in fields(cls)}
        if wrong := set(entry) ^ known:
            raise WrongDeployment(
                f"{path} has unknown or lacks needed entries: {', '.join(sorted(wrong))}; "
                "write it anew with: ape run deploy"
            )
        checkers = tuple(entry.pop("checkers"))
        return cls(**entry, checkers=checkers)

    def save(self, path: Path) -> None:
        write_json(path, asdict(self))

    def check(self, w3: Web3) -> None:
        """Raises `WrongDeployment` unless this is its chain and every contract is there."""
        found = w3.eth.chain_id
        if found != self.chain_id:
            raise WrongDeployment(
                f"the deployment is on chain {self.chain_id}, the node is on chain {found}; "
                "name another RPC endpoint or another deployment file"
            )
        for name, address in self.contracts.items():
            if not w3.eth.get_code(to_checksum_address(address)):
                raise WrongDeployment(
                    f"there is no contract at {name}={address} on chain {found}; was the chain "
                    "started anew, or is the node not yet synchronised? deploy with: ape run deploy"
                )


@dataclass(frozen=True)
class Clients:
    """Everything that speaks to one deployment with one key."""

    w3: Web3
    deployment: Deployment
    sender: Sender
    market: Market
    disputes: Disputes
    court: Court
    stakes: Stakes
    verifiers: Verifiers
    token: Token

    @property
    def address(self) -> str:
        return self.sender.address

    def now(self) -> int:
        """Unix time of the block that is mined next: what a deadline will be compared with."""
        return int(self.w3.eth.get_block("pending")["timestamp"])

    def board(
        self, *, confirmations: int = 0, fresh_seconds: float = 0.0, saved: Path | None = None
    ) -> Board:
        """The market's open tasks, as `Board` says."""
        return Board(
            self.w3,
            self.market,
            self.disputes,
            self.court,
            account=self.address,
            confirmations=confirmations,
            fresh_seconds=fresh_seconds,
            own_block=lambda: self.sender.last_block,
            saved=saved,
        )

    def follow(self, cursor: Path | None = None, *, confirmations: int = 0) -> Follower:
        """Follows every event of the market, accusations, the court, the stakes and units."""
        contracts = (self.market, self.disputes, self.court, self.stakes, self.verifiers)
        return Follower(
            self.w3,
            {contract.address: contract.name for contract in contracts},
            self.deployment.block,
            cursor,
            confirmations=confirmations,
        )


def connect(
    w3: Web3,
    deployment: Deployment,
    account: LocalAccount | None = None,
    *,
    address: str = ZERO_ADDRESS,
    outbox: Path | None = None,
    timeout: float = 180.0,
    poll: float = 0.5,
    on_receipt: Callable[[str, TxReceipt], None] | None = None,
    stop: threading.Event | None = None,
) -> Clients:
    """Clients of a deployment, whose presence is checked first.

    Without an account nothing can be sent, and `address` says whose part is looked at. `outbox` is
    the file that lets sending survive a crash; without it only this process knows what is pending.
    """
    deployment.check(w3)
    sender = Sender(
        w3,
        account,
        outbox,
        address=address,
        timeout=timeout,
        poll=poll,
        on_receipt=on_receipt,
        stop=stop,
    )
    names = {
        deployment.market: "Market",
        deployment.disputes: "Disputes",
        deployment.court: "Court",
        deployment.stakes: "Stakes",
        deployment.verifiers: "Verifiers",
        deployment.token: "Token",
    }
    shared: dict[str, Any] = {"contracts": names, "first_block": deployment.block}
    return Clients(
        w3=w3,
        deployment=deployment,
        sender=sender,
        market=Market(w3, deployment.market, sender, **shared),
        disputes=Disputes(w3, deployment.disputes, sender, **shared),
        court=Court(w3, deployment.court, sender, **shared),
        stakes=Stakes(w3, deployment.stakes, sender, **shared),
        verifiers=Verifiers(w3, deployment.verifiers, sender, **shared),
        token=Token(w3, deployment.token, sender, **shared),
    )
