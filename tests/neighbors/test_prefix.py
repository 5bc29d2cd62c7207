"""The prefix bound is an upper bound."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_cluster.neighbors.nearest.prefix import Prefix
from sbert_cluster.neighbors.similarity import rounding_allowance


def unit_rows(random, rows, dimensions, spread):
    """Unit rows whose coordinates fall off, as those of texts do on their principal axes."""
    vectors = random.normal(size=(rows, dimensions)) * spread ** np.arange(dimensions)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@settings(max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 300),
    st.integers(17, 200),
    st.sampled_from([0.5, 0.9, 0.99, 1.0]),
    st.integers(1, 17),
)
def test_bound_is_never_below_the_cosine(seed, rows, dimensions, spread, length):
    """The product of two prefixes plus the allowance is at least the cosine, on any axes."""
    random = np.random.default_rng(seed)
    vectors = unit_rows(random, rows, dimensions, spread)
    # Exact copies, opposites and a zero row are where a bound is tight or odd.
    vectors[1] = vectors[0]
    vectors[-1] = -vectors[0] if rows > 2 else 0
    axes = np.linalg.qr(random.normal(size=(dimensions, length)))[0]
    prefix = Prefix(axes, rounding_allowance(length + 1))
    numbers = prefix.of(vectors)
    assert numbers.shape == (rows, length + 1)
    bounds = (numbers @ numbers.T).astype(np.float64) + prefix.allowance
    exact = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    assert (bounds >= exact).all()
