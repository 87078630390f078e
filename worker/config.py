"""What a worker is told: a TOML file, and the key, which never stands in it.

Every error names the field, its value, the rule that it breaks and what to do. Relative paths are
relative to the config file.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Self, get_type_hints

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils import is_address

from worker.redaction import UNREADABLE, shown_url
from worker.tables import TableError, at_home, check_sections, from_table, read_tables
from worker.texts import TextError, read_text

log = logging.getLogger(__name__)

ROLES = ("solver", "verifier", "challenger", "keeper")
VERIFYING = {"verifier", "challenger"}  # roles that do what this worker is drawn for
KEY_SOURCES = "ASSAY_KEY, ASSAY_KEY_FILE, or [key] keystore with ASSAY_PASSWORD(_FILE)"

_SECRET_NAME = re.compile(r"(private|secret|mnemonic|seed_phrase|password|passphrase|^key$|_key$)")
_SECRET_VALUE = re.compile(r"^(0x)?[0-9a-fA-F]{64}$|^([a-z]+ ){11,23}[a-z]+$")


HELP = "see: python -m worker init --print"


class ConfigError(TableError):
    """The configuration cannot be used; the message says where and why."""


_refuse, _at_least = ConfigError.of, ConfigError.at_least


@dataclass(frozen=True, kw_only=True)
class ChainConfig:
    """[chain]: which node, which deployment, and how patient to be."""

    # ASSAY_RPC in the environment comes first: a provider's URL is often a secret, and not shown
    rpc: str = field(repr=False)
    deployment: Path  # the registry file that `ape run deploy` writes
    confirmations: int = 0  # blocks above a task's last change before it is acted on
    poll_seconds: float = 5.0  # between two looks at the chain
    timeout_seconds: float = 180.0  # for a transaction to be mined
    # servers of drand's rounds, where the market draws by them; they need not be trusted
    drand: tuple[str, ...] = field(default=(), repr=False)
    move_seconds: float = 12.0  # what one takes, at least: reckoned for each move of a dispute

    def __post_init__(self) -> None:
        if not re.match(r"^https?://[^\s/]+", self.rpc) or shown_url(self.rpc) == UNREADABLE:
            raise ConfigError(
                "chain.rpc (or ASSAY_RPC) must be an http(s) URL such as http://127.0.0.1:8545; "
                "its value is not shown here, as it may hold a secret; in a user name or a "
                "password write / as %2F, : as %3A, @ as %40, # as %23"
            )
        for url in self.drand:
            if not re.match(r"^https?://[^\s/]+", url) or shown_url(url) == UNREADABLE:
                raise ConfigError(
                    "chain.drand must be http(s) URLs such as https://api.drand.sh; one is not, "
                    "and is not shown here, as it may hold a secret"
                )
        _at_least("chain.confirmations", self.confirmations, 0)
        if not self.poll_seconds > 0:
            raise _refuse("chain.poll_seconds", self.poll_seconds, "must be above 0", "try 5")
        if not self.timeout_seconds > 0:
            raise _refuse(
                "chain.timeout_seconds", self.timeout_seconds, "must be above 0", "try 180"
            )
        if not 0 <= self.move_seconds < float("inf"):
            raise _refuse("chain.move_seconds", self.move_seconds, "must be at least 0", "try 12")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """[data]: where things are kept."""

    folder: Path  # this worker's own: its secrets of journals, its outbox, its lock
    store: str  # artifacts that others read: a folder, s3://bucket/prefix, ...
    cache: Path | None = None  # a local folder, where the store is slow

    def __post_init__(self) -> None:
        if not self.store:
            raise _refuse("data.store", "", "must name a folder or a URL", 'such as "store"')
        if self.folder.is_file():
            raise _refuse("data.folder", str(self.folder), "is a file", "name a folder")


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    """[worker]: which parts to play."""

    roles: tuple[str, ...] = ("solver", "verifier")
    threads: int = 0  # for the arithmetic; 0: as many as torch chooses
    native: bool = True  # steps as native code, compiled on this host; else interpreted
    device: str = "auto"  # where steps run: a GPU where torch sees one; cpu, cuda or cuda:N
    address: str = ""  # whose part is looked at where there is no key

    def __post_init__(self) -> None:
        unknown = [role for role in self.roles if role not in ROLES]
        if unknown or not self.roles or len(set(self.roles)) != len(self.roles):
            raise _refuse(
                "worker.roles",
                list(self.roles),
                f"must be some of {', '.join(ROLES)}, each once",
                'such as ["solver", "verifier"]',
            )
        _at_least("worker.threads", self.threads, 0)
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise _refuse(
                "worker.device", self.device, "must be auto, cpu, cuda or cuda:N", 'try "auto"'
            )
        if self.address and not is_address(self.address):
            raise _refuse(
                "worker.address", self.address, "must be an address", "write 0x and 40 hex digits"
            )

    @property
    def verifies(self) -> bool:
        """Whether it does what it is drawn for."""
        return bool(VERIFYING & set(self.roles))


@dataclass(frozen=True, kw_only=True)
class VerifierConfig:
    """[verifier]: how much of this worker stands ready where it verifies."""

    units: int = 1  # each locks the market's unit stake, and is a ticket of every draw

    def __post_init__(self) -> None:
        _at_least("verifier.units", self.units, 0)


@dataclass(frozen=True, kw_only=True)
class PricingConfig:
    """[pricing]: what this machine's time is worth. Prices are in whole tokens."""

    hour: float = 1.0  # an hour of this machine
    coin: float = 0.0  # the chain's own coin, in which gas is paid; 0: gas is not asked for
    fraction: float = 0.9  # of a task's maximum price: what costs more is let be

    def __post_init__(self) -> None:
        for name in ("hour", "coin"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise _refuse(
                    f"pricing.{name}", value, "must be at least 0", "write a number of whole tokens"
                )
        if self.hour == 0 and self.coin == 0:
            raise _refuse(
                "pricing.hour", self.hour, "must be above 0 where pricing.coin is 0", "try 1.0"
            )
        if not 0 < self.fraction <= 1:
            raise _refuse(
                "pricing.fraction", self.fraction, "must be above 0 and at most 1", "try 0.9"
            )

    def ceiling(self, max_price: int) -> int:
        """The most to ask for a task, in the token's smallest units, as its maximum price is."""
        return int(max_price * Fraction(str(self.fraction)))


@dataclass(frozen=True, kw_only=True)
class JobsConfig:
    """[jobs]: which tasks are looked at at all."""

    min_price: int = 0  # a task's maximum price, at least
    max_steps: int = 1_000_000
    max_segment_steps: int = 100_000
    max_program_bytes: int = 1 << 28  # of its file
    max_data_bytes: int = 1 << 34  # of the data set; the sets held at a time, together
    max_state_bytes: int = 1 << 34
    max_memory_bytes: int = 1 << 35  # at the peak of a step
    max_trace_elements: int = 1 << 32
    kept_bytes: int = 1 << 32  # of states on the way through a segment, for each dispute

    def __post_init__(self) -> None:
        _at_least("jobs.min_price", self.min_price, 0)
        for name in (
            "max_steps",
            "max_segment_steps",
            "max_program_bytes",
            "max_data_bytes",
            "max_state_bytes",
            "max_memory_bytes",
            "max_trace_elements",
        ):
            _at_least(f"jobs.{name}", getattr(self, name), 1)
        _at_least("jobs.kept_bytes", self.kept_bytes, 0)


@dataclass(frozen=True, kw_only=True)
class KeyConfig:
    """[key]: an encrypted keystore; never the key."""

    keystore: Path | None = None  # its password: ASSAY_PASSWORD or ASSAY_PASSWORD_FILE


@dataclass(frozen=True, kw_only=True)
class MetricsConfig:
    """[metrics]: counters for Prometheus, on this machine only."""

    port: int = 0  # 0: not served

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise _refuse("metrics.port", self.port, "must lie in 0..65535", "0 serves nothing")


@dataclass(frozen=True, kw_only=True)
class Config:
    """All of it."""

    chain: ChainConfig
    data: DataConfig
    worker: WorkerConfig = field(default_factory=WorkerConfig)
    verifier: VerifierConfig = field(default_factory=VerifierConfig)
    pricing: PricingConfig = field(default_factory=PricingConfig)
    jobs: JobsConfig = field(default_factory=JobsConfig)
    key: KeyConfig = field(default_factory=KeyConfig)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)

    @classmethod
    def load(cls, path: Path, environment: Mapping[str, str] = os.environ) -> Self:
        """From a TOML file. Raises `ConfigError`."""
        entries = read_tables(path, ConfigError, "write one with: python -m worker init")
        _refuse_secrets(entries)
        return cls.from_entries(entries, path.resolve().parent, environment.get("ASSAY_RPC"))

    @classmethod
    def from_entries(
        cls, entries: Mapping[str, Any], folder: Path = Path(), rpc: str | None = None
    ) -> Self:
        """From nested tables, as TOML has them; paths are relative to `folder`.

        rpc: stands for `chain.rpc`, and may hold a user and a password, which a file may not.
        """
        hints = get_type_hints(cls)
        check_sections(entries, hints, ConfigError)
        section = entries.get("chain")
        chain = section if isinstance(section, Mapping) else {}
        if "@" in str(chain.get("rpc", "")):
            raise ConfigError(
                "chain.rpc holds a user name or a password: secrets have no place in a config; put "
                "the whole URL into the environment as ASSAY_RPC"
            )
        if rpc:
            entries = {**entries, "chain": {**chain, "rpc": rpc}}
        sections = {
            name: from_table(name, section, entries[name], folder, ConfigError, HELP)
            for name, section in hints.items()
            if name in entries
        }
        for name in ("chain", "data"):
            if name not in sections:
                raise ConfigError(f"[{name}] is missing; {HELP}")
        store = sections["data"].store
        if "://" not in store:
            store = str(folder / at_home("data.store", store, ConfigError))
            sections["data"] = replace(sections["data"], store=store)
        return cls(**sections)


