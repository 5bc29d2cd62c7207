"""Which columns of a label file hold the texts and the label, by their names and values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sbert_cluster.corpus.columns import is_string, listed, require_column
from sbert_cluster.errors import InputError, UsageError
from sbert_cluster.training.recipe import Kind

_TEXTS = (
    ("anchor", "positive", "negative"),
    ("query", "positive", "negative"),
    ("premise", "hypothesis"),
    ("text_a", "text_b"),
    ("sentence1", "sentence2"),
    ("question1", "question2"),
    ("sentence_a", "sentence_b"),
    ("text1", "text2"),
    ("text", "text2"),
    ("anchor", "positive"),
    ("query", "positive"),
    ("left", "right"),
)
"""Usual names of text columns, in lower case; the first set that is there is taken."""
_LABELS = (
    *("label", "is_duplicate", "duplicate", "same", "gold_label", "gold", "decision", "score"),
    *("similarity", "similarity_score", "relatedness", "relatedness_score", "entailment"),
)
"""Usual names of the label column, the likeliest first."""
_WORDS = {
    **dict.fromkeys(("1", "1.0", "true", "yes", "same", "duplicate"), 1.0),
    **dict.fromkeys(("0", "0.0", "false", "no", "different", "distinct"), 0.0),
}
"""Words for yes and no."""
NLI_CLASSES = ("entailment", "neutral", "contradiction")
"""Classes of natural language inference, in the usual order of their numbers."""


@dataclass(frozen=True)
class Columns:
    """Where the texts and the labels of a file stand."""

    texts: tuple[str, ...]
    """One (texts alone), two (pairs) or three (triplets) columns."""
    label: str | None
    """Column of the labels; None for triplets, positives and texts alone."""

    def said(self) -> str:
        """For people."""
        texts = " and ".join(repr(name) for name in self.texts)
        return f"texts: {texts}" + (f", label: {self.label!r}" if self.label else ", no label")


def find_columns(
    frame: pl.DataFrame, texts: Sequence[str], label: str | None, *, one_text: bool = False
) -> Columns:
    """Find the text columns and the label column.

    Args:
        frame: The rows.
        texts: What the user named; empty: found by their usual names, or because there are no
            other columns of strings.
        label: What the user named; None: likewise.
        one_text: A text alone may have a label as well: a class.

    Raises:
        UsageError: If a named column is missing, or it is not clear which hold the texts.
    """
    for name in (*texts, *([label] if label else [])):
        require_column(frame, name)
    lower = {name.strip().lower(): name for name in frame.columns}
    label = label or next((lower[name] for name in _LABELS if name in lower), None)
    alone = ("text",) if one_text and {"text", "text2"} & set(frame.columns) == {"text"} else ()
    found = tuple(texts) or alone or _usual(lower) or _only_strings(frame, label)
    if not 1 <= len(found) <= 3:
        raise UsageError(
            f"{len(found)} text columns were named; pairs have two, triplets three",
            "Name them with -c FIRST -c SECOND.",
        )
    if label in found:
        raise UsageError(
            f"column {label!r} cannot be both a text and the label",
            "Name the others with --text-column and --label-column.",
        )
    return Columns(found, label if len(found) == 2 or one_text else None)


def _usual(lower: dict[str, str]) -> tuple[str, ...]:
    for names in _TEXTS:
        if all(name in lower for name in names):
            return tuple(lower[name] for name in names)
    return ()


def _only_strings(frame: pl.DataFrame, label: str | None) -> tuple[str, ...]:
    strings = tuple(n for n, t in frame.schema.items() if is_string(t) and n != label)
    if len(strings) in (1, 2):
        return strings
    raise UsageError(
        "which columns hold the two texts of a pair is not clear",
        f"Name them with -c FIRST -c SECOND; the columns are {listed(frame.columns)}.",
    )


@dataclass(frozen=True)
class Labels:
    """The values of a label column, understood."""

    kind: Kind
    values: NDArray[np.float32]
    """float32[n]: 0 or 1, a score in [0, 1], or the number of an NLI class."""
    note: str = ""
    """What was done to them, for the user."""


def read_label(column: pl.Series, *, is_nli: bool = False) -> Labels:
    """Understand a column of labels: 0 and 1 (or words for them), scores, or NLI classes.

    Args:
        column: No value is null.
        is_nli: The texts are a premise and a hypothesis, so 0, 1 and 2 are classes.

    Raises:
        InputError: For anything else, with the first value that is wrong.
    """
    values = [_plain(value) for value in column.to_list()]
    kinds = set(values)
    if kinds <= set(NLI_CLASSES):
        numbers = [NLI_CLASSES.index(value) for value in values]
        return Labels(Kind.NLI, np.array(numbers, np.float32))
    if is_nli and kinds <= {"0", "1", "2"} and len(kinds) == 3:
        note = "labels 0, 1, 2 are taken for entailment, neutral, contradiction"
        return Labels(Kind.NLI, np.array([float(v) for v in values], np.float32), note)
    if kinds <= set(_WORDS):
        return Labels(Kind.LABELS, np.array([_WORDS[v] for v in values], np.float32))
    return _scores(column.name, values)


def _scores(name: str, values: list[str]) -> Labels:
    numbers = []
    for row, value in enumerate(values):
        try:
            numbers.append(float(value))
        except ValueError:
            raise InputError(
                f"column {name!r} holds {value[:40]!r} in row {row}, which is no label",
                "Labels are 0 and 1, numbers, or entailment, neutral and contradiction; "
                "--label-column names the column.",
            ) from None
    made = np.array(numbers, np.float32)
    if not np.isfinite(made).all():
        raise InputError(f"column {name!r} holds values that are no numbers", "Remove these rows.")
    low, high = float(made.min()), float(made.max())
    if low < 0 or high == low:
        raise InputError(
            f"the scores in column {name!r} go from {low:g} to {high:g}",
            "Scores start at 0 or above, and differ.",
        )
    if high <= 1:
        return Labels(Kind.SCORES, made)
    return Labels(Kind.SCORES, made / high, f"scores were divided by {high:g}, the highest")


def _plain(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip().lower()
