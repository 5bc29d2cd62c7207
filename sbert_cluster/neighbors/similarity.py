"""The one definition of similarity that every decision rests on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.types import Rows, Vectors

_CHUNK = 128
"""Pairs scored at a time: 2 × 128 rows of 384 doubles, 0.8 MB, stay next to the core. Memory
that is asked for anew for thousands of pairs takes ten times as long."""


def cosine(left: Vectors, left_rows: Rows, right: Vectors, right_rows: Rows) -> NDArray[np.float32]:
    """Cosine similarity of given pairs of rows, computed in float64 and rounded once.

    A blocked float32 product depends in its last digits on the block's shape, so it only proposes
    pairs; this function decides, and gives the same number whatever the blocks were.

    Args:
        left: float32[n, d].
        left_rows: int64[m], rows of ``left``.
        right: float32[k, d].
        right_rows: int64[m], rows of ``right``.

    Returns:
        float32[m] in [-1, 1]; -1 where one of the two is a zero row, which is similar to nothing.
    """
    scores = np.empty(len(left_rows), np.float32)
    wide = np.empty((2, _CHUNK, left.shape[1]))
    narrow = np.empty(wide.shape[1:], np.float32)
    for start in range(0, len(left_rows), _CHUNK):
        part = slice(start, min(start + _CHUNK, len(left_rows)))
        count = part.stop - start
        a, b = wide[:, :count]
        a[:] = np.take(left, left_rows[part], axis=0, out=narrow[:count], mode="wrap")
        b[:] = np.take(right, right_rows[part], axis=0, out=narrow[:count], mode="wrap")
        norms = np.sqrt(np.einsum("ij,ij->i", a, a) * np.einsum("ij,ij->i", b, b))
        with np.errstate(invalid="ignore", divide="ignore"):
            values = np.einsum("ij,ij->i", a, b) / norms
        scores[part] = np.where(norms > 0, np.clip(values, -1, 1), -1)
    return scores


def rounding_allowance(dimensions: int) -> float:
    """How far a float32 dot product of unit vectors can be from their cosine.

    The error of a dot product of d terms in any order is at most d·u / (1 − d·u) · |x|·|y| (Higham,
    Accuracy and Stability of Numerical Algorithms, section 3.1), with u = 2^-24; the vectors
    themselves have norm 1 within some further units of u.
    """
    return (dimensions + 16) * 2.0**-24 * 1.01
