"""Give play money, where the market's token is TestToken."""

from __future__ import annotations

from pathlib import Path

import click
from ape import project
from ape.api import AccountAPI, ProviderAPI
from ape.cli import account_option
from eth_utils import is_address, to_checksum_address

from scripts._shared import ChainCommand, clients_at, default_payer, deployment_option
from worker.cli import shown, units


@click.command(cls=ChainCommand)
@click.argument("recipient")
@click.argument("amount")
@account_option(prompt=None)
@deployment_option
def cli(
    provider: ProviderAPI, recipient: str, amount: str, account: AccountAPI | None, registry: Path
) -> None:
    """Give RECIPIENT (an address) AMOUNT whole tokens, on a chain of your own.

    Works where `ape run deploy` has deployed its TestToken, which anyone may mint.

    \b
      ape run mint 0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC 10000 --network ethereum:local:node
    """
    if not is_address(recipient):
        raise click.BadParameter(f"{recipient!r} is no address: write 0x and 40 hex digits")
    clients = clients_at(provider, registry)
    decimals, symbol = clients.token.decimals(), clients.token.symbol()
    payer = account or default_payer(provider)
    to = to_checksum_address(recipient)
    try:
        project.TestToken.at(clients.token.address).mint(to, units(amount, decimals), sender=payer)
    except click.ClickException:
        raise
    except Exception as error:
        raise click.ClickException(
            f"{clients.token.address} mints nothing for {payer.address} ({error}): it is no play "
            "money; get tokens as its owners give them"
        ) from None
    click.echo(f"{to} has {shown(clients.token.balance_of(to), decimals)} {symbol}")
