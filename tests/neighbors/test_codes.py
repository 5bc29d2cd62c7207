"""Products of codes bound the cosine from above for any vectors, and rule out nearly all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_cluster.neighbors import choose, codes, join, scan


def unit_rows(random, rows, dimensions, spread):
    """Unit rows whose coordinates fall off, as those of texts do on their principal axes."""
    vectors = random.normal(size=(rows, dimensions)) * spread ** np.arange(dimensions)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def coder_of(vectors, chunks, *, rotate):
    """A coder of the given length, on principal axes or on the coordinates themselves."""
    if not rotate:
        return codes.Coder.fitted(None, -(-vectors.shape[1] // codes.CHUNK), vectors)
    count = min(vectors.shape[1], chunks * codes.CHUNK - codes.REST_NUMBERS)
    axes = codes.principal_axes(vectors, count)
    return codes.Coder.fitted(axes.first(count), chunks, vectors)


@settings(max_examples=120)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 200),
    st.sampled_from([2, 3, 17, 64, 65, 200, 384, 1_024, 1_030]),
    st.sampled_from([0.5, 0.9, 0.99, 1.0]),
    st.integers(1, 3),
    st.booleans(),
)
def test_no_pair_is_ruled_out(seed, rows, dimensions, spread, chunks, rotate):
    """Whatever the threshold, the product of a pair at or above it is never below the bar.

    Taking each pair's own cosine as the threshold is the hardest case there is.
    """
    random = np.random.default_rng(seed)
    vectors = unit_rows(random, rows, dimensions, spread)
    # Exact copies, opposites, axes and a zero row are where a bound is tight or odd.
    vectors[1] = vectors[0]
    vectors[-1] = -vectors[0] if rows > 2 else 0
    if rows > 6:
        vectors[3], vectors[4] = 0, np.eye(dimensions)[0]
    coder = coder_of(vectors, chunks, rotate=rotate)
    made = coder.encode(vectors)
    numbers = made.numbers.astype(np.int64)
    assert np.abs(numbers).max() <= 127
    products = numbers @ numbers.T
    exact = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    bars = np.array(
        [codes.lowest_product(coder.scale, made, made, value) for value in exact.ravel()]
    )
    assert (products.ravel() >= bars).all()


def test_two_sides_share_scale_and_bar():
    """Codes of two different sides bound their cosines too."""
    random = np.random.default_rng(3)
    left, right = unit_rows(random, 150, 96, 0.95), unit_rows(random, 90, 96, 1.0)
    axes = codes.principal_axes(left, 60).first(60)
    coder = codes.Coder.fitted(axes, 1, left, right)
    one, other = coder.encode(left), coder.encode(right)
    products = one.numbers.astype(np.int64) @ other.numbers.T.astype(np.int64)
    exact = left.astype(np.float64) @ right.T
    for threshold in (-0.2, 0.0, 0.3, 0.6):
        bar = codes.lowest_product(coder.scale, one, other, threshold)
        assert (products >= bar)[exact >= threshold].all()


def test_axes_of_long_vectors_are_orthonormal():
    """Beyond the dimensions where all axes are computed, iteration gives proper ones too."""
    vectors = unit_rows(np.random.default_rng(0), 400, 1_500, 0.98)
    axes = codes.principal_axes(vectors, 60).first(60)
    assert np.allclose(axes.T @ axes, np.eye(60), atol=1e-12)
    exact = np.linalg.eigh(vectors.T.astype(float) @ vectors)[0][::-1][:60].sum()
    assert ((vectors @ axes) ** 2).sum() >= 0.98 * exact


def test_codes_rule_out_nearly_everything():
    """On vectors with a falling spectrum hardly any pair is scored in full."""
    vectors = unit_rows(np.random.default_rng(0), 4_000, 96, 0.9)
    certificate = join.find_pairs(vectors, 0.95).certificate
    assert certificate.pairs_compared == certificate.pairs_possible == 4_000 * 3_999 // 2
    assert certificate.pairs_scored < certificate.pairs_possible / 100
    assert certificate.pairs_pruned + certificate.pairs_scored == certificate.pairs_possible
    assert certificate.pairs_rescored <= certificate.pairs_scored


def test_length_follows_from_the_threshold():
    """A lower threshold needs longer codes; few rows take no search for axes."""
    vectors = unit_rows(np.random.default_rng(0), 4_000, 384, 0.985)
    scanner = scan.TorchScanner()
    high = choose.choose_coder(vectors, vectors, 0.95, scanner)
    low = choose.choose_coder(vectors, vectors, 0.5, scanner)
    assert high.chunks < low.chunks
    assert choose.choose_coder(vectors[:100], vectors[:100], 0.9, scanner).axes is None


def test_sample_decides_no_pair():
    """Another sample gives other axes, and the very same pairs."""
    vectors = unit_rows(np.random.default_rng(1), 3_000, 64, 0.9)
    vectors[1_500:] = vectors[:1_500]
    first = join.find_pairs(vectors, 0.9).pairs.ordered()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choose, "SAMPLE_ROWS", 1_200)
        patch.setattr(choose, "_SCORE_NS", 0.0)
        other = join.find_pairs(vectors, 0.9).pairs.ordered()
    for name in ("left", "right", "similarity"):
        assert np.array_equal(getattr(first, name), getattr(other, name))
