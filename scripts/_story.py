"""The demo's story. ape runs the scripts without an underscore; this one they import."""

from __future__ import annotations

import logging
import struct
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ape import accounts, chain
from eth_account import Account
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from web3.types import TxReceipt

from scripts.deploy import deploy
from scripts.post import prepare
from worker.chain import Clients, Deployment, Status, connect
from worker.chain.events import BidPlaced, CourtEvent, ElementTried, FindersPaid, Posted, Punished
from worker.examples.digits import digits
from worker.jobs import TrainingJob
from worker.program import Kind, Program
from worker.roles import Desk, Keeper, Role, Solver, Verifier
from worker.simulation import ComputationOf, WrongElement
from worker.store import Store

PEOPLE = ("deployer", "requester", "alice", "bob", "mallory")
PRICES = {"alice": 0.8, "bob": 0.9, "mallory": 0.5}  # of the maximum price
UNIT = 10**18
WEALTH, STAKE, MAX_PRICE, FEE = 10_000 * UNIT, 2_000 * UNIT, 100 * UNIT, 20 * UNIT
CLOCK = 3_600
BID_SECONDS = 3_600  # the chain's clock runs on while a slow machine publishes the job


@dataclass
class Stage:
    """The chain, the contracts and the people."""

    console: Console
    deployment: Deployment
    store: Store
    gas: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    clients: dict[str, Clients] = field(default_factory=dict)
    progress: Progress | None = None

    def enter(self, name: str) -> None:
        """Gives somebody an account, money, and clients that count gas."""
        account = Account.from_key(accounts.test_accounts[PEOPLE.index(name)].private_key)

        def count(label: str, receipt: TxReceipt) -> None:
            self.gas[label].append(int(receipt["gasUsed"]))

        self.clients[name] = connect(
            chain.provider.web3, self.deployment, account, poll=0.01, on_receipt=count
        )
        self.clients[name].token.mint(account.address, WEALTH)

    def stake(self, name: str) -> None:
        """Makes somebody a worker, and offers it as a verifier."""
        mine = self.clients[name]
        mine.token.ensure_allowance(mine.stakes.address, STAKE)
        mine.stakes.deposit(STAKE)
        mine.stakes.approve_locker(mine.market.address)
        mine.stakes.approve_locker(mine.verifiers.address)
        mine.stakes.approve_locker(mine.disputes.address)  # for bonds, should it come to a dispute
        mine.verifiers.offer(1)

    def desk(self, name: str, computation_of: ComputationOf | None = None) -> Desk:
        mine = self.clients[name]
        desk = Desk(
            w3=mine.w3,
            account=mine.address,
            secret=name.encode().ljust(32, b"."),
            market=mine.market,
            disputes=mine.disputes,
            court=mine.court,
            stakes=mine.stakes,
            verifiers=mine.verifiers,
            store=self.store,
            on_progress=self._show,
        )
        desk.log = self._told(name)
        if computation_of is not None:
            desk.computation_of = computation_of
        return desk

    def _told(self, name: str) -> logging.Logger:
        """A log of which the audience hears what concerns a dispute."""
        stage = self

        class Teller(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                said = record.getMessage()
                if said.startswith("dispute "):
                    stage.say(f"[b]{name}[/b] {said.split(': ', 1)[1]}")

        log = logging.Logger(name, logging.INFO)
        log.addHandler(Teller())
        return log

    def name_of(self, address: str) -> str:
        return next((n for n, c in self.clients.items() if c.address == address), "nobody")

    def wealth(self) -> dict[str, int]:
        """Tokens and stake of everyone."""
        return {
            name: c.token.balance_of(c.address)
            + c.stakes.free(c.address)
            + c.stakes.locked(c.address, c.market.address)
            + c.stakes.locked(c.address, c.disputes.address)
            + c.stakes.locked(c.address, c.verifiers.address)
            for name, c in self.clients.items()
        }

    def wait(self, seconds: int) -> None:
        """Time passes on the chain."""
        chain.pending_timestamp = self.clients["requester"].now() + seconds
        chain.mine()

    def say(self, text: str) -> None:
        self.console.print(f"  {text}")

    _bars: dict[tuple[int, int, int], Any] = field(default_factory=dict)

    def _show(self, task: int, segment: int, done: int, total: int) -> None:
        if self.progress is None:
            return
        key = (id(self.progress), task, segment)
        if key not in self._bars:
            self._bars[key] = self.progress.add_task(f"segment {segment}", total=total)
        self.progress.update(self._bars[key], completed=done)

    def bars(self, what: str) -> Progress:
        """A progress display that the desks report to while it is open."""
        self.progress = Progress(
            TextColumn(f"  {what} {{task.description}}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TimeElapsedColumn(),
            console=self.console,
            disable=self.console.quiet,
        )
        return self.progress


@dataclass(frozen=True)
class Outcome:
    """How one task ended."""

    task: int
    status: str
    gains: dict[str, int]
    model: dict[str, float] = field(default_factory=dict)
    dispute: dict[str, Any] = field(default_factory=dict)


def play(*roles: Role) -> None:
    """Lets roles act in turn until none has anything to do."""
    while sum(role.tick() for role in roles):
        pass


def run_task(
    stage: Stage,
    training: TrainingJob,
    program: Program,
    solvers: Sequence[Solver],
    verifiers: Sequence[Verifier],
) -> Outcome:
    """One task from the escrow to the payment."""
    before = stage.wealth()
    requester = stage.clients["requester"]
    market = requester.market
    job, terms = prepare(
        requester,
        stage.store,
        training,
        max_price=MAX_PRICE,
        verifier_fee=FEE,
        bid_seconds=BID_SECONDS,
        commit_seconds=3_600,
        clock=CLOCK,
        program=program,
    )
    requester.token.ensure_allowance(market.address, MAX_PRICE + FEE)
    number = market.post(job, terms).one(Posted).task
    stage.say(
        f"[b]requester[/b] posts task {number}: {job.steps} steps in {job.segments} segments, "
        f"{(MAX_PRICE + FEE) // UNIT} tokens in escrow"
    )

    for solver in solvers:
        solver.tick()
    for bid in market.task_events(number):
        if isinstance(bid, BidPlaced):
            stage.say(f"[b]{stage.name_of(bid.worker)}[/b] bids {bid.price / UNIT:g} tokens")
    stage.wait(BID_SECONDS + 1)
    keeper = Keeper(stage.desk("requester"))
    keeper.tick()
    task = market.task(number)
    stage.say(
        f"bidding closes: [b]{stage.name_of(task.solver)}[/b] is the solver for "
        f"{task.price / UNIT:g} tokens, {task.solver_stake / UNIT:g} of its stake are locked"
    )

    with stage.bars("training"):
        while market.task(number).status == Status.ASSIGNED:
            for solver in solvers:
                solver.tick()
    stage.say(f"{job.segments} segments are committed: the end of each, and a journal of losses")
    chain.mine(2)
    keeper.tick()
    task = market.task(number)
    stage.say(
        f"[b]{stage.name_of(task.verifier)}[/b] is drawn as the verifier of segments "
        f"{', '.join(map(str, task.checked_segments))}"
    )

    with stage.bars("checking"):
        for verifier in verifiers:
            verifier.tick()
    accused = requester.disputes.queue(number).filed > 0
    if accused:
        bond = requester.disputes.accusation(number, 0).bond
        stage.say(
            f"[b]{stage.name_of(task.verifier)}[/b] gets another result for one of them and files "
            f"an accusation, sealed, with a bond of {bond / UNIT:g} tokens of its stake; mined, it "
            "is unsealed and heard"
        )
    play(*solvers, *verifiers)
    task = market.task(number)
    if task.attested:
        stage.say(f"[b]{stage.name_of(task.verifier)}[/b] attests: its own results are the same")
    over = max(task.window_ends, requester.now() + requester.disputes.open_time())
    stage.wait(over - requester.now() + 1)
    for name in stage.clients:
        play(Keeper(stage.desk(name)))
    dispute = tell_dispute(stage, program, number) if accused else {}
    task = market.task(number)
    after = stage.wealth()
    return Outcome(
        task=number,
        status=task.status.name.lower(),
        gains={n: after[n] - before[n] for n in after},
        model=fetch(stage, training, program, number) if task.status == Status.SETTLED else {},
        dispute=dispute,
    )


def fetch(stage: Stage, training: TrainingJob, program: Program, number: int) -> dict[str, float]:
    """The requester takes the model from the store by the root that is on chain, and tries it."""
    market = stage.clients["requester"].market
    root = market.segment(number, market.task(number).segments - 1).state
    state = stage.store.get_tensors("state", root)  # raises Corrupt unless it hashes to the root
    stage.say(
        f"[b]requester[/b] fetches the model {root.hex()[:16]}..., which is what was paid for"
    )
    assert training.evaluate is not None
    return training.evaluate(training.load(state, program))


def tell_dispute(stage: Stage, program: Program, number: int) -> dict[str, Any]:
    """What the court was shown, from its events."""
    mine = stage.clients["requester"]
    task = mine.market.task(number)
    number_of = mine.disputes.queue(number).dispute
    events = mine.court.events(number_of)
    turns = [type(e).__name__ for e in events]
    tried = next(e for e in events if isinstance(e, ElementTried))
    punished = next(e for e in mine.market.task_events(number) if isinstance(e, Punished))
    paid = next(e for e in mine.disputes.task_events(number) if isinstance(e, FindersPaid))
    stage.say(
        f"the court recomputes element {tried.element} of node {tried.node}: "
        f"{shown(tried.recomputed)}, not {shown(tried.committed)}: "
        f"[b]{stage.name_of(task.solver)}[/b] is guilty"
    )
    stage.say(
        f"of {task.solver_stake / UNIT:g} tokens of stake {punished.burned / UNIT:g} burn and "
        f"{punished.awarded / UNIT:g} go to [b]{stage.name_of(paid.convictor)}[/b], which found it "
        "and has its bond back; the requester has its escrow back"
    )
    return {
        "dispute": number_of,
        "rounds": rounds_of(events),
        "moves": len(turns) - 1,
        "node": tried.node,
        "operator": program.nodes[tried.node].name,
        "origin": program.origin(tried.node),
        "element": tried.element,
        "committed": shown(tried.committed),
        "recomputed": shown(tried.recomputed),
        "slashed": task.solver_stake,
        "to_finders": punished.awarded,
        "burned": punished.burned,
    }


def rounds_of(events: Sequence[CourtEvent]) -> int:
    """How often the challenger answered the solver."""
    answers = ("StepsNarrowed", "StateAccused", "ReportsAccused", "Descended", "Decided")
    return sum(type(e).__name__ in answers for e in events)


def shown(bits: int) -> str:
    """An f32 and its bits."""
    return f"{struct.unpack('<f', struct.pack('<I', bits))[0]:.9g} ({bits:#010x})"


def gradient_of(program: Program) -> int:
    """The node of the first layer's weight gradient: the product that its momentum adds up."""
    first = program.state_names.index("optimizer.momentum_buffer.0.weight")
    updated = program.nodes[program.outputs[first]]
    return next(i.node for i in updated.inputs if program.nodes[i.node].kind == Kind.DOT)


def tell(
    console: Console, store: Store, steps: int, segment_steps: int
) -> tuple[list[Outcome], dict[str, list[int]]]:
    """Both acts; how they ended, and the gas of every call."""
    console.rule("Setting the stage")
    deployment = deploy(accounts.test_accounts[0])
    stage = Stage(console, deployment, store)
    for name in PEOPLE[1:]:
        stage.enter(name)
    for name in PRICES:
        stage.stake(name)
    stage.say(
        f"contracts deployed; alice, bob and mallory stake {STAKE // UNIT} tokens each "
        "and offer themselves as verifiers"
    )
    training = digits(steps=steps, segment_steps=segment_steps)
    program = training.capture()
    stage.say(f"one step of its training is a program of {len(program.nodes)} nodes")

    def solver(name: str, cheat: ComputationOf | None = None) -> Solver:
        return Solver(stage.desk(name, cheat), lambda task, *_: int(task.max_price * PRICES[name]))

    console.rule("Act one: an honest worker")
    honest = run_task(
        stage,
        training,
        program,
        [solver("alice"), solver("bob")],
        [Verifier(stage.desk(n)) for n in ("bob", "mallory")],
    )
    for name, value in honest.model.items():
        stage.say(f"{name}: [b]{value:.2%}[/b]")

    console.rule("Act two: a worker that cheats")
    node, step = gradient_of(program), steps // 2 + 7
    cheat = WrongElement.at(step=step, node=node, element=1234, bit=22)
    stage.say(
        f"mallory will flip one bit of element 1234 of node {node}, the gradient of the first "
        f"layer's weights, in step {step} of {steps}"
    )
    caught = run_task(
        stage,
        digits(steps=steps, segment_steps=segment_steps),
        program,
        [solver("mallory", cheat), solver("alice")],
        [Verifier(stage.desk(n)) for n in ("alice", "bob")],
    )
    return [honest, caught], dict(stage.gas)


def show_tables(console: Console, outcomes: Sequence[Outcome], gas: dict[str, list[int]]) -> None:
    console.rule("The books")
    table = Table(title="Who gained what (tokens, stake included)")
    table.add_column("who")
    for outcome in outcomes:
        table.add_column(f"task {outcome.task}: {outcome.status}", justify="right")
    for name in outcomes[0].gains:
        table.add_row(name, *(f"{o.gains[name] / UNIT:+,.2f}" for o in outcomes))
    burned = [-sum(o.gains.values()) / UNIT for o in outcomes]
    table.add_row("burned", *(f"{b:+,.2f}" for b in burned))
    console.print(table)

    dispute = outcomes[-1].dispute
    if dispute:
        table = Table(title="The dispute", show_header=False)
        for key in (
            "rounds",
            "moves",
            "node",
            "operator",
            "origin",
            "element",
            "committed",
            "recomputed",
        ):
            table.add_row(key, str(dispute[key]))
        for key in ("slashed", "to_finders", "burned"):
            table.add_row(key.replace("_", " "), f"{dispute[key] / UNIT:,.2f} tokens")
        console.print(table)

    table = Table(title="Gas by kind of transaction")
    table.add_column("call")
    for column in ("times", "least", "most", "all"):
        table.add_column(column, justify="right")
    for call, used in sorted(gas.items()):
        table.add_row(call, str(len(used)), f"{min(used):,}", f"{max(used):,}", f"{sum(used):,}")
    moves, all_of_it = (
        sum(sum(used) for call, used in gas.items() if call.startswith(names))
        for names in ("court.", ("court.", "disputes."))
    )
    table.add_section()
    table.add_row("a dispute's moves, both sides", "", "", "", f"{moves:,}")
    table.add_row("from filing to punishment", "", "", "", f"{all_of_it:,}")
    console.print(table)
