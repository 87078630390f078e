"""Lowers a graph of ATen operators to the six kinds of node.

Each module beside this one registers the operators of one family. An operator without a rule is
refused by name, with the line of the user's module that asked for it.
"""

from worker.program.lower import (
    adaptive,
    extremes,
    indexing,
    joining,
    movement,
    pointwise,
    pooling,
    powers,
    products,
    random,
    reductions,
    resampling,
    rounding,
    scans,
    scattering,
    searching,
    windows,
)
from worker.program.lower.graph import Lowered, lower_graph
from worker.program.lower.registry import RULES, Unsupported

__all__ = [
    "RULES",
    "Lowered",
    "Unsupported",
    "adaptive",
    "extremes",
    "indexing",
    "joining",
    "lower_graph",
    "movement",
    "pointwise",
    "pooling",
    "powers",
    "products",
    "random",
    "reductions",
    "resampling",
    "rounding",
    "scans",
    "scattering",
    "searching",
    "windows",
]
