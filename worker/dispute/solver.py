"""The accused's side: to every question of the game, what it committed to."""

from __future__ import annotations

from worker.chain.types import Dispute, Phase
from worker.commit import Tree, list_tree
from worker.dispute.commitments import CommittedList
from worker.dispute.court import CourtMoves
from worker.dispute.openings import opened
from worker.dispute.player import Player
from worker.jobs import Journal, Replay, interior


class SolverPlayer(Player):
    """Answers one dispute about one segment.

    Whatever it answers is computed from the segment's first state, so a restarted worker gives the
    same answers. It never looks at what the challenger thinks.
    """

    def __init__(
        self, court: CourtMoves, dispute: int, replay: Replay, journal: Journal, arity_bits: int
    ) -> None:
        super().__init__(court, dispute, replay, arity_bits)
        self.journal = journal

    def move(self, d: Dispute) -> str:
        """Makes the move that the dispute asks of the solver; returns a word for the log."""
        match d.phase:
            case Phase.STEPS:
                points = interior(d.lo, d.hi, self.arity_bits)[1:-1]
                self.court.reveal_roots(self.id, [self.replay.root(p) for p in points])
                return f"revealed {len(points)} state roots between S_{d.lo} and S_{d.hi}"
            case Phase.STEP:
                place = d.lo - self.journal.first_step
                entry = self.journal.entries[place]
                trace = self._trace(d.lo).tree
                self.court.reveal_trace(
                    self.id,
                    self._claim,
                    self.program.header,
                    trace.root,
                    entry.salt,
                    entry.reports,
                    self.journal.tree.path(place),
                    self._children(trace, trace.depth),
                )
                return f"revealed the trace of step {d.lo}"
            case Phase.TRACE | Phase.STATE:
                self._reveal_children(self._list(d).tree, d)
            case Phase.REPORTS:
                entry = self.journal.entries[d.lo - self.journal.first_step]
                self._reveal_children(list_tree(entry.items), d)
            case Phase.TENSOR:
                tensor = self._list(d)[d.item]
                depth = tensor.tree.depth
                under = self._children(tensor.tree, depth) if depth else []
                self.court.reveal_tensor(
                    self.id, tensor.dtype, tensor.count, tensor.elements, under
                )
                return f"opened tensor {d.item}"
            case Phase.ELEMENTS:
                self._reveal_children(self._list(d)[d.item].tree, d)
            case Phase.LEAF:
                self.court.reveal_leaf(self.id, self._list(d)[d.item].leaf(d.index))
                return f"showed leaf {d.index} of tensor {d.item}"
            case Phase.DATA:
                return self._show_data(d)
            case _:
                raise AssertionError(f"the solver has no move in phase {d.phase.name}")
        return f"revealed what lies under level {d.level} node {d.index} ({d.phase.name.lower()})"

    def _show_data(self, d: Dispute) -> str:
        """The leaf of S_hi that the demand's word names (`ICourt.demand`)."""
        state = self._state(d.hi)
        rest, index = divmod(int.from_bytes(d.revealed, "big"), len(state))
        tensor = state[index]
        leaf = rest % tensor.tree.size
        path = state.tree.path(index)
        opening = opened(tensor, path, leaf * tensor.per_leaf, 1)
        self.court.show_data(self.id, self._claim, self.program.header, opening)
        return f"showed leaf {leaf} of tensor {index} of S_{d.hi}"

    def _reveal_children(self, tree: Tree, d: Dispute) -> None:
        self.court.reveal_children(self.id, self._children(tree, d.level, d.index))

    def _children(self, tree: Tree, level: int, index: int = 0) -> list[bytes]:
        """What lies under a node, as far down as one move of the court goes."""
        return tree.children(level, index, min(self.arity_bits, level))

    def _list(self, d: Dispute) -> CommittedList:
        return self._state(d.hi) if d.phase == Phase.STATE else self._trace(d.lo)
