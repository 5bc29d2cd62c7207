"""Vectors made ready for clustering: smoothed over their neighbors, or reduced by UMAP."""

from __future__ import annotations

import warnings

import numpy as np
from scipy import sparse

from sbert_cluster.clustering.graph import NeighborGraph
from sbert_cluster.progress import Progress, silent
from sbert_cluster.types import Vectors

ROUNDS = 6
"""Rounds of smoothing; 4 to 8 give much the same."""


def smooth(
    vectors: Vectors, graph: NeighborGraph, rounds: int = ROUNDS, progress: Progress = silent
) -> Vectors:
    """Move every row halfway towards the mean of its neighbors, several times.

    x ← unit(½ x + ½ A x), with A the rows of the neighbor graph normalised to sum 1. What a row
    has in common with its neighbors stays, what is its own fades: the denoising half of the
    blurring mean shift (Carreira-Perpiñán 2006), on a fixed graph.

    Args:
        vectors: float32[n, d], unit or zero rows.
        graph: Their neighbors.
        rounds: How often.
        progress: Told the rounds done.

    Returns:
        float32[n, d], unit or zero rows. The same on any number of threads.
    """
    weights = graph.adjacency()
    total = np.asarray(weights.sum(axis=1)).ravel()
    scale = np.divide(1, total, out=np.zeros_like(total), where=total > 0)
    weights = sparse.csr_array(sparse.diags_array(scale.astype(np.float32)) @ weights)
    smoothed = vectors
    for done in range(rounds):
        # Rows without neighbors stay what they are, once they have norm 1 again.
        smoothed = unit(smoothed + weights @ smoothed)
        progress("smoothing", done + 1, rounds, "rounds")
    return smoothed


def unit(vectors: Vectors) -> Vectors:
    """The rows with norm 1; zero rows stay."""
    norm = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]
    return np.asarray(np.divide(vectors, norm, out=np.zeros_like(vectors), where=norm > 0))


def principal(vectors: Vectors, dimensions: int) -> Vectors:
    """The coordinates of the rows on their first principal axes.

    Args:
        vectors: float32[n, d].
        dimensions: How many axes; at most d are returned.

    Returns:
        float32[n, dimensions]. The largest coordinate in size of each axis is positive, so that the
        signs do not depend on the linear algebra library.
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    _, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1][:, :dimensions]
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
    return np.asarray(centred @ (axes * np.sign(largest)), np.float32)


def umap_reduce(vectors: Vectors, graph: NeighborGraph, dimensions: int, seed: int) -> Vectors:
    """Reduce by UMAP, on the neighbors that the exact search found.

    Args:
        vectors: float32[n, d], unit rows.
        graph: Their neighbors.
        dimensions: Of the result.
        seed: Of its random steps; UMAP then works on one thread.

    Returns:
        float32[n, dimensions].
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from umap import UMAP

        own = np.arange(len(graph))[:, None]
        rows = np.hstack([own, graph.rows]).astype(np.int32)
        distance = np.hstack([np.zeros((len(graph), 1)), 1 - graph.similarity]).astype(np.float32)
        mapper = UMAP(
            n_neighbors=rows.shape[1],
            n_components=dimensions,
            min_dist=0.0,
            metric="cosine",
            random_state=seed,
            precomputed_knn=(rows, distance, None),
        )
        return np.asarray(mapper.fit_transform(vectors), np.float32)
