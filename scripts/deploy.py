"""Deploy Assay: the checkers, the court, the stakes, the randomness; the verifiers, the market and
its disputes, which name each other."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import rlp
import yaml
from ape import chain, project
from ape.api import AccountAPI, ProviderAPI
from ape.cli import account_option
from ape.contracts import ContractContainer, ContractInstance
from ape.exceptions import CustomError
from eth_utils import is_address, keccak, to_canonical_address, to_checksum_address
from rich.console import Console
from rich.table import Table

from scripts._bond import UNITS, GasPrices, least
from scripts._contracts import CHECKERS, RANDOMNESS
from scripts._shared import REGISTRIES, ChainCommand, json_option
from worker.chain import Deployment

LOCAL_PARAMETERS = REGISTRIES / "local.yaml"

# What the parameters have, and what a deployment fills in itself.
SECTIONS = ("token", "court", "stakes", "randomness", "verifiers", "market", "disputes", "gas")
FILLED_IN = {
    "checkers", "token", "stakes", "court", "randomness", "verifiers", "market", "disputes"
}  # fmt: skip
# Where anyone may be given play money: chains of one's own, and public test networks.
PLAY_CHAINS = {1337, 31337, 11155111, 17000, 560048, 84532, 421614, 11155420}

# What to do where a source refuses its chain.
REFUSALS = {
    "NoHistory": "; it has no contract of EIP-2935: set randomness.history to false",
    "NoPrevrandao": "; its blocks have no PREVRANDAO: choose another randomness.kind",
    "NoBls": "; it has no precompiles of EIP-2537: choose another randomness.kind",
    "DelayTooShort": "; raise randomness.delay",
}

Told = Callable[[str, ContractInstance], None]


class BadParameters(click.ClickException):
    """The parameters do not fit the constructors."""


def load_parameters(path: Path = LOCAL_PARAMETERS) -> dict[str, Any]:
    """A file of deployment parameters, checked against the constructors' ABI."""
    try:
        parameters = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        known = ", ".join(sorted(p.name for p in REGISTRIES.glob("*.yaml")))
        raise BadParameters(f"there is no {path}; deployments/ has {known}") from None
    except yaml.YAMLError as error:
        raise BadParameters(f"{path} is not YAML: {error}") from error
    check_parameters(parameters, str(path))
    return parameters


def expected_parameters(source: str) -> dict[str, dict[str, str]]:
    """By section: what its constructor takes, without what is filled in, with the types.

    source: the contract that the randomness comes from.
    """
    found = {}
    contracts = {
        "court": "Court",
        "stakes": "Stakes",
        "randomness": source,
        "verifiers": "Verifiers",
        "market": "Market",
        "disputes": "Disputes",
    }
    for section, contract in contracts.items():
        inputs = getattr(project, contract).contract_type.constructor.inputs
        if len(inputs) == 1 and inputs[0].components:  # one struct of parameters
            inputs = inputs[0].components
        names = {(i.name or "").rstrip("_"): str(i.type) for i in inputs}
        found[section] = {n: t for n, t in names.items() if n not in FILLED_IN}
    return found


def check_parameters(parameters: Any, where: str = "the parameters") -> None:
    """Raises `BadParameters` for an unknown, a missing or an impossible value."""
    if not isinstance(parameters, Mapping):
        raise BadParameters(f"{where} must have the sections {', '.join(SECTIONS)}")
    if wrong := set(parameters) ^ set(SECTIONS):
        raise BadParameters(f"{where}: unknown or missing: {', '.join(sorted(map(str, wrong)))}")
    chosen = dict(parameters["randomness"] or {})
    kind = chosen.pop("kind", None)
    if kind not in RANDOMNESS:
        raise BadParameters(
            f"{where}: randomness.kind = {kind!r} must be one of {', '.join(RANDOMNESS)}"
        )
    parameters = {**parameters, "randomness": chosen}
    expected = expected_parameters(RANDOMNESS[kind])
    token = parameters["token"]
    if token != "test" and not (isinstance(token, str) and is_address(token)):
        raise BadParameters(f"{where}: token = {token!r} must be `test` or an address in quotes")
    expected["gas"] = {f.name: "uint96" for f in fields(GasPrices)}
    for section, names in expected.items():
        given = parameters[section] or {}
        if unknown := sorted(set(given) - set(names)):
            raise BadParameters(
                f"{where}: {section}.{unknown[0]} is no parameter; there are {', '.join(names)}"
            )
        if missing := sorted(set(names) - set(given)):
            raise BadParameters(f"{where}: {section}.{missing[0]} is missing ({names[missing[0]]})")
        for name, type_ in names.items():
            value = given[name]
            if type_ == "bool":
                if not isinstance(value, bool):
                    raise BadParameters(
                        f"{where}: {section}.{name} = {value!r} must be true or false"
                    )
                continue
            most = 2 ** int(type_.removeprefix("uint")) - 1
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
                raise BadParameters(
                    f"{where}: {section}.{name} = {value!r} must be a whole number in 0..{most}"
                )
    check_draw(parameters, kind, where)
    check_gas(parameters, where)


