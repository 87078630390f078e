"""The accuser's part: moves in every dispute that this worker has opened."""

from __future__ import annotations

from worker.chain.events import Challenged
from worker.chain.types import Dispute, Task
from worker.dispute import ChallengerPlayer, NothingToProve
from worker.jobs import Replay
from worker.roles.base import Desk
from worker.roles.checks import Checks
from worker.roles.disputes import Case, Side
from worker.roles.steady import Steady


class Prosecution(Side[ChallengerPlayer]):
    """Makes its moves, the one with the least time left first, and has the guilty punished."""

    def __init__(self, desk: Desk, checks: Checks) -> None:
        super().__init__(desk, checks.name)
        self.checks = checks
        self._given_up = desk.memory()

    def _is_mine(self, task: Task, challenge: Challenged) -> bool:
        mine = challenge.challenger == self.desk.account
        return mine and not self.checks.is_demand(challenge.dispute)

    def _is_asked(self, dispute: Dispute) -> bool:
        return not (dispute.phase.is_running and dispute.solver_to_move)

    def _act(self, case: Case) -> bool:
        market, id_ = self.desk.market, case.challenge.dispute
        if not case.dispute.phase.is_running:
            # the verdict has moved no money yet, and what it brings is this worker's
            upheld = self.desk.board.challenge_of(id_).upheld
            return upheld and self.desk.attempt("punish", market.punish, id_)
        if case.key in self._given_up:
            return False
        try:
            since = case.challenge.place.block
            self._play(
                case, lambda player: player.move(case.dispute, self.desk.court.events(id_, since))
            )
        except NothingToProve as reason:
            self._given_up[case.key] = True
            self.desk.on_dispute(self.name, "given up")
            self.desk.log.error("dispute %d: gave up: %s", id_, reason)
            return False
        return True

    def _made(self, case: Case) -> ChallengerPlayer:
        desk, segment = self.desk, case.challenge.segment
        computation = desk.computation(case.number, case.task)
        bound = self.checks.bound(case.number, case.task, segment)
        first = self.checks.checkpoint(computation, bound.start).state
        finding = self.checks.finding(case.number, case.task, segment, bound)
        return ChallengerPlayer(
            Steady.moves(desk.court, case.dispute, desk.turns),
            case.challenge.dispute,
            Replay(computation, segment, first, desk.limits.kept_bytes, desk.turns.between),
            desk.court.arity_bits(),
            finding.report_step if finding else None,
        )
