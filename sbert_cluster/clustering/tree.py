"""A tree of merges over weighted points: agglomerative clustering with every usual linkage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.options import Linkage
from sbert_cluster.types import Rows

_Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Tree:
    """The merges of m points, the lowest first."""

    left: Rows
    """int64[m - 1]: a point of one side."""
    right: Rows
    """int64[m - 1]: a point of the other."""
    height: NDArray[np.float64]
    """float64[m - 1], rising."""

    def __len__(self) -> int:
        return len(self.height) + 1

    def cut(self, clusters: int) -> Rows:
        """int64[m]: the partition into so many clusters, numbered by first point."""
        return self._after(len(self) - min(max(clusters, 1), len(self)))

    def cut_at(self, height: float) -> Rows:
        """int64[m]: the partition in which no merge is higher."""
        return self._after(int(np.searchsorted(self.height, height, side="right")))

    def _after(self, merges: int) -> Rows:
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        left, right = self.left[:merges], self.right[:merges]
        edges = coo_array((np.ones(merges), (left, right)), shape=(len(self), len(self)))
        _, label = connected_components(edges, directed=False)
        _, first, inverse = np.unique(label, return_index=True, return_inverse=True)
        return np.argsort(np.argsort(first))[inverse].astype(np.int64)


def grow_tree(points: NDArray[np.floating], weights: NDArray[np.float64], linkage: Linkage) -> Tree:
    """Merge the closest two clusters until one is left, with nearest-neighbor chains.

    The chains and the update formulas are those of Murtagh (1983) and Lance & Williams (1967); a
    point of weight w counts as w points in one place. The distance is cosine distance, for ``ward``
    squared Euclidean distance (the growth of the sum of squares, doubled).

    Args:
        points: float[m, d]; for all but ``ward`` they are means of unit rows, or unit rows.
        weights: float64[m], positive.
        linkage: How the distance of clusters follows from that of their points.

    Returns:
        The merges; m² numbers of 8 bytes are held while it grows.
    """
    m = len(points)
    distance = _distances(points.astype(np.float64), weights, linkage)
    size = weights.astype(np.float64).copy()
    alive = np.ones(m, np.bool_)
    merges = np.empty((max(m - 1, 0), 3))
    chain: list[int] = []
    for done in range(m - 1):
        if not chain:
            chain.append(int(alive.argmax()))
        left, right = _closest_pair(distance, chain)
        merges[done] = left, right, distance[left, right]
        _merge(distance, size, left, right, linkage)
        alive[right] = False
    # Chains find merges in no order; among equals, the order in which they were made stays.
    merges = merges[np.argsort(merges[:, 2], kind="stable")]
    sides = merges[:, :2].astype(np.int64)
    return Tree(sides[:, 0], sides[:, 1], np.maximum.accumulate(merges[:, 2]))


def _distances(points: _Matrix, weights: NDArray[np.float64], linkage: Linkage) -> _Matrix:
    products = points @ points.T
    if linkage is Linkage.WARD:
        squares = np.diag(products).copy()
        distance = np.maximum(squares[:, None] + squares - 2 * products, 0)
        distance *= 2 * weights[:, None] * weights / (weights[:, None] + weights)
    else:
        distance = 1 - products
    np.fill_diagonal(distance, np.inf)
    return distance


def _closest_pair(distance: _Matrix, chain: list[int]) -> tuple[int, int]:
    """Follow nearest neighbors until two are each other's; they leave the chain."""
    while True:
        end = chain[-1]
        nearest = int(distance[end].argmin())
        if len(chain) > 1 and distance[end, chain[-2]] <= distance[end, nearest]:
            last, before = chain.pop(), chain.pop()
            return min(last, before), max(last, before)
        chain.append(nearest)


def _merge(
    distance: _Matrix, size: NDArray[np.float64], left: int, right: int, linkage: Linkage
) -> None:
    """Put the merged cluster in the place of ``left``; ``right`` is far from everything then."""
    a, b = distance[left], distance[right]
    p, q = size[left], size[right]
    if linkage is Linkage.WARD:
        merged = ((size + p) * a + (size + q) * b - size * distance[left, right]) / (size + p + q)
    elif linkage is Linkage.AVERAGE:
        merged = (p * a + q * b) / (p + q)
    else:
        merged = np.minimum(a, b) if linkage is Linkage.SINGLE else np.maximum(a, b)
    merged[[left, right]] = np.inf
    distance[left] = distance[:, left] = merged
    distance[right] = distance[:, right] = np.inf
    size[left] += size[right]
