"""Post a job with its payment in escrow, or say what it would cost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import click
from ape import project
from ape.api import AccountAPI, ProviderAPI
from ape.cli import account_option
from rich.console import Console

from scripts._clock import Clock, derived
from scripts._cost import Cost, show, until_settled
from scripts._shared import (
    ROOT,
    ChainCommand,
    alone,
    clients_at,
    debug_option,
    default_payer,
    deployment_option,
    json_option,
    one_message,
)
from worker.chain import Clients, Job, Terms
from worker.jobs import JobDefinition
from worker.jobs.entry import EntryError, EntryPoint
from worker.jobs.estimate import Estimate, estimate
from worker.jobs.jobfile import KINDS, JobFile, JobFileError, MarketSection
from worker.jobs.trial import first_step
from worker.program import Program, layers
from worker.roles import put_job
from worker.store import Store, StoreError

DIGITS = "worker.examples.digits:digits"


def prepare(
    clients: Clients,
    store: Store,
    definition: JobDefinition,
    *,
    max_price: int,
    verifier_fee: int,
    bid_seconds: int,
    commit_seconds: int,
    clock: int,
    checks: int | None = None,
    program: Program | None = None,
) -> tuple[Job, Terms]:
    """Captures the job, publishes what it names, and says what to put on chain.

    clock: seconds that each side has in a dispute. checks: segments that the drawn verifier
    recomputes; all of them where it is not given.
    program: the job's, where it is captured already.
    """
    program = program or definition.capture()
    job = definition.job(program)
    put_job(store, program, definition.tensors, definition.initial_state())
    now = clients.now()
    terms = Terms(
        max_price=max_price,
        verifier_fee=verifier_fee,
        bid_until=now + bid_seconds,
        commit_until=now + bid_seconds + commit_seconds,
        checks=job.segments if checks is None else checks,
        clock=clock,
    )
    return job, terms


def load_entry(name: str) -> JobDefinition:
    """`module:function`, a function without arguments that returns a job of some kind."""
    try:
        found = EntryPoint.find(name).call({})
    except EntryError as error:
        raise click.BadParameter(f"{name!r}: {error}; such as {DIGITS}") from error
    kinds = tuple(kind.definition for kind in KINDS.values())
    if not isinstance(found, kinds):
        names = " or ".join(kind.__name__ for kind in kinds)
        raise click.BadParameter(f"{name} returned {type(found).__name__}, not a {names}")
    return cast(JobDefinition, found)


def load_job(
    job_file: Path | None, entry: str | None, given: Mapping[str, Any]
) -> tuple[JobDefinition, MarketSection]:
    """The job of a file or of an entry, and its terms; what is `given` comes before the file's."""
    if job_file is not None and entry is not None:
        raise click.UsageError("give ENTRY or --job FILE, not both: the file names its own entry")
    try:
        file = JobFile.load(job_file) if job_file is not None else None
        market = replace(file.market if file else MarketSection(), **given)
        definition = file.definition() if file else load_entry(entry or DIGITS)
        market.check(-(-definition.steps // definition.segment_steps))
    except JobFileError as error:
        raise click.ClickException(str(error)) from error
    return definition, market


def _clock(clients: Clients, market: MarketSection, found: Estimate, program: Program) -> Clock:
    """The job's own, or what a dispute takes."""
    if market.clock is not None:
        return Clock(market.clock, "as the job says")
    return derived(clients, found, program)


@click.command(cls=ChainCommand)
@click.argument("entry", required=False)
@account_option(prompt=None)
@click.option(
    "--job",
    "job_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A job file; see worker/examples/digits.toml.",
)
@click.option("--dry-run", is_flag=True, help="Check everything, say what it costs, send nothing.")
@click.option("--price", type=float, help="Most, in tokens. Default: the file's, or 100.")
@click.option("--fee", type=float, help="The verifier's, in tokens. Default: the file's, or 20.")
@click.option("--checks", type=int, help="Segments to recompute. Default: all of them.")
@click.option("--bid-seconds", type=int, help="Default: the file's, or 60.")
@click.option("--commit-seconds", type=int, help="Default: the file's, or 3600.")
@click.option("--clock", type=int, help="Seconds each side has in a dispute. Default: derived.")
@click.option("--store", "store_url", default=str(ROOT / ".assay" / "store"), show_default=True)
@deployment_option
@json_option
@debug_option
def cli(
    provider: ProviderAPI,
    account: AccountAPI | None,
    entry: str | None,
    job_file: Path | None,
    dry_run: bool,
    store_url: str,
    registry: Path,
    as_json: bool,
    debug: bool,
    **options: Any,
) -> None:
    """Post the job that a job file describes, or the one that ENTRY (module:function) returns.

    \b
      ape run post --job worker/examples/digits.toml --dry-run
      ape run post --job worker/examples/digits.toml --network ethereum:local:node --price 50
      ape run post worker.examples.digits:digits --network ethereum:local:node
    """
    given = {name: value for name, value in options.items() if value is not None}
    where = str(job_file or entry or DIGITS)
    with one_message(where, debug):
        definition, market = load_job(job_file, entry, given)
    segments = -(-definition.steps // definition.segment_steps)
    if dry_run:
        with one_message(f"{where}: the job cannot be captured", debug, layers.latest):
            program = definition.capture()
        with one_message(f"{where}: the job does not work", debug):
            found = estimate(definition, program)
        cost, clock, why = None, None, ""
        try:
            clients = clients_at(provider, registry)
        except click.ClickException as error:  # no market is needed to check a job
            why = error.message
        else:
            Cost.check_terms(clients, market)
            cost = Cost.of(clients, market, segments)
            clock = _clock(clients, market, found, program)
        if as_json:
            money = {**asdict(cost), "escrow": cost.escrow} if cost else {"no_market": why}
            told = {"clock": clock.seconds} if clock else {}
            click.echo(json.dumps({**found.document(), **money, **told}))
            return
        show(found, cost, clock, market, why)
        return
    clients = clients_at(provider, registry)
    payer = account or default_payer(provider)
    cost = Cost.of(clients, market, segments)
    Cost.check_terms(clients, market)
    cost.check_balance(clients, market, payer.address)
    with one_message(f"{where}: the job cannot be captured", debug, layers.latest):
        program = definition.capture()
    with one_message(f"{where}: the job does not work", debug):
        if market.clock is None:
            seconds = derived(clients, estimate(definition, program), program).seconds
        else:
            first_step(definition, program)
            seconds = market.clock
    try:
        job, terms = prepare(
            clients,
            Store(store_url),
            definition,
            max_price=cost.price,
            verifier_fee=cost.fee,
            bid_seconds=market.bid_seconds,
            commit_seconds=market.commit_seconds,
            clock=seconds,
            checks=market.checks,
            program=program,
        )
    except StoreError as error:
        raise click.ClickException(f"--store: {error}") from error
    there = clients.deployment
    approved = clients.token.allowance(payer.address, there.market)
    if approved < cost.escrow:
        token = project.TestToken.at(there.token)
        if approved:  # some tokens change an allowance only from or to nothing
            token.approve(there.market, 0, sender=payer)
        token.approve(there.market, cost.escrow, sender=payer)
    market_contract = project.Market.at(there.market)
    receipt = market_contract.post(job.to_abi(), terms.to_abi(), sender=payer)
    (posted,) = receipt.decode_logs(market_contract.Posted)
    number = posted.task
    if as_json:
        click.echo(json.dumps({"task": number, "program": job.program.hex()}))
        return
    Console().print(
        f"task {number}: {job.steps} steps in {job.segments} segments for at most "
        f"{market.price:g} tokens, {seconds} s for each side in a dispute; program "
        f"{job.program.hex()}"
    )
    took = until_settled(market, job.segments, seconds)
    click.echo(f"{took}. See: ape run status --task {number}")
    if missing := alone(clients):
        click.echo(missing)
