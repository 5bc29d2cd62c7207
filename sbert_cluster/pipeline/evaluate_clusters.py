"""A finished run of ``groups`` against classes that stand in a column of its rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from sbert_cluster.corpus.columns import require_column
from sbert_cluster.errors import UsageError
from sbert_cluster.evaluation.clusters import ClusterScores, score_clusters
from sbert_cluster.pipeline.groups_folder import open_groups
from sbert_cluster.types import Rows


def evaluate_clusters(run: str | Path, *, gold: str) -> ClusterScores:
    """Compare the groups of a run, edits included, with gold classes.

    Args:
        run: A run folder of ``groups``.
        gold: Column of the input that holds the classes; rows without a value are left out.

    Raises:
        RunFolderError: If the folder is not a run of ``groups``.
        UsageError: If there is no such column, or nothing in it.
    """
    result = open_groups(Path(run)).result
    require_column(result.corpus.frame, gold)
    classes = numbered_classes(result.corpus.frame[gold])
    if (classes < 0).all():
        raise UsageError(f"column {gold!r} holds no class", "Name another with --gold.")
    return score_clusters(result.clustering.labels, classes)


def numbered_classes(column: pl.Series) -> Rows:
    """int64[n]: the same number for the same value; -1 where there is none, or an empty text."""
    if column.dtype.is_nested():
        raise UsageError(
            f"column {column.name!r} is nested and holds no classes", "Name another with --gold."
        )
    text = column.cast(pl.String)
    number = text.set(text == "", None).rank("dense")
    return number.fill_null(0).to_numpy().astype(np.int64) - 1
