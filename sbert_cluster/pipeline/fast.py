"""``--fast``: a static student finds the rows that can have a near-duplicate; only they are read.

1. A static student of the model is drafted from its vocabulary and fitted to the model's vectors of
   a few of the user's own texts (:mod:`~sbert_cluster.training.distill`). It encodes all texts as
   fast as they are tokenised, and an exact join finds every pair whose student similarity is at
   least L.
2. A random sample of rows is audited: the model reads them and all that they reach. From that
   follows the level s down to which rows have to be read for the recall that is wanted
   (:mod:`~sbert_cluster.neighbors.recall` derives it).
3. The model reads the rows that have a partner at s; an exact join of those decides.

Where a CPU multiplies bf16 in hardware, all looking is done in bf16. Rows of pairs that come within
0.01 of the threshold there (it moves similarities by at most 0.003) are encoded again in the run's
own number format, and only that decides. So every similarity in the result is what a full run
gives, and pairs can only be missing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.duplicates.ladder import units_of_texts
from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.encoder.static import averages
from sbert_cluster.errors import UsageError
from sbert_cluster.neighbors.forecast import forecast_pairs
from sbert_cluster.neighbors.histogram import nearest_histogram
from sbert_cluster.neighbors.join import find_pairs
from sbert_cluster.neighbors.recall import Audit, Reach
from sbert_cluster.neighbors.similarity import cosine
from sbert_cluster.options import LOCALLY, EngineOptions, FastOptions
from sbert_cluster.pipeline.inputs import UnitVectors, embed_units
from sbert_cluster.pipeline.student import quick_encoder, read_vocabulary
from sbert_cluster.progress import Progress
from sbert_cluster.report.figures import count, duration
from sbert_cluster.training.distill import SMOOTHING_TO_MAP, first_table, mapped_table
from sbert_cluster.types import Corpus, Embeddings, Rows, Vectors

_MARGIN = 0.01
"""How far below the threshold bf16 may see a pair that is one."""
_FARTHEST, _NEAREST = 0.3, 0.1
"""How far below the threshold student similarities are looked at: so far, or less"""
_REACHING = 0.25
"""where a larger share of the rows has a partner there, since reading rows is what costs most;"""
_FARTHER = 0.05
"""and so much farther where no level there suffices."""
_MOST_REACHING = 0.4
"""Where even at the nearest more than this share has one, --fast is given up."""
_MOST_READ = 0.6
"""Share of the texts from which reading them all costs hardly more."""
_MOST_PAIRS_A_ROW = 50
_FIRST_AUDITED = 0.01
"""Share of the texts that is audited at random at first; then half as many again each time."""
_SURE = 0.03
"""Share of the texts, those with the nearest partners, that are audited without a sample."""
_TEXTS_A_DIMENSION = 10
"""Texts that the student is fitted to, for each dimension of the model's vectors,"""
_MOST_FITTED = 0.2
"""but no larger share of all than that."""
_DIMENSIONS = 192
"""Of the student's vectors: with half of the usual model's, it looks twice as fast and as well."""
_LOWEST = 0.1
"""Similarities below which nothing is looked at, whatever the threshold."""


@dataclass(frozen=True)
class Look:
    """What ``--fast`` found."""

    read: Rows
    """int64[k]: texts that the model itself has encoded for the result, rising; all pairs are
    among them."""
    vectors: Vectors
    """float32[k, d]: theirs."""
    truncated: NDArray[np.bool_]
    """bool[n]: texts that are longer than the model reads, of all."""
    recall: tuple[float, float, float]
    """Estimated share of pairs found, and its 95 % interval."""
    facts: dict[str, float | int | str]
    """For the manifest."""


def choose_fast(
    fast: bool, recall: float | None, alone: bool, run_on: EngineOptions
) -> FastOptions | None:
    """How to look, if fewer rows are to be encoded.

    Args:
        fast: Whether that is asked for.
        recall: Share of the pairs that is to be found; None: the usual one.
        alone: Whether the texts of one input are compared with each other.
        run_on: Where work runs.

    Raises:
        UsageError: If it does not go with what else is asked for.
    """
    if not fast:
        if recall is not None:
            raise UsageError("--recall needs --fast", "Without it every pair is found.")
        return None
    if not alone:
        raise UsageError(
            "--fast does not go with --against or --vector-column", "Leave one of them out."
        )
    if run_on != LOCALLY:
        raise UsageError(
            "--fast does not go with --engine ray", "Leave one of them out: --fast runs here."
        )
    return FastOptions() if recall is None else FastOptions(recall=recall)


