"""Take back a task while bids are taken for it."""

from __future__ import annotations

import json
from pathlib import Path

import click
from ape import project
from ape.api import AccountAPI, ProviderAPI
from ape.cli import account_option

from scripts._life import clock
from scripts._shared import (
    ChainCommand,
    clients_at,
    default_payer,
    deployment_option,
    json_option,
)
from worker.chain import Clients, Status
from worker.cli import shown


def check(clients: Clients, number: int, payer: str) -> None:
    """Raises where the market would refuse, before anything is sent."""
    count = clients.market.tasks()
    if not 0 <= number < count:
        raise click.ClickException(f"there is no task {number}: this market has had {count}")
    task = clients.market.task(number)
    if task.requester != payer:
        raise click.ClickException(
            f"task {number} is {task.requester}'s, and {payer} calls: give --account"
        )
    if task.status != Status.OPEN or clients.now() > task.bid_until:
        raise click.ClickException(
            f"task {number} is {task.status.name.lower()}, and bids were taken until "
            f"{clock(task.bid_until)}: a task is taken back before that. What comes to nothing "
            "later is refunded: ape run withdraw"
        )


@click.command(cls=ChainCommand)
@account_option(prompt=None)
@deployment_option
@click.option("--task", type=int, required=True, help="Its number, as `post` said it.")
@json_option
def cli(
    provider: ProviderAPI, account: AccountAPI | None, registry: Path, task: int, as_json: bool
) -> None:
    """Take back a task of yours while bids are taken for it.

    It costs nothing but gas: nobody has worked for it. The escrow is yours again, and `ape run
    withdraw` takes it out. Who has bid gets its stake back.

    \b
      ape run cancel --task 3 --network ethereum:local:node
    """
    clients = clients_at(provider, registry)
    payer = account or default_payer(provider)
    check(clients, task, payer.address)
    market = project.Market.at(clients.deployment.market)
    market.cancel(task, sender=payer)
    owed = shown(clients.market.credit(payer.address), clients.token.decimals())
    if as_json:
        click.echo(json.dumps({"task": task, "account": payer.address, "owed": owed}))
        return
    click.echo(
        f"task {task} is cancelled; the market owes {payer.address} {owed} "
        f"{clients.token.symbol()}: ape run withdraw"
    )
