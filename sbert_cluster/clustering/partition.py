"""The methods: points in, clusters out, with noise and strengths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.clustering.choose import choose_clusters, settle, silhouettes
from sbert_cluster.clustering.collapse import Points
from sbert_cluster.clustering.density import hdbscan
from sbert_cluster.clustering.graph import NEIGHBORS, NeighborGraph, neighbor_graph
from sbert_cluster.clustering.kmeans import centres, nearest_centre, spherical_kmeans
from sbert_cluster.clustering.modes import find_modes, means, numbered, totals
from sbert_cluster.clustering.projection import principal, smooth, umap_reduce
from sbert_cluster.clustering.tree import grow_tree
from sbert_cluster.clustering.trust import finds_back, without_accidents
from sbert_cluster.neighbors.search import AnswerQueries
from sbert_cluster.options import GroupOptions, Linkage, Method, Projection
from sbert_cluster.progress import Progress, silent
from sbert_cluster.types import Rows, Vectors

EXACT_ROWS = 20_000
"""Points up to which agglomerative clustering merges them one by one."""
_LOYAL = 1 / 2
"""Share of neighbors in a row's own cluster from which it is no noise, wherever the centres lie."""
_DISTINCT = 0.05
"""Mean silhouette below which clusters are one; texts with any topics reach 0.14 and more."""
_AXES = 15
_UMAP_AXES = 5


@dataclass(frozen=True)
class Prepared:
    """Points with what all methods start from."""

    points: Points
    graph: NeighborGraph
    """Their neighbors."""
    smoothed: Vectors
    """float32[m, d]: see :func:`~sbert_cluster.clustering.projection.smooth`."""


@dataclass(frozen=True)
class Partition:
    """Clusters of points."""

    labels: Rows
    """int64[m]: numbered by falling number of rows; -1 for noise."""
    strength: NDArray[np.float32]
    """float32[m] in [0, 1]: how much nearer a point is to its cluster than to the next one; 0 for
    noise."""
    attached: NDArray[np.bool_]
    """bool[m]: noise that was attached to the nearest cluster because that was asked for."""
    centres: Vectors
    """float32[k, d]: unit mean of each cluster's points, attached ones left out."""
    details: dict[str, Any]
    """How it was done, for ``run.json``."""
    notes: tuple[str, ...] = ()
    """What the user should know, a sentence each."""

    def __len__(self) -> int:
        return len(self.centres)


def prepare(
    points: Points, progress: Progress = silent, answer: AnswerQueries | None = None
) -> Prepared:
    """Search the neighbors of points, wherever queries are answered, and smooth over them."""
    graph = neighbor_graph(points.vectors, neighbors_for(len(points)), progress, answer)
    return Prepared(points, graph, smooth(points.vectors, graph, progress=progress))


def neighbors_for(points: int) -> int:
    """15 as usual; fewer among few points, where 15 neighbors would reach into other topics."""
    return int(np.clip(round(points**0.5 / 3), 5, NEIGHBORS))


