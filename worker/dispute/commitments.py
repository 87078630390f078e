"""A list of tensors with everything that a dispute about it can ask for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from torch import Tensor

from worker.commit import TensorCommitment, Tree, commit_tensor, list_leaf, list_tree, tensor_item
from worker.jobs import Replay


class CommittedList:
    """A state, a data set or a trace: its list tree, and each tensor's element tree.

    A dispute opens a handful of a trace's thousands of tensors. So each is hashed for its item
    alone; its bytes and its tree are made when they are asked for.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._tensors = dict(enumerate(tensors))
        self._opened: dict[int, TensorCommitment] = {}
        self.items = [tensor_item(tensor) for tensor in tensors]

    def __getitem__(self, index: int) -> TensorCommitment:
        if index not in self._opened:
            self._opened[index] = commit_tensor(self._tensor(index))
        return self._opened[index]

    def _tensor(self, index: int) -> Tensor:
        return self._tensors[index]

    def __len__(self) -> int:
        return len(self.items)

    def replace(self, index: int, commitment: TensorCommitment) -> None:
        """Puts another commitment in a tensor's place: how tests cheat. Before the tree is read."""
        assert "tree" not in self.__dict__, "the list's tree has been read"
        self._opened[index] = commitment
        self.items[index] = commitment.item

    @cached_property
    def tree(self) -> Tree:
        return list_tree(self.items)

    @property
    def root(self) -> bytes:
        return self.tree.root

    def leaf(self, index: int) -> bytes:
        """The list leaf of tensor `index`."""
        return list_leaf(index, self.items[index])


class CommittedTrace(CommittedList):
    """The trace of one step, of which no more is held at a time than a run of the step holds.

    A tensor that is opened is computed anew, and its operands, which are opened next, with it: that
    takes less time than memory for all of them does where a trace is gigabytes.
    """

    def __init__(self, replay: Replay, step: int) -> None:
        super().__init__(())
        self._replay, self._step = replay, step
        self.items = [tensor_item(tensor) for _, tensor in replay.walk(step)]

    def _tensor(self, index: int) -> Tensor:
        if index not in self._tensors:
            node = self._replay.computation.program.nodes[index]
            wanted = {index, *(i.node for i in node.inputs)} - self._tensors.keys()
            self._tensors.update(self._replay.walk(self._step, wanted))
        return self._tensors[index]
