"""A list of tensors with everything that a dispute about it can ask for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from torch import Tensor

from worker.commit import TensorCommitment, Tree, commit_tensor, list_leaf, list_tree, tensor_item


class CommittedList:
    """A state, a data set or a trace: its list tree, and each tensor's element tree.

    A dispute opens a handful of a trace's thousands of tensors. So each is hashed for its item
    alone; its bytes and its tree are made when they are asked for.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._tensors = list(tensors)
        self._opened: dict[int, TensorCommitment] = {}
        self.items = [tensor_item(tensor) for tensor in self._tensors]

    def __getitem__(self, index: int) -> TensorCommitment:
        if index not in self._opened:
            self._opened[index] = commit_tensor(self._tensors[index])
        return self._opened[index]

    def __len__(self) -> int:
        return len(self._tensors)

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
