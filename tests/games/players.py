"""Who else sits at the table: liars, people who leave in the middle, and processes that die."""

from __future__ import annotations

from collections.abc import Callable, Container
from contextlib import suppress
from dataclasses import replace
from functools import cache
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor

from tests.games.world import ROLES, WEALTH, World, small_training
from tests.revm import RevmSender
from worker.chain.errors import ContractError
from worker.chain.events import Accused, Started
from worker.chain.types import Phase, Standing, Status, Task
from worker.commit import LEAF_BYTES, TensorCommitment, Tree, state_root
from worker.dispute import ChallengerPlayer, NothingToProve, SolverPlayer
from worker.dispute.commitments import CommittedList
from worker.jobs import Computation, Replay
from worker.program import Program
from worker.roles import Desk, Keeper, Role, Solver, load_state
from worker.roles.answers import Answers
from worker.roles.base import ComputationOf
from worker.roles.disputes import Case
from worker.roles.seals import salt_of, seal_of
from worker.roles.states import States
from worker.store import StoreError

DAY = 86_400


@cache
def decoded(data: bytes) -> Program:
    """Programs by their bytes: hundreds of games read the same one."""
    return _decode(data)


_decode = Program.from_bytes


def at_max_price(task: Task, job: Any, seconds: float) -> int:
    return task.max_price


def a_node(name: str) -> int:
    """The last node with this function; of DOT, the gradient of the last layer's weights."""
    program, *_ = small_training()
    return max(i for i, n in enumerate(program.nodes) if n.name == name)


NOTHING = b"nothing that anyone computed".ljust(32)  # what an accuser says it found


def accuse(desk: Desk, number: int, segment: int, finding: bytes = NOTHING) -> int:
    """Files an accusation and shows what it says: its number in the task."""
    seal = seal_of(desk, number, segment, finding)
    place = desk.disputes.accuse(number, seal).one(Accused).number
    desk.disputes.unseal(number, place, segment, finding, salt_of(desk, number, segment))
    return place


def hear(desk: Desk, number: int) -> int:
    """Has the court hear the next accusation of a task: the dispute's number."""
    return desk.disputes.start(number, desk.job(number)).one(Started).dispute


def accused(desk: Desk, number: int, segment: int) -> int:
    """Accuses a segment, and has that heard at once: the dispute's number."""
    accuse(desk, number, segment)
    return hear(desk, number)


class Liar:
    """Accuses a segment, and believes in another computation than its solver's to the end.

    gone: phases in which it makes no move any more.
    """

    name = "liar"

    def __init__(
        self,
        desk: Desk,
        segment: int,
        believed: ComputationOf,
        report_step: int | None = None,
        gone: Container[Phase] = (),
    ) -> None:
        self.desk, self.segment, self.believed = desk, segment, believed
        self.report_step, self.gone = report_step, gone
        self.place: int | None = None
        self.dispute: int | None = None
        self.refused: str | None = None  # the name of what the court or its own reason said
        self._player: ChallengerPlayer | None = None

    def tick(self) -> bool:
        if self.place is None:
            return self._open()
        if self.dispute is None:
            return self._hear()
        d = self.desk.court.dispute(self.dispute)
        if self.refused or not d.phase.is_running or d.solver_to_move or d.phase in self.gone:
            return False
        try:
            if self._player is None:
                self._player = self._prepare()
            self._player.move(d, self.desk.court.events(self.dispute))
        except ContractError as error:
            self.refused = error.name
        except (NothingToProve, StoreError, ValueError, LookupError) as error:
            self.refused = type(error).__name__
        return self.refused is None

    def _open(self) -> bool:
        market = self.desk.market
        if not market.tasks():
            return False
        task = market.task(0)
        now = self.desk.now
        timely = (task.status == Status.ASSIGNED and now <= task.commit_until) or (
            task.status == Status.VERIFYING and now <= task.window_ends
        )
        if self.segment >= task.committed or not timely or task.solver == self.desk.account:
            return False
        self.place = accuse(self.desk, 0, self.segment)
        return True

    def _hear(self) -> bool:
        """Waits for its turn, which anyone may call."""
        queue = self.desk.disputes.queue(0)
        assert self.place is not None
        standing = self.desk.disputes.accusation(0, self.place).standing
        if not queue.running and standing == Standing.WAITING:
            with suppress(ContractError):
                self.desk.disputes.start(0, self.desk.job(0))
                queue = self.desk.disputes.queue(0)
        if queue.running - 1 != self.place:
            return False
        self.dispute = queue.dispute
        return True

    def _prepare(self) -> ChallengerPlayer:
        assert self.dispute is not None
        job, market = self.desk.job(0), self.desk.market
        program, _, data = small_training()
        before = job.state if self.segment == 0 else market.segment(0, self.segment - 1).state
        first = load_state(self.desk.store, program, before)
        replay = Replay(self.believed(job, program, data), self.segment, first)
        bits = self.desk.court.arity_bits()
        return ChallengerPlayer(self.desk.court, self.dispute, replay, bits, self.report_step)


class Quitter(Solver):
    """A solver that stops answering in some phases."""

    def __init__(self, desk: Desk, gone: Container[Phase]) -> None:
        super().__init__(desk, at_max_price)
        self.answers = SilentIn(gone, desk, States(desk))


