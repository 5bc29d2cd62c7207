"""Find every pair of similar rows, decide which rows stay, and write the result."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from sbert_cluster.corpus.texts import texts_of
from sbert_cluster.duplicates.against import Sides, lift_between, match_rows, pairs_of_rows_between
from sbert_cluster.duplicates.grouping import UnitSimilarity, best_rows, expand, find_leaders
from sbert_cluster.duplicates.keep import visiting_rank
from sbert_cluster.duplicates.ladder import lift, pairs_of_rows
from sbert_cluster.duplicates.rerank import with_reasons
from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.engines import Engine, open_engine
from sbert_cluster.meter import Stopwatch, peak_memory_bytes, versions
from sbert_cluster.neighbors.histogram import nearest_histogram
from sbert_cluster.neighbors.join import Join
from sbert_cluster.options import (
    LOCALLY,
    DedupOptions,
    EncodeOptions,
    EngineOptions,
    FastOptions,
    Grouping,
    KeepRule,
    OutputOptions,
    ReadOptions,
)
from sbert_cluster.pipeline.comparing import (
    Comparing,
    Known,
    compare_between,
    compare_within,
    refuse_flood,
    refuse_flood_between,
)
from sbert_cluster.pipeline.fast import choose_fast, embed_some
from sbert_cluster.pipeline.inputs import (
    Inputs,
    UnitVectors,
    describe_inputs,
    embed_units,
    open_encoder,
    read_inputs,
    warn_of_crowding,
)
from sbert_cluster.pipeline.rerank import ask_about, check_rerank, said_asked
from sbert_cluster.pipeline.shared import (
    SharedEngine,
    check_names,
    encode_options,
    engine_arguments,
    engine_options,
    read_options,
    reading_arguments,
)
from sbert_cluster.pipeline.thresholds import choose_threshold
from sbert_cluster.pipeline.writing import Destination, write_dedup
from sbert_cluster.progress import Progress, silent
from sbert_cluster.types import (
    Corpus,
    DedupResult,
    DuplicateGroups,
    Histogram,
    Pairs,
    Reason,
    Rows,
    RunManifest,
    SearchCertificate,
)

_COPIES = "copies of one text are joined to its first row only; other pairs are between first rows"


def dedup(
    inputs: Inputs,
    *,
    threshold: float | None = None,
    keep: str = "first",
    grouping: str = Grouping.DIRECT,
    rerank: str | None = None,
    band: tuple[float, float] | None = None,
    against: Inputs | None = None,
    fast: bool = False,
    recall: float | None = None,
    vector_column: str | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
    yes: bool = False,
    seed: int = 0,
    progress: Progress = silent,
    **shared: Unpack[SharedEngine],
) -> DedupResult:
    """Find every pair of rows with similarity ≥ threshold, and decide which rows stay.

    Args:
        inputs: A file, a glob, ``-`` for stdin, several of these, or a polars frame.
        threshold: Cosine similarity in (0, 1] from which two rows are duplicates; None: the one
            that is stored with the model, else 0.9.
        keep: ``first``, ``last``, ``longest``, ``shortest``, ``newest:COL``, ``oldest:COL``,
            ``max:COL`` or ``min:COL``: which row of a group stays.
        grouping: ``direct`` (every removed row is similar to the row kept in its place),
            ``complete`` (every two rows of a group are similar) or ``single`` (chains count).
        rerank: Folder of a cross-encoder that decides pairs in the band.
        band: Similarities (low, high) between which it decides; pairs from ``high`` on count
            without being asked about. None: around the threshold.
        against: Another input: only rows that repeat one of its rows are removed.
        fast: Whether a static student of the model chooses the rows that are encoded at all. A few
            pairs are then missing; the manifest says how many at most.
        recall: Share of the pairs, in (0, 1), that ``fast`` is to find with 95 % confidence; None:
            0.99.
        vector_column: Column of vectors made elsewhere; nothing is encoded then.
        output: A run folder, or a file for the kept rows; None: nothing is written.
        overwrite: Whether an existing result may be replaced.
        yes: Whether to go on where more than 50 million pairs are expected.
        seed: Of the samples behind the histogram and the forecast; decisions do not depend on it.
        progress: Told how far each stage is.
        **shared: See :class:`~sbert_cluster.pipeline.shared.SharedEngine`.

    Returns:
        Pairs, decisions and manifest. ``result.kept`` is the frame of kept rows.

    Raises:
        UsageError: For an input or option that cannot be used, or a flood of pairs.
        ModelError: For a model that cannot be used.
        RunFolderError: If the result cannot be written.
    """
    check_names("dedup", shared, SharedEngine)
    cut = choose_threshold(threshold, None if vector_column else shared.get("model"))
    decide = DedupOptions(
        threshold=cut.threshold,
        keep=KeepRule.parse(keep),
        grouping=Grouping(grouping),
        rerank=rerank,
        band=band,
    )
    check_rerank(decide, has_texts=vector_column is None and against is None)
    write = OutputOptions(output=Path(output) if output else None, overwrite=overwrite)
    read, encode = read_options(shared, vector_column), encode_options(shared)
    run_on = engine_options(shared)
    look = choose_fast(fast, recall, against is None and vector_column is None, run_on)
    job = Job(
        read, encode, decide, write, seed, progress,
        yes=yes, notes=cut.notes, run_on=run_on, fast=look,
    )  # fmt: skip
    return job.run(inputs, against)


@dataclass(frozen=True)
class Compared:
    """Pairs of rows, decisions about rows, and what was looked at."""

    pairs: Pairs
    groups: DuplicateGroups
    certificate: SearchCertificate
    asked: dict[str, int] = field(default_factory=dict)
    """Pairs that a cross-encoder was asked about, and how many it turned."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the cross-encoder did, in a sentence."""
        return (said_asked(self.asked),) if self.asked else ()


