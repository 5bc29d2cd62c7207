"""Operations on a finished run of ``groups``: merge, split, rename, move, undo, redo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import polars as pl

from sbert_cluster.clustering.collapse import collapse
from sbert_cluster.clustering.edits import EditLog, Merge, Move, Rename, Split
from sbert_cluster.clustering.naming import name_clusters
from sbert_cluster.clustering.partition import partition, prepare
from sbert_cluster.clustering.summary import Shape, shape_of, typical_rows
from sbert_cluster.corpus.columns import vectors_of
from sbert_cluster.corpus.reading import read_corpus
from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.errors import UsageError
from sbert_cluster.options import GroupOptions, Linkage, Method, ReadOptions
from sbert_cluster.pipeline.groups_folder import GroupsRun, open_groups, rows_file, write_again
from sbert_cluster.pipeline.shared import Shared, check_names, encode_options
from sbert_cluster.progress import Progress, silent
from sbert_cluster.types import ClusterSummary, GroupsResult, Rows, Vectors


def edit_groups(
    run: str | Path,
    *,
    merge: Sequence[Sequence[int]] = (),
    split: Sequence[int] = (),
    rename: Mapping[int, str] | None = None,
    move: Mapping[int, int] | None = None,
    undo: int = 0,
    redo: int = 0,
    progress: Progress = silent,
    **shared: Unpack[Shared],
) -> GroupsResult:
    """Change the groups of a finished run; everything in its folder follows.

    Undo comes first, then redo, merge, split, move and rename. All is done, or nothing.

    Args:
        run: The run folder.
        merge: Sets of clusters that become one each, under the first one's number.
        split: Clusters to take apart; the largest part keeps the number.
        rename: Cluster → name; an empty name gives it its own back.
        move: Row → cluster it goes to; -1: to none.
        undo: How many operations to take back.
        redo: How many undone operations to do again.
        progress: Told how far encoding is, where vectors are needed that the cache does not hold.
        **shared: Only ``device``, ``cache_dir`` and ``cache`` are used; all else is as in the run.

    Returns:
        The run as it is now.

    Raises:
        RunFolderError: If the folder is not a run of ``groups`` or cannot be written.
        UsageError: If a cluster or row is not there, or nothing is left to undo.
    """
    check_names("edit_groups", shared)
    folder = Path(run)
    before = open_groups(folder)
    assert before.log is not None
    log, vectors = before.log, RunVectors(before.result, shared, progress)
    for _ in range(undo):
        log.undo()
    for _ in range(redo):
        log.redo()
    for clusters in merge:
        log.do(Merge(tuple(clusters)))
    for cluster in split:
        log.do(_split(log, cluster, vectors))
    for row, cluster in (move or {}).items():
        log.do(Move((row,), cluster))
    for cluster, name in (rename or {}).items():
        log.do(Rename(cluster, name))
    after = _described(before, log, vectors)
    write_again(after, folder)
    return after.result


@dataclass(frozen=True)
class RunVectors:
    """Vectors of rows of a run: from its column, or encoded again, which the cache makes cheap."""

    result: GroupsResult
    shared: Shared
    progress: Progress = silent

    def of(self, rows: Rows) -> Vectors:
        """float32[m, d], unit rows."""
        corpus = self.result.corpus
        if corpus.vector_column is not None:
            return vectors_of(corpus)[0][rows]
        encoder = Encoder.open(
            encode_options(model_of(self.result.manifest.arguments, self.shared))
        )
        texts = [self.result.texts[row] for row in rows.tolist()]
        distinct = list(dict.fromkeys(texts))
        number = {text: position for position, text in enumerate(distinct)}
        made = encoder.encode(distinct, self.progress).vectors
        return np.asarray(made)[[number[text] for text in texts]]


def model_of(arguments: Mapping[str, Any], shared: Shared) -> Shared:
    """How a run encoded, with the machine's own settings of now."""
    kept: Shared = {
        "model": arguments["model"],
        "prompt": arguments.get("prompt"),
        "dimensions": arguments.get("dimensions"),
        "long_texts": arguments.get("long_texts", "truncate"),
        "precision": arguments.get("precision", "auto"),
        "device": shared.get("device", "auto"),
        "cache": shared.get("cache", True),
        "cache_dir": shared.get("cache_dir"),
    }
    return kept


def _split(log: EditLog, cluster: int, vectors: RunVectors) -> Split:
    """Cluster the rows of one cluster among themselves."""
    rows = np.flatnonzero(log.state.labels == cluster)
    if len(rows) < 2:
        # Says that there is no such cluster, if there is none.
        Rename(cluster, "").apply(log.state)
        raise UsageError(f"cluster {cluster} has one row", "It cannot be split.")
    inside = vectors.of(rows)
    points = collapse(inside, np.arange(len(rows)), np.full(len(rows), -1, np.int64))
    if len(points) < 2:
        raise UsageError(f"all rows of cluster {cluster} say the same", "It cannot be split.")
    prepared = prepare(points)
    found = partition(prepared, GroupOptions()).labels
    if found.max(initial=-1) < 1:
        halves = GroupOptions(method=Method.AGGLOMERATIVE, clusters=2, linkage=Linkage.WARD)
        found = partition(prepared, replace(halves, min_cluster_size=None)).labels
    if found.max(initial=-1) < 1:
        raise UsageError(
            f"cluster {cluster} has no parts of two rows or more", "Move single rows instead."
        )
    labels = found[points.index]
    # The largest part keeps the number, and so do rows that fit no part.
    parts = (rows[labels == part] for part in range(1, int(labels.max()) + 1))
    return Split(cluster, tuple(tuple(part.tolist()) for part in parts))


