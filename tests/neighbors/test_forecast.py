"""The forecast of pairs: right on average, honest about its error, useful as advice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_cluster.neighbors import forecast
from sbert_cluster.neighbors.forecast import (
    forecast_pairs,
    forecast_pairs_between,
    forecast_sample,
)


def clustered(seed, rows, d=8, centres=40, spread=0.3):
    """Rows around centres of very different popularity."""
    random = np.random.default_rng(seed)
    middle = random.normal(size=(centres, d))
    weights = 1 / np.arange(1, centres + 1)
    which = random.choice(centres, rows, p=weights / weights.sum())
    vectors = middle[which] + spread * random.normal(size=(rows, d))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def count_pairs(vectors, threshold):
    wide = vectors.astype(np.float64)
    return int(np.count_nonzero(np.triu(wide @ wide.T >= threshold, 1)))


@settings(max_examples=40)
@given(st.integers(0, 2**16), st.integers(2, 60), st.floats(0.05, 0.99))
def test_a_sample_of_all_rows_counts_all_pairs(seed, rows, threshold):
    """Where the sample is everything, the forecast is the count and the interval is empty."""
    vectors = clustered(seed, rows)
    vectors[0] = 0
    found = forecast_pairs(vectors, threshold)
    # Products are in float32: pairs at the very threshold may fall on either side.
    assert count_pairs(vectors, threshold + 1e-6) <= found.pairs
    assert found.pairs <= count_pairs(vectors, threshold - 1e-6)
    assert found.low == found.pairs == found.high
    assert found.sampled == rows


def test_interval_holds_the_truth_most_of_the_time(monkeypatch):
    """Of 200 small samples, the mean is right and some 95 % of the intervals hold the truth."""
    monkeypatch.setattr(forecast, "_ROWS", (100, 100))
    vectors = clustered(1, 2_000)
    truth = count_pairs(vectors, 0.8)
    found = [forecast_pairs(vectors, 0.8, seed=seed) for seed in range(200)]
    assert np.mean([f.pairs for f in found]) == pytest.approx(truth, rel=0.05)
    assert sum(f.low <= truth <= f.high for f in found) >= 180
    assert all(f.low <= f.pairs <= f.high for f in found)


def test_between_two_sets_every_pair_counts_once(monkeypatch):
    """Pairs across two files are estimated from rows of the first."""
    left, right = clustered(2, 700), clustered(2, 900)
    wide = left.astype(np.float64) @ right.astype(np.float64).T
    truth = int(np.count_nonzero(wide >= 0.8))
    assert forecast_pairs_between(left, right, 0.8).pairs == pytest.approx(truth, abs=5)
    monkeypatch.setattr(forecast, "_ROWS", (150, 150))
    found = [forecast_pairs_between(left, right, 0.8, seed=seed).pairs for seed in range(50)]
    assert np.mean(found) == pytest.approx(truth, rel=0.05)


def test_part_of_the_rows_stands_for_all():
    """The share of pairs among some rows tells the number among more."""
    vectors = clustered(4, 3_000)
    found = forecast_sample(vectors[:1_500], 0.8, 3_000 * 2_999 // 2)
    assert found.pairs == pytest.approx(count_pairs(vectors, 0.8), rel=0.15)


def test_no_pair_in_the_sample_is_no_promise():
    """A sample without pairs says zero, and how many there could be at most."""
    found = forecast_pairs(np.eye(4_000, dtype=np.float32), 0.5)
    assert (found.pairs, found.low) == (0, 0)
    assert 0 < found.high <= 4_000


def test_advice_is_the_lowest_threshold_without_a_flood(monkeypatch):
    """The threshold advised brings no flood, and one hundredth less does."""
    vectors = clustered(3, 1_500, spread=0.5)
    monkeypatch.setattr(forecast, "MANY_PAIRS", 20_000)
    found = forecast_pairs(vectors, 0.505)
    assert found.is_flood
    assert found.advice == round(found.advice, 2) > 0.505
    assert found.advice_pairs <= 20_000
    # Steps are of one thousandth, and so is what they may be off.
    assert count_pairs(vectors, found.advice + 0.001) <= 20_000
    assert count_pairs(vectors, found.advice - 0.011) > 20_000


def test_no_advice_where_none_would_help(monkeypatch):
    """Copies stay pairs at any threshold."""
    monkeypatch.setattr(forecast, "MANY_PAIRS", 10)
    found = forecast_pairs(np.tile(np.eye(1, 3, dtype=np.float32), (50, 1)), 0.9)
    assert found.is_flood
    assert found.pairs == 50 * 49 // 2
    assert found.advice is None


@pytest.mark.parametrize("rows", [0, 1])
def test_no_pairs_without_two_rows(rows):
    """Nothing to compare brings nothing."""
    assert forecast_pairs(np.eye(rows, 3, dtype=np.float32), 0.5).pairs == 0
