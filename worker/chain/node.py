"""A node behind JSON-RPC over HTTP: calls that are repeated, bounded, and keep the URL's secrets.

What leaves is a `NodeError` in words of ours, without a library's exception behind it.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.request import getproxies

import requests
from web3 import Web3
from web3._utils.encoding import Web3JsonEncoder
from web3.middleware import AttributeDictMiddleware, ExtraDataToPOAMiddleware
from web3.providers import JSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from worker.chain.errors import ChainError, NodeError, Stopping, TooMuch
from worker.chain.http import CONNECT, READ, Trouble, cause, post
from worker.redaction import conceal_url, scrub, shown_url

log = logging.getLogger(__name__)

ATTEMPTS = 5
FIRST_WAIT = 0.25  # seconds, doubled after each attempt
TOTAL = 20.0  # seconds for a call with all its attempts
GRACE = 3.0  # seconds for a call while the worker stops
SPEAK = 60.0  # seconds between two warnings that calls are repeated
BATCH = 100  # calls in one request, at most; less where the node refuses

# Sending is repeated by the sender alone, which knows what a refusal then means.
SENDS = ("eth_sendRawTransaction", "eth_sendTransaction")
CROWDED = (
    "rate limit", "ratelimit", "rate-limit", "too many requests", "request rate", "requests per",
    "compute units", "capacity", "throttl", "request count exceeded",
)  # fmt: skip
LAGGING = (
    "timeout", "timed out", "try again", "temporarily", "overloaded", "server busy", "unavailable",
    "header not found", "unknown block", "block not found", "bad gateway",
)  # fmt: skip


class Node(JSONBaseProvider):
    """A web3 provider.

    Every call but a sending is tried up to ATTEMPTS times, with waits that double and honour
    `Retry-After`, and takes TOTAL seconds at most, whatever the network does; then it raises
    `NodeError`. When `stop` is set nothing is waited for any more: `Stopping`. Batches are cut to
    what the node takes, down to single calls. `calls` counts HTTP requests, `repeated` those of
    them that were made again. Any thread may call.
    """

    def __init__(
        self,
        url: str,
        *,
        stop: threading.Event | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        for secret in (url, *getproxies().values()):
            conceal_url(secret)
        self.shown = shown_url(url)
        self._url = url
        self._stop = stop or threading.Event()
        self._clock = clock
        self._sessions = threading.local()
        self._batch = BATCH
        self._counting = threading.Lock()
        self.calls = self.repeated = 0
        self._spoke: float | None = None
        self._unsaid = 0

    def __repr__(self) -> str:
        return f"Node({self.shown})"

    @property
    def most_at_once(self) -> int:
        """Calls in one exchange, as far as is known; below 2 where the node refuses batches."""
        return self._batch

    def is_connected(self, show_traceback: bool = False) -> bool:
        """Whether a node answers. Asks for the chain, which every node knows."""
        try:
            return "result" in self.make_request(RPCEndpoint("eth_chainId"), [])
        except NodeError:
            if show_traceback:
                raise
            return False

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """The node's answer: its result, or its error, for web3 to raise."""
        number = next(self.request_counter)
        body = _encoded(_request(number, method, params))
        attempts = 1 if method in SENDS else ATTEMPTS
        answer = self._exchange(str(method), body, attempts, lambda a: _judged(a, str(method)))
        return _normal(answer, number)

    def make_batch_request(
        self, batch_requests: list[tuple[RPCEndpoint, Any]]
    ) -> list[RPCResponse] | RPCResponse:
        """The answers, in the order of the requests, in as few exchanges as the node takes."""
        answers: list[RPCResponse] = []
        while len(answers) < len(batch_requests):
            chunk = batch_requests[len(answers) : len(answers) + self._batch]
            if self._batch < 2 or len(chunk) < 2:
                answers.append(self.make_request(*chunk[0]))
                continue
            found = self._batched(chunk)
            if found is None:
                self._batch //= 4
                log.info("%s refuses a batch, trying %d calls", self.shown, max(1, self._batch))
                continue
            answers += found
        return answers

    def _batched(self, chunk: Sequence[tuple[RPCEndpoint, Any]]) -> list[RPCResponse] | None:
        """None where the node refuses the batch."""
        numbers = [next(self.request_counter) for _ in chunk]
        body = _encoded([_request(n, *call) for n, call in zip(numbers, chunk, strict=True)])
        try:
            answer = self._exchange("a batch", body, ATTEMPTS, lambda a: _judged(a, "a batch"))
        except (_Refusal, TooMuch):
            return None
        if not isinstance(answer, list):
            return None
        by_number = {a.get("id"): a for a in answer if isinstance(a, dict)}
        if any(n not in by_number for n in numbers):
            return None
        return [
            self.make_request(*call)
            if _judged(by_number[n], str(call[0])) is not None
            else _normal(by_number[n], n)
            for n, call in zip(numbers, chunk, strict=True)
        ]

    # --- one exchange ----------------------------------------------------------------------------

    def _exchange(
        self, what: str, body: bytes, attempts: int, judge: Callable[[Any], Trouble | None]
    ) -> Any:
        """The answer as JSON has it, after as many attempts as it takes."""
        until = self._clock() + TOTAL
        attempt = 0
        while True:
            attempt += 1
            self._count(again=attempt > 1)
            found = self._attempt(body, until)
            trouble = found if isinstance(found, Trouble) else judge(found)
            if trouble is None:
                return found
            if self._stop.is_set():
                raise Stopping(f"{what}: not waited for, as the worker stops: {trouble.said}")
            wait = max(FIRST_WAIT * 2 ** (attempt - 1), trouble.wait or 0.0)
            late = self._clock() + wait >= until
            if late or attempt == attempts or not trouble.passing:
                kind = TooMuch if trouble.too_much else NodeError if trouble.passing else _Refusal
                tried = f", after {attempt} attempts" if attempt > 1 else ""
                raise kind(f"the node at {self.shown} {trouble.said} ({what}{tried})")
            self._speak(what, trouble)
            if self._stop.wait(wait):
                raise Stopping(f"{what}: not tried again, as the worker stops: {trouble.said}")

    def _attempt(self, body: bytes, until: float) -> Any:
        """Parsed JSON, or what stood in the way.

        On a thread of its own, so that what has no bound of its own (a name that is looked up, an
        answer byte by byte, a stop meanwhile) is left behind and not waited for.
        """
        outcome: list[Any] = []
        done = threading.Event()
        session = self._session()

        def run() -> None:
            try:
                outcome.append(post(session, self._url, body))
            except BaseException as error:
                outcome.append(cause(error))
            done.set()

        threading.Thread(target=run, daemon=True, name="node").start()
        most = min(until - self._clock(), CONNECT + READ)
        began = self._clock()
        while not done.wait(0.1 if self._stop.is_set() else 0.25):
            waited = self._clock() - began
            if waited >= most or (self._stop.is_set() and waited >= GRACE):
                self._sessions.session = None  # the one that hangs belongs to its thread
                return Trouble(f"did not answer within {waited:.0f} s")
        return outcome[0]

    def _session(self) -> requests.Session:
        session = getattr(self._sessions, "session", None)
        if session is None:
            session = self._sessions.session = requests.Session()
        return session

    def _count(self, *, again: bool) -> None:
        with self._counting:
            self.calls += 1
            self.repeated += again

    def _speak(self, what: str, trouble: Trouble) -> None:
        """Says that calls are repeated: the first time, and once in a while."""
        with self._counting:
            now = self._clock()
            quiet = self._spoke is not None and now - self._spoke < SPEAK
            self._unsaid += 1
            count = self._unsaid
            if not quiet:
                self._spoke, self._unsaid = now, 0
        if quiet:
            log.debug("%s %s (%s), trying again", self.shown, trouble.said, what)
            return
        since = f"; {count} calls repeated since the last such line" if count > 1 else ""
        log.warning("the node at %s %s (%s), trying again%s", self.shown, trouble.said, what, since)


