"""HTTP servers on this machine that answer as nodes on the network do: badly."""

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests


@dataclass
class Server:
    """What was asked of it, and where it listens."""

    port: int = 0
    asked: list[Any] = field(default_factory=list)  # bodies, as JSON
    headers: list[dict[str, str]] = field(default_factory=list)

    def url(self, rest: str = "", login: str = "") -> str:
        return f"http://{login}127.0.0.1:{self.port}{rest}"


# what to do with a request: gets its JSON and its handler; bytes are sent as they are, a tuple is
# (status, headers, body), anything else is the result of each call
Behaviour = Callable[[Any, BaseHTTPRequestHandler], Any]


@contextmanager
def serving(behave: Behaviour) -> Iterator[Server]:
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.asked.append(body)
            server.headers.append(dict(self.headers))
            reply(self, body, behave(body, self))

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server.port = http.server_port
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def reply(handler: BaseHTTPRequestHandler, body: Any, answer: Any) -> None:
    if isinstance(answer, bytes):
        handler.wfile.write(answer)
        handler.close_connection = True
        return
    if not isinstance(answer, tuple):
        answer = (200, {}, answered(body, answer))
    status, headers, content = answer
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", **headers}.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(raw)))
    handler.end_headers()
    handler.wfile.write(raw)


def answered(body: Any, result: Any) -> Any:
    """A JSON-RPC answer to a request or a batch, with one result for all."""
    if isinstance(body, list):
        return [answered(one, result) for one in body]
    return {"jsonrpc": "2.0", "id": body["id"], "result": result}


def refused(body: Any, code: int, message: str) -> Any:
    number = body[0]["id"] if isinstance(body, list) else body["id"]
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}


def reset(body: Any, handler: BaseHTTPRequestHandler) -> bytes:
    """The connection is torn down without an answer."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.shutdown(socket.SHUT_RD)
    handler.connection.close()
    handler.close_connection = True
    handler.wfile = open("/dev/null", "wb")  # noqa: SIM115
    return b""


def truncated(body: Any, handler: BaseHTTPRequestHandler) -> bytes:
    """Half of an answer."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b'{"jsonrpc": "2.0", "id": 0, "res'


def forwarding(url: str, instead: Behaviour = lambda body, handler: None) -> Behaviour:
    """A node's own answers, but for those that `instead` gives."""
    session = requests.Session()

    def behave(body: Any, handler: BaseHTTPRequestHandler) -> Any:
        found = instead(body, handler)
        if found is not None:
            return found
        answer = session.post(url, json=body, timeout=30)
        return (answer.status_code, {}, answer.content)

    return behave
