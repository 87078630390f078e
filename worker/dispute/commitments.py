"""A list of tensors with everything that a dispute about it can ask for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from torch import Tensor

from worker.commit import TensorCommitment, Tree, commit_tensor, list_leaf, list_tree


class CommittedList:
    """A state, a data set or a trace: its list tree, and each tensor's element tree."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.tensors = [commit_tensor(t) for t in tensors]

    def __getitem__(self, index: int) -> TensorCommitment:
        return self.tensors[index]

    def __len__(self) -> int:
        return len(self.tensors)

    @cached_property
    def tree(self) -> Tree:
        return list_tree([t.item for t in self.tensors])

    @property
    def root(self) -> bytes:
        return self.tree.root

    def leaf(self, index: int) -> bytes:
        """The list leaf of tensor `index`."""
        return list_leaf(index, self.tensors[index].item)
