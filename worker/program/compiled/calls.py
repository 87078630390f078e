"""A step's calls in memory, as `step.h` of worker/exact/native has them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

from worker.exact import native
from worker.program.compiled.source import Operand, Place, Product, Walk


class _Place(ctypes.Structure):
    """`assay_place`."""

    _fields_ = (("memory", ctypes.c_int64), ("offset", ctypes.c_int64))


class _Product(ctypes.Structure):
    """`assay_product`."""

    _fields_ = (
        ("a", native.Rows),
        ("b", native.Rows),
        ("sizes", ctypes.c_int64 * 4),
        ("strides", ctypes.c_int64 * 3),
        ("bits", ctypes.c_int64),
    )


class _Call(ctypes.Structure):
    """`assay_call`."""

    _fields_ = (
        ("walk", ctypes.c_void_p),
        ("product", ctypes.POINTER(_Product)),
        ("places", ctypes.POINTER(_Place)),
        ("numbers", ctypes.POINTER(ctypes.c_int64)),
        ("place_count", ctypes.c_int64),
        ("tasks", ctypes.c_int64),
        ("shared", ctypes.c_int64),
    )


class Calls:
    """The calls of a step, whose functions are in `library`.

    memories: what they read and write, kind and number, in the order in which `run` takes their
    addresses. scratch: bytes that products need besides.
    """

    def __init__(self, calls: Sequence[Walk | Product], library: ctypes.CDLL) -> None:
        self._library = library
        self._slots: dict[tuple[str, int], int] = {}
        self._addresses: dict[str, int | None] = {}
        self.scratch = 0
        self._calls = (_Call * len(calls))(
            *(self._walk(c) if isinstance(c, Walk) else self._product(c) for c in calls)
        )
        self.memories = tuple(self._slots)

    def run(self, memories: Sequence[int], scratch: int, seed: int, step: int) -> None:
        """Makes the calls. memories, scratch: addresses."""
        given = (ctypes.c_void_p * len(memories))(*memories)
        native.run_step(self._calls, len(self._calls), given, scratch, seed, step)

    def _walk(self, call: Walk) -> _Call:
        return _Call(
            walk=self._address(call.function),
            places=self._places(call.places),
            numbers=(ctypes.c_int64 * len(call.numbers))(*call.numbers),
            place_count=len(call.places),
            tasks=call.tasks,
            shared=call.shared,
        )

    def _product(self, call: Product) -> _Call:
        made = _Product(
            self._rows(call.left), self._rows(call.right), call.sizes, call.strides, call.bits
        )
        self.scratch = max(self.scratch, native.dot_scratch(made.a, made.b, call.sizes, call.bits))
        places = self._places((call.left.place, call.right.place, call.result))
        return _Call(product=ctypes.pointer(made), places=places, place_count=3)

    def _rows(self, operand: Operand) -> native.Rows:
        if operand.strides is not None:
            return native.Rows(None, *operand.strides)
        return native.Rows(load=self._address(operand.loader), k_major=operand.k_major)

    def _places(self, places: Sequence[Place]) -> ctypes.Array[_Place]:
        slots = (self._slots.setdefault((p.memory, p.number), len(self._slots)) for p in places)
        made = (_Place(slot, p.offset) for slot, p in zip(slots, places, strict=True))
        return (_Place * len(places))(*made)

    def _address(self, function: str) -> int | None:
        if function not in self._addresses:
            self._addresses[function] = ctypes.cast(self._library[function], ctypes.c_void_p).value
        return self._addresses[function]
