"""Bringing the words that draws wait for, where their source does not tell them by itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from web3 import Web3

from worker.chain.drand import points
from worker.chain.headers import encode_header
from worker.chain.randomness import Randomness

log = logging.getLogger("worker.roles")

HEADERS = 128  # in one transaction, and SPARE more: some 100 kB, of the 128 kB that nodes take
SPARE = 32  # blocks that a transaction may take until it is mined
REACH, HISTORY_REACH = 256, 8191  # blocks whose hashes a source of blocks knows by itself


class Words:
    """Proofs of words: headers of blocks from the node, rounds of drand from its servers.

    attempt: sends what anyone may send, and says whether it was taken. A long way back through the
    headers takes several transactions, one for each call of `bring`; where they end is the same for
    every keeper, so that each goes on where another has ended.
    """

    def __init__(
        self,
        w3: Web3,
        source: Randomness,
        attempt: Callable[..., bool],
        drand: Sequence[str] = (),
    ) -> None:
        self._w3, self._source, self._attempt, self._drand = w3, source, attempt, drand
        self._said = False

    def bring(self, word: int) -> bool:
        """Brings a word that exists, or a part of the way to it; True where something was sent.

        Raises ChainError where the chain's headers cannot be read.
        """
        kind = self._source.kind()
        if kind == "drand":
            return self._bring_round(word)
        if kind not in ("blockhash", "prevrandao"):
            self._say(f"nobody here knows how to bring a word of {kind!r}: update the worker")
            return False
        if not any(self._source.hash_of(word)):
            return self._prove(word)
        return kind == "prevrandao" and self._attempt(
            "keep a word", self._source.keep, word, self._header(word)
        )

    def _bring_round(self, word: int) -> bool:
        if not self._drand:
            self._say(
                "this market draws by drand: name its servers, as in chain.drand = "
                '["https://api.drand.sh"], or wait until another keeper brings the round'
            )
        return any(
            self._attempt("keep a word", self._source.keep, word, point)
            for point in points(self._drand, self._source.chain(), word)
        )

    def _prove(self, number: int) -> bool:
        """One step from the oldest hash that is known towards that of block `number`."""
        reach = HISTORY_REACH if self._source.history() else REACH
        oldest = self._w3.eth.block_number + 1 - reach  # that needs no proof in the next block
        begin = max(number + 1, oldest + SPARE)
        first = (number // HEADERS + 1) * HEADERS
        for there in range(first, oldest, HEADERS):
            if any(self._source.hash_of(there)):
                begin = there
                break
        end = max(number, (min(begin, oldest) - 1) // HEADERS * HEADERS)
        headers = [self._header(at) for at in range(begin, end, -1)]
        return self._attempt("prove a block's hash", self._source.prove, end, headers)

    def _header(self, number: int) -> bytes:
        return encode_header(self._w3.eth.get_block(number))

    def _say(self, what: str) -> None:
        if not self._said:
            log.warning(what)
        self._said = True
