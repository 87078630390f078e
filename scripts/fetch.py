"""Fetch what a task has computed, and check it against the chain."""

from __future__ import annotations

import json
from pathlib import Path

import click
import safetensors.torch
from ape.api import ProviderAPI
from rich.console import Console

from scripts._shared import ROOT, ChainCommand, clients_at, deployment_option, json_option
from worker.chain import Status
from worker.program import Program
from worker.store import Store, StoreError


@click.command(cls=ChainCommand)
@click.argument("task", type=int)
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--store", "store_url", default=str(ROOT / ".assay" / "store"), show_default=True)
@click.option(
    "--entry", help="module:function of the job, to evaluate the model as its owner does."
)
@deployment_option
@json_option
def cli(
    provider: ProviderAPI,
    task: int,
    out: Path,
    store_url: str,
    entry: str | None,
    registry: Path,
    as_json: bool,
) -> None:
    """Write the state that TASK ended with to OUT, as safetensors with the module's names.

    The chain holds the state's root, which is its address in the store: what does not hash to it is
    refused, whoever it came from.

    \b
      ape run fetch 0 model.safetensors --entry worker.examples.digits:digits
    """
    from scripts.post import load_entry

    clients = clients_at(provider, registry)
    if task >= clients.market.tasks():
        raise click.BadParameter(f"there are {clients.market.tasks()} tasks, and no {task=}")
    now = clients.market.task(task)
    if now.committed < now.segments:
        raise click.ClickException(
            f"task {task} is {now.status.name.lower()} with {now.committed} of {now.segments} "
            "segments committed: there is no end state yet"
        )
    root = clients.market.segment(task, now.segments - 1).state
    job = clients.market.job(task)
    store = Store(store_url)
    try:
        state = store.get_tensors("state", root)
        program = Program.from_bytes(
            store.get_bytes("program", job.program, lambda data: Program.from_bytes(data).root)
        )
    except StoreError as error:
        raise click.ClickException(str(error)) from error
    named = dict(zip(program.state_names, state, strict=True))
    safetensors.torch.save_file(named, out)
    worth: dict[str, float] = {}
    if entry:
        training = load_entry(entry)
        if training.evaluate:
            worth = training.evaluate(training.load(state, program))
    if as_json:
        click.echo(json.dumps({"task": task, "root": root.hex(), "file": str(out), **worth}))
        return
    console = Console()
    console.print(f"{out}: {len(named)} tensors, root {root.hex()}, as task {task} committed to")
    if now.status != Status.SETTLED:
        console.print(f"[yellow]the task is {now.status.name.lower()}, not settled yet[/yellow]")
    for name, value in worth.items():
        console.print(f"{name}: {value:.2%}")