def _described(before: GroupsRun, log: EditLog, vectors: RunVectors) -> GroupsRun:
    """The run with the summaries of what changed made anew."""
    old, state = before.result, log.state
    clusters = state.clusters
    known = {one.cluster: one for one in old.summaries}
    position = {one.cluster: at for at, one in enumerate(old.summaries)}
    dense = _dense(state.labels, clusters)
    changed = [
        k
        for k in clusters
        if k not in known or not np.array_equal(old.clustering.labels == k, state.labels == k)
    ]
    rows = np.flatnonzero(np.isin(state.labels, changed))
    inside = vectors.of(rows) if len(rows) else before.shape.means[:0]
    at = {k: number for number, k in enumerate(changed)}
    labels = np.array([at[int(k)] for k in state.labels[rows]], np.int64)
    measured = shape_of(lambda some: inside[some], labels, len(changed))
    shape = _joined(before.shape, measured, clusters, position, at)
    names = name_clusters(old.texts, dense)
    cohesion, nearest = shape.cohesion(), shape.nearest()
    summaries = []
    for number, k in enumerate(clusters):
        one = known.get(k)
        label, keywords = names[number].label, names[number].keywords
        if k in at or one is None:
            mine = np.flatnonzero(labels == at[k])
            typical = typical_rows(inside[mine], rows[mine], old.texts, measured.means[at[k]])
            one = ClusterSummary(k, len(mine), label, keywords, tuple(typical), 0.0, -1, None)
        elif _was_renamed(before, k) or np.array_equal(state.labels, before.base):
            one = replace(one, label=label)
        summaries.append(
            replace(
                one,
                label=state.names.get(k, one.label),
                cohesion=float(cohesion[number]),
                nearest=clusters[int(nearest[number])] if nearest[number] >= 0 else -1,
            )
        )
    order = sorted(range(len(summaries)), key=lambda n: (-summaries[n].size, summaries[n].cluster))
    shape = Shape(shape.means[order], shape.sizes[order], shape.limits[order])
    clustering = replace(old.clustering, labels=state.labels)
    manifest = replace(
        old.manifest,
        counts=_counts(old.manifest.counts, state.labels, len(clusters)),
        extra={**old.manifest.extra, "edits": len(log.done)},
    )
    # Coarser layers were found over other clusters.
    layers = old.layers if not changed and len(clusters) == len(known) else ()
    result = replace(
        old,
        clustering=clustering,
        summaries=tuple(summaries[n] for n in order),
        manifest=manifest,
        layers=layers,
    )
    return GroupsRun(result, shape, before.base, log)


def _dense(labels: Rows, clusters: Sequence[int]) -> Rows:
    number = {k: position for position, k in enumerate(clusters)}
    return np.array([number.get(int(k), -1) for k in labels], np.int64)


def _was_renamed(before: GroupsRun, cluster: int) -> bool:
    """Whether the label that the folder holds was given by hand."""
    first = before.log
    return first is not None and any(
        isinstance(entry, Rename) and entry.cluster == cluster for entry in first.entries
    )


def _joined(
    old: Shape, new: Shape, clusters: Sequence[int], position: dict[int, int], at: dict[int, int]
) -> Shape:
    """Shapes in the order of the clusters: measured anew where they changed."""
    width = old.means.shape[1]
    means, sizes, limits = [np.zeros((0, width), np.float32)], [], []
    for k in clusters:
        source, row = (new, at[k]) if k in at else (old, position[k])
        means.append(source.means[row : row + 1])
        sizes.append(int(source.sizes[row]))
        limits.append(float(source.limits[row]))
    return Shape(np.concatenate(means), np.array(sizes, np.int64), np.array(limits, np.float32))


def _counts(counts: dict[str, int], labels: Rows, clusters: int) -> dict[str, int]:
    clustered = int((labels >= 0).sum())
    present = counts["rows"] - counts.get("empty", 0)
    return {**counts, "groups": clusters, "clustered": clustered, "noise": present - clustered}


def propose_split(run: str | Path, cluster: int, **shared: Unpack[Shared]) -> Split:
    """How a cluster would be taken apart; nothing is written.

    Raises:
        RunFolderError: If the folder is not a run of ``groups``.
        UsageError: If the cluster is not there or has no parts.
    """
    check_names("propose_split", shared)
    before = open_groups(Path(run))
    assert before.log is not None
    return _split(before.log, cluster, RunVectors(before.result, shared))


def describe_again(
    run: str | Path, *, progress: Progress = silent, **shared: Unpack[Shared]
) -> GroupsResult:
    """Make everything in a run folder follow its log, to which others have added operations.

    Raises:
        RunFolderError: If the folder is not a run of ``groups`` or cannot be written.
    """
    check_names("describe_again", shared)
    folder = Path(run)
    found = open_groups(folder)
    assert found.log is not None
    # What is described in the folder are the clusters that its rows were written with.
    written = replace(found.result.clustering, labels=_labels_written(folder))
    before = replace(found, result=replace(found.result, clustering=written))
    after = _described(before, found.log, RunVectors(before.result, shared, progress))
    write_again(after, folder)
    return after.result


def _labels_written(folder: Path) -> Rows:
    options = ReadOptions(text_columns=("sbert_cluster",))
    frame = read_corpus([rows_file(folder)], options).frame
    return frame["sbert_cluster"].cast(pl.Int64).to_numpy()
