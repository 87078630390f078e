"""Take out what the market owes, after ending what can be ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from ape import project
from ape.api import AccountAPI, ProviderAPI
from ape.cli import account_option

from scripts._shared import (
    ChainCommand,
    clients_at,
    default_payer,
    deployment_option,
    json_option,
    tasks_of,
)
from worker.chain import Clients, Randomness, Word
from worker.cli import shown


def end_own(clients: Clients, market: Any, payer: AccountAPI) -> list[tuple[int, str]]:
    """Moves on every task of this requester that waits for somebody; says which, and how."""
    done = []
    for number, task in enumerate(tasks_of(clients, range(clients.market.tasks()))):
        if task.requester != payer.address or task.status.is_over:
            continue
        call = task.due(clients.now())
        if call == "draw" and Randomness.of(clients.market).stands(task.draw_word) != Word.TOLD:
            continue
        if call:
            getattr(market, call)(number, sender=payer)
            done.append((number, call))
    return done


@click.command(cls=ChainCommand)
@account_option(prompt=None)
@deployment_option
@json_option
def cli(provider: ProviderAPI, account: AccountAPI | None, registry: Path, as_json: bool) -> None:
    """Take out what the market owes you: escrow of tasks that came to nothing, and rewards.

    A task that nobody bid for, or whose worker was too late, gives its escrow back when somebody
    says so on the chain: this does it for your own tasks first.

    \b
      ape run withdraw --network ethereum:local:node
      ape run withdraw --network https://... --account NAME
    """
    clients = clients_at(provider, registry)
    payer = account or default_payer(provider)
    market = project.Market.at(clients.deployment.market)
    ended = end_own(clients, market, payer)
    owed = clients.market.credit(payer.address)
    if owed:
        market.withdraw(sender=payer)
    amount = shown(owed, clients.token.decimals())
    if as_json:
        tasks = [{"task": number, "call": call} for number, call in ended]
        click.echo(json.dumps({"account": payer.address, "withdrawn": amount, "moved_on": tasks}))
        return
    for number, call in ended:
        click.echo(f"task {number}: {call}")
    if owed:
        click.echo(f"{amount} {clients.token.symbol()} are with {payer.address}")
    else:
        click.echo(f"the market owes {payer.address} nothing")
