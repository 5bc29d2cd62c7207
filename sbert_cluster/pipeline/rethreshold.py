"""Another threshold for a finished run: upwards from its stored pairs, downwards anew."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

import numpy as np

from sbert_cluster.corpus.texts import texts_of
from sbert_cluster.duplicates.against import Sides
from sbert_cluster.duplicates.keep import visiting_rank
from sbert_cluster.duplicates.ladder import Units, units_of_texts
from sbert_cluster.meter import Stopwatch
from sbert_cluster.neighbors.decide import BORDERLINE
from sbert_cluster.neighbors.join import Join
from sbert_cluster.neighbors.similarity import cosine
from sbert_cluster.options import OutputOptions
from sbert_cluster.pipeline.comparing import Known
from sbert_cluster.pipeline.dedup import Job, decided_between
from sbert_cluster.pipeline.finished import FinishedRun
from sbert_cluster.pipeline.inputs import UnitVectors, embed_units, open_encoder, read_inputs
from sbert_cluster.pipeline.shared import SharedEngine, check_names
from sbert_cluster.pipeline.writing import Destination, write_dedup
from sbert_cluster.progress import Progress, silent
from sbert_cluster.types import (
    Corpus,
    DedupResult,
    Embeddings,
    Histogram,
    ModelFingerprint,
    Pairs,
    Rows,
    SearchCertificate,
)


def rethreshold(
    run: str | Path,
    *,
    threshold: float | None = None,
    keep: str | None = None,
    grouping: str | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
    yes: bool = False,
    seed: int | None = None,
    progress: Progress = silent,
    **shared: Unpack[SharedEngine],
) -> DedupResult:
    """Decide a finished run anew, with another threshold, keep rule or grouping.

    At a threshold that is not lower, the stored pairs tell all: nothing is compared, and a vector
    is needed only of rows that are in a pair. Below, everything is compared with the new threshold;
    vectors come from the cache. Everything that is not given is as it was in the run.

    Args:
        run: A run folder of ``dedup``; its input files must be unchanged.
        threshold: As for ``dedup``; None: that of the run.
        keep: As for ``dedup``.
        grouping: As for ``dedup``.
        output: As for ``dedup``; it may be the run itself, with ``overwrite``.
        overwrite: Whether an existing result may be replaced.
        yes: Whether to go on where more than 50 million pairs are expected.
        seed: As for ``dedup``.
        progress: Told how far each stage is.
        **shared: See :class:`~sbert_cluster.pipeline.shared.SharedEngine`. What the pairs rest on
            (text columns, model, prompt and the like) cannot be given anew.

    Returns:
        What ``dedup`` gives with the new options.

    Raises:
        InputError: If an input of the run is gone or has changed.
        RunFolderError: If the run cannot be read, or the result not be written.
        SbertClusterError: As ``dedup`` does.
    """
    check_names("rethreshold", shared, SharedEngine)
    finished = FinishedRun.open(run)
    job = finished.job(
        shared,
        threshold=threshold,
        keep=keep,
        grouping=grouping,
        write=OutputOptions(output=Path(output) if output else None, overwrite=overwrite),
        seed=seed,
        yes=yes,
        progress=progress,
    )
    wanted, stored = job.decide.threshold, finished.threshold
    # Pairs just below the threshold are counted as well, so they must have been stored.
    if wanted == stored or wanted - BORDERLINE >= stored:
        return _Stored(finished, finished.known(), job).run()
    return job.run(finished.files, finished.against)


@dataclass(frozen=True)
class _Stored:
    """A run that is decided anew from its stored pairs."""

    finished: FinishedRun
    known: Known
    job: Job

    def run(self) -> DedupResult:
        job, manifest = self.job, self.finished.manifest
        watch = Stopwatch("read", "encode", "compare", "decide", "write")
        destination = Destination.checked(job.write)
        with watch.stage("read"):
            corpora = [read_inputs(self.finished.files, job.read, job.progress)]
            if self.finished.against:
                corpora.append(read_inputs(self.finished.against, job.read, job.progress))
            texts = [texts_of(corpus) for corpus in corpora]
            rank = visiting_rank(job.decide.keep, corpora[0].frame, texts[0])
            destination.check_format(corpora[0], job.read.format)
        with watch.stage("encode"):
            made = self._vectors(corpora, [text for part in texts for text in part])
        other = corpora[1] if len(corpora) > 1 else None
        with watch.stage("decide"):
            if other is None:
                join = self._join(made, self.known.within(made.units))
                compared = job.decided(made, rank, join, texts[0])
            else:
                sides = Sides(made.units, len(corpora[0]))
                compared = decided_between(sides, self._join(made, self.known.between(sides)))
        histogram = self._histogram()
        told = job.manifest(corpora[0], other, made, compared, histogram, watch)
        counts = {**told.counts, "truncated": manifest["counts"]["truncated"]}
        told = replace(told, counts=counts, notes=tuple(manifest["notes"]))
        result = DedupResult(
            corpora[0],
            texts[0],
            compared.pairs,
            compared.groups,
            histogram,
            told,
            other,
            texts[1] if other else None,
        )
        return write_dedup(result, destination, watch, job.progress)

    def _vectors(self, corpora: list[Corpus], texts: list[str]) -> UnitVectors:
        """Vectors of those units whose similarities are needed; zeros for all others."""
        job, manifest = self.job, self.finished.manifest
        if job.read.vector_column is not None:
            return embed_units(corpora, texts, None, job.progress)
        units = units_of_texts(texts)
        model = ModelFingerprint(**manifest["model"])
        vectors = np.zeros((len(units), model.dimensions), np.float32)
        needed = self._needed(units, len(corpora[0]), alone=len(corpora) == 1)
        if len(needed):
            encoder = open_encoder(job.read, job.encode, job.progress)
            assert encoder
            self.known.check(corpora[0], encoder.fingerprint.key)
            wanted = [texts[row] for row in units.first[needed]]
            vectors[needed] = encoder.encode(wanted, job.progress).vectors
        embeddings = Embeddings(vectors, model, np.zeros(len(units), np.bool_))
        return UnitVectors(units, embeddings, manifest["device"], manifest["precision"])

    def _needed(self, units: Units, rows: int, *, alone: bool) -> Rows:
        """Units whose similarity will be asked for: those of pairs that stay, or of one form."""
        if alone:
            pairs = self.known.within(units)
            reached = pairs.similarity >= np.float32(self.job.decide.threshold)
        else:
            pairs = self.known.between(Sides(units, rows))
            reached = np.zeros(len(pairs), np.bool_)
        needed = pairs.take(reached | units.same_form(pairs.left, pairs.right))
        return np.unique(np.concatenate([needed.left, needed.right]))

    def _join(self, made: UnitVectors, pairs: Pairs) -> Join:
        """The stored pairs of units, as if they had just been found with the new threshold."""
        threshold = np.float32(self.job.decide.threshold)
        borderline = self.known.borderline
        if self.job.decide.threshold != self.finished.threshold:
            scores = pairs.similarity.copy()
            if made.units.lifted:
                # Pairs of one form are stored with 1; their cosine is what counts here.
                same = made.units.same_form(pairs.left, pairs.right)
                vectors = made.embeddings.vectors
                scores[same] = cosine(vectors, pairs.left[same], vectors, pairs.right[same])
            distance = np.abs(scores.astype(np.float64) - threshold)
            borderline = int(np.count_nonzero(distance <= BORDERLINE))
        search = self.finished.manifest["search"]
        certificate = SearchCertificate(
            exhaustive=search["exhaustive"],
            pairs_possible=search["pairs_possible"],
            pairs_compared=search["pairs_compared"],
            borderline=borderline,
            pairs_pruned=search["pairs_pruned"],
            pairs_scored=search["pairs_scored"],
            pairs_rescored=search["pairs_rescored"],
        )
        return Join(pairs.take(pairs.similarity >= threshold), certificate)

    def _histogram(self) -> Histogram:
        """As it was: it depends on no threshold."""
        nearest = self.finished.manifest["nearest"]
        counts = np.array(nearest["counts"], np.int64)
        return Histogram(np.linspace(0, 1, len(counts) + 1), counts, nearest["rows"])