def embed_some(
    corpora: Sequence[Corpus],
    texts: Sequence[str],
    encoder: Encoder,
    options: FastOptions,
    threshold: float,
    seed: int,
    progress: Progress,
) -> UnitVectors:
    """Fold the rows onto units and give vectors to those that can be in a pair; all, if most can.

    Args:
        corpora: Whose rows.
        texts: Their texts.
        encoder: The model.
        options: What is wanted.
        threshold: Cosine similarity of a pair.
        seed: Of every random choice.
        progress: Told how far each part is.
    """
    reading = quick_encoder(encoder)
    with ThreadPoolExecutor(1, "vocabulary") as pool:
        # Until all texts are tokenised, little else keeps more than one processor busy.
        hopeless = _hopeless(encoder, len(texts), options)
        coming = None if hopeless else pool.submit(read_vocabulary, reading, progress)
        units = units_of_texts(texts)
        # Rows of the same form are duplicates by their texts, and may be in a group with others.
        _, form, size = np.unique(units.form, return_inverse=True, return_counts=True)
        cascade = Cascade(
            encoder=encoder,
            reading=reading,
            vocabulary=coming,
            texts=[texts[row] for row in units.first.tolist()],
            threshold=threshold,
            options=options,
            always=np.flatnonzero(size[form] > 1),
            seed=seed,
            progress=progress,
        )
        try:
            look = cascade.run()
        except NotWorthIt as why:
            made = embed_units(corpora, texts, encoder, progress)
            return replace(made, notes=(*made.notes, f"--fast was run in full: {why}"))
    vectors = np.zeros((len(units), look.vectors.shape[1]), np.float32)
    vectors[look.read] = look.vectors
    embeddings = Embeddings(vectors, encoder.fingerprint, look.truncated)
    place = encoder.place
    notes = (*encoder.notes, _said(look))
    return UnitVectors(
        units,
        embeddings,
        place.device,
        str(place.precision),
        notes,
        read=look.read,
        looked_at=int(look.facts["texts_read"]),
        recall=look.recall,
        facts={"fast": look.facts},
    )


def _hopeless(encoder: Encoder, rows: int, options: FastOptions) -> str | None:
    """Why so many texts had better be read by the model; None: that is not known yet."""
    if encoder.checkpoint.is_static:
        return "the model is a static one, which is as fast as any student"
    if rows < options.least_texts:
        texts, are = count(rows, "text"), "is" if rows == 1 else "are"
        return f"{texts} {are} too few for anything to be saved"
    return None


def _said(look: Look) -> str:
    facts = look.facts
    share = int(facts["texts_read"]) / int(facts["texts"])
    said = (
        f"--fast: the model read {facts['texts_read']:,} of {facts['texts']:,} texts ({share:.0%})"
    )
    if saved := int(facts["seconds_saved"]):
        said += f", which saved about {duration(saved)}"
    return said


class NotWorthIt(Exception):
    """Why a full run is the better one, in words that follow "run in full: "."""


@dataclass
class _Reader:
    """Reads texts with the model, each once, and keeps the vectors."""

    encoder: Encoder
    texts: list[str]
    progress: Progress
    place: Rows = field(init=False)
    """int64[n]: where the vector of a text is; -1: it has not been read."""
    vectors: Vectors = field(init=False)
    seconds: float = 0.0
    """Spent on reading."""

    def __post_init__(self) -> None:
        self.place = np.full(len(self.texts), -1, np.int64)
        self.vectors = np.empty((0, self.encoder.fingerprint.dimensions), np.float32)

    @property
    def count(self) -> int:
        """Texts read."""
        return len(self.vectors)

    @property
    def rows(self) -> Rows:
        """Which, rising."""
        return np.flatnonzero(self.place >= 0)

    def read(self, rows: Rows) -> None:
        """Read those of the rows that have not been."""
        new = np.unique(rows[self.place[rows] < 0])
        if not len(new):
            return
        begun = time.perf_counter()
        made = self.encoder.encode([self.texts[row] for row in new.tolist()], self.progress)
        self.seconds += time.perf_counter() - begun
        self.place[new] = self.count + np.arange(len(new))
        self.vectors = np.concatenate([self.vectors, made.vectors])

    def of(self, rows: Rows) -> Vectors:
        """Vectors of rows that have been read."""
        return self.vectors[self.place[rows]]


