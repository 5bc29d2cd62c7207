"""Smart batching: texts of like length go together, so that little is padded.

Reimers & Gurevych 2019, section 7: "sentences with similar lengths are grouped together and are
only padded to the longest element in a mini-batch".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

WINDOW_TEXTS = 16_384
"""Texts tokenised at a time: enough to fill batches with like lengths, bounded in memory."""
WINDOW_CHARACTERS = 4_000_000
"""Characters tokenised at a time, so that long texts do not fill the memory either."""
_FIRST = 8
"""The first window is so many times smaller, since the first batch waits for it."""


def windows(
    texts: Sequence[str],
    *,
    count: int = WINDOW_TEXTS,
    characters: int = WINDOW_CHARACTERS,
    longest: int | None = None,
) -> Iterator[slice]:
    """Cut texts into stretches that are tokenised at a time; a giant text stands alone.

    Args:
        texts: Texts in any order.
        count: Most texts of a window.
        characters: Most characters of a window of several texts.
        longest: Characters of a text that count, where what lies beyond is not read; None: all.
    """
    start = size = 0
    share = _FIRST
    for position, text in enumerate(texts):
        length = len(text) if longest is None else min(len(text), longest)
        full = (position - start) * share >= count or (size + length) * share > characters
        if full and position > start:
            yield slice(start, position)
            start, size, share = position, 0, 1
        size += length
    if start < len(texts):
        yield slice(start, len(texts))


def batches(lengths: NDArray[np.int64], batch_tokens: int) -> Iterator[NDArray[np.int64]]:
    """Group texts by length under a token budget.

    Args:
        lengths: int64[n], tokens of each text.
        batch_tokens: Most tokens of a batch once it is padded to its longest text. A text longer
            than that makes a batch of its own.

    Yields:
        int64[b], positions in ``lengths``, longest first; every position exactly once.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        # The first is the longest of its batch, so it alone sets the padded width.
        size = max(1, batch_tokens // max(1, int(lengths[order[start]])))
        yield order[start : start + size]
        start += size
