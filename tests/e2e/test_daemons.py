"""The real thing: a node behind JSON-RPC, and workers that are processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_account.signers.local import LocalAccount
from web3 import Web3

from scripts.post import prepare
from tests.chain import chains
from worker.chain import Clients, Deployment, Status, connect
from worker.chain.events import Posted, Punished
from worker.commit import state_root
from worker.examples.digits import digits
from worker.jobs import Computation, TrainingJob
from worker.store import Store

STEPS, SEGMENT_STEPS, HIDDEN = 40, 10, 16
UNIT = 10**18
WEALTH, STAKE, PRICE, FEE = 1_000 * UNIT, 500 * UNIT, 20 * UNIT, 5 * UNIT
CLOCK = 3_600
DEADLINE = 90.0

CONFIG = """
[chain]
rpc = "{rpc}"
deployment = "{deployment}"
poll_seconds = 0.1

[data]
folder = "{folder}"
store = "{store}"

[worker]
roles = ["{role}"]
threads = 1

[pricing]
fraction = 0.5
"""


class Worker:
    """A worker's account, its config, and its process while there is one."""

    def __init__(self, place: Place, role: str) -> None:
        self.place, self.role = place, role
        self.account = chains.funded(place.w3)
        self.clients = place.clients(self.account)
        folder = place.folder / role
        folder.mkdir()
        key = folder / "key"
        key.write_text(self.account.key.hex())
        key.chmod(0o600)
        self.config, self.log = folder / "worker.toml", folder / "log"
        self.config.write_text(
            CONFIG.format(
                rpc=place.rpc,
                deployment=place.registry,
                folder=folder / "data",
                store=place.store.url,
                role=role,
            )
        )
        self.environment = {**os.environ, "ASSAY_KEY_FILE": str(key)}
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "worker", words[0], "--config", str(self.config), *words[1:]]

    def call(self, *words: str) -> str:
        """A command that ends by itself."""
        done = subprocess.run(
            self.command(*words),
            env=self.environment,
            cwd=chains.ROOT,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, *words: str) -> None:
        assert self.process is None
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command("run", "--json", *words),
                env=self.environment,
                cwd=chains.ROOT,
                stdout=log,
                stderr=log,
            )

    def end(self, how: signal.Signals) -> int:
        """Its exit code, negative where a signal ended it."""
        assert self.process is not None
        self.process.send_signal(how)
        code = self.process.wait(DEADLINE)
        self.process = None
        return code

    def said(self) -> list[str]:
        """Its log's messages."""
        if not self.log.exists():
            return []
        lines = self.log.read_text().splitlines()
        return [json.loads(line)["message"] for line in lines if line.startswith("{")]

    def check_alive(self) -> None:
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(f"{self.role} ended: {self.log.read_text()[-3000:]}")


