"""Entry points: functions of the user's, as `file.py:function` or `package.module:function`."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from worker.jobs.telling import told

SHAPE = "must be file.py:function or package.module:function"


class EntryError(ValueError):
    """An entry point that cannot be found or called; says the rule and the remedy."""


@dataclass(frozen=True)
class EntryPoint:
    """A function of the user's, and the folder that its file imports from."""

    name: str
    function: Callable[..., Any]
    folder: Path
    file: str

    @classmethod
    def find(cls, name: str, folder: Path = Path()) -> EntryPoint:
        """Imports what the name says; a file is looked for in `folder`. Raises EntryError."""
        match = re.fullmatch(r"(?P<place>[^:]+):(?P<function>\w+)", name)
        if not match:
            raise EntryError(f"{SHAPE}; such as my_model.py:build")
        place, function = match["place"], match["function"]
        path = (folder / place).resolve() if place.endswith(".py") else None
        if path is not None and not path.is_file():
            raise EntryError(f"there is no file {path}; the path is relative to the job file")
        try:
            with _importing_from(path.parent if path else folder):
                module = _module(path) if path else importlib.import_module(place)
        except (Exception, SystemExit) as error:
            raise EntryError(f"{place} cannot be imported: {told(error, path)}") from error
        file = getattr(module, "__file__", None) or ""
        found = getattr(module, function, None)
        if not callable(found):
            there = [
                n
                for n, value in vars(module).items()
                if inspect.isfunction(value) and value.__module__ == module.__name__
            ]
            raise EntryError(
                f"{place} has no function {function}; it has {', '.join(there) or 'none'}"
            )
        return cls(name, found, Path(file).parent if path else folder, file)

    def call(self, arguments: Mapping[str, Any]) -> Any:
        """What the function returns. Raises EntryError where it raises."""
        try:
            with _importing_from(self.folder):
                return self.function(**arguments)
        except (Exception, SystemExit) as error:
            raise EntryError(f"it raised {told(error, Path(self.file))}") from error

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Raises EntryError unless the function takes these arguments, by their names."""
        signature = inspect.signature(self.function)
        try:
            signature.bind(**arguments)
        except TypeError as error:
            raise EntryError(f"{error}; it is {self.function.__name__}{signature}") from error


def _module(path: Path) -> ModuleType:
    """A file as a module of its own, which hides no other of its name."""
    name = f"assay_entry_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look for it there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Imports look in `folder` first, as when a script there is run."""
    place = str(folder.resolve())
    sys.path.insert(0, place)
    try:
        yield
    finally:
        sys.path.remove(place)