def check_draw(parameters: Mapping[str, Any], kind: str, where: str) -> None:
    """Raises `BadParameters` where a verifier stakes too little, or its draw comes too late."""
    given, bond = parameters["verifiers"], parameters["disputes"]["bond"]
    if given["unitStake"] < bond:
        raise BadParameters(
            f"{where}: verifiers.unitStake = {given['unitStake']} must be at least disputes.bond, "
            f"{bond}: who stands ready stakes no less than who accuses"
        )
    # The delay of other kinds is in blocks, of which nobody knows here how long they last.
    least_time = 2 * parameters["randomness"]["delay"] if kind == "drand" else 1
    if given["drawTime"] < least_time:
        raise BadParameters(
            f"{where}: verifiers.drawTime = {given['drawTime']} must be at least {least_time}: a "
            "draw's word comes randomness.delay seconds after its arming, and a keeper needs time"
        )


def check_gas(parameters: Mapping[str, Any], where: str) -> None:
    """Raises `BadParameters` where a dispute's loser does not pay for the other side's gas."""
    disputes, gas = parameters["disputes"], GasPrices(**parameters["gas"])
    for name in (f.name for f in fields(gas)):
        if getattr(gas, name) == 0:
            raise BadParameters(f"{where}: gas.{name} = 0 must be positive: no gas is free")
    if disputes["finderBps"] == 0:
        raise BadParameters(
            f"{where}: disputes.finderBps = 0 must be positive: an accuser that is right would "
            "pay for its gas itself"
        )
    whose = {
        "disputes.bond": f"the {gas.solver:,} gas of a solver that is accused wrongly",
        "market.floorStake": f"two bonds and the {gas.challenger:,} gas of an accuser that is "
        f"right, out of {disputes['finderBps']} / 10,000 of a guilty solver's stake",
    }
    for name, amount in least(gas, disputes).items():
        if _value(parameters, name) < amount:
            raise BadParameters(
                f"{where}: {name} = {_value(parameters, name)} must be at least {amount}, to cover "
                f"{whose[name]}, at gas.price = {gas.price} and gas.token = "
                f"{gas.token}: raise it to that, or state other prices"
            )


def _value(parameters: Mapping[str, Any], name: str) -> int:
    """Of a parameter that is named with its section."""
    section, _, own = name.partition(".")
    return int(parameters[section][own])


def address_after(deployer: AccountAPI, transactions: int) -> str:
    """Where the contract will be that the account creates after so many other transactions."""
    made = rlp.encode([to_canonical_address(deployer.address), deployer.nonce + transactions])
    return to_checksum_address(keccak(made)[12:])


def deploy(
    deployer: AccountAPI,
    parameters: Mapping[str, Any] | None = None,
    told: Told = lambda name, instance: None,
) -> Deployment:
    """Deploys everything to the connected chain, and checks that it is there.

    parameters: as in deployments/local.yaml, which is used where none are given. told: called with
    each contract's name and instance.
    """
    if parameters is None:
        parameters = load_parameters()
    check_parameters(parameters)
    if parameters["token"] == "test" and chain.chain_id not in PLAY_CHAINS:
        raise BadParameters(
            f"chain {chain.chain_id} is no test network: play money has no place there; name the "
            "token's address in the parameters"
        )

    def create(name: str, *arguments: Any) -> ContractInstance:
        container: ContractContainer = getattr(project, name)
        instance = deployer.deploy(container, *arguments)
        told(name, instance)
        return instance

    first_block = chain.blocks.height + 1
    token = parameters["token"]
    if token == "test":
        token = create("TestToken").address
    checkers = [create(name).address for name in CHECKERS]
    court_parameters = parameters["court"]
    court = create("Court", court_parameters["arityBits"], checkers)
    stakes = create("Stakes", token, parameters["stakes"]["unbondingDelay"])
    randomness = _create_source(create, parameters["randomness"])
    # The market and the two beside it name each other: who comes first names what is to come.
    expected = [address_after(deployer, n) for n in (1, 2)]
    standing = parameters["verifiers"]
    verifiers = create(
        "Verifiers", expected[0], stakes.address, standing["unitStake"], standing["drawTime"]
    )
    _check_next(deployer, expected[0])
    market = create(
        "Market",
        {
            **parameters["market"],
            "token": token,
            "stakes": stakes.address,
            "randomness": randomness.address,
            "verifiers": verifiers.address,
            "disputes": expected[1],
        },
    )
    _check_next(deployer, expected[1])
    given = parameters["disputes"]
    disputes = create(
        "Disputes",
        market.address,
        court.address,
        given["openTime"],
        given["finderBps"],
        given["bond"],
    )
    for name, beside in (("verifiers", verifiers), ("disputes", disputes)):
        if getattr(market, name)() != beside.address or beside.market() != market.address:
            raise BadParameters(f"the market and its {name} do not name each other: deploy again")
    deployment = Deployment(
        chain_id=chain.chain_id,
        block=first_block,
        market=market.address,
        disputes=disputes.address,
        court=court.address,
        stakes=stakes.address,
        verifiers=verifiers.address,
        token=token,
        randomness=randomness.address,
        checkers=tuple(checkers),
    )
    deployment.check(chain.provider.web3)
    return deployment


