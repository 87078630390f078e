"""The worker's command line."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

from worker import daemon, logs
from worker.chain import ChainError, Clients, Receipt, Status, probe
from worker.chain.amounts import parse, shown
from worker.config import EXAMPLE, KEY_SOURCES, VERIFYING, Config, ConfigError, load_account
from worker.places import Busy, check_folders, check_store
from worker.redaction import scrub, shown_url

F = TypeVar("F", bound=Callable[..., Any])


class Exit(IntEnum):
    """What the process ends with."""

    OK = 0
    FAILED = 1  # something unforeseen, or a role that failed in a single round
    USAGE = 2  # the command line is wrong
    CONFIG = 3  # the config or the key is wrong
    CHAIN = 4  # the node, the deployment or a contract refuses
    BUSY = 5  # another daemon has the data folder or the key


class Failure(click.ClickException):
    """An error as people see it: one message, and an exit code that scripts can tell."""

    def __init__(self, message: str, code: Exit) -> None:
        super().__init__(message)
        self.exit_code = int(code)


CODES: dict[type[Exception], Exit] = {
    ConfigError: Exit.CONFIG,
    Busy: Exit.BUSY,
    ChainError: Exit.CHAIN,
    OSError: Exit.CHAIN,
}


class Commands(click.Group):
    """Turns what our packages raise into a `Failure`, unless --debug asks for the stack trace."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if ctx.params.get("debug"):
                raise
            code = next((c for kind, c in CODES.items() if isinstance(error, kind)), Exit.FAILED)
            message = str(error) if code != Exit.FAILED else f"{type(error).__name__}: {error}"
            hint = "" if code != Exit.FAILED else " (python -m worker --debug ... shows where)"
            raise Failure(scrub(message + hint), code) from error


EPILOG = """\b
The key is never in the config. Give it as one of
  ASSAY_KEY_FILE=path    a file that holds 64 hex digits
  ASSAY_KEY=...          the digits themselves
  [key] keystore = ...   an encrypted keystore; its password as ASSAY_PASSWORD_FILE
Without a key the worker watches, says what it would do, and sends nothing.

\b
Exit codes: 0 OK, 1 FAILED, 2 USAGE, 3 CONFIG, 4 CHAIN, 5 BUSY.
"""


@click.group(cls=Commands, epilog=EPILOG, context_settings={"max_content_width": 100})
@click.option("--debug", is_flag=True, help="Stack traces, and logs of everything.")
def cli(debug: bool) -> None:
    """Compute for others on Assay, and check what others computed.

    \b
    From nothing to earning:
      python -m worker init                        write worker.toml; edit it
      export ASSAY_KEY_FILE=~/.assay-key           your account's key
      python -m worker check                       is everything in place?
      python -m worker stake 1000                  deposit stake, offer yourself
      python -m worker run                         solve, verify, be paid
    To leave: stop it, `unbond all`, wait for the delay, `withdraw`.
    """


def config_option(function: F) -> F:
    """Gives a command `--config`, as its argument `path`."""
    return click.option(
        "--config",
        "path",
        type=click.Path(path_type=Path, dir_okay=False),
        default=Path("worker.toml"),
        show_default=True,
        help="The config file; write one with `init`.",
    )(function)


json_option = click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")


@cli.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False), default="worker.toml")
@click.option("--print", "show", is_flag=True, help="Print it instead of writing it.")
def init(path: Path, show: bool) -> None:
    """Write a commented example config to PATH (worker.toml)."""
    if show:
        click.echo(EXAMPLE, nl=False)
        return
    try:
        with path.open("x") as file:
            file.write(EXAMPLE)
    except FileExistsError:
        raise Failure(
            f"{path} exists, and is left as it is; name another file", Exit.USAGE
        ) from None
    click.echo(f"wrote {path}; edit it, then: python -m worker check --config {path}")


@cli.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Logs as JSON, one object a line.")
@click.option("--once", is_flag=True, help="Do what is to be done now, then end.")
@click.option("--roles", "build", default=daemon.BUILD, hidden=True, help="module:function")
@click.pass_context
def run(ctx: click.Context, path: Path, as_json: bool, once: bool, build: str) -> None:
    """Play the config's roles until told to stop.

    SIGTERM or Ctrl-C ends it after the current step of work; a second one ends it at once. Killed
    at any time, it goes on where the chain stands: it sends nothing twice.
    """
    assert ctx.parent is not None
    logs.set_up(as_json=as_json, debug=ctx.parent.params["debug"])
    config = Config.load(path)
    stop = threading.Event()
    daemon.stop_on_signals(stop)
    went_well = daemon.run(config, load_account(config.key), once=once, build=build, stop=stop)
    if once and not went_well:
        raise Failure("a role failed, see the log above", Exit.FAILED)


