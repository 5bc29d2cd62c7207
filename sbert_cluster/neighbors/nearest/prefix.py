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

from sbert_cluster.types import Vectors

_BATCH_ROWS = 8_192


@dataclass(frozen=True)
class Prefix:
    """Axes, and how many of them are kept."""

    axes: NDArray[np.float64]
    """float64[d, k], orthonormal columns."""
    allowance: float
    """How far below the cosine a float32 product of two prefixes can be."""

    def of(self, vectors: Vectors) -> Vectors:
        """The numbers whose dot products bound the cosine.

        Args:
            vectors: float32[n, d], unit or zero rows.

        Returns:
            float32[n, k + 1].
        """
        out = np.empty((len(vectors), self.axes.shape[1] + 1), np.float32)
        for start in range(0, len(vectors), _BATCH_ROWS):
            rows = vectors[start : start + _BATCH_ROWS].astype(np.float64)
            kept = rows @ self.axes
            rest = np.einsum("ij,ij->i", rows, rows) - np.einsum("ij,ij->i", kept, kept)
            # The difference of two sums near 1 is off by some 1e-16 · d before the root is taken.
            norm = np.sqrt(np.maximum(rest, 0) + 4e-16 * rows.shape[1]).astype(np.float32)
            out[start : start + len(rows), :-1] = kept
            out[start : start + len(rows), -1] = np.nextafter(norm, np.float32(2))
        return out
