"""Cheats to rehearse with: the demo and the tests play against them. Nothing else imports this."""

from worker.simulation.cheats import (
    ComputationOf,
    WrongElement,
    WrongReport,
    WrongState,
    flipped,
)

__all__ = ["ComputationOf", "WrongElement", "WrongReport", "WrongState", "flipped"]
