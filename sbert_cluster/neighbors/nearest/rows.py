"""An upper bound of the cosine in one byte a coordinate: a quarter of the memory to read.

A single query is bound by memory: what is read of each row decides how long it takes. So a row's
prefix p and the norm r of its rest (:mod:`~sbert_cluster.neighbors.nearest.prefix`) are held as
bytes. With
s = max|p_i| / 127 the codes are c = round(p / s), and p' = s·c stands for p. The length of what is
lost, e = |p − p'|, is computed for each row, not estimated. Then u = (p', 0) + (p − p', r), and by
Cauchy–Schwarz

    cos(u, v) ≤ s_u s_v (c_u · c_v) + |p'_u| e_v + e_u |p'_v| + ρ_u ρ_v   with   ρ² = e² + r².

A coordinate is off by at most s/2 and s ≤ 1/127, so |p'| ≤ |p| + e ≤ m = 1 + √k / 254, and a row
needs three numbers besides its codes: s, the *slack* m·e, and ρ. A query that is not coded has
e = 0 and ρ = r, and the same bound holds; it is coded where the processor multiplies bytes.

**Rounding.** p and r come rounded from ``Prefix.of``, which costs the bound at most 2u + u² with
u = 2^-24. Slack and ρ are computed in float64 and rounded upwards, which includes that of s, since
e is measured against the rounded s. The dot product of two codes is an integer below 2^24, so it is
exact in int32 and in float32 alike, and the four float32 operations behind it err by at most 5u of
values below 2; one float32 query against codes errs like any product of that length. The 16 spare
units of ``rounding_allowance`` cover all of these.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.neighbors.native import aligned
from sbert_cluster.neighbors.nearest.prefix import Prefix
from sbert_cluster.neighbors.nearest.products import FOURS, can_pack, pack
from sbert_cluster.neighbors.similarity import rounding_allowance
from sbert_cluster.types import Vectors

BLOCK_ROWS = 2_048
"""Rows of a block. Inside a block the codes stand coordinate by coordinate, so that one instruction
takes many rows; its sums, 8 kB, stay next to the core."""
LENGTHS = (32, 48, 64, 96, 128, 160, 192, 256, 384, 512, 768, 1_024)
"""Lengths of the prefix that are tried. Longer ones would leave 2^24 behind."""
_SAMPLE_ROWS = 8_192
_SAMPLE_QUERIES = 256
_NOWHERE = -1e30
"""Slack of the rows that fill up the last block: their bound is below everything."""

# Measured: what scoring one row in full costs, in coordinates read and multiplied; many queries at
# once share the reading and multiply faster, but start with nothing to compare bounds with.
_COST_SCORE_SINGLE, _COST_SCORE_MANY = 8_000.0, 100_000.0


@dataclass(frozen=True)
class Codes:
    """Rows in bytes."""

    prefix: Prefix
    """Axes, and how many are kept."""
    codes: NDArray[Any]
    """int8[blocks, length, BLOCK_ROWS]; packed: uint8[blocks, BLOCK_ROWS/16, padded/4, 16, 4]."""
    scale: NDArray[np.float32]
    """float32[blocks, BLOCK_ROWS]: what one step of a row's codes is worth."""
    slack: NDArray[np.float32]
    """float32[blocks, BLOCK_ROWS]."""
    rest: NDArray[np.float32]
    """float32[blocks, BLOCK_ROWS]: ρ."""

    @property
    def length(self) -> int:
        """Coordinates that are kept."""
        return int(self.prefix.axes.shape[1])

    @property
    def packed(self) -> bool:
        """Whether the codes are in the order of the processor's instructions."""
        return self.codes.ndim == 5

    @property
    def allowance(self) -> float:
        """How far below the cosine a bound can be for rounding."""
        return rounding_allowance(self.length + 4)


@dataclass(frozen=True)
class Asked:
    """Queries in bytes."""

    numbers: NDArray[np.int8]
    """int8[q, length], C-contiguous; filled up with zeros to a multiple of 16."""
    bounds: NDArray[np.float32]
    """float32[3, q]: scale, slack and ρ."""


