"""How many pairs a threshold will bring, told before they are all looked for.

A low threshold on similar texts can bring more pairs than a disk holds. So m of the n rows, drawn
at random without replacement, are compared with all n. If c_i other rows are at least as similar to
the i-th of them as the threshold, then

    P = n/2 · mean(c)     is an unbiased estimate of the number of pairs,

since every pair is counted at both its ends. Its standard error is n/2 · s / √m · √(1 - m/n), with
s the standard deviation of the c_i (Cochran, Sampling Techniques, section 2.6). The interval is
1.96 of them to either side, cut below at the pairs that were seen. Where a sample saw none, at most
3/m of the rows have a neighbor (with 95 %; the "rule of three"), and the interval ends where each
of those would have one. A few rows with very many neighbors can escape any sample: it is a
forecast.

Between two sets, m rows of the first are compared with the whole second, and P = n · mean(c).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.types import Vectors

MANY_PAIRS = 50_000_000
"""Pairs from which somebody should be asked first."""
_BUDGET = 40_000_000_000
"""Multiply-adds of the whole sample: about half a second of two cores."""
_COMPARING = 400
"""Comparing a similarity with the threshold takes as long as so many."""
_ROWS = 64, 2_048
"""Least and most rows of the sample."""
_BLOCK_ROWS = 8_192
_STEPS = 1_000
"""Similarities are counted in steps of one thousandth, for the advice."""


@dataclass(frozen=True)
class Forecast:
    """Expected number of pairs, with a 95 % interval."""

    threshold: float
    """Cosine similarity from which two rows are a pair."""
    pairs: int
    """The estimate."""
    low: int
    """Lower end of the interval."""
    high: int
    """Upper end."""
    sampled: int
    """Rows that were compared with all others."""
    advice: float | None = None
    """The lowest threshold, in hundredths, at which at most ``MANY_PAIRS`` are expected; None: the
    threshold itself, or none at all."""
    advice_pairs: int = 0
    """Pairs expected there."""

    @property
    def is_flood(self) -> bool:
        """Whether more than ``MANY_PAIRS`` are expected."""
        return self.pairs > MANY_PAIRS


def forecast_pairs(vectors: Vectors, threshold: float, *, seed: int = 0) -> Forecast:
    """Estimate how many pairs of rows have a cosine ≥ threshold.

    Args:
        vectors: float32[n, d], unit or zero rows.
        threshold: In (0, 1].
        seed: Of the sample.
    """
    rows = _draw(len(vectors), vectors, seed)
    counts = _counts(vectors[rows], vectors, threshold)
    # Each row is also as similar to itself as can be, unless it is zero.
    counts[:, -1] -= vectors[rows].any(axis=1)
    return _forecast(counts, len(vectors), len(vectors) / 2, threshold)


def forecast_pairs_between(
    left: Vectors, right: Vectors, threshold: float, *, seed: int = 0
) -> Forecast:
    """Estimate how many pairs of a row of either side have a cosine ≥ threshold.

    Args:
        left: float32[n, d], unit or zero rows.
        right: float32[m, d], likewise.
        threshold: In (0, 1].
        seed: Of the sample.
    """
    rows = _draw(len(left), right, seed)
    counts = _counts(left[rows], right, threshold)
    return _forecast(counts, len(left), float(len(left)), threshold)


def forecast_sample(sample: Vectors, threshold: float, pairs: int, *, seed: int = 0) -> Forecast:
    """Estimate how many of so many pairs have a cosine ≥ threshold, from a sample of the rows.

    The share of pairs among the sample stands for the share among all.

    Args:
        sample: float32[n, d], n ≥ 2, unit or zero rows, drawn at random.
        threshold: In (0, 1].
        pairs: Pairs that there are in all.
        seed: Of the sample of the sample.
    """
    rows = _draw(len(sample), sample, seed)
    counts = _counts(sample[rows], sample, threshold)
    counts[:, -1] -= sample[rows].any(axis=1)
    weight = pairs / (len(sample) - 1)
    return _forecast(counts, len(sample), weight, threshold)


def _draw(n: int, others: Vectors, seed: int) -> NDArray[np.int64]:
    """Rows of the sample, rising, where each is compared with all others."""
    least, most = _ROWS
    cost = len(others) * (others.shape[1] + _COMPARING)
    size = min(n, max(least, min(most, _BUDGET // max(cost, 1))))
    return np.sort(np.random.default_rng(seed).choice(n, size, replace=False))


def _counts(rows: Vectors, vectors: Vectors, threshold: float) -> NDArray[np.int64]:
    """int64[m, steps]: by row, the similarities in each step from the threshold up to 1."""
    import torch

    one = torch.from_numpy(np.ascontiguousarray(rows))
    lowest = float(np.float32(threshold))
    steps = max(1, round((1 - lowest) * _STEPS))
    counts = np.zeros((len(rows), steps), np.int64)
    for start in range(0, len(vectors), _BLOCK_ROWS):
        products = one @ torch.from_numpy(vectors[start : start + _BLOCK_ROWS]).T
        row, column = (products >= lowest).nonzero(as_tuple=True)
        above = (products[row, column].numpy().astype(np.float64) - lowest) * _STEPS
        step = np.minimum(above.astype(np.int64), steps - 1)
        counts += np.bincount(row.numpy() * steps + step, minlength=counts.size).reshape(
            counts.shape
        )
    return counts


def _forecast(counts: NDArray[np.int64], rows: int, weight: float, threshold: float) -> Forecast:
    """The forecast from the counts of a sample; ``weight`` makes pairs of neighbors a row."""
    m = len(counts)
    if not m:
        return Forecast(threshold, 0, 0, 0, 0)
    own = counts.sum(axis=1)
    expected = weight * own.mean()
    spread = own.std(ddof=1) if m > 1 else 0.0
    margin = 1.96 * weight * spread / np.sqrt(m) * np.sqrt(1 - m / rows)
    # Of pairs that were seen from both ends, each may have been counted twice.
    seen = -(-int(own.sum()) // 2)
    high = expected + margin if seen or m == rows else weight * 3 / m
    low = max(expected - margin, seen)
    found = Forecast(threshold, round(expected), round(min(low, expected)), round(high), m)
    return found if not found.is_flood else _advise(found, counts, weight)


def _advise(found: Forecast, counts: NDArray[np.int64], weight: float) -> Forecast:
    """Add the lowest threshold in hundredths that brings no flood."""
    above = weight * counts.sum(axis=0)[::-1].cumsum()[::-1] / len(counts)
    first = np.ceil(found.threshold * 100 + 1e-9) / 100
    for threshold in np.arange(first, 1.0, 0.01):
        step = round((threshold - found.threshold) * _STEPS)
        if step < len(above) and above[step] <= MANY_PAIRS:
            return replace(
                found, advice=round(float(threshold), 2), advice_pairs=round(above[step])
            )
    return found
