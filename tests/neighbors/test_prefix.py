"""The bound is an upper bound, and it rules out nearly everything on real texts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_cluster.neighbors.nearest import prefix


def unit_rows(random, rows, dimensions, spread):
    """Unit rows whose coordinates fall off, as those of texts do on their principal axes."""
    vectors = random.normal(size=(rows, dimensions)) * spread ** np.arange(dimensions)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 300),
    st.integers(17, 200),
    st.sampled_from([0.5, 0.9, 0.99, 1.0]),
    st.sampled_from(prefix.LENGTHS),
)
def test_bound_is_never_below_the_cosine(seed, rows, dimensions, spread, length):
    """The product of two prefixes plus the allowance is at least the cosine, for any vectors."""
    random = np.random.default_rng(seed)
    vectors = unit_rows(random, rows, dimensions, spread)
    # Exact copies, opposites and a zero row are where a bound is tight or odd.
    vectors[1] = vectors[0]
    vectors[-1] = -vectors[0] if rows > 2 else 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefix, "WORTH_ROWS", 2)
        patch.setattr(prefix, "LENGTHS", (length,))
        patch.setattr(prefix, "_COST_SCORE", 0.0)
        patch.setattr(prefix, "_SAMPLE_LEFT", 1)
        chosen = prefix.choose_prefix(vectors, 0.9)
    assert (chosen.axes is None) == (length + 1 >= dimensions)
    numbers = chosen.of(vectors)
    bounds = (numbers @ numbers.T).astype(np.float64) + chosen.allowance
    exact = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    assert (bounds >= exact).all()


def test_prefix_is_chosen_where_it_pays():
    """On vectors with a falling spectrum a short prefix is chosen."""
    vectors = unit_rows(np.random.default_rng(0), 4_000, 96, 0.9)
    chosen = prefix.choose_prefix(vectors, 0.95)
    assert chosen.axes is not None
    assert chosen.axes.shape[1] < 96


def test_prefix_is_left_out_where_it_does_not_pay():
    """On isotropic vectors, or few, everything is compared whole."""
    isotropic = unit_rows(np.random.default_rng(0), 4_000, 32, 1.0)
    assert prefix.choose_prefix(isotropic, 0.1).axes is None
    assert prefix.choose_prefix(isotropic[:100], 0.9).axes is None
