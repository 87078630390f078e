"""What a node does wrong is repeated, bounded, said once, and never tells the URL's secrets."""

import base64
import json
import logging
import socket
import ssl
import threading
import time
import traceback
from contextlib import contextmanager

import pytest
import requests
from web3 import Web3
from web3.exceptions import Web3RPCError

from tests.chain import servers
from worker import logs, redaction
from worker.chain import ChainError, Node, NodeError, Stopping, TooMuch, http, open_rpc, read_events
from worker.chain import node as node_module

CHAIN = "0x539"


@pytest.fixture(autouse=True)
def no_waits(monkeypatch):
    """Waits between attempts take no time, unless a test is about them."""
    monkeypatch.setattr(node_module, "FIRST_WAIT", 0.0)


def in_turn(*behaviours):
    """One behaviour for each request, the last for all that follow."""
    left = list(behaviours)

    def behave(body, handler):
        found = left.pop(0) if len(left) > 1 else left[0]
        return found(body, handler) if callable(found) else found

    return behave


# --- repeating -----------------------------------------------------------------------------------


PASSING = {
    "reset": servers.reset,
    "truncated": servers.truncated,
    "rate limited": lambda body, _: (200, {}, servers.refused(body, -32005, "rate limit exceeded")),
    "429": (429, {}, b"slow down"),
    "429 with JSON": lambda body, _: (429, {}, servers.refused(body, 429, "Too Many Requests")),
    "503": (503, {}, b""),
    "502 page": (502, {"Content-Type": "text/html"}, b"<html>Bad gateway</html>"),
    "a page": (200, {"Content-Type": "text/html"}, b"<html>hello</html>"),
    "half a JSON": (200, {}, b'{"jsonrpc": "2.0", "id"'),
    "lagging": lambda body, _: (200, {}, servers.refused(body, -32000, "header not found")),
}


@pytest.mark.parametrize("what", PASSING)
def test_a_read_that_fails_in_passing_is_asked_again(what):
    """Protects a role's tick from one bad answer of many."""
    with servers.serving(in_turn(PASSING[what], PASSING[what], CHAIN)) as server:
        node = Node(server.url())
        assert Web3(node).eth.chain_id == 1337
        assert (node.calls, node.repeated, len(server.asked)) == (3, 2, 3)


STAYING = {
    "401": ((401, {}, b"no"), "HTTP 401"),
    "404": ((404, {"Content-Type": "text/html"}, b"<html>nothing</html>"), "HTTP 404"),
    "redirect": ((301, {"Location": "https://elsewhere.example/key"}, b""), "redirects"),
}


@pytest.mark.parametrize("what", STAYING)
def test_what_will_not_pass_is_not_asked_again(what):
    behaviour, said = STAYING[what]
    with servers.serving(in_turn(behaviour)) as server:
        with pytest.raises(NodeError, match=said):
            Node(server.url()).make_request("eth_chainId", [])
        assert len(server.asked) == 1


def test_attempts_have_an_end():
    with servers.serving(in_turn((502, {}, b""))) as server:
        with pytest.raises(NodeError, match=r"HTTP 502.*after 5 attempts"):
            Node(server.url()).make_request("eth_chainId", [])
        assert len(server.asked) == node_module.ATTEMPTS


def test_a_sending_is_left_to_the_sender():
    """Protects from a second try whose refusal would be taken for the first one's."""
    with servers.serving(in_turn((502, {}, b""), "0x00")) as server:
        with pytest.raises(NodeError):
            Node(server.url()).make_request("eth_sendRawTransaction", ["0x00"])
        assert len(server.asked) == 1


def test_a_sending_that_is_refused_for_the_crowd_is_no_refusal_of_it():
    """Protects the sender from forgetting a transaction that another node may have taken."""
    with servers.serving(PASSING["rate limited"]) as server:
        with pytest.raises(NodeError, match="rate limit"):
            Node(server.url()).make_request("eth_sendRawTransaction", ["0x00"])
        assert len(server.asked) == 1


def test_a_revert_is_an_answer():
    """A contract may say `rate limit` in a revert; that is no reason to ask again."""
    body = {"code": 3, "message": "execution reverted: rate limit", "data": "0x08c379a0"}
    with servers.serving(
        lambda b, _: (200, {}, {"jsonrpc": "2.0", "id": b["id"], "error": body})
    ) as server:
        answer = Node(server.url()).make_request("eth_call", [{}, "latest"])
        assert answer["error"]["data"] == "0x08c379a0"
        assert len(server.asked) == 1


