"""Whatever is read from a store is what its address commits to, or an error."""

import errno
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest
import safetensors.torch
import torch

from tests.chain.chains import ROOT, environment
from worker.commit import state_root
from worker.store import (
    Corrupt,
    Missing,
    Store,
    TooLarge,
    Unreadable,
    Unwritable,
    store,
    stored_size,
)


def digest(data):
    return sha256(data).digest()


@pytest.fixture(params=["folder", "memory"])
def artifacts(request, tmp_path):
    """A store on a disk, and one that stands for those far away."""
    return Store(str(tmp_path / "store") if request.param == "folder" else f"memory://{uuid4()}")


def some_tensors():
    weights = torch.arange(12, dtype=torch.float32).reshape(3, 4) / 7
    return [
        weights,
        weights.t(),  # not contiguous, and in the storage of the first
        torch.tensor([True, False, True]),
        torch.tensor(-5, dtype=torch.int64),
        weights[1],  # a part of a storage
        torch.tensor([[float("nan"), float("inf"), -0.0]]),
        torch.arange(5, dtype=torch.int32),
    ]


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a.view(-1), b.view(-1))


def spoil(artifacts, kind, address, change):
    path = artifacts.path(kind, address)
    with artifacts._fs.open(path, "rb") as file:
        data = file.read()
    with artifacts._fs.open(path, "wb") as file:
        file.write(change(data))


# --- bytes ---------------------------------------------------------------------------------------


def test_bytes_come_back(artifacts):
    data = json.dumps({"steps": [1, 2]}).encode()
    address = digest(data)
    assert not artifacts.has("journal", address)
    artifacts.put_bytes("journal", address, data)
    assert artifacts.has("journal", address)
    assert artifacts.get_bytes("journal", address, digest) == data


def test_what_was_never_stored_is_missing(artifacts):
    with pytest.raises(Missing, match=f"no journal {'ab' * 32}"):
        artifacts.get_bytes("journal", b"\xab" * 32, digest)
    with pytest.raises(Missing, match="no state"):
        artifacts.get_tensors("state", b"\xab" * 32)


def test_kinds_do_not_mix(artifacts):
    artifacts.put_bytes("journal", digest(b"x"), b"x")
    with pytest.raises(Missing):
        artifacts.get_bytes("program", digest(b"x"), digest)


@pytest.mark.parametrize("change", [lambda d: d[:-1], lambda d: b"", lambda d: d + b" "])
def test_changed_bytes_are_found(artifacts, change):
    address = digest(b"the journal")
    artifacts.put_bytes("journal", address, b"the journal")
    spoil(artifacts, "journal", address, change)
    with pytest.raises(Corrupt) as found:
        artifacts.get_bytes("journal", address, digest)
    assert found.value.address == address
    assert found.value.computed not in (address, None)


def test_what_cannot_be_judged_is_corrupt(artifacts):
    artifacts.put_bytes("journal", b"j" * 32, b"{")
    with pytest.raises(Corrupt, match="cannot be read") as found:
        artifacts.get_bytes("journal", b"j" * 32, lambda d: digest(json.loads(d)["x"]))
    assert found.value.computed is None


@pytest.mark.parametrize(
    "kind, address", [("../x", b"a" * 32), ("a/b", b"a" * 32), ("", b"a" * 32), ("state", b"a")]
)
def test_addresses_and_kinds_that_are_none_are_refused(artifacts, kind, address):
    with pytest.raises(ValueError):
        artifacts.put_bytes(kind, address, b"")


# --- tensors -------------------------------------------------------------------------------------


def test_tensors_come_back_in_order_under_their_root(artifacts):
    tensors = some_tensors()
    root = artifacts.put_tensors("state", tensors)
    assert root == state_root(tensors)
    found = artifacts.get_tensors("state", root)
    assert len(found) == len(tensors)
    assert all(
        same(a, b.contiguous()) or a.isnan().any() for a, b in zip(found, tensors, strict=True)
    )
    assert state_root(found) == root


