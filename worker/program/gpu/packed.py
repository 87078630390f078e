"""How a product's operand is packed: whole, or some of its rows at a time."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from worker.exact.gpu.dot import Launch, packing, padded, slices_of
from worker.program.compiled.products import Rows
from worker.program.gpu.products import Windows, windows

UNIT = 128
"""Rows of one batch are cut at multiples of this, where the blocks of every kernel begin."""


@dataclass(frozen=True)
class Piece:
    """Rows of an operand, of all its batches one after the other: from `first` on, `count`."""

    first: int
    count: int


@dataclass(frozen=True)
class Packed:
    """An operand [batch, rows, k] of a product, to be packed; batch is 1 where all products have
    the same rows.

    key: the same for operands that are packed alike. strides: of batch, row and k in `node`'s
    elements from `offset` on; or, where there are none, windows.
    """

    key: Hashable
    node: int
    offset: int
    batch: int
    rows: int
    k: int
    bits: int
    strides: tuple[int, int, int] | None
    windows: Windows | None

    @property
    def whole(self) -> Piece:
        return Piece(0, self.batch * self.rows)

    @property
    def bytes(self) -> int:
        return self.bytes_of(self.whole)

    def bytes_of(self, piece: Piece) -> int:
        """What a piece takes when it is packed."""
        return piece.count * padded(self.k) * slices_of(self.bits)

    def batches(self, first: int, count: int) -> Piece:
        """So many batches, from number `first` on."""
        return Piece(first * self.rows, count * self.rows) if self.batch > 1 else self.whole

    def cut(self, parts: int) -> list[Piece]:
        """About so many pieces: whole batches, or rows of the only one."""
        unit = self.rows if self.batch > 1 else UNIT
        rows = self.whole.count
        step = -(-rows // (parts * unit)) * unit
        return [Piece(at, min(step, rows - at)) for at in range(0, rows, step)]

    def packing(self, piece: Piece) -> tuple[int, Launch, str | None]:
        """What packs a piece: the element of the node that the kernel takes for the first, its
        launch (x, packed, scales), and its text where the launch lacks the kernel."""
        batch, row = divmod(piece.first, self.rows)
        batches = -(-piece.count // self.rows)
        rows = piece.count // batches
        if self.strides is not None:
            at = self.offset + batch * self.strides[0] + row * self.strides[1]
            return at, packing(batches, rows, self.k, self.strides, self.bits)[0], None
        found = self.windows
        assert found is not None
        start = batch * found.blocks + row // found.block
        grid = (-(-rows // found.block) * batches,)
        numbers = (start, piece.first, piece.count * padded(self.k), 0)
        return 0, Launch(None, grid, numbers, warps=found.warps), found.text


def packed(rows: Rows, sizes: tuple[int, int, int], bits: int) -> Packed:
    """The operand that `rows` reads as [batch, rows, k]."""
    batch, count, k = sizes
    if rows.strides is not None:
        batch = 1 if rows.strides[0] == 0 else batch
        key: Hashable = (rows.node, rows.offset, rows.strides, batch, count, k, bits)
        return Packed(key, rows.node, rows.offset, batch, count, k, bits, rows.strides, None)
    if all(found.flat.strides[0] == 0 for _, found in rows.parts[0]) and not any(
        form.strides[0] for _, found in rows.parts[0] for form, _ in found.bounds
    ):
        batch = 1
    found = windows(rows, (batch, count, k), bits)
    key = (rows.node, found.text, batch, count)
    return Packed(key, rows.node, 0, batch, count, k, bits, None, found)
