"""Artifacts by the commitment they are verified by, over any filesystem that fsspec knows."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import safetensors.torch
import torch
from fsspec.implementations.local import LocalFileSystem
from safetensors import SafetensorError

from worker.commit import state_root
from worker.disk import flush
from worker.redaction import conceal_url, scrub, shown_url

log = logging.getLogger(__name__)

# Filesystems on which a file appears whole, when it is closed. On others it is written beside its
# place and renamed.
APPEARS_WHOLE = {"memory", "s3", "s3a", "gs", "gcs", "abfs", "az", "adl"}

Verify = Callable[[bytes], bytes]
Root = Callable[[Sequence[torch.Tensor]], bytes]


class StoreError(Exception):
    """Base of what a store raises."""


class Missing(StoreError):
    """Nothing is stored at an address."""

    def __init__(self, kind: str, address: bytes, url: str) -> None:
        super().__init__(
            f"there is no {kind} {address.hex()} in {url}; whoever committed to it must publish it"
        )
        self.kind = kind
        self.address = address


class Corrupt(StoreError):
    """What is stored at an address is not what the address commits to."""

    def __init__(self, kind: str, address: bytes, computed: bytes | None, why: str = "") -> None:
        found = (
            f"commits to {computed.hex()}" if computed is not None else f"cannot be read ({why})"
        )
        super().__init__(f"what is stored as {kind} {address.hex()} {found}; fetch it elsewhere")
        self.kind = kind
        self.address = address
        self.computed = computed


class TooLarge(StoreError):
    """What is stored at an address is larger than anything that was asked for there can be."""

    def __init__(self, kind: str, address: bytes, url: str, most: int) -> None:
        super().__init__(
            f"what is stored as {kind} {address.hex()} in {url} has more than {most} bytes, which "
            f"is more than a {kind} that is asked for here may have; it is not read"
        )
        self.kind = kind
        self.address = address


class Unreadable(StoreError):
    """The store does not hand out what it has: a file's mode, a server that does not answer."""


class Unwritable(StoreError):
    """The store does not take what it is given, and does not have it already."""


def stored_size(elements: int, tensors: int) -> int:
    """The most bytes that an artifact of so many tensors may have.

    elements: bytes of all their elements. The rest is what safetensors says of them: names, types
    and shapes, 2 KiB a tensor, and 64 KiB.
    """
    return elements + 2048 * tensors + (1 << 16)


