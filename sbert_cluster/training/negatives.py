"""Hard negatives: texts that the model finds similar, but that the labels say are something else.

In-batch negatives are nearly always about something else entirely, so they are soon too easy. The
exact search finds, for each text, the nearest others in a band of similarity below the positives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.neighbors.search import find_nearest
from sbert_cluster.progress import Progress, silent
from sbert_cluster.types import Rows, Vectors

CANDIDATES = 8
"""Negatives kept for each text; one of them is drawn anew at each step."""
_LOOKED_AT = 4 * CANDIDATES
"""Neighbors looked at, of which some are positives or lie outside the band."""

Scorer = Callable[[Sequence[tuple[str, str]]], NDArray[np.float32]]
"""Judges pairs of texts: the probability that they mean the same."""


@dataclass(frozen=True)
class Negatives:
    """Candidates for each text."""

    rows: Rows
    """int64[texts, candidates]: numbers of texts, the most similar first; -1 where is none."""

    def draw(self, texts: Rows, count: int, random: np.random.Generator) -> Rows:
        """Draw negatives. Shape: (texts, count); -1 where a text has none."""
        found = self.rows[texts]
        there = (found >= 0).sum(axis=1)
        which = (random.random((len(texts), count)) * np.maximum(there, 1)[:, None]).astype(
            np.int64
        )
        return np.take_along_axis(found, which, axis=1)

    @property
    def count(self) -> int:
        """Texts that have at least one."""
        return int((self.rows[:, 0] >= 0).sum()) if self.rows.size else 0


def none_for(texts: int) -> Negatives:
    """No negatives."""
    return Negatives(np.full((texts, 1), -1, np.int64))


def mine(
    vectors: Vectors,
    meaning: Rows,
    band: tuple[float, float],
    progress: Progress = silent,
) -> Negatives:
    """Find negatives by exact search.

    Args:
        vectors: float32[texts, d], unit rows.
        meaning: int64[texts], the labels' closure: texts of one meaning are no negatives.
        band: Similarities that a negative may have. Above it, unlabelled duplicates are too many.
        progress: Told the texts done.
    """
    nearest = find_nearest(vectors, vectors, _LOOKED_AT, same=True, progress=progress)
    rows = nearest.rows
    low, high = band
    fits = (nearest.similarity >= low) & (nearest.similarity <= high)
    fits &= meaning[rows] != meaning[:, None]
    return Negatives(_leftmost(rows, fits))


def _leftmost(rows: Rows, fits: NDArray[np.bool_]) -> Rows:
    """The first fitting entries of each row, -1 behind them."""
    order = np.argsort(~fits, axis=1, kind="stable")[:, :CANDIDATES]
    kept = np.where(np.take_along_axis(fits, order, 1), np.take_along_axis(rows, order, 1), -1)
    return kept.astype(np.int64)


def guarded(
    found: Negatives, texts: Sequence[str], scorer: Scorer, highest: float = 0.3
) -> Negatives:
    """Drop candidates that a cross-encoder takes for the same meaning.

    Args:
        found: What was mined.
        texts: The texts.
        scorer: The cross-encoder.
        highest: Probability up to which a candidate stays.
    """
    text, place = np.nonzero(found.rows >= 0)
    other = found.rows[text, place]
    pairs = [(texts[i], texts[j]) for i, j in zip(text.tolist(), other.tolist(), strict=True)]
    stays = np.zeros(found.rows.shape, np.bool_)
    if pairs:
        stays[text, place] = scorer(pairs) <= highest
    return Negatives(_leftmost(found.rows, stays))
