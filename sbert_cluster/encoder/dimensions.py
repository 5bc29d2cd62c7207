"""Shorter vectors from models that were trained for it.

Kusupati et al. 2022, *Matryoshka Representation Learning*: the first numbers of a vector are a
vector of their own.
"""

from __future__ import annotations

import numpy as np

from sbert_cluster.types import Vectors


def shortened(vectors: Vectors, dimensions: int) -> Vectors:
    """The first dimensions, brought back to norm 1; nothing is done where these are all.

    Args:
        vectors: float32[n, d], unit rows.
        dimensions: At most d.

    Returns:
        float32[n, dimensions], unit rows.
    """
    if dimensions == vectors.shape[1]:
        return vectors
    first = vectors[:, :dimensions]
    norms = np.linalg.norm(first, axis=1, keepdims=True)
    # A row of zeros has no direction, and stays what it is.
    shorter: Vectors = first / np.maximum(norms, np.float32(1e-12))
    return shorter
