"""Cheats to rehearse with: the demo and the tests play against them. Nothing else imports this."""

from worker.simulation.cheats import (
    WrongElement,
    WrongReport,
    WrongState,
    flipped,
)

__all__ = ["WrongElement", "WrongReport", "WrongState", "flipped"]
