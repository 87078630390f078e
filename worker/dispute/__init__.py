"""Playing the dispute game: the solver answers, the challenger descends and proves."""

from worker.dispute.challenger import ChallengerPlayer, NothingToProve
from worker.dispute.court import CourtMoves
from worker.dispute.solver import SolverPlayer

__all__ = ["ChallengerPlayer", "CourtMoves", "NothingToProve", "SolverPlayer"]
