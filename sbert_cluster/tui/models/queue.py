"""Which pair to judge next: those about which the threshold is least certain come first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.types import Reason, Rows


class Queue:
    """Positions of edges, the one nearest to a similarity first.

    Args:
        similarity: float32[k], falling.
        reason: uint8[k]; pairs with the same text are left out, there is nothing to judge.
    """

    def __init__(self, similarity: NDArray[np.float32], reason: NDArray[np.uint8]) -> None:
        self._edges = np.flatnonzero(reason != Reason.EXACT)
        self._similarity = similarity[self._edges]

    def __len__(self) -> int:
        return len(self._edges)

    def nearest(self, centre: float, count: int) -> Rows:
        """int64: that many edges around a similarity, the nearest first.

        Of two that are equally near, the more similar one comes first.
        """
        middle = int(np.searchsorted(-self._similarity, -centre))
        part = slice(max(0, middle - count), middle + count)
        # In float64 the distance is exact, so that the order does not hang on rounding.
        distance = np.abs(self._similarity[part].astype(np.float64) - centre)
        return self._edges[part][np.argsort(distance, kind="stable")[:count]]

    def next(self, centre: float, done: set[int], again: set[int]) -> int | None:
        """The nearest edge that is not done.

        Args:
            centre: The similarity of which nothing is certain.
            done: Edges that were judged.
            again: Edges that were skipped: they come when all others are done.
        """
        count = 64
        while True:
            for edge in self.nearest(centre, count).tolist():
                if edge not in done and edge not in again:
                    return int(edge)
            if count >= 2 * len(self):
                return min(again - done, default=None)
            count *= 8
