"""The accused's part: answers in every dispute about this worker's own segments."""

from __future__ import annotations

from worker.chain.types import Accusation, Dispute, Task
from worker.dispute import SolverPlayer
from worker.jobs import Journal, Replay
from worker.roles.artifacts import load_journal
from worker.roles.base import Desk
from worker.roles.disputes import Case, Side
from worker.roles.sizes import journal_bytes
from worker.roles.states import States
from worker.roles.steady import Steady
from worker.store import StoreError


class Answers(Side[SolverPlayer]):
    """Answers whatever is asked, the question with the least time left first."""

    def __init__(self, desk: Desk, states: States) -> None:
        super().__init__(desk, "answers")
        self.states = states

    def _is_mine(self, task: Task, accusation: Accusation) -> bool:
        return task.solver == self.desk.account

    def _is_asked(self, dispute: Dispute) -> bool:
        return dispute.solver_to_move and dispute.phase.is_running

    def _act(self, case: Case) -> bool:
        self._play(case, lambda player: player.move(case.dispute))
        return True

    def _made(self, case: Case) -> SolverPlayer:
        number, task, segment, desk = case.number, case.task, case.segment, self.desk
        replay = self._replay(case, self.states.start(number, task, segment))
        self.states.let_go()
        return SolverPlayer(
            Steady.moves(desk.court, case.dispute, desk.turns),
            case.id,
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
