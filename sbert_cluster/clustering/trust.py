"""Whether clusters hold: judged without the row one looks at, and on other samples of the rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.clustering.modes import means
from sbert_cluster.progress import Progress, silent
from sbert_cluster.types import Rows, Vectors

_CHUNK = 8_192
HOLDS = 0.7
"""Share of rows that must find back to their clusters; among unrelated rows it is about a half, in
texts with any topics four fifths and more."""
_CLUSTER_HOLDS = 0.5
_ALONE = 0.3
"""Similarity to all other rows from which rows are one cluster, where there is no second one."""
RESAMPLES = 5
"""Times that the clustering is repeated on a part of the rows."""
PART = 0.8
"""Share of the rows in each."""
MAX_ROWS = 12_000
"""Rows in a resample at most."""


def without_accidents(vectors: Vectors, labels: Rows, weights: NDArray[np.float64]) -> Rows:
    """Make noise of clusters that only hold because each row is part of its own centre.

    Among unrelated rows the centre of any few is near each of them, since each pulls it. So every
    row is compared with the centre of the others in its cluster, and with the other centres. A
    cluster that fewer than half of its rows find back to is an accident; where fewer than 70 % of
    all rows do, all are.

    Args:
        vectors: float32[n, d], unit or zero rows.
        labels: int64[n]; -1 for noise.
        weights: float64[n]; of a point of several rows only one is taken out.
    """
    if labels.max(initial=-1) < 0:
        return labels
    back = finds_back(vectors, labels, weights)
    inside = labels >= 0
    several = labels.max() > 0
    if several and np.average(back[inside], weights=weights[inside]) < HOLDS:
        return np.full(len(labels), -1, np.int64)
    found = np.bincount(labels[inside], (weights * back)[inside])
    # Numbers may have gaps.
    share = found / np.maximum(np.bincount(labels[inside], weights[inside]), 1)
    return np.where(inside & (share[labels] >= _CLUSTER_HOLDS), labels, -1)


def finds_back(vectors: Vectors, labels: Rows, weights: NDArray[np.float64]) -> NDArray[np.bool_]:
    """bool[n]: without itself, the row's own cluster is still the nearest; False for noise."""
    sums = means(vectors, labels, weights)
    inside = labels >= 0
    sums *= np.bincount(labels[inside], weights[inside])[:, None]
    norm = np.linalg.norm(sums, axis=1, keepdims=True)
    centre = np.divide(sums, norm, out=np.zeros_like(sums), where=norm > 0).astype(np.float32)
    back = np.zeros(len(labels), np.bool_)
    rows = np.flatnonzero(inside)
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        rest = sums[labels[part]] - vectors[part]
        length = np.sqrt(np.einsum("ij,ij->i", rest, rest))
        # What rounding leaves of a row taken from itself is no direction.
        products = np.einsum("ij,ij->i", rest, vectors[part])
        own = np.where(length > 1e-4, products / np.maximum(length, 1e-4), -1.0)
        other = vectors[part] @ centre.T
        other[np.arange(len(part)), labels[part]] = -np.inf
        limit = other.max(axis=1) if len(centre) > 1 else np.float32(_ALONE)
        back[part] = own > limit
    return back


def stability(
    vectors: Vectors,
    labels: Rows,
    repeat: Callable[[Rows], Rows],
    seed: int,
    progress: Progress = silent,
) -> NDArray[np.float64]:
    """How well each cluster is found again on parts of the rows.

    Clusterwise stability (Hennig 2007): the clustering is repeated on random parts of the rows; for
    each cluster the best Jaccard similarity to any cluster found there is taken, and its mean over
    the repeats given. 0.75 and more is stable, below 0.5 the cluster should not be relied on.

    Args:
        vectors: float32[n, d].
        labels: int64[n]; -1 for noise.
        repeat: int64[m] rows, rising → int64[m] labels of these rows alone.
        seed: Of the choice of rows.
        progress: Told the repeats done.

    Returns:
        float64[clusters] in [0, 1].
    """
    clusters = int(labels.max(initial=-1)) + 1
    total = np.zeros(clusters)
    random = np.random.default_rng(seed)
    count = min(round(PART * len(labels)), MAX_ROWS)
    # Drawn by content, so that the answer does not depend on the order of the rows.
    order = spread_rows_order(vectors)
    for done in range(RESAMPLES if clusters else 0):
        rows = np.sort(order[random.choice(len(labels), count, replace=False)])
        total += _best_jaccard(labels[rows], repeat(rows), clusters)
        progress("checking", done + 1, RESAMPLES, "resamples")
    return total / RESAMPLES


def spread_rows_order(vectors: Vectors) -> Rows:
    """The rows in an order that their vectors decide."""
    return np.lexsort(vectors[:, : min(3, vectors.shape[1])].T)


def _best_jaccard(labels: Rows, found: Rows, clusters: int) -> NDArray[np.float64]:
    others = int(found.max(initial=-1)) + 1
    if not others:
        return np.zeros(clusters)
    both = (labels >= 0) & (found >= 0)
    shared = np.zeros((clusters, others))
    np.add.at(shared, (labels[both], found[both]), 1)
    mine = np.bincount(labels[labels >= 0], minlength=clusters)
    theirs = np.bincount(found[found >= 0], minlength=others)
    union = mine[:, None] + theirs - shared
    return np.asarray((shared / np.maximum(union, 1)).max(axis=1))
