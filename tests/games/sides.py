"""Both sides of a dispute at full speed, and how each may be dishonest."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Any

from tests.games.players import with_data
from tests.games.transcripts import Transcript
from worker.chain.errors import ContractError
from worker.chain.events import (
    ChildrenRevealed,
    CourtEvent,
    LeafRevealed,
    RootsRevealed,
)
from worker.chain.types import Dispute, Phase
from worker.dispute import ChallengerPlayer, SolverPlayer
from worker.dispute.challenger import _last
from worker.dispute.commitments import CommittedList, CommittedTrace
from worker.dispute.known import RevealedTree
from worker.jobs import interior


def noise(rng: random.Random) -> bytes:
    """32 bytes that hash nothing."""
    return sha256(rng.randbytes(8)).digest()


class Answering(SolverPlayer):
    """A solver that says what its transcript says: the honest one, or a cheat that stands by its
    lie."""

    replay: Transcript

    def _trace(self, step: int) -> CommittedList:
        return self._traces.setdefault(step, self.replay.committed_trace(step))


class Shifty(Answering):
    """A cheat that invents each answer anew, out of everything that could pass for one."""

    def __init__(self, *arguments: Any, stories: Sequence[Transcript]) -> None:
        super().__init__(*arguments)
        self.stories = [self.replay, *stories]
        self.rng = random.Random(0)

    def move(self, d: Dispute) -> str:
        rng, story = self.rng, self.rng.choice(self.stories)
        if d.phase == Phase.STEPS:
            points = interior(d.lo, d.hi, self.arity_bits)[1:-1]
            told = [[s.root(p) for s in self.stories] + [noise(rng)] for p in points]
            self.court.reveal_roots(self.id, [rng.choice(roots) for roots in told])
            return "invented states"
        if d.phase == Phase.STEP:
            self._traces[d.lo] = self._mangled(story, rng.choice(story.steps))
        if d.phase == Phase.STATE:
            whole = (s for s in self.stories if s.root(d.hi) == d.disputed)
            self._states[d.hi] = CommittedList(next(whole, self.replay).state(d.hi))
        return super().move(d)

    def _mangled(self, story: Transcript, step: int) -> CommittedList:
        """A trace of any step, in which up to one tensor is no tensor of that program."""
        trace = CommittedTrace(story, step)
        if self.rng.random() < 0.5:
            return trace
        node = self.rng.randrange(len(trace))
        tensor = trace[node]
        data = bytearray(tensor.data)
        size = self.rng.choice((1, len(data)))
        data[-size] ^= self.rng.randrange(1, 256)  # its padding as a rule, or its first element
        trace.replace(node, with_data(tensor, bytes(data)))
        return trace


class Accusing(ChallengerPlayer):
    """A challenger that believes in one computation to the end: the honest one, or a liar."""

    replay: Transcript

    def _trace(self, step: int) -> CommittedList:
        return self._traces.setdefault(step, self.replay.committed_trace(step))


class Wanderer(Accusing):
    """A challenger that believes in nothing: it knows the solver's own transcript, goes anywhere
    that the rules allow, and tries what they do not allow, and every proof, on the way."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.rng = random.Random(0)

    def _descend_steps(self, d: Dispute, events: Sequence[CourtEvent]) -> str:
        roots = _last(events, RootsRevealed).roots
        part = self.rng.randrange(len(roots) + 1)
        with suppress(ContractError):
            self.court.descend_steps(self.id, [noise(self.rng) for _ in roots], part)
            return "went to states of its own"
        self.court.descend_steps(self.id, roots, part)
        return "went anywhere"

    def _enter_step(self, d: Dispute, events: Sequence[CourtEvent]) -> str:
        chance = self.rng.random()
        if chance < 0.3:
            self.court.accuse_state(self.id)
            return "accused a state"
        if chance < 0.6:
            self.court.accuse_reports(self.id, self._claim, self.program.header)
            return "accused the reports"
        return self._descend(d, self._trace(d.lo), events)

    def _first_difference(self, d: Dispute, node: Any, events: Sequence[CourtEvent]) -> str:
        children = _last(events, ChildrenRevealed).children
        levels, child = min(self.arity_bits, d.level), self.rng.randrange(len(children))
        tree = RevealedTree(d.size)
        tree.add(d.level, d.index, levels, children)
        index = (d.index << levels) + child
        path = tree.between(d.level - levels, index, levels)
        with suppress(ContractError):
            self.court.descend(self.id, child, noise(self.rng), path)
            return "went to a node of its own"
        self.court.descend(self.id, child, children[child], path)
        return "went anywhere"

    def _prove_leaf(self, d: Dispute, events: Sequence[CourtEvent]) -> str:
        data, own = _last(events, LeafRevealed).data, self._trace(d.lo)[d.item]
        position = self.rng.randrange(own.per_leaf)
        with suppress(ContractError):
            self.court.prove_padding(self.id, data, position)
            return "proved what lies past the end"
        with suppress(ContractError):
            return self._prove_shape(d)
        element = min(d.index * own.per_leaf + position, own.count - 1)
        self.court.prove_element(
            self.id,
            self._claim,
            self.program.header,
            self.program.nodes[d.item],
            self.program.node_tree.path(d.item),
            data,
            element - d.index * own.per_leaf,
            self._openings(d, element, events),
        )
        return "proved an element"
