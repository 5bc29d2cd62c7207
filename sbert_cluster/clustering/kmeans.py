"""Spherical k-means: every row joins the most similar centre, centres become unit means."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.clustering.modes import means, numbered
from sbert_cluster.clustering.projection import unit
from sbert_cluster.types import Rows, Vectors

_CHUNK = 8_192


def spherical_kmeans(
    vectors: Vectors, labels: Rows, weights: NDArray[np.float64], rounds: int = 20
) -> Rows:
    """Improve a partition (Dhillon & Modha 2001, "Concept decompositions").

    Args:
        vectors: float32[n, d], unit rows; a zero row joins the first centre.
        labels: int64[n]: the partition to start from, without noise.
        weights: float64[n], positive.
        rounds: At most so many; it stops when fewer than one row in a thousand moves.

    Returns:
        int64[n]; clusters that lost all rows are gone.
    """
    for _ in range(rounds):
        moved = numbered(nearest_centre(vectors, centres(vectors, labels, weights))[0])
        has_settled = (moved != labels).sum() < max(1, len(labels) // 1_000)
        labels = moved
        if has_settled:
            break
    return labels


def centres(vectors: Vectors, labels: Rows, weights: NDArray[np.float64]) -> Vectors:
    """float32[clusters, d]: the unit mean of each cluster."""
    return unit(means(vectors, labels, weights).astype(np.float32))


def nearest_centre(
    vectors: Vectors, centre: Vectors
) -> tuple[Rows, NDArray[np.float32], NDArray[np.float32]]:
    """The most similar centre of every row, its similarity, and that of the second.

    Returns:
        int64[n], float32[n], float32[n]; the second is -1 where there is one centre.
    """
    count = len(vectors)
    best = np.zeros(count, np.int64)
    first, second = np.full(count, -1, np.float32), np.full(count, -1, np.float32)
    for start in range(0, count, _CHUNK):
        part = slice(start, start + _CHUNK)
        products = vectors[part] @ centre.T
        here = np.arange(len(products))
        best[part] = products.argmax(axis=1)
        first[part] = products[here, best[part]]
        if len(centre) > 1:
            products[here, best[part]] = -np.inf
            second[part] = products.max(axis=1)
    return best, first, second
