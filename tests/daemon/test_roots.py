"""Roots of states inside segments outlive the process, and a damaged one is never answered with."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from worker.roles.memory import Memory
from worker.roles.roots import Roots

TASK = SimpleNamespace(job=b"\1" * 32)
START = b"\2" * 32
KNOWN = {3: b"\3" * 32, 6: b"\6" * 32}


def test_what_one_process_computed_the_next_one_knows(tmp_path):
    """Protects clocks: after a restart a dispute's first answer still needs no step again."""
    Roots(tmp_path, Memory()).put(TASK, 0, START, KNOWN)
    after = Roots(tmp_path, Memory())
    assert after.get(TASK, 0, START) == KNOWN
    assert after.get(TASK, 1, START) == {}
    assert after.get(TASK, 0, b"\4" * 32) == {}


def test_what_was_asked_for_too_early_is_known_later(tmp_path):
    """Protects clocks: that nothing was known once is not remembered beyond the computing."""
    roots = Roots(tmp_path, Memory())
    assert roots.get(TASK, 0, START) == {}
    roots.put(TASK, 0, START, KNOWN)
    assert roots.get(TASK, 0, START) == KNOWN


@pytest.mark.parametrize("harm", ["{", "[]", '{"roots": {"3": "zz"}, "digest": ""}', None])
def test_a_damaged_root_is_computed_again(tmp_path, caplog, harm):
    """Protects stakes: a wrong answer loses one, so a file that does not agree is not believed."""
    Roots(tmp_path, Memory()).put(TASK, 0, START, KNOWN)
    (path,) = tmp_path.iterdir()
    text = path.read_text()
    path.write_text(text.replace("03" * 32, "04" * 32) if harm is None else harm)
    with caplog.at_level(logging.WARNING):
        assert Roots(tmp_path, Memory()).get(TASK, 0, START) == {}
    assert "damaged" in caplog.text
