"""What is kept of compiled code is loaded whole or made again, whatever the disk has done to it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chain.chains import ROOT
from worker.exact.native import build, kept


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv(kept.ENVIRONMENT, str(tmp_path / "cache"))
    return tmp_path / "cache"


def number(value: int) -> int:
    return build.library([f"int assay_number(void) {{ return {value}; }}"]).assay_number()


SCRIPT = """
import sys
from worker.exact.native import build
print(build.library([sys.argv[1]]).assay_number())
"""


def in_a_process_of_its_own(text: str, **environment: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, text],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (done.returncode, done.stderr)
    return done.stdout.strip(), done.stderr


@pytest.mark.parametrize("left", [0, 5000])
def test_a_file_that_was_cut_short_is_made_again(folder, caplog, left):
    """Protects from SIGBUS at every start, after a disk was full or lost its power."""
    text = "int assay_number(void) { return 7; }"
    cache = str(folder)
    assert in_a_process_of_its_own(text, ASSAY_CACHE=cache)[0] == "7"
    files = sorted(folder.iterdir())
    assert sorted(p.suffix for p in files) == [".o", ".so"]
    before = {p.name for p in files}
    for path in files:
        with path.open("r+b") as file:
            file.truncate(left)
    said, errors = in_a_process_of_its_own(text, ASSAY_CACHE=cache)
    assert said == "7" and errors.count("is damaged and is made again") == 2
    assert {p.name for p in folder.iterdir()} == before


def test_where_nothing_can_be_kept_code_still_runs_and_the_log_says_so(tmp_path):
    """Protects workers in containers: without a folder to write to they compile, and do not die."""
    (tmp_path / "file").write_text("")
    cache = str(tmp_path / "file" / "cache")
    said, errors = in_a_process_of_its_own(
        "int assay_number(void) { return 8; }", ASSAY_CACHE=cache
    )
    assert said == "8"
    assert errors.count("is compiled again at every start") == 1
    assert cache in errors and "ASSAY_CACHE" in errors


def test_no_home_is_a_reason_to_keep_nothing(monkeypatch, caplog):
    """Protects workers whose user has no home: the folder of this process serves."""

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv(kept.ENVIRONMENT, raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    kept._own.cache_clear()
    assert kept.cache_folder().is_dir()
    assert number(21) == number(21) == 21
    assert caplog.text.count("Could not determine home directory") == 1


def test_what_a_read_only_cache_holds_is_used(folder, monkeypatch, caplog):
    """Protects images that bring their compiled code: they need no folder to write to."""
    assert number(31) == 31
    kept._unwritable.cache_clear()
    monkeypatch.setattr(kept, "_unwritable", lambda folder: f"{folder} is read-only")
    monkeypatch.setattr(build, "_run", lambda *_: pytest.fail("made again"))
    assert number(31) == 31
    assert not caplog.records
