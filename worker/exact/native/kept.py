"""A cache of files that are dear to make, on a disk that may be full, read-only or cut off.

A file's name is its key and a digest of its content, so what a full disk or a lost power supply has
cut short is never loaded: it is made again.
"""

from __future__ import annotations

import atexit
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from worker.disk import flush

log = logging.getLogger(__name__)

ENVIRONMENT = "ASSAY_CACHE"


def cache_folder() -> Path:
    """Where files are kept: ASSAY_CACHE, or assay/native in the user's cache folder.

    Where that cannot be written to, a folder of this process, and the log says why and what to do:
    what is found in the named one is still used.
    """
    named = _named()
    if not isinstance(named, Path):
        return _own(named)
    why = _unwritable(named)
    return _own(why) if why else named


def _named() -> Path | str:
    """The folder that is asked for, or why there is none."""
    if named := os.environ.get(ENVIRONMENT):
        return Path(named).expanduser()
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "assay" / "native"
    try:
        return Path.home() / ".cache" / "assay" / "native"
    except RuntimeError as error:  # neither HOME nor an entry in the list of users
        return str(error)


@cache
def _unwritable(folder: Path) -> str:
    """Why nothing can be kept in `folder`, or nothing. Asked once for each folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return f"{folder} cannot be written to ({error.strerror})"


@cache
def _own(why: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="assay-native-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    log.warning(
        "native code is not kept, and so is compiled again at every start: %s; set %s to a folder "
        "that this user can write to",
        why,
        ENVIRONMENT,
    )
    return folder


def kept(key: str, suffix: str, make: Callable[[Path], object]) -> Path:
    """The file of this key, whole: the one that is kept, or what `make` writes to the path it gets.

    Many processes may ask for the same one at once: each finds a whole file or makes its own.
    """
    named = _named()
    if isinstance(named, Path) and (found := _found(named, key, suffix)):
        return found
    folder = cache_folder()
    if folder != named and (found := _found(folder, key, suffix)):
        return found
    descriptor, name = tempfile.mkstemp(suffix=suffix, dir=folder)
    os.close(descriptor)
    made = Path(name)
    try:
        make(made)
        flush(made)  # a rename may reach the disk before what was written does
        target = folder / f"{key}-{_digest_of(made)}{suffix}"
        os.replace(made, target)
    finally:
        made.unlink(missing_ok=True)
    flush(folder)
    return target


def _found(folder: Path, key: str, suffix: str) -> Path | None:
    return next(
        (p for p in sorted(folder.glob(f"{key}-*{suffix}")) if _is_whole(p, key, suffix)), None
    )


def _is_whole(path: Path, key: str, suffix: str) -> bool:
    try:
        whole = path.name == f"{key}-{_digest_of(path)}{suffix}"
    except OSError as error:
        log.warning("%s cannot be read and is made again: %s", path, error)
        return False
    if not whole:
        log.warning("%s is damaged and is made again", path)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s cannot be removed: %s", path, error)
    return whole


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]
