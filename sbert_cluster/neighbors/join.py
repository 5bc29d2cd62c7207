"""Every pair at or above a threshold: complete, blocked, with bounded memory and no cap.

Blocks of float32 products propose pairs, with an allowance for rounding; each proposal is then
decided by :func:`~sbert_cluster.neighbors.similarity.cosine`. So nothing is missed, and the answer
does not depend on the size of the blocks or the number of threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sbert_cluster.neighbors.similarity import cosine, rounding_allowance
from sbert_cluster.progress import Progress, silent
from sbert_cluster.types import Histogram, Pairs, Reason, Rows, SearchCertificate, Vectors

BLOCK_ROWS = 1_024
"""Rows on the left of a block."""
BLOCK_COLUMNS = 4_096
"""Rows on the right; a block of products is 16 MB."""
BORDERLINE = 5e-4
"""Half-width of the band around the threshold in which another number format could differ."""


@dataclass(frozen=True)
class Join:
    """The pairs found, and what was looked at."""

    pairs: Pairs
    """Reason ``semantic`` for all; no particular order."""
    certificate: SearchCertificate
    """What was compared."""


def find_pairs(vectors: Vectors, threshold: float, progress: Progress = silent) -> Join:
    """Find every pair of rows with cosine ≥ threshold.

    Args:
        vectors: float32[n, d], unit or zero rows; a zero row is in no pair.
        threshold: In (0, 1].
        progress: Told the rows compared with all before them.

    Returns:
        Pairs with left < right.
    """
    n = len(vectors)
    found = _Collector(vectors, vectors, threshold)
    for start in range(0, n, BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, n)
        for columns, products in _products(vectors, slice(start, stop), vectors[:stop]):
            # Only what lies below the diagonal: row > column.
            below = np.arange(start, stop)[:, None] > np.arange(*columns.indices(stop))[None, :]
            found.add(start, columns.start, products, below if columns.stop > start else None)
        progress("comparing", stop, n, "rows")
    return found.join(n * (n - 1) // 2, swap=True)


def find_pairs_between(
    left: Vectors, right: Vectors, threshold: float, progress: Progress = silent
) -> Join:
    """Find every pair of a row of ``left`` and a row of ``right`` with cosine ≥ threshold.

    Args:
        left: float32[n, d], unit or zero rows.
        right: float32[m, d], likewise.
        threshold: In (0, 1].
        progress: Told the rows of ``left`` compared.

    Returns:
        Pairs whose ``left`` is a row of ``left`` and whose ``right`` is a row of ``right``.

    Raises:
        ValueError: If the vectors have different lengths.
    """
    if left.shape[1] != right.shape[1]:
        raise ValueError(f"vectors of {left.shape[1]} and of {right.shape[1]} dimensions")
    found = _Collector(left, right, threshold)
    for start in range(0, len(left), BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, len(left))
        for columns, products in _products(left, slice(start, stop), right):
            found.add(start, columns.start, products, None)
        progress("comparing", stop, len(left), "rows")
    return found.join(len(left) * len(right), swap=False)


def nearest_histogram(vectors: Vectors, *, seed: int = 0, bins: int = 50) -> Histogram:
    """How similar rows are to their nearest other row, for all rows or a seeded sample.

    Args:
        vectors: float32[n, d], unit or zero rows.
        seed: Of the sample.
        bins: Number of bins over [0, 1]; what is below 0 counts in the first.
    """
    n = len(vectors)
    edges = np.linspace(0, 1, bins + 1)
    size = min(n, max(200, 100_000_000 // max(n, 1)))
    if n < 2:
        return Histogram(edges, np.zeros(bins, np.int64), 0)
    rows = np.sort(np.random.default_rng(seed).choice(n, size, replace=False))
    best = np.full(size, -1, np.float32)
    for start in range(0, size, BLOCK_ROWS):
        part = rows[start : start + BLOCK_ROWS]
        for columns, products in _products(vectors[part], slice(None), vectors):
            inside = (part >= columns.start) & (part < columns.stop)
            products[np.flatnonzero(inside), part[inside] - columns.start] = -1
            best[start : start + len(part)] = np.maximum(
                best[start : start + len(part)], products.max(axis=1)
            )
    counts, _ = np.histogram(np.clip(best, 0, 1), edges)
    return Histogram(edges, counts.astype(np.int64), size)


def _products(left: Vectors, rows: slice, right: Vectors) -> Iterator[tuple[slice, Vectors]]:
    """Blocks of ``left[rows] @ right.T``, each with the rows of ``right`` that it covers."""
    for start in range(0, len(right), BLOCK_COLUMNS):
        columns = slice(start, min(start + BLOCK_COLUMNS, len(right)))
        yield columns, left[rows] @ right[columns].T


class _Collector:
    """Gathers proposals block by block, and decides them."""

    def __init__(self, left: Vectors, right: Vectors, threshold: float) -> None:
        self._left, self._right = left, right
        # Compared in float32, as they are stored: no stored pair is below its threshold.
        self._threshold = np.float32(threshold)
        self._proposed_from = threshold - BORDERLINE - rounding_allowance(left.shape[1])
        self._parts: list[Pairs] = []
        self._borderline = 0

    def add(
        self,
        row: int,
        column: int,
        products: Vectors,
        where: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] | None,
    ) -> None:
        near = products >= self._proposed_from
        if where is not None:
            near &= where
        i, j = np.nonzero(near)
        if not len(i):
            return
        left, right = i + row, j + column
        similarity = cosine(self._left, left, self._right, right)
        self._borderline += int(
            np.count_nonzero(np.abs(similarity.astype(np.float64) - self._threshold) <= BORDERLINE)
        )
        found = similarity >= self._threshold
        self._parts.append(_semantic(left[found], right[found], similarity[found]))

    def join(self, possible: int, *, swap: bool) -> Join:
        """All pairs found; ``swap`` turns row > column into left < right."""
        left, right, similarity = (
            np.concatenate([getattr(part, name) for part in [Pairs.empty(), *self._parts]])
            for name in ("left", "right", "similarity")
        )
        pairs = _semantic(right, left, similarity) if swap else _semantic(left, right, similarity)
        return Join(pairs, SearchCertificate(True, possible, possible, self._borderline))


def _semantic(
    left: Rows, right: Rows, similarity: np.ndarray[tuple[int], np.dtype[np.float32]]
) -> Pairs:
    return Pairs(left, right, similarity, np.full(len(left), Reason.SEMANTIC, np.uint8))


def seconds_to_compare(pairs: int, dimensions: int) -> float:
    """Rough seconds to compare that many pairs, from a probe of a few blocks."""
    import time

    block = np.ones((BLOCK_ROWS, dimensions), np.float32)
    other = np.ones((BLOCK_COLUMNS, dimensions), np.float32)
    begun = time.perf_counter()
    for _ in range(3):
        np.count_nonzero(block @ other.T >= 2)
    return pairs * (time.perf_counter() - begun) / (3 * BLOCK_ROWS * BLOCK_COLUMNS)
