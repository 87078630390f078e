"""The source of the market's randomness; `IRandomness` says what its words are."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from worker.chain.contract import Contract, Receipt
from worker.chain.contracts import Market
from worker.chain.errors import ContractError


class Word(Enum):
    """How a word of the source stands, for a transaction in the next block."""

    TOLD = "told"  # `draw` can have it
    NOT_KEPT = "not kept"  # somebody has to bring it
    NOT_YET = "not yet"  # nobody can


class Randomness(Contract):
    """A source of words, by their numbers."""

    name = "Randomness"

    @classmethod
    def of(cls, market: Market) -> Randomness:
        """The one that this market draws by."""
        return market.beside(cls, market.parameters().randomness)

    def kind(self) -> str:
        """`blockhash`, `prevrandao` or `drand`: what the proof of a word is."""
        return bytes(self._read_once("kind")).rstrip(b"\0").decode()

    def stands(self, word: int) -> Word:
        """How the word stands. Raises ContractError where the source is broken."""
        try:
            self.reading("word", word).read(self._w3, "pending")
        except ContractError as error:
            if error.name == "NotYet":
                return Word.NOT_YET
            if error.name == "NotKept":
                return Word.NOT_KEPT
            raise
        return Word.TOLD

    def chain(self) -> bytes:
        """Of drand: the network's name, 32 bytes."""
        return self._read_once("CHAIN")

    def history(self) -> bool:
        """Of a source of blocks: whether it asks EIP-2935's contract."""
        return self._read_once("history")

    def hash_of(self, number: int) -> bytes:
        """Of a source of blocks: a block's hash, or zeros where it has to be proven, for a
        transaction in the next block."""
        return self.reading("hashOf", number).read(self._w3, "pending")

    def prove(self, number: int, headers: Sequence[bytes]) -> Receipt:
        """Of a source of blocks: headers back to that of block `number + 1`."""
        return self._write("prove", number, headers)

    def keep(self, word: int, proof: bytes) -> Receipt:
        return self._write("keep", word, proof)
