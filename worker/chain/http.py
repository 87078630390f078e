"""One HTTP exchange with a node: its answer as JSON, or what stood in the way, in words of ours.

Whatever a library raises ends here: its text, its repr and its context would hold the URL, whose
path, query and password are secrets.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import IncompleteRead
from typing import Any

import requests
from urllib3.exceptions import ProtocolError

from worker.redaction import scrub, shown_url

CONNECT = 5.0  # seconds
READ = 10.0  # seconds until the next byte
LARGEST = 64 << 20  # bytes of an answer
PASSING = {408, 425, 500, 502, 504, 520, 521, 522, 523, 524, 529}  # statuses that will pass


@dataclass(frozen=True)
class Trouble:
    """Why an attempt brought nothing. passing: another attempt may bring more."""

    said: str
    passing: bool = True
    wait: float | None = None  # seconds, as the node asks
    too_much: bool = False


def post(session: requests.Session, url: str, body: bytes) -> Any:
    """JSON, or `Trouble`. Raises what `cause` puts into words."""
    headers = {"Content-Type": "application/json", "User-Agent": "assay"}
    with session.post(
        url,
        data=body,
        headers=headers,
        timeout=(CONNECT, READ),
        stream=True,
        allow_redirects=False,
    ) as response:
        content = bytearray()
        for piece in response.iter_content(1 << 16):
            content += piece
            if len(content) > LARGEST:
                return Trouble(f"answers more than {LARGEST} bytes", False, too_much=True)
        return _read(response, bytes(content))


def get(session: requests.Session, url: str, largest: int) -> Any:
    """The JSON at a URL, of at most `largest` bytes within READ seconds, or `Trouble`. Raises what
    `cause` puts into words."""
    until = time.monotonic() + READ
    headers = {"Accept": "application/json", "User-Agent": "assay"}
    with session.get(
        url, headers=headers, timeout=(CONNECT, READ), stream=True, allow_redirects=False
    ) as response:
        if response.status_code != 200:
            return Trouble(f"answers HTTP {response.status_code}")
        content = bytearray()
        for piece in response.iter_content(1):  # one by one: a slow server must not hold us up
            content += piece
            if len(content) > largest:
                return Trouble(f"answers more than {largest} bytes", False, too_much=True)
            if time.monotonic() > until:
                return Trouble(f"did not end its answer within {READ:g} s")
    try:
        return json.loads(content)
    except ValueError:
        return Trouble("answers what is no JSON")


def _read(response: requests.Response, content: bytes) -> Any:
    status = response.status_code
    try:
        parsed = json.loads(content)
    except ValueError:
        parsed = None
    wait = _retry_after(response.headers.get("Retry-After"))
    if status in (429, 503):
        return Trouble(f"asks for fewer calls (HTTP {status})", wait=wait)
    if _is_answer(parsed, status):
        return parsed
    if 300 <= status < 400:
        where = response.headers.get("Location", "")
        return Trouble(
            f"redirects (HTTP {status}) to {shown_url(where)}; write the URL that it points to",
            False,
        )
    if status in (401, 403, 407):
        return Trouble(f"does not let us in (HTTP {status}): is the key in the URL right?", False)
    if status == 413:
        return Trouble("finds that too much (HTTP 413)", False, too_much=True)
    if status >= 400:
        return Trouble(f"answers HTTP {status}", status in PASSING, wait)
    kind = response.headers.get("Content-Type", "").split(";")[0][:40]
    return Trouble(f"answers what is no JSON-RPC ({scrub(kind)}, {len(content)} bytes)")


def _is_answer(parsed: Any, status: int) -> bool:
    """Some servers send a node's errors as 400, 413 or 500, with or without JSON-RPC's dress."""
    if isinstance(parsed, list):
        return status < 300
    if not isinstance(parsed, dict):
        return False
    if status < 300 or status in (400, 413, 422):
        return "result" in parsed or "error" in parsed or {"code", "message"} <= set(parsed)
    return status >= 500 and "jsonrpc" in parsed


def _retry_after(value: str | None) -> float | None:
    """Seconds, from a number of them or a date."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def cause(error: BaseException) -> Trouble:
    """What happened, in words without a URL."""
    if isinstance(error, requests.exceptions.SSLError):
        return Trouble(f"cannot be reached by TLS: {_innermost(error)}", False)
    if isinstance(error, requests.exceptions.ProxyError):
        return Trouble(f"cannot be reached through the proxy: {_innermost(error)}")
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return Trouble(f"takes no connection within {CONNECT:g} s")
    if isinstance(error, requests.exceptions.Timeout):
        return Trouble(f"did not answer within {READ:g} s")
    if isinstance(error, (requests.exceptions.ChunkedEncodingError, IncompleteRead, ProtocolError)):
        return Trouble("broke its answer off")
    if isinstance(error, requests.exceptions.ConnectionError):
        return Trouble(f"cannot be reached: {_innermost(error)}")
    if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema)):
        return Trouble("has a URL that cannot be used", False)
    return Trouble(f"could not be asked: {type(error).__name__}", False)


def _innermost(error: BaseException) -> str:
    """The system's own words, which know no path: `Connection refused`."""
    seen: list[BaseException] = []
    queue: list[Any] = [error]
    while queue and len(seen) < 20:
        found = queue.pop(0)
        if not isinstance(found, BaseException) or found in seen:
            continue
        seen.append(found)
        queue += [getattr(found, "reason", None), found.__cause__, found.__context__, *found.args]
    words = [e.strerror for e in seen if isinstance(e, OSError) and isinstance(e.strerror, str)]
    return scrub(words[-1] if words else type(seen[-1]).__name__)
