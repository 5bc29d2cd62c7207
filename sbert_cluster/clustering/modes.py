"""Small sure groups of rows: every row climbs to the densest row in its neighborhood."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sbert_cluster.clustering.graph import NeighborGraph
from sbert_cluster.types import Rows, Vectors

_CHUNK = 2_048


def find_modes(smoothed: Vectors, graph: NeighborGraph) -> Rows:
    """Give every row the number of the mode of density that it belongs to.

    The density of a row is its mean similarity to its neighbors, weighted with nothing. Every row
    points to the most similar of its neighbors that are denser; a row without one is a mode
    (Vedaldi & Soatto 2008, "Quick shift", on a neighbor graph). Ties of density go to the row whose
    vector comes first, so that the order of the rows does not matter.

    Args:
        smoothed: float32[n, d], unit or zero rows.
        graph: Their neighbors.

    Returns:
        int64[n], numbered from 0 in the order of the first rows.
    """
    similarity = _along_edges(smoothed, graph.rows)
    density = similarity.mean(axis=1) if similarity.shape[1] else np.zeros(len(smoothed))
    rank = _rank(density, smoothed)
    denser = rank[graph.rows] > rank[:, None]
    parent = np.arange(len(smoothed))
    climbs = denser.any(axis=1)
    best = np.where(denser, similarity, -np.inf)[climbs].argmax(axis=1)
    parent[climbs] = graph.rows[climbs, best]
    while not np.array_equal(parent, above := parent[parent]):
        parent = above
    return numbered(parent)


def numbered(labels: Rows) -> Rows:
    """The same partition, numbered from 0 in the order of the first rows."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)


def means(vectors: Vectors, labels: Rows, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64[clusters, d]: the weighted mean of each cluster's rows; noise (-1) is left out."""
    inside = np.flatnonzero(labels >= 0)
    clusters = int(labels.max(initial=-1)) + 1
    total = np.bincount(labels[inside], weights[inside], clusters)
    share = weights[inside] / total[labels[inside]]
    pick = sparse.csr_array((share, (labels[inside], inside)), shape=(clusters, len(labels)))
    return np.asarray(pick @ vectors, np.float64)


def totals(labels: Rows, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64[clusters]: the weight of each cluster, without noise."""
    inside = labels >= 0
    clusters = int(labels.max(initial=-1)) + 1
    return np.asarray(np.bincount(labels[inside], weights[inside], clusters), np.float64)


def _rank(density: NDArray[np.floating], smoothed: Vectors) -> Rows:
    """Position of every row from the least to the most dense."""
    keys = smoothed[:, : min(3, smoothed.shape[1])].T
    order = np.lexsort((*keys, density))
    rank = np.empty(len(density), np.int64)
    rank[order] = np.arange(len(density))
    return rank


def _along_edges(vectors: Vectors, rows: Rows) -> NDArray[np.float32]:
    """float32[n, k]: the similarity of each row to each of its neighbors."""
    similarity = np.empty(rows.shape, np.float32)
    for start in range(0, len(rows), _CHUNK):
        part = slice(start, start + _CHUNK)
        similarity[part] = np.einsum("ij,ikj->ik", vectors[part], vectors[rows[part]])
    return similarity
