"""An upper bound of the cosine that costs a tenth of it.

Rotate unit vectors onto their principal axes and split each into its first k coordinates p and the
rest r. The rotation keeps dot products, so by Cauchy–Schwarz

    cos(u, v) = p_u · p_v + r_u · r_v ≤ p_u · p_v + |r_u| |r_v|,

which is the dot product of the k + 1 numbers (p, |r|). A pair whose bound is below the threshold
cannot be a pair; only the few others are scored. Nothing is missed, whatever the axes are: those of
the second-moment matrix merely make |r| small.

**Rounding.** The rotation and |r| are computed in float64 and rounded to float32 once, |r|
upwards. With u = 2^-24, rounding p moves the bound by at most 2u + u², and the float32 product of
two vectors of norm ≤ 1 + 2u by at most what ``rounding_allowance`` of
:mod:`~sbert_cluster.neighbors.similarity` tells, whose 16 spare units cover the former.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.neighbors.similarity import rounding_allowance
from sbert_cluster.types import Vectors

SAMPLE_ROWS = 8_192
"""Rows from which the axes are computed and the length of the prefix is chosen."""
WORTH_ROWS = 2_048
"""Below this number of rows everything is quick, and finding axes is not."""
LENGTHS = (16, 24, 32, 48, 64, 96, 128, 192)
"""Lengths that are tried; beyond them the whole vector is as good."""

_SAMPLE_LEFT = 1_024
"""Rows of the sample that are compared with its other rows."""

# Measured: seconds for one multiply-add of a block's product, for looking at one product, and for
# scoring one pair in full. Only their ratios matter.
_COST_MULTIPLY, _COST_LOOK, _COST_SCORE = 1.0, 25.0, 60_000.0


@dataclass(frozen=True)
class Prefix:
    """Axes, and how many of them are kept."""

    axes: NDArray[np.float64] | None
    """float64[d, k], orthonormal columns; None: vectors are compared whole."""
    allowance: float
    """How far below the cosine a float32 product of two prefixes can be."""

    def of(self, vectors: Vectors) -> Vectors:
        """The numbers whose dot products bound the cosine.

        Args:
            vectors: float32[n, d], unit or zero rows.

        Returns:
            float32[n, k + 1]; the vectors themselves where they are compared whole.
        """
        if self.axes is None:
            return vectors
        out = np.empty((len(vectors), self.axes.shape[1] + 1), np.float32)
        for start in range(0, len(vectors), SAMPLE_ROWS):
            rows = vectors[start : start + SAMPLE_ROWS].astype(np.float64)
            kept = rows @ self.axes
            rest = np.einsum("ij,ij->i", rows, rows) - np.einsum("ij,ij->i", kept, kept)
            # The difference of two sums near 1 is off by some 1e-16 · d before the root is taken.
            norm = np.sqrt(np.maximum(rest, 0) + 4e-16 * rows.shape[1]).astype(np.float32)
            out[start : start + len(rows), :-1] = kept
            out[start : start + len(rows), -1] = np.nextafter(norm, np.float32(2))
        return out


def choose_prefix(vectors: Vectors, threshold: float, *, seed: int = 0) -> Prefix:
    """Choose the axes, and the length that should cost least.

    The cost of a pair is that of its product, which grows with the length, and that of scoring it
    in full if its bound survives, whose chance a sample of pairs tells.

    Args:
        vectors: float32[n, d], unit or zero rows.
        threshold: What bounds are compared with.
        seed: Of the sample. The pairs that are found do not depend on it.
    """
    n, d = vectors.shape
    whole = Prefix(None, rounding_allowance(d))
    if n < WORTH_ROWS or d <= LENGTHS[0]:
        return whole
    rows = np.random.default_rng(seed).choice(n, min(n, SAMPLE_ROWS), replace=False)
    sample = vectors[rows]
    moments = sample.T.astype(np.float64) @ sample
    axes = np.linalg.eigh(moments)[1][:, ::-1]
    best, lowest = whole, _cost(sample, whole, threshold, d)
    for length in (k for k in LENGTHS if k < d):
        prefix = Prefix(np.ascontiguousarray(axes[:, :length]), rounding_allowance(length + 1))
        cost = _cost(sample, prefix, threshold, length + 1)
        if cost < lowest:
            best, lowest = prefix, cost
    return best


def _cost(sample: Vectors, prefix: Prefix, threshold: float, length: int) -> float:
    """Estimated cost of one pair, in multiply-adds."""
    numbers = prefix.of(sample)
    bounds = numbers[:_SAMPLE_LEFT] @ numbers[_SAMPLE_LEFT:].T
    survive = np.count_nonzero(bounds >= threshold - prefix.allowance) / bounds.size
    return _COST_MULTIPLY * length + _COST_LOOK + _COST_SCORE * survive
