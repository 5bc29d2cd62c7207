"""Vectors of rows, as a table that can be joined to the input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Unpack

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from sbert_cluster.corpus.texts import texts_of
from sbert_cluster.corpus.writing import atomic_file
from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.engines import open_engine
from sbert_cluster.errors import UsageError
from sbert_cluster.meter import Stopwatch, peak_memory_bytes, versions
from sbert_cluster.options import EncodeOptions, EngineOptions, ReadOptions
from sbert_cluster.pipeline.inputs import (
    Inputs,
    describe_inputs,
    embed_units,
    read_inputs,
    warn_of_crowding,
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
from sbert_cluster.progress import Progress, silent
from sbert_cluster.runs import refuse_existing
from sbert_cluster.types import Corpus, RunManifest, Vectors

_BATCH_ROWS = 16_384
"""Rows of a table that is written part by part, and of a group in the file: a group is held twice
before it is written, and one of the usual quarter of a million rows takes 700 MB."""


@dataclass(frozen=True)
class EmbedResult:
    """The vectors of a corpus."""

    corpus: Corpus
    """The input."""
    vectors: Vectors
    """float32[n, d], unit rows; zero rows for empty texts."""
    present: np.ndarray[tuple[int], np.dtype[np.bool_]]
    """bool[n]: the row has a text."""
    truncated: np.ndarray[tuple[int], np.dtype[np.bool_]]
    """bool[n]: the text was longer than the model reads, and was cut."""
    manifest: RunManifest
    """Everything else."""

    def to_frame(self) -> pl.DataFrame:
        """A table of ``sbert_row``, the id column if any, ``vector`` and ``truncated``.

        The vector of an empty text is null.
        """
        return pl.concat(self.batches()) if len(self.corpus) else self._part(slice(0, 0))

    def batches(self) -> Iterator[pl.DataFrame]:
        """The same, some rows at a time, so that vectors are not held twice."""
        for start in range(0, len(self.corpus), _BATCH_ROWS):
            yield self._part(slice(start, start + _BATCH_ROWS))

    def _part(self, rows: slice) -> pl.DataFrame:
        vectors = self.vectors[rows]
        vector = pl.Series("vector", vectors, dtype=pl.Array(pl.Float32, vectors.shape[1]))
        numbers = np.arange(len(self.corpus), dtype=np.int64)[rows]
        columns = [pl.Series("sbert_row", numbers)]
        if self.corpus.id_column:
            columns.append(self.corpus.frame.get_column(self.corpus.id_column)[rows])
        frame = pl.DataFrame([*columns, vector, pl.Series("truncated", self.truncated[rows])])
        present = pl.Series(self.present[rows])
        return frame.with_columns(pl.when(present).then(pl.col("vector")).alias("vector"))


def embed(
    inputs: Inputs,
    *,
    output: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
    **shared: Unpack[SharedEngine],
) -> EmbedResult:
    """Encode the texts of a file.

    Args:
        inputs: A file, a glob, ``-`` for stdin, several of these, or a polars frame.
        output: A ``.parquet`` or ``.arrow`` file; None: nothing is written.
        overwrite: Whether an existing file may be replaced.
        progress: Told how far each stage is.
        **shared: See :class:`~sbert_cluster.pipeline.shared.SharedEngine`.

    Returns:
        One vector a row.

    Raises:
        UsageError: For an input or option that cannot be used.
        ModelError: For a model that cannot be used.
        RunFolderError: If the file cannot be written.
    """
    check_names("embed", shared, SharedEngine)
    target = _checked(Path(output) if output else None, overwrite=overwrite)
    watch = Stopwatch("read", "encode", "write")
    run_on = engine_options(shared)
    result = _encode(inputs, read_options(shared), encode_options(shared), run_on, watch, progress)
    if target:
        with watch.stage("write"), atomic_file(target) as path:
            _write(result, path, parquet=target.suffix.lower() == ".parquet")
        progress("writing", 1, 1, "files")
    return replace(result, manifest=result.manifest.with_costs(watch.read(), peak_memory_bytes()))


def _write(result: EmbedResult, path: Path, *, parquet: bool) -> None:
    """Write batch by batch; a whole frame would hold all vectors twice."""
    schema = result._part(slice(0, 0)).schema

    def source(
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,
    ) -> Iterator[pl.DataFrame]:
        # Everything is written: nobody asks for a part.
        assert (with_columns, predicate, n_rows) == (None, None, None), batch_size
        yield from result.batches()

    rows = register_io_source(source, schema=schema)
    if parquet:
        rows.sink_parquet(path, row_group_size=_BATCH_ROWS)
    else:
        rows.sink_ipc(path, record_batch_size=_BATCH_ROWS)


def _checked(target: Path | None, *, overwrite: bool) -> Path | None:
    if target is None:
        return None
    if target.suffix.lower() not in (".parquet", ".arrow"):
        raise UsageError(
            f"vectors cannot be written to {target.name!r}", "Name a .parquet or .arrow file."
        )
    refuse_existing(target, overwrite=overwrite)
    return target


def _encode(
    inputs: Inputs,
    read: ReadOptions,
    encode: EncodeOptions,
    run_on: EngineOptions,
    watch: Stopwatch,
    progress: Progress,
) -> EmbedResult:
    encoder = Encoder.open(encode)
    place = encoder.place
    progress("loading", 1, 1, "models")
    with watch.stage("read"):
        corpus = read_inputs(inputs, read, progress)
        texts = texts_of(corpus)
    with open_engine(run_on) as engine, watch.stage("encode"):
        made = embed_units([corpus], texts, encoder, progress, engine)
    index = made.units.index
    present = index >= 0
    if np.array_equal(index, np.arange(len(corpus))):
        # Each row has its own vector: no need to hold them twice.
        vectors = made.embeddings.vectors
    else:
        vectors = np.zeros((len(corpus), made.embeddings.vectors.shape[1]), np.float32)
        vectors[present] = made.embeddings.vectors[index[present]]
    truncated = np.zeros(len(corpus), np.bool_)
    truncated[present] = made.embeddings.truncated[index[present]]
    manifest = RunManifest(
        command="embed",
        arguments={
            "model": encoder.options.model,
            **reading_arguments(encoder.options),
            "text_columns": list(read.text_columns),
            **engine_arguments(run_on),
        },
        input=describe_inputs(corpus),
        model=asdict(encoder.fingerprint),
        device=place.device,
        precision=str(place.precision),
        counts={
            "rows": len(corpus),
            "empty": int((~present).sum()),
            "exact_duplicates": int(present.sum()) - len(made.units),
            "truncated": int(truncated.sum()),
        },
        search={},
        timings_s=watch.read(),
        peak_memory_bytes=peak_memory_bytes(),
        versions=versions(),
        notes=(*corpus.notes, *made.notes, *warn_of_crowding(made.embeddings)),
    )
    return EmbedResult(corpus, vectors, present, truncated, manifest)
