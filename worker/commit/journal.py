"""Reports of a segment's steps, bound to their owner and blinded.

A report has few enough bits to be guessed from a bare hash, so each leaf has a secret salt of its
own; and it names its owner, so that one worker cannot hand in another's.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from hashlib import sha256

from worker.commit.lists import list_root


def reports_root(items: Sequence[bytes]) -> bytes:
    """List root of a step's reported tensors, from their items; zeros where nothing is reported."""
    return list_root(items) if items else bytes(32)


def report_item(owner: bytes, step: int, salt: bytes, reports: bytes) -> bytes:
    """sha256(0x05 | owner 20 | step u64 | salt 32 | reports 32): a step's item in the journal.

    reports: `reports_root` of the step.
    """
    if len(owner) != 20:
        raise ValueError(f"an owner is a 20-byte address, not {len(owner)} bytes")
    if len(salt) != 32:
        raise ValueError(f"a salt has 32 bytes, not {len(salt)}")
    if len(reports) != 32:
        raise ValueError(f"a list root has 32 bytes, not {len(reports)}")
    return sha256(b"\x05" + owner + step.to_bytes(8, "big") + salt + reports).digest()


def report_salt(secret: bytes, task: bytes, step: int) -> bytes:
    """The salt of a step's report: an HMAC, so that a restarted worker finds the same one.

    `task` names chain, market and task; `secret` never leaves the worker.
    """
    return hmac.new(secret, b"assay journal" + task + step.to_bytes(8, "big"), sha256).digest()


def finding(end: bytes, reports: Sequence[bytes]) -> bytes:
    """sha256(state root | list root of report roots): what whoever has computed a segment knows.

    end: root of the state at the segment's end. reports: `reports_root` of each of its steps.
    """
    return sha256(end + list_root(reports)).digest()
