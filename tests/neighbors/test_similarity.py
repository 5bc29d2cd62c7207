"""The one definition of similarity."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_cluster.neighbors.similarity import cosine, rounding_allowance

SETTINGS = settings(max_examples=60)


def test_cosine_equals_an_exact_sum(cases, reference_cosine):
    """Each similarity is the exact cosine rounded to float32, in either order of the two rows."""

    @SETTINGS
    @given(cases(max_rows=12))
    def check(case):
        vectors, _ = case
        i, j = np.triu_indices(len(vectors))
        expected = [reference_cosine(vectors[a], vectors[b]) for a, b in zip(i, j, strict=True)]
        forwards = cosine(vectors, i, vectors, j)
        assert forwards.dtype == np.float32
        assert forwards.tolist() == [float(s) for s in expected]
        assert forwards.tobytes() == cosine(vectors, j, vectors, i).tobytes()

    check()


@SETTINGS
@given(st.integers(0, 2**16), st.floats(1e-6, 1e6))
def test_length_of_a_row_does_not_matter(seed, factor):
    """A row and a multiple of it have similarity 1, and -1 if the multiple is negative."""
    row = np.random.default_rng(seed).normal(size=(1, 7))
    vectors = np.concatenate([row, factor * row, -factor * row]).astype(np.float32)
    found = cosine(vectors, np.zeros(2, np.int64), vectors, np.array([1, 2]))
    np.testing.assert_allclose(found, [1, -1], rtol=2e-7)


def test_zero_row_is_similar_to_nothing():
    """A zero row has similarity -1 to every row, also to itself and to another zero row."""
    vectors = np.array([[0, 0], [1, 0], [0, 0]], np.float32)
    first = np.zeros(3, np.int64)
    assert cosine(vectors, first, vectors, np.arange(3)).tolist() == [-1, -1, -1]


def test_no_pairs_have_no_similarities():
    """Nothing in, nothing out."""
    none = np.empty(0, np.int64)
    assert cosine(np.eye(2, dtype=np.float32), none, np.eye(2, dtype=np.float32), none).shape == (
        0,
    )


@SETTINGS
@given(st.integers(1, 1024), st.integers(0, 2**16))
def test_float32_product_stays_within_the_allowance(dimensions, seed):
    """A float32 product of unit rows is never further from the cosine than the allowance."""
    random = np.random.default_rng(seed)
    # All of one sign: the case in which rounding errors can add up.
    vectors = np.abs(random.normal(size=(30, dimensions)))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    exact = vectors.astype(np.float64)
    norms = np.linalg.norm(exact, axis=1)
    error = np.abs(vectors @ vectors.T - exact @ exact.T / np.outer(norms, norms))
    assert error.max() <= rounding_allowance(dimensions)
