"""Pairs with scores: how well similarities agree with people (section 4 of the paper)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class StsScores:
    """Correlations × 100 with what people said."""

    pairs: int
    spearman: float
    """Of the cosine: Spearman's rank correlation, the paper's measure."""
    pearson: float
    """Of the cosine."""
    spearman_euclidean: float
    """Of the negative Euclidean distance."""
    spearman_manhattan: float
    """Of the negative Manhattan distance."""

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-ready dict."""
        return asdict(self)


def row_cosines(
    left: NDArray[np.floating[Any]], right: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """Cosine of each row with the same row of the other, in float64; 0 where a row is zero."""
    a, b = left.astype(np.float64), right.astype(np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines: NDArray[np.float64] = np.divide(
        (a * b).sum(axis=1), norms, out=np.zeros(len(a)), where=norms > 0
    )
    return cosines


def score_sts(
    left: NDArray[np.floating[Any]],
    right: NDArray[np.floating[Any]],
    scores: NDArray[np.floating[Any]],
) -> StsScores:
    """Correlate similarities with scores.

    Args:
        left: Vectors of the first sentences. Shape: (n, d).
        right: Vectors of the second sentences, likewise.
        scores: What people said. Shape: (n,).
    """
    from scipy.stats import pearsonr, spearmanr

    cosine = row_cosines(left, right)
    difference = left.astype(np.float64) - right.astype(np.float64)
    euclidean = -np.sqrt((difference**2).sum(axis=1))
    manhattan = -np.abs(difference).sum(axis=1)

    def rank(values: NDArray[np.float64]) -> float:
        return 100 * float(spearmanr(values, scores).statistic)

    pearson = 100 * float(pearsonr(cosine, scores).statistic)
    return StsScores(len(scores), rank(cosine), pearson, rank(euclidean), rank(manhattan))