@cli.command()
@config_option
@json_option
def check(path: Path, as_json: bool) -> None:
    """Check the config, the node, the contracts and the key; show balances, stake and prices."""
    config = Config.load(path)
    check_folders(config.data)
    account = load_account(config.key)
    clients = daemon.open_clients(config, account)
    check_store(daemon.open_store(config))
    answers = {"node": str(probe(clients))}
    found = survey(config, clients) | answers | sample_price(config, clients)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    table = Table(title="Assay worker", show_header=False)
    for name, value in found.items():
        table.add_row(name.replace("_", " "), str(value))
    Console().print(table)
    for line in advice(found):
        click.echo(line)


def survey(config: Config, clients: Clients) -> dict[str, Any]:
    """Where this worker stands. Amounts are decimal text in whole tokens."""
    from worker.devices import described, device_of  # torch takes seconds, which --help need not

    me, market, stakes = clients.address, clients.market, clients.stakes
    verifiers = clients.verifiers
    decimals = clients.token.decimals()
    unbonding, available_at = stakes.unbonding(me)
    pending = clients.sender.pending
    return {
        "rpc": shown_url(config.chain.rpc),
        "chain": clients.deployment.chain_id,
        "block": clients.w3.eth.block_number,
        "address": me,
        "dry": clients.sender.is_dry,
        "roles": ", ".join(config.worker.roles),
        "computes_on": described(device_of(config.worker.device)),
        "native_balance": shown(clients.w3.eth.get_balance(clients.w3.to_checksum_address(me)), 18),
        "token": clients.token.symbol(),
        "balance": shown(clients.token.balance_of(me), decimals),
        "stake_free": shown(stakes.free(me), decimals),
        "stake_locked": shown(stakes.locked(me, market.address), decimals),
        "stake_in_units": shown(stakes.locked(me, verifiers.address), decimals),
        "stake_unbonding": shown(unbonding, decimals),
        "withdrawable_from": available_at,
        "stake_in_bonds": shown(stakes.locked(me, clients.disputes.address), decimals),
        "market_may_lock": stakes.is_locker(me, market.address),
        "disputes_may_lock": stakes.is_locker(me, clients.disputes.address),
        "units_may_be_locked": stakes.is_locker(me, verifiers.address),
        "units": verifiers.units_of(me),
        "unit_stake": shown(verifiers.unit_stake(), decimals),
        "owed": shown(market.credit(me), decimals),
        "tasks": market.tasks(),
        "unsettled_transaction": pending.label if pending else "",
    }


def sample_price(config: Config, clients: Clients) -> dict[str, Any]:
    """What this worker would ask for a job of ordinary size, measured as for a bid."""
    from worker.jobs.measure import measure
    from worker.jobs.sample import NAME, sample
    from worker.program.cost import count
    from worker.roles.build import computation_of, pricing_of
    from worker.roles.pricing import gas_of

    definition, program = sample()
    job, units = definition.job(program), program.summary().work_units
    computation = computation_of(config)(job, program, definition.tensors)
    found = measure(computation, definition.initial_state())
    seconds = found.work(job.steps, job.segments)
    cost, decimals = pricing_of(config, clients).cost, clients.token.decimals()
    return {
        "speed": f"{count(units / found.step)} work units a second",
        "sample_job": f"{job.steps} steps of {NAME}, {count(units * job.steps)} work units: "
        f"{seconds:.3g} s",
        "sample_price": shown(cost(seconds, gas_of(job.segments)), decimals),
        "of_it_for_time": shown(cost(seconds, 0), decimals),
    }


def advice(found: dict[str, Any]) -> Iterator[str]:
    """What is missing before `run` can earn anything."""
    if found["dry"]:
        yield f"No key: nothing will be sent. Give one by {KEY_SOURCES}."
        return
    if found["native_balance"] == "0":
        yield "The account cannot pay for gas: send it some of the chain's own coin."
    staked = found["stake_free"] != "0" or found["units"]
    lockers = ("market_may_lock", "disputes_may_lock", "units_may_be_locked")
    if not (staked and all(found[name] for name in lockers)):
        yield "Not ready to work yet: python -m worker stake AMOUNT"
    elif found["units"] and not VERIFYING & set(found["roles"].split(", ")):
        yield (
            f"{found['units']} units stand ready to verify, and no role does: their silence is "
            "fined. Add the role, or take them back: python -m worker unbond all"
        )


