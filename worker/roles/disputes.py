"""What both sides of a dispute do alike: one move a tick, where the least time is left."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from worker.chain.errors import ContractError
from worker.chain.types import Accusation, Dispute, Task
from worker.dispute.player import Player
from worker.jobs import Replay
from worker.roles.base import Desk
from worker.roles.checkpoint import Checkpoint
from worker.roles.kept import Kept
from worker.roles.turns import Rank

P = TypeVar("P", bound=Player)

PLAYERS = 4  # disputes whose replays are held at a time; others are made again


@dataclass(frozen=True)
class Case:
    """A dispute as it stands, about one segment of a task."""

    number: int  # the task's
    task: Task
    accusation: Accusation
    id: int  # the dispute's
    dispute: Dispute

    @property
    def segment(self) -> int:
        return self.accusation.segment

    @property
    def key(self) -> tuple[bytes, int, int, bytes]:
        """Another one's is another: a reorganised chain may give a task's and a dispute's number
        to others."""
        return self.task.job, self.segment, self.id, self.dispute.claim


class Side(ABC, Generic[P]):
    """Makes one move a tick. A restarted worker makes the same."""

    lane = "answers"

    def __init__(self, desk: Desk, name: str) -> None:
        self.desk, self.name = desk, name
        self._players: Kept[tuple[bytes, int, int, bytes], P] = Kept(PLAYERS)
        # of whoever is accused of the same again and again, nothing is computed again
        self._replays: Kept[tuple[bytes, int, bytes], Replay] = Kept(PLAYERS)

    def tick(self) -> bool:
        """Does the most pressing thing; True where it did one."""
        mine, now = self._mine(), self.desk.now
        claims = {case.dispute.claim for case in mine}
        self._players.drop(lambda key: key[3] not in claims)
        asked = [case for case in mine if self._is_asked(case.dispute)]
        asked.sort(key=lambda case: case.dispute.seconds_left(now))
        acts = [(case.number, case.task, partial(self._act, case)) for case in asked]
        return self.desk.act_on_each(acts, self.name, once=True)

    @abstractmethod
    def _is_mine(self, task: Task, accusation: Accusation) -> bool:
        """Whether this worker is this side of a dispute."""

    @abstractmethod
    def _is_asked(self, dispute: Dispute) -> bool:
        """Whether there may be something to do in a dispute that is mine."""

    @abstractmethod
    def _act(self, case: Case) -> bool:
        """Does it; True where it was done."""

    @abstractmethod
    def _made(self, case: Case) -> P:
        """Whoever knows the moves."""

    def _mine(self) -> list[Case]:
        """All disputes that run of which this worker is this side, in the order of their tasks."""
        found, waiting = [], set()
        for number, task in self.desk.open_tasks():
            queue = self.desk.board.queue(number)
            if not queue.waits:
                continue
            waiting.add(task.job)
            if not queue.running:
                continue
            accusation = self.desk.accusations(number)[queue.running - 1]
            if self._is_mine(task, accusation):
                dispute = self.desk.board.dispute(queue.dispute)
                found.append(Case(number, task, accusation, queue.dispute, dispute))
        self._replays.drop(lambda key: key[0] not in waiting)
        return found

    def _replay(self, case: Case, first: Checkpoint) -> Replay:
        """The disputed segment from its first state, with the roots that are known of it."""
        desk, segment = self.desk, case.segment

        def made() -> Replay:
            computation = desk.computation(case.number, case.task)
            roots = desk.roots.get(case.task, segment, first.root)
            most, between = desk.limits.kept_bytes, desk.turns.between
            return Replay(computation, segment, first.state, most, between, roots)

        return self._replays.get((case.task.job, segment, first.root), made)

    def _play(self, case: Case, move: Callable[[P], str]) -> None:
        """Makes a move before anything else is computed, and says which."""
        due = self.desk.now + case.dispute.seconds_left(self.desk.now)
        try:
            with self.desk.turns.turn(Rank.ANSWER, due):
                said = move(self._player(case))
        except ContractError:
            # anyone may prove or call time, and who watches the mempool may do so a place ahead
            if self.desk.court.dispute(case.id).phase.is_running:
                raise
            said = "somebody was faster: it is decided"
        self.desk.log.info("dispute %d: %s", case.id, said)

    def _player(self, case: Case) -> P:
        return self._players.get(case.key, partial(self._made, case))
