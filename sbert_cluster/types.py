"""Values that pass between the stages: frozen, row-indexed, checked when they are made.

A row is its position in the corpus, counted from 0. Identity is never text equality.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sbert_cluster.options import FileFormat

Rows = NDArray[np.int64]
Vectors = NDArray[np.float32]

SCHEMA_VERSION = 1
"""Version of ``run.json``; raised when a field changes its meaning or goes away."""


class Reason(IntEnum):
    """Which rung of the ladder found a pair; the first that holds is given."""

    EXACT = 0
    """The texts are the same, character for character."""
    NORMALISED = 1
    """The texts are the same but for case, white space, punctuation or Unicode form."""
    SEMANTIC = 2
    """The vectors are similar enough."""
    RERANKED = 3
    """A cross-encoder decided."""

    @property
    def word(self) -> str:
        """The name that stands in files: ``exact``, ``normalised``, ``semantic``, ``reranked``."""
        return self.name.lower()


@dataclass(frozen=True)
class SourceFile:
    """One input file."""

    path: str
    """As the user gave it; ``-`` for stdin."""
    sha256: str
    """Of the file's bytes as they lie on disk."""
    rows: int
    """Number of rows."""


@dataclass(frozen=True)
class Layout:
    """How an input file is written, so that a result can be written the same way."""

    format: FileFormat
    """File format."""
    compression: str = ""
    """``gz``, ``zst`` or empty."""
    encoding: str = "utf-8"
    """Python codec name without byte-order mark; text formats only."""
    byte_order_mark: bool = False
    """Whether the file starts with one; text formats only."""
    delimiter: str = ","
    """Between fields; CSV and TSV only."""
    newline: str = "\n"
    """Between records; text formats only."""
    header: str = ""
    """What stands in the file before the rows, without the last line end; CSV and TSV only."""

    @property
    def suffix(self) -> str:
        """File name ending of a result in this layout, such as ``.csv.gz``."""
        name = {FileFormat.TEXT: "txt"}.get(self.format, str(self.format))
        return f".{name}.{self.compression}" if self.compression else f".{name}"


@dataclass(frozen=True)
class Corpus:
    """The rows of all input files, in order."""

    frame: pl.DataFrame
    """All input columns."""
    text_columns: tuple[str, ...]
    """Columns that make up the text; empty only where vectors were given without a text."""
    id_column: str | None = None
    """Column that names a row for people."""
    vector_column: str | None = None
    """Column of vectors that the user brought."""
    sources: tuple[SourceFile, ...] = ()
    """Input files in order."""
    layout: Layout = Layout(FileFormat.PARQUET)
    """How the (first) input file is written."""
    records: tuple[str, ...] | None = None
    """Each row as it stands in the file, without line end; None for binary formats."""
    notes: tuple[str, ...] = ()
    """What was guessed while reading, a sentence each, for the user."""

    def __post_init__(self) -> None:
        if self.records is not None and len(self.records) != self.frame.height:
            raise ValueError(f"{len(self.records)} records for {self.frame.height} rows")

    def __len__(self) -> int:
        return self.frame.height


@dataclass(frozen=True)
class ModelFingerprint:
    """Which model made a vector, exactly."""

    name: str
    """As the user named it."""
    sha256: str
    """Of the weights (of all weight files in name order, if several)."""
    pooling: str
    """``mean``, ``cls``, ``max``, ``mean_sqrt_len``, several joined by ``+``, or ``given``."""
    dimensions: int
    """Length of a vector."""
    max_seq_length: int
    """Tokens per text, special tokens included; what lies beyond is cut. 0: does not apply."""
    prompt: str = ""
    """Text put before each input."""
    key: str = ""
    """sha256 over all that shapes a vector but its length: weights, tokenizer, modules, prompt."""


@dataclass(frozen=True)
class Embeddings:
    """Unit vectors of texts."""

    vectors: Vectors
    """float32[n, dimensions]; rows have norm 1, or 0 for "similar to nothing"."""
    model: ModelFingerprint
    """The model that made them."""
    truncated: NDArray[np.bool_]
    """bool[n]: the text was longer than the model reads, and was cut."""
    chunked: NDArray[np.bool_] | None = None
    """bool[n]: it was longer, and was read in chunks; None: chunks were not asked for."""

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or self.vectors.dtype != np.float32:
            raise ValueError(
                f"vectors must be float32[n, d], got {self.vectors.dtype}{self.vectors.shape}"
            )
        if self.truncated.shape != self.vectors.shape[:1]:
            raise ValueError(f"truncated {self.truncated.shape} for {self.vectors.shape} vectors")

    def __len__(self) -> int:
        return len(self.vectors)


