"""A state and its root; what steps have not touched is not hashed again."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from worker.commit import list_root, tensor_item


class Checkpoint:
    """A state at a segment's end, or at its start, and the root that commits to it."""

    def __init__(
        self, root: bytes, state: Sequence[Tensor], items: Sequence[bytes | None] = ()
    ) -> None:
        self.root, self.state = root, list(state)
        self._items = list(items) or [None] * len(self.state)

    def item(self, index: int) -> bytes:
        """The item of a tensor in the state's list, hashed once."""
        found = self._items[index]
        if found is None:
            found = self._items[index] = tensor_item(self.state[index])
        return found

    def after(self, state: Sequence[Tensor]) -> Checkpoint:
        """The checkpoint that steps from this one have led to.

        Steps hand frozen weights on as they lie, and nothing writes into a state: such a tensor is
        the one that it was, and only the others are hashed.
        """
        same = [_lies_there(a, b) for a, b in zip(self.state, state, strict=True)]
        if all(same):
            return self
        items = [self.item(k) if s else tensor_item(state[k]) for k, s in enumerate(same)]
        return Checkpoint(list_root(items), state, items)


def _lies_there(a: Tensor, b: Tensor) -> bool:
    return a.data_ptr() == b.data_ptr() and a.dtype == b.dtype and a.numel() == b.numel()
