"""One typed wrapper for each contract: reads return dataclasses, writes return a `Receipt`."""

from __future__ import annotations

from collections.abc import Sequence

from eth_abi import encode
from eth_abi.exceptions import DecodingError
from eth_utils import keccak
from web3 import Web3

from worker.chain.contract import Contract, Receipt
from worker.chain.errors import ChainError
from worker.chain.events import (
    CourtEvent,
    Decided,
    DisputesEvent,
    Event,
    Opened,
    Posted,
    SegmentCommitted,
)
from worker.chain.signer import simulate
from worker.chain.types import (
    Accusation,
    Claim,
    Dispute,
    Job,
    Opening,
    Parameters,
    Queue,
    Segment,
    Task,
    Terms,
    ToAbi,
)


class Token(Contract):
    """An ERC-20; amounts are in its smallest units."""

    name = "Token"

    def balance_of(self, account: str) -> int:
        return self._read("balanceOf", account)

    def allowance(self, owner: str, spender: str) -> int:
        return self._read("allowance", owner, spender)

    def decimals(self) -> int:
        return self._read_once("decimals")

    def symbol(self) -> str:
        """Without what is no letter: a token's author chooses it, and terminals obey such bytes."""
        reading = self.reading("symbol")
        raw = simulate(self._w3, {"to": reading.to, "data": reading.data}, reading.label)
        try:
            text = str(reading.value(raw))
        except DecodingError:  # old tokens have 32 bytes instead of text
            text = raw[:32].rstrip(b"\0").decode("utf-8", "replace")
        return "".join(c for c in text if c.isprintable())[:32]

    def approve(self, spender: str, amount: int) -> Receipt:
        return self._write("approve", spender, amount)

    def transfer(self, recipient: str, amount: int) -> Receipt:
        return self._write("transfer", recipient, amount)

    def mint(self, recipient: str, amount: int) -> Receipt:
        """Of the test token only: anyone mints."""
        return self._write("mint", recipient, amount)

    def ensure_allowance(self, spender: str, amount: int) -> Receipt | None:
        """Approves exactly `amount`, unless that much is approved already.

        By way of nothing where something is: some tokens take no other change. Raises `ChainError`
        where the token says yes and does nothing.
        """
        owner = self._sender.address
        approved = self.allowance(owner, spender)
        if approved >= amount:
            return None
        if approved:
            self.approve(spender, 0)
        receipt = self.approve(spender, amount)
        if self.allowance(owner, spender) < amount:
            raise ChainError(
                f"the token at {self.address} took approve(spender={spender}, amount={amount}) and "
                "did not approve it; it cannot be used"
            )
        return receipt


class Stakes(Contract):
    """Deposits and locks, in the token's smallest units; `IStakes` says what each call does."""

    name = "Stakes"

    def free(self, worker: str) -> int:
        return self._read("free", worker)

    def available(self, worker: str, locker: str) -> int:
        """What `locker` could lock now."""
        return self._read("available", worker, locker)

    def locked(self, worker: str, locker: str) -> int:
        return self._read("locked", worker, locker)

    def unbonding(self, worker: str) -> tuple[int, int]:
        """The amount, and the unix time from which it may be withdrawn."""
        amount, available_at = self._read("unbonding", worker)
        return amount, available_at

    def is_locker(self, worker: str, locker: str) -> bool:
        return self._read("isLocker", worker, locker)

    def unbonding_delay(self) -> int:
        return self._read_once("unbondingDelay")

    def token(self) -> str:
        return Web3.to_checksum_address(self._read("token"))

    def deposit(self, amount: int) -> Receipt:
        return self._write("deposit", amount)

    def approve_locker(self, locker: str, approved: bool = True) -> Receipt:
        return self._write("approveLocker", locker, approved)

    def unbond(self, amount: int) -> Receipt:
        return self._write("unbond", amount)

    def withdraw(self) -> Receipt:
        return self._write("withdraw")

    def burned(self) -> int:
        """What was slashed and has not been swept yet."""
        return self._read("burned")

    def sweep(self) -> Receipt:
        """Sends off what is burned."""
        return self._write("sweep")


