"""Text files as people's editors write them, and errors that never repeat what stands in them."""

from __future__ import annotations

import codecs
from pathlib import Path

# Windows' editors and shells begin a file with one of these; of UTF-8 files some do so too.
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class TextError(ValueError):
    """A file that cannot be read as text; says why in a few words, without a byte of the file."""


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, or in what its byte-order mark says. `~` is the user's home.

    Raises TextError.
    """
    try:
        data = path.expanduser().read_bytes()
    except OSError as error:
        raise TextError(error.strerror or type(error).__name__) from None
    except RuntimeError:
        raise TextError("this user has no home that ~ could stand for") from None
    encoding = next((name for mark, name in MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        raise TextError("it is not text in UTF-8") from None
