"""The tree of merges, against scipy, and with weights, against repeated points."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.metrics import adjusted_rand_score

from sbert_cluster.clustering.tree import grow_tree
from sbert_cluster.options import Linkage


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", list(Linkage))
@given(seed=st.integers(0, 2**16), count=st.integers(2, 40))
@settings(max_examples=20)
def test_heights_and_cuts_are_those_of_scipy(kind, seed, count):
    """Every height is scipy's, and so is the partition at every number of clusters."""
    points = unit(np.random.default_rng(seed).normal(size=(count, 4)))
    tree = grow_tree(points, np.ones(count), kind)
    metric = "euclidean" if kind is Linkage.WARD else "cosine"
    expected = linkage(points, str(kind), metric=metric)
    # Ward's heights in scipy are square roots of what the sum of squares grows by, doubled.
    heights = expected[:, 2] ** 2 if kind is Linkage.WARD else expected[:, 2]
    np.testing.assert_allclose(tree.height, heights, atol=1e-9)
    for clusters in {1, 2, count // 2 or 1, count}:
        theirs = fcluster(expected, clusters, "maxclust")
        assert adjusted_rand_score(theirs, tree.cut(clusters)) == 1


@pytest.mark.parametrize("kind", [Linkage.WARD, Linkage.AVERAGE])
def test_a_weight_is_that_many_points(kind):
    """A point of weight 3 gives the same merges as three copies of it, which merge at 0."""
    random = np.random.default_rng(1)
    points, weights = unit(random.normal(size=(12, 5))), random.integers(1, 5, 12)
    copies = np.repeat(points, weights, axis=0)
    tree = grow_tree(points, weights.astype(float), kind)
    whole = grow_tree(copies, np.ones(len(copies)), kind)
    np.testing.assert_allclose(whole.height[-11:], tree.height, atol=1e-9)
    np.testing.assert_allclose(whole.height[:-11], 0, atol=1e-9)
    assert adjusted_rand_score(whole.cut(4), np.repeat(tree.cut(4), weights)) == 1


def test_complete_linkage_cut_keeps_every_pair_above_the_threshold():
    """Cut at a distance, no two points of a cluster are further apart."""
    points = unit(np.random.default_rng(2).normal(size=(60, 3)))
    labels = grow_tree(points, np.ones(60), Linkage.COMPLETE).cut_at(0.4)
    similarity = points @ points.T
    for k in range(labels.max() + 1):
        inside = np.flatnonzero(labels == k)
        assert similarity[np.ix_(inside, inside)].min() >= 0.6 - 1e-9


def test_one_point_is_a_tree():
    """There is nothing to merge."""
    tree = grow_tree(np.ones((1, 3)), np.ones(1), Linkage.WARD)
    assert len(tree) == 1
    assert tree.cut(5).tolist() == [0]
