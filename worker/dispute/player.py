"""What both players of a dispute have in hand."""

from __future__ import annotations

from functools import cached_property

from worker.chain.types import Claim
from worker.dispute.commitments import CommittedList, CommittedTrace
from worker.dispute.court import CourtMoves
from worker.jobs import Replay


class Player:
    """One dispute about one segment, and the segment's states and traces, each committed to once.

    arity_bits: a move divides into 2^arity_bits parts.
    """

    def __init__(self, court: CourtMoves, dispute: int, replay: Replay, arity_bits: int) -> None:
        self.court, self.id, self.replay = court, dispute, replay
        self.arity_bits = arity_bits
        self.program = replay.computation.program
        self._traces: dict[int, CommittedList] = {}
        self._states: dict[int, CommittedList] = {}

    @cached_property
    def _claim(self) -> Claim:
        return self.court.claim(self.id)

    def _trace(self, step: int) -> CommittedList:
        if step not in self._traces:
            self._traces[step] = CommittedTrace(self.replay, step)
        return self._traces[step]

    def _state(self, step: int) -> CommittedList:
        if step not in self._states:
            self._states[step] = CommittedList(self.replay.state(step))
        return self._states[step]
