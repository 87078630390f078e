"""Show the market's tasks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from ape.api import ProviderAPI
from rich.console import Console
from rich.table import Table

from scripts._life import clock, life
from scripts._shared import (
    ChainCommand,
    alone,
    clients_at,
    deployment_option,
    json_option,
    jsonable,
    tasks_of,
)
from worker.chain import ZERO_ADDRESS, Accusation, Clients, Queue, Status, Task
from worker.cli import shown

NEWEST = 30  # tasks that are shown where nothing else is said


def row_of(task: Task, number: int, now: int) -> dict[str, Any]:
    """A task as it stands."""
    return {
        "task": number,
        **asdict(task),
        "status": task.status.name.lower(),
        "waits_for": waits_for(task, now),
    }


def describe(clients: Clients, number: int) -> dict[str, Any]:
    """A task as it stands, with its accusations."""
    market, queue = clients.market, clients.disputes.queue(number)
    return {
        **row_of(market.task(number), number, clients.now()),
        "queue": asdict(queue),
        "accusations": [
            {"number": n, **asdict(a), "standing": a.standing.name.lower()}
            for n, a in enumerate(accusations_of(clients, number, queue))
        ],
    }


def accusations_of(clients: Clients, number: int, queue: Queue) -> list[Accusation]:
    return [clients.disputes.accusation(number, n) for n in range(queue.filed)]


def waiting(
    queue: dict[str, Any], accusations: Sequence[dict[str, Any]], amount: Callable[[int], str]
) -> Iterator[str]:
    """A task's queue, in words: who waits, with which bond, and what runs."""
    if not queue["filed"]:
        return
    open_ = [a for a in accusations if a["standing"] in ("sealed", "waiting", "running")]
    bonds = amount(sum(a["bond"] for a in open_))
    yield (
        f"accusations: {queue['filed']} filed, {len(open_)} not decided, with bonds of {bonds}"
        + (f"; dispute {queue['dispute']} runs" if queue["running"] else "")
    )
    for a in open_:
        first = ", the drawn verifier's: heard next" if a["privileged"] else ""
        about = "" if a["standing"] == "sealed" else f" of segment {a['segment']}"
        by = f"{amount(a['bond'])} by {a['accuser']}{first}"
        yield f"  {a['number']}: {a['standing']}{about}, {by}"


def waits_for(task: Task, now: int) -> str:
    """Who has to do what next."""
    if task.held:
        return "its accusations"
    match task.status:
        case Status.OPEN:
            return f"bids{left(task.bid_until, now)}" if now <= task.bid_until else "close"
        case Status.ASSIGNED:
            late = now > task.commit_until
            return "expire" if late else f"segment {task.committed}{left(task.commit_until, now)}"
        case Status.COMMITTED if now > task.draw_until:
            return "lapse"
        case Status.COMMITTED:
            return f"draw, by word {task.draw_word}"
        case Status.VERIFYING if now > task.window_ends:
            return "settle"
        case Status.VERIFYING:
            nobody = task.attested or task.verifier == ZERO_ADDRESS
            return f"{'accusations' if nobody else 'attestation'}{left(task.window_ends, now)}"
    return ""


def left(deadline: int, now: int) -> str:
    seconds = deadline - now
    return f", {seconds} s left" if seconds < 600 else f", until {clock(deadline)}"


def short(address: str) -> str:
    return "" if address == ZERO_ADDRESS else f"{address[:6]}..{address[-4:]}"


@click.command(cls=ChainCommand)
@deployment_option
@click.option("--task", type=int, help="One task, with its story.")
@click.option("--all", "everything", is_flag=True, help=f"All tasks, not only the last {NEWEST}.")
@json_option
def cli(
    provider: ProviderAPI, registry: Path, task: int | None, everything: bool, as_json: bool
) -> None:
    """Show the market's tasks, the newest last, or one task with all that happened to it."""
    clients = clients_at(provider, registry)
    count = clients.market.tasks()
    if task is not None and not 0 <= task < count:
        raise click.UsageError(f"there is no task {task}; the market has had {count}, from 0")
    if task is not None:
        show_one(clients, task, as_json)
        return
    numbers = range(0 if everything else max(0, count - NEWEST), count)
    now = clients.now()
    tasks = tasks_of(clients, numbers)
    found = [row_of(task, number, now) for number, task in zip(numbers, tasks, strict=True)]
    if as_json:
        click.echo(json.dumps(found, indent=2, default=jsonable))
        return
    console = Console()
    console.print(table_of(found, clients, f"Tasks of the market at {clients.market.address}"))
    if len(found) < count:
        console.print(f"{count - len(found)} older ones are not shown: --all shows them")
    if missing := alone(clients):
        console.print(f"[yellow]{missing}[/yellow]")


def table_of(found: Sequence[dict[str, Any]], clients: Clients, title: str) -> Table:
    decimals = clients.token.decimals()
    table = Table(title=title)
    for column in ("task", "status", "segments", "price", "solver", "verifier", "waits for"):
        table.add_column(column)
    for row in found:
        table.add_row(
            str(row["task"]),
            row["status"],
            f"{row['committed']}/{row['segments']}",
            shown(row["price"] or row["max_price"], decimals),
            short(row["solver"]),
            short(row["verifier"]) + (" attested" if row["attested"] else ""),
            row["waits_for"],
        )
    return table


def show_one(clients: Clients, task: int, as_json: bool) -> None:
    """A task, its accusations, and its life in sentences."""
    found = describe(clients, task)
    if as_json:
        click.echo(json.dumps(found, indent=2, default=jsonable))
        return
    console = Console()
    console.print(table_of([found], clients, f"Task {task}"))
    decimals, symbol = clients.token.decimals(), clients.token.symbol()

    def amount(units: int) -> str:
        return f"{shown(units, decimals)} {symbol}"

    for line in waiting(found["queue"], found["accusations"], amount):
        console.print(line, highlight=False)
    parts = [*clients.market.task_events(task), *clients.disputes.task_events(task)]
    events = sorted(parts, key=lambda event: event.place)
    for line in life(events, clients.market.task(task), amount):
        console.print(line, highlight=False, soft_wrap=True)
