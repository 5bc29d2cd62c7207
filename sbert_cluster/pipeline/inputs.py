"""What every command starts from: rows, their texts, and their vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from sbert_cluster.corpus.columns import vectors_of
from sbert_cluster.corpus.reading import corpus_from_frame, read_corpus
from sbert_cluster.duplicates.ladder import Units, units_of_texts, units_of_vectors
from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.engines import HERE, Engine
from sbert_cluster.errors import InputError, TextError
from sbert_cluster.neighbors.join import Join
from sbert_cluster.options import EncodeOptions, ReadOptions
from sbert_cluster.progress import Progress
from sbert_cluster.types import Corpus, Embeddings, ModelFingerprint, Rows, Vectors

Inputs = str | Path | pl.DataFrame | Sequence[str | Path]
"""A file, a glob, ``-`` for stdin, several of these, or a frame."""


def read_inputs(inputs: Inputs, options: ReadOptions, progress: Progress) -> Corpus:
    """Read files or take a frame.

    Raises:
        UsageError: If a file cannot be read, or its text column is not clear.
    """
    if isinstance(inputs, pl.DataFrame):
        return corpus_from_frame(inputs, options)
    paths = [inputs] if isinstance(inputs, str | Path) else inputs
    return read_corpus(paths, options, progress=progress)


def open_encoder(read: ReadOptions, encode: EncodeOptions, progress: Progress) -> Encoder | None:
    """The encoder, with its device chosen; None where the vectors come with the rows.

    Raises:
        ModelError: If the model cannot be used.
        UsageError: If the device asked for is absent.
    """
    if read.vector_column is not None:
        return None
    encoder = Encoder.open(encode)
    _ = encoder.place
    progress("loading", 1, 1, "models")
    return encoder


@dataclass(frozen=True)
class UnitVectors:
    """Rows folded onto units, and a vector for each unit."""

    units: Units
    """n rows folded onto m units."""
    embeddings: Embeddings
    """m vectors."""
    device: str
    """Where they were made; ``none`` if they came with the rows."""
    precision: str
    """Number format in which they were made; ``given`` if they came with the rows."""
    notes: tuple[str, ...] = ()
    """How the texts were read, where that was not asked for in so many words."""
    read: Rows | None = None
    """int64[k]: the units that have a vector, rising; the others are similar to nothing. None: all
    have one."""
    looked_at: int = 0
    """Units among which those were found, all pairs of them compared; where ``read`` is given."""
    recall: tuple[float, float, float] | None = None
    """Share of pairs that lie among those, and its 95 % interval."""
    facts: dict[str, Any] = field(default_factory=dict)
    """How those were chosen, for ``run.json``."""

    @property
    def compared(self) -> Vectors:
        """Vectors of the units that have one."""
        vectors = self.embeddings.vectors
        return vectors if self.read is None else vectors[self.read]

    def seen_as(self, join: Join) -> Join:
        """Pairs of the vectors compared as pairs of units."""
        if self.read is None:
            return join
        pairs, units = join.pairs, len(self.units)
        pairs = replace(pairs, left=self.read[pairs.left], right=self.read[pairs.right])
        certificate = replace(
            join.certificate,
            exhaustive=False,
            pairs_possible=units * (units - 1) // 2,
            pairs_compared=self.looked_at * (self.looked_at - 1) // 2,
            recall=self.recall,
        )
        return Join(pairs, certificate)


def embed_units(
    corpora: Sequence[Corpus],
    texts: Sequence[str],
    encoder: Encoder | None,
    progress: Progress,
    engine: Engine = HERE,
) -> UnitVectors:
    """Fold the rows of one or more corpora and give each unit its vector.

    Args:
        corpora: Whose rows, one after the other.
        texts: Their texts, likewise.
        encoder: None: the vectors stand in the corpora.
        progress: Told the number of texts encoded.
        engine: Where they are encoded.

    Raises:
        InputError: If the vectors of two corpora have different lengths.
        ModelError: If a text cannot be encoded; its row is told.
    """
    if encoder is None:
        return _given_vectors(corpora, texts)
    units = units_of_texts(texts)
    distinct = [texts[row] for row in units.first]
    try:
        embeddings = encoder.encode(distinct, progress, forward=engine.forward)
    except TextError as error:
        raise error.in_row(int(units.first[error.position])) from error
    notes = (*encoder.notes, *_note_on_chunks(units, embeddings))
    place = encoder.place
    return UnitVectors(units, embeddings, place.device, str(place.precision), notes)


def _note_on_chunks(units: Units, embeddings: Embeddings) -> list[str]:
    if embeddings.chunked is None:
        return []
    count = int(embeddings.chunked[units.index[units.index >= 0]].sum())
    if not count:
        return []
    are, were = ("text is", "was") if count == 1 else ("texts are", "were")
    length = embeddings.model.max_seq_length
    return [f"{count:,} {are} longer than {length} tokens and {were} read in chunks"]


def _given_vectors(corpora: Sequence[Corpus], texts: Sequence[str]) -> UnitVectors:
    parts = [vectors_of(corpus) for corpus in corpora]
    widths = {vectors.shape[1] for vectors, _ in parts}
    if len(widths) > 1:
        raise InputError(
            f"vectors of {' and of '.join(map(str, sorted(widths)))} numbers cannot be compared",
            "Use the same model for both files.",
        )
    vectors = np.concatenate([vectors for vectors, _ in parts])
    present = np.concatenate([present for _, present in parts])
    units = units_of_vectors(vectors, present, texts)
    model = ModelFingerprint("given", "", "given", vectors.shape[1], 0)
    none = np.zeros(len(units), np.bool_)
    return UnitVectors(units, Embeddings(vectors[units.first], model, none), "none", "given")


def describe_inputs(corpus: Corpus) -> dict[str, Any]:
    """Where the rows came from, for ``run.json``."""
    return {
        "files": [asdict(source) for source in corpus.sources],
        "rows": len(corpus),
        "text_columns": list(corpus.text_columns),
        "id_column": corpus.id_column,
        "vector_column": corpus.vector_column,
    }


def warn_of_crowding(embeddings: Embeddings) -> list[str]:
    """A warning where even unrelated texts are similar, so that a usual threshold means nothing.

    The mean cosine of all pairs of unit vectors is the squared norm of their mean (pairs of a row
    with itself included, which is 1/n).
    """
    if len(embeddings) < 100:
        return []
    step = max(1, len(embeddings) // 20_000)
    mean = embeddings.vectors[::step].mean(axis=0, dtype=np.float64)
    if (typical := float(mean @ mean)) <= 0.5:
        return []
    return [
        f"two rows taken at random already have a similarity of {typical:.2f} with this model, "
        "so choose the threshold higher than usual"
    ]
