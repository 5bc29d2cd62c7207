"""The map: rows laid out in two dimensions by t-SNE on the neighbor graph.

The gradient of t-SNE has an attracting part along the edges of the graph, and a repelling part
between all rows; the latter is a convolution, which is done on a grid with fast Fourier transforms
(Linderman et al. 2019, "Fast interpolation-based t-SNE"), here with bilinear weights. There is no
random step, nothing to compile, and a step costs O(n).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft, sparse

from sbert_cluster.clustering.graph import NeighborGraph
from sbert_cluster.clustering.projection import principal
from sbert_cluster.progress import Progress, silent
from sbert_cluster.types import Vectors

_Plane = NDArray[np.float64]

_STEPS = 350
_EARLY = 100
"""Steps in which the attraction is exaggerated, so that clusters find their places."""
_EXAGGERATION = 12.0
_LASTING = 1.5
"""Exaggeration of the remaining steps: clusters stand a little apart, which reads better."""
_LONGEST_STEP = 5.0
"""How far a row may move at a time; clusters are some ten wide."""
_PAIRWISE = 256
"""Up to this number of rows, looking at all pairs takes less time than a grid."""
_LARGEST = 60_000
"""Above this number of rows, there are fewer steps."""


def lay_out(smoothed: Vectors, graph: NeighborGraph, progress: Progress = silent) -> _Plane:
    """Place rows so that neighbors are near each other.

    Args:
        smoothed: float32[n, d], unit or zero rows; their principal axes are the start.
        graph: Their neighbors.
        progress: Told the steps done.

    Returns:
        float64[n, 2], centred, with a root mean square of 1 along the first axis.
    """
    count = len(smoothed)
    if count < 4 or graph.rows.shape[1] == 0:
        return _start(smoothed) if count else np.zeros((0, 2))
    weights = graph.adjacency().astype(np.float64)
    weights = sparse.csr_array(weights / weights.sum()) if weights.nnz else weights
    place = _start(smoothed) * 1e-4
    steps = _STEPS if count <= _LARGEST else _STEPS * 2 // 3
    rate = max(count / _EXAGGERATION, 50.0)
    velocity, gain = np.zeros_like(place), np.ones_like(place)
    for step in range(steps):
        early = step < _EARLY
        exaggeration = _EXAGGERATION if early else _LASTING
        pull = exaggeration * _attraction(place, weights) - _repulsion(place)
        # The delta-bar-delta rule of van der Maaten & Hinton (2008).
        gain = np.where(np.sign(pull) == np.sign(velocity), gain + 0.2, gain * 0.8)
        gain = np.maximum(gain, 0.01)
        velocity = (0.5 if early else 0.8) * velocity + rate * gain * pull
        # Few rows can drive each other ever further away.
        length = np.linalg.norm(velocity, axis=1, keepdims=True)
        velocity *= np.minimum(1, _LONGEST_STEP / np.maximum(length, _LONGEST_STEP))
        place = place + velocity
        place -= place.mean(axis=0)
        progress("mapping", step + 1, steps, "steps")
    return place / max(float(np.sqrt((place[:, 0] ** 2).mean())), 1e-12)


def _start(smoothed: Vectors) -> _Plane:
    axes = principal(smoothed, 2).astype(np.float64)
    place = np.zeros((len(smoothed), 2))
    place[:, : axes.shape[1]] = axes
    return place / max(float(place[:, 0].std()), 1e-12)


def _attraction(place: _Plane, weights: sparse.csr_array) -> _Plane:
    """Σ_j p_ij q_ij Z (y_j − y_i)."""
    edges = sparse.coo_array(weights)
    source, target = edges.coords
    way = place[target] - place[source]
    force = (edges.data / (1 + (way**2).sum(axis=1)))[:, None] * way
    return np.stack([np.bincount(source, force[:, axis], len(place)) for axis in (0, 1)], axis=1)


def _repulsion(place: _Plane) -> _Plane:
    """Σ_j q_ij² Z (y_j − y_i), with q normalised over all pairs."""
    if len(place) <= _PAIRWISE:
        way = place - place[:, None]
        near = 1 / (1 + (way**2).sum(axis=2))
        total = float(near.sum()) - len(place)
        return np.asarray(np.einsum("ij,ijk->ik", near**2, way) / max(total, 1e-12))
    low, high = place.min(axis=0), place.max(axis=0)
    span = max(float((high - low).max()), 1e-9)
    cells = int(np.clip(np.ceil(span * 2), 64, 400))
    size = span / (cells - 1) * (1 + 1e-9)
    corner, share = _weights_of_cells(place, low, size, cells)
    charges = np.stack([np.ones(len(place)), place[:, 0], place[:, 1]])
    grids = np.stack([_spread(corner, share, charge, cells) for charge in charges])
    kernel = _kernel(size, cells)
    width = kernel.shape[-1]
    images = fft.rfft2(grids, s=(width, width))
    # The Cauchy kernel for the normalisation; its square for the forces.
    first = fft.irfft2(images[0] * fft.rfft2(kernel), s=(width, width))[:cells, :cells]
    squared = fft.irfft2(images * fft.rfft2(kernel**2), s=(width, width))[:, :cells, :cells]
    total = float(_gather(corner, share, first).sum()) - len(place)
    mass, x, y = (_gather(corner, share, grid) for grid in squared)
    force = np.stack([x - place[:, 0] * mass, y - place[:, 1] * mass], axis=1)
    return np.asarray(force / max(total, 1e-12))


def _weights_of_cells(
    place: _Plane, low: _Plane, size: float, cells: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """int64[4, n] and float64[4, n]: the corners around every row, and its share in each."""
    at = (place - low) / size
    base = np.minimum(np.floor(at).astype(np.int64), cells - 2)
    part = at - base
    corners = base[:, 0] * cells + base[:, 1]
    x, y = part[:, 0], part[:, 1]
    share = np.stack([(1 - x) * (1 - y), (1 - x) * y, x * (1 - y), x * y])
    return corners + np.array([0, 1, cells, cells + 1])[:, None], share


def _spread(
    corner: NDArray[np.int64], share: NDArray[np.float64], charge: NDArray[np.float64], cells: int
) -> _Plane:
    flat = np.bincount(corner.ravel(), (share * charge).ravel(), cells * cells)
    return np.asarray(flat.reshape(cells, cells), np.float64)


def _gather(
    corner: NDArray[np.int64], share: NDArray[np.float64], grid: _Plane
) -> NDArray[np.float64]:
    return np.asarray((grid.ravel()[corner] * share).sum(axis=0))


def _kernel(size: float, cells: int) -> _Plane:
    """1 / (1 + d²) for all distances on the grid, wrapped around for a circular convolution."""
    width = fft.next_fast_len(2 * cells, real=True)
    cell = np.arange(width)
    steps = np.minimum(cell, width - cell) * size
    return np.asarray(1 / (1 + steps[:, None] ** 2 + steps**2))