class _Refusal(NodeError):
    """Another attempt would bring the same."""


def open_rpc(url: str, *, stop: threading.Event | None = None) -> Web3:
    """A connection to a JSON-RPC endpoint over HTTP; `ChainError` where no node answers.

    stop: when it is set no call is waited for any more.
    """
    w3 = Web3(
        Node(url, stop=stop),
        # A proof-of-authority chain's headers are longer than others'. What is left out of web3's
        # own asks for the chain's number before every call, or serves names and nodes' own keys.
        middleware=[
            (AttributeDictMiddleware, "attrdict"),
            (ExtraDataToPOAMiddleware, "extradata_to_poa"),
        ],
    )
    try:
        w3.eth.chain_id  # noqa: B018
    except ChainError as error:
        raise NodeError(f"{error}; is it running, and is the URL right?") from None
    except Exception as error:
        raise NodeError(
            f"what answers at {shown_url(url)} is no Ethereum node: {scrub(str(error))}"
        ) from None
    return w3


# --- JSON-RPC ------------------------------------------------------------------------------------


def _request(number: int, method: str, params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, "params": params or [], "id": number}


def _encoded(value: Any) -> bytes:
    return json.dumps(value, cls=Web3JsonEncoder).encode()


def _error_of(answer: Any) -> dict[str, Any] | None:
    """Code and message of an answer that is an error, however the server has put it."""
    if not isinstance(answer, dict):
        return None
    error = answer.get("error")
    if error is None and "result" not in answer:
        error = answer
    if error is None:
        return None
    if not isinstance(error, dict):
        error = {"message": str(error)}
    code = error.get("code")
    return {
        **error,
        "code": code if isinstance(code, int) else -32000,
        "message": str(error.get("message", "no reason given")),
    }


def _judged(answer: Any, method: str) -> Trouble | None:
    """An error that will pass, as trouble; None for an answer, and for an error that will stay."""
    if isinstance(answer, list) and method != "a batch":
        return Trouble("answers with a list what was no batch")
    error = _error_of(answer)
    if error is None or error["code"] in (3, -32601) or error.get("data"):
        return None  # a revert, which has data, or a method that is not there
    said = error["message"].lower()
    if said.startswith("execution reverted"):
        return None
    crowded = error["code"] == 429 or any(phrase in said for phrase in CROWDED)
    # A range of logs that takes too long is to be asked for in parts, not again; and only of a
    # refusal for the crowd is it clear that it says nothing about what was sent.
    lagging = method not in ("eth_getLogs", *SENDS) and any(phrase in said for phrase in LAGGING)
    if crowded or lagging:
        return Trouble(f"answers {scrub(error['message'])[:120]!r}")
    return None


def _normal(answer: Any, number: int) -> RPCResponse:
    """An answer as web3 takes it, without what is secret in an error."""
    error = _error_of(answer)
    if error is None:
        return {"jsonrpc": "2.0", "id": number, "result": answer["result"]}
    return {"jsonrpc": "2.0", "id": number, "error": _scrubbed(error)}


def _scrubbed(value: Any) -> Any:
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, dict):
        return {scrub(str(key)): _scrubbed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_scrubbed(inner) for inner in value]
    return value
