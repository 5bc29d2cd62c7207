"""From labelled pairs to a threshold, and how certain it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sbert_cluster.evaluation.pairs import (
    AtThreshold,
    Curve,
    Scores,
    Truth,
    at_threshold,
    between,
    check_both_classes,
    curve,
)

_FEWEST_FOUND = 5
"""Pairs at or above a threshold from which on its precision is believed."""


@dataclass(frozen=True)
class Calibration:
    """A threshold, what it finds, and 95 % intervals of both."""

    threshold: float
    """Cosine similarity."""
    threshold_interval: tuple[float, float]
    """Of the threshold: where it would lie with other pairs of the same kind."""
    precision: float
    precision_interval: tuple[float, float]
    """Of this threshold's precision."""
    recall: float
    recall_interval: tuple[float, float]
    f1: float
    target_precision: float | None
    """What was asked for; None: the best F1."""
    is_reached: bool
    """Whether the precision asked for is reached; if not, it has the highest there is."""
    pairs: int
    """Labelled pairs."""
    positives: int
    """Of them, the same meaning."""

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-ready dict."""
        return asdict(self)


def calibrate(
    scores: Scores,
    truth: Truth,
    target_precision: float | None,
    *,
    samples: int = 1000,
    seed: int = 0,
) -> Calibration:
    """Find the lowest threshold with a wanted precision, or the one with the best F1.

    Args:
        scores: float64[n], cosine similarities.
        truth: bool[n].
        target_precision: In (0, 1]; None: the best F1.
        samples: Bootstrap resamples (Efron 1979) behind the intervals.
        seed: Of the resamples.

    Raises:
        InputError: If all labels are the same.
    """
    check_both_classes(truth)
    threshold, is_reached = _choose(curve(scores, truth), target_precision, len(truth))
    random = np.random.default_rng(seed)
    thresholds, found = [threshold], [at_threshold(scores, truth, threshold)]
    for _ in range(samples):
        rows = random.integers(0, len(truth), len(truth))
        if truth[rows].any() and not truth[rows].all():
            made = curve(scores[rows], truth[rows])
            thresholds.append(_choose(made, target_precision, len(truth))[0])
            found.append(at_threshold(scores[rows], truth[rows], threshold))
    own = found[0]
    return Calibration(
        threshold,
        _interval(thresholds),
        own.precision,
        _interval([f.precision for f in found]),
        own.recall,
        _interval([f.recall for f in found]),
        own.f1,
        target_precision,
        is_reached,
        len(truth),
        int(truth.sum()),
    )


def _choose(made: Curve, target: float | None, pairs: int) -> tuple[float, bool]:
    if target is None:
        return between(made.thresholds, int(np.argmax(made.f1))), True
    # The first few pairs say little: one right pair alone has a precision of 1.
    fewest = min(_FEWEST_FOUND, pairs // 4)
    positions = np.arange(len(made.thresholds))
    believed = positions >= min(fewest, len(positions)) - 1
    reached = np.flatnonzero(believed & (made.precision >= target))
    if len(reached):
        return between(made.thresholds, int(reached[-1])), True
    best = int(positions[believed][np.argmax(made.precision[believed])])
    return between(made.thresholds, best), False


def _interval(values: list[float]) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def thinned(made: Curve, points: int = 60) -> list[AtThreshold]:
    """A curve at evenly spaced recalls, for a table or a picture."""
    wanted = np.linspace(0, 1, points)
    positions = np.unique(np.searchsorted(made.recall, wanted).clip(max=len(made.recall) - 1))
    return [
        AtThreshold(*(float(x[i]) for x in (made.thresholds, made.precision, made.recall, made.f1)))
        for i in positions
    ]
