"""Text → lines and records, and one text a line."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

_OLD_MAC_LINE = re.compile(r"[^\r]*\r|[^\r]+")


@dataclass(frozen=True)
class Parsed:
    """The rows of one text file."""

    frame: pl.DataFrame
    """All columns."""
    records: list[str]
    """str[n]: each row as it stands in the file, without line end."""
    newline: str
    """Between records."""
    delimiter: str = ","
    """Between fields; CSV and TSV only."""
    header: str = ""
    """First record without line end; CSV and TSV only."""
    note: str | None = None
    """What was guessed, for the user."""


def split_lines(text: str) -> list[str]:
    r"""Lines with their ends.

    Lines end in ``\n`` only, so that a lone ``\r`` inside a field survives (and unlike
    ``str.splitlines``, which breaks at form feeds and U+2028). A text that has ``\r`` but no
    ``\n`` at all is from an old Mac and ends its lines in ``\r``.
    """
    if is_old_mac(text):
        return _OLD_MAC_LINE.findall(text)
    return io.StringIO(text, newline="\n").readlines()


def is_old_mac(text: str) -> bool:
    r"""Whether lines end in ``\r``."""
    return "\n" not in text and "\r" in text


def strip_line_ends(records: Sequence[str]) -> tuple[list[str], str]:
    r"""Records without line ends, and the line end of the file.

    The line end is ``\r\n`` only if every record has it. In a file with both kinds the ``\r``
    stays part of its record, so that writing record + ``\n`` gives the same bytes again.

    Args:
        records: Records with line ends; the last may have none. At least one.
    """
    if records[0].endswith("\r"):  # of an old Mac: elsewhere the first record ends in "\\n"
        return [record.removesuffix("\r") for record in records], "\r"
    bare = [record.removesuffix("\n") for record in records]
    ended = len(bare) - (not records[-1].endswith("\n"))
    if ended and all(record.endswith("\r") for record in bare[:ended]):
        return [record[:-1] for record in bare[:ended]] + bare[ended:], "\r\n"
    return bare, "\n"


def parse_text(text: str) -> Parsed:
    r"""One text a line, in a column ``text``; blank lines are rows without a text.

    Args:
        text: Content of the file, not empty.
    """
    records, newline = strip_line_ends(split_lines(text))
    values = [record.removesuffix("\r") or None for record in records]
    return Parsed(pl.DataFrame({"text": pl.Series(values, dtype=pl.String)}), records, newline)
