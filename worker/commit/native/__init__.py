"""Roots of large tensors with the processor's own SHA-256 (x86's SHA extensions).

hashlib hashes a tree's leaves, of 512 bytes, one call after another; here a tensor is one call, on
as many threads as torch uses, and is not copied first. A host without a compiler or the extensions
does without: hashlib gives the same roots.
"""

from __future__ import annotations

import ctypes
import logging
import sys
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from worker.exact import native

log = logging.getLogger(__name__)

SOURCE = Path(__file__).parent / "leaves.c"
LEAF_BYTES = 512  # as leaves.c has it
KINDS = {torch.float32: 1, torch.bool: 2}  # what is made canonical; the others as they are


@cache
def _library() -> ctypes.CDLL | None:
    """None where this host cannot hash natively; says once why."""
    try:
        made = native.load(SOURCE.read_text())
    except (native.NoCompiler, OSError) as error:
        log.info("tensors are hashed by hashlib, which is slower: %s", error)
        return None
    except native.CompileError as error:
        log.warning("tensors are hashed by hashlib, as leaves.c does not compile: %s", error)
        return None
    if not made.assay_can_hash() or sys.byteorder != "little":
        log.info("tensors are hashed by hashlib: this processor has no SHA extensions")
        return None
    pointer = ctypes.c_void_p
    made.assay_elements_root.argtypes = (pointer, ctypes.c_int64, ctypes.c_int, pointer)
    made.assay_elements_root.restype = None
    return made


def available() -> bool:
    """Whether this host hashes natively. Compiles at its first call."""
    return _library() is not None


def elements_root(tensor: Tensor) -> bytes:
    """The root of a tensor's elements, 32 bytes. tensor: on the CPU, contiguous, not empty.

    Only where `available`.
    """
    made = _library()
    assert made is not None, "ask available() first"
    count = tensor.numel() * tensor.element_size()
    nodes = torch.empty(-(-count // LEAF_BYTES) * 32, dtype=torch.uint8)
    native.set_threads(torch.get_num_threads())
    kind = KINDS.get(tensor.dtype, 0)
    made.assay_elements_root(tensor.data_ptr(), count, kind, nodes.data_ptr())
    return nodes[:32].numpy().tobytes()
