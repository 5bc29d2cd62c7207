"""What of a result goes into a page: all of it, until a browser would choke on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sbert_cluster.report.figures import GroupView, identity, views
from sbert_cluster.types import DedupResult

MAX_ROWS = 50_000
"""Removed rows in a page."""
MAX_CHARACTERS = 2_000
"""Of one text in a page."""
MAX_CHARACTERS_IN_ALL = 16_000_000
"""Of all texts in a page."""


@dataclass(frozen=True)
class Embedded:
    """Groups in the form that the page's script reads, and what had to stay out."""

    groups: list[list[Any]]
    """``[lowest, [row, id, text], [[row, id, similarity, reason, text], …], rows left out]``,
    where a text is a string, ``[first characters, length]`` if it was cut, and None if it is
    the kept row's text."""
    rows_shown: int
    """Removed rows in ``groups``."""
    rows_in_all: int
    """Removed rows of the result."""
    texts_cut: int
    """Texts longer than ``MAX_CHARACTERS``."""


def embed(result: DedupResult) -> Embedded:
    """Choose the rows and texts of a page; where rows stay out, small groups stay whole."""
    groups = list(views(result))
    sizes = [len(view.removed) for view in groups]
    writer = _Writer(result)
    share = fair_share(sizes, MAX_ROWS)
    written = [writer.group(view, share) for view in groups[:MAX_ROWS]]
    shown = [group for group in written if group[2]]
    rows = sum(len(group[2]) for group in shown)
    return Embedded(shown, rows, sum(sizes), writer.texts_cut)


def fair_share(sizes: Sequence[int], room: int) -> int:
    """The largest number of rows that every group may show, so that all fit.

    Args:
        sizes: Rows of each group.
        room: Rows that fit in all.

    Returns:
        At least 1, and the largest size when everything fits.
    """
    low, high = 1, max([1, *sizes])
    lengths = np.asarray(sizes, np.int64)
    while low < high:
        middle = (low + high + 1) // 2
        fits = int(np.minimum(lengths, middle).sum()) <= room
        low, high = (middle, high) if fits else (low, middle - 1)
    return low


class _Writer:
    """Writes groups until the page is full."""

    def __init__(self, result: DedupResult) -> None:
        self._result = result
        self._kept_corpus = result.corpus if result.reference is None else result.reference
        self._kept_texts = result.texts if result.reference is None else result.reference_texts
        self._room = MAX_CHARACTERS_IN_ALL
        self.texts_cut = 0

    def group(self, view: GroupView, share: int) -> list[Any]:
        kept = self._kept_texts[view.kept] if self._kept_texts else ""
        name = identity(self._kept_corpus, view.kept)
        members = [self._member(int(row), kept) for row in view.removed[:share] if self._room > 0]
        left_out = len(view.removed) - len(members)
        return [round(view.lowest, 4), [view.kept, name, self._text(kept)], members, left_out]

    def _member(self, row: int, kept: str) -> list[Any]:
        groups, text = self._result.groups, self._result.texts[row]
        written = None if text == kept else self._text(text)
        similarity = _finite(float(groups.similarity[row]))
        name = identity(self._result.corpus, row)
        return [row, name, similarity, int(groups.reason[row]), written]

    def _text(self, text: str) -> str | list[Any]:
        self._room -= min(len(text), MAX_CHARACTERS)
        if len(text) <= MAX_CHARACTERS:
            return text
        self.texts_cut += 1
        return [text[:MAX_CHARACTERS], len(text)]


def _finite(value: float) -> float | None:
    return round(value, 4) if np.isfinite(value) else None
