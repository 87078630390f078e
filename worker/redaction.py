"""Secrets, told here once, and from then on gone from whatever text is shown.

A leaf. URLs are where secrets hide: many providers put their key into the path or the query, and
user and password stand before the host. Logs and the command line let all their text through
`scrub`; whoever opens a URL tells `conceal_url` first.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from urllib.parse import SplitResult, quote, quote_plus, unquote, unquote_plus, urlsplit

HIDDEN = "***"
UNREADABLE = "a URL that cannot be read"
SHORTEST = 4  # a part of a URL below this is `v3` or `rpc`, and no secret; passwords may be shorter

_lock = threading.Lock()
_known: tuple[str, ...] = ()  # the longest first: one may stand inside another


def conceal(*secrets: str) -> None:
    """From now on `scrub` hides these, however they are quoted."""
    global _known
    found = {form for secret in secrets if secret for form in _forms(secret)}
    with _lock:
        _known = tuple(sorted({*_known, *found}, key=lambda s: (-len(s), s)))


def scrub(text: str) -> str:
    """The text, with `***` for every secret that is known."""
    for secret in _known:
        text = text.replace(secret, HIDDEN)
    return text


def conceal_url(url: str) -> None:
    """Hides whatever of a URL may be a secret: user, password, path, query, fragment."""
    parts = _split(url)
    conceal(*(_secret_parts(parts) if parts else [url]))


def shown_url(url: str) -> str:
    """A URL's scheme, host and port; `/...` where there is more. Never raises."""
    parts = _split(url)
    if parts is None:
        return UNREADABLE
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = f":{parts.port}" if parts.port else ""
    hidden = parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc
    return f"{parts.scheme}://{host}{port}{'/...' if hidden else ''}"


def _split(url: str) -> SplitResult | None:
    """None where it is no URL: a password with an unquoted `/` or `#`, for one, is half a port."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts if parts.scheme and (parts.netloc or parts.path) else None


def _secret_parts(parts: SplitResult) -> Iterator[str]:
    user, password = parts.username or "", parts.password or ""
    if password:
        yield password
        pair = f"{unquote(user)}:{unquote(password)}"
        yield pair
        yield base64.b64encode(pair.encode()).decode()  # as the header has it
        yield base64.b64encode(pair.encode("latin-1", "replace")).decode()
    if len(parts.path) > SHORTEST:
        yield parts.path
    if len(parts.query) >= SHORTEST:
        yield parts.query
    pieces = [user, parts.fragment, *parts.path.split("/")]
    for field in parts.query.split("&"):
        pieces.append(field.partition("=")[2] or field)
    yield from (piece for piece in pieces if len(piece) >= SHORTEST)


def _forms(secret: str) -> Iterator[str]:
    for plain in {secret, unquote(secret), unquote_plus(secret)}:
        yield from (plain, quote(plain), quote(plain, safe=""), quote_plus(plain))
        yield from (json.dumps(plain)[1:-1], repr(plain)[1:-1])