def test_more_than_ten_tensors_keep_their_order(artifacts):
    """Protects from the order of names: as words, 10 comes before 2."""
    tensors = [torch.full((1 + k % 3,), float(k)) for k in range(25)]
    root = artifacts.put_tensors("state", tensors)
    assert root == state_root(tensors)
    assert all(map(same, artifacts.get_tensors("state", root), tensors))


@pytest.mark.parametrize("names", [["x", "y"], ["1", "2"], ["0", "01"], ["0", ""], ["0", "../1"]])
def test_tensors_of_other_names_than_their_places_are_refused(artifacts, names):
    """Protects readers: a name is no part of what an address commits to, and so says nothing."""
    tensors = [torch.ones(3), torch.zeros(2)]
    root = artifacts.put_tensors("state", tensors)
    named = safetensors.torch.save(dict(zip(names, tensors, strict=True)))
    spoil(artifacts, "state", root, lambda _: named)
    with pytest.raises(Corrupt, match="not called by their places"):
        artifacts.get_tensors("state", root)


def test_every_changed_byte_of_a_tensor_is_found(artifacts):
    root = artifacts.put_tensors("state", [torch.arange(3, dtype=torch.float32)])
    whole = artifacts._fs.cat_file(artifacts.path("state", root))
    for place in range(len(whole) - 12, len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1
        spoil(artifacts, "state", root, lambda _, new=bytes(flipped): new)
        with pytest.raises(Corrupt):
            artifacts.get_tensors("state", root)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: b"",
        lambda d: d[:7],
        lambda d: d[: len(d) // 2],
        lambda d: b"\xff" * 8 + d[8:],
        lambda d: d.replace(b'"0"', b'"a"'),
        lambda d: d.replace(b"F32", b"I32"),
        lambda d: d[:8] + b"not json" + d[16:],
    ],
)
def test_whatever_a_stranger_put_there_is_only_corrupt(artifacts, change):
    root = artifacts.put_tensors("state", [torch.ones(3), torch.zeros(2)])
    spoil(artifacts, "state", root, change)
    with pytest.raises(Corrupt):
        artifacts.get_tensors("state", root)


def test_other_tensors_at_an_address_are_named(artifacts):
    root = artifacts.put_tensors("state", [torch.ones(3)])
    other = artifacts.put_tensors("state", [torch.zeros(3)])
    data = artifacts._fs.cat_file(artifacts.path("state", other))
    spoil(artifacts, "state", root, lambda _: data)
    with pytest.raises(Corrupt, match=other.hex()) as found:
        artifacts.get_tensors("state", root)
    assert found.value.computed == other


def test_putting_again_mends(artifacts):
    tensors = [torch.ones(3)]
    root = artifacts.put_tensors("state", tensors)
    spoil(artifacts, "state", root, lambda d: d[:10])
    assert artifacts.put_tensors("state", tensors) == root
    assert same(artifacts.get_tensors("state", root)[0], tensors[0])


def test_the_root_can_be_another_commitment(tmp_path):
    other = Store(str(tmp_path), root=lambda tensors: bytes([len(tensors)]) * 32)
    assert other.put_tensors("state", [torch.ones(1), torch.ones(2)]) == b"\2" * 32


# --- the cache -----------------------------------------------------------------------------------


@pytest.fixture
def far(tmp_path):
    """A store with a cache, and what is behind it."""
    url = f"memory://{uuid4()}"
    return Store(url, cache=tmp_path / "cache"), Store(url)


def test_the_cache_answers_when_the_store_is_gone(far):
    cached, behind = far
    root = behind.put_tensors("state", [torch.ones(3)])
    cached.get_tensors("state", root)
    fsspec.filesystem("memory").rm(behind.path("state", root))
    assert same(cached.get_tensors("state", root)[0], torch.ones(3))
    with pytest.raises(Missing):
        behind.get_tensors("state", root)


