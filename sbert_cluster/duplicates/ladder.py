"""The rungs that find duplicates: same text, same text once normalised, similar vectors.

Rows with the same text are folded onto one *unit* first, so that a text is encoded and compared
once however often it occurs. Units whose texts are equal once normalised have similarity 1 by
definition; all others have the cosine of their vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.corpus.texts import distinct, normalise
from sbert_cluster.types import Pairs, Reason, Rows, Vectors


@dataclass(frozen=True)
class Units:
    """Rows folded onto distinct texts (or distinct vectors, where the user brought them)."""

    first: Rows
    """int64[m]: first row of each unit; rising."""
    index: Rows
    """int64[n]: unit of each row; -1 for a row that takes no part."""
    text: Rows
    """int64[m]: equal for units of the same text; -1 where there is no text."""
    form: Rows
    """int64[m]: equal for units of the same normalised text; -1 where there is no text."""
    lifted: bool
    """Whether units of the same form have similarity 1; not so for vectors that users bring, since
    there the vectors decide and the texts only explain."""

    def __len__(self) -> int:
        return len(self.first)

    def copies(self) -> Rows:
        """int64: rows whose unit was seen before, in row order."""
        repeats = self.index >= 0
        repeats[self.first] = False
        return np.flatnonzero(repeats)

    def same_text(self, left: Rows, right: Rows) -> NDArray[np.bool_]:
        """bool[k]: the units left[i] and right[i] have the same text."""
        same: NDArray[np.bool_] = self.text[left] == self.text[right]
        return same & (self.text[left] >= 0)

    def same_form(self, left: Rows, right: Rows) -> NDArray[np.bool_]:
        """bool[k]: the units left[i] and right[i] have the same normalised text."""
        same: NDArray[np.bool_] = self.form[left] == self.form[right]
        return same & (self.form[left] >= 0)

    def reasons(self, left: Rows, right: Rows) -> NDArray[np.uint8]:
        """uint8[k]: the first rung that holds for the units left[i] and right[i]."""
        semantic = np.where(self.same_form(left, right), Reason.NORMALISED, Reason.SEMANTIC)
        return np.where(self.same_text(left, right), Reason.EXACT, semantic).astype(np.uint8)

    def reasons_of_copies(self, unit: Rows) -> NDArray[np.uint8]:
        """uint8[k]: rows of one unit have the same text; where there is none, the vector."""
        return np.where(self.text[unit] >= 0, Reason.EXACT, Reason.SEMANTIC).astype(np.uint8)


def units_of_texts(texts: Sequence[str]) -> Units:
    """Fold rows by their text.

    Args:
        texts: str[n]; an empty text takes no part.
    """
    folded = distinct(texts)
    forms: dict[str, int] = {}
    form = [forms.setdefault(normalise(texts[row]), row) for row in folded.first]
    number = np.arange(len(folded.first), dtype=np.int64)
    return Units(folded.first, folded.index, number, np.array(form, np.int64), lifted=True)


def units_of_vectors(vectors: Vectors, present: NDArray[np.bool_], texts: Sequence[str]) -> Units:
    """Fold rows by vector and text. A vector of zeros is similar to nothing, so it is never folded.

    Args:
        vectors: float32[n, d].
        present: bool[n]: the row has a vector.
        texts: str[n]; empty where there is none.
    """
    seen: dict[tuple[bytes, str] | int, int] = {}
    zero: NDArray[np.bool_] = np.logical_not(vectors.any(axis=1))
    index = np.full(len(vectors), -1, np.int64)
    first: list[int] = []
    for row in np.flatnonzero(present).tolist():
        key = row if zero[row] else (vectors[row].tobytes(), texts[row])
        unit = seen.setdefault(key, len(seen))
        index[row] = unit
        if unit == len(first):
            first.append(row)
    text = _numbered([texts[row] for row in first])
    form = _numbered([normalise(texts[row]) if texts[row] else "" for row in first])
    return Units(np.array(first, np.int64), index, text, form, lifted=False)


def _numbered(texts: Sequence[str]) -> Rows:
    """int64: the same number for the same text, -1 for an empty one."""
    return distinct(texts).index


def lift(units: Units, pairs: Pairs) -> Pairs:
    """Give units of the same form similarity 1, and every pair its reason.

    Args:
        units: What the pairs are between.
        pairs: Pairs of units found by their vectors, left < right.

    Returns:
        The pairs, those of the same form added where their vectors are below the threshold.
    """
    if units.lifted:
        other = pairs.take(~units.same_form(pairs.left, pairs.right))
        left, right = same_form_pairs(units)
        ones = np.ones(len(left), np.float32)
        pairs = Pairs(
            np.concatenate([other.left, left]),
            np.concatenate([other.right, right]),
            np.concatenate([other.similarity, ones]),
            np.empty(len(other) + len(left), np.uint8),
        )
    reasons = units.reasons(pairs.left, pairs.right)
    return Pairs(pairs.left, pairs.right, pairs.similarity, reasons)


def same_form_pairs(units: Units) -> tuple[Rows, Rows]:
    """All pairs of units of one form, left < right."""
    none = np.empty(0, np.int64)
    lefts, rights = [none], [none]
    for members in _runs(units.form):
        i, j = np.triu_indices(len(members), 1)
        lefts.append(members[i])
        rights.append(members[j])
    return np.concatenate(lefts), np.concatenate(rights)


def _runs(form: Rows) -> Iterator[Rows]:
    """The units of each form that has several, in rising order."""
    order = np.argsort(form, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(form[order])) + 1):
        if len(members) > 1 and form[members[0]] >= 0:
            yield members


def pairs_of_rows(units: Units, pairs: Pairs) -> Pairs:
    """Pairs of units as pairs of rows, for ``pairs.parquet``.

    Each unit stands for its first row; its copies are joined to that row only (a star, not a
    clique), which tells the same and does not grow with the square of the copies.
    """
    copies = units.copies()
    unit = units.index[copies]
    return Pairs(
        np.concatenate([units.first[unit], units.first[pairs.left]]),
        np.concatenate([copies, units.first[pairs.right]]),
        np.concatenate([np.ones(len(copies), np.float32), pairs.similarity]),
        np.concatenate([units.reasons_of_copies(unit), pairs.reason]),
    ).ordered()
