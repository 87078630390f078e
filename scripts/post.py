"""Post a training job with its payment in escrow."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path

import click
from ape import project
from ape.api import AccountAPI, ProviderAPI
from ape.cli import account_option
from rich.console import Console

from scripts._shared import ROOT, ChainCommand, clients_at, deployment_option, json_option
from worker.chain import Clients, Job, Terms
from worker.jobs import TrainingJob
from worker.roles import put_job
from worker.store import Store

Entry = Callable[[], TrainingJob]


def prepare(
    clients: Clients,
    store: Store,
    training: TrainingJob,
    *,
    max_price: int,
    verifier_fee: int,
    bid_seconds: int,
    commit_seconds: int,
    checks: int | None = None,
) -> tuple[Job, Terms]:
    """Captures the job, publishes what it names, and says what to put on chain.

    checks: segments that the drawn verifier recomputes; all of them where it is not given.
    """
    program = training.capture()
    job = training.job(program)
    put_job(store, program, training.data, training.initial_state())
    now = clients.now()
    terms = Terms(
        max_price=max_price,
        verifier_fee=verifier_fee,
        bid_until=now + bid_seconds,
        commit_until=now + bid_seconds + commit_seconds,
        checks=job.segments if checks is None else checks,
    )
    return job, terms


def load_entry(name: str) -> TrainingJob:
    """`module:function`, a function without arguments that returns a TrainingJob."""
    module, _, function = name.partition(":")
    try:
        entry: Entry = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise click.BadParameter(
            f"{name!r} is not module:function ({error}); such as worker.examples.digits:digits"
        ) from error
    training = entry()
    if not isinstance(training, TrainingJob):
        raise click.BadParameter(f"{name} returned {type(training).__name__}, not a TrainingJob")
    return training


@click.command(cls=ChainCommand)
@click.argument("entry", default="worker.examples.digits:digits")
@account_option(prompt=None)
@click.option("--price", type=float, default=100.0, show_default=True, help="Most, in tokens.")
@click.option("--fee", type=float, default=20.0, show_default=True, help="The verifier's.")
@click.option("--checks", type=int, help="Segments to recompute. Default: all of them.")
@click.option("--bid-seconds", type=int, default=60, show_default=True)
@click.option("--commit-seconds", type=int, default=3600, show_default=True)
@click.option("--store", "store_url", default=str(ROOT / ".assay" / "store"), show_default=True)
@deployment_option
@json_option
def cli(
    provider: ProviderAPI,
    account: AccountAPI | None,
    entry: str,
    price: float,
    fee: float,
    checks: int | None,
    bid_seconds: int,
    commit_seconds: int,
    store_url: str,
    registry: Path,
    as_json: bool,
) -> None:
    """Post the training job that ENTRY (module:function) returns.

    \b
      ape run post worker.examples.digits:digits --network ethereum:local:node --price 50
    """
    training = load_entry(entry)
    clients = clients_at(provider, registry)
    unit = 10 ** clients.token.decimals()
    job, terms = prepare(
        clients,
        Store(store_url),
        training,
        max_price=int(price * unit),
        verifier_fee=int(fee * unit),
        bid_seconds=bid_seconds,
        commit_seconds=commit_seconds,
        checks=checks,
    )
    payer = account or default_payer(provider)
    where = clients.deployment
    escrow = terms.max_price + terms.verifier_fee
    if clients.token.allowance(payer.address, where.market) < escrow:
        project.TestToken.at(where.token).approve(where.market, escrow, sender=payer)
    project.Market.at(where.market).post(job.to_abi(), terms.to_abi(), sender=payer)
    number = max(
        n for n in range(clients.market.tasks()) if clients.market.task(n).job == job.hash()
    )
    if as_json:
        click.echo(json.dumps({"task": number, "program": job.program.hex()}))
        return
    Console().print(
        f"task {number}: {job.steps} steps in {job.segments} segments for at most {price:g} "
        f"tokens; program {job.program.hex()}"
    )


def default_payer(provider: ProviderAPI) -> AccountAPI:
    """The second test account, on a chain of one's own."""
    from ape import accounts

    if provider.network.is_local:
        return accounts.test_accounts[1]
    raise click.UsageError("name the account that pays: --account NAME (ape accounts list)")