def _refuse_secrets(entries: Any, where: str = "") -> None:
    """A key in a config ends up in backups and repositories. Its value is not repeated here."""
    if isinstance(entries, dict):
        for name, value in entries.items():
            is_table = isinstance(value, dict)
            if not is_table and _SECRET_NAME.search(name.lower()):
                raise _no_secret(f"{where}{name}")
            _refuse_secrets(value, f"{where}{name}.")
    elif isinstance(entries, list):
        for value in entries:
            _refuse_secrets(value, where)
    elif isinstance(entries, str) and _SECRET_VALUE.match(entries.strip()):
        raise _no_secret(where.rstrip("."))


def _no_secret(name: str) -> ConfigError:
    return ConfigError(
        f"{name} looks like a key or a password, which may not stand in a config (its value is not "
        f"shown here); delete it there, change it if anyone else could read it, and give it by "
        f"{KEY_SOURCES}"
    )


# --- the key -----------------------------------------------------------------------------------


def load_account(
    key: KeyConfig, environment: Mapping[str, str] = os.environ
) -> LocalAccount | None:
    """The account to act as, or None: without a key a worker only watches.

    Raises `ConfigError`, which never repeats what it read.
    """
    given = [n for n in ("ASSAY_KEY", "ASSAY_KEY_FILE") if environment.get(n)]
    given += ["[key] keystore"] if key.keystore else []
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)} are both given; which key is meant? keep one")
    if not given:
        return None
    if key.keystore:
        password = _secret(environment, "ASSAY_PASSWORD")
        if password is None:
            raise ConfigError(
                f"key.keystore = {str(key.keystore)!r} needs its password; set ASSAY_PASSWORD_FILE "
                "to a file that holds it, or ASSAY_PASSWORD"
            )
        try:
            secret = Account.decrypt(read_text(key.keystore), password)
        except TextError as error:
            raise ConfigError(
                f"key.keystore = {str(key.keystore)!r} cannot be read ({error}); name a keystore "
                "file that this user may read"
            ) from None
        except (ValueError, KeyError, TypeError):
            raise ConfigError(
                f"key.keystore = {str(key.keystore)!r} does not open: it is no keystore, or the "
                "password is wrong"
            ) from None
        return Account.from_key(secret)
    text = _secret(environment, "ASSAY_KEY")
    try:
        return Account.from_key(text)
    except Exception:
        where = environment.get("ASSAY_KEY_FILE") if given[0] == "ASSAY_KEY_FILE" else None
        raise ConfigError(
            f"{given[0]}{f' = {where!r}' if where else ''} holds no key: it must be 64 hex digits, "
            "with or without 0x, and nothing else"
        ) from None