class SilentIn(Answers):
    """Answers, but for the questions of some phases."""

    def __init__(self, gone: Container[Phase], desk: Desk, states: States) -> None:
        super().__init__(desk, states)
        self.gone = gone

    def _act(self, case: Case) -> bool:
        return case.dispute.phase not in self.gone and super()._act(case)


class Trickster(Solver):
    """A cheat whose trace commits to one node's tensor in a way that no honest solver would."""

    def __init__(
        self, desk: Desk, node: int, trick: Callable[[TensorCommitment], TensorCommitment]
    ) -> None:
        super().__init__(desk, at_max_price)
        self.answers = Tricky(node, trick, desk, States(desk))


class Tricky(Answers):
    """Answers with that tensor in its trace."""

    def __init__(
        self,
        node: int,
        trick: Callable[[TensorCommitment], TensorCommitment],
        desk: Desk,
        states: States,
    ) -> None:
        super().__init__(desk, states)
        self.node, self.trick = node, trick

    def _made(self, case: Case) -> SolverPlayer:
        player = super()._made(case)
        honest = type(player)._trace

        def trace(step: int) -> CommittedList:
            fresh = step not in player._traces
            committed = honest(player, step)
            if fresh:
                committed.replace(self.node, self.trick(committed[self.node]))
            return committed

        player._trace = trace  # type: ignore[method-assign]
        return player


def with_data(tensor: TensorCommitment, data: bytes) -> TensorCommitment:
    """The commitment to other bytes."""
    parts = [data[i : i + LEAF_BYTES] for i in range(0, len(data), LEAF_BYTES)]
    return replace(tensor, data=data, tree=Tree([sha256(b"\x01" + p).digest() for p in parts]))


# --- processes that die ------------------------------------------------------------------------


class Killed(BaseException):
    """The process is gone: no handler of the worker's runs."""


class DyingSender(RevmSender):
    """Kills its process right after each transaction, before anyone has seen the receipt."""

    def send(self, *arguments: Any, **named: Any) -> dict[str, Any]:
        super().send(*arguments, **named)
        raise Killed


def dying_desk(world: World, role: str, **changes: Any) -> Desk:
    """A new process's desk, which its first transaction kills."""
    desk = world.desk(role, **changes)
    hand = world.system.clients(desk.account, DyingSender(world.chain, desk.account))
    desk.market, desk.disputes, desk.court = hand.market, hand.disputes, hand.court
    desk.stakes = hand.stakes
    return desk


class Mortal:
    """A role of which nothing is left after each tick, but what is on chain and in the store."""

    def __init__(self, make: Callable[[], Role]) -> None:
        self.make, self.deaths = make, 0
        self.name = "mortal"

    def tick(self) -> bool:
        try:
            return self.make().tick()
        except Killed:
            self.deaths += 1
            return True


# --- books -------------------------------------------------------------------------------------


def settle_all(world: World) -> dict[str, int]:
    """After all deadlines: everyone's gain, with every token taken out of the contracts.

    Fails where a token is lost, made, or stuck.
    """
    for _ in range(3):
        world.finish()
    outsider = world.desks["outsider"]
    if outsider.stakes.burned():
        outsider.stakes.sweep()
    for number in range(outsider.market.tasks()):
        task = outsider.market.task(number)
        assert task.status.is_over, f"task {number} is {task.status.name} for ever"
        queue = outsider.disputes.queue(number)
        assert not queue.waits, f"task {number} waits for accusations for ever"
    assert all(
        outsider.court.dispute(n).phase == Phase.CLOSED for n in range(outsider.court.disputes())
    )
    clients = {role: world.system.clients(world.people[role]) for role in ROLES}
    for account in world.people.values():
        world.system.leave(account)
    leaving = [(role, c.stakes) for role, c in clients.items() if c.stakes.free(world.people[role])]
    for role, stakes in leaving:
        stakes.unbond(stakes.free(world.people[role]))
    world.chain.mine(seconds=31 * DAY)
    for _, stakes in leaving:
        stakes.withdraw()
    token = clients["outsider"].token
    assert token.balance_of(world.system.market) == 0, "no token is stuck in the market"
    assert token.balance_of(world.system.stakes) == 0, "no token is stuck in the stakes"
    assert world.all_tokens() == WEALTH * len(ROLES), "tokens are conserved"
    return {role: token.balance_of(world.people[role]) - WEALTH for role in ROLES}


def verdicts(world: World) -> list[str]:
    """Why each dispute was decided as it was."""
    court = world.desks["outsider"].court
    found = (court.verdict(n) for n in range(court.disputes()))
    return [v.reason.rstrip(b"\0").decode() if v else "dismissed" for v in found]


def time_out(world: World) -> None:
    """Whoever is to move has no time left, and somebody says so."""
    world.chain.mine(seconds=world.system.CLOCK + 1)
    world.play(Keeper(world.desks["requester"]))


def honest_roots(world: World, job: Any) -> list[bytes]:
    """The state root after each segment, by plain recomputation."""
    program, state, data = small_training()
    computation = Computation(job, program, data)
    roots = []
    for segment in range(job.segments):
        state = computation.run_segment(segment, state).state
        roots.append(state_root(state))
    return roots


def same(a: Tensor, b: Tensor) -> bool:
    return a.view(torch.int32).equal(b.view(torch.int32))
