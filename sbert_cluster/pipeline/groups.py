"""Group rows by meaning, name the groups, and write the result."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from sbert_cluster.clustering.collapse import Points, collapse
from sbert_cluster.clustering.layout import lay_out
from sbert_cluster.clustering.partition import Partition, Prepared, partition, prepare
from sbert_cluster.corpus.texts import texts_of
from sbert_cluster.engines import Engine, open_engine
from sbert_cluster.meter import Stopwatch, versions
from sbert_cluster.options import (
    EncodeOptions,
    EngineOptions,
    GroupOptions,
    Linkage,
    Method,
    OutputOptions,
    Projection,
    ReadOptions,
)
from sbert_cluster.pipeline.describe import (
    RowVectors,
    describe_layers,
    measure_stability,
    summarise,
    warn_of_weakness,
)
from sbert_cluster.pipeline.groups_folder import GroupsRun, check_picture, write_groups
from sbert_cluster.pipeline.inputs import (
    Inputs,
    UnitVectors,
    describe_inputs,
    embed_units,
    open_encoder,
    read_inputs,
)
from sbert_cluster.pipeline.shared import (
    SharedEngine,
    check_names,
    encode_options,
    engine_arguments,
    engine_options,
    read_options,
    reading_arguments,
)
from sbert_cluster.pipeline.writing import Destination
from sbert_cluster.progress import Progress, silent
from sbert_cluster.types import Clustering, Corpus, GroupsResult, Rows, RunManifest


def groups(
    inputs: Inputs,
    *,
    method: str = Method.MODES,
    min_cluster_size: int | None = None,
    clusters: int | None = None,
    threshold: float | None = None,
    linkage: str = Linkage.AVERAGE,
    projection: str = Projection.SMOOTH,
    assign_noise: bool = False,
    layers: bool = False,
    vector_column: str | None = None,
    output: str | Path | None = None,
    plot: str | Path | None = None,
    overwrite: bool = False,
    seed: int = 0,
    progress: Progress = silent,
    **shared: Unpack[SharedEngine],
) -> GroupsResult:
    """Group rows by what they are about, and name the groups.

    Args:
        inputs: A file, a glob, ``-`` for stdin, several of these, or a polars frame.
        method: ``modes``, ``hdbscan``, ``agglomerative`` or ``kmeans``.
        min_cluster_size: Rows of the smallest cluster; None: follows from the number of rows.
        clusters: Number of clusters; None: found. Not for ``hdbscan``.
        threshold: Cosine similarity down to which ``agglomerative`` merges.
        linkage: ``average``, ``complete``, ``single`` or ``ward``, for ``agglomerative``.
        projection: ``smooth`` or ``umap``, for ``hdbscan``.
        assign_noise: Whether rows that fit no cluster join the nearest one, marked as such.
        layers: Whether clusters are grouped into one or two coarser layers.
        vector_column: Column of vectors made elsewhere; nothing is encoded then.
        output: A run folder, or a file for the rows alone; None: nothing is written.
        plot: A ``.png``, ``.svg`` or ``.pdf`` file for a picture of the map.
        overwrite: Whether an existing result may be replaced.
        seed: Of the parts on which stability is measured, and of UMAP; other labels do not depend
            on it.
        progress: Told how far each stage is.
        **shared: See :class:`~sbert_cluster.pipeline.shared.SharedEngine`.

    Returns:
        Labels, names, places on a map, and the manifest. ``result.rows`` is the frame of all rows.

    Raises:
        UsageError: For an input or option that cannot be used.
        ModelError: For a model that cannot be used.
        RunFolderError: If the result cannot be written.
    """
    check_names("groups", shared, SharedEngine)
    decide = GroupOptions(
        method=Method(method),
        min_cluster_size=min_cluster_size,
        clusters=clusters,
        threshold=threshold,
        linkage=Linkage(linkage),
        projection=Projection(projection),
        assign_noise=assign_noise,
        layers=layers,
    )
    write = OutputOptions(output=Path(output) if output else None, overwrite=overwrite)
    read, encode = read_options(shared, vector_column), encode_options(shared)
    picture, run_on = Path(plot) if plot else None, engine_options(shared)
    job = _Job(read, encode, decide, write, picture, seed, progress, run_on)
    return job.run(inputs)


@dataclass(frozen=True)
class _Grouped:
    """Clusters of points, and the points they are of."""

    points: Points
    found: Partition
    prepared: Prepared | None
    """None where there is no point."""

    @property
    def labels(self) -> Rows:
        """int64[n]: of the rows."""
        return _spread(self.points, self.found.labels, -1)


@dataclass(frozen=True)
class _Job:
    """One run: the options of every stage, and who listens."""

    read: ReadOptions
    encode: EncodeOptions
    decide: GroupOptions
    write: OutputOptions
    plot: Path | None
    seed: int
    progress: Progress
    run_on: EngineOptions

    def run(self, inputs: Inputs) -> GroupsResult:
        from threadpoolctl import threadpool_limits

        watch = Stopwatch("read", "encode", "compare", "cluster", "describe", "write")
        destination = Destination.checked(self.write)
        check_picture(self.plot)
        encoder = open_encoder(self.read, self.encode, self.progress)
        with watch.stage("read"):
            corpus = read_inputs(inputs, self.read, self.progress)
            texts = texts_of(corpus)
            destination.check_format(corpus, self.read.format)
        with open_engine(self.run_on) as engine:
            with watch.stage("encode"):
                made = embed_units([corpus], texts, encoder, self.progress, engine)
            # One thread for small products: a sum's last digit must not depend on the machine.
            with threadpool_limits(1, user_api="blas"), watch.stage("compare"):
                points, prepared = self._prepare(made, engine)
        with threadpool_limits(1, user_api="blas"):
            with watch.stage("cluster"):
                found = _nothing(made) if prepared is None else self._partition(prepared)
            grouped = _Grouped(points, found, prepared)
            run = self._describe(corpus, texts, made, grouped, watch)
        return write_groups(run, destination, self.plot, watch, self.progress)

    def _prepare(self, made: UnitVectors, engine: Engine) -> tuple[Points, Prepared | None]:
        units, vectors, progress = made.units, made.embeddings.vectors, self.progress
        same = units.form if units.lifted else np.full(len(units), -1, np.int64)
        points = collapse(vectors, units.index, same, progress, engine.compare)
        return points, prepare(points, progress, engine.answer) if len(points) else None

    def _partition(self, prepared: Prepared) -> Partition:
        self.progress("clustering", 0, 1, "partitions")
        found = partition(prepared, self.decide, self.seed)
        self.progress("clustering", 1, 1, "partitions")
        return found

    def _describe(
        self,
        corpus: Corpus,
        texts: list[str],
        made: UnitVectors,
        grouped: _Grouped,
        watch: Stopwatch,
    ) -> GroupsRun:
        points, found, labels = grouped.points, grouped.found, grouped.labels
        with watch.stage("describe"):
            places = np.zeros((0, 2))
            stable = None
            if grouped.prepared is not None:
                smoothed, graph = grouped.prepared.smoothed, grouped.prepared.graph
                places = lay_out(smoothed, graph, self.progress)
                stable = measure_stability(points, found, self.decide, self.seed, self.progress)
            rows = RowVectors(made.embeddings.vectors, made.units.index)
            summaries, shape = summarise(rows, labels, texts, stable)
            layers = describe_layers(shape, labels, texts) if self.decide.layers else []
        clustering = Clustering(
            labels,
            _spread(points, found.strength, 0),
            _spread(points, found.attached, 0),
            _spread(points, places.astype(np.float32), np.nan),
        )
        present = int((made.units.index >= 0).sum())
        weak = warn_of_weakness(labels, present, found.details, stable)
        notes = (*corpus.notes, *made.notes, *found.notes, *weak)
        manifest = self._manifest(corpus, made, grouped, clustering, notes)
        result = GroupsResult(corpus, texts, clustering, tuple(summaries), manifest, tuple(layers))
        return GroupsRun(result, shape, labels)

    def _manifest(
        self,
        corpus: Corpus,
        made: UnitVectors,
        grouped: _Grouped,
        clustering: Clustering,
        notes: tuple[str, ...],
    ) -> RunManifest:
        compared = len(grouped.points)
        return RunManifest(
            command="groups",
            arguments=self._arguments(),
            input=describe_inputs(corpus),
            model=asdict(made.embeddings.model),
            device=made.device,
            precision=made.precision,
            counts=_counts(made, grouped, clustering),
            search={
                "exhaustive": True,
                "pairs_compared": compared * (compared - 1) // 2,
                "pairs_possible": compared * (compared - 1) // 2,
                "recall": None,
            },
            timings_s={},
            peak_memory_bytes=0,
            versions=versions(),
            notes=notes,
            extra={"clustering": grouped.found.details},
        )

    def _arguments(self) -> dict[str, Any]:
        chosen = {
            name: str(value) if isinstance(value, Method | Linkage | Projection) else value
            for name, value in asdict(self.decide).items()
        }
        return {
            **chosen,
            "text_columns": list(self.read.text_columns),
            "vector_column": self.read.vector_column,
            "model": self.encode.model,
            **reading_arguments(self.encode),
            "device": self.encode.device,
            "precision": str(self.encode.precision),
            "batch_tokens": self.encode.batch_tokens,
            "cache": self.encode.use_cache,
            "output": str(self.write.output) if self.write.output else None,
            "overwrite": self.write.overwrite,
            "seed": self.seed,
            **engine_arguments(self.run_on),
        }


def _nothing(made: UnitVectors) -> Partition:
    width = made.embeddings.vectors.shape[1]
    return Partition(
        np.zeros(0, np.int64),
        np.zeros(0, np.float32),
        np.zeros(0, np.bool_),
        np.zeros((0, width), np.float32),
        {},
    )


def _spread(points: Points, values: np.ndarray[Any, Any], missing: float) -> np.ndarray[Any, Any]:
    """A value of each row from a value of each point."""
    if not len(points):
        return np.full((len(points.index), *values.shape[1:]), missing, values.dtype)
    spread = values[points.index]
    spread[points.index < 0] = missing
    return spread


def _counts(made: UnitVectors, grouped: _Grouped, clustering: Clustering) -> dict[str, int]:
    index = made.units.index
    present = index[index >= 0]
    clustered = int((clustering.labels >= 0).sum())
    return {
        "rows": len(index),
        "empty": len(index) - len(present),
        "exact_duplicates": len(present) - len(np.unique(present)),
        "distinct": len(grouped.points),
        "groups": len(grouped.found),
        "clustered": clustered,
        "noise": len(present) - clustered,
        "attached": int(clustering.attached.sum()),
        "truncated": int(made.embeddings.truncated[present].sum()),
    }