@dataclass(frozen=True)
class Job:
    """One run: the options of every stage, and who listens."""

    read: ReadOptions
    encode: EncodeOptions
    decide: DedupOptions
    write: OutputOptions
    seed: int
    progress: Progress
    yes: bool = False
    known: Known | None = None
    """Pairs that an earlier run found among the first rows."""
    notes: tuple[str, ...] = ()
    """What was decided before it began, for the user."""
    run_on: EngineOptions = LOCALLY
    """Where to encode and compare."""
    fast: FastOptions | None = None
    """How to look at fewer rows; None: all are encoded."""

    def run(self, inputs: Inputs, against: Inputs | None) -> DedupResult:
        """Read, encode, compare, decide and write."""
        with open_engine(self.run_on) as engine:
            return self._run(inputs, against, engine)

    def _run(self, inputs: Inputs, against: Inputs | None, engine: Engine) -> DedupResult:
        watch = Stopwatch("read", "encode", "compare", "decide", "write")
        destination = Destination.checked(self.write)
        encoder = open_encoder(self.read, self.encode, self.progress)
        with watch.stage("read"):
            corpus = read_inputs(inputs, self.read, self.progress)
            texts = texts_of(corpus)
            other = None if against is None else read_inputs(against, self.read, self.progress)
            other_texts = texts_of(other) if other else []
            # Before the long work, so that a wrong column or file name is told at once.
            rank = visiting_rank(self.decide.keep, corpus.frame, texts)
            destination.check_format(corpus, self.read.format)
            if self.known is not None:
                self.known.check(corpus, encoder.fingerprint.key if encoder else "")
        with watch.stage("encode"):
            corpora = [corpus] if other is None else [corpus, other]
            made = self._embedded(corpora, texts + other_texts, encoder, engine)
        comparing = Comparing.planned(
            self.decide.lowest, self.encode, made.device, self.progress, engine
        )
        if other is None:
            compared = self._within(made, comparing, rank, texts, watch)
        else:
            compared = self._between(made, comparing, Sides(made.units, len(corpus)), watch)
        with watch.stage("compare"):
            histogram = nearest_histogram(made.compared, seed=self.seed)
        manifest = self.manifest(corpus, other, made, compared, histogram, watch)
        result = DedupResult(
            corpus,
            texts,
            compared.pairs,
            compared.groups,
            histogram,
            manifest,
            other,
            None if other is None else other_texts,
        )
        return write_dedup(result, destination, watch, self.progress)

    def _embedded(
        self, corpora: list[Corpus], texts: list[str], encoder: Encoder | None, engine: Engine
    ) -> UnitVectors:
        if self.fast is None or encoder is None:
            return embed_units(corpora, texts, encoder, self.progress, engine)
        threshold, progress = self.decide.lowest, self.progress
        return embed_some(corpora, texts, encoder, self.fast, threshold, self.seed, progress)

    def _within(
        self,
        made: UnitVectors,
        comparing: Comparing,
        rank: Rows,
        texts: list[str],
        watch: Stopwatch,
    ) -> Compared:
        vectors = made.compared
        with watch.stage("compare"):
            if not self.yes:
                refuse_flood(vectors, self.decide.lowest, self.seed)
            join = made.seen_as(compare_within(made.units, vectors, comparing, self.known))
        with watch.stage("decide"):
            return self.decided(made, rank, join, texts)

    def _between(
        self, made: UnitVectors, comparing: Comparing, sides: Sides, watch: Stopwatch
    ) -> Compared:
        vectors, threshold = made.embeddings.vectors, self.decide.threshold
        with watch.stage("compare"):
            if not self.yes:
                refuse_flood_between(sides, vectors, threshold, self.seed)
            join = compare_between(sides, vectors, comparing, self.known)
        with watch.stage("decide"):
            return decided_between(sides, join)

    def decided(self, made: UnitVectors, rank: Rows, join: Join, texts: list[str]) -> Compared:
        """What becomes of the rows, given the pairs of units found by their vectors."""
        units = made.units
        found = lift(units, join.pairs)
        asked = ask_about(found, units, texts, self.decide, self.encode, self.progress)
        pairs = asked.pairs
        order = rank[best_rows(units, rank)]
        leader = find_leaders(pairs, order, self.decide.grouping)
        groups = expand(units, leader, rank, UnitSimilarity(units, made.embeddings.vectors))
        groups = with_reasons(groups, units, pairs)
        return Compared(pairs_of_rows(units, pairs), groups, join.certificate, asked.counts)

    def manifest(
        self,
        corpus: Corpus,
        other: Corpus | None,
        made: UnitVectors,
        compared: Compared,
        histogram: Histogram,
        watch: Stopwatch,
    ) -> RunManifest:
        """Everything about the run that is not rows."""
        nearest = {"counts": histogram.counts.tolist(), "rows": histogram.rows}
        return RunManifest(
            command="dedup",
            arguments=self._arguments(other),
            input=describe_inputs(corpus),
            model=asdict(made.embeddings.model),
            device=made.device,
            precision=made.precision,
            counts=_counts(len(corpus), made, compared),
            search={**asdict(compared.certificate), "copies": _COPIES, **made.facts},
            timings_s=watch.read(),
            peak_memory_bytes=peak_memory_bytes(),
            versions=versions(),
            notes=(
                *corpus.notes,
                *self.notes,
                *compared.notes,
                *made.notes,
                *warn_of_crowding(made.embeddings),
            ),
            extra={
                "nearest": nearest,
                **({} if other is None else {"against": describe_inputs(other)}),
            },
        )

    def _arguments(self, other: Corpus | None) -> dict[str, Any]:
        return {
            "threshold": self.decide.threshold,
            "keep": str(self.decide.keep),
            "grouping": str(self.decide.grouping),
            "rerank": self.decide.rerank,
            "band": list(self.decide.asked_band) if self.decide.rerank else None,
            "fast": self.fast is not None,
            "recall": self.fast.recall if self.fast else None,
            "against": None if other is None else [source.path for source in other.sources],
            "text_columns": list(self.read.text_columns),
            "id_column": self.read.id_column,
            "vector_column": self.read.vector_column,
            "format": str(self.read.format) if self.read.format else None,
            "encoding": self.read.encoding,
            "model": self.encode.model,
            **reading_arguments(self.encode),
            "device": self.encode.device,
            "precision": str(self.encode.precision),
            "batch_tokens": self.encode.batch_tokens,
            "max_rows_in_memory": self.encode.max_rows_in_memory,
            "max_memory": self.encode.max_memory,
            "cache": self.encode.use_cache,
            "cache_dir": str(self.encode.cache_dir) if self.encode.cache_dir else None,
            "output": str(self.write.output) if self.write.output else None,
            "overwrite": self.write.overwrite,
            "seed": self.seed,
            **engine_arguments(self.run_on),
        }


def decided_between(sides: Sides, join: Join) -> Compared:
    """What becomes of the input's rows, given the pairs of units found by their vectors."""
    pairs = lift_between(sides, join.pairs)
    return Compared(pairs_of_rows_between(sides, pairs), match_rows(sides, pairs), join.certificate)


def _counts(rows: int, made: UnitVectors, compared: Compared) -> dict[str, int]:
    index = made.units.index[:rows]
    present = index[index >= 0]
    groups = compared.groups
    removed = groups.reason[~groups.kept]
    by_rung = {
        f"removed_{reason.word}": int((removed == reason).sum())
        for reason in (Reason.EXACT, Reason.NORMALISED, Reason.SEMANTIC)
    }
    if compared.asked:
        reranked = int((removed == Reason.RERANKED).sum())
        by_rung |= {"removed_reranked": reranked, **compared.asked}
    return {
        "rows": rows,
        "empty": rows - len(present),
        "exact_duplicates": len(present) - len(np.unique(present)),
        "pairs": len(compared.pairs),
        "groups": groups.count,
        "kept": int(groups.kept.sum()),
        "removed": len(removed),
        **by_rung,
        "truncated": int(made.embeddings.truncated[present].sum()),
    }
