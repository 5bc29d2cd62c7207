"""Label files → examples: rows of texts, and what people said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sbert_cluster.corpus.texts import VISIBLE, normalise
from sbert_cluster.errors import InputError
from sbert_cluster.training.columns import Columns, Labels, find_columns, read_label
from sbert_cluster.training.recipe import Kind
from sbert_cluster.types import Rows

FEWEST_ROWS = 8
"""Rows from which on training is tried at all."""


@dataclass(frozen=True)
class Examples:
    """Rows of one label file."""

    kind: Kind
    """What the labels are."""
    rows: Rows
    """int64[n, columns]: numbers of texts; the last column of a triplet may be -1 for none."""
    labels: NDArray[np.float32]
    """float32[n]: 0 or 1, a score in [0, 1], the number of an NLI class; 1 where there are none."""
    name: str = ""
    """The file, for people."""

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, which: Rows | NDArray[np.bool_]) -> Examples:
        """The rows at the given positions, or where the mask is true."""
        return replace(self, rows=self.rows[which], labels=self.labels[which])

    def said(self) -> str:
        """For people."""
        if self.kind is not Kind.LABELS:
            return f"{len(self):,} {_UNITS[self.kind]}"
        same = int(self.labels.sum())
        return f"{len(self):,} pairs, {same:,} the same and {len(self) - same:,} different"


_UNITS = {
    Kind.SCORES: "scored pairs",
    Kind.NLI: "pairs of premise and hypothesis",
    Kind.TRIPLETS: "triplets",
    Kind.POSITIVES: "pairs that mean the same",
    Kind.TEXTS: "texts",
}


@dataclass(frozen=True)
class Labelled:
    """One or more label files over one table of distinct texts."""

    texts: list[str]
    """Distinct texts."""
    sets: tuple[Examples, ...]
    """One a file."""
    notes: tuple[str, ...] = ()
    """What was found and what was left out, for the user."""


def texts_of_rows(labelled: Labelled, examples: Examples) -> list[tuple[str, ...]]:
    """The texts of each row."""
    texts = labelled.texts
    return [tuple(texts[i] for i in row if i >= 0) for row in examples.rows.tolist()]


class TextTable:
    """Numbers distinct texts in the order in which they are met."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        """The number of a text, which may be new."""
        found = self._numbers.setdefault(text, len(self.texts))
        if found == len(self.texts):
            self.texts.append(text)
        return found


@dataclass(frozen=True)
class LabelFile:
    """A frame of labelled rows, and how to read it."""

    frame: pl.DataFrame
    name: str = "labels"
    text_columns: tuple[str, ...] = ()
    """Empty: found by their names."""
    label_column: str | None = None
    """None: found by its name."""


def read_examples(files: Sequence[LabelFile], *, whole: bool = False) -> Labelled:
    """Understand label files.

    Rows with an empty text, rows that compare a text with itself, and pairs that are labelled both
    ways are left out, and counted in the notes.

    Args:
        files: Frames, and how to read them.
        whole: Only rows with an empty text are left out, as published figures have it.

    Raises:
        UsageError: If it is not clear which columns hold texts and labels.
        InputError: If labels cannot be understood, or too few rows are left.
    """
    table, sets, notes = TextTable(), [], []
    for file in files:
        columns = find_columns(file.frame, file.text_columns, file.label_column)
        examples, said = _read_one(file, columns, table, whole=whole)
        sets.append(examples)
        notes += [f"{file.name}: {sentence}" for sentence in (columns.said(), *said)]
    return Labelled(table.texts, tuple(sets), tuple(notes))


def _read_one(
    file: LabelFile, columns: Columns, table: TextTable, *, whole: bool
) -> tuple[Examples, list[str]]:
    frame, notes = _without_blanks(file.frame, columns)
    _refuse_swapped(frame, columns)
    labels = _labels(frame, columns)
    if labels.note:
        notes.append(labels.note)
    texts = [frame[name].cast(pl.String).to_list() for name in columns.texts]
    rows = [[table.number(text) for text in row] for row in zip(*texts, strict=True)]
    numbers = np.array(rows, np.int64).reshape(len(rows), len(columns.texts))
    examples = Examples(labels.kind, numbers, labels.values, file.name)
    said: list[str] = []
    if not whole:
        keep, said = _sound_rows(examples)
        examples = examples.take(keep)
    if len(examples) < FEWEST_ROWS:
        raise InputError(
            f"{file.name} has {len(examples)} usable rows, which is too few to learn or to judge",
            f"Label at least {FEWEST_ROWS}, better some hundred.",
        )
    return examples, [*notes, *said, examples.said()]


def _without_blanks(frame: pl.DataFrame, columns: Columns) -> tuple[pl.DataFrame, list[str]]:
    seen = [pl.col(n).cast(pl.String).str.contains(VISIBLE).fill_null(False) for n in columns.texts]
    if columns.label:
        value = pl.col(columns.label).cast(pl.String).str.strip_chars()
        seen.append((value.is_not_null() & (value != "") & (value != "-")).fill_null(False))
    kept = frame.filter(pl.all_horizontal(seen))
    lost = frame.height - kept.height
    return kept, [f"{lost:,} rows without a text or a label were left out"] if lost else []


def _refuse_swapped(frame: pl.DataFrame, columns: Columns) -> None:
    """Columns of hardly any different values are no texts, above all those of a label."""
    for name in columns.texts:
        values = frame[name].cast(pl.String)
        if frame.height >= FEWEST_ROWS and values.n_unique() <= 3:
            shown = ", ".join(repr(v[:30]) for v in values.unique(maintain_order=True).head(3))
            raise InputError(
                f"column {name!r} holds hardly any different texts ({shown})",
                "Is it the label? Name the columns with -c FIRST -c SECOND --label-column LABEL.",
            )


def _labels(frame: pl.DataFrame, columns: Columns) -> Labels:
    if columns.label:
        is_nli = columns.texts[0].strip().lower() == "premise"
        return read_label(frame[columns.label], is_nli=is_nli)
    kind = {1: Kind.TEXTS, 2: Kind.POSITIVES, 3: Kind.TRIPLETS}[len(columns.texts)]
    return Labels(kind, np.ones(frame.height, np.float32))


def _sound_rows(examples: Examples) -> tuple[NDArray[np.bool_], list[str]]:
    """Rows that say something, and what was left out."""
    rows = examples.rows
    keep = np.ones(len(rows), np.bool_)
    notes = []
    if rows.shape[1] >= 2:
        itself = rows[:, 0] == rows[:, 1]
        keep &= ~itself
        if itself.any():
            notes.append(f"{int(itself.sum()):,} rows that compare a text with itself are left out")
    if examples.kind is Kind.LABELS:
        both = _labelled_both_ways(rows, examples.labels)
        keep &= ~both
        if both.any():
            notes.append(f"{int(both.sum()):,} rows labelled both 0 and 1 elsewhere are left out")
    return keep, notes


def _labelled_both_ways(rows: Rows, labels: NDArray[np.float32]) -> NDArray[np.bool_]:
    said: dict[tuple[int, int], set[float]] = {}
    pairs = [(min(a, b), max(a, b)) for a, b in rows.tolist()]
    for pair, label in zip(pairs, labels.tolist(), strict=True):
        said.setdefault(pair, set()).add(label)
    return np.array([len(said[pair]) > 1 for pair in pairs], np.bool_)


def without_surplus(examples: Examples, most: int, seed: int) -> Examples:
    """Pairs with 0/1 labels, of which the commoner label has at most ``most`` times the rarer's.

    What lies beyond could not be gone through before the rarer pairs are known by heart. Where one
    label is missing altogether, all rows stay.
    """
    if examples.kind is not Kind.LABELS:
        return examples
    sides = [np.flatnonzero(examples.labels <= 0.5), np.flatnonzero(examples.labels > 0.5)]
    rare, common = sorted(sides, key=len)
    if not len(rare) or len(common) <= most * len(rare):
        return examples
    some = np.random.default_rng(seed).choice(common, most * len(rare), replace=False)
    return examples.take(np.sort(np.concatenate([rare, some])))


def forms_of(texts: Sequence[str]) -> Rows:
    """int64[m]: the same number for texts that are the same once normalised."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(normalise(t), len(numbers)) for t in texts], np.int64)