class Verifiers(Contract):
    """Units that stand ready to verify; `IVerifiers` says what each call does."""

    name = "Verifiers"

    def offer(self, units: int) -> Receipt:
        return self._write("offer", units)

    def release(self, verifier: str) -> Receipt:
        return self._write("release", verifier)

    def units_of(self, verifier: str) -> int:
        return self._read("unitsOf", verifier)

    def units(self) -> int:
        """All that is offered now."""
        return self._read("units")

    def places(self) -> int:
        """How many have ever offered something."""
        return self._read("places")

    def duties(self, verifier: str) -> int:
        return self._read("duties", verifier)

    def releasable(self, verifier: str) -> tuple[int, int]:
        """What a release would free, in the token's smallest units, and the last unix second in
        which it would not."""
        amount, until = self._read("releasable", verifier)
        return amount, until

    def unit_stake(self) -> int:
        """The token's smallest units that a unit locks."""
        return self._read_once("unitStake")

    def draw_time(self) -> int:
        """Seconds from the arming of a draw within which it is made."""
        return self._read_once("drawTime")

    def pick(self, armed_block: int, word: bytes, excluded: Sequence[str]) -> str:
        """Whom a word draws; the zero address where nobody is left."""
        return Web3.to_checksum_address(self._read("pick", armed_block, word, list(excluded)))


class Market(Contract):
    """Tasks, by their numbers; `IMarket` says what each call does. Amounts are in the token's
    smallest units, times in unix seconds."""

    name = "Market"

    def post(self, job: ToAbi, terms: Terms) -> Receipt:
        """The task's number is `receipt.one(Posted).task`."""
        return self._write("post", job, terms)

    def bid(self, task: int, price: int) -> Receipt:
        return self._write("bid", task, price)

    def withdraw_bid(self, task: int) -> Receipt:
        return self._write("withdrawBid", task)

    def cancel(self, task: int) -> Receipt:
        return self._write("cancel", task)

    def close(self, task: int) -> Receipt:
        return self._write("close", task)

    def commit_segment(self, task: int, segment: int, state: bytes, journal: bytes) -> Receipt:
        return self._write("commitSegment", task, segment, state, journal)

    def commit_segments(self, task: int, first: int, segments: Sequence[Segment]) -> Receipt:
        """Several segments in order, of which the first is number `first`."""
        return self._write("commitSegments", task, first, segments)

    def draw(self, task: int) -> Receipt:
        return self._write("draw", task)

    def lapse(self, task: int) -> Receipt:
        return self._write("lapse", task)

    def attest(self, task: int) -> Receipt:
        return self._write("attest", task)

    def settle(self, task: int) -> Receipt:
        return self._write("settle", task)

    def expire(self, task: int) -> Receipt:
        return self._write("expire", task)

    def withdraw(self) -> Receipt:
        return self._write("withdraw")

    def withdraw_for(self, account: str) -> Receipt:
        return self._write("withdrawFor", account)

    def task(self, task: int) -> Task:
        return Task.from_abi(self._read("task", task))

    def tasks(self) -> int:
        """How many tasks there have been."""
        return self._read("tasks")

    def segment(self, task: int, segment: int) -> Segment:
        return Segment.from_abi(self._read("segment", task, segment))

    def credit(self, account: str) -> int:
        return self._read("credit", account)

    def verifiers(self) -> str:
        """Where its verifiers stand ready."""
        return Web3.to_checksum_address(self._read_once("verifiers"))

    def parameters(self) -> Parameters:
        return Parameters.from_abi(self._read_once("parameters"))

    def solver_stake(self, max_price: int, segments: int, checks: int) -> int:
        """Stake that a task locks of whoever has its best bid, and then of its solver."""
        return self._read_once("solverStake", max_price, segments, checks)

    def liability(self, fee: int) -> int:
        """What a verifier's units answer for in a task of this fee."""
        return self._read_once("liability", fee)

    def posted(self, task: int) -> Posted:
        """The task's job and terms, from its event; `ValueError` where there is no such task."""
        for event in self._events(Posted, task):
            if isinstance(event, Posted):
                return event
        raise ValueError(f"no {task=} was posted to the market at {self.address}")

    def job(self, task: int) -> Job:
        return self.posted(task).job

    def commitments(self, task: int) -> list[SegmentCommitted]:
        """The segments committed so far, in order."""
        return [e for e in self._events(SegmentCommitted, task) if isinstance(e, SegmentCommitted)]

    def task_events(self, task: int) -> list[Event]:
        """The task's whole story, in order, but for the credits to accounts."""
        # Other events have an address first, which is no small number.
        return [e for e in self._events(None, task) if getattr(e, "task", None) == task]


