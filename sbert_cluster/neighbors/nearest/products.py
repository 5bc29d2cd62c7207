"""Products of codes in whichever number format this processor multiplies fastest.

Where it has byte instructions that we bring a loop for (:mod:`~sbert_cluster.neighbors.native`),
codes lie in the order in which these take them: they are *packed*. Elsewhere the codes of a block
stand coordinate by coordinate, and torch or numba multiply them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.neighbors import native

FOURS = 16
"""Packed codes have a length that is a multiple of this."""

Product = Callable[[NDArray[np.int8], NDArray[np.int8]], NDArray[np.generic]]


def can_pack() -> bool:
    """Whether this processor multiplies packed codes."""
    return "vnni" in native.available()


def pack(codes: NDArray[np.int8], into: NDArray[np.uint8]) -> None:
    """Lay out codes of rows as :func:`~sbert_cluster.neighbors.native.dots` takes them.

    Args:
        codes: int8[n, k], n a multiple of 16.
        into: uint8[n/16, l/4, 16, 4], l ≥ k a multiple of 16; written.
    """
    wide = np.zeros((len(codes), into.shape[1] * 4), np.int8)
    wide[:, : codes.shape[1]] = codes
    shifted = (wide.view(np.uint8) ^ 128).reshape(len(into), 16, into.shape[1], 4)
    into[...] = shifted.transpose(0, 2, 1, 3)


def integer_product(left: NDArray[np.int8], right: NDArray[np.int8]) -> NDArray[np.generic]:
    """The matrix product of codes, exact.

    Args:
        left: int8[q, k], k ≤ 1,024.
        right: int8[k, m].

    Returns:
        int32[q, m], or float32 of the same whole numbers, which are below 2^24.
    """
    return _fastest()(left, right)


def _by_bytes(left: NDArray[np.int8], right: NDArray[np.int8]) -> NDArray[np.generic]:
    import torch

    made: NDArray[np.int32] = torch._int_mm(torch.from_numpy(left), torch.from_numpy(right)).numpy()
    return made


def _by_floats(left: NDArray[np.int8], right: NDArray[np.int8]) -> NDArray[np.generic]:
    import torch

    made: NDArray[np.float32] = (
        torch.from_numpy(left).float() @ torch.from_numpy(right).float()
    ).numpy()
    return made


@cache
def _fastest() -> Product:
    """Products of bytes where the processor has them and torch gets them right, else of floats."""
    random = np.random.default_rng(0)
    left = random.integers(-127, 128, (256, 128), np.int8)
    right = random.integers(-127, 128, (128, 2_048), np.int8)
    expected = _by_floats(left, right)
    try:
        if not np.array_equal(_by_bytes(left, right), expected):
            return _by_floats
    except (AttributeError, RuntimeError):  # this torch or this processor has none
        return _by_floats
    return min((_by_bytes, _by_floats), key=lambda way: _seconds(way, left, right))


def _seconds(way: Product, left: NDArray[np.int8], right: NDArray[np.int8]) -> float:
    taken = []
    for _ in range(3):
        begun = time.perf_counter()
        way(left, right)
        taken.append(time.perf_counter() - begun)
    return min(taken)
