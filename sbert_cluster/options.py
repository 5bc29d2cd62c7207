"""What the user may choose: one frozen dataclass per stage, checked when it is made.

Nothing here imports numpy, polars or torch, so that ``--help`` stays instant.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from sbert_cluster.errors import UsageError

DEFAULT_MODEL = "all-MiniLM-L6-v2"
"""Name of the model whose weights are installed with the package."""

DEFAULT_THRESHOLD = 0.9
"""Cosine similarity from which two rows count as duplicates."""


class FileFormat(StrEnum):
    """A file format that can be read; all but ``TEXT`` can be asked for with ``--format``."""

    CSV = "csv"
    TSV = "tsv"
    JSONL = "jsonl"
    PARQUET = "parquet"
    ARROW = "arrow"
    TEXT = "text"


class Grouping(StrEnum):
    """How pairs become groups."""

    DIRECT = "direct"
    """Every removed row is similar to the row kept in its place."""
    COMPLETE = "complete"
    """Every two rows of a group are similar."""
    SINGLE = "single"
    """Connected components: rows may be joined by a chain."""


class Method(StrEnum):
    """How rows become clusters."""

    MODES = "modes"
    """Modes of density in the neighbor graph, joined by Ward's linkage; every row in a cluster but
    those that fit none."""
    HDBSCAN = "hdbscan"
    """Clusters of density; sparse regions stay noise."""
    AGGLOMERATIVE = "agglomerative"
    """A tree of merges, cut at a similarity or at a number of clusters."""
    KMEANS = "kmeans"
    """Spherical k-means."""


class Linkage(StrEnum):
    """How similar two clusters are, given their rows."""

    AVERAGE = "average"
    COMPLETE = "complete"
    SINGLE = "single"
    WARD = "ward"


class Projection(StrEnum):
    """What ``hdbscan`` works on."""

    SMOOTH = "smooth"
    """Vectors smoothed over their neighbors, then their first principal axes; no random step."""
    UMAP = "umap"
    """Five dimensions by UMAP."""


class Device(StrEnum):
    """Device names without an index; ``cuda:N`` is accepted as well."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


class Precision(StrEnum):
    """Number format of the forward pass; vectors always come out as float32."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"
    INT8 = "int8"


class LongTexts(StrEnum):
    """What becomes of a text that is longer than the model reads."""

    TRUNCATE = "truncate"
    """What lies beyond is cut off."""
    CHUNK = "chunk"
    """It is read in overlapping chunks, whose vectors are averaged."""


class EngineName(StrEnum):
    """What runs the work."""

    LOCAL = "local"
    """The threads and devices of this machine."""
    RAY = "ray"
    """Ray: processes of this machine, or of all machines of a cluster."""


class KeepPolicy(StrEnum):
    """Which row of a group stays."""

    FIRST = "first"
    LAST = "last"
    LONGEST = "longest"
    SHORTEST = "shortest"
    NEWEST = "newest"
    OLDEST = "oldest"
    MAX = "max"
    MIN = "min"

    @property
    def needs_column(self) -> bool:
        """Whether the policy compares the values of a column."""
        return self in (KeepPolicy.NEWEST, KeepPolicy.OLDEST, KeepPolicy.MAX, KeepPolicy.MIN)


@dataclass(frozen=True)
class KeepRule:
    """A keep policy and, for four of them, the column that it compares."""

    policy: KeepPolicy = KeepPolicy.FIRST
    """Which row of a group stays; ties go to the earlier row."""
    column: str | None = None
    """Column of ``newest``, ``oldest``, ``max`` and ``min``; None for the others."""

    def __post_init__(self) -> None:
        if self.policy.needs_column and not self.column:
            raise UsageError(
                f"--keep {self.policy} needs a column",
                f"Write --keep {self.policy}:COLUMN.",
            )
        if self.column and not self.policy.needs_column:
            raise UsageError(
                f"--keep {self.policy} takes no column, got {self.column!r}",
                f"Write --keep {self.policy}.",
            )

    @classmethod
    def parse(cls, text: str) -> KeepRule:
        """Read ``first``, ``newest:COL`` and the like.

        Raises:
            UsageError: For an unknown policy or a missing column.
        """
        name, _, column = text.partition(":")
        try:
            policy = KeepPolicy(name)
        except ValueError:
            raise UsageError(
                f"--keep {text!r} is not a rule",
                "Use first, last, longest, shortest, newest:COL, oldest:COL, max:COL or min:COL.",
            ) from None
        return cls(policy, column or None)

    def __str__(self) -> str:
        return f"{self.policy}:{self.column}" if self.column else str(self.policy)


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How to read the input files."""

    text_columns: tuple[str, ...] = ()
    """Columns that hold the text, joined by a line break; empty: found by itself."""
    id_column: str | None = None
    """Column that names a row in the report; None: the row number does."""
    vector_column: str | None = None
    """Column that holds vectors made elsewhere; None: texts are encoded."""
    format: FileFormat | None = None
    """Format of the input; None: told by the file's name. Needed for stdin."""
    encoding: str | None = None
    """Character encoding of CSV, TSV, JSONL and text; None: detected."""