class Disputes(Contract):
    """Accusations, by their tasks and their numbers in them; `IDisputes` says what calls do."""

    name = "Disputes"

    def accuse(self, task: int, seal: bytes) -> Receipt:
        """The accusation's number is `receipt.one(Accused).number`."""
        return self._write("accuse", task, seal)

    def unseal(self, task: int, number: int, segment: int, finding: bytes, salt: bytes) -> Receipt:
        return self._write("unseal", task, number, segment, finding, salt)

    def demand(self, task: int, segment: int, word: int) -> Receipt:
        """The demand's number is `receipt.one(DataDemanded).number`."""
        return self._write("demand", task, segment, word)

    def start(self, task: int, job: ToAbi) -> Receipt:
        """The dispute's number is `receipt.one(Started).dispute`."""
        return self._write("start", task, job)

    def lapse(self, task: int, number: int) -> Receipt:
        return self._write("lapse", task, number)

    def advance(self, task: int, most: int) -> Receipt:
        return self._write("advance", task, most)

    def dismiss(self, task: int, number: int) -> Receipt:
        return self._write("dismiss", task, number)

    def punish(self, task: int) -> Receipt:
        """Pays out what a verdict of guilt has decided."""
        return self._write("punish", task)

    def accusation(self, task: int, number: int) -> Accusation:
        return Accusation.from_abi(self._read("accusation", task, number))

    def queue(self, task: int) -> Queue:
        return Queue.from_abi(self._read("queue", task))

    def accusation_of(self, dispute: int) -> tuple[int, int]:
        """Task and number of a dispute."""
        task, number = self._read("accusationOf", dispute)
        return task, number

    def bond_of(self, task: int, accuser: str) -> tuple[int, bool]:
        """What this account's next accusation would lock, and whether it would be privileged."""
        amount, privileged = self._read("bondOf", task, accuser)
        return amount, privileged

    def seal_of(self, task: int, segment: int, finding: bytes, accuser: str, salt: bytes) -> bytes:
        """What `accuse` takes; reckoned here."""
        types = ("address", "uint256", "uint32", "bytes32", "address", "bytes32")
        return keccak(encode(types, (self.address, task, segment, finding, accuser, salt)))

    def open_time(self) -> int:
        """Seconds from filing in which an accusation is unsealed."""
        return self._read_once("openTime")

    def bond(self) -> int:
        """The smallest."""
        return self._read_once("bond")

    def finder_bps(self) -> int:
        return self._read_once("finderBps")

    def task_events(self, task: int) -> list[DisputesEvent]:
        """All that became of a task's accusations, in order."""
        return [e for e in self._events(None, task) if isinstance(e, DisputesEvent)]


