"""Words out of the chain's own blocks: named ones, old ones, and what is no proof of them."""

import pyrevm
import pytest
import rlp
from eth_abi import encode
from eth_utils import keccak

from tests import evm
from tests.chain import chains
from tests.contracts.test_randomness_drand import Source
from worker.chain.headers import encode_header

HISTORY = "0x0000F90827F1C53a10cb7A02335B175320002935"
# What EIP-2935 puts there.
HISTORY_CODE = bytes.fromhex(
    "3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257611fff"
    "81430311604257611fff9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500"
)
WINDOW = 8191
HEAD = 20_000  # the block that a call stands in


def header(number, parent, mix=None):
    """A header as a chain of Prague's rules has it, with random-looking contents."""
    root = keccak(b"root %d" % number)
    mix = keccak(b"mix %d" % number) if mix is None else mix
    fields = [parent, root, root[:20], root, root, root, root * 8, b"", number, 30_000_000, 21_000]
    fields += [1_700_000_000 + 12 * number, b"extra", mix, bytes(8), 7, root, b"", b"", root, root]
    return rlp.encode([rlp.sedes.big_endian_int.serialize(f) if isinstance(f, int) else f
                       for f in fields])  # fmt: skip


def headers_of(first, last, **changes):
    """By number, a row of headers of which each names the one before."""
    found, parent = {}, keccak(b"genesis")
    for number in range(first, last + 1):
        found[number] = header(number, parent, **changes.get(f"b{number}", {}))
        parent = keccak(found[number])
    return found


class World:
    """A source on a native machine, whose history contract holds the hashes of a row of headers."""

    def __init__(self, name, headers, *, delay=2, history=True):
        self.headers = headers
        self.evm = pyrevm.EVM(gas_limit=evm.GAS, spec_id="CANCUN")
        if history:
            self.evm.insert_account_info(HISTORY, pyrevm.AccountInfo(code=HISTORY_CODE))
            for number, one in headers.items():
                if HEAD - WINDOW <= number < HEAD:
                    slot = int.from_bytes(keccak(one), "big")
                    self.evm.insert_account_storage(HISTORY, number % WINDOW, slot)
        self.evm.set_block_env(self.block(HEAD))
        artifact = evm.load(name)
        code = artifact.bytecode + encode(["uint32", "bool"], [delay, history])
        address = self.evm.deploy(evm.CALLER, code, gas=evm.GAS)
        self.contract = evm.Contract(self.evm, address, artifact.abi)

    def block(self, number):
        return pyrevm.BlockEnv(
            number=number, timestamp=1_700_000_000, gas_limit=evm.GAS, prevrandao=b"\x07" * 32
        )

    def call(self, name, *arguments):
        return self.contract.call(name, *arguments)

    def refuses(self, error, *arguments, of):
        name, *given = of
        with pytest.raises(evm.Reverted) as raised:
            self.call(name, *given)
        assert raised.value.data == self.contract.error(error, *arguments)


def back(headers, known, number):
    """The headers that lead from a known block back to the hash of `number`."""
    return [headers[n] for n in range(known, number, -1)]


OLDEST = HEAD - WINDOW  # that the history contract still knows


@pytest.fixture(scope="module")
def row():
    return headers_of(OLDEST - 40, OLDEST + 5)


def proof(headers):
    return encode(["bytes[]"], [headers])


# --- block hashes -----------------------------------------------------------------------------


def test_a_block_that_is_not_there_yet_has_no_word(row):
    world = World("BlockhashRandomness", row, delay=1)
    assert world.call("next") == HEAD + 1
    for number in (HEAD, HEAD + 1, 2**256 - 1):
        world.refuses("NotYet", number, of=("word", number))
        world.refuses("NotYet", number, of=("keep", number, proof([])))
        world.refuses("NotYet", number, of=("prove", number, []))


def test_an_old_block_is_told_by_the_history_contract(row):
    """Protects draws of a day ago: the last 8191 blocks are told without a proof, to the block."""
    world = World("BlockhashRandomness", row)
    assert world.call("word", OLDEST) == keccak(row[OLDEST])
    world.refuses("NotKept", OLDEST - 1, of=("word", OLDEST - 1))


def test_a_still_older_block_is_proven_by_headers(row):
    """Protects every draw: no word is ever lost, and one that is proven is what it always was."""
    world = World("BlockhashRandomness", row)
    number = OLDEST - 30
    world.refuses("NotKept", number, of=("word", number))
    world.call("keep", number, proof(back(row, OLDEST, number)))
    assert world.call("word", number) == keccak(row[number])
    world.refuses("AlreadyKept", number, of=("keep", number, proof(back(row, OLDEST, number))))


def test_a_long_way_is_gone_in_parts(row):
    """Protects words so old that one transaction cannot hold the headers."""
    world = World("BlockhashRandomness", row)
    world.call("prove", OLDEST - 10, back(row, OLDEST + 3, OLDEST - 10))
    world.call("keep", OLDEST - 25, proof(back(row, OLDEST - 10, OLDEST - 25)))
    assert world.call("word", OLDEST - 25) == keccak(row[OLDEST - 25])


def test_a_hash_is_kept_before_its_time_is_over(row):
    """Protects a keeper's purse: kept in time, a word needs no headers later."""
    world = World("BlockhashRandomness", row)
    world.call("keep", OLDEST, proof([]))
    world.evm.set_block_env(world.block(HEAD + 100))
    assert world.call("word", OLDEST) == keccak(row[OLDEST])
    world.refuses("NotKept", OLDEST + 1, of=("word", OLDEST + 1))


