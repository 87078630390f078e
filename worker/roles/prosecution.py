"""The accuser's part: shows what its accusations say, and moves in its disputes."""

from __future__ import annotations

from functools import partial

from worker.chain.types import Accusation, Dispute, Task
from worker.dispute import ChallengerPlayer, NothingToProve
from worker.roles.base import Desk
from worker.roles.checks import Checks
from worker.roles.disputes import Case, Side
from worker.roles.hearing import move_on
from worker.roles.seals import is_of, salt_of
from worker.roles.steady import Steady


class Prosecution(Side[ChallengerPlayer]):
    """Makes its moves, and unseals what is filed as soon as its filing can no longer be undone.

    It unseals after another one's verdict too: what it has found first is paid all the same.
    """

    def __init__(self, desk: Desk, checks: Checks) -> None:
        super().__init__(desk, checks.name)
        self.checks = checks
        self._given_up = desk.memory()

    def tick(self) -> bool:
        return super().tick() or self._unseal_all() or self._move_on_all()

    def _move_on_all(self) -> bool:
        """What waits for nobody in particular this worker does itself, where it has accused."""
        desk, acts = self.desk, []
        for number, task in desk.open_tasks():
            if not desk.board.queue(number).waits:
                continue
            if any(a.accuser == desk.account for a in desk.accusations(number)):
                acts.append((number, task, partial(move_on, desk, number, task)))
        return desk.act_on_each(acts, self.name, once=True)

    # what is filed

    def _unseal_all(self) -> bool:
        desk, acts = self.desk, []
        for number, task in desk.open_tasks():
            if not desk.board.queue(number).undecided:
                continue
            for place, accusation in enumerate(desk.accusations(number)):
                until = accusation.filed_at + desk.disputes.open_time()
                mine = accusation.accuser == desk.account and accusation.is_sealed
                if mine and desk.now <= until and desk.board.stands(number, place):
                    acts.append((number, task, partial(self._unseal, number, task, place)))
        return desk.act_on_each(acts, self.name, once=True)

    def _unseal(self, number: int, task: Task, place: int) -> bool:
        desk = self.desk
        found = self._said(number, task, desk.accusations(number)[place])
        if found is None:
            return False
        segment, finding = found
        salt = salt_of(desk, number, segment)
        desk.check_still(number, task)
        desk.disputes.unseal(number, place, segment, finding, salt)
        desk.log.info(
            "task %d: unsealed accusation %d: segment %d is wrong", number, place, segment
        )
        return True

    def _said(self, number: int, task: Task, accusation: Accusation) -> tuple[int, bytes] | None:
        """The segment and the finding that an accusation of this worker's is sealed with: what is
        known is tried first, then what has to be computed again."""
        checks, segments = self.checks, range(accusation.committed)
        for look in (checks.known, checks.finding):
            for segment in sorted(segments, key=lambda s: not task.is_checked(s)):
                found = look(number, task, segment, checks.bound(number, task, segment))
                if found is None:
                    continue
                finding = bytes.fromhex(found.found)
                if is_of(self.desk, number, accusation, segment, finding):
                    return segment, finding
        return None

    # disputes

    def _is_mine(self, task: Task, accusation: Accusation) -> bool:
        return accusation.accuser == self.desk.account and not accusation.is_demand

    def _is_asked(self, dispute: Dispute) -> bool:
        return dispute.phase.is_running and not dispute.solver_to_move

    def _act(self, case: Case) -> bool:
        if case.key in self._given_up:
            return False
        try:
            since = self.desk.board.opened(case.number, case.id)
            events = self.desk.court.events(case.id, since)
            self._play(case, lambda player: player.move(case.dispute, events))
        except NothingToProve as reason:
            self._given_up[case.key] = True
            self.desk.on_dispute(self.name, "given up")
            self.desk.log.error("dispute %d: gave up: %s", case.id, reason)
            return False
        return True

    def _made(self, case: Case) -> ChallengerPlayer:
        desk, segment = self.desk, case.segment
        computation = desk.computation(case.number, case.task)
        bound = self.checks.bound(case.number, case.task, segment)
        finding = self.checks.finding(case.number, case.task, segment, bound)
        return ChallengerPlayer(
            Steady.moves(desk.court, case.dispute, desk.turns),
            case.id,
            self._replay(case, self.checks.checkpoint(computation, bound.start)),
            desk.court.arity_bits(),
            finding.report_step if finding else None,
        )
