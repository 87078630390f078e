"""Whole disputes on a node: the worker's own players, a real market, all gas counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from eth_utils import keccak
from torch import Tensor

from benchmarks.node import NodeChain
from tests.revm import Deployed, Sent, address_of
from worker.chain.events import Accused, Posted, Started
from worker.chain.types import Claim, Job, Phase, Terms
from worker.commit import report_salt, state_root, tensor_item
from worker.dispute import ChallengerPlayer, SolverPlayer
from worker.jobs import Computation, Journal, Replay
from worker.jobs.journal import Entry
from worker.program import Node, Program
from worker.simulation import WrongElement

CLOCK = 3_600  # seconds; no dispute here comes near it


@dataclass
class Played:
    """One dispute, from the accusation to the verdict and, in a market, the punishment."""

    node: str
    sent: list[Sent]
    solver: str
    search_seconds: float  # the challenger's own time, its traced step included

    def total(self, solver: bool | None = None) -> int:
        """Gas of one side, or of both."""
        return sum(
            s.gas for s in self.sent if solver is None or solver == (s.sender == self.solver)
        )

    @property
    def rounds(self) -> int:
        """Answers of the challenger to what the solver shows; the last is the proof."""
        # neither the accusation nor the punishment is one
        moves = [s for s in self.sent if s.label.startswith("court.") and s.label != "court.open"]
        return sum(s.sender != self.solver for s in moves)

    @property
    def proof(self) -> Sent:
        return next(s for s in reversed(self.sent) if s.label.startswith("court.prove"))

    def summary(self) -> dict[str, Any]:
        moves: dict[str, dict[str, int]] = {}
        for s in self.sent:
            m = moves.setdefault(s.label, {"times": 0, "most_gas": 0, "most_calldata": 0})
            m["times"] += 1
            m["most_gas"] = max(m["most_gas"], s.gas)
            m["most_calldata"] = max(m["most_calldata"], s.calldata)
        return {
            "guilty": self.node,
            "rounds": self.rounds,
            "transactions": len(self.sent),
            "gas": self.total(),
            "gas_solver": self.total(True),
            "gas_challenger": self.total(False),
            "calldata": sum(s.calldata for s in self.sent),
            "moves": moves,
        }


class WrongPlace(Exception):
    """What was to be measured did not happen: an element without effect on the state, say."""


class OneStep(Replay):
    """A replay of a long segment that knows one of its steps.

    Of all other states a dispute compares the roots alone, and never looks inside: here they are
    hashes of their numbers, which the two sides agree on up to the step and not after it.
    """

    def __init__(
        self, computation: Computation, step: int, before: Sequence[Tensor], side: str
    ) -> None:
        super().__init__(computation, 0, before)
        self.step, self.side = step, side
        self._states = {step: list(before)}

    def state(self, step: int) -> list[Tensor]:
        if step == self.step + 1 and step not in self._states:
            after, _ = self.computation.advance(self._states[self.step], self.step)
            self._states[step] = after
        return self._states[step]

    def root(self, step: int) -> bytes:
        """The commitment of S_step, or a number that stands for it."""
        if step not in (self.step, self.step + 1):
            return self.stand_in(step)
        if step not in self._roots:
            self._roots[step] = state_root(self.state(step))
        return self._roots[step]

    def stand_in(self, step: int) -> bytes:
        """What is taken for the root of a state that nobody looks into."""
        return sha256(f"{self.side if step > self.step else 'both'} {step}".encode()).digest()


def play(
    job: Job,
    solver: Replay,
    challenger: Replay,
    chain: NodeChain,
    journal_of: Callable[[bytes], Journal],
    arity_bits: int,
    guilty: Node,
    paid: bool = True,
) -> Played:
    """Commits the solver's segment 0, accuses it, and plays to the verdict.

    guilty: the node at which the solver cheats. Raises WrongPlace where another is convicted.

    paid: the client is a market with stakes, bonds and an escrow, which punishes in a
    transaction of its own, after the verdict. Otherwise it is a contract that only writes it down.
    """
    program = solver.computation.program
    system = Deployed(arity_bits, chain=chain)
    accounts = {role: address_of(role) for role in ("requester", "solver", "challenger")}
    clients = {role: system.clients(address) for role, address in accounts.items()}
    journal = journal_of(bytes.fromhex(accounts["solver"][2:]))
    last = solver.root(solver.steps.stop)
    court, their_court = clients["solver"].court, clients["challenger"].court
    if paid:
        task = _committed(system, clients, accounts, job, last, journal.root)
        before = len(chain.sent)
        accuser_at = clients["challenger"].disputes
        said = (task, 0, sha256(b"what it found").digest())
        salt = sha256(b"its salt").digest()
        seal = accuser_at.seal_of(*said, accounts["challenger"], salt)
        place = accuser_at.accuse(task, seal).one(Accused).number
        accuser_at.unseal(task, place, *said[1:], salt)
        dispute = accuser_at.start(task, job).one(Started).dispute
    else:
        stub = chain.deploy("StubClient", system.court)
        claim = Claim(
            accounts["solver"], accounts["challenger"], job.program, job.data, job.data_tensors,
            job.rows, job.seed, 0, solver.steps.stop, solver.root(0), last, journal.root,
        )  # fmt: skip
        before, dispute = len(chain.sent), their_court.disputes()
        data = keccak(text=f"open({claim.abi_type()},uint32)")[:4] + claim.encoded()
        data += CLOCK.to_bytes(32, "big")
        chain.send(accounts["challenger"], stub, data, "court.open")
    accused = SolverPlayer(court, dispute, solver, journal, arity_bits)
    accuser = ChallengerPlayer(their_court, dispute, challenger, arity_bits)
    seconds = 0.0
    d = court.dispute(dispute)
    while d.phase != Phase.CLOSED:
        place = d.item
        if d.solver_to_move:
            accused.move(d)
        else:
            start = time.perf_counter()
            accuser.move(d, their_court.events(dispute))
            seconds += time.perf_counter() - start
        d = court.dispute(dispute)
    verdict = court.verdict(dispute)
    assert verdict is not None and verdict.solver_guilty, "the cheat was not convicted"
    if (found := program.nodes[place]) is not guilty:
        raise WrongPlace(f"{guilty.name} was wrong, and {found.name} was convicted")
    if paid:
        chain.mine(seconds=system.DISPUTES["openTime"] + 1)
        clients["challenger"].disputes.punish(task)
    node = f"{guilty.name} {list(guilty.shape)}"
    return Played(node, chain.sent[before:], accounts["solver"], seconds)


def _committed(
    system: Deployed,
    clients: dict[str, Any],
    accounts: dict[str, str],
    job: Job,
    state: bytes,
    journal: bytes,
) -> int:
    """A task of which the solver has committed the first segment."""
    for role, hand in clients.items():
        hand.token.mint(accounts[role], 10**9)
        hand.token.approve(system.market, 10**9)
        hand.token.approve(system.stakes, 10**9)
        hand.stakes.deposit(10**6)
        hand.stakes.approve_locker(system.market)
        hand.stakes.approve_locker(system.disputes)
    now = system.chain.time
    terms = Terms(1_000, 300, now + 100, now + 10**6, job.segments, CLOCK)
    task = int(clients["requester"].market.post(job, terms).one(Posted).task)
    market = clients["solver"].market
    market.bid(task, 1_000)
    system.chain.mine(seconds=101)
    market.close(task)
    market.commit_segment(task, 0, state, journal)
    return task


def one_step(
    program: Program,
    state: Sequence[Tensor],
    data: Sequence[Tensor],
    node: int,
    element: int,
    *,
    chain: NodeChain,
    bit: int = 1,
    steps: int = 1,
    arity_bits: int,
    paid: bool = True,
) -> Played:
    """A dispute about one element in the middle one of `steps` steps."""
    job, step = long_job(program, data, steps)
    honest = Computation(job, program, data)
    cheating = WrongElement(job, program, data, step=step, node=node, element=element, bit=bit)
    solver = OneStep(cheating, step, state, "solver")
    challenger = OneStep(honest, step, state, "challenger")
    _, report = cheating.advance(state, step)
    return play_step(solver, challenger, report, node, chain, arity_bits, paid)


def long_job(program: Program, data: Sequence[Tensor], steps: int) -> tuple[Job, int]:
    """A job of one segment that begins anywhere, and its middle step."""
    zero, rows = b"\0" * 32, len(data[0])
    root = state_root(data)
    return Job(program.root, zero, root, len(data), rows, 7, steps, steps), steps // 2


def play_step(
    solver: OneStep,
    challenger: OneStep,
    report: Sequence[Tensor],
    node: int,
    chain: NodeChain,
    arity_bits: int,
    paid: bool = True,
) -> Played:
    """Plays about what the solver made of its step, whose report this is, at a node."""
    job, program = solver.computation.job, solver.computation.program
    job = Job(job.program, solver.root(0), *job.to_abi()[2:])
    items = tuple(tensor_item(t) for t in report)

    def journal_of(owner: bytes) -> Journal:
        """The report of the one step for every step; of the others it is never opened."""
        salts = (report_salt(b"benchmark", b"court", s) for s in range(job.steps))
        return Journal(owner, 0, tuple(Entry(salt, items) for salt in salts))

    return play(job, solver, challenger, chain, journal_of, arity_bits, program.nodes[node], paid)


def whole_segment(
    program: Program,
    data: Sequence[Tensor],
    state: Sequence[Tensor],
    job: Job,
    *,
    chain: NodeChain,
    step: int,
    node: int,
    element: int,
    bit: int,
    arity_bits: int,
) -> Played:
    """A dispute about one element, every step of the segment computed by both sides."""
    cheat = WrongElement(job, program, data, step=step, node=node, element=element, bit=bit)
    solver = Replay(cheat, 0, state)
    result = cheat.run_segment(0, state)

    def journal_of(owner: bytes) -> Journal:
        return Journal.make(owner, b"benchmark", b"court", solver.steps, result.reports)

    challenger = Replay(Computation(job, program, data), 0, state)
    return play(job, solver, challenger, chain, journal_of, arity_bits, program.nodes[node])


def traced_seconds(
    program: Program, state: Sequence[Tensor], batch: Sequence[Tensor], keep: bool
) -> float:
    """The time to compute every node's output once, the outputs kept together or not."""
    start = time.perf_counter()
    walk = program.walk(state, batch)
    kept = list(walk) if keep else [None for _ in walk]
    del kept
    return time.perf_counter() - start
