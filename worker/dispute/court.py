"""What a player needs of the court: its moves, by the names of `ICourt`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from worker.chain.types import Claim, Opening
from worker.program import Header, Node


class CourtMoves(Protocol):
    """The moves of both sides and the proofs; `worker.chain` sends them as transactions."""

    def claim(self, dispute: int) -> Claim:
        """What the solver is bound to: the court keeps its hash, and whoever needs it brings it."""
        ...

    def reveal_roots(self, dispute: int, roots: Sequence[bytes]) -> Any: ...
    def reveal_trace(
        self,
        dispute: int,
        claim: Claim,
        header: Header,
        trace: bytes,
        salt: bytes,
        reports: bytes,
        path: Sequence[bytes],
        children: Sequence[bytes],
    ) -> Any: ...
    def reveal_children(self, dispute: int, children: Sequence[bytes]) -> Any: ...
    def reveal_tensor(
        self, dispute: int, dtype: int, count: int, elements: bytes, children: Sequence[bytes]
    ) -> Any: ...
    def reveal_leaf(self, dispute: int, data: bytes) -> Any: ...
    def show_data(self, dispute: int, claim: Claim, header: Header, opening: Opening) -> Any: ...

    def descend_steps(self, dispute: int, roots: Sequence[bytes], part: int) -> Any: ...
    def descend(self, dispute: int, child: int, root: bytes, path: Sequence[bytes]) -> Any: ...
    def accuse_state(self, dispute: int) -> Any: ...
    def accuse_reports(self, dispute: int, claim: Claim, header: Header) -> Any: ...

    def prove_element(
        self,
        dispute: int,
        claim: Claim,
        header: Header,
        node: Node,
        node_path: Sequence[bytes],
        data: bytes,
        position: int,
        openings: Sequence[Opening],
    ) -> Any: ...
    def prove_shape(
        self, dispute: int, claim: Claim, header: Header, node: Node, node_path: Sequence[bytes]
    ) -> Any: ...
    def prove_padding(self, dispute: int, data: bytes, position: int) -> Any: ...
    def prove_output(
        self,
        dispute: int,
        claim: Claim,
        header: Header,
        node: int,
        output_path: Sequence[bytes],
        item: bytes,
        trace_path: Sequence[bytes],
    ) -> Any: ...
