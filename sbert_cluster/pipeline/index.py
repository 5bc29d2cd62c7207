"""Rows that are loaded once and searched many times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.corpus.texts import texts_of
from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.engines import HERE, Engine
from sbert_cluster.errors import InputError, UsageError
from sbert_cluster.neighbors.join import find_pairs_between
from sbert_cluster.neighbors.search import Searcher
from sbert_cluster.options import EncodeOptions
from sbert_cluster.pipeline.inputs import Inputs, UnitVectors, embed_units, read_inputs
from sbert_cluster.pipeline.shared import Shared, check_names, encode_options, read_options
from sbert_cluster.progress import Progress, silent
from sbert_cluster.types import Corpus, Rows, Vectors

DEFAULT_TOP = 10
"""Rows that are told for each query where nothing else is asked for."""
_TOGETHER = 16
"""Queries from which they are all compared at once, where a threshold alone decides."""


@dataclass(frozen=True)
class Hits:
    """Rows that are similar to queries: query by query, the most similar first, ties by row."""

    query: Rows
    """int64[m]: position of the query, rising."""
    row: Rows
    """int64[m]: input row."""
    similarity: NDArray[np.float32]
    """float32[m], the cosine."""

    def __len__(self) -> int:
        return len(self.query)


class Index:
    """Rows and their vectors, ready for any number of searches.

    >>> from sbert_cluster import Index
    >>> index = Index("questions.csv")  # doctest: +SKIP
    >>> hits = index.search("How do I change my plan?", top=3)  # doctest: +SKIP
    >>> [index.texts[row] for row in hits.row]  # doctest: +SKIP

    Args:
        inputs: A file, a glob, several of these, or a polars frame.
        vector_column: Column of vectors made elsewhere; nothing is encoded then but queries.
        query_prompt: Text put before each query, or the name of one of the model's prompts; None:
            the prompt of the rows if one was given, else the model's own ``query`` prompt if it has
            one, else the same as for rows.
        prepared: Whether to prepare for many single queries, which takes some seconds for a million
            rows; None: where there are rows enough for it to pay.
        seed: Of the sample behind that; no answer depends on it.
        progress: Told how far each stage is.
        run_on: Where to encode and search, for as long as it is open.
        **shared: See :class:`~sbert_cluster.pipeline.shared.Shared`.

    Raises:
        UsageError: For an input or option that cannot be used.
        ModelError: For a model that cannot be used.
    """

    corpus: Corpus
    """The rows."""
    texts: list[str]
    """str[n]: the text of each row; empty for an empty row, which is never a hit."""
    vectors: UnitVectors
    """Rows folded onto distinct texts, and a vector for each of these."""

    def __init__(
        self,
        inputs: Inputs,
        *,
        vector_column: str | None = None,
        query_prompt: str | None = None,
        prepared: bool | None = None,
        seed: int = 0,
        progress: Progress = silent,
        run_on: Engine = HERE,
        **shared: Unpack[Shared],
    ) -> None:
        check_names("Index", shared)
        read, self._encode = read_options(shared, vector_column), encode_options(shared)
        self._query_prompt = query_prompt
        self._engine = run_on
        encoder = None
        if vector_column is None:
            encoder = Encoder.open(self._encode)
            _ = encoder.place
            progress("loading", 1, 1, "models")
        self._rows_encoder = encoder
        self._query_encoder: Encoder | None = None
        self.corpus = read_inputs(inputs, read, progress)
        self.texts = texts_of(self.corpus)
        self.vectors = embed_units([self.corpus], self.texts, encoder, progress, run_on)
        self._searcher = Searcher(
            self.vectors.embeddings.vectors, k=DEFAULT_TOP, coded=prepared, seed=seed
        )
        # Rows of each unit, one unit after the other.
        index = self.vectors.units.index
        self._by_unit = np.argsort(index, kind="stable")
        self._starts = np.searchsorted(index[self._by_unit], np.arange(len(self.vectors.units) + 1))

    def __len__(self) -> int:
        return len(self.corpus)

    def search(
        self,
        queries: str | Sequence[str] | Vectors,
        *,
        top: int | None = None,
        threshold: float | None = None,
        progress: Progress = silent,
    ) -> Hits:
        """Find the rows that are most similar to each query, exactly.

        Args:
            queries: A text, several texts, or unit vectors as float32[q, d].
            top: Rows for each query; None: ten, or all where a threshold is given.
            threshold: Least similarity in (0, 1]; None: any.
            progress: Told the queries that were answered.

        Raises:
            UsageError: If ``top`` or ``threshold`` is out of range.
            InputError: If the queries' vectors have another length than the rows'.
        """
        top = _checked(top, threshold)
        vectors = self.encode(queries) if not isinstance(queries, np.ndarray) else queries
        width = self.vectors.embeddings.vectors.shape[1]
        if vectors.ndim != 2 or vectors.shape[1] != width:
            raise InputError(
                f"queries have vectors of {vectors.shape[-1]} numbers, the rows of {width}",
                "Use the model that made the rows' vectors.",
            )
        if top is not None:

            def answered(stage: str, done: int, total: int | None, unit: str) -> None:  # noqa: ARG001 - queries are no rows
                progress(stage, done, total, "texts")

            found = self._engine.answer(self._searcher, vectors, top, progress=answered)
            parts = zip(found.rows, found.similarity, strict=True)
            hits = [self._rows_of(*part, top, threshold) for part in parts]
        else:
            assert threshold is not None
            hits = self._above(vectors, threshold, progress)
        query = np.repeat(np.arange(len(hits), dtype=np.int64), [len(rows) for rows, _ in hits])
        rows = np.concatenate([np.empty(0, np.int64), *(rows for rows, _ in hits)])
        scores = np.concatenate([np.empty(0, np.float32), *(scores for _, scores in hits)])
        return Hits(query, rows, scores)

    def encode(self, texts: str | Sequence[str]) -> Vectors:
        """The vectors of queries, float32[q, d]; one without a visible text is similar to nothing.

        Raises:
            ModelError: If the model cannot be used.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        told = [i for i, text in enumerate(texts) if text.strip()]
        vectors: Vectors = np.zeros((len(texts), self._encoder.fingerprint.dimensions), np.float32)
        if told:
            vectors[told] = self._encoder.encode(
                [texts[i] for i in told], forward=self._engine.forward
            ).vectors
        return vectors

    @property
    def notes(self) -> tuple[str, ...]:
        """What was guessed while reading and encoding, a sentence each."""
        notes = [*self.corpus.notes, *self.vectors.notes]
        if self._query_encoder is not None:
            prompt = self._query_encoder.fingerprint.prompt
            if prompt != self.vectors.embeddings.model.prompt:
                notes.append(f"prompt before each query: {prompt!r} (--query-prompt names another)")
        return tuple(notes)

    @property
    def _encoder(self) -> Encoder:
        """The encoder of queries; the rows' own where both have the same prompt."""
        if self._query_encoder is None:
            # A query is asked once; the cache is for texts that come again.
            options = replace(self._encode, use_cache=False)
            self._query_encoder = self._open(options)
        return self._query_encoder

    def _open(self, options: EncodeOptions) -> Encoder:
        rows = self._rows_encoder or Encoder.open(options)
        prompt = self._query_prompt
        if prompt is None and options.prompt is None and "query" in rows.checkpoint.prompts:
            prompt = "query"
        if prompt is None:
            return Encoder(rows.checkpoint, options)
        return Encoder.open(replace(options, prompt=prompt))

    def _above(
        self, vectors: Vectors, threshold: float, progress: Progress
    ) -> list[tuple[Rows, NDArray[np.float32]]]:
        if len(vectors) < _TOGETHER:
            found = [self._searcher.above(vector, threshold) for vector in vectors]
            progress("searching", len(vectors), len(vectors), "texts")
        else:
            units = self.vectors.embeddings.vectors
            compare = self._engine.compare
            pairs = find_pairs_between(vectors, units, threshold, progress, compare=compare).pairs
            order = np.argsort(pairs.left, kind="stable")
            cuts = np.searchsorted(pairs.left[order], np.arange(1, len(vectors)))
            found = [(pairs.right[part], pairs.similarity[part]) for part in np.split(order, cuts)]
        return [self._rows_of(units_, scores, None, threshold) for units_, scores in found]

    def _rows_of(
        self,
        units: Rows,
        scores: NDArray[np.float32],
        top: int | None,
        threshold: float | None,
    ) -> tuple[Rows, NDArray[np.float32]]:
        """All rows of the units that reach the threshold, the first ``top`` of them."""
        if threshold is not None:
            reached = scores >= np.float32(threshold)
            units, scores = units[reached], scores[reached]
        copies = [self._by_unit[self._starts[u] : self._starts[u + 1]] for u in units.tolist()]
        rows = np.concatenate([np.empty(0, np.int64), *copies])
        similarity = np.repeat(scores, [len(part) for part in copies])
        order = np.lexsort((rows, -similarity))[:top]
        return rows[order], similarity[order]


def _checked(top: int | None, threshold: float | None) -> int | None:
    if top is not None and top < 1:
        raise UsageError(f"--top {top} is below 1", "Ask for at least one row.")
    if threshold is not None and not 0 < threshold <= 1:
        raise UsageError(
            f"--threshold {threshold:g} is outside (0, 1]", "Use a cosine similarity such as 0.7."
        )
    return DEFAULT_TOP if top is None and threshold is None else top