def test_a_damaged_cache_is_fetched_anew(far):
    cached, behind = far
    behind.put_bytes("journal", digest(b"x"), b"x")
    cached.get_bytes("journal", digest(b"x"), digest)
    inside = cached._cache
    spoil(inside, "journal", digest(b"x"), lambda _: b"y")
    assert cached.get_bytes("journal", digest(b"x"), digest) == b"x"
    assert inside.get_bytes("journal", digest(b"x"), digest) == b"x"


def test_what_is_corrupt_is_not_cached(far):
    cached, behind = far
    behind.put_bytes("journal", b"a" * 32, b"x")
    with pytest.raises(Corrupt):
        cached.get_bytes("journal", b"a" * 32, digest)
    assert not cached._cache.has("journal", b"a" * 32)


# --- writing -------------------------------------------------------------------------------------


def files_below(folder):
    return sorted(p for p in Path(folder).rglob("*") if p.is_file())


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    artifacts = Store(str(tmp_path))
    artifacts.put_bytes("journal", digest(b"old"), b"old")

    def full(path):
        raise OSError("no space left on device")

    monkeypatch.setattr(store, "flush", full)
    with pytest.raises(Unwritable, match="no space left on device; make room"):
        artifacts.put_bytes("journal", digest(b"old"), b"new")
    assert artifacts.get_bytes("journal", digest(b"old"), digest) == b"old"
    assert len(files_below(tmp_path)) == 1


WRITER = """
import sys, torch
from worker.store import Store
torch.manual_seed(int(sys.argv[2]))
store = Store(sys.argv[1])
while True:
    print(store.put_tensors("state", [torch.rand(200_000), torch.rand(3)]).hex(), flush=True)
"""


def test_killed_while_writing_it_leaves_only_whole_artifacts(tmp_path):
    for seed in range(2):
        command = [sys.executable, "-c", WRITER, str(tmp_path), str(seed)]
        writer = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE)
        said = [writer.stdout.readline() for _ in range(3 + seed)]
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        roots = [bytes.fromhex(line.decode()) for line in said]
        artifacts = Store(str(tmp_path))
        assert all(len(artifacts.get_tensors("state", root)) == 2 for root in roots)
    for path in files_below(tmp_path):
        if not path.name.startswith("."):  # what was being written has another name
            assert len(artifacts.get_tensors("state", bytes.fromhex(path.name))) == 2


def test_many_write_and_read_the_same_address_at_once(artifacts):
    tensors = [torch.arange(50_000, dtype=torch.float32), torch.ones(3)]
    root = artifacts.put_tensors("state", tensors)
    begin = threading.Barrier(8)

    def play(player):
        begin.wait()
        for _ in range(5):
            if player % 2:
                assert artifacts.put_tensors("state", tensors) == root
            else:
                assert same(artifacts.get_tensors("state", root)[0], tensors[0])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(play, range(8)))
    assert same(artifacts.get_tensors("state", root)[1], tensors[1])


def test_a_filesystem_without_whole_files_gets_a_rename(tmp_path, monkeypatch):
    artifacts = Store(f"memory://{uuid4()}")
    monkeypatch.setattr(store, "APPEARS_WHOLE", set())
    artifacts.put_bytes("journal", digest(b"x"), b"x")
    assert artifacts.get_bytes("journal", digest(b"x"), digest) == b"x"
    folder = artifacts._fs._parent(artifacts.path("journal", digest(b"x")))
    assert len(artifacts._fs.ls(folder)) == 1


def test_what_others_are_to_read_has_the_mode_of_a_new_file(tmp_path):
    """Protects verifiers under another user: no artifact is for its owner's eyes alone."""
    artifacts = Store(str(tmp_path))
    before = os.umask(0o022)
    try:
        artifacts.put_tensors("state", [torch.ones(3)])
        artifacts.put_bytes("journal", digest(b"x"), b"x")
    finally:
        os.umask(before)
    assert [oct(p.stat().st_mode & 0o777) for p in files_below(tmp_path)] == ["0o644", "0o644"]


