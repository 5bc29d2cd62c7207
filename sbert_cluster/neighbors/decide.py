"""Decides which proposed pairs are pairs, by the one definition of similarity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sbert_cluster.neighbors.similarity import cosine, rounding_allowance
from sbert_cluster.types import Pairs, Reason, Rows, Vectors

BORDERLINE = 5e-4
"""Half-width of the band around the threshold in which another number format could differ."""
_SCREEN_PAIRS = 1 << 13
"""Proposals that are screened at a time; 2 × 2^13 rows of 384 floats are 25 MB."""


@dataclass(frozen=True)
class Decided:
    """Pairs at or above the threshold, and what it took to find them."""

    pairs: Pairs
    """Reason ``semantic`` for all."""
    scored: int = 0
    """Proposals, each scored in float32."""
    rescored: int = 0
    """Of these, pairs near or above the threshold, decided in float64."""
    borderline: int = 0
    """Of these, pairs within 5e-4 of the threshold, on either side."""

    @classmethod
    def joined(cls, parts: list[Decided]) -> Decided:
        """All parts, one after the other."""
        return cls(
            Pairs.joined([part.pairs for part in parts]),
            sum(part.scored for part in parts),
            sum(part.rescored for part in parts),
            sum(part.borderline for part in parts),
        )


@dataclass(frozen=True)
class Judge:
    """Two sides, and the threshold that their pairs must reach."""

    left: Vectors
    """float32[n, d], unit or zero rows."""
    right: Vectors
    """float32[m, d], likewise."""
    threshold: float
    """Cosine."""

    @property
    def lowest(self) -> float:
        """Cosine below which a pair is not even borderline."""
        return self.threshold - BORDERLINE

    def decide(self, left: Rows, right: Rows) -> Decided:
        """Decide proposals.

        Args:
            left: int64[p], rows of the left side.
            right: int64[p], rows of the right side.
        """
        parts = [slice(i, i + _SCREEN_PAIRS) for i in range(0, len(left), _SCREEN_PAIRS)]
        return Decided.joined([self._decide(left[part], right[part]) for part in parts])

    def _decide(self, left: Rows, right: Rows) -> Decided:
        """Score proposals, first in float32, then those that are left by the definition."""
        scored = len(left)
        quick = np.einsum("ij,ij->i", self.left[left], self.right[right])
        near = quick >= self.lowest - rounding_allowance(self.left.shape[1])
        left, right = left[near], right[near]
        similarity = cosine(self.left, left, self.right, right)
        # Compared in float32, as they are stored: no stored pair is below its threshold.
        threshold = np.float32(self.threshold)
        distance = np.abs(similarity.astype(np.float64) - threshold)
        found = similarity >= threshold
        reason = np.full(np.count_nonzero(found), Reason.SEMANTIC, np.uint8)
        return Decided(
            Pairs(left[found], right[found], similarity[found], reason),
            scored,
            len(left),
            int(np.count_nonzero(distance <= BORDERLINE)),
        )