class Court(Contract):
    """Disputes, by their numbers; `ICourt` says what each move does."""

    name = "Court"

    def reveal_roots(self, dispute: int, roots: Sequence[bytes]) -> Receipt:
        return self._write("revealRoots", dispute, roots)

    def reveal_trace(
        self,
        dispute: int,
        claim: ToAbi,
        header: ToAbi,
        trace: bytes,
        salt: bytes,
        reports: bytes,
        path: Sequence[bytes],
        children: Sequence[bytes],
    ) -> Receipt:
        given = (claim, header, trace, salt, reports, path, children)
        return self._write("revealTrace", dispute, *given)

    def reveal_children(self, dispute: int, children: Sequence[bytes]) -> Receipt:
        return self._write("revealChildren", dispute, children)

    def reveal_tensor(
        self, dispute: int, dtype: int, count: int, elements: bytes, children: Sequence[bytes]
    ) -> Receipt:
        return self._write("revealTensor", dispute, dtype, count, elements, children)

    def reveal_leaf(self, dispute: int, data: bytes) -> Receipt:
        return self._write("revealLeaf", dispute, data)

    def show_data(self, dispute: int, claim: ToAbi, header: ToAbi, opening: ToAbi) -> Receipt:
        return self._write("showData", dispute, claim, header, opening)

    def descend_steps(self, dispute: int, roots: Sequence[bytes], part: int) -> Receipt:
        return self._write("descendSteps", dispute, roots, part)

    def descend(self, dispute: int, child: int, root: bytes, path: Sequence[bytes]) -> Receipt:
        return self._write("descend", dispute, child, root, path)

    def accuse_state(self, dispute: int) -> Receipt:
        return self._write("accuseState", dispute)

    def accuse_reports(self, dispute: int, claim: ToAbi, header: ToAbi) -> Receipt:
        return self._write("accuseReports", dispute, claim, header)

    def prove_element(
        self,
        dispute: int,
        claim: ToAbi,
        header: ToAbi,
        node: ToAbi,
        node_path: Sequence[bytes],
        data: bytes,
        position: int,
        openings: Sequence[Opening],
    ) -> Receipt:
        return self._write(
            "proveElement", dispute, claim, header, node, node_path, data, position, openings
        )

    def prove_shape(
        self, dispute: int, claim: ToAbi, header: ToAbi, node: ToAbi, node_path: Sequence[bytes]
    ) -> Receipt:
        return self._write("proveShape", dispute, claim, header, node, node_path)

    def prove_padding(self, dispute: int, data: bytes, position: int) -> Receipt:
        return self._write("provePadding", dispute, data, position)

    def prove_output(
        self,
        dispute: int,
        claim: ToAbi,
        header: ToAbi,
        node: int,
        output_path: Sequence[bytes],
        item: bytes,
        trace_path: Sequence[bytes],
    ) -> Receipt:
        return self._write(
            "proveOutput", dispute, claim, header, node, output_path, item, trace_path
        )

    def call_time(self, dispute: int) -> Receipt:
        return self._write("callTime", dispute)

    def dispute(self, dispute: int) -> Dispute:
        return Dispute.from_abi(self._read("dispute", dispute))

    def disputes(self) -> int:
        """How many disputes there have been."""
        return self._read("disputes")

    def arity_bits(self) -> int:
        return self._read_once("arityBits")

    def checker(self, kind: int) -> str:
        """Who recomputes elements of this kind of node."""
        return Web3.to_checksum_address(self._read_once("checker", kind))

    def events(self, dispute: int, first: int | None = None) -> list[CourtEvent]:
        """Every move of a dispute, in order. first: a block before which there was none."""
        found = self._events(None, dispute, first=first)
        return [e for e in found if isinstance(e, CourtEvent)]

    def claim(self, dispute: int) -> Claim:
        """What the solver is bound to; `ValueError` where there is no such dispute."""
        for event in self._events(Opened, dispute):
            if isinstance(event, Opened):
                return event.claim
        raise ValueError(f"no {dispute=} was opened in the court at {self.address}")

    def verdict(self, dispute: int) -> Decided | None:
        """How it was decided; None while it is open."""
        return next((e for e in self.events(dispute) if isinstance(e, Decided)), None)
