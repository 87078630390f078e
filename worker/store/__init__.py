"""Content-addressed artifacts: whatever is read from a store is what its address commits to."""

from worker.store.store import (
    Corrupt,
    Missing,
    Store,
    StoreError,
    TooLarge,
    Unreadable,
    Unwritable,
    stored_size,
)

__all__ = [
    "Corrupt",
    "Missing",
    "Store",
    "StoreError",
    "TooLarge",
    "Unreadable",
    "Unwritable",
    "stored_size",
]
