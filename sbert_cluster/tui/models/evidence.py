"""What judged pairs say about a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

_Z = 1.959963984540054
"""97.5 % quantile of the normal distribution: intervals of 95 %."""


@dataclass(frozen=True)
class Share:
    """A share of a whole, with its interval."""

    part: int
    whole: int

    @property
    def value(self) -> float:
        """The share; NaN of nothing."""
        return self.part / self.whole if self.whole else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of Wilson (1927): sensible for few cases and near 0 and 1."""
        n = self.whole
        if not n:
            return 0.0, 1.0
        p, z2 = self.value, _Z * _Z
        centre = (p + z2 / (2 * n)) / (1 + z2 / n)
        half = _Z / (1 + z2 / n) * sqrt(p * (1 - p) / n + z2 / (4 * n * n))
        low = 0.0 if self.part == 0 else max(0.0, centre - half)
        return low, 1.0 if self.part == n else min(1.0, centre + half)


@dataclass(frozen=True)
class Judged:
    """Pairs that somebody judged."""

    similarity: NDArray[np.float64]
    """float64[n]."""
    same: NDArray[np.bool_]
    """bool[n]: the two say the same."""

    def __len__(self) -> int:
        return len(self.same)

    def precision(self, threshold: float) -> Share:
        """Of the judged pairs at or above the threshold, those that are the same."""
        above = self.similarity >= np.float32(threshold)
        return Share(int(self.same[above].sum()), int(above.sum()))

    def recall(self, threshold: float) -> Share:
        """Of the judged pairs that are the same, those at or above the threshold."""
        above = self.similarity >= np.float32(threshold)
        return Share(int(self.same[above].sum()), int(self.same.sum()))

    def agreement(self, threshold: float) -> Share:
        """Pairs that the threshold decides as the person did."""
        above = self.similarity >= np.float32(threshold)
        return Share(int((above == self.same).sum()), len(self))

    def advice(self, wanted: float) -> float | None:
        """The lowest similarity of a judged pair from which the precision is as wanted.

        Judged by the lower end of the interval, so that few pairs are no proof; None if no
        threshold reaches it.
        """
        for threshold in np.unique(self.similarity):
            if self.precision(float(threshold)).interval[0] >= wanted:
                return float(threshold)
        return None


@dataclass(frozen=True)
class Line:
    """What is known about one threshold."""

    threshold: float
    pairs: int
    """Stored pairs at or above it."""
    precision: Share
    recall: Share


def table(judged: Judged, thresholds: Sequence[float], counts: Sequence[int]) -> list[Line]:
    """One line for each threshold; ``counts`` are the stored pairs at or above it."""
    return [
        Line(threshold, count, judged.precision(threshold), judged.recall(threshold))
        for threshold, count in zip(thresholds, counts, strict=True)
    ]


@dataclass(frozen=True)
class Curve:
    """Chance that two rows are the same, as a logistic function of their similarity."""

    slope: float
    offset: float

    @property
    def even(self) -> float:
        """The similarity of even chances: the least certain one."""
        return -self.offset / self.slope

    def chance(self, similarity: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """The chance at each similarity."""
        return np.asarray(1 / (1 + np.exp(-(self.slope * np.asarray(similarity) + self.offset))))


def fit(judged: Judged) -> Curve | None:
    """Fit a curve by Newton's method, slightly drawn towards flat so that it always exists.

    Returns:
        None with fewer than 8 pairs, without both answers, or if the same ones are not the more
        similar ones.
    """
    n, same = len(judged), int(judged.same.sum())
    if n < 8 or same in (0, n):
        return None
    centre = float(judged.similarity.mean())
    spread = float(judged.similarity.std()) or 1.0
    x = np.stack([(judged.similarity - centre) / spread, np.ones(n)], axis=1)
    weights = np.zeros(2)
    penalty = np.diag([0.1, 1e-6])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-(x @ weights)))
        gradient = x.T @ (chance - judged.same) + penalty @ weights
        hessian = (x * (chance * (1 - chance))[:, None]).T @ x + penalty
        step = np.linalg.solve(hessian, gradient)
        weights -= np.clip(step, -2, 2)
        if float(np.abs(step).max()) < 1e-9:
            break
    slope = float(weights[0]) / spread
    return Curve(slope, float(weights[1]) - slope * centre) if slope > 1e-6 else None