def code_queries(queries: Vectors, prefix: Prefix) -> Asked:
    """Turn queries into bytes.

    Args:
        queries: float32[q, d], unit or zero rows.
        prefix: The axes, and how many are kept.
    """
    length = prefix.axes.shape[1]
    codes, *bounds = _bounded(prefix.of(queries))
    numbers = np.zeros((len(queries), -(-length // FOURS) * FOURS), np.int8)
    numbers[:, :length] = codes
    return Asked(numbers, np.stack(bounds))


def code_rows(vectors: Vectors, prefix: Prefix, *, packed: bool | None = None) -> Codes:
    """Turn rows into bytes.

    Args:
        vectors: float32[n, d], unit or zero rows.
        prefix: The axes, and how many are kept.
        packed: In the order of the processor's instructions; None: where it has them.
    """
    n, length = len(vectors), prefix.axes.shape[1]
    blocks = -(-n // BLOCK_ROWS)
    packed = can_pack() if packed is None else packed
    fours = -(-length // FOURS) * FOURS // 4
    shape = (BLOCK_ROWS // 16, fours, 16, 4) if packed else (length, BLOCK_ROWS)
    codes = aligned(blocks * math.prod(shape), np.int8).reshape(blocks, *shape)
    codes = codes.view(np.uint8) if packed else codes
    scale, slack, rest = np.zeros((3, blocks, BLOCK_ROWS), np.float32)
    slack[:] = _NOWHERE
    for block in range(blocks):
        numbers = prefix.of(vectors[block * BLOCK_ROWS : (block + 1) * BLOCK_ROWS])
        rows = len(numbers)
        own = np.zeros((BLOCK_ROWS, length), np.int8)
        own[:rows], scale[block, :rows], slack[block, :rows], rest[block, :rows] = _bounded(numbers)
        if packed:
            pack(own, codes[block])
        else:
            codes[block] = own.T
    return Codes(prefix, codes, scale, slack, rest)


def choose_codes(vectors: Vectors, k: int, *, many: bool = False, seed: int = 0) -> Codes:
    """Choose the axes and the length that should cost least for the k nearest rows, and code.

    The cost of a row is that of its coordinates, and that of scoring it in full if its bound
    reaches the k-th best similarity; how often it does, queries from a sample tell.

    Args:
        vectors: float32[n, d], unit rows; n ≥ 1.
        k: How many nearest rows are wanted, roughly.
        many: Whether many queries will come at once, rather than one after the other.
        seed: Of the sample. No answer depends on it.
    """
    n, d = vectors.shape
    rows = np.random.default_rng(seed).choice(n, min(n, _SAMPLE_ROWS), replace=False)
    sample = np.asarray(vectors[rows])
    axes = np.linalg.eigh(sample.T.astype(np.float64) @ sample)[1][:, ::-1]
    lengths = [length for length in LENGTHS if length < d]
    if d <= LENGTHS[-1]:
        lengths.append(d)
    queries, others = sample[:_SAMPLE_QUERIES], sample[_SAMPLE_QUERIES:]
    if len(others) < 2 * _SAMPLE_QUERIES:
        return code_rows(vectors, _prefix(axes, lengths[-1]))
    # The k-th best of n rows is about the (k · m / n)-th best of m.
    rank = min(max(1, round(k * len(others) / n)), len(others))
    products = queries @ others.T
    kth = np.partition(products, -rank, axis=1)[:, -rank, None]
    score = _COST_SCORE_MANY if many else _COST_SCORE_SINGLE
    costs = {k: k + score * _survive(queries, others, _prefix(axes, k), kth) for k in lengths}
    return code_rows(vectors, _prefix(axes, min(costs, key=costs.__getitem__)))


def _prefix(axes: NDArray[np.float64], length: int) -> Prefix:
    return Prefix(np.ascontiguousarray(axes[:, :length]), rounding_allowance(length + 1))


def _survive(queries: Vectors, others: Vectors, prefix: Prefix, kth: NDArray[np.float32]) -> float:
    """The share of pairs whose bound reaches the k-th best similarity."""
    bounds = prefix.of(queries) @ prefix.of(others).T
    return float(np.count_nonzero(bounds >= kth) / bounds.size)


def _bounded(
    numbers: Vectors,
) -> tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Codes, scale, slack and ρ of rows that ``Prefix.of`` made."""
    longest = (1 + (numbers.shape[1] - 1) ** 0.5 / 254) * (1 + 1e-6)
    codes, scale, lost = _coded(numbers[:, :-1])
    rest = np.hypot(lost, numbers[:, -1].astype(np.float64)) * (1 + 1e-12)
    return codes, scale, _up(longest * lost), _up(rest)


def _coded(
    numbers: Vectors,
) -> tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.float64]]:
    """Codes, their scale, and how much of each row they lose."""
    size = (np.abs(numbers).max(axis=1, initial=0) / np.float32(127)).astype(np.float32)
    # A scale of 0 loses the whole row, and says so.
    wide, step = numbers.astype(np.float64), size.astype(np.float64)[:, None]
    codes = np.divide(wide, step, out=np.zeros_like(wide), where=step > 0)
    codes = np.clip(np.rint(codes), -127, 127)
    lost = np.linalg.norm(wide - codes * step, axis=1)
    return codes.astype(np.int8), size, lost * (1 + 1e-12)


def _up(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Rounded to float32, never downwards."""
    near = values.astype(np.float32)
    return np.where(near < values, np.nextafter(near, np.float32(np.inf)), near)
