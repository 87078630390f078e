"""Roles to test the daemon with. Everything they go by is on the chain or in a folder."""

import os
import time
from pathlib import Path

ENOUGH = 3


class Minter:
    """Mints until it has three. Minting twice shows in the balance for ever."""

    name = "minter"

    def __init__(self, clients):
        self.clients = clients

    def tick(self):
        token, me = self.clients.token, self.clients.address
        if token.balance_of(me) >= ENOUGH:
            return False
        token.mint(me, 1)
        return True


class Slow:
    """One tick that lasts until the file `go` is there."""

    name = "slow"

    def __init__(self, folder):
        self.folder = folder

    def tick(self):
        (self.folder / "began").touch()
        while not (self.folder / "go").exists():
            time.sleep(0.01)
        (self.folder / "finished").touch()
        return True


class Idle:
    """Has nothing to do."""

    name = "idle"

    def tick(self):
        return False


class Broken:
    """Raises, always."""

    name = "broken"

    def tick(self):
        raise RuntimeError("out of order")


def _folder():
    return Path(os.environ["STUB_FOLDER"])


def minter(config, clients, store, *, secret, metrics, stop):
    assert len(secret) == 32
    return [Minter(clients)]


def slow(config, clients, store, *, secret, metrics, stop):
    return [Slow(_folder())]


def idle(config, clients, store, *, secret, metrics, stop):
    return [Idle()]


def broken(config, clients, store, *, secret, metrics, stop):
    return [Broken(), Minter(clients)]
