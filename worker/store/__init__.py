"""Content-addressed artifacts: whatever is read from a store is what its address commits to."""

from worker.store.store import Corrupt, Missing, Store, StoreError

__all__ = ["Corrupt", "Missing", "Store", "StoreError"]