class Store:
    """Artifacts at `<url>/<kind>/<first two digits>/<address>`.

    An artifact is read whole or not at all, however many write it at once and whenever a writer is
    killed: on a filesystem it is written beside its place, flushed to the disk and renamed. What is
    read is verified every time, so the store, and whoever else writes to it, need not be trusted.

    url: anything that fsspec opens: a folder, `memory://name`, `s3://bucket/prefix`. cache: a local
    folder for what comes from a slow store. root: the list root of tensors.
    """

    def __init__(self, url: str, cache: str | Path | None = None, root: Root = state_root) -> None:
        self._fs, self._base = fsspec.core.url_to_fs(url.rstrip("/"))
        # as messages name it: a bucket and a folder are no secret, a password and a token are
        self.url = url.rstrip("/")
        if re.match(r"^(https?|.*@|.*\?)", self.url) and "://" in self.url:
            conceal_url(self.url)
            self.url = shown_url(self.url)
        self._cache = Store(str(cache), root=root) if cache is not None else None
        self._root = root

    @property
    def _is_local(self) -> bool:
        return isinstance(self._fs, LocalFileSystem)

    def path(self, kind: str, address: bytes) -> str:
        """Where an artifact is, as the filesystem names it."""
        if len(address) != 32:
            raise ValueError(f"an address has 32 bytes, and {address.hex()!r} has {len(address)}")
        if not kind.isidentifier():
            raise ValueError(f"{kind=} must be a plain word: it names a folder")
        name = address.hex()
        return f"{self._base}/{kind}/{name[:2]}/{name}"

    def has(self, kind: str, address: bytes) -> bool:
        """Something is stored there; only reading it tells whether it is right."""
        return bool(self._fs.exists(self.path(kind, address)))

    def probe(self) -> None:
        """Writes a small file, reads it and removes it: `Unwritable` or `Unreadable` if not."""
        path = f"{self._base}/probe/{uuid4().hex}"
        text = b"written by a worker of Assay, to see whether it can"
        try:
            self._write(path, text)
        except Exception as error:
            raise Unwritable(
                f"{self.url} cannot be written to: {_told(error)}; make room there, let this user "
                "write, or name another store"
            ) from error
        try:
            if self._fs.cat_file(path) != text:
                raise OSError("it gives back other bytes than it was given")
            self._fs.rm(path)
        except Exception as error:
            raise Unreadable(
                f"{self.url} does not give back what it took: {_told(error)}; let this user read "
                "and remove there, or name another store"
            ) from error

    # --- bytes -----------------------------------------------------------------------------------

    def put_bytes(self, kind: str, address: bytes, data: bytes) -> None:
        """Stores `data`. It is up to the caller that `address` is what it commits to."""
        path = self.path(kind, address)
        try:
            self._write(path, data)
        except Exception as error:
            self._unwritten(kind, address, error, lambda: self._holds(kind, address, data))

    def get_bytes(
        self, kind: str, address: bytes, verify: Verify, most: int | None = None
    ) -> bytes:
        """The bytes for which `verify` computes `address`.

        most: bytes that are read at all; who stored them is a stranger. Raises `Missing`,
        `TooLarge`, `Unreadable`, or `Corrupt` when `verify` computes another address or raises
        ValueError.
        """

        def checked(data: bytes) -> bytes:
            try:
                computed = verify(data)
            except (ValueError, KeyError, TypeError) as error:
                raise Corrupt(kind, address, None, str(error)) from error
            if computed != address:
                raise Corrupt(kind, address, computed)
            return data

        return self._get(kind, address, checked, most)

    # --- tensors ---------------------------------------------------------------------------------

    def put_tensors(
        self,
        kind: str,
        tensors: Sequence[torch.Tensor],
        address: bytes | None = None,
    ) -> bytes:
        """Stores a list of tensors as safetensors, and returns its list root: its address.

        They are called by their places, "0", "1", ..: a name is no part of a commitment, so that
        whoever stores could give any.

        address: the list root, where the caller has it: it is up to the caller that it is right.
        """
        address = self._root(tensors) if address is None else address
        path = self.path(kind, address)
        prepared = _without_shared_memory(tensors)
        try:
            if self._is_local:
                self._replace(path, lambda temporary: _save(prepared, temporary))
            else:
                self._write(path, safetensors.torch.save(prepared))
        except Exception as error:
            self._unwritten(kind, address, error, lambda: self.get_tensors(kind, address))
        return address

    def get_tensors(self, kind: str, root: bytes, most: int | None = None) -> list[torch.Tensor]:
        """The tensors whose list root is `root`, in order; another `StoreError` otherwise.

        most: bytes that are read at all, see `stored_size`.
        """

        def checked(data: bytes) -> list[torch.Tensor]:
            try:
                tensors = _read(data)
                computed = self._root(tensors)
            except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
                raise Corrupt(kind, root, None, str(error)) from error
            if computed != root:
                raise Corrupt(kind, root, computed)
            return tensors

        found: list[torch.Tensor] = self._get(kind, root, checked, most)
        return found

    # --- reading and writing ---------------------------------------------------------------------

    def _get(
        self, kind: str, address: bytes, checked: Callable[[bytes], Any], most: int | None
    ) -> Any:
        if self._cache is not None:
            try:
                return self._cache._get(kind, address, checked, most)
            except Missing:
                pass
            except StoreError as error:
                log.warning("the cache does not serve, fetching again", extra={"error": str(error)})
        data = self._read(kind, address, most)
        value = checked(data)
        if self._cache is not None:
            try:
                self._cache.put_bytes(kind, address, data)
            except Unwritable as error:
                log.warning("not kept in the cache", extra={"error": str(error)})
        return value

    def _read(self, kind: str, address: bytes, most: int | None) -> bytes:
        path = self.path(kind, address)
        try:
            with self._fs.open(path, "rb") as file:
                data: bytes = file.read() if most is None else file.read(most + 1)
        except Exception as error:  # whatever a filesystem's library raises
            cause = _first_cause(error)
            gone = getattr(cause, "status", None) in (404, 410)  # aiohttp's, of fsspec's HTTP
            if gone or isinstance(cause, FileNotFoundError):
                raise Missing(kind, address, self.url) from None
            raise Unreadable(
                f"{kind} {address.hex()} cannot be read from {self.url}: {_told(cause)}; let this "
                "user read it, or see why the store does not answer"
            ) from error
        if most is not None and len(data) > most:
            raise TooLarge(kind, address, self.url, most)
        return data

    def _holds(self, kind: str, address: bytes, data: bytes) -> None:
        """Raises StoreError where other bytes than `data`, or none, are stored at the address."""
        if self._read(kind, address, len(data)) != data:
            raise Corrupt(kind, address, None, "other bytes are stored there")

    def _unwritten(
        self, kind: str, address: bytes, error: Exception, look: Callable[[], Any]
    ) -> None:
        """What a failed write comes to: nothing, where the same is stored there already."""
        try:
            look()
        except StoreError:
            raise Unwritable(
                f"{kind} {address.hex()} cannot be written to {self.url}: {_told(error)}; make "
                "room there, let this user write, or name another store"
            ) from error

    def _write(self, path: str, data: bytes) -> None:
        if self._is_local:
            self._replace(path, lambda temporary: Path(temporary).write_bytes(data))
        elif set(_protocols(self._fs)) & APPEARS_WHOLE:
            self._fs.makedirs(self._fs._parent(path), exist_ok=True)
            self._fs.pipe_file(path, data)
        else:
            self._fs.makedirs(self._fs._parent(path), exist_ok=True)
            temporary = _beside(path)
            self._fs.pipe_file(temporary, data)
            self._fs.mv(temporary, path)

    def _replace(self, path: str, write: Callable[[str], Any]) -> None:
        """Local files: written beside their place, flushed, and renamed over it."""
        folder = os.path.dirname(path)
        os.makedirs(folder, exist_ok=True)
        temporary = _beside(path)
        try:
            # others read it, under other users: its mode is a new file's, whatever `write` makes
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            mode = os.fstat(handle).st_mode
            os.close(handle)
            write(temporary)
            os.chmod(temporary, mode)
            flush(temporary)
            os.replace(temporary, path)
        finally:
            if os.path.exists(temporary):
                os.unlink(temporary)
        flush(folder)


