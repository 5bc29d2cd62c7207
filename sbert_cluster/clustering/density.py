"""HDBSCAN over smoothed or UMAP-reduced vectors."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.types import Rows, Vectors


def hdbscan(
    reduced: Vectors, min_cluster_size: int, min_samples: int = 5
) -> tuple[Rows, NDArray[np.float32]]:
    """Clusters of density (Campello, Moulavi & Sander 2013), chosen by excess of mass.

    Args:
        reduced: float32[n, d], d some 5 to 20.
        min_cluster_size: Fewer rows are no cluster; at least 2.
        min_samples: Neighbors that make a row dense.

    Returns:
        int64[n], -1 for noise, and float32[n], the membership strength in [0, 1].
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from hdbscan import HDBSCAN

        model = HDBSCAN(
            min_cluster_size=max(min_cluster_size, 2),
            min_samples=min(min_samples, max(len(reduced) - 1, 1)),
            core_dist_n_jobs=1,
        ).fit(reduced.astype(np.float64))
    return model.labels_.astype(np.int64), model.probabilities_.astype(np.float32)
