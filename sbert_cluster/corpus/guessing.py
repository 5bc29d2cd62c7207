"""Which of several columns most likely holds the text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import IntEnum

import polars as pl

_SAMPLE = 1_000
_LONGER = 2.0
"""How many times longer the texts of a column must be to stand out."""
_SHORTEST = 10
"""Characters that the texts of such a column have at least, on average."""

USUAL_NAMES = frozenset(
    {"text", "question", "sentence", "content", "body", "message", "comment", "review"}
    | {"description", "title", "query", "utterance", "document", "abstract", "summary"}
    | {"headline", "tweet", "post", "prompt"}
)
"""Names that columns of texts have, in lower case."""

_ENOUGH = 10
"""Values from which on few different ones are categories."""
_LONGEST_CATEGORY = 25
"""Characters that the name of a category has at most, on average."""

_LETTER = re.compile(r"[^\W\d_]")
_DATE = re.compile(
    r"\d{1,4}[-/. ](\d{1,2}|[A-Za-z]{3,9})[-/. ]\d{1,4}([ T]\d{1,2}:\d{2}\S*( ?[AP]M)?)?"
    r"|[A-Za-z]{3,9} \d{1,2},? \d{4}",
    re.IGNORECASE,
)
_YES_NO = frozenset({"true", "false", "yes", "no", "y", "n", "t", "f", "na", "n/a", "none", "null"})
_CODE = re.compile(r"[\x21-\x7e]+")


class Look(IntEnum):
    """What the values of a column look like; the higher, the likelier a text."""

    VALUE = 0
    """Numbers, dates or yes and no."""
    LABEL = 1
    """Ids, codes, single words or a few categories."""
    TEXT = 2
    """Anything else."""


def look_of(values: Sequence[str]) -> Look:
    """Judge non-empty values of a column.

    Args:
        values: Up to a thousand values; none is empty.
    """
    count = max(1, len(values))
    if not values:
        return Look.LABEL
    plain = [value.strip() for value in values]
    if sum(_is_value(value) for value in plain) >= 0.95 * count:
        return Look.VALUE
    if sum(_CODE.fullmatch(value) is not None for value in plain) >= 0.95 * count:
        return Look.LABEL
    few = count >= _ENOUGH and len(set(plain)) <= 0.2 * count
    return Look.LABEL if few and _mean_length(plain) <= _LONGEST_CATEGORY else Look.TEXT


def likely_text_columns(frame: pl.DataFrame, names: Sequence[str]) -> tuple[list[str], str]:
    """Columns that may be the text; a single one if it is clear which.

    Args:
        frame: The rows.
        names: String columns to choose from; at least one.

    Returns:
        The candidates, and by what the single one was found.
    """
    if len(names) == 1:
        return list(names), "the only column of strings"
    samples = {name: _sample(frame, name) for name in names}
    looks = {name: look_of(values) for name, values in samples.items()}
    usual = [
        name
        for name in names
        if name.strip().lower() in USUAL_NAMES and looks[name] is not Look.VALUE
    ]
    if usual:
        longest = _by_far_longest(usual, samples)
        return ([longest], "found by its name") if longest else (usual, "")
    best = max(looks.values())
    texts = [name for name in names if looks[name] is best]
    if len(texts) == 1 and best is not Look.VALUE:
        return texts, "the only column of texts"
    longest = _by_far_longest(texts, samples)
    return ([longest], "found by its longer texts") if longest else (texts, "")


def _by_far_longest(names: Sequence[str], samples: dict[str, list[str]]) -> str | None:
    if len(names) == 1:
        return names[0]
    lengths = sorted(((_mean_length(samples[name]), name) for name in names), reverse=True)
    (length, longest), (next_length, _) = lengths[:2]
    return longest if length >= max(_SHORTEST, _LONGER * next_length) else None


def _sample(frame: pl.DataFrame, name: str) -> list[str]:
    """Up to a thousand non-empty values, spread over all rows."""
    values = frame.get_column(name).cast(pl.String).drop_nulls()
    values = values.filter(values.str.contains(r"\S"))
    step = max(1, len(values) // _SAMPLE)
    sample: list[str] = values.gather_every(step).head(_SAMPLE).to_list()
    return sample


def _is_value(text: str) -> bool:
    return (
        not _LETTER.search(text)
        or text.lower() in _YES_NO
        or _DATE.fullmatch(text) is not None
        or _is_float(text)
    )


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _mean_length(values: Sequence[str]) -> float:
    return sum(map(len, values)) / max(1, len(values))