def key_file(key: KeyConfig, environment: Mapping[str, str] = os.environ) -> Path | None:
    """The file that the key is read from, where it is read from one."""
    path = key.keystore or environment.get("ASSAY_KEY_FILE")
    return Path(path).expanduser() if path else None


def _secret(environment: Mapping[str, str], name: str) -> str | None:
    """From the variable, or from the file that `<name>_FILE` names."""
    if value := environment.get(name):
        return value.strip()
    if path := environment.get(f"{name}_FILE"):
        try:
            text = read_text(Path(path)).strip()
        except TextError as error:
            raise ConfigError(
                f"{name}_FILE = {path!r} cannot be read ({error}); name a file that this user may "
                "read"
            ) from None
        mode = Path(path).expanduser().stat().st_mode & 0o777
        if mode & 0o077:
            log.warning(
                "%s_FILE = %r may be read by other users of this machine (mode %o): chmod 600 it",
                name,
                path,
                mode,
            )
        return text
    return None


EXAMPLE = """\
# What a worker of Assay is told. Paths are relative to this file. No key stands here: give it as
# ASSAY_KEY_FILE (a file with 64 hex digits), as ASSAY_KEY, or as a keystore, see [key] below.
# Without one the worker watches, says what it would do, and sends nothing.

[chain]
rpc = "http://127.0.0.1:8545"            # ASSAY_RPC in the environment comes first
deployment = "deployments/local.json"    # written by: ape run deploy
confirmations = 0                        # blocks above a change that is acted on, but in disputes
poll_seconds = 5.0                       # between two looks at the chain
timeout_seconds = 180.0                  # for a transaction to be mined
move_seconds = 12.0                      # what one takes, at least: reckoned before a bid
# drand = ["https://api.drand.sh"]       # where the market draws by drand: servers of its rounds

[data]
folder = ".assay"                        # this worker's own: do not share it, do not lose it
store = ".assay/store"                   # what verifiers read: a folder, s3://bucket/prefix, ...
# cache = ".assay/cache"                 # a local folder, where the store is slow

[worker]
roles = ["solver", "verifier"]           # "challenger": disputes without being drawn;
                                         # "keeper": pays the gas to end everybody's tasks when due
threads = 0                              # for the arithmetic; 0: as many as torch chooses
native = true                            # steps as native code, compiled here; false: interpreted
device = "auto"                          # where they run: a GPU if there is one; cpu, cuda, cuda:1
# address = "0x..."                      # whose part is looked at where there is no key

[verifier]                               # where the roles have "verifier" or "challenger"
units = 1                                # tickets of every draw; each locks the market's unit stake

[pricing]                                # a bid is the time that a task takes here, and its gas
hour = 1.0                               # whole tokens for an hour of this machine
coin = 0.0                               # whole tokens for one of the chain's coin; 0: no gas
fraction = 0.9                           # of a task's maximum price; what costs more is let be

[jobs]
min_price = 0                            # tasks that pay at most less are passed over
max_steps = 1000000
max_segment_steps = 100000
max_program_bytes = 268435456            # what a program's file may have
max_data_bytes = 17179869184             # of the data sets held at a time, together
max_state_bytes = 17179869184            # what one state may take in memory
max_memory_bytes = 34359738368           # what a step may take at its peak
max_trace_elements = 4294967296          # elements that a step may compute in all
kept_bytes = 4294967296                  # states kept on the way through a disputed segment

# [key]
# keystore = "keystore.json"             # its password: ASSAY_PASSWORD_FILE or ASSAY_PASSWORD

[metrics]
port = 0                                 # 0: not served; else http://127.0.0.1:PORT/metrics
"""
