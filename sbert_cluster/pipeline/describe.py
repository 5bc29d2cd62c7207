"""Clusters of rows, described: names, typical rows, cohesion, neighbours, layers, stability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.clustering.collapse import Points
from sbert_cluster.clustering.layers import find_layers
from sbert_cluster.clustering.naming import name_clusters
from sbert_cluster.clustering.partition import Partition, partition, prepare
from sbert_cluster.clustering.summary import Shape, members, shape_of, typical_rows
from sbert_cluster.clustering.trust import stability
from sbert_cluster.options import GroupOptions, Method
from sbert_cluster.progress import Progress, silent
from sbert_cluster.types import ClusterSummary, LayerGroup, Rows, Vectors


@dataclass(frozen=True)
class RowVectors:
    """A vector for each row, without a copy for rows that share one."""

    vectors: Vectors
    """float32[units, d]."""
    index: Rows
    """int64[n]: unit of each row; -1 for none."""

    def of(self, rows: Rows) -> Vectors:
        """float32[m, d]: of the given rows, all of which have one."""
        return self.vectors[self.index[rows]]


def summarise(
    rows: RowVectors,
    labels: Rows,
    texts: Sequence[str],
    stable: NDArray[np.float64] | None = None,
) -> tuple[list[ClusterSummary], Shape]:
    """Describe every cluster.

    Args:
        rows: Vectors.
        labels: int64[n], numbered without gaps; -1 for noise.
        texts: str[n].
        stable: Stability of each cluster; None: not measured.

    Returns:
        The clusters in order of their numbers, and where they lie.
    """
    count = int(labels.max(initial=-1)) + 1
    shape = shape_of(rows.of, labels, count)
    names = name_clusters(texts, labels)
    cohesion, nearest = shape.cohesion(), shape.nearest()
    summaries = [
        ClusterSummary(
            cluster=k,
            size=len(inside),
            label=names[k].label,
            keywords=names[k].keywords,
            rows=tuple(typical_rows(rows.of(inside), inside, texts, shape.means[k])),
            cohesion=float(cohesion[k]),
            nearest=int(nearest[k]),
            stability=None if stable is None else float(stable[k]),
        )
        for k, inside in members(labels, count)
    ]
    return summaries, shape


def describe_layers(shape: Shape, labels: Rows, texts: Sequence[str]) -> list[LayerGroup]:
    """Find and name coarser layers over the clusters."""
    found = []
    for number, layer in enumerate(find_layers(shape.centres, shape.sizes), 1):
        above = np.where(labels >= 0, layer.groups[labels], -1)
        names = name_clusters(texts, above)
        found += [
            LayerGroup(
                layer=number,
                group=group,
                size=int((above == group).sum()),
                label=names[group].label,
                keywords=names[group].keywords,
                clusters=tuple(np.flatnonzero(layer.groups == group).tolist()),
            )
            for group in range(len(layer))
        ]
    return found


def measure_stability(
    points: Points,
    found: Partition,
    options: GroupOptions,
    seed: int,
    progress: Progress = silent,
) -> NDArray[np.float64] | None:
    """How well each cluster is found again on parts of the points; None for too few of them."""
    if len(found) < 2 or len(points) < 50:
        return None
    again = options
    if options.method is not Method.HDBSCAN and options.threshold is None:
        # The same question of every part: these many clusters, which are they?
        again = replace(options, clusters=len(found), assign_noise=False)

    def repeat(rows: Rows) -> Rows:
        part = Points(points.vectors[rows], points.weights[rows], np.arange(len(rows)))
        return partition(prepare(part), again, seed).labels

    return stability(points.vectors, found.labels, repeat, seed, progress)


def warn_of_weakness(
    labels: Rows, present: int, details: Mapping[str, object], stable: NDArray[np.float64] | None
) -> list[str]:
    """What a reader should know before believing the clusters."""
    if present == 0:
        return ["there are no texts to group"]
    if labels.max(initial=-1) < 0:
        if present == 1:
            return ["one row alone is no group"]
        return ["no groups were found: the rows have too little in common"]
    said = []
    silhouette = details.get("silhouette")
    if isinstance(silhouette, float) and silhouette < 0.1:
        said.append(
            f"the groups are barely distinct (silhouette {silhouette:.2f}): take them as a rough "
            "order of the texts, not as topics that are really there"
        )
    if stable is not None and len(stable):
        weak = int((stable < 0.5).sum())
        if weak > len(stable) / 2:
            said.append(
                f"the structure is weak: {weak} of {len(stable)} groups were not found again on "
                "parts of the rows; try fewer with --clusters"
            )
    return said
