"""A keeper brings the words that draws wait for, on a real node, from servers it need not trust."""

import json
import threading
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.chain import chains
from tests.contracts import drand
from tests.contracts.test_randomness_drand import Source
from worker.chain import ContractError, Randomness, Sender, Word
from worker.roles import words as module
from worker.roles.words import Words

NUMBER = 10024141


@contextmanager
def server(answer):
    """A server of drand's rounds: `answer(path)` is a status and what it sends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, body = answer(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{made.server_port}"
    finally:
        made.shutdown()
        made.server_close()


def honest(path):
    network, public, number = path.strip("/").split("/")
    if (network, public) != (drand.CHAIN, "public") or int(number) not in drand.SIGNATURES:
        return 404, b"{}"
    signature = drand.SIGNATURES[int(number)]
    answer = {"round": int(number), "signature": signature.hex()}
    return 200, json.dumps({**answer, "randomness": sha256(signature).hexdigest()}).encode()


def lying(path):
    """Another round under this one's number: a point of the curve, and no signature of it."""
    return 200, json.dumps({"round": NUMBER, "signature": drand.SIGNATURES[1000].hex()}).encode()


@pytest.fixture(scope="module")
def chain():
    start = drand.time_of(NUMBER) - 60
    with chains.anvil("--hardfork", "prague", "--timestamp", str(start)) as w3:
        yield w3


@pytest.fixture
def keeper_of(chain):
    """What a keeper has of a source of this name: its client, and what it brings words by."""

    def make(name, *arguments, servers=()):
        made = Source(chain, name, *arguments)
        sender = Sender(chain, chains.funded(chain), poll=0.02, timeout=20)
        source = Randomness(chain, made.contract.address, sender, {}, 0)
        sent = []

        def attempt(what, call, *given):
            try:
                sent.append(call(*given))
            except ContractError:
                return False
            return True

        return source, Words(chain, source, attempt, servers), sent

    return make


def test_a_round_is_brought_from_the_server_that_has_it(chain, keeper_of):
    """Protects draws from servers that lie, fail, or talk nonsense: the contract tells which is
    right, and the next is asked."""
    others = [lying, lambda path: (500, b""), lambda path: (200, b"[" * 5000),
              lambda path: (200, b"null"), lambda path: (200, b"{")]  # fmt: skip
    with server(honest) as right, server(lambda p: others[0](p)) as wrong:
        source, words, sent = keeper_of("DrandRandomness", 30, servers=(wrong, right))
        assert source.kind() == "drand" and source.stands(NUMBER) == Word.NOT_YET
        chains.mine(chain, 70)
        assert source.stands(NUMBER) == Word.NOT_KEPT
        for other in others[1:]:
            others[0] = other
            alone = Words(chain, source, lambda *_: pytest.fail("sent"), (wrong,))
            assert not alone.bring(NUMBER)
        others[0] = lying
        assert words.bring(NUMBER)
    assert len(sent) == 1
    assert source.stands(NUMBER) == Word.TOLD


def test_without_servers_it_says_what_to_configure(chain, keeper_of, caplog):
    source, words, sent = keeper_of("DrandRandomness", 30)
    assert not words.bring(1000) and not words.bring(1000)
    assert not sent and source.stands(1000) == Word.NOT_KEPT
    (warned,) = (r.getMessage() for r in caplog.records if r.levelname == "WARNING")
    assert "chain.drand" in warned


def test_prevrandao_is_brought_by_its_header(chain, keeper_of):
    source, words, sent = keeper_of("PrevrandaoRandomness", 2, True)
    chains.mine(chain)
    number = chain.eth.block_number  # the last block there is
    assert source.stands(number) == Word.NOT_KEPT
    assert words.bring(number) and len(sent) == 1
    assert source.stands(number) == Word.TOLD


@pytest.mark.parametrize("name, delay", [("BlockhashRandomness", 1), ("PrevrandaoRandomness", 2)])
def test_an_old_block_is_brought_in_parts(chain, keeper_of, monkeypatch, name, delay):
    """Protects words that nobody asked for in time: each part begins where another has ended, so
    that a keeper that starts anew, or another one, goes on."""
    monkeypatch.setattr(module, "HEADERS", 20)
    source, words, sent = keeper_of(name, delay, False)
    number = chain.eth.block_number + 1
    chain.provider.make_request("anvil_mine", [hex(290)])
    assert source.stands(number) == Word.NOT_KEPT
    for _ in range(10):
        if source.stands(number) == Word.TOLD:
            break
        words = Words(chain, source, words._attempt)
        assert words.bring(number)
    assert source.stands(number) == Word.TOLD
    assert len(sent) in (2, 3, 4)  # 66 headers, 20 at once and 32 more at first, and the word


def test_a_recent_block_needs_nobody(chain, keeper_of):
    source, _, _ = keeper_of("BlockhashRandomness", 1, False)
    chains.mine(chain)
    assert source.stands(chain.eth.block_number) == Word.TOLD
    assert source.stands(chain.eth.block_number + 1) == Word.NOT_YET
