"""drand's rounds as words: what the network has published, and what it has not."""

from hashlib import sha256

import pytest
from eth_utils import keccak
from py_ecc.bls.hash_to_curve import hash_to_G1
from py_ecc.bls.point_compression import compress_G1, decompress_G1, decompress_G2
from py_ecc.optimized_bls12_381 import (
    FQ,
    G1,
    G2,
    Z1,
    add,
    b,
    curve_order,
    field_modulus,
    is_on_curve,
    multiply,
    neg,
    normalize,
    pairing,
)

from tests import evm
from tests.chain import chains
from tests.contracts import drand
from worker.chain.drand import point

DELAY = 30
ROUNDS = sorted(drand.SIGNATURES)
START = drand.time_of(5000)  # when the chain begins


@pytest.fixture(scope="module")
def chain():
    with chains.anvil("--hardfork", "prague", "--timestamp", str(START)) as w3:
        yield w3


class Source:
    """A contract on a node: calls, and transactions with the gas they take."""

    def __init__(self, w3, name, *arguments):
        self.w3, self.account = w3, chains.funded(w3)
        artifact = evm.load(name)
        factory = w3.eth.contract(abi=artifact.abi, bytecode=artifact.bytecode)
        built = factory.constructor(*arguments).build_transaction({"from": self.account.address})
        receipt = chains.transact(w3, self.account, {"data": built["data"], "gas": built["gas"]})
        self.gas = receipt["gasUsed"]
        self.contract = w3.eth.contract(receipt["contractAddress"], abi=artifact.abi)

    def call(self, name, *arguments, block="latest"):
        return self.contract.functions[name](*arguments).call(block_identifier=block)

    def send(self, name, *arguments):
        data = self.contract.encode_abi(name, args=arguments)
        wanted = {"to": self.contract.address, "data": data, "gas": 10_000_000}
        return chains.transact(self.w3, self.account, wanted)

    def refuses(self, error, name, *arguments):
        """That the call reverts with this error of the number that is its first argument."""
        selector = keccak(text=f"{error}(uint256)")[:4]
        expected = selector + arguments[0].to_bytes(32, "big")
        with pytest.raises(Exception, match=expected.hex()):
            self.call(name, *arguments)


@pytest.fixture
def source(chain):
    return Source(chain, "DrandRandomness", DELAY)


def encoded(at):
    x, y = normalize(at)
    return int(x).to_bytes(64, "big") + int(y).to_bytes(64, "big")


@pytest.mark.parametrize("number", ROUNDS)
def test_a_published_round_is_a_word(source, number):
    """Protects every draw: what drand calls the round's randomness is the word, told for good."""
    signature = drand.SIGNATURES[number]
    receipt = source.send("keep", number, point(signature))
    expected = sha256(signature).digest()
    assert source.call("word", number) == expected == drand.RANDOMNESS.get(number, expected)
    [kept] = source.contract.events.Kept().process_receipt(receipt)
    assert dict(kept["args"]) == {"id": number, "word": expected}
    source.refuses("AlreadyKept", "keep", number, point(signature))


def test_a_published_round_is_signed_by_the_key():
    """Protects the vectors, and with them the contract: another implementation agrees."""
    key = int.from_bytes(drand.PUBLIC_KEY[:48], "big"), int.from_bytes(drand.PUBLIC_KEY[48:], "big")
    message = sha256((10024141).to_bytes(8, "big")).digest()
    signature = decompress_G1(int.from_bytes(drand.SIGNATURES[10024141], "big"))
    hashed = hash_to_G1(message, drand.TAG, sha256)
    assert pairing(G2, signature) == pairing(decompress_G2(key), hashed)


