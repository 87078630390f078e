"""Shared libraries made of C by the host's compiler, once per machine, and kept in a cache.

A library's key is a digest of everything that its code depends on: sources, headers, flags, the
compiler and the processor's features as the compiler sees them. `kept` keeps it under that key.
"""

import ctypes
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from worker.exact.native import coefficients
from worker.exact.native.kept import kept

HERE = Path(__file__).parent
FLAGS = (
    "-O3",
    # Each rounding is part of the result: no fused multiply-add, and never -ffast-math or a part of
    # it. What errno and the exception flags say is read by nobody.
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fPIC",
    "-std=gnu11",
    "-pthread",
)
if sys.platform == "darwin":
    LINK = ("-shared", "-undefined", "dynamic_lookup")
else:
    # Calls within a library stay within it, whatever else the process has loaded.
    LINK = ("-shared", "-Wl,-Bsymbolic")
REMEDY = "Install one (Debian: apt install gcc; macOS: xcode-select --install) or set CC to it."


class NoCompiler(RuntimeError):
    """This host has no working C compiler."""


class CompileError(RuntimeError):
    """The compiler refused a source: a mistake of ours, not of the host."""


@dataclass(frozen=True)
class Compiler:
    """A C compiler that works here."""

    command: tuple[str, ...]
    native: str
    """The flag that lets it use all of this processor."""
    identity: str
    """Its version and all that it knows of the target, the processor's features among it."""


@cache
def compiler() -> Compiler:
    """The compiler in CC, or else cc, gcc or clang. Raises `NoCompiler` if none of them works."""
    named = os.environ.get("CC")
    commands = [shlex.split(named)] if named else [["cc"], ["gcc"], ["clang"]]
    tried = []
    for command in commands:
        if not command or shutil.which(command[0]) is None:
            tried.append(f"{shlex.join(command)}: not found")
            continue
        for native in ("-march=native", "-mcpu=native"):  # some compilers for ARM know the second
            probe = [*command, *FLAGS, native, "-dM", "-E", "-x", "c", os.devnull]
            found = subprocess.run(probe, capture_output=True, text=True)
            if found.returncode == 0:
                version = subprocess.run([*command, "--version"], capture_output=True, text=True)
                return Compiler(tuple(command), native, version.stdout + found.stdout)
        tried.append(f"{shlex.join(command)}: {found.stderr.strip()[:200]}")
    raise NoCompiler(f"no C compiler works here ({'; '.join(tried)}). {REMEDY}")


def library(
    sources: Sequence[Path | str],
    *,
    flags: Sequence[str] = (),
    native: bool = True,
    shared: bool = False,
) -> ctypes.CDLL:
    """The shared library of C sources: files, or texts, which may include this folder's headers.

    If `shared`, libraries loaded later may call what this one defines. `flags` come after `FLAGS`;
    without `native` the code runs on any processor of its kind. Raises `NoCompiler`,
    `CompileError`, or OSError where nothing can be written at all.
    """
    chosen = compiler()
    command = [*chosen.command, *FLAGS, *([chosen.native] if native else []), *flags]
    texts = [s.read_text() if isinstance(s, Path) else s for s in sources]
    headers = "".join(path.read_text() for path in sorted(HERE.glob("*.h"))) + coefficients.header()
    base = (chosen.identity, shlex.join(command), headers)
    keys = [_digest(*base, text) for text in texts]

    def link(target: Path) -> None:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = pool.map(lambda pair: _object(command, *pair), zip(keys, texts, strict=True))
            _run([*command, *LINK, *map(str, objects), "-lm", "-o", str(target)])

    whole = kept(_digest(*keys), ".so", link)
    return ctypes.CDLL(str(whole), ctypes.RTLD_GLOBAL if shared else ctypes.RTLD_LOCAL)


def _object(command: list[str], key: str, text: str) -> Path:
    """The object file of a C text."""

    def compile_to(target: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "source.c"
            source.write_text(text)
            (Path(folder) / coefficients.NAME).write_text(coefficients.header())
            include = ["-I", folder, "-I", str(HERE)]
            _run([*command, *include, "-c", str(source), "-o", str(target)])

    return kept(key, ".o", compile_to)


def _run(command: list[str]) -> None:
    made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode != 0:
        raise CompileError(f"{shlex.join(command)}:\n{made.stderr.strip()[:4000]}")


def _digest(*parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}:".encode() + part.encode())
    return digest.hexdigest()[:32]