def wrong_rows(row):
    number, right = OLDEST - 3, back(row, OLDEST, OLDEST - 3)
    other = header(OLDEST - 1, b"\x13" * 32)
    yield "none", [], "UnknownHash", number
    yield "from an unknown block", right[1:], "UnknownHash", OLDEST - 1
    yield "another header", [right[0], other, right[2]], "WrongHeader", OLDEST - 1
    yield "in another order", [right[0], right[2], right[1]], "WrongHeader", OLDEST - 1
    yield "of other blocks", back(row, OLDEST + 1, OLDEST - 2), "WrongHeader", OLDEST
    yield "a byte more", [right[0] + b"\0", *right[1:]], "WrongHeader", OLDEST
    yield "a byte less", [right[0][:-1], *right[1:]], "WrongHeader", OLDEST
    yield "empty", [b"", *right[1:]], "WrongHeader", OLDEST


@pytest.mark.parametrize("which", range(8))
def test_a_wrong_row_of_headers_is_refused(row, which):
    """Protects the draw from a hash that somebody chose."""
    _, headers, error, at = list(wrong_rows(row))[which]
    world = World("BlockhashRandomness", row)
    world.refuses(error, at, of=("keep", OLDEST - 3, proof(headers)))


def test_without_the_history_contract_nobody_is_asked(row):
    """Protects deployments: what the parameters say is what the contract does."""
    world = World("BlockhashRandomness", row, history=False)
    assert world.call("history") is False
    world.refuses("NotKept", HEAD - 257, of=("word", HEAD - 257))
    assert any(world.call("word", HEAD - 256))  # by BLOCKHASH


def test_a_history_that_is_not_there_is_refused():
    with pytest.raises(RuntimeError, match=keccak(text="NoHistory()")[:4].hex()):
        evm.deploy("BlockhashRandomness", 1, True)


@pytest.mark.parametrize("name, least", [("BlockhashRandomness", 1), ("PrevrandaoRandomness", 2)])
def test_a_delay_in_which_the_word_may_be_known_is_refused(row, name, least):
    with pytest.raises(RuntimeError, match=keccak(text="DelayTooShort(uint32,uint32)")[:4].hex()):
        World(name, row, delay=least - 1)
    assert World(name, row, delay=least).call("next") == HEAD + least


# --- PREVRANDAO -------------------------------------------------------------------------------


def test_prevrandao_is_read_out_of_the_header(row):
    world = World("PrevrandaoRandomness", row)
    number = OLDEST + 1
    world.refuses("NotKept", number, of=("word", number))
    world.call("keep", number, row[number])
    assert world.call("word", number) == keccak(b"mix %d" % number)
    world.refuses("AlreadyKept", number, of=("keep", number, row[number]))


def test_prevrandao_of_a_very_old_block_needs_its_hash_first(row):
    world = World("PrevrandaoRandomness", row)
    number = OLDEST - 7
    world.refuses("UnknownHash", number, of=("keep", number, row[number]))
    world.call("prove", number, back(row, OLDEST, number))
    world.call("keep", number, row[number])
    assert world.call("word", number) == keccak(b"mix %d" % number)


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row[OLDEST + 2],  # another block's
        lambda row: header(OLDEST + 1, keccak(row[OLDEST]), mix=b"\x13" * 32),
        lambda row: row[OLDEST + 1] + b"\0",
        lambda row: b"",
    ],
)
def test_prevrandao_of_another_header_is_refused(row, change):
    world = World("PrevrandaoRandomness", row)
    world.refuses("WrongHeader", OLDEST + 1, of=("keep", OLDEST + 1, change(row)))


def test_a_zero_word_is_refused():
    """Protects the draw: zero is what a chain says that has no such word."""
    row = headers_of(OLDEST, OLDEST + 2, **{f"b{OLDEST + 1}": {"mix": bytes(32)}})
    world = World("PrevrandaoRandomness", row)
    world.refuses("ZeroWord", OLDEST + 1, of=("keep", OLDEST + 1, row[OLDEST + 1]))
    world.refuses("NotKept", OLDEST + 1, of=("word", OLDEST + 1))


def test_a_header_before_its_block_is_there_is_refused(row):
    world = World("PrevrandaoRandomness", row)
    for number in (HEAD, HEAD + 5):
        world.refuses("NotYet", number, of=("keep", number, row[OLDEST]))
        world.refuses("NotYet", number, of=("word", number))


def test_a_chain_without_prevrandao_is_refused():
    with pytest.raises(RuntimeError, match=keccak(text="NoPrevrandao()")[:4].hex()):
        evm.deploy("PrevrandaoRandomness", 2, False)


# --- on a real node ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chain():
    with chains.anvil("--hardfork", "prague") as w3:
        w3.provider.make_request("anvil_mine", [hex(320)])
        yield w3


def test_real_blocks_are_told_and_proven(chain):
    """Protects the parts that a test of ours imitates: a node's history contract, its headers."""
    plain = Source(chain, "BlockhashRandomness", 1, False)
    asking = Source(chain, "BlockhashRandomness", 1, True)
    mixes = Source(chain, "PrevrandaoRandomness", 2, True)
    head = chain.eth.block_number
    told = head - 300
    assert asking.call("word", told) == bytes(chain.eth.get_block(told)["hash"])
    plain.refuses("NotKept", "word", told)
    rows = [encode_header(chain.eth.get_block(n)) for n in range(told + 60, told, -1)]
    plain.send("prove", told, rows)
    assert plain.call("word", told) == asking.call("word", told)
    block = chain.eth.get_block(told)
    mixes.send("keep", told, encode_header(block))
    assert mixes.call("word", told) == bytes(block["mixHash"]) != bytes(32)
