"""Between bit patterns, tensors, packed bytes and the vector files."""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from worker import exact

VECTORS = Path(__file__).resolve().parent.parent / "vectors"

UNARY = ("sqrt", "neg", "abs", "relu", "exp", "log", "tanh", "erf", "sin", "cos")
"""The harness's unary functions, by code."""
BINARY = ("add", "sub", "mul", "div", "max", "min", "eq", "ne", "lt", "le", "gt", "ge")
"""The harness's binary functions, by code."""


def vectors(file: str, name: str) -> list[list[str]]:
    """The fields of every vector of one function."""
    return [line.split() for line in json.loads((VECTORS / f"{file}.json").read_text())[name]]


def tensor(bits: object) -> Tensor:
    """The f32 tensor of unsigned bit patterns (a list, nested or not, or an array)."""
    return torch.from_numpy(np.array(bits, dtype=np.uint32).view(np.float32))


def patterns(x: Tensor) -> np.ndarray:
    """The unsigned bit patterns of an f32 tensor, NaNs canonical; a bool tensor gives 0 and 1."""
    if x.dtype == torch.bool:
        return x.numpy().astype(np.uint32)
    return exact.canonical(x).numpy().view(np.uint32)


def unary_on_evm(harness: object, name: str, a: np.ndarray) -> np.ndarray:
    """A unary function of each pattern of `a`, in Solidity."""
    packed = harness.call("unary", UNARY.index(name), a.astype(">u4").tobytes())
    return np.frombuffer(packed, ">u4").astype(np.uint32)


def binary_on_evm(harness: object, name: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A binary function of each pair of patterns, in Solidity."""
    pairs = np.stack([a, b], axis=1).astype(">u4").tobytes()
    return np.frombuffer(harness.call("binary", BINARY.index(name), pairs), ">u4").astype(np.uint32)


def random_pairs(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of patterns from equal parts of a mixture.

    Any bits; exponents within 16; subnormals and least normals; cancellation; few bits (ties).
    """
    a, b = (rng.integers(0, 1 << 32, count, dtype=np.uint32) for _ in range(2))
    part = [slice(i * count // 5, (i + 1) * count // 5) for i in range(5)]
    field = (a[part[1]] >> 23 & 0xFF).astype(int) + rng.integers(-16, 17, a[part[1]].size)
    field = np.clip(field, 0, 254).astype(np.uint32)
    b[part[1]] = b[part[1]] & 0x807FFFFF | field << 23
    a[part[2]] &= 0x83FFFFFF
    b[part[2]] &= 0x81FFFFFF
    flips = rng.integers(0, 1 << 26, a[part[3]].size) >> rng.integers(0, 26, a[part[3]].size)
    b[part[3]] = a[part[3]] ^ 0x80000000 ^ flips.astype(np.uint32)
    for x in (a, b):
        kept = (0x7FFFFF << rng.integers(10, 23, x[part[4]].size)) & 0x7FFFFF | 0xFF800000
        x[part[4]] &= kept.astype(np.uint32)
    return a, b


def pairs_about_the_least(
    rng: np.random.Generator, count: int, quotients: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of normal numbers with a product or quotient from below half the least number to above
    the least normal one. Their significands have every number of bits, so that there are ties."""
    x = rng.integers(1, 101, count)
    wanted = rng.integers(-26, 4, count)  # the result's exponent field, were there negative ones
    y = x + 127 - wanted if quotients else wanted + 127 - x
    signs, fractions = rng.integers(0, 2, (2, count)), rng.integers(0, 1 << 23, (2, count))
    fractions &= (0x7FFFFF << rng.integers(0, 24, (2, count))) & 0x7FFFFF
    a, b = (signs << 31 | np.stack([x, y]) << 23 | fractions).astype(np.uint32)
    return a, b


def disagreement(got: np.ndarray, expected: np.ndarray, *operands: np.ndarray) -> str:
    """Empty if equal; otherwise the first operands on which they differ."""
    wrong = np.flatnonzero(got != expected)
    if wrong.size == 0:
        return ""
    i = wrong[0]
    shown = ", ".join(f"{int(x[i]):08x}" for x in operands)
    return f"{wrong.size} differ, first at ({shown}): {int(got[i]):08x}, not {int(expected[i]):08x}"