def not_in_the_subgroup():
    """A point of the curve that the cofactor keeps out of G1."""
    x = next(
        x for x in range(1, 100) if pow(x**3 + 4, (field_modulus - 1) // 2, field_modulus) == 1
    )
    y = pow(x**3 + 4, (field_modulus + 1) // 4, field_modulus)
    found = (FQ(x), FQ(y), FQ(1))
    assert is_on_curve(found, b) and normalize(multiply(found, curve_order)) != normalize(Z1)
    return found


def tampered():
    right = point(drand.SIGNATURES[1000])
    x, y = int.from_bytes(right[:64], "big"), int.from_bytes(right[64:], "big")
    signature = (FQ(x), FQ(y), FQ(1))

    def pair(x, y):
        return x.to_bytes(64, "big") + y.to_bytes(64, "big")

    yield "negated", pair(x, field_modulus - y)
    yield "x above the modulus", pair(x + field_modulus, y)
    yield "y above the modulus", pair(x, y + field_modulus)
    yield "a bit of x", pair(x ^ 1, y)
    yield "a bit of the padding", b"\x01" + right[1:]
    yield "infinity", bytes(128)
    yield "the generator", encoded(G1)
    yield "another round", point(drand.SIGNATURES[1001])
    yield "twice", encoded(multiply(signature, 2))
    yield "out of the subgroup", encoded(not_in_the_subgroup())
    yield "moved out of the subgroup", encoded(add(signature, not_in_the_subgroup()))
    yield "compressed", drand.SIGNATURES[1000]
    yield "nothing", b""
    yield "too long", right + b"\0"
    yield "too short", right[:-1]


@pytest.mark.parametrize("what, proof", tampered(), ids=[name for name, _ in tampered()])
def test_what_is_no_signature_of_the_round_is_refused(source, what, proof):
    """Protects the draw from words that somebody chose."""
    source.refuses("WrongProof", "keep", 1000, proof)


@pytest.mark.parametrize("number", [999, 1001, 0, 2**64 + 1000, 2**256 - 1])
def test_a_signature_is_of_its_own_round_alone(source, number):
    """Protects against a round under another's number, also where numbers wrap."""
    source.refuses("WrongProof", "keep", number, point(drand.SIGNATURES[1000]))


def test_a_round_is_told_once_it_is_kept_and_is_not_yet_there_before_its_time(source, chain):
    now = chain.eth.get_block("latest")["timestamp"]
    due = (now - drand.GENESIS) // drand.PERIOD + 1  # the last that is published by now
    assert source.call("timeOf", due) == drand.time_of(due) <= now < drand.time_of(due + 1)
    source.refuses("NotKept", "word", due)
    source.refuses("NotYet", "word", due + 1)
    source.refuses("NotYet", "word", 2**64)


def test_a_draw_waits_for_the_first_round_after_the_delay(source, chain):
    """Protects the draw from a round that may be known, and from waiting longer than it must."""
    for seconds in (1, 1, 1, 2, 3, 4, 1000):
        chains.mine(chain, seconds)
        now = chain.eth.get_block("latest")["timestamp"]
        chosen = source.call("next")
        assert drand.time_of(chosen) > now + DELAY >= drand.time_of(chosen - 1)


def test_a_chain_without_the_precompiles_is_refused():
    """Protects a deployment from a source that could never tell a word."""
    with pytest.raises(RuntimeError, match=keccak(text="NoBls()")[:4].hex()):
        evm.deploy("DrandRandomness", DELAY)


def test_a_delay_of_nothing_is_refused(chain):
    with pytest.raises(Exception, match=keccak(text="DelayTooShort(uint32,uint32)")[:4].hex()):
        Source(chain, "DrandRandomness", 0)


def test_hashing_to_the_curve_is_that_of_the_standard(chain):
    """Protects rounds to come: the points of any message, by another implementation."""
    library = Source(chain, "BlsHarness")
    for i in range(4):
        message = sha256(bytes([i])).digest()
        done, found = library.call("hashToG1", message, drand.TAG)
        assert done and found == encoded(hash_to_G1(message, drand.TAG, sha256))


def test_compressing_is_that_of_the_standard(chain):
    """Protects the word, which is a hash of these bytes: both signs, on both sides of p / 2."""
    library = Source(chain, "BlsHarness")
    for i in range(1, 12):
        at = multiply(G1, i)
        for one in (at, neg(at)):
            compressed = compress_G1(one).to_bytes(48, "big")
            assert library.call("compressed", encoded(one)) == compressed
            assert point(compressed) == encoded(one)


@pytest.mark.parametrize(
    "signature",
    [
        bytes(48),
        b"\xc0" + bytes(47),  # infinity
        b"\xff" * 48,
        b"\x80" + bytes(46) + b"\x01",  # no y for this x
        drand.SIGNATURES[1000][1:],
        bytes([drand.SIGNATURES[1000][0] & 0x7F]) + drand.SIGNATURES[1000][1:],
    ],
)
def test_a_server_that_answers_no_point_is_seen_through(signature):
    with pytest.raises(ValueError, match="is no"):
        point(signature)
