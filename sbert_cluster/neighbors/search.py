"""The k most similar rows, exactly.

Blocked float32 products propose rows; :func:`~sbert_cluster.neighbors.similarity.cosine` decides
and orders them. A proposal list is longer than k by a margin, and a row whose margin could hide a
tie is looked at in full: so the answer does not depend on the size of the blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.neighbors.similarity import cosine, rounding_allowance
from sbert_cluster.progress import Progress, silent
from sbert_cluster.types import Rows, Vectors

_QUERY_ROWS = 512
_BLOCK_ROWS = 8_192
"""Rows on either side of a block of products, 16 MB."""
_SPARE = 16
"""Rows that are proposed beyond the k asked for."""


@dataclass(frozen=True)
class Neighbors:
    """The most similar rows of each query, the most similar first, ties by row."""

    rows: Rows
    """int64[queries, k]."""
    similarity: NDArray[np.float32]
    """float32[queries, k]; -1 where a zero row is involved."""


def find_nearest(
    queries: Vectors,
    vectors: Vectors,
    k: int,
    *,
    same: bool = False,
    progress: Progress = silent,
) -> Neighbors:
    """Find the k most similar rows of each query.

    Args:
        queries: float32[q, d], unit or zero rows.
        vectors: float32[n, d], likewise.
        k: How many; at most n (n - 1 where ``same``), fewer are returned otherwise.
        same: ``queries`` is ``vectors``, and no row is its own neighbor.
        progress: Told the queries answered.

    Raises:
        ValueError: If the vectors have different lengths.
    """
    if queries.shape[1] != vectors.shape[1]:
        raise ValueError(f"vectors of {queries.shape[1]} and of {vectors.shape[1]} dimensions")
    k = min(k, max(len(vectors) - same, 0))
    rows = np.empty((len(queries), k), np.int64)
    similarity = np.empty((len(queries), k), np.float32)
    for start in range(0, len(queries) if k else 0, _QUERY_ROWS):
        part = slice(start, min(start + _QUERY_ROWS, len(queries)))
        rows[part], similarity[part] = _answer(queries, part, vectors, k, same=same)
        progress("searching", part.stop, len(queries), "rows")
    return Neighbors(rows, similarity)


def _answer(
    queries: Vectors, part: slice, vectors: Vectors, k: int, *, same: bool
) -> tuple[Rows, NDArray[np.float32]]:
    """The neighbors of a block of queries."""
    import torch

    one = torch.from_numpy(queries[part])
    own = torch.arange(part.start, part.stop)
    wanted = min(k + _SPARE, len(vectors) - same)
    best = torch.empty(len(one), 0)
    where = torch.empty(len(one), 0, dtype=torch.int64)
    for start in range(0, len(vectors), _BLOCK_ROWS):
        block = torch.from_numpy(vectors[start : start + _BLOCK_ROWS])
        products = one @ block.T
        inside = (own >= start) & (own < start + len(block)) if same else None
        if inside is not None and inside.any():
            products[inside, own[inside] - start] = -torch.inf
        value, column = products.topk(min(wanted, len(block)), dim=1)
        best, where = torch.cat([best, value], 1), torch.cat([where, column + start], 1)
        if best.shape[1] > wanted:
            best, order = best.topk(wanted, dim=1)
            where = where.gather(1, order)
    proposed = where.numpy()
    lowest, kth = best[:, -1].numpy(), best[:, k - 1].numpy()
    rows, scores = _ordered(queries, part.start, vectors, proposed, k)
    if wanted < len(vectors) - same:
        # What was left out is at most `lowest`; it must not reach the k-th even after rounding.
        allowance = 2 * rounding_allowance(vectors.shape[1])
        for i in np.flatnonzero(lowest >= kth - allowance):
            products = vectors @ queries[part.start + i]
            if same:
                products[part.start + i] = -np.inf
            near = np.flatnonzero(products >= kth[i] - 2 * allowance)[None]
            rows[i], scores[i] = (x[0] for x in _ordered(queries, part.start + i, vectors, near, k))
    return rows, scores


def _ordered(
    queries: Vectors, first: int, vectors: Vectors, proposed: Rows, k: int
) -> tuple[Rows, NDArray[np.float32]]:
    """The k best of the rows proposed for the queries from ``first`` on."""
    count, width = proposed.shape
    asked = np.repeat(np.arange(first, first + count), width)
    scores = cosine(queries, asked, vectors, proposed.ravel()).reshape(proposed.shape)
    order = np.lexsort((proposed, -scores), axis=1)[:, :k]
    return np.take_along_axis(proposed, order, 1), np.take_along_axis(scores, order, 1)
