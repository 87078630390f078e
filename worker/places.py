"""The places that a worker writes to, tried before anything depends on them; and its key's lock."""

from __future__ import annotations

import fcntl
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from worker.config import ConfigError, DataConfig

if TYPE_CHECKING:
    from worker.store import Store

log = logging.getLogger(__name__)


class Busy(Exception):
    """Another daemon has the data folder or the key."""


def check_folders(data: DataConfig) -> None:
    """Raises ConfigError for a folder of this worker's that cannot be written to."""
    named = {"data.folder": data.folder, "data.cache": data.cache}
    for name, folder in named.items():
        if folder is None:
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise ConfigError.of(
                name,
                str(folder),
                f"must be a folder that this user can write to ({error.strerror})",
                "give this user the right to, make room there, or name another",
            ) from None


def check_store(store: Store) -> None:
    """Raises ConfigError for a store that does not take an artifact or does not give it back."""
    from worker.store import StoreError  # brings torch, which takes seconds

    try:
        store.probe()
    except StoreError as error:
        raise ConfigError(f"data.store: {error}") from None


@contextmanager
def held_key(path: Path) -> Iterator[None]:
    """Holds the lock of the file that the key was read from; else `Busy`.

    Containers that share a key share its file, if nothing else: no folder of a lock. Nothing is
    written to it. Where a filesystem has no locks the log says so, and nothing is held.
    """
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(
                f"the key in {path} is in use by another daemon; stop it first, or give this one a "
                "key of its own: two senders of one key take each other's nonces"
            ) from None
        except OSError as error:
            log.info("%s cannot be locked (%s): see that one daemon uses it", path, error.strerror)
        yield
