"""The whole market on a chain in memory: one honest training, and one that cheats."""

from __future__ import annotations

import json
import tempfile

import click
from ape.api import ProviderAPI
from ape.logging import logger

from scripts._shared import ChainCommand, json_option


@click.command(cls=ChainCommand)
@click.option("--steps", type=int, default=400, show_default=True, help="Of each training.")
@click.option("--segment-steps", type=int, default=50, show_default=True)
@json_option
def cli(provider: ProviderAPI, steps: int, segment_steps: int, as_json: bool) -> None:
    """Play the whole market on a chain in memory.

    A requester has a perceptron trained on handwritten digits: by an honest worker, and by one that
    cheats in one element of one gradient of one step, and is caught.
    """
    # ape loads every script for each of its commands: what is slow to load waits until it is needed
    import torch
    from rich.console import Console

    from scripts._story import show_tables, tell
    from worker.store import Store

    logger.set_level("WARNING")  # ape tells of every deployment
    torch.set_num_threads(1)  # the tensors are small
    console = Console(quiet=as_json)
    with tempfile.TemporaryDirectory() as folder:
        outcomes, gas = tell(console, Store(folder), steps, segment_steps)
    if as_json:
        click.echo(
            json.dumps({"tasks": [vars(o) for o in outcomes], "gas": gas}, default=str, indent=2)
        )
        return
    show_tables(console, outcomes, gas)
