"""Rows whose clusters are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from sbert_cluster.clustering.collapse import collapse
from sbert_cluster.clustering.partition import Prepared, prepare


def unit_rows(vectors):
    """float32 rows of norm 1."""
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(norm > 0, norm, 1)).astype(np.float32)


def _planted(clusters=8, size=40, dimensions=32, spread=0.09, seed=0):
    """Unit rows around random directions, shuffled, and the direction of each."""
    random = np.random.default_rng(seed)
    heads = random.normal(size=(clusters, dimensions))
    heads /= np.linalg.norm(heads, axis=1, keepdims=True)
    gold = random.permutation(np.repeat(np.arange(clusters), size))
    vectors = heads[gold] + spread * random.normal(size=(len(gold), dimensions))
    return unit_rows(vectors), gold


@pytest.fixture(scope="session")
def planted() -> Callable:
    """Makes rows with known clusters."""
    return _planted


@pytest.fixture(scope="session")
def ready() -> Callable[..., Prepared]:
    """Folds rows, searches their neighbors and smooths them."""

    def make(vectors: np.ndarray) -> Prepared:
        count = len(vectors)
        return prepare(collapse(vectors, np.arange(count), np.full(count, -1, np.int64)))

    return make
