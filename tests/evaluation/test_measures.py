"""Measures equal scikit-learn's and scipy's, and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score

from sbert_cluster.errors import InputError
from sbert_cluster.evaluation.calibration import calibrate, thinned
from sbert_cluster.evaluation.pairs import (
    at_threshold,
    average_precision,
    balanced_average_precision,
    curve,
    gain_in_average_precision,
    score_pairs,
)
from sbert_cluster.evaluation.sts import score_sts
from sbert_cluster.evaluation.triplets import score_triplets


@st.composite
def judged(draw):
    """Scores, many of them tied, and labels of both kinds."""
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    n = draw(st.integers(2, 60))
    scores = random.integers(0, draw(st.sampled_from([3, 1000])), n) / 10
    truth = random.random(n) < 0.5
    truth[:2] = [True, False]
    return scores, truth


@settings(max_examples=60)
@given(judged())
def test_pairs_equal_scikit_learn(made):
    """Average precision, weighted or not, and F1 at the best threshold."""
    scores, truth = made
    assert average_precision(scores, truth) == pytest.approx(average_precision_score(truth, scores))
    weights = np.where(truth, 0.5 / truth.mean(), 0.5 / (1 - truth.mean()))
    expected = average_precision_score(truth, scores, sample_weight=weights)
    assert balanced_average_precision(scores, truth) == pytest.approx(expected)
    found = score_pairs(scores, truth)
    best = max(f1_score(truth, scores >= t) for t in scores)
    assert found.best_f1 == pytest.approx(best)
    assert f1_score(truth, scores >= found.best_threshold) == pytest.approx(best)


@settings(max_examples=60)
@given(judged(), st.floats(-1, 101))
def test_a_threshold_finds_what_it_says(made, threshold):
    """Precision, recall and F1; 0 where nothing is found."""
    scores, truth = made
    found = at_threshold(scores, truth, threshold)
    guess = scores >= threshold
    assert found.precision == pytest.approx(precision_score(truth, guess, zero_division=0))
    assert found.recall == pytest.approx(recall_score(truth, guess))
    assert found.f1 == pytest.approx(f1_score(truth, guess))


@settings(max_examples=40)
@given(judged(), st.floats(0.1, 1))
def test_calibration_finds_the_lowest_threshold_of_that_precision(made, target):
    """No lower threshold has the precision; where none has it, that is said."""
    scores, truth = made
    found = calibrate(scores, truth, target, samples=5)
    own = at_threshold(scores, truth, found.threshold)
    assert (own.precision, own.recall) == (found.precision, found.recall)
    if found.is_reached:
        assert own.precision >= target
        lower = [t for t in scores if t < found.threshold]
        assert all(at_threshold(scores, truth, t).precision < target for t in lower)
    low, high = found.precision_interval
    assert low <= high


def test_intervals_narrow_with_more_pairs():
    """The bootstrap knows how much a few pairs are worth."""
    random = np.random.default_rng(0)
    widths = []
    for n in (100, 3000):
        truth = random.random(n) < 0.5
        scores = random.normal(size=n) + 1.5 * truth
        found = calibrate(scores, truth, 0.9)
        widths.append(found.precision_interval[1] - found.precision_interval[0])
        assert found.precision_interval[0] <= found.precision <= found.precision_interval[1]
        assert found.threshold_interval[0] <= found.threshold <= found.threshold_interval[1]
    assert widths[1] < widths[0] / 2


def test_a_thinned_curve_lies_on_the_curve():
    """Fewer points, each of them a real threshold, recalls rising."""
    random = np.random.default_rng(0)
    truth = random.random(500) < 0.3
    scores = random.normal(size=500) + truth
    points = thinned(curve(scores, truth))
    assert 10 < len(points) <= 60
    assert [p.recall for p in points] == sorted(p.recall for p in points)
    for point in points:
        own = at_threshold(scores, truth, point.threshold)
        assert own.precision == pytest.approx(point.precision)


def test_gains_know_chance_from_skill():
    """A real gain has an interval above 0; noise has one around 0."""
    random = np.random.default_rng(0)
    truth = random.random(400) < 0.5
    noise = random.normal(size=400)
    better = gain_in_average_precision(noise, noise + 2 * truth, truth, samples=200)
    assert better.is_certain
    assert better.low > 0
    same = gain_in_average_precision(noise, noise + 1e-3 * random.normal(size=400), truth)
    assert not same.is_certain


@pytest.mark.parametrize("label", [True, False])
def test_one_class_alone_is_refused(label):
    """Nothing can be told apart."""
    with pytest.raises(InputError, match=f"label {int(label)}"):
        score_pairs(np.arange(5.0), np.full(5, label))


def test_sts_equals_scipy():
    """Cosine, Euclidean and Manhattan, against loops over rows."""
    random = np.random.default_rng(1)
    left, right = random.normal(size=(2, 40, 6)).astype(np.float32)
    scores = random.integers(0, 6, 40)
    made = score_sts(left, right, scores)
    cosine = [
        a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(left, right, strict=True)
    ]
    assert made.spearman == pytest.approx(100 * spearmanr(cosine, scores).statistic, abs=1e-6)
    assert made.pearson == pytest.approx(100 * pearsonr(cosine, scores).statistic, abs=1e-4)
    manhattan = [-np.abs(a - b).sum() for a, b in zip(left, right, strict=True)]
    euclidean = [-np.linalg.norm(a - b) for a, b in zip(left, right, strict=True)]
    expected = [100 * spearmanr(x, scores).statistic for x in (manhattan, euclidean)]
    assert [made.spearman_manhattan, made.spearman_euclidean] == pytest.approx(expected, abs=1e-6)


def test_triplets_equal_a_loop():
    """A tie counts as wrong."""
    random = np.random.default_rng(2)
    a, p, n = random.normal(size=(3, 50, 4)).astype(np.float32)
    n[0] = p[0]
    made = score_triplets(a, p, n)
    right = sum(
        np.linalg.norm(x - y) < np.linalg.norm(x - z) for x, y, z in zip(a, p, n, strict=True)
    )
    assert made.accuracy_euclidean == right / 50
    assert made.triplets == 50
