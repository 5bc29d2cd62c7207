"""Distillation: a teacher's judgement in the place of people's labels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.errors import UsageError
from sbert_cluster.evaluation.sts import row_cosines
from sbert_cluster.options import EncodeOptions
from sbert_cluster.progress import Progress
from sbert_cluster.training.cross_encoder import is_cross_encoder
from sbert_cluster.training.examples import Examples, Labelled
from sbert_cluster.training.recipe import Kind
from sbert_cluster.training.reranker import Reranker
from sbert_cluster.types import Vectors


@dataclass(frozen=True)
class Taught:
    """Examples with a teacher's labels, or a teacher's vectors for texts alone."""

    labelled: Labelled
    vectors: Vectors | None


def taught_by(
    teacher: str, labelled: Labelled, encode: EncodeOptions, progress: Progress
) -> Taught:
    """Ask a teacher.

    Pairs of any kind become pairs with the teacher's scores (a cross-encoder's probability, or the
    cosine of a larger model's vectors, not below 0); triplets get the difference of the scores of
    their two pairs; texts alone get the teacher's vectors.

    Args:
        teacher: Folder of a cross-encoder, or an encoder of sentences.
        labelled: What the student learns from.
        encode: Device and cache.
        progress: Told how far the teacher is.

    Raises:
        UsageError: If a cross-encoder is to give vectors.
        ModelError: If the teacher cannot be loaded.
    """
    judge = _Teacher(teacher, labelled.texts, encode, progress)
    vectors = None
    if any(e.kind is Kind.TEXTS for e in labelled.sets):
        vectors = judge.vectors()
    sets = tuple(_taught(e, judge) for e in labelled.sets)
    return Taught(replace(labelled, sets=sets), vectors)


def _taught(examples: Examples, judge: _Teacher) -> Examples:
    if examples.kind is Kind.TEXTS:
        return examples
    left, right = examples.rows[:, 0], examples.rows[:, 1]
    if examples.kind is Kind.TRIPLETS:
        margins = judge.scores(left, right) - judge.scores(left, examples.rows[:, 2])
        return replace(examples, labels=margins.astype(np.float32))
    scores = np.clip(judge.scores(left, right), 0, 1).astype(np.float32)
    return replace(examples, kind=Kind.SCORES, labels=scores)


class _Teacher:
    """Scores pairs of texts by number."""

    def __init__(
        self, name: str, texts: list[str], encode: EncodeOptions, progress: Progress
    ) -> None:
        self._texts, self._progress = texts, progress
        self._cross = Reranker.open(name, encode.device) if is_cross_encoder(name) else None
        self._name, self._encode = name, encode
        self._made: Vectors | None = None

    def vectors(self) -> Vectors:
        """Its vectors of all texts, float32[texts, d]."""
        if self._cross:
            raise UsageError(
                f"--teacher {self._name} is a cross-encoder, which makes no vectors",
                "Give pairs or triplets to train on, or a teacher that encodes sentences.",
            )
        if self._made is None:
            encoder = Encoder.open(replace(self._encode, model=self._name))
            self._made = encoder.encode(self._texts, self._progress).vectors
        return self._made

    def scores(
        self,
        left: np.ndarray[tuple[int], np.dtype[np.int64]],
        right: np.ndarray[tuple[int], np.dtype[np.int64]],
    ) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """How alike it finds pairs, float64[k]."""
        if self._cross is None:
            return row_cosines(self.vectors()[left], self.vectors()[right])
        texts = self._texts
        pairs = [(texts[i], texts[j]) for i, j in zip(left.tolist(), right.tolist(), strict=True)]
        return self._cross.score(pairs, self._progress).astype(np.float64)
