"""Run the static analyser over every contract: `make analyse`.

slither reads the compiler's standard JSON, so it sees what ape compiles, with the same settings.
What it finds and is not answered in the code, by a comment `slither-disable` with a reason, fails.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
SLITHER = ROOT / ".cache" / "slither" / "bin" / "slither"
REQUEST = ROOT / ".cache" / "contracts.json"
# Detectors of style, not of faults; the reasons:
#   naming-convention      private names begin with an underscore, as in OpenZeppelin
#   assembly               wanted: see Float32, Merkle, Elements
#   solc-version, pragma   the compiler is pinned; OpenZeppelin's pragmas are wider
#   timestamp              deadlines and clocks are in seconds of block time: minutes at the least
#   too-many-digits        bit patterns
#   cyclomatic-complexity  dispatch on a record's function is a row of comparisons
#   shadowing-local        parameters of an interface's functions, named as its views are
#   uninitialized-local    the language sets them to zero, which is meant
#   calls-loop             of the stakes alone, and once for each finder: three
EXCLUDED = (
    "naming-convention,assembly,solc-version,pragma,timestamp,too-many-digits,"
    "cyclomatic-complexity,shadowing-local,uninitialized-local,calls-loop"
)


def request() -> dict[str, Any]:
    """The standard-JSON input with all contracts but those that only tests deploy."""
    config = yaml.safe_load((ROOT / "ape-config.yaml").read_text())["solidity"]
    paths = [p for p in (ROOT / "contracts").rglob("*.sol") if "test" not in p.parts]
    package = ROOT / "node_modules" / "@openzeppelin" / "contracts"
    sources = {p.relative_to(ROOT).as_posix(): {"content": p.read_text()} for p in sorted(paths)}
    for p in sorted(package.rglob("*.sol")):
        if "mocks" not in p.parts:
            sources[p.relative_to(ROOT).as_posix()] = {"content": p.read_text()}
    return {
        "language": "Solidity",
        "sources": sources,
        "settings": {
            "optimizer": {"enabled": False},
            "evmVersion": config["evm_version"],
            "remappings": config["import_remapping"],
            "outputSelection": {
                "*": {
                    "*": [
                        "abi",
                        "metadata",
                        "devdoc",
                        "userdoc",
                        "evm.bytecode",
                        "evm.deployedBytecode",
                    ],
                    "": ["ast"],
                }
            },
        },
    }


def main() -> int:
    REQUEST.parent.mkdir(exist_ok=True)
    REQUEST.write_text(json.dumps(request()))
    # it asks foundry for the project's settings, which it finds in npm's folder
    path = f"{ROOT / 'node_modules' / '.bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    command = [
        str(SLITHER),
        str(REQUEST),
        "--compile-force-framework",
        "solc-json",
        "--solc",
        str(ROOT / "scripts" / "solc-npm.js"),
        "--filter-paths",
        "node_modules",
        "--exclude",
        EXCLUDED,
        "--fail-low",
        "--exclude-informational",
        "--exclude-optimization",
        *sys.argv[1:],
    ]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
