"""The inner loops of the search: bound, compare, score and remember in one pass.

Compiled by numba, which takes a second to load: import this module only where it is needed. The
compiled code is kept on disk. No loop holds Python's lock, so threads share the work. What they
remember are proposals in float32; :mod:`~sbert_cluster.neighbors.search` decides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

EMPTY = -4.0
"""Score of a place in a list that holds no row yet: below every cosine and its rounding."""
CHUNK = 64
"""Bounds of which first only the largest is looked at; divides the size of a block."""

# Sums may be taken in any order, which the allowance for rounding covers; nothing is NaN.
_FAST = {"reassoc", "contract", "nsz", "arcp", "nnan"}


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    try:
        made: Callable[..., Any] = njit(function, cache=True, nogil=True, fastmath=_FAST)
    except RuntimeError:  # there is no folder to keep it in
        made = njit(function, nogil=True, fastmath=_FAST)
    return made


@_compiled
def _remember(scores: Any, rows: Any, score: Any, row: Any) -> None:
    """Replace the lowest score of a list, a heap whose lowest stands first."""
    size, place = len(scores), 0
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and scores[child + 1] < scores[child]:
            child += 1
        if scores[child] >= score:
            break
        scores[place], rows[place] = scores[child], rows[child]
        place = child
    scores[place], rows[place] = score, row


@_compiled
def _look(
    bounds: Any, start: Any, count: Any, skip: Any, allowance: Any,
    vectors: Any, query: Any, scores: Any, rows: Any,
) -> None:  # fmt: skip
    """Score the rows from ``start`` on whose bound reaches the lowest score remembered."""
    for first in range(0, len(bounds), CHUNK):
        highest = bounds[first]
        for i in range(first + 1, first + CHUNK):
            highest = max(highest, bounds[i])
        if highest + allowance <= scores[0]:
            continue
        for i in range(first, min(first + CHUNK, count)):
            row = start + i
            if bounds[i] + allowance <= scores[0] or row == skip:
                continue
            score = np.float32(0)
            for j in range(query.shape[0]):
                score += vectors[row, j] * query[j]
            if score > scores[0]:
                _remember(scores, rows, score, row)


@_compiled
def bound_blocks(
    codes: Any, scale: Any, slack: Any, rest: Any, numbers: Any, first: Any, last: Any,
    bounds: Any, highest: Any,
) -> None:  # fmt: skip
    """Bound the similarity of one query to the rows of the blocks from ``first`` to ``last``.

    Args:
        codes: int8[blocks, length, size].
        scale: float32[blocks, size].
        slack: float32[blocks, size].
        rest: float32[blocks, size].
        numbers: float32[length + 1]: prefix of the query and norm of its rest.
        first: First block that is looked at.
        last: One behind the last.
        bounds: float32[blocks, size]; written.
        highest: float32[blocks, size / CHUNK]: the highest bound of each chunk; written.
    """
    _, length, size = codes.shape
    for block in range(first, last):
        sums = bounds[block]
        sums[:] = 0
        # Four coordinates at a time, so that the sums are read and written less often.
        for j in range(0, length - 3, 4):
            a, b, c, d = numbers[j], numbers[j + 1], numbers[j + 2], numbers[j + 3]
            one, two = codes[block, j], codes[block, j + 1]
            three, four = codes[block, j + 2], codes[block, j + 3]
            for i in range(size):
                sums[i] += a * one[i] + b * two[i] + c * three[i] + d * four[i]
        for j in range(length - length % 4, length):
            for i in range(size):
                sums[i] += numbers[j] * codes[block, j, i]
        for i in range(size):
            bound = sums[i] * scale[block, i] + slack[block, i]
            sums[i] = bound + numbers[length] * rest[block, i]
        for chunk in range(size // CHUNK):
            top = sums[chunk * CHUNK]
            for i in range(chunk * CHUNK + 1, (chunk + 1) * CHUNK):
                top = max(top, sums[i])
            highest[block, chunk] = top


@_compiled
def bound_products(
    products: Any, scale: Any, slack: Any, rest: Any, own: Any, bounds: Any, highest: Any
) -> None:
    """Turn products of codes into bounds.

    Args:
        products: int32[n]: dot products of one query's codes with those of rows.
        scale: float32[n], of the rows.
        slack: float32[n], likewise.
        rest: float32[n], likewise.
        own: float32[3]: scale, slack and rest of the query.
        bounds: float32[n]; written.
        highest: float32[n / CHUNK]: the highest bound of each chunk; written.
    """
    for chunk in range(len(highest)):
        top = np.float32(-np.inf)
        for i in range(chunk * CHUNK, (chunk + 1) * CHUNK):
            product = np.float32(products[i]) * (own[0] * scale[i])
            bounds[i] = product + (own[1] + slack[i]) + own[2] * rest[i]
            top = max(top, bounds[i])
        highest[chunk] = top


@_compiled
def look_at_chunks(
    chunks: Any, highest: Any, bounds: Any, skip: Any, allowance: Any,
    vectors: Any, query: Any, scores: Any, rows: Any,
) -> None:  # fmt: skip
    """Score the rows whose bound reaches the lowest score remembered, chunk by chunk.

    Args:
        chunks: int64[c], the most promising ones first: they raise the bar for all others.
        highest: float32[c], highest bound of each chunk, by its number.
        bounds: float32[c * CHUNK].
        skip: Row that is left out; -1: none.
        allowance: For rounding, float32.
        vectors: float32[n, d], the rows themselves.
        query: float32[d].
        scores: float32[m], the best scores so far as a heap; changed.
        rows: int64[m], whose they are; changed.
    """
    for chunk in chunks:
        if highest[chunk] + allowance > scores[0]:
            start = chunk * CHUNK
            count = min(CHUNK, len(vectors) - start)
            own = bounds[start : start + CHUNK]
            _look(own, start, count, skip, allowance, vectors, query, scores, rows)


@_compiled
def scan_tile(
    products: Any, one: Any, other: Any, own: Any, begin: Any, end: Any, start: Any,
    allowance: Any, vectors: Any, queries: Any, scores: Any, rows: Any,
) -> None:  # fmt: skip
    """Look for the rows nearest to several queries among the rows of one block.

    Args:
        products: int32 or float32[q, size]: dot products of codes.
        one: float32[3, q]: scale, slack and rest of the queries.
        other: float32[3, size], likewise of the rows.
        own: int64[q]: row that is left out for each query; -1: none.
        begin: First query that is looked at.
        end: One behind the last.
        start: Row of the first column.
        allowance: For rounding, float32.
        vectors: float32[n, d], the rows themselves.
        queries: float32[q, d].
        scores: float32[q, m], the best scores so far, each list a heap; changed.
        rows: int64[q, m], whose they are; changed.
    """
    size = products.shape[1]
    count = min(size, len(vectors) - start)
    bounds = np.empty(size, np.float32)
    scales, slacks, rests = other[0], other[1], other[2]
    for query in range(begin, end):
        scale, slack, rest = one[0, query], one[1, query], one[2, query]
        row = products[query]
        for i in range(size):
            product = np.float32(row[i]) * (scale * scales[i])
            bounds[i] = product + (slack + slacks[i]) + rest * rests[i]
        _look(
            bounds, start, count, own[query], allowance,
            vectors, queries[query], scores[query], rows[query],
        )  # fmt: skip
