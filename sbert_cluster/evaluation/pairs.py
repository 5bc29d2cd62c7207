"""Pairs with 0/1 labels: how well similarities tell one from the other, and where to cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.errors import InputError

Scores = NDArray[np.float64]
Truth = NDArray[np.bool_]


@dataclass(frozen=True)
class Curve:
    """Precision and recall at every threshold that makes a difference, highest first."""

    thresholds: Scores
    """float64[m]: falling similarities; pairs at or above count as found."""
    precision: Scores
    """float64[m]."""
    recall: Scores
    """float64[m]: rising."""

    @property
    def f1(self) -> Scores:
        """Harmonic mean of precision and recall, float64[m]."""
        both = self.precision + self.recall
        product = 2 * self.precision * self.recall
        return np.divide(product, both, out=np.zeros_like(both), where=both > 0)


def curve(scores: Scores, truth: Truth, weights: Scores | None = None) -> Curve:
    """Precision and recall of "score ≥ t", for each score t that occurs.

    Args:
        scores: float64[n].
        truth: bool[n]; at least one is true.
        weights: float64[n], how much each pair counts; None: all alike.
    """
    order = np.argsort(-scores, kind="stable")
    sorted_scores, is_true = scores[order], truth[order]
    weight = np.ones(len(order)) if weights is None else weights[order]
    # Pairs of one score are found together: only the last of each run is a threshold.
    last = np.append(np.flatnonzero(np.diff(sorted_scores)), len(order) - 1)
    found, right = np.cumsum(weight)[last], np.cumsum(weight * is_true)[last]
    precision = np.divide(right, found, out=np.zeros_like(right), where=found > 0)
    return Curve(sorted_scores[last], precision, right / max(right[-1], 1e-300))


def average_precision(scores: Scores, truth: Truth, weights: Scores | None = None) -> float:
    """Area under the precision-recall curve as a sum of steps (Manning et al. 2008, section 8.4).

    Args:
        scores: float64[n].
        truth: bool[n].
        weights: float64[n], how much each pair counts; None: all alike.
    """
    made = curve(scores, truth, weights)
    return float((np.diff(made.recall, prepend=0.0) * made.precision).sum())


def balanced_average_precision(scores: Scores, truth: Truth) -> float:
    """Average precision with both classes of the same weight, so that no class is drowned."""
    share = truth.mean()
    return average_precision(scores, truth, np.where(truth, 0.5 / share, 0.5 / (1 - share)))


@dataclass(frozen=True)
class PairScores:
    """How well similarities tell pairs apart."""

    pairs: int
    """Pairs judged."""
    positives: int
    """Of them, the same meaning."""
    average_precision: float
    best_f1: float
    """Highest F1 of any threshold."""
    best_threshold: float
    """Where it is reached: halfway between two scores that occur."""
    precision: float
    """At that threshold."""
    recall: float
    """At that threshold."""

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-ready dict."""
        return asdict(self)


@dataclass(frozen=True)
class AtThreshold:
    """What a threshold finds."""

    threshold: float
    precision: float
    recall: float
    f1: float


def at_threshold(scores: Scores, truth: Truth, threshold: float) -> AtThreshold:
    """Precision, recall and F1 of "score ≥ threshold"; 0 where nothing is found."""
    found = scores >= threshold
    right = int((found & truth).sum())
    precision = right / max(int(found.sum()), 1)
    recall = right / max(int(truth.sum()), 1)
    return AtThreshold(threshold, precision, recall, 2 * right / max(found.sum() + truth.sum(), 1))


def score_pairs(scores: Scores, truth: Truth) -> PairScores:
    """Judge similarities by labels.

    Raises:
        InputError: If all labels are the same.
    """
    check_both_classes(truth)
    made = curve(scores, truth)
    best = int(np.argmax(made.f1))
    return PairScores(
        len(truth),
        int(truth.sum()),
        average_precision(scores, truth),
        float(made.f1[best]),
        between(made.thresholds, best),
        float(made.precision[best]),
        float(made.recall[best]),
    )


def between(thresholds: Scores, position: int) -> float:
    """Halfway from a threshold to the next lower one: as far from either side as can be."""
    if position + 1 == len(thresholds):
        return float(thresholds[position])
    return float((thresholds[position] + thresholds[position + 1]) / 2)


def check_both_classes(truth: Truth) -> None:
    """Check that there is something to tell apart.

    Raises:
        InputError: If not.
    """
    if truth.all() or not truth.any():
        raise InputError(
            f"all {len(truth):,} pairs have the label {int(truth.all())}",
            "Add pairs with the other label: nothing can be told apart without both.",
        )


@dataclass(frozen=True)
class Gain:
    """How much better one model is than another on the same rows."""

    before: float
    after: float
    low: float
    """Lower end of the 95 % interval of the gain."""
    high: float
    """Upper end."""

    @property
    def is_certain(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.low > 0 or self.high < 0


def gain_in_average_precision(
    before: Scores, after: Scores, truth: Truth, *, samples: int = 1000, seed: int = 0
) -> Gain:
    """:func:`paired_gain` of the average precision."""
    return paired_gain(average_precision, before, after, truth, samples=samples, seed=seed)


def paired_gain(
    measure: Callable[[Scores, Truth], float],
    before: Scores,
    after: Scores,
    truth: Truth,
    *,
    samples: int = 1000,
    seed: int = 0,
) -> Gain:
    """The gain in a measure, with a paired bootstrap over the rows (Efron 1979).

    Args:
        measure: The higher, the better.
        before: float64[n].
        after: float64[n], of the same pairs.
        truth: bool[n].
        samples: Resamples.
        seed: Of the resamples.
    """
    random = np.random.default_rng(seed)
    gains = []
    for _ in range(samples):
        rows = random.integers(0, len(truth), len(truth))
        if truth[rows].any() and not truth[rows].all():
            old, new = (measure(s[rows], truth[rows]) for s in (before, after))
            gains.append(new - old)
    low, high = np.quantile(gains, [0.025, 0.975]) if gains else (-np.inf, np.inf)
    return Gain(measure(before, truth), measure(after, truth), float(low), float(high))
