"""How similar rows are to their nearest other row: what a threshold is chosen from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sbert_cluster.types import Histogram, Vectors

BLOCK_ROWS = 1_024
"""Rows on either side of a block of products."""


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
