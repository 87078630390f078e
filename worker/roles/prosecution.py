"""The accuser's part: moves in every dispute that this worker has opened."""

from __future__ import annotations

from functools import partial

from worker.chain.events import Challenged
from worker.chain.types import Dispute, Task
from worker.dispute import ChallengerPlayer, NothingToProve
from worker.jobs import Replay
from worker.outcomes import TaskFailed
from worker.roles.base import Desk
from worker.roles.checks import Checks
from worker.roles.kept import Kept
from worker.roles.steady import Steady
from worker.roles.turns import Rank

PLAYERS = 4  # disputes whose replays are held at a time; others are made again


class Prosecution:
    """Makes one move a tick: where the least time is left. A restarted worker makes the same."""

    lane = "answers"

    def __init__(self, desk: Desk, checks: Checks) -> None:
        self.desk, self.checks = desk, checks
        self.name = checks.name
        # a reorganised chain may give a task's and a dispute's number to another one
        self._players: Kept[tuple[bytes, int, int, bytes], ChallengerPlayer] = Kept(PLAYERS)
        self._given_up = desk.memory()

    def tick(self) -> bool:
        """Makes the most pressing move; True where it made one, or punished."""
        failed: TaskFailed | None = None
        mine = self._mine()
        self._players.drop(lambda key: all(key[3] != d.claim for *_, d in mine))
        for _, number, task, challenge, dispute in sorted(mine, key=lambda found: found[0]):
            try:
                act = partial(self._act, number, task, challenge, dispute)
                if self.desk.act_on(number, task, self.name, act):
                    return True
            except TaskFailed as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return False

    def _mine(self) -> list[tuple[int, int, Task, Challenged, Dispute]]:
        """This worker's own challenges, each with the seconds that are left."""
        desk, mine = self.desk, []
        for number, task in desk.open_tasks():
            if not task.open_disputes:
                continue
            for challenge in desk.challenges(number):
                if challenge.challenger == desk.account and not self.checks.is_demand(
                    challenge.dispute
                ):
                    dispute = desk.board.dispute(challenge.dispute)
                    left = dispute.seconds_left(desk.now)
                    mine.append((left, number, task, challenge, dispute))
        return mine

    def _act(self, number: int, task: Task, challenge: Challenged, dispute: Dispute) -> bool:
        market, id_ = self.desk.market, challenge.dispute
        if not dispute.phase.is_running:
            # the verdict has moved no money yet, and what it brings is this worker's
            upheld = self.desk.board.challenge_of(id_).upheld
            return upheld and self.desk.attempt("punish", market.punish, id_)
        key = (task.job, challenge.segment, id_, dispute.claim)
        if dispute.solver_to_move or key in self._given_up:
            return False
        try:
            due = self.desk.now + dispute.seconds_left(self.desk.now)
            with self.desk.turns.turn(Rank.ANSWER, due):
                made = partial(self._made, number, task, challenge, dispute)
                player = self._players.get(key, made)
                said = player.move(dispute, self.desk.court.events(id_, challenge.place.block))
        except NothingToProve as reason:
            self._given_up[key] = True
            self.desk.on_dispute(self.name, "given up")
            self.desk.log.error("dispute %d: gave up: %s", id_, reason)
            return False
        self.desk.log.info("dispute %d: %s", id_, said)
        return True

    def _made(
        self, number: int, task: Task, challenge: Challenged, dispute: Dispute
    ) -> ChallengerPlayer:
        desk, segment = self.desk, challenge.segment
        computation = desk.computation(number, task)
        bound = self.checks.bound(number, task, segment)
        first = self.checks.checkpoint(computation, bound.start).state
        finding = self.checks.finding(number, task, segment, bound)
        return ChallengerPlayer(
            Steady.moves(desk.court, dispute, desk.turns),
            challenge.dispute,
            Replay(computation, segment, first, desk.limits.kept_bytes, desk.turns.between),
            desk.court.arity_bits(),
            finding.report_step if finding else None,
        )
