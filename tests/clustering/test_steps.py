"""The steps between vectors and clusters, each against a plain loop or another library."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from sbert_cluster.clustering.choose import (
    Candidate,
    modularity,
    numbers_to_try,
    settle,
    silhouettes,
    spread_rows,
)
from sbert_cluster.clustering.collapse import collapse
from sbert_cluster.clustering.graph import neighbor_graph
from sbert_cluster.clustering.kmeans import centres, nearest_centre, spherical_kmeans
from sbert_cluster.clustering.modes import find_modes, means, numbered
from sbert_cluster.clustering.projection import principal, smooth
from sbert_cluster.clustering.trust import finds_back, stability, without_accidents


def test_smoothing_is_the_formula(planted):
    """X ← unit(½ x + ½ A x), written with dense matrices."""
    vectors, _ = planted(clusters=3, size=10)
    graph = neighbor_graph(vectors, 4)
    dense = np.zeros((len(vectors), len(vectors)))
    for row in range(len(vectors)):
        for at, other in enumerate(graph.rows[row]):
            dense[row, other] = dense[other, row] = max(graph.similarity[row, at], 0)
    dense /= dense.sum(axis=1, keepdims=True)
    expected = vectors.astype(np.float64)
    for _ in range(3):
        expected = (expected + dense @ expected) / 2
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(smooth(vectors, graph, 3), expected, atol=1e-5)


def test_rows_similar_to_nothing_stay_zero():
    """A zero vector has no neighbors and is not moved."""
    vectors = np.zeros((6, 3), np.float32)
    vectors[:4] = np.eye(3, dtype=np.float32)[[0, 0, 1, 1]]
    smoothed = smooth(vectors, neighbor_graph(vectors, 2))
    assert not smoothed[4:].any()
    np.testing.assert_allclose(np.linalg.norm(smoothed[:4], axis=1), 1, atol=1e-6)


def test_principal_axes_are_those_of_sklearn(planted):
    """Up to the sign, which is fixed by the largest coordinate."""
    vectors, _ = planted(clusters=4, size=30)
    ours, theirs = principal(vectors, 5), PCA(5).fit_transform(vectors.astype(np.float64))
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-4)
    assert principal(vectors, 99).shape == vectors.shape


def test_modes_climb_to_denser_neighbors(planted):
    """Every row ends where a loop that climbs step by step ends."""
    vectors, _ = planted(clusters=5, size=30)
    graph = neighbor_graph(vectors, 6)
    similarity = np.array([vectors[graph.rows[i]] @ vectors[i] for i in range(len(vectors))])
    density = similarity.mean(axis=1)

    def climb(row):
        while True:
            above = [
                (similarity[row, at], other)
                for at, other in enumerate(graph.rows[row])
                if density[other] > density[row]
            ]
            if not above:
                return row
            row = max(above)[1]

    expected = numbered(np.array([climb(row) for row in range(len(vectors))]))
    assert find_modes(vectors, graph).tolist() == expected.tolist()


def test_weighted_means_leave_noise_out():
    """The mean of a cluster counts each row by its weight."""
    vectors = np.array([[1, 0], [0, 1], [5, 5]], np.float32)
    found = means(vectors, np.array([0, 0, -1]), np.array([3.0, 1.0, 9.0]))
    np.testing.assert_allclose(found, [[0.75, 0.25]])


def test_kmeans_never_gets_worse(planted):
    """The sum of similarities to the centres does not fall."""
    vectors, gold = planted(clusters=6, size=20, spread=0.3)
    random = np.random.default_rng(0)
    start = numbered(random.integers(0, 6, len(vectors)))
    weights = np.ones(len(vectors))

    def total(labels):
        return (vectors * centres(vectors, labels, weights)[labels]).sum()

    after = spherical_kmeans(vectors, start, weights)
    assert total(after) > total(start)
    assert adjusted_rand_score(gold, spherical_kmeans(vectors, numbered(gold), weights)) > 0.9


def test_nearest_centre_is_that_of_the_product():
    """Best, its similarity, and that of the second."""
    random = np.random.default_rng(3)
    vectors, heads = random.normal(size=(50, 4)), random.normal(size=(5, 4))
    best, first, second = nearest_centre(vectors.astype(np.float32), heads.astype(np.float32))
    products = np.sort(vectors @ heads.T, axis=1)
    assert best.tolist() == (vectors @ heads.T).argmax(axis=1).tolist()
    np.testing.assert_allclose(first, products[:, -1], rtol=1e-4)
    np.testing.assert_allclose(second, products[:, -2], rtol=1e-4)


def test_modularity_is_the_definition(planted):
    """Share of neighbors inside, less the sum of squared shares."""
    vectors, gold = planted(clusters=3, size=20)
    graph, labels = neighbor_graph(vectors, 5), numbered(gold)
    inside = sum(labels[i] == labels[j] for i in range(60) for j in graph.rows[i]) / (60 * 5)
    assert modularity(graph, labels, np.ones(60)) == pytest.approx(inside - 3 * (1 / 3) ** 2)


def test_silhouettes_are_the_definition():
    """(b − a) / max(a, b), with distances to centres."""
    random = np.random.default_rng(4)
    vectors = random.normal(size=(30, 3))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    labels, weights = random.integers(0, 4, 30), np.ones(30)
    head = centres(vectors, labels, weights)
    found = silhouettes(vectors, labels, weights, np.arange(30))
    for row in range(30):
        distance = 1 - head @ vectors[row]
        own, other = distance[labels[row]], np.delete(distance, labels[row]).min()
        assert found[row] == pytest.approx((other - own) / max(own, other), abs=1e-4)
    assert not silhouettes(vectors, np.zeros(30, np.int64), weights, np.arange(30)).any()


def test_the_middle_of_the_good_numbers_is_taken():
    """Not the best alone: the geometric mean of all that are nearly as good."""
    scores = {2: 0.1, 10: 0.30, 20: 0.297, 40: 0.299, 80: 0.1}
    candidates = [Candidate(k, score, 1.0) for k, score in scores.items()]
    assert settle(candidates) == 20
    assert numbers_to_try(1) == []
    assert numbers_to_try(5) == [2, 3, 4, 5]
    assert max(b / a for a, b in zip(numbers_to_try(500)[20:], numbers_to_try(500)[21:])) < 1.16  # noqa: B905


def test_the_sample_does_not_depend_on_the_order():
    """The same rows are drawn from shuffled rows."""
    random = np.random.default_rng(5)
    vectors, order = random.normal(size=(300, 4)).astype(np.float32), random.permutation(300)
    drawn = {tuple(vectors[row]) for row in spread_rows(vectors, 40)}
    assert drawn == {tuple(vectors[order][row]) for row in spread_rows(vectors[order], 40)}
    assert len(drawn) == 40


def test_near_identical_rows_are_one_point():
    """Same vector, nearly the same vector, and the same form: one point with their weight."""
    vectors = np.array([[1, 0, 0], [1, 0.05, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = np.array([0, 0, 1, 2, 3, -1])
    points = collapse(vectors, index, np.array([-1, -1, 7, 7]))
    assert points.index.tolist() == [0, 0, 0, 1, 1, -1]
    assert points.weights.tolist() == [3, 2]
    np.testing.assert_allclose(np.linalg.norm(points.vectors, axis=1), 1, atol=1e-6)


def test_a_row_finds_back_without_itself():
    """As a loop says that takes each row out of its cluster."""
    random = np.random.default_rng(6)
    vectors = random.normal(size=(40, 5))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    labels = np.append(random.integers(0, 3, 38), [-1, -1])
    found = finds_back(vectors, labels, np.ones(40))
    for row in range(38):
        heads = []
        for k in range(3):
            rest = (labels == k) & (np.arange(40) != row)
            heads.append(vectors[rest].sum(axis=0) / np.linalg.norm(vectors[rest].sum(axis=0)))
        assert found[row] == (np.argmax(np.array(heads) @ vectors[row]) == labels[row])
    assert not found[38:].any()


def test_accidents_become_noise(planted):
    """Clusters of unrelated rows go, planted ones stay."""
    random = np.random.default_rng(7)
    vectors = random.normal(size=(300, 200))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    chance = spherical_kmeans(vectors, numbered(random.integers(0, 20, 300)), np.ones(300))
    assert (without_accidents(vectors, chance, np.ones(300)) == -1).all()
    vectors, gold = planted()
    assert without_accidents(vectors, numbered(gold), np.ones(len(gold))).min() == 0


def test_stability_is_one_where_every_part_agrees():
    """And the Jaccard similarity where a part always joins two clusters."""
    vectors = np.random.default_rng(8).normal(size=(90, 3)).astype(np.float32)
    labels = np.repeat([0, 1, 2], 30)
    assert stability(vectors, labels, lambda rows: labels[rows], 0).tolist() == [1, 1, 1]
    joined = stability(vectors, labels, lambda rows: np.minimum(labels[rows], 1), 0)
    assert joined[0] == 1
    assert joined[1] == pytest.approx(0.5, abs=0.1)
    assert stability(vectors, labels, lambda rows: np.full(len(rows), -1), 0).tolist() == [0, 0, 0]