@dataclass(frozen=True)
class Cascade:
    """One fast look for pairs."""

    encoder: Encoder
    """The model."""
    reading: Encoder
    """The same in the number format for looking."""
    vocabulary: Future[Vectors] | None
    """Its vectors of all tokens; None: they will not be asked for."""
    texts: list[str]
    """n different texts."""
    threshold: float
    """Cosine similarity of a pair."""
    options: FastOptions
    """What is wanted."""
    always: Rows
    """Rows whose vectors are needed whether or not they are similar to any other."""
    seed: int
    """Of what the student is fitted to, and of the audit."""
    progress: Progress
    """Told how far each part is."""

    def run(self) -> Look:
        """Look.

        Raises:
            NotWorthIt: If the model had better read all texts.
        """
        begun = time.perf_counter()
        self._refuse_what_cannot_pay()
        reader = _Reader(self.reading, self.texts, self.progress)
        student, truncated = self._student(reader)
        audit, level = self._searched(student, reader)
        del student
        reader.read(self.always)
        found = find_pairs(reader.of(reader.rows), self.threshold, device=self._where)
        read, vectors, seconds = self._decisive(reader)
        whole = seconds / max(1, len(read)) * len(self.texts)
        estimate, low = audit.recall(level, len(found.pairs))
        facts: dict[str, float | int | str] = {
            "target": self.options.recall,
            "student_threshold": round(level, 4),
            "student_lowest": audit.lowest,
            "texts": len(self.texts),
            "texts_read": reader.count,
            "texts_encoded": len(read),
            "first_precision": str(reader.encoder.place.precision),
            "rows_audited": len(audit.levels),
            "pairs_audited": audit.pairs,
            "seconds_saved": max(0, round(whole - (time.perf_counter() - begun))),
        }
        return Look(read, vectors, truncated, (float(estimate), float(low), 1.0), facts)

    @property
    def _where(self) -> str:
        device = self.encoder.place.device
        return device if device.startswith("cuda") else "cpu"

    def _refuse_what_cannot_pay(self) -> None:
        if why := _hopeless(self.encoder, len(self.texts), self.options):
            raise NotWorthIt(why)
        known = self.encoder.count_cached(self.texts)
        if known >= _MOST_READ * len(self.texts):
            raise NotWorthIt(f"{known:,} of {len(self.texts):,} texts are encoded already")

    def _student(self, reader: _Reader) -> tuple[Vectors, NDArray[np.bool_]]:
        """The fitted student's vectors of all texts, and which texts the model would cut."""
        assert self.vocabulary
        bags, truncated = self.encoder.bags(self.texts, self.progress)
        vocabulary = self.vocabulary.result()
        draft = first_table(vocabulary, bags.counts(len(vocabulary)), SMOOTHING_TO_MAP)
        most = int(_MOST_FITTED * len(self.texts))
        order = np.random.default_rng(self.seed).permutation(len(self.texts))
        rows = np.sort(order[: min(most, _TEXTS_A_DIMENSION * draft.shape[1])])
        reader.read(rows)
        table = mapped_table(draft, bags.take(rows), reader.of(rows), _DIMENSIONS)
        return averages(table, bags), truncated

    @property
    def _farthest(self) -> float:
        """The lowest student similarity that is looked at."""
        return max(_LOWEST, round(self.threshold - _FARTHEST, 2))

    def _is_bearable(self, student: Vectors, lowest: float) -> bool:
        """Whether pairs from that similarity on are few enough to be looked at."""
        expected = forecast_pairs(student, lowest, seed=self.seed)
        return expected.high <= _MOST_PAIRS_A_ROW * len(student)

    def _lowest(self, student: Vectors) -> float:
        """L: the lowest student similarity at which not too many rows have a partner."""
        nearest = nearest_histogram(student, seed=self.seed, bins=100)
        highest = max(_LOWEST, round(self.threshold - _NEAREST, 2))
        lowest = self._farthest
        while lowest <= highest:
            share = nearest.counts[nearest.edges[:-1] >= lowest - 1e-9].sum() / nearest.rows
            most = _REACHING if lowest < highest else _MOST_REACHING
            if share <= most and self._is_bearable(student, lowest):
                return lowest
            lowest = round(lowest + 0.01, 2)
        raise NotWorthIt(
            f"at a student similarity of {highest:.2f}, where pairs would be looked for, more than "
            f"{_MOST_REACHING:.0%} of the texts have a look-alike"
        )

    def _searched(self, student: Vectors, reader: _Reader) -> tuple[Audit, float]:
        """Find the level that suffices, looking farther where it must, and read all rows from it.

        Rows that were read in vain on the way have a partner above the level, so they count.
        """
        lowest, sure = self._lowest(student), 1.0
        while True:
            pairs = find_pairs(student, lowest, self.progress, device=self._where).pairs
            reach = Reach.of(pairs, len(self.texts), lowest)
            audit, level = self._audited(reach, reader, min(sure, self._sure(reach)))
            if level is not None:
                reader.read(reach.above(level))
                return audit, level
            farther = max(self._farthest, round(lowest - _FARTHER, 2))
            if farther >= lowest or not self._is_bearable(student, farther):
                raise NotWorthIt(
                    f"{audit.pairs:,} pairs seen are too few, or too unlike to the student, to "
                    f"promise a recall of {self.options.recall:g}"
                )
            sure, lowest = lowest, farther

    def _audited(self, reach: Reach, reader: _Reader, sure: float) -> tuple[Audit, float | None]:
        """Audit the surest rows, and random others until they tell a level; None: none suffices."""
        high = reach.above(sure)
        order = np.setdiff1d(reach.rows, high)
        order = np.random.default_rng((self.seed, 1)).permutation(order)
        first, most = max(1, round(_FIRST_AUDITED * len(self.texts))), _MOST_READ * len(self.texts)
        count = min(first, len(order))
        while True:
            share = count / len(order) if len(order) else 1.0
            rows = np.concatenate([high, order[:count]])
            audit = self._audit(reach, reader, rows, sure, share)
            level = audit.highest_level(self.options.recall)
            more = min(len(order), count + max(count // 2, first)) - count
            if share == 1:
                # All rows that have a partner have been read, so nothing down to L is missed.
                level = None if level is None else reach.lowest
                break
            if level is not None and not self._pays(audit, reach, reader, level, more):
                break
            if reader.count > most:
                raise NotWorthIt(f"{reader.count:,} texts were read, and no level can be told")
            count += more
        if level is not None and len(np.union1d(reader.rows, reach.above(level))) > most:
            raise NotWorthIt("most texts have a look-alike and would be read anyway")
        return audit, level

    def _pays(self, audit: Audit, reach: Reach, reader: _Reader, level: float, more: int) -> bool:
        """Whether auditing more rows can save more than it costs.

        At best the level rises to where the estimate alone suffices, and the rows in between need
        not be read. Rows of the sample below it are read for nothing, with their partners.
        """
        best = audit.highest_level(self.options.recall, sure=False) or level
        between = np.setdiff1d(reach.above(level), reach.above(best))
        saved = (reader.place[between] < 0).sum()
        levels = reach.level[reach.rows]
        sampled, low = (int((levels < np.float32(below)).sum()) for below in (audit.sure, best))
        in_vain = low / max(1, sampled)
        partners = len(reach.owner) / max(1, len(reach.rows))
        return bool(saved > more * in_vain * (1 + partners))

    def _sure(self, reach: Reach) -> float:
        """A level from which rows are few and will be read in any case."""
        levels = np.sort(reach.level[reach.rows])[::-1]
        place = min(len(levels) - 1, round(_SURE * len(self.texts)))
        return float(levels[place]) if len(levels) else 1.0

    def _audit(self, reach: Reach, reader: _Reader, rows: Rows, sure: float, share: float) -> Audit:
        positions = reach.owned_by(rows)
        owner, partner = reach.owner[positions], reach.partner[positions]
        reader.read(np.concatenate([rows, partner]))
        vectors, place = reader.vectors, reader.place
        true = cosine(vectors, place[owner], vectors, place[partner]) >= self.threshold
        owned = np.bincount(owner[true], minlength=reach.count)[rows]
        scores = reach.similarity[positions][true]
        return Audit(reach.level[rows], owned, scores, reach.lowest, sure, share)

    def _decisive(self, reader: _Reader) -> tuple[Rows, Vectors, float]:
        """Rows of pairs, their vectors in the run's number format, and the seconds these took."""
        rows = reader.rows
        if reader.encoder is self.encoder:
            return rows, reader.of(rows), reader.seconds
        lowest = max(self.threshold - _MARGIN, self.threshold / 2)
        near = find_pairs(reader.of(rows), lowest, device=self._where).pairs
        rows = np.unique(np.concatenate([rows[near.left], rows[near.right], self.always]))
        exact = _Reader(self.encoder, self.texts, self.progress)
        exact.read(rows)
        return rows, exact.of(rows), exact.seconds