@contextmanager
def acting(path: Path) -> Iterator[tuple[Config, Clients]]:
    """Clients that may send, with the data folder's lock: the outbox is the daemon's too."""
    config = Config.load(path)
    account = load_account(config.key)
    if account is None:
        raise ConfigError(
            f"this sends transactions, and there is no key; give one by {KEY_SOURCES}"
        )
    check_folders(config.data)
    folder = config.data.folder
    with daemon.locked(folder / "lock", f"the data folder {folder}"):
        clients = daemon.open_clients(config, account)
        clients.sender.reconcile()
        yield config, clients


def done(receipt: Receipt | None) -> None:
    if receipt is not None:
        click.echo(f"{receipt.label}: block {receipt.block}, {receipt.gas} gas")


def units(text: str, decimals: int) -> int:
    """Whole tokens, such as 12.5, as the smallest units."""
    try:
        return parse(text, decimals)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@cli.command()
@config_option
@click.argument("amount")
def stake(path: Path, amount: str) -> None:
    """Deposit AMOUNT (whole tokens) as stake, and let the market's contracts lock it.

    Approves the token for exactly AMOUNT, deposits it, and names the market, its verifiers and its
    disputes as lockers: `run` bids with it, offers the units of the config to verify, and has bonds
    for accusations. What is done already is left out, so it may be run again after an error; but
    each run deposits AMOUNT.
    """
    with acting(path) as (_, clients):
        me, stakes = clients.address, clients.stakes
        wanted = units(amount, clients.token.decimals())
        held = clients.token.balance_of(me)
        if held < wanted:
            raise ConfigError(
                f"{me} has {shown(held, clients.token.decimals())} {clients.token.symbol()}, which "
                f"is less than {amount}; get more of the token {clients.token.address}"
            )
        done(clients.token.ensure_allowance(stakes.address, wanted))
        done(stakes.deposit(wanted))
        lockers = (clients.market, clients.verifiers, clients.disputes)
        for locker in (contract.address for contract in lockers):
            if not stakes.is_locker(me, locker):
                done(stakes.approve_locker(locker))


@cli.command()
@config_option
@click.argument("amount")
def unbond(path: Path, amount: str) -> None:
    """Take AMOUNT (whole tokens, or `all`) of the free stake out of service.

    It can be withdrawn after the unbonding delay. `all` also takes back bids, in the first half of
    their bidding, and the units that stand ready to verify: their stake is free when no draw can
    name them and what they were drawn for is over; run it again then. Other locked stake stays
    locked until its tasks are over.
    """
    with acting(path) as (_, clients):
        me, stakes = clients.address, clients.stakes
        everything = amount == "all"
        if everything:
            take_back_bids(clients)
            take_back(clients)
        wanted = stakes.free(me) if everything else units(amount, clients.token.decimals())
        if wanted == 0:
            click.echo("there is no free stake")
            return
        done(stakes.unbond(wanted))
        click.echo(f"withdrawable from unix time {stakes.unbonding(me)[1]}")


def take_back_bids(clients: Clients) -> None:
    """Withdraws the bids that may be; says which others bind."""
    for number, task in clients.board().open_tasks(young=True):
        if task.status != Status.OPEN or task.solver != clients.address:
            continue
        if clients.now() <= task.withdraw_until:
            done(clients.market.withdraw_bid(number))
        else:
            click.echo(
                f"the bid for task {number} binds: unless another worker bids less, `run` has to "
                "compute it, or a part of its stake is burned"
            )


def take_back(clients: Clients) -> None:
    """Offers no units any more, and frees the stake of those that nothing can name."""
    me, verifiers = clients.address, clients.verifiers
    if verifiers.units_of(me):
        done(verifiers.offer(0))
    amount, until = verifiers.releasable(me)
    if not amount:
        return
    text = f"{shown(amount, clients.token.decimals())} {clients.token.symbol()} of units"
    if duties := verifiers.duties(me):
        click.echo(f"{text} stay locked until {duties} of its duties are over")
    elif clients.now() <= until:
        click.echo(f"{text} stay locked up to unix time {until}: run this again after it")
    else:
        done(verifiers.release(me))


@cli.command()
@config_option
def withdraw(path: Path) -> None:
    """Take out what the market owes, and the stake whose unbonding delay has passed."""
    with acting(path) as (_, clients):
        me = clients.address
        owed, (unbonding, available_at) = clients.market.credit(me), clients.stakes.unbonding(me)
        if owed:
            done(clients.market.withdraw())
        if unbonding and clients.now() >= available_at:
            done(clients.stakes.withdraw())
        elif unbonding:
            click.echo(f"stake is still unbonding, until unix time {available_at}")
        elif not owed:
            click.echo("there is nothing to withdraw")
