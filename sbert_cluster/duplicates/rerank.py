"""Pairs close to the threshold, decided anew by a judge that reads both texts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.duplicates.ladder import Units
from sbert_cluster.types import DuplicateGroups, Pairs, Reason, Rows


@dataclass(frozen=True)
class Band:
    """Similarities between which the judge decides."""

    low: float
    """Pairs below are no duplicates, as everywhere."""
    high: float
    """Pairs at or above are duplicates without being asked about."""

    def undecided(self, pairs: Pairs) -> NDArray[np.bool_]:
        """bool[m]: the judge is asked; what is the same once normalised never is."""
        inside = (pairs.similarity >= self.low) & (pairs.similarity < self.high)
        undecided: NDArray[np.bool_] = inside & (pairs.reason == Reason.SEMANTIC)
        return undecided


def decided(pairs: Pairs, asked: NDArray[np.bool_], yes: NDArray[np.bool_]) -> Pairs:
    """The pairs that stay.

    Args:
        pairs: All pairs from the low end of the band on.
        asked: bool[m]: pairs that the judge decided.
        yes: bool[m]: what it said; does not matter elsewhere.

    Returns:
        The pairs that were not asked about, and those with a yes, whose reason is ``reranked``.
    """
    reason = np.where(asked & yes, Reason.RERANKED, pairs.reason).astype(np.uint8)
    return replace(pairs, reason=reason).take(~asked | yes)


def with_reasons(groups: DuplicateGroups, units: Units, pairs: Pairs) -> DuplicateGroups:
    """Tell of each removed row whether the judge joined it to the row kept in its place.

    Args:
        groups: Decisions about rows.
        units: What the pairs are between.
        pairs: Of :func:`decided`.
    """
    joined = pairs.reason == Reason.RERANKED
    known = set(zip(pairs.left[joined].tolist(), pairs.right[joined].tolist(), strict=True))
    removed: Rows = np.flatnonzero(~groups.kept)
    mine, theirs = units.index[removed], units.index[groups.duplicate_of[removed]]
    both = zip(np.minimum(mine, theirs).tolist(), np.maximum(mine, theirs).tolist(), strict=True)
    reason = groups.reason.copy()
    reason[removed[[pair in known for pair in both]]] = Reason.RERANKED
    return replace(groups, reason=reason)
