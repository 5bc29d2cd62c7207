"""Coarser layers over the clusters: which of them belong together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.clustering.tree import Tree, grow_tree
from sbert_cluster.options import Linkage
from sbert_cluster.types import Rows, Vectors

LEAST = 6
"""Clusters from which a coarser layer tells something."""


@dataclass(frozen=True)
class Layer:
    """A partition of the clusters."""

    groups: Rows
    """int64[clusters]: group of each cluster, numbered by falling number of rows."""

    def __len__(self) -> int:
        return int(self.groups.max(initial=-1)) + 1


def find_layers(centres: Vectors, sizes: NDArray[np.int64]) -> list[Layer]:
    """One or two coarser layers, from the finer to the coarser.

    The clusters are merged by Ward's linkage. A layer is cut where the next merge costs most in
    comparison with the one before, within the numbers of groups that a reader could use: a fifth to
    a half of the clusters, and then 3 to 8.

    Args:
        centres: float32[clusters, d], unit rows.
        sizes: int64[clusters]: rows of each.
    """
    count = len(centres)
    if count < LEAST:
        return []
    # Every cluster counts alike: a large one should not swallow its neighbours.
    tree = grow_tree(centres, np.ones(count), Linkage.WARD)
    coarse = _widest_gap(tree, 3, min(8, count // 2))
    layers = [_by_size(tree.cut(coarse), sizes)]
    if count // 5 > coarse + 2:
        middle = _widest_gap(tree, max(coarse + 3, count // 5), count // 2)
        layers.insert(0, _by_size(tree.cut(middle), sizes))
    return layers


def _widest_gap(tree: Tree, least: int, most: int) -> int:
    """The number of clusters whose next merge is the highest, relative to the one before."""
    numbers = range(least, max(most, least) + 1)
    heights = np.maximum(tree.height, 1e-12)
    # With k clusters left, the next merge is the (k - 1)-th from the top.
    return max(numbers, key=lambda k: (heights[-(k - 1)] / heights[-k], -k))


def _by_size(groups: Rows, sizes: NDArray[np.int64]) -> Layer:
    rows = np.bincount(groups, sizes)
    order = np.argsort(-rows, kind="stable")
    return Layer(np.argsort(order)[groups].astype(np.int64))
