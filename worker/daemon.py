"""The loop that plays a worker's roles until it is told to stop."""

from __future__ import annotations

import fcntl
import hmac
import importlib
import logging
import os
import signal
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Protocol

from eth_account.signers.local import LocalAccount

from worker.chain import (
    ZERO_ADDRESS,
    Clients,
    Deployment,
    connect,
    open_rpc,
)
from worker.config import Config, key_file
from worker.lanes import Daemon, Role
from worker.metrics import Metrics
from worker.places import Busy, check_folders, held_key

if TYPE_CHECKING:
    from worker.store import Store

log = logging.getLogger(__name__)

BUILD = "worker.roles:build"


class Build(Protocol):
    """What makes the roles: `worker.roles.build`.

    secret: 32 bytes that only this key's holder knows, the same after every restart and on every
    machine. stop: set when the daemon is to end; a long tick may look at it and end early.
    """

    def __call__(
        self,
        config: Config,
        clients: Clients,
        store: Store,
        *,
        secret: bytes,
        metrics: Metrics,
        stop: threading.Event,
    ) -> Sequence[Role]: ...


def load_build(name: str = BUILD) -> Build:
    """`module:function`. Imported late: roles bring torch and more with them."""
    module, _, function = name.partition(":")
    build: Build = getattr(importlib.import_module(module), function)
    return build


# --- one daemon for each folder and each key ---------------------------------------------------


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Holds a file's lock, which the system frees however the process ends; else `Busy`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(
                f"{what} is in use by another daemon{_holder(file)}; stop it first"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _holder(file: IO[str]) -> str:
    file.seek(0)
    process = file.read().strip()
    return f" (process {process})" if process else ""


def key_lock(chain_id: int, address: str) -> Path:
    """On this machine, the same file for whoever uses this key on this chain."""
    folder = Path(tempfile.gettempdir()) / f"assay-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        # whoever made it could have us write to a file of their choice
        raise Busy(f"{folder} belongs to somebody else; remove it, or set TMPDIR to another folder")
    return folder / f"{chain_id}-{address.lower()}.lock"


def secret_of(account: LocalAccount | None) -> bytes:
    """A secret that the key alone determines, so that losing the data folder does not lose it.

    Without a key nothing is ever committed to, so it is of no use, and as secret as it gets.
    """
    if account is None:
        return os.urandom(32)
    return hmac.digest(bytes(account.key), b"assay: the salts of journals", "sha256")


# --- connecting --------------------------------------------------------------------------------


def open_clients(
    config: Config,
    account: LocalAccount | None,
    metrics: Metrics | None = None,
    stop: threading.Event | None = None,
) -> Clients:
    """Clients for a config: checks the node, the chain and the contracts.

    stop: when it is set nothing is waited for any more.
    """
    w3 = open_rpc(config.chain.rpc, stop=stop)
    deployment = Deployment.load(config.chain.deployment)
    return connect(
        w3,
        deployment,
        account,
        address=config.worker.address or ZERO_ADDRESS,
        outbox=config.data.folder / "outbox.json",
        timeout=config.chain.timeout_seconds,
        poll=min(1.0, config.chain.poll_seconds),
        on_receipt=metrics.on_receipt if metrics else None,
        stop=stop,
    )


def open_store(config: Config) -> Store:
    """The store that the config names, with its cache."""
    from worker.store import Store  # brings torch, which takes longer than most commands

    return Store(config.data.store, cache=config.data.cache)


# --- the loop ----------------------------------------------------------------------------------


def run(
    config: Config,
    account: LocalAccount | None,
    *,
    once: bool = False,
    build: str = BUILD,
    stop: threading.Event | None = None,
) -> bool:
    """Plays the config's roles until `stop` is set. Raises `Busy` or `ChainError`.

    Returns whether every role's last tick went well. Holds the locks of the data folder and of the
    key from before the first transaction.
    """
    stop = stop or threading.Event()
    metrics = Metrics()
    with ExitStack() as held:
        check_folders(config.data)
        folder = config.data.folder
        held.enter_context(locked(folder / "lock", f"the data folder {folder}"))
        clients = open_clients(config, account, metrics, stop)
        if account:
            lock = key_lock(clients.deployment.chain_id, clients.address)
            held.enter_context(locked(lock, f"the key of {clients.address}"))
            if path := key_file(config.key):
                held.enter_context(held_key(path))
        if config.metrics.port:
            metrics.serve(config.metrics.port)
        make = load_build(build)
        roles = make(
            config,
            clients,
            open_store(config),
            secret=secret_of(account),
            metrics=metrics,
            stop=stop,
        )
        daemon = Daemon(roles, clients, metrics, poll_seconds=config.chain.poll_seconds, stop=stop)
        log.info(
            "started",
            extra={
                "address": clients.address,
                "chain": clients.deployment.chain_id,
                "roles": [role.name for role in roles],
                "dry": account is None,
            },
        )
        left = daemon.run(once=once)
        if left:
            # what they do is safe to be killed in, and Python cannot end with them in native code
            log.warning("ending in the middle of their work: %s", ", ".join(left))
        log.info("stopped")
        if left:
            logging.shutdown()
            os._exit(0)
        return not daemon.failing


def stop_on_signals(stop: threading.Event) -> None:
    """SIGTERM and SIGINT end the daemon after the current step; the second one ends it at once."""

    signals = iter(range(1 << 30))

    def handle(number: int, frame: FrameType | None) -> None:
        if next(signals):
            os._exit(128 + number)
        log.info("stopping after the current step; once more to stop at once")
        # In a thread: the main one may be inside the event's own lock while it handles a signal.
        threading.Thread(target=stop.set).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
