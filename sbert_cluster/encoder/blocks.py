"""Texts that lie end to end in one matrix of tokens, those of one length together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, groupby

import numpy as np
from numpy.typing import NDArray

ROUND_ROWS = 128
"""Rows of a batch are filled up to a multiple of this: oneDNN compiles and keeps a kernel for every
number of rows that it meets, which costs time and some 150 MB where each batch has its own."""


def end_to_end(texts: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """The numbers of all texts, filled up with zeros to a multiple of ``ROUND_ROWS``."""
    count = sum(map(len, texts))
    flat = np.zeros(-(-count // ROUND_ROWS) * ROUND_ROWS, np.int64)
    flat[:count] = np.fromiter(chain.from_iterable(texts), np.int64, count)
    return flat


def blocks_of_like_length(texts: Sequence[Sequence[int]]) -> list[tuple[slice, int]]:
    """Rows of the matrix that hold neighbouring texts of one length, and that length."""
    blocks, start = [], 0
    for length, alike in groupby(map(len, texts)):
        stop = start + length * sum(1 for _ in alike)
        blocks.append((slice(start, stop), length))
        start = stop
    return blocks
