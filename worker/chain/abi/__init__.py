"""The contracts' ABIs, written by `ape run make_abi`; `--check` fails when they have drifted."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

# Checker is never called from here: its errors pass through the court, and have to be read.
NAMES = ("Market", "Disputes", "Court", "Stakes", "Verifiers", "Token", "Checker", "Randomness")


@cache
def load_abi(name: str) -> list[dict[str, Any]]:
    """The ABI of one of `NAMES`."""
    if name not in NAMES:
        raise ValueError(f"no ABI is called {name=}; there are {', '.join(NAMES)}")
    return json.loads(files(__package__).joinpath(f"{name}.json").read_text())


def entries(kind: str) -> list[dict[str, Any]]:
    """All entries of one kind ("function", "event", "error") of all contracts, each once."""
    found: dict[str, dict[str, Any]] = {}
    for name in NAMES:
        for entry in load_abi(name):
            if entry["type"] == kind:
                found.setdefault(signature(entry), entry)
    return list(found.values())


def canonical_type(parameter: dict[str, Any]) -> str:
    """A parameter's type as it stands in a signature: tuples written out."""
    if not parameter["type"].startswith("tuple"):
        return parameter["type"]
    inner = ",".join(canonical_type(part) for part in parameter["components"])
    return f"({inner}){parameter['type'].removeprefix('tuple')}"


def signature(entry: dict[str, Any]) -> str:
    """Of a function, an event or an error, such as `bid(uint256,uint128)`."""
    return f"{entry['name']}({','.join(canonical_type(p) for p in entry['inputs'])})"


@cache
def find_struct(name: str) -> dict[str, Any]:
    """The parameter, with its components, that a Solidity struct is first seen as."""

    def search(parameters: list[dict[str, Any]]) -> dict[str, Any] | None:
        for parameter in parameters:
            internal = parameter.get("internalType", "").split("[")[0]
            if internal in (f"struct {name}",) or internal.endswith(f".{name}"):
                return {**parameter, "type": "tuple"} if "components" in parameter else None
            if found := search(parameter.get("components", [])):
                return found
        return None

    for contract in NAMES:
        for entry in load_abi(contract):
            found = search(entry.get("inputs", []) + entry.get("outputs", []))
            if found:
                return found
    raise ValueError(f"no function or event speaks of a struct {name=}; is the ABI stale?")