class Clock:
    """Time that passes where somebody waits."""

    def __init__(self):
        self.now, self.waits = 0.0, []

    def __call__(self):
        return self.now

    def wait(self, seconds):
        self.waits.append(seconds)
        self.now += seconds
        return False

    def is_set(self):
        return False


def test_waits_double_and_honour_retry_after(monkeypatch):
    monkeypatch.setattr(node_module, "FIRST_WAIT", 0.25)
    answers = in_turn((502, {}, b""), (429, {"Retry-After": "7"}, b""), (502, {}, b""), CHAIN)
    with servers.serving(answers) as server:
        clock = Clock()
        node = Node(server.url(), stop=clock, clock=clock)
        assert node.make_request("eth_chainId", [])["result"] == CHAIN
        assert clock.waits == [0.25, 7.0, 1.0]


def test_a_wait_beyond_the_bound_is_not_begun():
    with servers.serving(in_turn((429, {"Retry-After": "3600"}, b""))) as server:
        clock = Clock()
        with pytest.raises(NodeError, match="asks for fewer calls"):
            Node(server.url(), stop=clock, clock=clock).make_request("eth_chainId", [])
        assert clock.waits == []


@contextmanager
def black_hole():
    """Takes connections and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_black_hole_costs_no_more_than_the_bound(monkeypatch):
    """Protects a worker from a call that nobody ever answers: it took 153 s."""
    assert node_module.TOTAL <= 20
    monkeypatch.setattr(node_module, "TOTAL", 0.6)
    with black_hole() as url:
        began = time.monotonic()
        with pytest.raises(NodeError, match="did not answer"):
            Node(url).make_request("eth_chainId", [])
        assert time.monotonic() - began < 5


def test_a_call_under_way_does_not_keep_a_worker_from_stopping(monkeypatch):
    monkeypatch.setattr(node_module, "GRACE", 0.1)
    stop = threading.Event()
    with black_hole() as url:
        threading.Timer(0.2, stop.set).start()
        began = time.monotonic()
        with pytest.raises(Stopping):
            Node(url, stop=stop).make_request("eth_chainId", [])
        assert time.monotonic() - began < 5


def test_an_answer_without_end_is_not_read(monkeypatch):
    monkeypatch.setattr(http, "LARGEST", 1000)
    with servers.serving(in_turn("0x" + "00" * 1000)) as server, pytest.raises(TooMuch):
        Node(server.url()).make_request("eth_chainId", [])


def test_it_says_once_that_calls_are_repeated(caplog):
    caplog.set_level(logging.INFO, logger="worker")
    flaky = [(502, {}, b""), CHAIN] * 20
    with servers.serving(in_turn(*flaky)) as server:
        node = Node(server.url())
        for _ in range(20):
            node.make_request("eth_chainId", [])
        assert node.repeated == 20
    said = [r.getMessage() for r in caplog.records]
    assert len(said) == 1 and "HTTP 502" in said[0] and "trying again" in said[0]


# --- batches -------------------------------------------------------------------------------------


def calls(count):
    return [("eth_call", [{"data": hex(i)}, "latest"]) for i in range(count)]


def echo(body, _):
    """Answers each call with its own data, the last first."""
    if isinstance(body, list):
        return (200, {}, [servers.answered(b, b["params"][0]["data"]) for b in reversed(body)])
    return body["params"][0]["data"]


def results(node, count):
    return [answer["result"] for answer in node.make_batch_request(calls(count))]


def test_a_batch_is_one_exchange_and_in_order():
    with servers.serving(echo) as server:
        assert results(Node(server.url()), 40) == [hex(i) for i in range(40)]
        assert len(server.asked) == 1


def test_long_batches_are_cut():
    with servers.serving(echo) as server:
        assert results(Node(server.url()), 250) == [hex(i) for i in range(250)]
        assert [len(body) for body in server.asked] == [100, 100, 50]


@pytest.mark.parametrize(
    "no",
    [
        lambda body: (400, {}, servers.refused(body, -32600, "batch too large")),
        lambda body: (413, {}, b"too large"),
        lambda body: (200, {}, servers.refused(body, -32600, "invalid request")),
        lambda body: (405, {}, b""),
        lambda body: (200, {}, servers.answered(body[:-1], "0x")),
    ],
)
@pytest.mark.parametrize("most", [1, 10])
def test_a_node_that_refuses_batches_is_asked_in_smaller_ones(no, most):
    """Protects from nodes that take few calls at once, or one; what was found is remembered."""

    def fussy(body, handler):
        if isinstance(body, list) and len(body) > (most if most > 1 else 0):
            return no(body)
        return echo(body, handler)

    with servers.serving(fussy) as server:
        node = Node(server.url())
        assert results(node, 30) == [hex(i) for i in range(30)]
        before = len(server.asked)
        assert results(node, 12) == [hex(i) for i in range(12)]
        assert len(server.asked) - before == (12 if most == 1 else 2)


def test_a_call_of_a_batch_that_fails_in_passing_is_asked_alone():
    def flaky(body, handler):
        if isinstance(body, list):
            ok = [servers.answered(b, b["params"][0]["data"]) for b in body]
            return (200, {}, [servers.refused(body[0], 429, "slow down"), *ok[1:]])
        return echo(body, handler)

    with servers.serving(flaky) as server:
        assert results(Node(server.url()), 5) == [hex(i) for i in range(5)]
        assert len(server.asked) == 2


# --- nodes that lack something, or have more ------------------------------------------------------


def test_a_node_without_a_client_version_is_a_node():
    def behave(body, _):
        if body["method"] == "web3_clientVersion":
            return (200, {}, servers.refused(body, -32601, "the method does not exist"))
        return CHAIN

    with servers.serving(behave) as server:
        assert open_rpc(server.url()).is_connected()
        assert {body["method"] for body in server.asked} == {"eth_chainId"}


def test_headers_of_a_proof_of_authority_chain_are_read():
    extra = "0x" + "ab" * 97
    with servers.serving(lambda body, _: CHAIN if body["method"] == "eth_chainId" else {
        "number": "0x5", "extraData": extra, "hash": "0x" + "11" * 32,
    }) as server:  # fmt: skip
        block = open_rpc(server.url()).eth.get_block("latest")
        assert (block["number"], block["proofOfAuthorityData"].to_0x_hex()) == (5, extra)


def test_a_call_of_a_contract_is_one_request():
    """web3's own middleware asks for the chain's number before each."""
    with servers.serving(lambda body, _: CHAIN) as server:
        w3 = open_rpc(server.url())
        w3.eth.call({"to": "0x" + "11" * 20, "data": "0x"})
        w3.eth.call({"to": "0x" + "11" * 20, "data": "0x"})
        assert [body["method"] for body in server.asked] == ["eth_chainId", "eth_call", "eth_call"]


@pytest.mark.parametrize(
    "no",
    [
        lambda body: (400, {}, servers.refused(body, -32005, "query returned more than 10000")),
        lambda body: (413, {}, {"error": {"message": "response too large"}}),
        lambda body: (413, {}, b""),
        lambda body: (400, {}, {"code": -32602, "message": "block range is too wide"}),
        lambda body: (200, {}, servers.refused(body, -32000, "query timeout exceeded")),
    ],
)
def test_a_range_of_logs_that_a_node_finds_too_long_is_halved(no):
    asked = []

    def fussy(body, _):
        query = body["params"][0]
        first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        if last - first + 1 > 25:
            return no(body)
        asked.append((first, last))
        return []

    with servers.serving(fussy) as server:
        w3 = Web3(Node(server.url()))
        assert list(read_events(w3, {"0x" + "11" * 20: "Market"}, 1, 100)) == []
    assert [n for first, last in asked for n in range(first, last + 1)] == list(range(1, 101))


def test_a_rate_limit_halves_no_range():
    """Less at once would be more calls, and so more refusals."""
    crowded = lambda body, _: (200, {}, servers.refused(body, -32005, "rate limit"))  # noqa: E731
    with servers.serving(crowded) as server:
        with pytest.raises(NodeError, match="rate limit"):
            list(read_events(Web3(Node(server.url())), {"0x" + "11" * 20: "Market"}, 1, 100))
        assert len(server.asked) == node_module.ATTEMPTS


def test_user_and_password_of_the_url_are_sent():
    with servers.serving(lambda body, _: CHAIN) as server:
        open_rpc(server.url(login="me:a%2Fb@"))
        sent = base64.b64decode(server.headers[0]["Authorization"].split()[1])
        assert sent == b"me:a/b"


# --- secrets -------------------------------------------------------------------------------------


USER, PASSWORD, PATH, QUERY = "keyuser77", "pa/ss:wörd", "v3/0123456789abcdef", "apikey=qwertz-asdf"
SECRETS = (USER, PASSWORD, "pa%2Fss", "0123456789abcdef", "qwertz-asdf")
LOGIN = f"{USER}:pa%2Fss%3Aw%C3%B6rd@"
REST = f"/{PATH}?{QUERY}"


def nobody(server):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://{LOGIN}127.0.0.1:{probe.getsockname()[1]}{REST}"


def tls(server):
    return server.url(REST, LOGIN).replace("http:", "https:")


def telling(body, _):
    return (200, {}, servers.refused(body, -32000, f"no project at {REST} for {USER}"))


LEAKS = {
    "nobody listens": (CHAIN, nobody),
    "no such host": (CHAIN, lambda _: f"https://{LOGIN}nowhere.invalid{REST}"),
    "no TLS there": (CHAIN, tls),
    "no usable scheme": (CHAIN, lambda s: s.url(REST, LOGIN).replace("http:", "gopher:")),
    "401": ((401, {}, b"no"), None),
    "404": ((404, {"Content-Type": "text/html"}, REST.encode()), None),
    "truncated": (servers.truncated, None),
    "reset": (servers.reset, None),
    "redirect": ((302, {"Location": f"https://{LOGIN}other.example{REST}"}, b""), None),
    "the node tells it": (telling, None),
    "a page that tells it": ((200, {"Content-Type": f"text/{USER}"}, REST.encode()), None),
    "crowded": (lambda b, _: (200, {}, servers.refused(b, 429, f"too many of {USER}")), None),
}


@pytest.mark.parametrize("what", LEAKS)
def test_no_secret_of_the_url_is_in_what_is_raised_or_logged(what, monkeypatch, capsys):
    """Protects a provider's key: text, repr, causes, contexts, traces and logs, at debug level."""
    behaviour, url_of = LEAKS[what]
    monkeypatch.setattr(redaction, "_known", ())
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    logs.set_up(debug=True)
    root.setLevel(logging.DEBUG)
    try:
        with servers.serving(in_turn(behaviour)) as server:
            url = (url_of or (lambda s: s.url(REST, LOGIN)))(server)
            with pytest.raises((ChainError, Web3RPCError)) as raised:
                open_rpc(url)
            logging.getLogger("worker").exception("failed: %s", raised.value, exc_info=raised.value)
            logging.getLogger("urllib3").warning("retrying %s", REST)
    finally:
        root.handlers[:], root.level = before[0], before[1]
    error, seen = raised.value, []
    while error is not None:
        seen += [str(error), repr(error), *map(repr, error.args), repr(vars(error))]
        error = error.__cause__ or error.__context__
    seen += traceback.format_exception(raised.value)
    seen.append(capsys.readouterr().err)
    assert "failed: " in seen[-1] and "retrying ***" in seen[-1]
    for secret in SECRETS:
        assert not [text for text in seen if secret in text]


