"""Job files: what to compute and what to pay for it, in TOML, beside the user's own Python.

    [job]
    kind = "training"
    entry = "digits.py:recipe"   # returns a TrainingRecipe: module, loss, optimizer, data
    steps = 400
    batch_rows = 32
    segment_steps = 50

    [arguments]                  # handed to the entry by name
    hidden = 64

    [market]
    price = 100                  # tokens, at most

Everything is checked before anything is sent: first the tables, then the user's function, then
what it returns. Every error names the file, the field, its value, the rule and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Any, NoReturn, get_type_hints

from worker.jobs.definition import TrainingJob, TrainingRecipe
from worker.jobs.entry import EntryError, EntryPoint
from worker.jobs.generation import GenerationJob, GenerationRecipe
from worker.jobs.inference import InferenceJob, InferenceRecipe
from worker.jobs.rules import FieldError, JobDefinition
from worker.jobs.steps import StepJob, StepRecipe
from worker.jobs.telling import told
from worker.tables import TableError, check_sections, from_table, read_tables

EXAMPLE = "worker/examples/digits.toml"
HELP = f"see {EXAMPLE}"


class JobFileError(TableError):
    """A job file cannot be used; the message says where and why."""


@dataclass(frozen=True, kw_only=True)
class JobSection:
    """[job], whatever its kind; each kind adds the numbers of its definition."""

    kind: str
    entry: str

    def __post_init__(self) -> None:
        for f in fields(self):
            if f.type is int and f.default is MISSING:
                JobFileError.at_least(f"job.{f.name}", getattr(self, f.name), 1)


class JobKind:
    """A kind of job: its [job] section, what its entry returns, and what both make together.

    The section has the fields of `definition` that `recipe` has not, with their types and defaults:
    what the numbers mean stands there. Both parts are handed to `definition` by name.
    """

    def __init__(self, name: str, recipe: type, definition: type) -> None:
        self.recipe, self.definition = recipe, definition
        hints = get_type_hints(definition)
        returned = {f.name for f in fields(recipe)}
        self.numbers = [f for f in fields(definition) if f.name not in returned]
        self.section = make_dataclass(
            f"{name.capitalize()}Section",
            [
                ("kind", str, name),
                *((f.name, hints[f.name], field(default=f.default)) for f in self.numbers),
            ],
            bases=(JobSection,),
            frozen=True,
            kw_only=True,
        )


KINDS: dict[str, JobKind] = {
    "training": JobKind("training", TrainingRecipe, TrainingJob),
    "step": JobKind("step", StepRecipe, StepJob),
    "inference": JobKind("inference", InferenceRecipe, InferenceJob),
    "generation": JobKind("generation", GenerationRecipe, GenerationJob),
}


@dataclass(frozen=True, kw_only=True)
class MarketSection:
    """[market]: what is paid, until when, and how much is checked."""

    price: float = 100.0  # tokens, at most, for the solver
    fee: float = 20.0  # tokens for the verifier
    checks: int | None = None  # segments that the drawn verifier recomputes; all where not given
    bid_seconds: int = 60
    commit_seconds: int = 3600  # from the end of bidding
    clock: int | None = None  # seconds each side has in a dispute; where not given, what it takes

    def __post_init__(self) -> None:
        for name in ("price", "fee"):
            value = getattr(self, name)
            if not (value > 0 or (name == "fee" and value == 0)) or value == float("inf"):
                rule = "must be a number of tokens above 0"
                raise JobFileError.of(f"market.{name}", value, rule, "such as 100")
        for name in ("bid_seconds", "commit_seconds"):
            JobFileError.at_least(f"market.{name}", getattr(self, name), 1)
        for name in ("checks", "clock"):
            if getattr(self, name) is not None:
                JobFileError.at_least(f"market.{name}", getattr(self, name), 1)

    def check(self, segments: int) -> None:
        """Raises JobFileError where more segments are to be checked than there are."""
        if self.checks is not None and self.checks > segments:
            raise JobFileError.of(
                "market.checks",
                self.checks,
                f"must be at most the job's {segments} segments",
                "leave it out to check all of them",
            )


@dataclass(frozen=True, kw_only=True)
class JobFile:
    """A job file whose tables are right; the user's code has not been looked at yet."""

    path: Path
    job: Any  # the JobSection of its kind
    arguments: Mapping[str, Any] = field(default_factory=dict)
    market: MarketSection = field(default_factory=MarketSection)

    @classmethod
    def load(cls, path: Path) -> JobFile:
        """Reads the tables. Raises JobFileError."""
        entries = read_tables(path, JobFileError, f"copy one: {EXAMPLE}")
        try:
            return cls._from(path, entries)
        except JobFileError as error:
            raise JobFileError(f"{path}: {error}") from None

    @classmethod
    def _from(cls, path: Path, entries: Mapping[str, Any]) -> JobFile:
        check_sections(entries, ("job", "arguments", "market"), JobFileError)
        if "job" not in entries:
            raise JobFileError(f"[job] is missing; {HELP}")
        table, arguments = entries["job"], entries.get("arguments", {})
        kind = table.get("kind", "training") if isinstance(table, dict) else "training"
        if not isinstance(kind, str) or kind not in KINDS:
            raise JobFileError.of(
                "job.kind", kind, f"must be one of {', '.join(KINDS)}", "write it in quotes"
            )
        if not isinstance(arguments, dict):
            raise JobFileError.of(
                "arguments", arguments, "must be a table", "write [arguments] on a line of its own"
            )
        folder = path.resolve().parent
        return cls(
            path=path,
            job=from_table("job", KINDS[kind].section, table, folder, JobFileError, HELP),
            arguments=arguments,
            market=from_table(
                "market", MarketSection, entries.get("market", {}), folder, JobFileError, HELP
            ),
        )

    def definition(self) -> JobDefinition:
        """The job, after the entry was called and what it returned was checked.

        Raises JobFileError.
        """
        kind = KINDS[self.job.kind]
        recipe = self._recipe(kind)
        parts = {f.name: getattr(recipe, f.name) for f in fields(kind.recipe)}
        numbers = {f.name: getattr(self.job, f.name) for f in kind.numbers}
        try:
            definition: JobDefinition = kind.definition(**parts, **numbers)
            self.market.check(-(-definition.steps // definition.segment_steps))
        except FieldError as error:
            where = "job." if error.field in numbers else f"what {self.job.entry} returns: "
            raise JobFileError.of(
                f"{self.path}: {where}{error.field}",
                error.value,
                f"must be {error.rule}",
                "change it there",
            ) from error
        except JobFileError as error:
            raise JobFileError(f"{self.path}: {error}") from None
        except Exception as error:  # of the user's own: a decoder's cache, a subclass's check
            raise JobFileError(
                f"{self.path}: what {self.job.entry} returns: it raised {told(error)}"
            ) from error
        return definition

    def _recipe(self, kind: JobKind) -> Any:
        name = self.job.entry
        try:
            entry = EntryPoint.find(name, self.path.resolve().parent)
        except EntryError as error:
            self._refuse("job.entry", name, error)
        try:
            entry.check(self.arguments)
        except EntryError as error:
            self._refuse("arguments", dict(self.arguments), error)
        try:
            recipe = entry.call(self.arguments)
        except EntryError as error:
            if isinstance(error.__cause__, FieldError):
                broken = error.__cause__
                raise JobFileError.of(
                    f"{self.path}: what {name} returns: {broken.field}",
                    broken.value,
                    f"must be {broken.rule}",
                    f"change it in {entry.file}",
                ) from error
            self._refuse("job.entry", name, error)
        if not isinstance(recipe, kind.recipe):
            wanted = ", ".join(f.name for f in fields(kind.recipe))
            raise JobFileError.of(
                f"{self.path}: job.entry",
                name,
                f"it returned {_described(recipe)}, not a {kind.recipe.__name__}",
                f"return worker.jobs.{kind.recipe.__name__}({wanted})",
            )
        return recipe

    def _refuse(self, name: str, value: Any, error: EntryError) -> NoReturn:
        raise JobFileError(f"{self.path}: {name} = {value!r}: {error}") from error


def _described(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {', '.join(type(v).__name__ for v in value)}"
    return f"a {type(value).__name__}"
