"""What the scripts share. ape takes no file for a script whose name begins with an underscore."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import click
from ape.api import AccountAPI, ProviderAPI
from ape.cli import ConnectedProviderCommand
from ape.logging import logger
from web3 import HTTPProvider

from worker.chain import ChainError, Clients, ContractError, Deployment, Task, connect, open_rpc
from worker.chain.reads import read_all
from worker.jobs.telling import told, without_traces
from worker.redaction import conceal_url, scrub

ROOT = Path(__file__).resolve().parent.parent
REGISTRIES = ROOT / "deployments"
LOCAL = REGISTRIES / "local.json"

deployment_option = click.option(
    "--deployment",
    "registry",
    type=click.Path(path_type=Path, dir_okay=False),
    default=LOCAL,
    show_default="deployments/local.json",
    help="The registry file that `ape run deploy` wrote.",
)
debug_option = click.option(
    "--debug", is_flag=True, help="Stack traces of what your own code and PyTorch raise."
)
json_option = click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")


class ChainCommand(ConnectedProviderCommand):
    """Connects as ape does, and ends with one message where something fails.

    With --json it prints nothing else, for ape logs to stdout. `--verbosity DEBUG` shows stack
    traces.
    """

    def invoke(self, ctx: click.Context) -> Any:
        if ctx.params.get("as_json"):
            logger.set_level("ERROR")
        for word in sys.argv:  # a provider's key stands in the URL after --network
            if "://" in word and "http" in word:
                conceal_url(word[word.index("http") :])
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if logger.level <= logging.DEBUG or ctx.params.get("debug"):
                raise
            raise click.ClickException(_in_words(error)) from None


NO_NODE = ("node found", "unable to start", "not connected", "connection refused", "max retries")
OTHER_CHAIN = "invalid chain id"
NETWORKS = (
    "name the node by its URL, and one of ape's accounts: --network http://127.0.0.1:8545 "
    "--account NAME (a chain of your own: --account TEST::0)"
)


def _in_words(error: Exception) -> str:
    """Whatever ape or a library raises, as one message with what to do."""
    said = scrub(f"{error}".strip().splitlines()[0] if f"{error}".strip() else "")
    lower = said.lower()
    if any(words in lower for words in NO_NODE) or isinstance(error, OSError):
        return (
            f"no node answers ({said}): start one, such as anvil --chain-id 1337 for "
            f"--network ethereum:local:node, or {NETWORKS}"
        )
    if OTHER_CHAIN in lower:
        return (
            f"the node has another chain id than ape's local network, which signs for 1337 "
            f"({said}): start the node with --chain-id 1337, or {NETWORKS}"
        )
    return f"{type(error).__name__}: {said} (--verbosity DEBUG shows where)"


@contextmanager
def one_message(what: str, debug: bool, place: Callable[[], str] = str) -> Iterator[None]:
    """Within, whatever is raised is one message that begins with `what`, and with --debug what it
    was. place: where it was where no line of the user's led to it."""
    try:
        with nullcontext() if debug else without_traces():
            yield
    except click.ClickException as error:
        if debug and error.__cause__ is not None:
            raise error.__cause__ from None
        raise
    except Exception as error:
        if debug:
            raise
        said = told(error, place=place())
        hint = "" if said == str(error) else " (--debug shows the stack trace)"
        raise click.ClickException(f"{what}: {said}{hint}") from error


def clients_at(provider: ProviderAPI, registry: Path) -> Clients:
    """Clients that read what a registry names; an error is one message, without a trace.

    They ask the node that ape is connected to as a worker does: in batches, and again where an
    answer is lost. A chain in this process has no address, and is asked through ape.
    """
    w3 = provider.web3
    try:
        if isinstance(w3.provider, HTTPProvider) and w3.provider.endpoint_uri:
            w3 = open_rpc(str(w3.provider.endpoint_uri))
        return connect(w3, Deployment.load(registry))
    except ChainError as error:
        raise click.ClickException(str(error)) from error


def tasks_of(clients: Clients, numbers: Sequence[int]) -> list[Task]:
    """These tasks, in as few exchanges as the node takes; ContractError where one is not there."""
    found = read_all(clients.w3, [clients.market.reading("task", n) for n in numbers])
    for values in found:
        if isinstance(values, ContractError):
            raise values
    return [Task.from_abi(values) for values in found]


def jsonable(value: Any) -> Any:
    """Bytes as 0x text, for `json.dumps(default=...)`."""
    return f"0x{value.hex()}" if isinstance(value, bytes) else str(value)


def alone(clients: Clients) -> str:
    """What is missing for tasks to be verified, or nothing."""
    if clients.verifiers.units() and clients.verifiers.places() > 1:
        return ""
    return (
        "this market has no two workers that verify: a task needs one to solve it and another to "
        "verify it. Until a second one has run with the role `verifier`, nobody is drawn, and a "
        "result is only as good as its solver"
    )


def default_payer(provider: ProviderAPI) -> AccountAPI:
    """The second test account, on a chain of one's own."""
    from ape import accounts

    if provider.network.is_local:
        return accounts.test_accounts[1]
    raise click.UsageError(
        "name the account that pays: --account NAME (ape accounts list), or --account TEST::1 on a "
        "chain of your own"
    )
