"""The challenger's side: towards the first place that does not follow from the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from worker.chain.events import (
    ChildrenRevealed,
    CourtEvent,
    LeafRevealed,
    RootsRevealed,
    TraceRevealed,
)
from worker.chain.types import Dispute, Opening, Phase
from worker.commit import LEAF_BYTES, list_tree, reports_root
from worker.commit.tensors import element_bytes
from worker.dispute.commitments import CommittedList
from worker.dispute.court import CourtMoves
from worker.dispute.known import RevealedTree
from worker.dispute.openings import openings
from worker.dispute.player import Player
from worker.jobs import Replay, interior

Shown = TypeVar("Shown", bound=CourtEvent)


class NothingToProve(Exception):
    """The accused's part under attack equals the challenger's own: it has no move to make."""


class ChallengerPlayer(Player):
    """Accuses one segment: narrows the dispute to one element and proves it.

    report_step: the step whose report in the solver's journal is wrong, where the states are right.
    """

    def __init__(
        self,
        court: CourtMoves,
        dispute: int,
        replay: Replay,
        arity_bits: int,
        report_step: int | None = None,
    ) -> None:
        super().__init__(court, dispute, replay, arity_bits)
        self.report_step = report_step
        self._data: CommittedList | None = None

    def move(self, d: Dispute, events: Sequence[CourtEvent]) -> str:
        """Makes the challenger's next move, given all of the dispute's events in order.

        Raises NothingToProve where the accused is right as far as it has been asked.
        """
        match d.phase:
            case Phase.STEPS:
                return self._descend_steps(d, events)
            case Phase.TRACE:
                if d.level == self._trace(d.lo).tree.depth:
                    return self._enter_step(d, events)
                return self._descend(d, self._trace(d.lo), events)
            case Phase.STATE:
                return self._descend(d, self._state(d.hi), events)
            case Phase.REPORTS:
                return self._first_difference(d, list_tree(self._reports(d.lo)).node, events)
            case Phase.ELEMENTS:
                if self._shape_is_wrong(d):
                    return self._prove_shape(d)
                return self._descend_elements(d, events)
            case Phase.PROOF:
                if d.accused != Phase.NONE:
                    return self._prove_output(d)
                if self._shape_is_wrong(d):
                    return self._prove_shape(d)
                return self._prove_leaf(d, events)
            case _:
                raise AssertionError(f"the challenger has no move in phase {d.phase.name}")

    # narrowing

    def _descend_steps(self, d: Dispute, events: Sequence[CourtEvent]) -> str:
        roots = _last(events, RootsRevealed).roots
        points = interior(d.lo, d.hi, self.arity_bits)
        claim = self._claim
        theirs = [*roots, claim.last_state if d.hi == claim.last_step else d.disputed]
        ends = list(zip(points[1:], theirs, strict=True))
        wrong = (k for k, (end, root) in enumerate(ends) if self.replay.root(end) != root)
        part = next(wrong, None)
        if part is None:
            if self.report_step is None or not d.lo <= self.report_step < d.hi:
                raise NothingToProve(f"all states from S_{d.lo} to S_{d.hi} are right")
            part = next(k for k, end in enumerate(points[1:]) if self.report_step < end)
        self.court.descend_steps(self.id, roots, part)
        return f"went to steps {points[part]} to {points[part + 1]}"

    def _enter_step(self, d: Dispute, events: Sequence[CourtEvent]) -> str:
        own, shown = self._trace(d.lo), _last(events, TraceRevealed)
        if shown.trace != own.root:
            return self._descend(d, own, events)
        if shown.reports != reports_root(self._reports(d.lo)):
            self.court.accuse_reports(self.id, self._claim, self.program.header)
            return f"accused the reports of not being what step {d.lo} produced"
        if d.disputed != self.replay.root(d.hi):
            self.court.accuse_state(self.id)
            return f"accused S_{d.hi} of not being what step {d.lo} produced"
        raise NothingToProve(f"step {d.lo} is right")

    def _descend(self, d: Dispute, own: CommittedList, events: Sequence[CourtEvent]) -> str:
        return self._first_difference(d, own.tree.node, events)

    def _descend_elements(self, d: Dispute, events: Sequence[CourtEvent]) -> str:
        return self._first_difference(d, self._trace(d.lo)[d.item].tree.node, events)

    def _first_difference(
        self, d: Dispute, node: Callable[[int, int], bytes], events: Sequence[CourtEvent]
    ) -> str:
        shown = _last(events, ChildrenRevealed)
        levels = min(self.arity_bits, d.level)
        first = d.index << levels
        for child, theirs in enumerate(shown.children):
            if theirs != node(d.level - levels, first + child):
                tree = RevealedTree(d.size)
                tree.add(d.level, d.index, levels, shown.children)
                path = tree.between(d.level - levels, first + child, levels)
                self.court.descend(self.id, child, theirs, path)
                return f"descended to level {d.level - levels} node {first + child}"
        raise NothingToProve(f"node {d.index} of level {d.level} is right")

    # proofs

    def _prove_output(self, d: Dispute) -> str:
        own, of_state = self._trace(d.lo), d.accused == Phase.STATE
        place = d.item if of_state else self.program.state_count + d.item
        node = self.program.outputs[place]
        self.court.prove_output(
            self.id,
            self._claim,
            self.program.header,
            node,
            self.program.output_tree.path(place),
            own.items[node],
            own.tree.path(node),
        )
        what = f"tensor {d.item} of S_{d.hi}" if of_state else f"report {d.item} of step {d.lo}"
        return f"proved that {what} is not the output of node {node}"

    def _shape_is_wrong(self, d: Dispute) -> bool:
        own = self._trace(d.lo)[d.item]
        return (d.dtype, d.count) != (own.dtype, own.count)

    def _prove_shape(self, d: Dispute) -> str:
        node = self.program.nodes[d.item]
        path = self.program.node_tree.path(d.item)
        self.court.prove_shape(self.id, self._claim, self.program.header, node, path)
        return f"proved that node {d.item} has another shape"

    def _prove_leaf(self, d: Dispute, events: Sequence[CourtEvent]) -> str:
        data = _last(events, LeafRevealed).data
        own = self._trace(d.lo)[d.item]
        size = element_bytes(own.dtype)
        ours = own.leaf(d.index)
        if data == ours:
            raise NothingToProve(f"leaf {d.index} of node {d.item} is right")
        per_leaf = LEAF_BYTES // size
        position = next(
            p
            for p in range(per_leaf)
            if data[p * size : (p + 1) * size] != ours[p * size : (p + 1) * size]
        )
        element = d.index * per_leaf + position
        if element >= own.count:
            self.court.prove_padding(self.id, data, position)
            return f"proved that node {d.item} is not padded with zeros"
        self.court.prove_element(
            self.id,
            self._claim,
            self.program.header,
            self.program.nodes[d.item],
            self.program.node_tree.path(d.item),
            data,
            position,
            self._openings(d, element, events),
        )
        return f"proved element {element} of node {d.item} ({self.program.nodes[d.item].name})"

    def _openings(self, d: Dispute, element: int, events: Sequence[CourtEvent]) -> list[Opening]:
        """The operands of the accused element, each with its path in the accused's trace."""
        own = self._trace(d.lo)
        revealed = RevealedTree(d.node_count)
        for event in events:
            if isinstance(event, ChildrenRevealed) and event.phase == Phase.TRACE:
                levels = min(self.arity_bits, event.level)
                revealed.add(event.level, event.index, levels, event.children)
        return openings(
            self.replay.computation,
            d.lo,
            self.program.nodes[d.item],
            element,
            trace=own,
            trace_path=lambda n: revealed.path(n, own.tree),
            state=self._state(d.lo),
            data=self._data_set(),
        )

    # what the challenger computed itself

    def _reports(self, step: int) -> list[bytes]:
        """Items of the step's reported tensors."""
        trace = self._trace(step)
        return [trace.items[n] for n in self.program.outputs[self.program.state_count :]]

    def _data_set(self) -> CommittedList:
        if self._data is None:
            self._data = CommittedList(self.replay.computation.data)
        return self._data


def _last(events: Sequence[CourtEvent], kind: type[Shown]) -> Shown:
    """The latest event of a kind."""
    for event in reversed(events):
        if isinstance(event, kind):
            return event
    raise LookupError(f"the dispute has no {kind.__name__} event yet")