def test_a_certificate_that_nobody_vouches_for_is_said(tmp_path, monkeypatch):
    """A user must learn what is wrong with TLS, and nothing more."""

    class Refusing(ssl.SSLCertVerificationError):
        pass

    cause = Refusing(1, "certificate verify failed: self-signed certificate")
    trouble = http.cause(requests.exceptions.SSLError(cause))
    assert "self-signed certificate" in trouble.said and not trouble.passing


@pytest.mark.parametrize(
    "url, shown",
    [
        ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
        ("https://node.example/v3/key", "https://node.example/..."),
        ("https://me:pw@node.example", "https://node.example/..."),
        ("https://node.example?key=1234", "https://node.example/..."),
        ("http://[::1]:8545/", "http://[::1]:8545"),
        ("https://me:pa/ss@node.example", redaction.UNREADABLE),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret(url, shown):
    assert redaction.shown_url(url) == shown


def test_secrets_are_gone_from_json_lines_too(monkeypatch):
    monkeypatch.setattr(redaction, "_known", ())
    redaction.conceal('quote"and\\slash')
    record = logging.makeLogRecord({"msg": 'it is quote"and\\slash', "name": "x"})
    handler = logs.Handler()
    handler.setFormatter(logs.JsonFormatter())
    assert json.loads(handler.format(record))["message"] == "it is ***"
