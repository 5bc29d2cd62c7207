"""Which axes, and how long a code, make a comparison cheapest."""

from __future__ import annotations

import numpy as np

from sbert_cluster.neighbors.codes import CHUNK, REST_NUMBERS, Coder, lowest_product, principal_axes
from sbert_cluster.neighbors.scan import Scanner
from sbert_cluster.types import Vectors

SAMPLE_ROWS = 4_096
"""Rows from which the axes are computed and the length is chosen."""
WORTH_ROWS = 2_048
"""Below this number of rows everything is quick, and finding axes is not."""

_SAMPLE_LEFT = 512
"""Rows of the sample that are compared with its other rows."""
_SCORE_NS = 1_600.0
"""Nanoseconds in which one thread scores a pair in full (measured)."""
_FLOOR = 0.3
"""Survivors that are assumed where the sample has none."""


def choose_coder(
    left: Vectors, right: Vectors, threshold: float, scanner: Scanner, *, seed: int = 0
) -> Coder:
    """Choose the codes with which a comparison should cost least.

    The cost of a pair is that of its product, which grows with the length of a code, and that of
    scoring it in full if its bound survives, whose chance a sample of pairs tells.

    Args:
        left: float32[n, d], unit or zero rows.
        right: float32[m, d]; may be ``left``.
        threshold: Cosine that the bound is compared with.
        scanner: That will compare.
        seed: Of the sample. The pairs that are found do not depend on it.
    """
    sides = (left,) if right is left else (left, right)
    larger = left if len(left) >= len(right) else right
    n, d = larger.shape
    longest = -(-d // CHUNK)
    if n < WORTH_ROWS:
        return Coder.fitted(None, longest, *sides)
    rows = np.random.default_rng(seed).choice(n, min(n, SAMPLE_ROWS), replace=False)
    sample = larger[np.sort(rows)]
    np.random.default_rng(seed).shuffle(sample)
    lengths = [c for c in (1, 2, 3, 4, 5, 6, 8, 12, 16) if c <= longest]
    axes = principal_axes(sample, min(d, lengths[-1] * CHUNK - REST_NUMBERS), seed=seed)
    best, lowest = None, np.inf
    for chunks in lengths:
        scanning = scanner.look_ns + chunks * scanner.chunk_ns
        if scanning >= lowest:
            break
        coder = Coder.fitted(axes.first(min(d, chunks * CHUNK - REST_NUMBERS)), chunks, sample)
        survive = _share_left(coder, sample, threshold)
        cost = scanning + survive * _SCORE_NS / scanner.workers
        if cost < lowest:
            best, lowest = coder, cost
    assert best is not None
    return Coder.fitted(best.axes, best.chunks, *sides)


def _share_left(coder: Coder, sample: Vectors, threshold: float) -> float:
    """Share of the sample's pairs whose bound reaches the threshold."""
    import torch

    codes = coder.encode(sample)
    lowest = lowest_product(coder.scale, codes, codes, threshold)
    numbers = torch.from_numpy(codes.numbers).float()
    products = numbers[:_SAMPLE_LEFT] @ numbers[_SAMPLE_LEFT:].T
    return max(_FLOOR, int(torch.count_nonzero(products >= lowest))) / products.numel()
