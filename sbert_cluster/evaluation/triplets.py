"""Triplets: how often the positive is nearer than the negative (section 4.4 of the paper)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sbert_cluster.evaluation.sts import row_cosines
from sbert_cluster.types import Vectors


@dataclass(frozen=True)
class TripletScores:
    """Shares of triplets whose positive is nearer."""

    triplets: int
    accuracy: float
    """By cosine."""
    accuracy_euclidean: float
    """By Euclidean distance; for unit vectors the same but for ties."""

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-ready dict."""
        return asdict(self)


def score_triplets(anchor: Vectors, positive: Vectors, negative: Vectors) -> TripletScores:
    """Judge triplets; a tie counts as wrong. Shapes: all (n, d)."""
    by_cosine = row_cosines(anchor, positive) > row_cosines(anchor, negative)
    near, far = (np.linalg.norm(anchor - other, axis=1) for other in (positive, negative))
    return TripletScores(len(anchor), float(by_cosine.mean()), float((near < far).mean()))
