"""Rounds of drand's network, from servers that nobody has to trust: the contract verifies them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import requests

from worker.chain.http import Trouble, cause, get
from worker.redaction import shown_url

log = logging.getLogger(__name__)

# The field of BLS12-381 and its curve y^2 = x^3 + 4.
MODULUS = int(
    "1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab",
    16,
)
COMPRESSED = 48  # bytes of a signature as it is published
LARGEST = 4096  # bytes of an answer


def points(servers: Sequence[str], chain: bytes, number: int) -> Iterator[bytes]:
    """A round's signature as the contract takes it, from one server after the other: whether it is
    the right one, the contract says.

    servers: URLs such as https://api.drand.sh. chain: the network's name, 32 bytes.
    """
    for server in servers:
        found = _ask(f"{server.rstrip('/')}/{chain.hex()}/public/{number}", number)
        if isinstance(found, bytes):
            yield found
        else:
            log.warning("drand: %s %s", shown_url(server), found)


def _ask(url: str, number: int) -> bytes | str:
    """The signature's point, or what stood in the way."""
    try:
        with requests.Session() as session:
            answer = get(session, url, LARGEST)
    except Exception as error:
        return cause(error).said
    if isinstance(answer, Trouble):
        return answer.said
    try:
        if answer["round"] == number:
            return point(bytes.fromhex(answer["signature"]))
    except (KeyError, TypeError, ValueError):
        pass
    return f"answers with no signature of round {number}"


def point(signature: bytes) -> bytes:
    """A published signature as the contract takes it: x and y, 64 bytes each, big-endian.

    Raises ValueError where the 48 bytes are no point of the curve other than infinity.
    """
    first = int.from_bytes(signature, "big")
    flags, x = first >> 381, first & (1 << 381) - 1
    if len(signature) != COMPRESSED or flags & 0b110 != 0b100 or x >= MODULUS:
        raise ValueError(f"{signature.hex()} is no compressed point of G1")
    square = (x**3 + 4) % MODULUS
    y = pow(square, (MODULUS + 1) // 4, MODULUS)
    if y * y % MODULUS != square:
        raise ValueError(f"{signature.hex()} is no point of the curve")
    if (y > (MODULUS - 1) // 2) != bool(flags & 1):
        y = MODULUS - y
    return x.to_bytes(64, "big") + y.to_bytes(64, "big")
