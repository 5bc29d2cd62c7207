"""New rows into the clusters of a finished run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import polars as pl

from sbert_cluster.clustering.kmeans import nearest_centre
from sbert_cluster.clustering.partition import strengths
from sbert_cluster.corpus.texts import texts_of
from sbert_cluster.corpus.writing import write_rows
from sbert_cluster.errors import UsageError
from sbert_cluster.options import OutputOptions
from sbert_cluster.pipeline.edit_groups import model_of
from sbert_cluster.pipeline.groups_folder import GroupsRun, open_groups
from sbert_cluster.pipeline.inputs import Inputs, embed_units, open_encoder, read_inputs
from sbert_cluster.pipeline.shared import Shared, check_names, encode_options, read_options
from sbert_cluster.pipeline.writing import Destination
from sbert_cluster.progress import Progress, silent
from sbert_cluster.types import Corpus, Rows


@dataclass(frozen=True)
class AssignResult:
    """Which cluster of a run each new row belongs to."""

    corpus: Corpus
    """The new rows."""
    labels: Rows
    """int64[n]; -1: none is near enough, or the row is empty."""
    strengths: np.ndarray[Any, np.dtype[np.float32]]
    """float32[n] in [0, 1]; 0 for noise."""
    names: dict[int, str]
    """Cluster → label."""

    @property
    def rows(self) -> pl.DataFrame:
        """The new rows, with cluster, strength and label."""
        return self.corpus.frame.hstack(self.added())

    def added(self) -> pl.DataFrame:
        """The columns that are added to the input's."""
        labels = [self.names.get(int(k)) for k in self.labels]
        return pl.DataFrame(
            {
                "sbert_cluster": self.labels,
                "sbert_strength": self.strengths,
                "sbert_label": pl.Series(labels, dtype=pl.String),
            }
        )


def assign_groups(
    run: str | Path,
    inputs: Inputs,
    *,
    output: str | Path | None = None,
    vector_column: str | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
    **shared: Unpack[Shared],
) -> AssignResult:
    """Give new rows the clusters of a finished run; the run stays as it is.

    A row joins the cluster with the most similar centre, unless it is less similar to it than the
    outer twentieth of the cluster's own rows; then it is noise.

    Args:
        run: A run folder of ``groups``.
        inputs: The new rows.
        output: A file for the new rows with their clusters; None: nothing is written.
        vector_column: Column of vectors, where the run was made from vectors.
        overwrite: Whether an existing file may be replaced.
        progress: Told how far each stage is.
        **shared: See :class:`~sbert_cluster.pipeline.shared.Shared`; the model is the run's.

    Raises:
        RunFolderError: If the folder is not a run of ``groups``, or the file cannot be written.
        UsageError: If the input cannot be used.
    """
    check_names("assign_groups", shared)
    known = open_groups(Path(run))
    arguments = known.result.manifest.arguments
    column = vector_column or arguments.get("vector_column")
    read, encode = read_options(shared, column), encode_options(model_of(arguments, shared))
    target = Destination.checked(
        OutputOptions(output=Path(output) if output else None, overwrite=overwrite)
    )
    if target.target is not None and not target.is_file:
        raise UsageError(
            f"--output {output} is a folder; --assign writes one file of rows",
            "Name a .csv, .tsv, .jsonl, .parquet or .arrow file.",
        )
    encoder = open_encoder(read, encode, progress)
    corpus = read_inputs(inputs, read, progress)
    target.check_format(corpus, read.format)
    made = embed_units([corpus], texts_of(corpus), encoder, progress)
    vectors = np.asarray(made.embeddings.vectors)
    width = known.shape.means.shape[1]
    if len(known.shape) and len(vectors) and vectors.shape[1] != width:
        raise UsageError(
            f"the vectors have {vectors.shape[1]} numbers, those of the run {width}",
            "Use vectors of the same model.",
        )
    labels, strength = _nearest(known, vectors)
    labels = np.where(made.units.index >= 0, labels[made.units.index], -1)
    strength = np.where(labels >= 0, strength[made.units.index], np.float32(0))
    names = {one.cluster: one.label for one in known.result.summaries}
    result = AssignResult(corpus, labels, strength.astype(np.float32), names)
    if target.target is not None:
        layout = target.layout(corpus, read.format)
        everything = np.arange(len(corpus))
        write_rows(corpus, everything, target.target, layout=layout, extra=result.added())
        progress("writing", 1, 1, "files")
    return result


def _nearest(
    known: GroupsRun, vectors: np.ndarray[Any, np.dtype[np.float32]]
) -> tuple[Rows, np.ndarray[Any, np.dtype[np.float32]]]:
    """Cluster and strength of each vector; a last entry stands for rows without one."""
    labels = np.full(len(vectors) + 1, -1, np.int64)
    strength = np.zeros(len(vectors) + 1, np.float32)
    shape = known.shape
    if not len(shape) or not len(vectors):
        return labels, strength
    best, first, second = nearest_centre(vectors, shape.centres)
    # Half a thousandth, as number formats may differ by that.
    inside = (first >= shape.limits[best] - 5e-4) & vectors.any(axis=1)
    numbers = np.array([one.cluster for one in known.result.summaries], np.int64)
    labels[:-1] = np.where(inside, numbers[best], -1)
    strength[:-1] = np.where(inside, strengths(first, second, alone=len(shape) == 1), 0)
    return labels, strength