@dataclass(frozen=True, kw_only=True)
class EncodeOptions:
    """Which model makes the vectors, where, and how."""

    model: str = DEFAULT_MODEL
    """Name of the bundled model, a model folder, or a hub id such as ``org/name``."""
    device: str = Device.AUTO
    """``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``."""
    precision: Precision = Precision.AUTO
    """Number format of the forward pass."""
    batch_tokens: int | None = None
    """Tokens in one forward pass, padding included; at least 1 (a longer text goes alone). None:
    2,048 on a CPU, more on a GPU."""
    prompt: str | None = None
    """Text put before each input text, or the name of one of the model's prompts; None: the model's
    default prompt, if it names one."""
    dimensions: int | None = None
    """Numbers of a vector that are kept, the first ones, brought back to norm 1; None: as many as
    the model says, usually all."""
    long_texts: LongTexts = LongTexts.TRUNCATE
    """What becomes of texts that are longer than the model reads."""
    cache_dir: Path | None = None
    """Folder of the embedding cache; None: the user's cache folder."""
    use_cache: bool = True
    """Whether vectors are looked up in and added to the cache."""
    max_rows_in_memory: int = 2_000_000
    """Above this number of distinct texts the vectors are held in a file instead of in memory."""
    max_memory: str | None = None
    """Memory that a run may take, such as ``6G``: vectors that would take more than half of it are
    held in a file as well. None: half of what is free."""

    @property
    def max_memory_bytes(self) -> int | None:
        """``max_memory`` in bytes."""
        return None if self.max_memory is None else parse_size(self.max_memory)

    def __post_init__(self) -> None:
        if self.max_memory is not None:
            parse_size(self.max_memory)
        known = self.device in tuple(Device) or _is_cuda_index(self.device)
        if not known:
            raise UsageError(
                f"--device {self.device!r} is not a device", "Use auto, cpu, cuda, cuda:N or mps."
            )
        if self.batch_tokens is not None and self.batch_tokens < 1:
            raise UsageError(f"--batch-tokens {self.batch_tokens} is below 1", "Try 4096.")
        if self.dimensions is not None and self.dimensions < 1:
            raise UsageError(
                f"--dimensions {self.dimensions} is below 1", "Try 256, or leave it out for all."
            )
        if self.max_rows_in_memory < 1:
            raise UsageError(
                f"--max-rows-in-memory {self.max_rows_in_memory} is below 1", "Try 2000000."
            )


def parse_size(text: str) -> int:
    """Bytes from ``800M``, ``6G``, ``1.5T`` or a plain number; units are powers of 1,024.

    Raises:
        UsageError: If it is none of these, or below one megabyte.
    """
    units = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
    number = text.strip().upper().removesuffix("B").removesuffix("I")
    unit = number[-1:] if number[-1:] in units else ""
    try:
        size = float(number.removesuffix(unit)) * units[unit]
    except ValueError:
        size = 0.0
    if not 2**20 <= size < 2**60:
        raise UsageError(f"--max-memory {text!r} is not an amount of memory", "Try 6G or 800M.")
    return int(size)


def _is_cuda_index(device: str) -> bool:
    kind, _, index = device.partition(":")
    return kind == "cuda" and index.isdecimal()


@dataclass(frozen=True, kw_only=True)
class DedupOptions:
    """What counts as a duplicate, and which row stays."""

    threshold: float = DEFAULT_THRESHOLD
    """Cosine similarity in (0, 1] from which two rows are a pair."""
    keep: KeepRule = KeepRule()
    """Which row of a group stays."""
    grouping: Grouping = Grouping.DIRECT
    """How pairs become groups."""
    rerank: str | None = None
    """Folder of a cross-encoder that decides pairs in the band; None: the similarity alone does."""
    band: tuple[float, float] | None = None
    """Similarities (low, high) between which it decides; None: from 0.1 below the threshold to 0.05
    above it. It takes the place of the threshold."""

    @property
    def lowest(self) -> float:
        """Similarity from which pairs are looked for."""
        return self.asked_band[0] if self.rerank else self.threshold

    @property
    def asked_band(self) -> tuple[float, float]:
        """The band, as given or around the threshold."""
        if self.band:
            return self.band
        return max(self.threshold - 0.1, 0.01), min(self.threshold + 0.05, 1.0)

    def __post_init__(self) -> None:
        if self.band and not self.rerank:
            raise UsageError("--band needs a cross-encoder", "Name one with --rerank DIR.")
        if self.band and not 0 < self.band[0] < self.band[1] <= 1:
            raise UsageError(
                f"--band {self.band[0]:g} {self.band[1]:g} is no range of similarities",
                "Give two numbers in (0, 1] that rise, such as 0.75 0.95.",
            )
        if not 0 < self.threshold <= 1:
            raise UsageError(
                f"--threshold {self.threshold:g} is outside (0, 1]",
                "Use a cosine similarity such as 0.9.",
            )


