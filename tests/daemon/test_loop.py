"""Rounds, rests and ends, without a chain."""

import logging
import threading
from types import SimpleNamespace

import pytest
from eth_account import Account

from worker import daemon, lanes
from worker.chain import DryRun, Stale, Unconfirmed
from worker.daemon import Daemon, locked, secret_of
from worker.metrics import Metrics
from worker.places import Busy


class Role:
    """Does what a script says: True, False, or an exception to raise; then nothing more."""

    def __init__(self, name, *script):
        self.name = name
        self.script = list(script)
        self.ticks = 0

    def tick(self):
        self.ticks += 1
        step = self.script.pop(0) if self.script else False
        if isinstance(step, Exception):
            raise step
        return step() if callable(step) else step


class Sender:
    def __init__(self, *script):
        self.script = list(script)

    @property
    def pending(self):
        return bool(self.script)

    def reconcile(self):
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step


@pytest.fixture
def make():
    """A daemon, and a clock that the test turns."""

    def build(*roles, sender=None):
        clock = SimpleNamespace(now=0.0)
        clients = SimpleNamespace(sender=sender or Sender())
        made = Daemon(roles, clients, Metrics(), poll_seconds=2.0, clock=lambda: clock.now)
        return made, clock

    return build


def sample(made, name, **labels):
    return made._metrics.registry.get_sample_value(name, labels)


def test_a_role_ticks_until_it_has_nothing_to_do(make):
    busy, idle = Role("busy", True, True), Role("idle")
    made, _ = make(busy, idle)
    made.round()
    assert (busy.ticks, idle.ticks) == (3, 1)
    assert sample(made, "assay_ticks_total", role="busy", outcome="done") == 2
    assert sample(made, "assay_ticks_total", role="busy", outcome="idle") == 1
    assert made.failing == []


def test_a_failing_role_rests_longer_each_time_and_the_others_go_on(make):
    broken = Role("broken", *(RuntimeError("no") for _ in range(20)))
    well = Role("well")
    made, clock = make(broken, well)
    rests = []
    for _ in range(12):
        made.round()
        before, clock.now = clock.now, clock.now + 0.5
        while broken.ticks == len(rests) + 1:
            clock.now += 0.5
            made.round()
        rests.append(clock.now - before)
    assert rests[:4] == [2, 4, 8, 16]
    assert max(rests) == lanes.LONGEST_BACKOFF
    assert well.ticks > broken.ticks
    assert made.failing == ["broken"]
    assert sample(made, "assay_errors_total", kind="RuntimeError") == broken.ticks


def test_success_ends_the_rests(make):
    role = Role("role", RuntimeError("no"), RuntimeError("no"), False, RuntimeError("no"))
    made, clock = make(role)
    for seconds in (2, 4, 2):
        made.round()
        clock.now += seconds
    assert made.failing == []
    made.round()
    clock.now += 2  # as after the first failure
    made.round()
    assert role.ticks == 5


def test_dry_mode_is_no_failure(make, caplog):
    role = Role("role", DryRun("market.bid", "0xabc"))
    made, _ = make(role)
    with caplog.at_level(logging.INFO, "worker"):
        made.round()
    assert role.ticks == 1
    assert made.failing == []
    assert "dry mode: market.bid would be sent" in caplog.text


def test_after_a_stale_decision_the_role_looks_again(make):
    role = Role("role", Stale("an older transaction was settled first"), True)
    made, _ = make(role)
    made.round()
    assert role.ticks == 3
    assert made.failing == []


def test_no_role_acts_while_a_transaction_is_open(make):
    role = Role("role", True)
    made, clock = make(role, sender=Sender(Unconfirmed("not mined"), None))
    made.round()
    assert role.ticks == 0
    made.round()  # the sender rests
    assert role.ticks == 0
    clock.now += 2
    made.round()
    assert role.ticks == 2


def test_a_role_without_end_lets_the_others_play(make):
    endless, other = Role("endless", *(True for _ in range(5000))), Role("other")
    made, _ = make(endless, other)
    made.round()
    assert (endless.ticks, other.ticks) == (lanes.TICKS_A_ROUND, 1)


def test_stopping_ends_the_round_after_the_tick(make):
    stop = threading.Event()
    first = Role("first", lambda: stop.set() or True, True)
    second = Role("second", True)
    made, _ = make(first, second)
    made.stop = stop
    made.run()
    assert (first.ticks, second.ticks) == (1, 0)


def test_once_is_one_round(make):
    role = Role("role", True)
    made, _ = make(role)
    made.run(once=True)
    assert role.ticks == 2
    assert sample(made, "assay_pulse_seconds") > 0


# --- locks and secrets ---------------------------------------------------------------------------


def test_a_lock_is_held_by_one_and_freed(tmp_path):
    path = tmp_path / "folder" / "lock"
    with (
        locked(path, "the folder"),
        pytest.raises(Busy, match=r"the folder is in use .* \(process \d+\)"),
        locked(path, "the folder"),
    ):
        pass
    with locked(path, "the folder"):
        pass


def test_the_keys_lock_is_in_a_folder_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = daemon.key_lock(5, "0xAB")
    assert path == daemon.key_lock(5, "0xab") != daemon.key_lock(6, "0xab")
    assert path.parent.stat().st_mode & 0o777 == 0o700
    path.parent.rename(tmp_path / "elsewhere")
    path.parent.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Busy, match="belongs to somebody else"):
        daemon.key_lock(5, "0xab")


def test_the_secret_follows_from_the_key_alone():
    one, other = Account.create(), Account.create()
    assert secret_of(one) == secret_of(Account.from_key(one.key))
    assert secret_of(one) != secret_of(other)
    assert len(secret_of(one)) == len(secret_of(None)) == 32
    assert bytes(one.key) not in secret_of(one)
    assert secret_of(None) != secret_of(None)


def test_roles_are_found_by_name():
    assert daemon.load_build("tests.daemon.roles:idle").__name__ == "idle"
    assert daemon.load_build().__name__ == "build"