@dataclass(frozen=True)
class Pairs:
    """Pairs of rows, each with its similarity and the rung that found it."""

    left: Rows
    """int64[m]."""
    right: Rows
    """int64[m]; left < right, except in a comparison against another file."""
    similarity: NDArray[np.float32]
    """float32[m], cosine in [-1, 1]."""
    reason: NDArray[np.uint8]
    """uint8[m], values of :class:`Reason`."""

    def __post_init__(self) -> None:
        lengths = {len(self.left), len(self.right), len(self.similarity), len(self.reason)}
        if len(lengths) != 1:
            raise ValueError(f"columns of different lengths: {sorted(lengths)}")

    def __len__(self) -> int:
        return len(self.left)

    @classmethod
    def empty(cls) -> Pairs:
        """No pairs."""
        none = np.empty(0, np.int64)
        return cls(none, none, np.empty(0, np.float32), np.empty(0, np.uint8))

    def take(self, which: Rows | NDArray[np.bool_]) -> Pairs:
        """The pairs at the given positions, or where the mask is true."""
        return Pairs(
            self.left[which], self.right[which], self.similarity[which], self.reason[which]
        )

    def ordered(self) -> Pairs:
        """Sorted by falling similarity, then left, then right: the order of ``pairs.parquet``."""
        return self.take(np.lexsort((self.right, self.left, -self.similarity)))


@dataclass(frozen=True)
class DuplicateGroups:
    """For every row: does it stay, and if not, which row stays in its place."""

    kept: NDArray[np.bool_]
    """bool[n]."""
    duplicate_of: Rows
    """int64[n]: the row kept in its place; -1 for a kept row."""
    similarity: NDArray[np.float32]
    """float32[n]: to that row; NaN for a kept row."""
    reason: NDArray[np.uint8]
    """uint8[n], values of :class:`Reason`; meaningless for a kept row."""
    group: Rows
    """int64[n]: number of the group, 0 for the largest; -1 for a row without duplicates."""
    lowest_similarity: NDArray[np.float32]
    """float32[groups]: the lowest similarity of any two rows inside each group."""

    @property
    def count(self) -> int:
        """Number of groups of two rows or more."""
        return len(self.lowest_similarity)


@dataclass(frozen=True)
class Histogram:
    """How similar each row is to its nearest other row: what a threshold is chosen from."""

    edges: NDArray[np.float64]
    """float64[bins + 1], rising similarities."""
    counts: Rows
    """int64[bins]: rows whose nearest other row lies in the bin."""
    rows: int
    """Number of rows measured: all, or a seeded sample."""


@dataclass(frozen=True)
class SearchCertificate:
    """What the comparison looked at."""

    exhaustive: bool
    """Whether every possible pair was compared."""
    pairs_possible: int
    """Pairs of distinct texts that there are."""
    pairs_compared: int
    """Pairs whose similarity was computed, or bounded below the threshold."""
    borderline: int = 0
    """Pairs within 5e-4 of the threshold: another number format could decide them otherwise."""
    pairs_scored: int = 0
    """Pairs that were scored in full; an upper bound of the similarity ruled out the others."""
    recall: tuple[float, float, float] | None = None
    """Measured share of pairs found and its 95 % interval; None when exhaustive."""


@dataclass(frozen=True, kw_only=True)
class RunManifest:
    """Everything about a run that is not rows; written as ``run.json``."""

    command: str
    arguments: dict[str, Any]
    input: dict[str, Any]
    model: dict[str, Any]
    device: str
    precision: str
    counts: dict[str, int]
    search: dict[str, Any]
    timings_s: dict[str, float]
    peak_memory_bytes: int
    versions: dict[str, str]
    notes: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION
    extra: dict[str, Any] = field(default_factory=dict)
    """Fields of one command alone; they stand beside the others in ``run.json``."""

    def with_costs(self, timings_s: dict[str, float], peak_memory_bytes: int) -> RunManifest:
        """The same run, with what it cost in the end."""
        return replace(self, timings_s=timings_s, peak_memory_bytes=peak_memory_bytes)

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-ready dict."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        extra = fields.pop("extra")
        return {**fields, "notes": list(self.notes), **extra}


