"""What an accusation is sealed with: made anew from the key, so that a crash loses nothing."""

from __future__ import annotations

import hmac
from hashlib import sha256

from worker.chain.types import Accusation
from worker.roles.base import Desk


def salt_of(desk: Desk, number: int, segment: int) -> bytes:
    """Of this worker's accusation of a segment: the same whenever it is asked for.

    An HMAC over chain, contract, task and segment: whoever has it, and the finding, could file the
    same as its own, so that nobody but this worker may reckon it before it is shown.
    """
    place = bytes.fromhex(desk.disputes.address[2:]) + desk.task_domain(number)
    told = b"assay accusation" + place + segment.to_bytes(8, "big")
    return hmac.new(desk.secret, told, sha256).digest()


def seal_of(desk: Desk, number: int, segment: int, finding: bytes) -> bytes:
    """What `Disputes.accuse` takes."""
    salt = salt_of(desk, number, segment)
    return desk.disputes.seal_of(number, segment, finding, desk.account, salt)


def is_of(desk: Desk, number: int, accusation: Accusation, segment: int, finding: bytes) -> bool:
    """Whether a sealed accusation of this worker's says this of this segment."""
    return accusation.finding == seal_of(desk, number, segment, finding)
