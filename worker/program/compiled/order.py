"""In which order the groups of a step are run."""

from __future__ import annotations

from worker.program.codes import Kind, Source
from worker.program.compiled.groups import Grouping, itemsize


def ordered(grouping: Grouping) -> list[int]:
    """The groups so that each comes after what it needs.

    One that frees more memory than it takes comes as soon as it can: a weight's gradient before the
    backward goes on, as the activations that it reads are read no more. But what makes a state's
    next value waits for all who read the state, over which it may then be written.
    """
    return _Order(grouping).found()


class _Order:
    def __init__(self, grouping: Grouping) -> None:
        self.needs = grouping.needs
        graph, home, stored = grouping.graph, grouping.home, grouping.stored()
        outputs = set(graph.outputs)
        # outputs have memory of their own
        self.size = {
            n: 0 if n in outputs else graph.nodes[n].count * itemsize(graph.nodes[n].dtype)
            for n in stored
        }
        count = len(grouping.groups)
        self.reads: list[set[int]] = [set() for _ in range(count)]
        self.takes = [0] * count
        for n, g in home.items():
            self.takes[g] += self.size.get(n, 0)
        states = {
            graph.outputs[node.attributes[0]]: n
            for n, node in enumerate(graph.nodes)
            if node.kind == Kind.SOURCE and node.fn == Source.STATE
        }
        self.follows: list[set[int]] = [set() for _ in range(count)]  # states, by who succeeds them
        for made, state in states.items():
            if made in home:
                self.follows[home[made]].add(state)
        self.readers: dict[int, set[int]] = {n: set() for n in (*stored, *states.values())}
        for n, g in home.items():
            for o in graph.operands[n]:
                if o in self.readers and home.get(o) != g:
                    self.reads[g].add(o)
                    self.readers[o].add(g)
        self.waiting = [set(needs) for needs in self.needs]
        self.users: list[list[int]] = [[] for _ in range(count)]
        for g, needs in enumerate(self.needs):
            for h in needs:
                self.users[h].append(g)
        self.done: dict[int, None] = {}

    def found(self) -> list[int]:
        for g in self._as_made():
            stack = [g]
            while stack:
                g = stack.pop()
                if g not in self.done:
                    stack += sorted(self._run(g), key=self._gain)
        return list(self.done)

    def _run(self, g: int) -> list[int]:
        """Runs a group; which ones can now follow it at once."""
        self.done[g] = None
        for user in self.users[g]:
            self.waiting[user].discard(g)
        near = set(self.users[g])
        for n in self.reads[g]:
            self.readers[n].discard(g)
            near |= self.readers[n]
        return [h for h in near if h not in self.done and self._can_run(h) and self._gain(h) > 0]

    def _can_run(self, g: int) -> bool:
        return not self.waiting[g] and all(self.readers[n] <= {g} for n in self.follows[g])

    def _gain(self, g: int) -> int:
        """Bytes that are free after the group, of those that were not before it."""
        last = (n for n in self.reads[g] if len(self.readers[n]) == 1)
        return sum(self.size.get(n, 0) for n in last) - self.takes[g]

    def _as_made(self) -> list[int]:
        """The groups as they were made, but each after what it needs."""
        done: list[int] = []
        state = [0] * len(self.needs)
        for root in range(len(self.needs)):
            stack = [root]
            while stack:
                g = stack[-1]
                if state[g] == 0:
                    state[g] = 1
                    stack.extend(h for h in sorted(self.needs[g], reverse=True) if state[h] == 0)
                    continue
                stack.pop()
                if state[g] == 1:
                    state[g] = 2
                    done.append(g)
        return done
