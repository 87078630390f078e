"""The accused's part: answers in every dispute about this worker's own segments."""

from __future__ import annotations

from functools import partial

from worker.chain.events import Challenged
from worker.chain.types import Dispute, Task
from worker.dispute import SolverPlayer
from worker.jobs import Journal, Replay
from worker.outcomes import TaskFailed
from worker.roles.artifacts import load_journal
from worker.roles.base import Desk
from worker.roles.kept import Kept
from worker.roles.sizes import journal_bytes
from worker.roles.states import States
from worker.roles.steady import Steady
from worker.roles.turns import Rank
from worker.store import StoreError

PLAYERS = 4  # disputes whose replays are held at a time; others are made again


class Answers:
    """Makes one move a tick: where the least time is left. A restarted worker gives the same."""

    name, lane = "answers", "answers"

    def __init__(self, desk: Desk, states: States) -> None:
        self.desk, self.states = desk, states
        # a reorganised chain may give a task's and a dispute's number to another one
        self._players: Kept[tuple[bytes, int, int, bytes], SolverPlayer] = Kept(PLAYERS)

    def tick(self) -> bool:
        """Answers the most pressing question; True where it answered one."""
        failed: TaskFailed | None = None
        asked = self._asked()
        self._players.drop(lambda key: all(key[3] != d.claim for *_, d in asked))
        for _, number, task, challenge, dispute in sorted(asked, key=lambda found: found[0]):
            try:
                move = partial(self._move, number, task, challenge, dispute)
                if self.desk.act_on(number, task, self.name, move):
                    return True
            except TaskFailed as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return False

    def _asked(self) -> list[tuple[int, int, Task, Challenged, Dispute]]:
        """The disputes in which this worker is to move, each with the seconds that are left."""
        asked = []
        for number, task in self.desk.open_tasks():
            if task.solver != self.desk.account or not task.open_disputes:
                continue
            for challenge in self.desk.challenges(number):
                dispute = self.desk.board.dispute(challenge.dispute)
                if dispute.solver_to_move and dispute.phase.is_running:
                    left = dispute.seconds_left(self.desk.now)
                    asked.append((left, number, task, challenge, dispute))
        return asked

    def _move(self, number: int, task: Task, challenge: Challenged, dispute: Dispute) -> bool:
        due = self.desk.now + dispute.seconds_left(self.desk.now)
        with self.desk.turns.turn(Rank.ANSWER, due):
            said = self._player(number, task, challenge, dispute).move(dispute)
        self.desk.log.info("dispute %d: %s", challenge.dispute, said)
        return True

    def _player(
        self, number: int, task: Task, challenge: Challenged, dispute: Dispute
    ) -> SolverPlayer:
        key = (task.job, challenge.segment, challenge.dispute, dispute.claim)
        return self._players.get(key, lambda: self._made(number, task, challenge, dispute))

    def _made(
        self, number: int, task: Task, challenge: Challenged, dispute: Dispute
    ) -> SolverPlayer:
        segment, desk = challenge.segment, self.desk
        replay = Replay(
            desk.computation(number, task),
            segment,
            self.states.start(number, task, segment).state,
            desk.limits.kept_bytes,
            desk.turns.between,
        )
        self.states.let_go()
        return SolverPlayer(
            Steady.moves(desk.court, dispute, desk.turns),
            challenge.dispute,
            replay,
            self._journal(number, task, segment, replay),
            desk.court.arity_bits(),
        )

    def _journal(self, number: int, task: Task, segment: int, replay: Replay) -> Journal:
        root = self.desk.market.segment(number, segment).journal
        most = journal_bytes(replay.computation.program, len(replay.steps))
        try:
            return load_journal(self.desk.store, root, most)
        except StoreError:
            # the salts are derived, so the journal can be made again
            first = replay.state(replay.steps.start)
            result = replay.computation.run_segment(
                segment, first, self.desk.progress_of(number, segment, replay.computation.job)
            )
            return self.states.journal(number, task, segment, result.reports)