def _first_cause(error: BaseException) -> BaseException:
    """What an error was raised from: over HTTP a server that does not answer is `not found` too."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _told(error: BaseException) -> str:
    """An error of some library in words: what the system says of it, else its own."""
    if isinstance(error, OSError) and error.strerror:
        return scrub(error.strerror)
    return scrub(f"{type(error).__name__}: {error}")


def _beside(path: str) -> str:
    folder, name = path.rsplit("/", 1)
    return f"{folder}/.{name}.{uuid4().hex}"


def _protocols(fs: Any) -> Sequence[str]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol


def _save(tensors: dict[str, torch.Tensor], path: str) -> None:
    safetensors.torch.save_file(tensors, path)


def _without_shared_memory(tensors: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    """By their places: on the CPU, contiguous, and no two in one storage, as safetensors asks."""
    prepared = {}
    storages = set()
    for place, tensor in enumerate(tensors):
        plain = tensor.detach().cpu().contiguous()
        storage = plain.untyped_storage()
        if storage.data_ptr() in storages or storage.nbytes() != plain.nbytes:
            plain = plain.clone()
        storages.add(plain.untyped_storage().data_ptr())
        prepared[str(place)] = plain
    return prepared


def _read(data: bytes) -> list[torch.Tensor]:
    tensors = safetensors.torch.load(data)  # judges the header first
    places = [str(k) for k in range(len(tensors))]
    if tensors.keys() != set(places):
        raise ValueError("its tensors are not called by their places")
    return [tensors[place] for place in places]
