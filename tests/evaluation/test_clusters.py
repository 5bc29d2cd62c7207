"""Agreement with gold classes, against closed forms and sklearn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from sbert_cluster.evaluation.clusters import purity, score_clusters


def test_measures_are_those_of_sklearn():
    """On random partitions without noise, both columns are the same."""
    random = np.random.default_rng(0)
    gold, labels = random.integers(0, 5, 200), random.integers(0, 7, 200)
    scores = score_clusters(labels, gold)
    assert scores.noise_as_singletons == scores.noise_left_out
    found = scores.noise_as_singletons
    assert found.ari == pytest.approx(metrics.adjusted_rand_score(gold, labels))
    assert found.nmi == pytest.approx(metrics.normalized_mutual_info_score(gold, labels))
    assert found.v_measure == pytest.approx(metrics.v_measure_score(gold, labels))
    table = metrics.cluster.contingency_matrix(gold, labels)
    assert found.purity == pytest.approx(table.max(axis=0).sum() / 200)


def test_noise_counts_as_singletons_or_not_at_all():
    """Six rows, two of them noise: perfect without them, less with them."""
    labels, gold = np.array([0, 0, 1, 1, -1, -1]), np.array([0, 0, 1, 1, 0, 1])
    scores = score_clusters(labels, gold)
    assert scores.noise_left_out.ari == 1
    expected = metrics.adjusted_rand_score(gold, [0, 0, 1, 1, 2, 3])
    assert scores.noise_as_singletons.ari == pytest.approx(expected)
    assert scores.clustered == pytest.approx(4 / 6)
    assert (scores.clusters, scores.classes) == (2, 2)


def test_rows_without_a_class_are_left_out():
    """They count nowhere."""
    scores = score_clusters(np.array([0, 0, 1, 5]), np.array([0, 0, 1, -1]))
    assert scores.rows == 3
    assert scores.clusters == 2
    assert scores.noise_as_singletons.ari == 1


def test_all_noise():
    """There is no second column then."""
    scores = score_clusters(np.full(4, -1), np.array([0, 0, 1, 1]))
    assert scores.noise_left_out is None
    assert scores.noise_as_singletons.ari == 0
    assert scores.noise_as_singletons.purity == 1


def test_purity_of_one_cluster_is_the_largest_class():
    """Five rows, three of one class."""
    assert purity(np.zeros(5, np.int64), np.array([0, 1, 1, 1, 2])) == pytest.approx(0.6)


def test_what_cannot_be_compared():
    """Different lengths, or no classes at all."""
    with pytest.raises(ValueError, match="3 labels for 2"):
        score_clusters(np.zeros(3, np.int64), np.zeros(2, np.int64))
    with pytest.raises(ValueError, match="no row"):
        score_clusters(np.zeros(3, np.int64), np.full(3, -1))
