"""Every pair at or above a threshold: complete, blocked, with bounded memory and no cap.

Blocks of products propose pairs: of whole vectors, or of the short prefixes of
:mod:`~sbert_cluster.neighbors.nearest.prefix`, whose products are upper bounds. Each proposal is then
decided by :func:`~sbert_cluster.neighbors.similarity.cosine`. So nothing is missed, and the answer
does not depend on the size of the blocks, the length of the prefix or the number of threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sbert_cluster.neighbors.nearest.prefix import choose_prefix
from sbert_cluster.neighbors.similarity import cosine, rounding_allowance
from sbert_cluster.progress import Progress, silent
from sbert_cluster.types import Histogram, Pairs, Reason, Rows, SearchCertificate, Vectors

BLOCK_ROWS = 1_024
"""Rows on either side of a block; its products, 4 MB, stay in the cache of the cores."""
BORDERLINE = 5e-4
"""Half-width of the band around the threshold in which another number format could differ."""
_SCREEN_PAIRS = 1 << 16
"""Proposals that are screened at a time; 2 × 2^16 rows of 384 floats are 200 MB."""


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
        progress: Told the pairs compared.

    Returns:
        Pairs with left < right.
    """
    n = len(vectors)
    tiles = _Tiles(vectors, vectors, threshold)
    for start in range(0, n, BLOCK_ROWS):
        for column in range(0, start + 1, BLOCK_ROWS):
            tiles.compare(start, column, below_diagonal=column == start)
        stop = min(start + BLOCK_ROWS, n)
        progress("comparing", stop * (stop - 1) // 2, n * (n - 1) // 2, "pairs")
    return tiles.join(n * (n - 1) // 2, swap=True)


def find_pairs_between(
    left: Vectors, right: Vectors, threshold: float, progress: Progress = silent
) -> Join:
    """Find every pair of a row of ``left`` and a row of ``right`` with cosine ≥ threshold.

    Args:
        left: float32[n, d], unit or zero rows.
        right: float32[m, d], likewise.
        threshold: In (0, 1].
        progress: Told the pairs compared.

    Returns:
        Pairs whose ``left`` is a row of ``left`` and whose ``right`` is a row of ``right``.

    Raises:
        ValueError: If the vectors have different lengths.
    """
    if left.shape[1] != right.shape[1]:
        raise ValueError(f"vectors of {left.shape[1]} and of {right.shape[1]} dimensions")
    tiles = _Tiles(left, right, threshold)
    possible = len(left) * len(right)
    for start in range(0, len(left), BLOCK_ROWS):
        for column in range(0, len(right), BLOCK_ROWS):
            tiles.compare(start, column, below_diagonal=False)
        progress("comparing", min(start + BLOCK_ROWS, len(left)) * len(right), possible, "pairs")
    return tiles.join(possible, swap=False)


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
    for start in range(0, len(right), BLOCK_ROWS):
        columns = slice(start, min(start + BLOCK_ROWS, len(right)))
        yield columns, left[rows] @ right[columns].T


class _Tiles:
    """Compares two sets of rows tile by tile, and gathers what it finds."""

    def __init__(self, left: Vectors, right: Vectors, threshold: float) -> None:
        import torch

        self._left, self._right = left, right
        # Compared in float32, as they are stored: no stored pair is below its threshold.
        self._threshold = np.float32(threshold)
        lowest = threshold - BORDERLINE
        self._screen_from = lowest - rounding_allowance(left.shape[1])
        prefix = choose_prefix(left if len(left) >= len(right) else right, lowest)
        self._propose_from = lowest - prefix.allowance
        self._left_bounds = torch.from_numpy(prefix.of(left))
        same = right is left
        self._right_bounds = self._left_bounds if same else torch.from_numpy(prefix.of(right))
        # One buffer for all tiles: memory that is fresh from the system costs as much as a product.
        self._bounds = torch.empty(BLOCK_ROWS * BLOCK_ROWS)
        self._proposals: list[tuple[Rows, Rows]] = []
        self._waiting = 0
        self._parts: list[Pairs] = []
        self._borderline = self._scored = 0

    def compare(self, row: int, column: int, *, below_diagonal: bool) -> None:
        """Compare the tile that begins at a row of each side."""
        import torch

        one = self._left_bounds[row : row + BLOCK_ROWS]
        other = self._right_bounds[column : column + BLOCK_ROWS]
        bounds = self._bounds[: len(one) * len(other)].view(len(one), len(other))
        torch.mm(one, other.T, out=bounds)
        # Most rows of a tile have no pair at all, and a row's maximum is the quickest to tell.
        rows = (bounds.amax(dim=1) >= self._propose_from).nonzero()[:, 0]
        if not len(rows):
            return
        i, j = (bounds[rows] >= self._propose_from).nonzero(as_tuple=True)
        left, right = (rows[i] + row).numpy(), (j + column).numpy()
        if below_diagonal:
            left, right = left[left > right], right[left > right]
        self._proposals.append((left, right))
        self._waiting += len(left)
        if self._waiting >= _SCREEN_PAIRS:
            self._decide_all()

    def _decide_all(self) -> None:
        """Decide what was proposed so far; many at a time, since each call costs as well."""
        if not self._proposals:
            return
        left, right = (np.concatenate(side) for side in zip(*self._proposals, strict=True))
        self._proposals, self._waiting = [], 0
        for start in range(0, len(left), _SCREEN_PAIRS):
            part = slice(start, start + _SCREEN_PAIRS)
            self._decide(left[part], right[part])

    def _decide(self, left: Rows, right: Rows) -> None:
        """Score proposals, first in float32, then those that are left by the definition."""
        quick = np.einsum("ij,ij->i", self._left[left], self._right[right])
        near = quick >= self._screen_from
        left, right = left[near], right[near]
        self._scored += len(near)
        similarity = cosine(self._left, left, self._right, right)
        distance = np.abs(similarity.astype(np.float64) - self._threshold)
        self._borderline += int(np.count_nonzero(distance <= BORDERLINE))
        found = similarity >= self._threshold
        if found.any():
            self._parts.append(_semantic(left[found], right[found], similarity[found]))

    def join(self, possible: int, *, swap: bool) -> Join:
        """All pairs found; ``swap`` turns row > column into left < right."""
        self._decide_all()
        left, right, similarity = (
            np.concatenate([getattr(part, name) for part in [Pairs.empty(), *self._parts]])
            for name in ("left", "right", "similarity")
        )
        pairs = _semantic(right, left, similarity) if swap else _semantic(left, right, similarity)
        return Join(
            pairs,
            SearchCertificate(
                True, possible, possible, self._borderline, pairs_scored=self._scored
            ),
        )


def _semantic(
    left: Rows, right: Rows, similarity: np.ndarray[tuple[int], np.dtype[np.float32]]
) -> Pairs:
    return Pairs(left, right, similarity, np.full(len(left), Reason.SEMANTIC, np.uint8))


def seconds_to_compare(pairs: int, dimensions: int) -> float:
    """Rough seconds to compare that many pairs whole, from a probe of a few blocks."""
    import time

    import torch

    block = torch.ones(BLOCK_ROWS, dimensions)
    begun = time.perf_counter()
    for _ in range(5):
        (block @ block.T).amax(dim=1)
    return pairs * (time.perf_counter() - begun) / (5 * BLOCK_ROWS * BLOCK_ROWS)
