"""Rows with vectors, many of them duplicates, and how similar they are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from hypothesis import strategies as st

WORDS = ("Reset my password", "reset my password!", "Refund", None, "", 'a, "b"\nc', "=1+1", "é 語")


@st.composite
def _frames(draw, min_rows=1, max_rows=24):
    """A frame of a text, a vector of few dimensions (null for some rows) and a number."""
    n = draw(st.integers(min_rows, max_rows))
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    d, size = draw(st.integers(1, 4)), draw(st.integers(1, 12))
    pool = random.normal(size=(size, d)) + draw(st.sampled_from([0, 1]))
    vectors = pool[random.integers(0, size, n)] * random.choice([1, 1, 1, 0, 3], (n, 1))
    vectors += random.choice([0, 0, 0.1], (n, 1)) * random.normal(size=(n, d))
    missing = random.random(n) < draw(st.sampled_from([0, 0.2]))
    missing[random.integers(n)] = False
    listed = [None if gone else v.tolist() for gone, v in zip(missing, vectors, strict=True)]
    return pl.DataFrame(
        {
            "text": draw(st.lists(st.sampled_from(WORDS), min_size=n, max_size=n)),
            "vector": pl.Series(listed, dtype=pl.List(pl.Float64)),
            "score": pl.Series(random.integers(0, 4, n), dtype=pl.Int64),
        },
        schema_overrides={"text": pl.String},
    )


def _similarities(frame):
    """float64[n, n]: cosines; -1 for a row with itself, without a vector, or with a zero vector."""
    width = next(len(v) for v in frame["vector"] if v is not None)
    vectors = np.array([np.zeros(width) if v is None else v for v in frame["vector"].to_list()])
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    similar = unit @ unit.T
    zero = norms[:, 0] == 0
    similar[zero, :] = similar[:, zero] = -1
    np.fill_diagonal(similar, -1)
    return similar


@pytest.fixture(scope="session")
def frames() -> Callable:
    """A strategy of frames with the columns text, vector and score."""
    return _frames


@pytest.fixture(scope="session")
def similarities() -> Callable:
    """The cosines of a frame's rows, as one float64 product."""
    return _similarities