def default_cluster_size(rows: int, method: Method) -> int:
    """The smallest cluster that counts, where nobody said.

    For ``hdbscan`` it decides how fine the clusters are, and grows with the square root of the
    rows. The other methods have their own ways; what is smaller than this is an accident.
    """
    if method is Method.HDBSCAN:
        return max(5, int(rows**0.5 / 3))
    return min(max(rows // 200, 2), 10)


def partition(prepared: Prepared, options: GroupOptions, seed: int = 0) -> Partition:
    """Cluster points.

    Args:
        prepared: The points, their neighbors, their smoothed vectors.
        options: Method and its options.
        seed: Of UMAP, the only random step there is.
    """
    points = prepared.points
    usable = np.asarray(points.vectors.any(axis=1))
    labels = np.full(len(points), -1, np.int64)
    details: dict[str, Any] = {"method": str(options.method)}
    notes: tuple[str, ...] = ()
    if len(points) < 4:
        # Too few for neighborhoods: a text that repeats is a cluster.
        labels = np.where(usable, np.arange(len(points)), -1)
    else:
        labels, found, notes = _METHODS[options.method](prepared, options, seed)
        details |= found
        labels = np.where(usable, labels, -1)
    rows = int(points.weights.sum())
    least = options.min_cluster_size or default_cluster_size(rows, options.method)
    details["min_cluster_size"] = least
    labels = _large_enough(labels, points.weights, least)
    if options.clusters is None and options.threshold is None:
        labels = without_accidents(points.vectors, labels, points.weights)
        if labels.max(initial=-1) < 1:
            labels = _one_or_none(points, usable)
    labels = by_size(labels, points.weights)
    return replace(_described(labels, points, options), details=details, notes=notes)


_Found = tuple[Rows, dict[str, Any], tuple[str, ...]]


def _by_modes(prepared: Prepared, options: GroupOptions, seed: int) -> _Found:
    """Modes of density, joined by Ward's linkage, then improved by k-means on smoothed vectors."""
    del seed
    points, smoothed = prepared.points, prepared.smoothed
    modes = find_modes(smoothed, prepared.graph)
    tree = grow_tree(
        means(smoothed, modes, points.weights), totals(modes, points.weights), Linkage.WARD
    )
    clusters, details = _number(prepared, lambda k: tree.cut(k)[modes], len(tree), options)
    labels = spherical_kmeans(smoothed, tree.cut(clusters)[modes], points.weights)
    labels = np.where(_is_noise(prepared, labels), -1, labels)
    return labels, {"modes": len(tree), **details}, ()


def _by_hdbscan(prepared: Prepared, options: GroupOptions, seed: int) -> _Found:
    points = prepared.points
    if options.projection is Projection.UMAP and len(points) > _UMAP_AXES + 3:
        reduced = umap_reduce(points.vectors, prepared.graph, _UMAP_AXES, seed)
    else:
        reduced = principal(prepared.smoothed, _AXES)
    rows = int(points.weights.sum())
    least = options.min_cluster_size or default_cluster_size(rows, Method.HDBSCAN)
    labels, _ = hdbscan(reduced, least)
    notes: tuple[str, ...] = ()
    if options.min_cluster_size is None:
        notes = (f"smallest cluster: {least} rows (follows from the number of rows; "
                 "--min-cluster-size sets it)",)  # fmt: skip
    return labels, {"projection": str(options.projection)}, notes


def _by_tree(prepared: Prepared, options: GroupOptions, seed: int) -> _Found:
    """Exact up to ``EXACT_ROWS`` points; beyond that, on small groups of points."""
    del seed
    points = prepared.points
    notes: tuple[str, ...] = ()
    member = np.arange(len(points))
    details: dict[str, Any] = {"linkage": str(options.linkage), "exact": True}
    if len(points) > EXACT_ROWS:
        member = _small_groups(prepared)
        details |= {"exact": False, "merged_from": int(member.max()) + 1}
        notes = (
            f"more than {EXACT_ROWS:,} distinct texts: the tree starts from "
            f"{details['merged_from']:,} small groups of neighbors instead of from single texts",
        )
    heads = means(points.vectors, member, points.weights)
    tree = grow_tree(heads, totals(member, points.weights), options.linkage)
    if options.threshold is not None:
        labels = tree.cut_at(1 - options.threshold + 1e-9)[member]
        return labels, details, notes
    clusters, chosen = _number(prepared, lambda k: tree.cut(k)[member], len(tree) // 2, options)
    return tree.cut(clusters)[member], details | chosen, notes


def _by_kmeans(prepared: Prepared, options: GroupOptions, seed: int) -> _Found:
    """Spherical k-means on the vectors as they came, from where Ward's linkage leaves them."""
    del seed
    points = prepared.points
    modes = _small_groups(prepared)
    heads = means(points.vectors, modes, points.weights)
    tree = grow_tree(heads, totals(modes, points.weights), Linkage.WARD)
    clusters, details = _number(prepared, lambda k: tree.cut(k)[modes], len(tree) // 2, options)
    start = tree.cut(clusters)[modes]
    return spherical_kmeans(points.vectors, start, points.weights, rounds=50), details, ()


_METHODS: dict[Method, Callable[[Prepared, GroupOptions, int], _Found]] = {
    Method.MODES: _by_modes,
    Method.HDBSCAN: _by_hdbscan,
    Method.AGGLOMERATIVE: _by_tree,
    Method.KMEANS: _by_kmeans,
}


def _number(
    prepared: Prepared, cut: Callable[[int], Rows], most: int, options: GroupOptions
) -> tuple[int, dict[str, Any]]:
    """The number of clusters that was asked for, or the one that fits."""
    if options.clusters is not None:
        return options.clusters, {}
    points = prepared.points
    candidates = choose_clusters(cut, most, points.vectors, prepared.graph, points.weights)
    number = settle(candidates) if candidates and candidates[0].score > 0 else 1
    chosen = next((one for one in candidates if one.clusters == number), None)
    if chosen is None or chosen.silhouette < _DISTINCT:
        return 1, {"chosen_by": "nothing tells clusters apart"}
    return number, {
        "chosen_by": "modularity of the neighbor graph × silhouette",
        "modularity": round(chosen.modularity, 4),
        "silhouette": round(chosen.silhouette, 4),
    }


def _small_groups(prepared: Prepared) -> Rows:
    """Each point's group among its nearest few neighbors, at most ``EXACT_ROWS`` groups in all."""
    width = prepared.graph.rows.shape[1]
    groups = np.arange(len(prepared.points))
    for neighbors in range(min(4, width), width + 1):
        graph = NeighborGraph(
            prepared.graph.rows[:, :neighbors], prepared.graph.similarity[:, :neighbors]
        )
        groups = find_modes(prepared.points.vectors, graph)
        if groups.max() < EXACT_ROWS:
            break
    return groups


def _one_or_none(points: Points, usable: NDArray[np.bool_]) -> Rows:
    """One cluster of the rows that are similar to the others, if most are; otherwise none."""
    together = np.where(usable, 0, -1)
    back = finds_back(points.vectors, together, points.weights)
    if not back.any() or np.average(back, weights=points.weights) < 0.5:
        return np.full(len(points), -1, np.int64)
    return np.where(back, together, -1)


def _is_noise(prepared: Prepared, labels: Rows) -> NDArray[np.bool_]:
    """Points that both the vectors and the graph put elsewhere.

    Another centre is nearer, and fewer than half of the neighbors are in the cluster.
    """
    points = prepared.points
    everything = np.arange(len(points))
    astray = silhouettes(points.vectors, labels, points.weights, everything) < 0
    loyal = (labels[prepared.graph.rows] == labels[:, None]).mean(axis=1) >= _LOYAL
    return np.asarray(astray & ~loyal)


def _large_enough(labels: Rows, weights: NDArray[np.float64], least: int) -> Rows:
    sizes = totals(labels, weights)
    return np.where((labels >= 0) & (sizes[labels] >= least), labels, -1) if len(sizes) else labels


def by_size(labels: Rows, weights: NDArray[np.float64]) -> Rows:
    """The same clusters, the largest numbered 0; ties by first row."""
    inside = labels >= 0
    dense = numbered(labels[inside])
    sizes = np.bincount(dense, weights[inside])
    rank = np.argsort(np.argsort(-sizes, kind="stable"))
    result = np.full(len(labels), -1, np.int64)
    if len(sizes):
        result[inside] = rank[dense]
    return result


def _described(labels: Rows, points: Points, options: GroupOptions) -> Partition:
    centre = centres(points.vectors, labels, points.weights)
    if not len(centre):
        empty = np.zeros((0, points.vectors.shape[1]), np.float32)
        nothing = np.zeros(len(labels), np.float32)
        return Partition(labels, nothing, np.zeros(len(labels), np.bool_), empty, {})
    nearest, first, second = nearest_centre(points.vectors, centre)
    attached = np.zeros(len(labels), np.bool_)
    if options.assign_noise:
        attached = (labels < 0) & points.vectors.any(axis=1)
        labels = np.where(attached, nearest, labels)
    own = np.einsum("ij,ij->i", points.vectors, centre[labels])
    other = np.where(nearest == labels, second, first)
    strength = strengths(own, other, alone=len(centre) == 1)
    return Partition(labels, np.where(labels < 0, np.float32(0), strength), attached, centre, {})


def strengths(
    own: NDArray[np.floating], other: NDArray[np.floating], *, alone: bool
) -> NDArray[np.float32]:
    """How much nearer the own centre is than the nearest other: 1 − own distance / other distance.

    Args:
        own: Similarity to the own centre.
        other: Similarity to the most similar other centre.
        alone: There is no other centre: the similarity itself then.

    Returns:
        float32 in [0, 1]; 0 on the border and beyond.
    """
    if alone:
        return np.asarray(np.clip(own, 0, 1), np.float32)
    value = 1 - (1 - own) / np.maximum(1 - other, 1e-9)
    return np.asarray(np.clip(value, 0, 1), np.float32)
