"""Public architectures, small: `python -m benchmarks.captured` steps each beside PyTorch.

Each is written as its paper or its reference code has it, of few channels and layers.
"""

from benchmarks.zoo import learning, pictures, sequences, tables
from benchmarks.zoo.entries import Entry

ZOO: dict[str, Entry] = {**pictures.ZOO, **sequences.ZOO, **tables.ZOO, **learning.ZOO}

__all__ = ["ZOO", "Entry"]