class Place:
    """A market on a node of its own, a store, a requester, and workers."""

    def __init__(self, w3: Web3, folder: Path) -> None:
        self.w3, self.folder = w3, folder
        self.rpc = w3.provider.endpoint_uri  # type: ignore[attr-defined]
        self.deployment: Deployment = chains.deploy_assay(w3)
        self.registry = folder / "deployment.json"
        self.deployment.save(self.registry)
        self.store = Store(str(folder / "store"))
        self.requester = self.clients(chains.funded(w3))
        self.workers: list[Worker] = []

    def clients(self, account: LocalAccount) -> Clients:
        found = connect(self.w3, self.deployment, account, poll=0.02, timeout=DEADLINE)
        found.token.mint(account.address, WEALTH)
        return found

    def worker(self, role: str, by_command: bool = True) -> Worker:
        """A worker that has staked: by the command line, or by the same calls made here."""
        worker = Worker(self, role)
        self.workers.append(worker)
        if by_command:
            worker.call("stake", str(STAKE // UNIT))
            return worker
        mine = worker.clients
        mine.token.ensure_allowance(self.deployment.stakes, STAKE)
        mine.stakes.deposit(STAKE)
        addresses = self.deployment
        for locker in (addresses.market, addresses.verifiers, addresses.disputes):
            mine.stakes.approve_locker(locker)
        return worker

    def post(self, training: TrainingJob) -> int:
        job, terms = prepare(
            self.requester,
            self.store,
            training,
            max_price=PRICE,
            verifier_fee=FEE,
            bid_seconds=600,
            commit_seconds=6_000,
            clock=CLOCK,
        )
        self.requester.token.ensure_allowance(self.deployment.market, PRICE + FEE)
        return self.requester.market.post(job, terms).one(Posted).task

    def task(self, number: int):  # type: ignore[no-untyped-def]
        return self.requester.market.task(number)

    def wait(self, seconds: int) -> None:
        """Time passes on the chain."""
        self.w3.provider.make_request("evm_increaseTime", [seconds])  # type: ignore[arg-type]
        self.mine()

    def mine(self) -> None:
        self.w3.provider.make_request("evm_mine", [])  # type: ignore[arg-type]

    def until(self, condition, what: str):  # type: ignore[no-untyped-def]
        """Waits for the workers to bring something about."""

        def alive():  # type: ignore[no-untyped-def]
            for worker in self.workers:
                worker.check_alive()
            return condition()

        return chains.wait_for(alive, what, DEADLINE)

    def draw(self, number: int) -> None:
        """Blocks come until somebody has drawn: a node that is sent nothing stands still."""

        def drawn() -> bool:
            self.mine()
            return self.task(number).status >= Status.VERIFYING

        self.until(drawn, "the draw")

    def wealth(self, who: Clients) -> int:
        me, stakes = who.address, who.stakes
        return (
            who.token.balance_of(me)
            + stakes.free(me)
            + stakes.locked(me, who.market.address)
            + stakes.locked(me, who.disputes.address)
            + stakes.locked(me, who.verifiers.address)
            + who.market.credit(me)
        )


@pytest.fixture
def place(tmp_path) -> Iterator[Place]:
    with chains.anvil() as w3:
        place = Place(w3, tmp_path)
        yield place
        for worker in place.workers:
            if worker.process is not None:
                worker.end(signal.SIGKILL)


def honest_states(training: TrainingJob):  # type: ignore[no-untyped-def]
    """The state after each segment, by plain recomputation."""
    program = training.capture()
    computation = Computation(training.job(program), program, training.tensors)
    state, found = training.initial_state(), []
    for segment in range(computation.job.segments):
        state = computation.run_segment(segment, state).state
        found.append(state)
    return found


def test_a_task_is_solved_by_processes_one_of_which_is_killed(place):
    """Post, bid, train, kill, resume, verify, attest, settle, withdraw: over JSON-RPC, with nothing
    shared but the chain and the store; and the model is the one that an undisturbed run gives."""
    training = digits(steps=STEPS, segment_steps=SEGMENT_STEPS, hidden=HIDDEN)
    solver, verifier = place.worker("solver"), place.worker("verifier", by_command=False)
    number = place.post(training)
    solver.start()
    verifier.start()
    market = place.requester.market
    place.until(lambda: market.task(number).has_solver, "a bid")
    place.wait(601)

    place.until(lambda: place.task(number).committed >= 1, "the first segment")
    assert solver.end(signal.SIGKILL) == -signal.SIGKILL
    committed = place.task(number).committed
    solver.start()
    place.until(lambda: place.task(number).committed == 4, "the last segment")
    bids = [e for e in market.task_events(number) if type(e).__name__ == "BidPlaced"]
    assert len(bids) == 1 and 1 <= committed <= 4
    expected = [state_root(state) for state in honest_states(training)]
    assert [market.segment(number, i).state for i in range(4)] == expected

    place.draw(number)
    place.until(lambda: place.task(number).attested, "the attestation")
    place.wait(place.task(number).window_ends - place.requester.now() + 1)
    place.until(lambda: place.task(number).status == Status.SETTLED, "the payment")
    for worker in (solver, verifier):
        place.until(lambda w=worker: not market.credit(w.account.address), "the withdrawal")
        assert worker.end(signal.SIGTERM) == 0
        assert worker.said()[-1] == "stopped"
    price = place.task(number).price
    assert 0 < price <= PRICE // 2
    assert place.wealth(solver.clients) == WEALTH + price
    assert place.wealth(verifier.clients) == WEALTH + FEE
    assert place.wealth(place.requester) == WEALTH - price - FEE

    model = place.store.get_tensors("state", market.segment(number, 3).state)
    assert state_root(model) == expected[-1]
    module = training.load(model, training.capture())
    assert training.evaluate is not None and training.evaluate(module)["test accuracy"] > 0.2


def test_a_cheat_is_condemned_by_a_process_that_only_staked(place):
    """A worker set up by the command line alone has all it needs to accuse, win the dispute and
    be paid for it."""
    training = digits(steps=STEPS, segment_steps=SEGMENT_STEPS, hidden=HIDDEN)
    cheat, verifier = place.worker("solver", by_command=False), place.worker("verifier")
    number = place.post(training)
    cheat.start("--roles", "tests.e2e.cheating:build")
    verifier.start()
    market = place.requester.market
    place.until(lambda: market.task(number).has_solver, "a bid")
    place.wait(601)
    place.until(lambda: place.task(number).committed == 4, "the last segment")
    place.draw(number)
    place.until(lambda: place.task(number).status == Status.CONDEMNED, "the verdict")
    place.wait(place.requester.disputes.open_time() + 1)
    place.until(lambda: not place.requester.disputes.queue(number).waits, "the punishment")
    for worker in (cheat, verifier):
        assert worker.end(signal.SIGTERM) == 0
    found = [e for e in market.task_events(number) if isinstance(e, Punished)]
    assert [e.solver for e in found] == [cheat.account.address]
    assert place.wealth(cheat.clients) == WEALTH - found[0].awarded - found[0].burned
    assert place.wealth(verifier.clients) == WEALTH + found[0].awarded
    assert place.wealth(place.requester) == WEALTH
