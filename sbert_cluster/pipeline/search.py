"""The rows that are most similar to new texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Unpack, cast

import numpy as np
import polars as pl

from sbert_cluster.corpus.columns import vectors_of
from sbert_cluster.corpus.formats import STDIN
from sbert_cluster.corpus.texts import texts_of
from sbert_cluster.corpus.writing import layout_of, write_rows
from sbert_cluster.engines import open_engine
from sbert_cluster.errors import InputError, UsageError
from sbert_cluster.meter import Stopwatch, peak_memory_bytes, versions
from sbert_cluster.options import ReadOptions
from sbert_cluster.pipeline.index import Hits, Index
from sbert_cluster.pipeline.inputs import Inputs, describe_inputs, read_inputs, warn_of_crowding
from sbert_cluster.pipeline.shared import (
    Shared,
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


@dataclass(frozen=True)
class SearchResult:
    """The hits of every query."""

    corpus: Corpus
    """The rows."""
    texts: list[str]
    """str[n]: the text of each row."""
    queries: list[str]
    """The queries; of one that is a vector, the text or name of its row."""
    hits: Hits
    """Rows, query by query, the most similar first."""
    manifest: RunManifest
    """Everything else."""

    def to_frame(self) -> pl.DataFrame:
        """``query``, ``sbert_row``, ``sbert_similarity``, and all columns of the input."""
        return self.found().hstack(self.corpus.frame[self.hits.row])

    def found(self) -> pl.DataFrame:
        """``query``, ``sbert_row`` and ``sbert_similarity`` of every hit."""
        queries = pl.Series("query", self.queries, dtype=pl.String)
        return pl.DataFrame(
            {
                "query": queries.gather(pl.Series(self.hits.query, dtype=pl.UInt32)),
                "sbert_row": self.hits.row,
                "sbert_similarity": self.hits.similarity,
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """The manifest and the hits, JSON-ready."""
        ids = self.corpus.id_column
        names = self.corpus.frame.get_column(ids) if ids else None
        hits = [
            {
                "query": self.queries[query],
                "row": row,
                "similarity": round(float(similarity), 6),
                **({} if names is None else {"id": _json_ready(names[row])}),
                "text": self.texts[row],
            }
            for query, row, similarity in zip(
                self.hits.query.tolist(), self.hits.row.tolist(), self.hits.similarity, strict=True
            )
        ]
        return {**self.manifest.to_dict(), "hits": hits}


def search(
    inputs: Inputs,
    queries: str | Sequence[str] = (),
    *,
    query_file: Inputs | None = None,
    query_column: str | None = None,
    query_vector_column: str | None = None,
    query_prompt: str | None = None,
    top: int | None = None,
    threshold: float | None = None,
    vector_column: str | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
    **shared: Unpack[SharedEngine],
) -> SearchResult:
    """Find the rows of a file that are most similar to new texts, exactly.

    Similarity is the cosine of the vectors. Every copy of a text is a hit of its own; empty rows
    never are. To ask again and again, keep an :class:`~sbert_cluster.pipeline.index.Index`.

    Args:
        inputs: A file, a glob, ``-`` for stdin, several of these, or a polars frame.
        queries: The texts to search for.
        query_file: A file of further queries.
        query_column: Its column of texts; None: found by itself.
        query_vector_column: Its column of vectors, for rows whose vectors were made elsewhere.
        query_prompt: Text put before each query, or the name of one of the model's prompts; None:
            as for the rows, or the model's own ``query`` prompt if it has one.
        top: Rows for each query; None: ten, or all where a threshold is given.
        threshold: Least similarity in (0, 1]; None: any.
        vector_column: Column of vectors made elsewhere. Queries that are texts are then encoded
            with ``model``, which must be the one that made them.
        output: A file for the hits with all columns of their rows; None: nothing is written.
        overwrite: Whether an existing file may be replaced.
        progress: Told how far each stage is.
        **shared: See :class:`~sbert_cluster.pipeline.shared.SharedEngine`.

    Raises:
        UsageError: For an input, query or option that cannot be used.
        ModelError: For a model that cannot be used.
        RunFolderError: If the file cannot be written.
    """
    check_names("search", shared, SharedEngine)
    texts = [queries] if isinstance(queries, str) else list(queries)
    options = _query_options(shared, query_column, query_vector_column)
    asked = _Queries.read(texts, query_file, options, progress)
    target = _checked(Path(output) if output else None, overwrite=overwrite)
    watch = Stopwatch("load", "search", "write")
    own: dict[str, Any] = {"vector_column": vector_column, "query_prompt": query_prompt}
    rest = cast(Shared, {k: v for k, v in shared.items() if k in Shared.__annotations__})
    with open_engine(engine_options(shared)) as engine:
        with watch.stage("load"):
            # For one call, coding the rows would take longer than comparing them whole.
            index = Index(inputs, prepared=False, progress=progress, run_on=engine, **own, **rest)
            format_ = read_options(shared).format
            layout = layout_of(target, index.corpus, format_) if target else None
        with watch.stage("search"):
            what = asked.texts if asked.vectors is None else asked.vectors
            hits = index.search(what, top=top, threshold=threshold, progress=progress)
    arguments = {"top": top, "threshold": threshold, "query_prompt": query_prompt}
    manifest = _manifest(index, len(asked.texts), hits, arguments, shared, watch)
    result = SearchResult(index.corpus, index.texts, asked.texts, hits, manifest)
    if target and layout:
        with watch.stage("write"):
            write_rows(result.corpus, hits.row, target, layout=layout, extra=result.found())
        progress("writing", 1, 1, "files")
    return replace(result, manifest=manifest.with_costs(watch.read(), peak_memory_bytes()))


def _query_options(shared: Shared, column: str | None, vector_column: str | None) -> ReadOptions:
    """How the file of queries is read: its columns are its own."""
    own = read_options(shared, vector_column)
    return replace(own, text_columns=(column,) if column else (), id_column=None)


@dataclass(frozen=True)
class _Queries:
    """What is searched for."""

    texts: list[str]
    vectors: Vectors | None = None

    @classmethod
    def read(
        cls, texts: list[str], file: Inputs | None, options: ReadOptions, progress: Progress
    ) -> _Queries:
        if any(not text.strip() for text in texts):
            raise UsageError("a query is empty", "Give it some text.")
        if file is None:
            if options.vector_column or options.text_columns:
                raise UsageError("a column of queries is named, but no file", "Add --queries FILE.")
            if not texts:
                raise UsageError(
                    "there is nothing to search for", "Add a text, or a file with --queries."
                )
            return cls(texts)
        corpus = read_inputs(file, options, progress)
        own = texts_of(corpus)
        if options.vector_column is None:
            texts = [*texts, *(text for text in own if text)]
            if not texts:
                raise InputError("the file of queries holds no text", "Check --query-column.")
            return cls(texts)
        if texts:
            raise UsageError(
                "queries as text and as vectors cannot be mixed",
                "Leave out the text or --query-vector-column.",
            )
        vectors, present = vectors_of(corpus)
        rows = np.flatnonzero(present)
        return cls([own[row] or f"row {row}" for row in rows.tolist()], vectors[rows])


def _checked(target: Path | None, *, overwrite: bool) -> Path | None:
    if target is None or target == Path(STDIN):
        return target
    if target.suffix.lower() in ("", ".txt", ".text", ".json"):
        raise UsageError(
            f"hits cannot be written to {target.name!r}",
            "Name a .csv, .tsv, .jsonl, .parquet or .arrow file.",
        )
    refuse_existing(target, overwrite=overwrite)
    return target


def _manifest(
    index: Index,
    queries: int,
    hits: Hits,
    arguments: dict[str, Any],
    shared: SharedEngine,
    watch: Stopwatch,
) -> RunManifest:
    made, options = index.vectors, encode_options(shared)
    rows, distinct = made.units.index, len(made.embeddings)
    present = int((rows >= 0).sum())
    return RunManifest(
        command="search",
        arguments={
            **arguments,
            "model": options.model,
            **reading_arguments(options),
            **engine_arguments(engine_options(shared)),
        },
        input=describe_inputs(index.corpus),
        model=asdict(made.embeddings.model),
        device=made.device,
        precision=made.precision,
        counts={
            "rows": len(rows),
            "empty": len(rows) - present,
            "exact_duplicates": present - distinct,
            "queries": queries,
            "hits": len(hits),
        },
        search={
            "exhaustive": True,
            "pairs_possible": queries * distinct,
            "pairs_compared": queries * distinct,
        },
        timings_s=watch.read(),
        peak_memory_bytes=peak_memory_bytes(),
        versions=versions(),
        notes=(*index.notes, *warn_of_crowding(made.embeddings)),
    )


def _json_ready(value: Any) -> Any:
    return value if isinstance(value, int | float | str | bool) or value is None else str(value)
