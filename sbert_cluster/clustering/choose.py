"""How many clusters there are: where the neighbor graph and the vectors themselves agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.clustering.graph import NeighborGraph
from sbert_cluster.clustering.kmeans import centres
from sbert_cluster.types import Rows, Vectors

_STEP = 1.1
"""Ratio of the numbers of clusters that are tried, from 2 up."""
_NEARLY = 0.92
"""Share of the best score from which a number of clusters is nearly as good."""
MAX_ROWS = 20_000
"""Rows on which silhouettes are measured."""
_CHUNK = 8_192


@dataclass(frozen=True)
class Candidate:
    """One number of clusters, and how good it is."""

    clusters: int
    """Number of clusters."""
    modularity: float
    """Of the neighbor graph: neighbors in the same cluster beyond what chance would bring."""
    silhouette: float
    """Mean over the rows."""

    @property
    def score(self) -> float:
        """Their product; negative silhouettes count as none."""
        return self.modularity * max(self.silhouette, 0.0)


def choose_clusters(
    partition: Callable[[int], Rows],
    most: int,
    vectors: Vectors,
    graph: NeighborGraph,
    weights: NDArray[np.float64],
) -> list[Candidate]:
    """Rate partitions into 2, 3, … clusters by the product of modularity and silhouette.

    Modularity (Newman & Girvan 2004) of the neighbor graph falls slowly as sound clusters are cut
    and forgets the small ones; the silhouette (Rousseeuw 1987, in its simplified form, by centres)
    of the vectors as they came, not smoothed, likes small tight clusters where they are distinct.
    Each alone is wrong by a factor of two or more on many corpora; the product seldom is.

    Args:
        partition: Number of clusters → int64[n], the partition.
        most: Largest number to try.
        vectors: float32[n, d], unit or zero rows.
        graph: Their neighbors.
        weights: float64[n].

    Returns:
        One candidate a number tried, the best first, ties by the smaller number.
    """
    sample = spread_rows(vectors, MAX_ROWS)
    candidates = []
    for clusters in numbers_to_try(most):
        labels = partition(clusters)
        candidates.append(
            Candidate(
                int(labels.max()) + 1,
                modularity(graph, labels, weights),
                float(silhouettes(vectors, labels, weights, sample).mean()),
            )
        )
    return sorted(candidates, key=lambda one: (-one.score, one.clusters))


def numbers_to_try(most: int) -> list[int]:
    """2, 3, … and then in steps of a tenth."""
    numbers, number = [], 2.0
    while round(number) <= most:
        numbers.append(round(number))
        number = max(number + 1, number * _STEP)
    return numbers


def modularity(graph: NeighborGraph, labels: Rows, weights: NDArray[np.float64]) -> float:
    """Share of neighbors in the same cluster, less the share expected of a random graph."""
    same = (labels[graph.rows] == labels[:, None]).mean(axis=1)
    share = np.bincount(labels, weights) / weights.sum()
    return float(np.average(same, weights=weights) - (share**2).sum())


def silhouettes(
    vectors: Vectors, labels: Rows, weights: NDArray[np.float64], rows: Rows
) -> NDArray[np.float32]:
    """Simplified silhouettes: 1 − (distance to the own centre / distance to the nearest other).

    Negative, with the distances exchanged, where another centre is nearer (Hruschka et al. 2004).

    Args:
        vectors: float32[n, d], unit or zero rows.
        labels: int64[n], without noise.
        weights: float64[n].
        rows: int64[m]: rows to measure.

    Returns:
        float32[m] in [-1, 1]; 0 where there is one cluster.
    """
    centre = centres(vectors, labels, weights)
    values = np.zeros(len(rows), np.float32)
    if len(centre) < 2:
        return values
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        distance = np.maximum(1 - vectors[part] @ centre.T, 0)
        here = np.arange(len(part))
        own = distance[here, labels[part]]
        distance[here, labels[part]] = np.inf
        other = distance.min(axis=1)
        values[start : start + _CHUNK] = (other - own) / np.maximum(np.maximum(own, other), 1e-9)
    return values


def spread_rows(vectors: Vectors, most: int) -> Rows:
    """At most so many rows, rising; the same ones in whatever order the rows stand."""
    count = len(vectors)
    if count <= most:
        return np.arange(count)
    order = np.lexsort(vectors[:, : min(3, vectors.shape[1])].T)
    return np.sort(order[np.linspace(0, count - 1, most).round().astype(np.int64)])


def settle(candidates: list[Candidate]) -> int:
    """The number of clusters in the middle of those that are nearly as good as the best.

    The score is flat around its top, where the best number alone is a matter of luck: the geometric
    mean of all numbers that reach 92 % of the best score is not.

    Args:
        candidates: At least one; a score is above 0.

    Returns:
        One of their numbers.
    """
    best = max(one.score for one in candidates)
    near = [one.clusters for one in candidates if one.score >= _NEARLY * best]
    middle = float(np.log(near).mean())
    return min(
        (one.clusters for one in candidates),
        key=lambda clusters: (abs(np.log(clusters) - middle), clusters),
    )
