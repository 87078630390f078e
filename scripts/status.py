"""Show the market's tasks."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from ape.api import ProviderAPI
from rich.console import Console
from rich.table import Table

from scripts._shared import ChainCommand, clients_at, deployment_option, json_option, jsonable
from worker.chain import ZERO_ADDRESS, Clients, Status, Task


def describe(clients: Clients, number: int) -> dict[str, Any]:
    """A task as it stands, with its bids and challenges."""
    task = clients.market.task(number)
    return {
        "task": number,
        **asdict(task),
        "status": task.status.name.lower(),
        "waits_for": waits_for(clients, task),
        "bids": [asdict(bid) for bid in clients.market.bids(number)],
        "challenges": [
            {"dispute": c.dispute, "segment": c.segment, "challenger": c.challenger}
            for c in clients.market.challenges(number)
        ],
    }


def waits_for(clients: Clients, task: Task) -> str:
    """Who has to do what next."""
    now = clients.now()
    if task.open_disputes:
        return f"{task.open_disputes} open dispute{'s' * (task.open_disputes > 1)}"
    match task.status:
        case Status.OPEN:
            return f"bids{left(task.bid_until, now)}" if now <= task.bid_until else "close"
        case Status.ASSIGNED:
            late = now > task.commit_until
            return "expire" if late else f"segment {task.committed}{left(task.commit_until, now)}"
        case Status.COMMITTED:
            return f"draw, after block {task.draw_block}"
        case Status.VERIFYING if now > task.window_ends:
            return "settle"
        case Status.VERIFYING:
            nobody = task.attested or task.verifier == ZERO_ADDRESS
            return f"{'challenges' if nobody else 'attestation'}{left(task.window_ends, now)}"
    return ""


def left(deadline: int, now: int) -> str:
    seconds = deadline - now
    return f", {seconds} s left" if seconds < 600 else f", until {clock(deadline)}"


def clock(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def short(address: str) -> str:
    return "" if address == ZERO_ADDRESS else f"{address[:8]}..{address[-4:]}"


@click.command(cls=ChainCommand)
@deployment_option
@click.option("--task", type=int, help="One task, with its story.")
@json_option
def cli(provider: ProviderAPI, registry: Path, task: int | None, as_json: bool) -> None:
    """Show the market's tasks, or one task with all that happened to it."""
    clients = clients_at(provider, registry)
    count = clients.market.tasks()
    if task is not None and not 0 <= task < count:
        raise click.UsageError(f"there is no task {task}; the market has had {count}, from 0")
    numbers = range(count) if task is None else [task]
    found = [describe(clients, number) for number in numbers]
    if as_json:
        click.echo(json.dumps(found if task is None else found[0], indent=2, default=jsonable))
        return
    decimals = clients.token.decimals()
    table = Table(title=f"Tasks of the market at {clients.market.address}")
    for column in ("task", "status", "segments", "price", "solver", "verifier", "waits for"):
        table.add_column(column)
    for row in found:
        table.add_row(
            str(row["task"]),
            row["status"],
            f"{row['committed']}/{row['segments']}",
            f"{(row['price'] or row['max_price']) / 10**decimals:g}",
            short(row["solver"]),
            short(row["verifier"]) + (" attested" if row["attested"] else ""),
            row["waits_for"],
        )
    console = Console()
    console.print(table)
    if task is not None:
        for event in clients.market.task_events(task):
            console.print(f"block {event.place.block}: {event}", highlight=False, soft_wrap=True)