def test_a_store_that_takes_nothing_is_enough_where_all_is_there(tmp_path, monkeypatch):
    """Protects workers whose store has become read-only: they go on with what is published."""
    artifacts = Store(str(tmp_path))
    root = artifacts.put_tensors("state", [torch.ones(3)])
    artifacts.put_bytes("journal", digest(b"x"), b"x")

    def read_only(path, *_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Store, "_replace", read_only)
    assert artifacts.put_tensors("state", [torch.ones(3)]) == root
    artifacts.put_bytes("journal", digest(b"x"), b"x")
    with pytest.raises(Unwritable, match=f"cannot be written to {tmp_path}: Read-only file system"):
        artifacts.put_tensors("state", [torch.zeros(3)])
    with pytest.raises(Unwritable, match="Read-only"):
        artifacts.put_bytes("journal", digest(b"x"), b"y")


def test_a_file_that_may_not_be_read_is_told_as_such(artifacts, monkeypatch):
    """Protects whole roles from one file's mode, and from whatever a far store's library raises."""
    artifacts.put_bytes("journal", digest(b"x"), b"x")
    for error, said in (
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
        (
            ConnectionResetError(errno.ECONNRESET, "reset by peer"),
            "reset by peer",
        ),
        (RuntimeError("503 Slow Down"), "RuntimeError: 503 Slow Down"),
    ):

        def refused(*_, error=error, **__):
            raise error

        monkeypatch.setattr(type(artifacts._fs), "open", refused)
        with pytest.raises(Unreadable, match=f"journal .* cannot be read from .*{said}; let this"):
            artifacts.get_bytes("journal", digest(b"x"), digest)


def test_nothing_is_read_beyond_what_was_asked_for(artifacts, monkeypatch):
    """Protects memory: a stranger's file is as long as it likes, and is not read to its end."""
    root = artifacts.put_tensors("state", [torch.ones(300), torch.zeros(5)])
    most = stored_size(305 * 4, 2)
    assert len(artifacts.get_tensors("state", root, most)) == 2
    spoil(artifacts, "state", root, lambda data: data + bytes(1 << 20))
    with pytest.raises(TooLarge, match=f"more than {most} bytes.*it is not read"):
        artifacts.get_tensors("state", root, most)
    artifacts.put_bytes("journal", digest(b"x" * 100), b"x" * 100)
    with pytest.raises(TooLarge):
        artifacts.get_bytes("journal", digest(b"x" * 100), digest, most=99)
    assert artifacts.get_bytes("journal", digest(b"x" * 100), digest, most=100) == b"x" * 100


def test_a_cache_that_takes_nothing_costs_time_alone(far, monkeypatch, caplog):
    """Protects workers whose cache is full: what they need is fetched, and used."""
    cached, behind = far
    behind.put_bytes("journal", digest(b"x"), b"x")

    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store, "flush", full)
    for _ in range(2):
        assert cached.get_bytes("journal", digest(b"x"), digest) == b"x"
    assert caplog.text.count("not kept in the cache") == 2


def test_a_stores_secrets_are_in_no_message():
    """Protects keys that stand in a URL, whatever library says it again."""
    artifacts = Store("http://me:hunter2@127.0.0.1:1/v2/abcdef0123?token=opensesame")
    with pytest.raises(Unreadable) as found:
        artifacts.get_bytes("journal", b"j" * 32, digest)
    shown = f"{found.value} {artifacts.url}"
    assert "http://127.0.0.1:1/..." in shown
    assert not any(secret in shown for secret in ("hunter2", "abcdef0123", "opensesame"))


def test_a_server_that_has_nothing_is_told_from_one_that_does_not_answer(tmp_path):
    """Protects solvers: a store that is down has not lost what was published."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.log_message = lambda *_: None
    Store(str(tmp_path)).put_bytes("journal", digest(b"x"), b"x")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        artifacts = Store(f"http://127.0.0.1:{server.server_port}")
        assert artifacts.get_bytes("journal", digest(b"x"), digest) == b"x"
        with pytest.raises(Missing):
            artifacts.get_bytes("journal", digest(b"y"), digest)
        server.shutdown()
    with pytest.raises(Unreadable, match="cannot be read from http"):
        artifacts.get_bytes("journal", digest(b"x"), digest)