@dataclass(frozen=True, kw_only=True)
class FastOptions:
    """How ``--fast`` looks for pairs."""

    recall: float = 0.99
    """Share of the pairs, in (0, 1), that is to be found with 95 % confidence."""
    least_texts: int = 20_000
    """Different texts below which a full run is as fast."""

    def __post_init__(self) -> None:
        if not 0 < self.recall < 1:
            raise UsageError(
                f"--recall {self.recall:g} is outside (0, 1)",
                "Use a share such as 0.99; without --fast every pair is found.",
            )


@dataclass(frozen=True, kw_only=True)
class GroupOptions:
    """How rows are grouped by meaning."""

    method: Method = Method.MODES
    """How rows become clusters."""
    min_cluster_size: int | None = None
    """Rows of the smallest cluster, at least 2; None: follows from the number of rows."""
    clusters: int | None = None
    """Number of clusters, at least 1; None: found. Not for ``hdbscan``."""
    threshold: float | None = None
    """Cosine similarity in (-1, 1] down to which ``agglomerative`` merges; None: a number of
    clusters is found instead."""
    linkage: Linkage = Linkage.AVERAGE
    """Of ``agglomerative``."""
    projection: Projection = Projection.SMOOTH
    """Of ``hdbscan``."""
    assign_noise: bool = False
    """Whether rows that fit no cluster join the nearest one, marked as such."""
    layers: bool = False
    """Whether clusters are grouped into one or two coarser layers."""

    def __post_init__(self) -> None:
        self._check_numbers()
        if self.clusters is not None and self.method is Method.HDBSCAN:
            raise UsageError(
                f"--clusters {self.clusters} does not go with --method hdbscan",
                "Use --min-cluster-size, or another method.",
            )
        if self.threshold is not None and self.method is not Method.AGGLOMERATIVE:
            raise UsageError(
                f"--threshold {self.threshold:g} does not go with --method {self.method}",
                "Use --method agglomerative.",
            )
        if self.threshold is not None and self.linkage is Linkage.WARD:
            raise UsageError(
                f"--threshold {self.threshold:g} does not go with --linkage ward, whose heights "
                "are no similarities",
                "Use --clusters, or another linkage.",
            )
        if self.threshold is not None and self.clusters is not None:
            raise UsageError(
                f"--threshold {self.threshold:g} and --clusters {self.clusters} exclude each other",
                "Use one of them.",
            )

    def _check_numbers(self) -> None:
        if self.min_cluster_size is not None and self.min_cluster_size < 2:
            raise UsageError(
                f"--min-cluster-size {self.min_cluster_size} is below 2", "Try 10, or leave it out."
            )
        if self.clusters is not None and self.clusters < 1:
            raise UsageError(
                f"--clusters {self.clusters} is below 1", "Use 2 or more, or leave it out."
            )
        if self.threshold is not None and not -1 < self.threshold <= 1:
            raise UsageError(
                f"--threshold {self.threshold:g} is outside (-1, 1]",
                "Use a cosine similarity such as 0.6.",
            )


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Where the work runs. No answer depends on it."""

    name: EngineName = EngineName.LOCAL
    """Who runs it."""
    address: str | None = None
    """Of a Ray cluster, ``auto`` for the one of this machine; None: the cluster that
    ``RAY_ADDRESS`` names, otherwise one is started here for as long as the run takes."""
    workers: int | None = None
    """Units of work at a time; None: one for each core of the cluster."""

    def __post_init__(self) -> None:
        for flag, value in (("--address", self.address), ("--workers", self.workers)):
            if value is not None and self.name is not EngineName.RAY:
                raise UsageError(
                    f"{flag} {value} does not go with --engine {self.name}, which takes all cores",
                    "Add --engine ray, or leave it out.",
                )
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"--workers {self.workers} is below 1", "Use at least one.")
        if self.address is not None and self.address.startswith("ray://"):
            raise UsageError(
                f"--address {self.address} is that of a Ray client, through which all vectors "
                "would have to pass",
                "Run the program on a machine of the cluster, for example with: ray job submit",
            )


LOCALLY = EngineOptions()
"""On this machine."""


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Where the result goes."""

    output: Path | None = None
    """A run folder, or a file (``kept.csv``) for the kept rows alone; None: nothing is written."""
    overwrite: bool = False
    """Whether an existing result may be replaced."""
