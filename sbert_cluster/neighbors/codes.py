"""An upper bound of the cosine in a few int8 numbers, so that most pairs cost next to nothing.

**The bound.** Rotate unit vectors onto their principal axes and split each into its first k
coordinates p and the rest. With q the int8 code of p, û = q / s for a scale s, e = |p − û| the
error of the code and r the norm of the rest,

    cos(u, v) = p_u · p_v + rest_u · rest_v
              ≤ û · v̂ + e_u |v̂| + e_v |û| + e_u e_v + r_u r_v        (Cauchy–Schwarz, four times).

Four more int8 numbers, each ⌈r s / 2⌉, make r_u r_v part of the same integer product P, which is
exact. So a pair with cosine ≥ t has

    P ≥ s² (t − e_u |v̂| − e_v |û| − e_u e_v),

and a pair below that with the largest errors and norms of both sides is none. Nothing is missed,
whatever the axes and the scale are: principal axes merely make r small, and a random rotation among
them makes all k coordinates alike, so that one scale suits them.

**Rounding.** p is computed in float32. With axes rounded to float32 and a sum of d products, each
coordinate is off by at most δ = ``rounding_allowance(d)`` (see
:mod:`~sbert_cluster.neighbors.similarity`; its 16 spare units cover the rounding of the axes), so
p as a vector is off by at most √k δ. That is added to e, and 2.1 √k δ + 3 δ to r² = |u|² − |p|².
Products of int8 numbers are sums of integers: exact in int32, and in float32 too up to a thousand
numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.neighbors.similarity import rounding_allowance
from sbert_cluster.types import Vectors

if TYPE_CHECKING:
    import torch

CHUNK = 64
"""Numbers that one instruction takes; codes are as long as some chunks."""
EXACT_IN_FLOAT32 = 1_024
"""Numbers of a code up to which a product stays below 2^24, where float32 is exact too."""

Numbers = NDArray[np.int8]

REST_NUMBERS = 4
"""Numbers of a code that hold the norm of the rest."""
_LARGEST = 127
_BATCH_ROWS = 2_048
_EXACT_AXES = 1_024
"""Dimensions up to which all axes are computed; beyond, subspace iteration finds the first ones."""


@dataclass(frozen=True)
class Axes:
    """Directions onto which vectors are rotated, the most important first."""

    directions: NDArray[np.float32]
    """float32[d, m], orthonormal columns but for rounding."""

    def first(self, count: int, *, seed: int = 0) -> NDArray[np.float64]:
        """float64[d, count]: what as many of them span, mixed so that all columns carry alike."""
        import torch

        mixing = np.random.default_rng(seed).standard_normal((count, count))
        kept = torch.from_numpy(self.directions[:, :count].astype(np.float64))
        columns: NDArray[np.float64] = torch.linalg.qr(kept @ torch.from_numpy(mixing))[0].numpy()
        return columns


def principal_axes(sample: Vectors, count: int, *, seed: int = 0) -> Axes:
    """Find the eigenvectors of the second-moment matrix that belong to the largest eigenvalues.

    Args:
        sample: float32[n, d].
        count: How many; at most d.
        seed: Of the start of the iteration for long vectors.
    """
    import torch

    # All products here are torch's: numpy's threads go on spinning for some milliseconds after one
    # and would hold up those that follow.
    rows, d = torch.from_numpy(sample), sample.shape[1]
    if d <= _EXACT_AXES:
        # In float64: in float32, eigenvectors of few or equal rows do not converge.
        wide = torch.linalg.eigh((rows.T @ rows).double())[1].flip(1)[:, :count]
        return Axes(wide.float().numpy())
    # Rough axes serve as well: they only decide how tight the bound is.
    start = np.random.default_rng(seed).standard_normal((d, count)).astype(np.float32)
    basis = torch.from_numpy(start)
    for _ in range(3):
        basis = rows.T @ (rows @ torch.linalg.qr(basis)[0])
    return Axes(torch.linalg.qr(basis)[0].numpy())


@dataclass(frozen=True)
class Codes:
    """Codes of rows, and what the bound needs to know of all of them."""

    numbers: Numbers
    """int8[n, 64·chunks]."""
    error: float
    """The largest e."""
    norm: float
    """The largest |û|."""


@dataclass(frozen=True)
class Coder:
    """Turns unit vectors into codes whose products bound the cosine from above."""

    axes: NDArray[np.float64] | None
    """float64[d, k], orthonormal columns; None: the coordinates themselves, without a rest."""
    scale: float
    """s, codes per unit."""
    chunks: int
    """Length of a code in chunks."""

    @classmethod
    def fitted(cls, axes: NDArray[np.float64] | None, chunks: int, *sides: Vectors) -> Coder:
        """The coder whose scale just fits all rows of all sides.

        Args:
            axes: float64[d, 64·chunks − 4], or None for whole vectors.
            chunks: Length of a code in chunks.
            *sides: float32[n, d] each.
        """
        largest = 1e-9
        for side in sides:
            for start in range(0, len(side), _BATCH_ROWS):
                turned = _turned(side[start : start + _BATCH_ROWS], axes)
                if len(turned):
                    largest = max(largest, -float(turned.min()), float(turned.max()))
        # ⌈r s / 2⌉ must fit as well, for a rest as long as a whole vector.
        limit = math.inf if axes is None else 2 * (_LARGEST - 1)
        return cls(axes, min(_LARGEST / largest, limit), chunks)

    def encode(self, vectors: Vectors) -> Codes:
        """Make codes.

        Args:
            vectors: float32[n, d], unit or zero rows.
        """
        numbers = np.zeros((len(vectors), self.chunks * CHUNK), np.int8)
        error = norm = 0.0
        for start in range(0, len(vectors), _BATCH_ROWS):
            part = slice(start, start + _BATCH_ROWS)
            e, size = self._encode(vectors[part], numbers[part])
            error, norm = max(error, e), max(norm, size)
        return Codes(numbers, error, norm)

    def _encode(self, vectors: Vectors, numbers: Numbers) -> tuple[float, float]:
        """Write the codes of a batch; the largest error and norm."""
        import torch

        turned = _turned(vectors, self.axes)
        count, d = vectors.shape
        k = turned.shape[1]
        if not count:
            return 0.0, 0.0
        rounded = (turned * self.scale).round_().clamp_(-_LARGEST, _LARGEST)
        out = torch.from_numpy(numbers)
        out[:, :k] = rounded
        # Float32 norms of k numbers are within a few units; a millionth is far more.
        spare = 1 + 1e-6
        off = 0.0 if self.axes is None else math.sqrt(k) * rounding_allowance(d)
        error = float((rounded / self.scale - turned).norm(dim=1).max()) * spare + 1e-6 + off
        norm = float(rounded.norm(dim=1).max()) / self.scale * spare
        if self.axes is not None:
            whole = np.einsum("ij,ij->i", vectors, vectors)
            kept = np.einsum("ij,ij->i", turned.numpy(), turned.numpy())
            rest = np.maximum(whole - kept, 0) + 2.1 * off + 3 * rounding_allowance(d)
            rest = np.ceil(np.sqrt(rest) * (self.scale / 2))
            # A zero row is similar to nothing; without a rest its bound says so.
            rest[whole == 0] = 0
            numbers[:, k : k + REST_NUMBERS] = np.minimum(rest, _LARGEST)[:, None]
        return error, norm


def _turned(vectors: Vectors, axes: NDArray[np.float64] | None) -> torch.Tensor:
    """float32[n, k] tensor of the coordinates along the axes."""
    import torch

    # Torch warns of arrays that cannot be written, as memory maps are.
    writable = vectors.flags.writeable and vectors.flags.c_contiguous
    rows = torch.from_numpy(vectors if writable else vectors.copy())
    return rows if axes is None else rows @ torch.from_numpy(axes.astype(np.float32))


def lowest_product(scale: float, left: Codes, right: Codes, threshold: float) -> int:
    """The least product of codes that a pair with cosine ≥ threshold can have.

    Args:
        scale: That both sides were made with.
        left: Codes of one side.
        right: Codes of the other.
        threshold: Cosine.
    """
    errors = left.error * right.norm + right.error * left.norm + left.error * right.error
    return math.floor(scale * scale * (threshold - errors))
