"""What to show of a cluster: typical rows, how tight it is, and what lies next to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.types import Rows, Vectors

EXAMPLES = 3
_DEPTHS = (0.25, 0.6, 0.95)
"""How far from the centre to the edge the examples lie, as shares of a cluster's rows."""
_OUTER = 0.05
"""Share of a cluster's own rows that would be noise if they were new."""


@dataclass(frozen=True)
class Shape:
    """Where clusters lie; enough to merge them and to place new rows without any other vector."""

    means: NDArray[np.float32]
    """float32[clusters, d]: mean vector of each cluster's rows, not brought to norm 1."""
    sizes: Rows
    """int64[clusters]: rows with a vector."""
    limits: NDArray[np.float32]
    """float32[clusters]: similarity to the centre that a new row needs to be in the cluster: that
    of the outer twentieth of its own rows."""

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def centres(self) -> Vectors:
        """float32[clusters, d]: the means with norm 1."""
        norm = np.linalg.norm(self.means, axis=1, keepdims=True)
        return np.asarray(self.means / np.maximum(norm, 1e-12))

    def cohesion(self) -> NDArray[np.float64]:
        """float64[clusters]: mean similarity of two rows of each cluster; 1 for a single row.

        The squared norm of the mean of n unit rows is the mean of all n² products, n of which are
        1: those of a row with itself.
        """
        count = np.maximum(self.sizes.astype(np.float64), 1)
        squared = (self.means.astype(np.float64) ** 2).sum(axis=1)
        pairs = np.maximum(count - 1, 1)
        return np.where(count > 1, np.clip((count * squared - 1) / pairs, -1, 1), 1.0)

    def nearest(self) -> Rows:
        """int64[clusters]: the most similar other cluster; -1 where there is none."""
        if len(self) < 2:
            return np.full(len(self), -1, np.int64)
        similarity = self.centres @ self.centres.T
        np.fill_diagonal(similarity, -np.inf)
        return np.asarray(similarity.argmax(axis=1), np.int64)


def shape_of(vectors_of: Callable[[Rows], Vectors], labels: Rows, clusters: int) -> Shape:
    """Measure clusters.

    Args:
        vectors_of: int64[m] rows → float32[m, d], unit or zero rows.
        labels: int64[n] below ``clusters``; -1 for rows that do not count.
        clusters: How many there are.
    """
    width = vectors_of(np.zeros(0, np.int64)).shape[1]
    means = np.zeros((clusters, width), np.float64)
    limits = np.zeros(clusters, np.float32)
    sizes = np.zeros(clusters, np.int64)
    for cluster, rows in members(labels, clusters):
        inside = vectors_of(rows)
        means[cluster] = inside.mean(axis=0, dtype=np.float64)
        sizes[cluster] = len(rows)
        norm = float(np.linalg.norm(means[cluster]))
        similarity = inside @ (means[cluster] / max(norm, 1e-12)).astype(np.float32)
        limits[cluster] = np.quantile(similarity, _OUTER)
    return Shape(means.astype(np.float32), sizes, limits)


def members(labels: Rows, clusters: int) -> list[tuple[int, Rows]]:
    """The rows of each cluster that has any, rising."""
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.arange(clusters + 1))
    parts = (order[low:high] for low, high in pairwise(bounds))
    return [(cluster, rows) for cluster, rows in enumerate(parts) if len(rows)]


def typical_rows(
    vectors: Vectors, rows: Rows, texts: Sequence[str], mean: NDArray[np.float32]
) -> list[int]:
    """The row nearest to the centre of a cluster, and up to three others from there to the edge.

    Args:
        vectors: float32[m, d]: of the rows.
        rows: int64[m]: rows of the cluster.
        texts: Texts of all rows; no text is given twice.
        mean: float32[d].
    """
    similarity = np.round(vectors @ mean, 6)
    order = np.lexsort((rows, -similarity))
    distinct, seen = [], set()
    for row in rows[order].tolist():
        key = " ".join(texts[row].casefold().split())
        if key not in seen or not key:
            seen.add(key)
            distinct.append(row)
    wanted = [0, *(round(depth * (len(distinct) - 1)) for depth in _DEPTHS)]
    return [distinct[at] for at in dict.fromkeys(wanted)]
