"""Exact arithmetic on tensors: the same bits on every machine, in any order, by any kernel.

`reference` defines it, this package computes it fast in torch, and `contracts/lib` recomputes any
one element of it on chain. The package is pure: no I/O, no clock that can reach a result, no chain.
"""

from worker.exact.backends import NoBackend
from worker.exact.bits import MAX_EXPONENT, MIN_EXPONENT, NONFINITE, canonical
from worker.exact.convert import to
from worker.exact.dot import dot, dot_quantised
from worker.exact.guard import SubnormalsFlushed, check_subnormals
from worker.exact.order import argmax, max, maximum, minimum, relu
from worker.exact.random import uniform
from worker.exact.rows import exponent, quantise, sum, sum_finish, sum_quantised
from worker.exact.scalar import BOOL, FLOAT, INTEGER, div, sqrt
from worker.exact.transcendental import erf, exp, log, tanh
from worker.exact.trigonometric import cos, sin

check_subnormals()

__all__ = [
    "BOOL",
    "FLOAT",
    "INTEGER",
    "MAX_EXPONENT",
    "MIN_EXPONENT",
    "NONFINITE",
    "NoBackend",
    "SubnormalsFlushed",
    "argmax",
    "canonical",
    "check_subnormals",
    "cos",
    "div",
    "dot",
    "dot_quantised",
    "erf",
    "exp",
    "exponent",
    "log",
    "max",
    "maximum",
    "minimum",
    "quantise",
    "relu",
    "sin",
    "sqrt",
    "sum",
    "sum_finish",
    "sum_quantised",
    "tanh",
    "to",
    "uniform",
]
