"""Write the ABIs that the worker speaks by, from what ape compiled."""

from __future__ import annotations

import json
from pathlib import Path

import click

from scripts._contracts import CHECKERS, RANDOMNESS

FOLDER = Path(__file__).parent.parent / "worker" / "chain" / "abi"

# What each file is made of. All checkers raise one interface's errors.
SOURCES = {
    "Market": ["Market"],
    "Disputes": ["Disputes"],
    "Court": ["Court"],
    "Stakes": ["Stakes"],
    "Verifiers": ["Verifiers"],
    "Token": ["TestToken"],
    "Checker": list(CHECKERS),
    "Randomness": list(RANDOMNESS.values()),
}


def make_abi(contracts: list[str]) -> str:
    """The entries of these contracts, each once, in an order that sources do not change."""
    from ape import project

    found: dict[str, dict] = {}
    for contract in contracts:
        for entry in getattr(project, contract).contract_type.model_dump(mode="json")["abi"]:
            if entry["type"] in ("function", "event", "error"):
                found.setdefault(json.dumps(entry, sort_keys=True), entry)
    ordered = sorted(found.values(), key=lambda e: (e["type"], e["name"], json.dumps(e)))
    lines = ",\n".join(f"  {json.dumps(entry)}" for entry in ordered)
    return f"[\n{lines}\n]\n"


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; fail where a file is not up to date.")
def cli(check: bool) -> None:
    """Write worker/chain/abi/*.json from the compiled contracts.

    Run it after a change to a contract's functions, events or errors.
    """
    stale = []
    for name, contracts in SOURCES.items():
        path = FOLDER / f"{name}.json"
        made = make_abi(contracts)
        if path.exists() and path.read_text() == made:
            continue
        stale.append(path.name)
        if not check:
            path.write_text(made)
    if check and stale:
        raise click.ClickException(
            f"stale in worker/chain/abi: {', '.join(stale)}; write them anew with: ape run make_abi"
        )
    click.echo(f"{len(SOURCES) - len(stale)} of {len(SOURCES)} up to date", nl=False)
    click.echo(f", written: {', '.join(stale)}" if stale else "")
