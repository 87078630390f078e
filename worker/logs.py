"""Logs: for people on a terminal, or one JSON object a line."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

from worker.redaction import scrub

_about: ContextVar[Mapping[str, Any]] = ContextVar("about", default=MappingProxyType({}))


@contextmanager
def about(**fields: Any) -> Iterator[None]:
    """Inside, every JSON line has these fields, whoever logs it: the task that is worked on."""
    token = _about.set({**_about.get(), **fields})
    try:
        yield
    finally:
        _about.reset(token)


_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    """What a call put into `extra`."""
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


class JsonFormatter(logging.Formatter):
    """`time` (UTC), `level`, `logger`, `message`, the fields of `about`, then the record's own."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": _utc(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_about.get(),
            **_extra(record),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


class PlainFormatter(logging.Formatter):
    """`12:00:00 info     message key=value ...`, and a stack trace only where one was asked for."""

    def __init__(self, traces: bool = False) -> None:
        super().__init__()
        self._traces = traces

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        fields = "".join(f" {key}={value}" for key, value in _extra(record).items())
        line = f"{clock} {record.levelname.lower():8} {record.getMessage()}{fields}"
        if record.exc_info and self._traces:
            line += "\n" + self.formatException(record.exc_info)
        return line


class Handler(logging.StreamHandler):
    """Writes what the formatter makes of a record, whoever logged it, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        return scrub(super().format(record))


def _utc(seconds: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03d}Z"


def set_up(*, as_json: bool = False, debug: bool = False) -> None:
    """Sends this project's logs to stderr. Libraries are heard from warnings on."""
    handler = Handler(sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else PlainFormatter(traces=debug))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("worker").setLevel(logging.DEBUG if debug else logging.INFO)