def _check_next(deployer: AccountAPI, expected: str) -> None:
    """Raises `BadParameters` where the deployer's next contract is not where others name it."""
    if address_after(deployer, 0) != expected:
        raise BadParameters(
            f"{deployer.address} has sent another transaction meanwhile, so a contract names "
            "an address that the next one will not get: deploy again, with an account of its own"
        )


def _create_source(
    create: Callable[..., ContractInstance], chosen: Mapping[str, Any]
) -> ContractInstance:
    """The randomness; its constructor refuses a chain that has not what the kind needs."""
    name = RANDOMNESS[chosen["kind"]]
    types = expected_parameters(name)["randomness"]
    try:
        return create(name, *(chosen[argument] for argument in types))
    except CustomError as error:
        why = REFUSALS.get(type(error).__name__, "")
        raise BadParameters(
            f"randomness {dict(chosen)!r} does not fit chain {chain.chain_id}: {error}{why}"
        ) from error


@click.command(cls=ChainCommand)
@account_option(prompt=None)
@click.option(
    "--parameters",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=LOCAL_PARAMETERS,
    show_default="deployments/local.yaml",
    help="What to deploy with; see deployments/.",
)
@click.option(
    "--registry",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the addresses are written; else beside the parameters, as .json.",
)
@json_option
def cli(
    provider: ProviderAPI,
    account: AccountAPI | None,
    path: Path,
    registry: Path | None,
    as_json: bool,
) -> None:
    """Deploy every contract, and write where they are to a registry file.

    \b
      ape run deploy                        tries it, on a chain in memory
      anvil --chain-id 1337 &               a node of this machine: ape's local chains have this id
      ape run deploy --network ethereum:local:node
      ape run deploy --network ethereum:sepolia:URL --account NAME \\
              --parameters deployments/sepolia.yaml
    """
    deployer = account or default_account(provider)
    rows: list[tuple[str, str, int]] = []

    def told(name: str, instance: ContractInstance) -> None:
        made = instance.creation_metadata
        rows.append((name, instance.address, int(made.receipt.gas_used) if made else 0))

    parameters = load_parameters(path)
    deployment = deploy(deployer, parameters, told)
    lowest = least(GasPrices(**parameters["gas"]), parameters["disputes"])
    registry = registry or path.with_suffix(".json")
    deployment.save(registry)
    if as_json:
        found = {
            "registry": str(registry),
            "gas": {name: used for name, _, used in rows},
            "least": lowest,
            **vars(deployment),
        }
        click.echo(json.dumps(found, indent=2))
        return
    table = Table(title=f"Assay on chain {deployment.chain_id}")
    table.add_column("contract")
    table.add_column("address")
    table.add_column("gas", justify="right")
    for name, address, gas_used in rows:
        table.add_row(name, address, f"{gas_used:,}")
    table.add_section()
    table.add_row("", "", f"{sum(row[2] for row in rows):,}")
    Console().print(table)
    for name, amount in lowest.items():
        given = _value(parameters, name)
        click.echo(f"{name} is {given / UNITS:g} tokens; at least {amount / UNITS:g} cover the gas")
    click.echo(f"wrote {registry}")


def default_account(provider: ProviderAPI) -> AccountAPI:
    """The first test account, on a chain of one's own."""
    from ape import accounts

    if provider.network.is_local:
        return accounts.test_accounts[0]
    raise click.UsageError("name the account that pays for it: --account NAME (ape accounts list)")
