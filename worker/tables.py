"""TOML tables as dataclasses: every value of its field's type, or an error that says what to do."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Self, get_type_hints

from worker.texts import TextError, read_text


class TableError(ValueError):
    """A file cannot be used; the message names the field, its value, the rule and the remedy."""

    @classmethod
    def of(cls, name: str, value: Any, rule: str, remedy: str) -> Self:
        return cls(f"{name} = {value!r}: {rule}; {remedy}")

    @classmethod
    def at_least(cls, name: str, value: float, least: float) -> None:
        """Raises where a number is less."""
        if not value >= least:
            raise cls.of(
                name, value, f"must be at least {least}", f"write a number from {least} up"
            )


def read_tables(path: Path, error: type[TableError], remedy: str) -> dict[str, Any]:
    """A TOML file. remedy: what to do where there is none."""
    try:
        text = read_text(path)
    except TextError as why:
        raise error(f"{path} cannot be read ({why}); {remedy}") from why
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as why:
        raise error(f"{path} is not TOML: {why}") from why


def at_home(name: str, value: str, error: type[TableError]) -> Path:
    """A path in which `~` is the user's home."""
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise error.of(
            name, value, "this user has no home that ~ could stand for", "write the path in full"
        ) from None


def check_sections(
    entries: Mapping[str, Any], known: Collection[str], error: type[TableError]
) -> None:
    """Raises where there is a section that nobody reads."""
    if unknown := sorted(set(entries) - set(known)):
        raise error(f"[{unknown[0]}] is no section; there are {', '.join(f'[{s}]' for s in known)}")


def from_table(
    name: str, cls: type, table: Any, folder: Path, error: type[TableError], help: str
) -> Any:
    """One table as its dataclass; relative paths are relative to `folder`."""
    if not isinstance(table, dict):
        raise error.of(name, table, "must be a table", f"write [{name}] on a line of its own")
    hints = get_type_hints(cls)
    values = {}
    for key, value in table.items():
        if key not in hints:
            raise error(f"{name}.{key} is no field; [{name}] has {', '.join(hints)}")
        values[key] = _value(f"{name}.{key}", hints[key], value, folder, error)
    needed = {f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING}
    if missing := sorted(needed - set(values)):
        raise error(f"{name}.{missing[0]} is missing; {help}")
    return cls(**values)


def _value(name: str, hint: Any, value: Any, folder: Path, error: type[TableError]) -> Any:
    def check(kind: str, is_right: bool) -> None:
        if not is_right:
            raise error.of(name, value, f"must be {kind}", f"it is a {type(value).__name__}")

    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint in (Path, Path | None):
        check("a path in quotes", isinstance(value, str) and value != "")
        return folder / at_home(name, value, error)
    if hint is str:
        check("text in quotes", isinstance(value, str))
    elif hint is bool:
        check("true or false", isinstance(value, bool))
    elif hint in (float, float | None):
        check("a number", number)
        return float(value)
    elif hint in (int, int | None):
        check("a whole number", number and isinstance(value, int))
    else:
        check("a list of texts", isinstance(value, list) and all(isinstance(v, str) for v in value))
        return tuple(value)
    return value
