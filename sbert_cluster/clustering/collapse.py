"""Near-identical vectors become one point with a weight, so that they always stay together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.clustering.modes import means, numbered, totals
from sbert_cluster.clustering.projection import unit
from sbert_cluster.neighbors.join import CompareTiles, find_pairs
from sbert_cluster.progress import Progress, silent
from sbert_cluster.types import Rows, Vectors

NEAR_IDENTICAL = 0.98
"""Similarity from which two texts count as one; a chain of such steps stays close to itself."""


@dataclass(frozen=True)
class Points:
    """Rows folded onto points."""

    vectors: Vectors
    """float32[m, d]: unit mean of each point's rows; zero where they were zero."""
    weights: NDArray[np.float64]
    """float64[m]: rows of each point."""
    index: Rows
    """int64[n]: point of each row; -1 for a row that takes no part."""

    def __len__(self) -> int:
        return len(self.weights)

    def spread(self, values: NDArray[np.generic], missing: float) -> NDArray[np.generic]:
        """A value of each row from a value of each point.

        Args:
            values: [m], any type.
            missing: For rows that take no part.
        """
        spread = values[self.index]
        spread[self.index < 0] = missing
        return spread


def collapse(
    vectors: Vectors,
    index: Rows,
    same: Rows,
    progress: Progress = silent,
    compare: CompareTiles | None = None,
) -> Points:
    """Fold units onto points: those of the same form, and those at or above ``NEAR_IDENTICAL``.

    Points are the connected components of these relations, so that they do not depend on the order
    of the rows.

    Args:
        vectors: float32[units, d], unit or zero rows.
        index: int64[n]: unit of each row; -1 for a row that takes no part.
        same: int64[units]: equal for units that are one by definition; -1: for itself.
        progress: Told the pairs compared.
        compare: Where they are compared; None: here.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(vectors)
    pairs = find_pairs(vectors, NEAR_IDENTICAL, progress, compare=compare).pairs
    known = np.flatnonzero(same >= 0)
    # Each unit is joined to the first of its form.
    _, first, inverse = np.unique(same[known], return_index=True, return_inverse=True)
    left = np.concatenate([pairs.left, known[first[inverse]] if len(known) else known])
    right = np.concatenate([pairs.right, known])
    edges = coo_array((np.ones(len(left), np.int8), (left, right)), shape=(count, count))
    point = numbered(connected_components(edges, directed=False)[1].astype(np.int64))
    present = index[index >= 0]
    rows = np.bincount(present, minlength=count).astype(np.float64)
    folded = unit(means(vectors, point, rows).astype(np.float32))
    # A last entry stands for rows that take no part.
    return Points(folded, totals(point, rows), np.append(point, -1)[index])
