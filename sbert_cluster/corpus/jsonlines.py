"""JSON lines → rows, each with its record as it stands in the file."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import polars as pl

from sbert_cluster.corpus.lines import Parsed, split_lines, strip_line_ends
from sbert_cluster.errors import InputError

_LONE_SURROGATE = re.compile(
    r"\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")


def parse_jsonl(text: str, name: str) -> Parsed:
    """Read one object a line; blank lines are skipped.

    A column whose values do not share a type becomes text: strings stay, others as JSON.

    Args:
        text: Content of the file, not empty.
        name: The file's name, for errors.

    Raises:
        InputError: If a line is not a JSON object, or there is none.
    """
    lines = split_lines(text)
    kept = [line for line in lines if line.strip()]
    if not kept:
        raise InputError(f"{name} has no rows", "Write one JSON object a line.")
    records, newline = strip_line_ends(kept)
    frame = _fast(text, len(records))
    if frame is None:
        objects = _objects(lines, name)
        frame = frame_of_objects(objects)
    if not frame.width:
        raise InputError(f"{name} has no columns", "Write objects with at least one key.")
    return Parsed(frame, records, newline)


def frame_of_objects(objects: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """A column for every key, in order of appearance; a missing key is null."""
    names = dict.fromkeys(key for row in objects for key in row)
    columns = [_series(name, [row.get(name) for row in objects]) for name in names]
    return pl.DataFrame(columns)


def _fast(text: str, rows: int) -> pl.DataFrame | None:
    """As polars reads it; None where it cannot, or not exactly."""
    if "\\u" in text and _LONE_SURROGATE.search(text):
        return None  # polars makes a NUL of it
    try:
        frame = pl.read_ndjson(text.encode(), infer_schema_length=None)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, OSError):
        return None
    return frame if frame.height == rows else None


def _objects(lines: Sequence[str], name: str) -> list[dict[str, Any]]:
    objects = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line, strict=False)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deep"
            raise InputError(
                f"{name}: line {number:,} is not JSON ({reason})", "Write one JSON object a line."
            ) from None
        if not isinstance(value, dict):
            raise InputError(
                f"{name}: line {number:,} is a JSON {type(value).__name__}, not an object",
                'Write one object a line, such as {"text": "..."}.',
            )
        objects.append({_valid(key): item for key, item in value.items()})
    return objects


def _series(name: str, values: list[Any]) -> pl.Series:
    present = {type(value) for value in values if value is not None}
    if present in ({int, float}, {int}, {float}, {bool}, {list}, {dict}):
        if present == {int, float}:
            values = [None if value is None else float(value) for value in values]
        try:
            return pl.Series(name, values, strict=True)
        except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError):
            pass  # numbers beyond 128 bits, or lists of mixed things
    return pl.Series(name, [_text(value) for value in values], dtype=pl.String)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value and _valid(value)
    return _valid(json.dumps(value, ensure_ascii=False))


def _valid(text: str) -> str:
    """The text with lone surrogates, which no encoding can hold, as U+FFFD."""
    return _SURROGATE.sub("\ufffd", text)
