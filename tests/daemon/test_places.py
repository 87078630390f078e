"""Where a worker writes is tried before money moves, and one key has one sender."""

import socket

import pytest

from worker import places
from worker.config import ConfigError, DataConfig
from worker.metrics import Metrics
from worker.store import Store


@pytest.fixture
def blocked(tmp_path):
    """A path below a file: no user can make a folder there, root neither."""
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "folder"


@pytest.mark.parametrize("name", ["folder", "cache"])
def test_a_folder_that_cannot_be_written_to_is_named(tmp_path, blocked, name):
    given = {"folder": tmp_path / "folder", "store": "store", "cache": tmp_path / "cache"}
    places.check_folders(DataConfig(**given))
    with pytest.raises(ConfigError, match=f"data.{name} = '{blocked}': must be a folder that this"):
        places.check_folders(DataConfig(**{**given, name: blocked}))


def test_a_store_that_cannot_be_written_to_is_named(tmp_path, blocked):
    for url in (str(tmp_path / "store"), "memory://probed"):
        store = Store(url)
        places.check_store(store)
        assert not store._fs.glob(f"{store._base}/probe/*")
    with pytest.raises(ConfigError, match=f"data.store: {blocked} cannot be written to"):
        places.check_store(Store(str(blocked)))


def test_a_store_that_gives_back_something_else_is_named(monkeypatch):
    store = Store("memory://other")
    monkeypatch.setattr(type(store._fs), "cat_file", lambda *_, **__: b"")
    with pytest.raises(ConfigError, match=r"does not give back what it took: .*other bytes"):
        places.check_store(store)


def test_a_key_file_has_one_daemon(tmp_path):
    """Protects nonces: containers that share a key share its file, and no other folder."""
    path = tmp_path / "key"
    path.write_text("the key")
    with (
        places.held_key(path),
        pytest.raises(places.Busy, match=f"the key in {path} is in use"),
        places.held_key(path),
    ):
        pass
    with places.held_key(path):
        assert path.read_text() == "the key"


def test_a_metrics_port_that_is_taken_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"metrics.port = {port}: must be a free port of 127"):
            Metrics().serve(port)
