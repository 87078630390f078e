"""What words cost: docs/protocol.md has these numbers, and a change of one shows in a diff."""

import pytest

from tests.chain import chains
from tests.contracts import drand
from tests.contracts.test_randomness_drand import Source
from worker.chain.drand import point
from worker.chain.headers import encode_header

NUMBER = 10024141


@pytest.fixture(scope="module")
def chain():
    start = drand.time_of(NUMBER)
    with chains.anvil("--hardfork", "prague", "--timestamp", str(start)) as w3:
        w3.provider.make_request("anvil_mine", [hex(320)])
        yield w3


def asked(source, number):
    """Of `word`, without the transaction around it."""
    return source.contract.functions.word(number).estimate_gas() - 21_000


def test_a_round_of_drand(chain):
    source = Source(chain, "DrandRandomness", 30)
    kept = source.send("keep", NUMBER, point(drand.SIGNATURES[NUMBER]))["gasUsed"]
    assert kept == pytest.approx(174_000, abs=1_000)
    assert asked(source, NUMBER) == pytest.approx(2_700, abs=300)


def test_a_block(chain):
    head = chain.eth.block_number
    hashes = Source(chain, "BlockhashRandomness", 1, True)
    assert asked(hashes, head - 3) == pytest.approx(2_900, abs=300)
    assert asked(hashes, head - 290) == pytest.approx(7_800, abs=300)
    mixes = Source(chain, "PrevrandaoRandomness", 2, True)
    header = encode_header(chain.eth.get_block(head - 3))
    assert mixes.send("keep", head - 3, header)["gasUsed"] == pytest.approx(98_000, abs=1_500)


def test_a_row_of_headers(chain):
    source, head = Source(chain, "BlockhashRandomness", 1, True), chain.eth.block_number
    gas = {}
    for count in (1, 33):
        rows = [encode_header(chain.eth.get_block(head - 100 - i)) for i in range(count)]
        gas[count] = source.send("prove", head - 100 - count, rows)["gasUsed"]
    assert (gas[33] - gas[1]) / 32 == pytest.approx(51_000, abs=1_500)