@dataclass(frozen=True)
class DedupResult:
    """What ``dedup`` found and decided."""

    corpus: Corpus
    """The input."""
    texts: list[str]
    """str[n]: the text of each row; empty for an empty row."""
    pairs: Pairs
    """Every pair at or above the threshold, in file order (see :meth:`Pairs.ordered`)."""
    groups: DuplicateGroups
    """What was decided for each row."""
    histogram: Histogram
    """Similarity of rows to their nearest other row."""
    manifest: RunManifest
    """Everything else."""
    reference: Corpus | None = None
    """The file of ``--against``; ``right`` and ``duplicate_of`` are then its rows."""
    reference_texts: list[str] | None = None
    """str[m]: the texts of ``reference``."""

    @property
    def kept(self) -> pl.DataFrame:
        """The rows that stay, all input columns, input order."""
        return self.corpus.frame.filter(pl.Series(self.groups.kept))


@dataclass(frozen=True)
class Clustering:
    """Which row is in which cluster, and where it lies on the map."""

    labels: Rows
    """int64[n]: cluster, 0 for the largest; -1 for noise and for rows without a text."""
    strengths: NDArray[np.float32]
    """float32[n] in [0, 1]: how much nearer the row is to its cluster than to the next; 0 for
    noise."""
    attached: NDArray[np.bool_]
    """bool[n]: noise that ``--assign-noise`` put into the nearest cluster."""
    places: NDArray[np.float32]
    """float32[n, 2]: place on the map; NaN for rows without a text."""

    def __post_init__(self) -> None:
        lengths = {len(self.labels), len(self.strengths), len(self.attached), len(self.places)}
        if len(lengths) != 1:
            raise ValueError(f"columns of different lengths: {sorted(lengths)}")

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class ClusterSummary:
    """One cluster, as people look at it."""

    cluster: int
    """Its number in ``sbert_cluster``."""
    size: int
    """Rows."""
    label: str
    """Its name."""
    keywords: tuple[str, ...]
    """Its most telling words, the best first."""
    rows: tuple[int, ...]
    """The representative row, and up to three examples from the centre to the edge."""
    cohesion: float
    """Mean similarity of two of its rows."""
    nearest: int
    """The most similar other cluster; -1 where there is none."""
    stability: float | None = None
    """How well it was found again on parts of the rows, in [0, 1]; None: not measured."""

    @property
    def representative_row(self) -> int:
        """The row nearest to the centre."""
        return self.rows[0]


@dataclass(frozen=True)
class LayerGroup:
    """A group of clusters in a coarser layer."""

    layer: int
    """1 for the layer above the clusters, 2 for the one above that."""
    group: int
    """Its number in the layer, 0 for the largest."""
    size: int
    """Rows."""
    label: str
    """Its name."""
    keywords: tuple[str, ...]
    """Its most telling words."""
    clusters: tuple[int, ...]
    """The clusters in it."""


@dataclass(frozen=True)
class GroupsResult:
    """What ``groups`` found."""

    corpus: Corpus
    """The input."""
    texts: list[str]
    """str[n]: the text of each row; empty for an empty row."""
    clustering: Clustering
    """What was found for each row."""
    summaries: tuple[ClusterSummary, ...]
    """The clusters, the largest first."""
    manifest: RunManifest
    """Everything else."""
    layers: tuple[LayerGroup, ...] = ()
    """Coarser layers, where they were asked for."""

    @property
    def rows(self) -> pl.DataFrame:
        """All rows, with the cluster, its strength, and the place on the map."""
        return self.corpus.frame.hstack(self.added())

    def added(self) -> pl.DataFrame:
        """The columns that ``groups`` adds to the input's."""
        places = self.clustering.places
        columns: dict[str, Any] = {
            "sbert_cluster": self.clustering.labels,
            "sbert_strength": self.clustering.strengths,
            "sbert_x": places[:, 0],
            "sbert_y": places[:, 1],
        }
        if self.clustering.attached.any():
            columns["sbert_attached"] = self.clustering.attached
        for layer in sorted({group.layer for group in self.layers}):
            number = {k: g.group for g in self.layers if g.layer == layer for k in g.clusters}
            column = [number.get(int(k), -1) for k in self.clustering.labels]
            columns[f"sbert_layer_{layer}"] = pl.Series(column, dtype=pl.Int64)
        return pl.DataFrame(columns).with_columns(
            pl.col("sbert_x", "sbert_y").fill_nan(None).cast(pl.Float32)
        )
