"""The layout against the O(n²) gradient; layers; what is told of a cluster."""

from __future__ import annotations

import numpy as np
import pytest

from sbert_cluster.clustering import layout
from sbert_cluster.clustering.graph import neighbor_graph
from sbert_cluster.clustering.layers import find_layers
from sbert_cluster.clustering.layout import lay_out
from sbert_cluster.clustering.summary import shape_of, typical_rows


def test_repulsion_is_that_of_all_pairs():
    """The grid, of half a unit, gives the exact sum to about a tenth of its size."""
    place = np.random.default_rng(0).normal(size=(300, 2)) * 12
    way = place[None] - place[:, None]
    kernel = 1 / (1 + (way**2).sum(axis=2))
    np.fill_diagonal(kernel, 0)
    exact = ((kernel**2)[..., None] * way).sum(axis=1) / kernel.sum()
    found = layout._repulsion(place)
    error = np.linalg.norm(found - exact, axis=1).mean()
    assert error < 0.15 * np.linalg.norm(exact, axis=1).mean()


def test_neighbors_lie_together(planted):
    """In the map, the nearest rows of a row are of its cluster, and nothing is random."""
    vectors, gold = planted(clusters=6, size=30)
    graph = neighbor_graph(vectors, 8)
    place = lay_out(vectors, graph)
    np.testing.assert_array_equal(place, lay_out(vectors, graph))
    distance = ((place[:, None] - place) ** 2).sum(axis=2)
    np.fill_diagonal(distance, np.inf)
    nearest = np.argsort(distance, axis=1)[:, :5]
    assert (gold[nearest] == gold[:, None]).mean() > 0.95
    assert np.isfinite(place).all()
    assert np.sqrt((place[:, 0] ** 2).mean()) == pytest.approx(1)


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 5])
def test_few_rows_have_a_place(rows):
    """Also rows that are all the same, or none."""
    for vectors in (np.eye(5, dtype=np.float32)[:rows], np.ones((rows, 5), np.float32)):
        place = lay_out(vectors, neighbor_graph(vectors, 3))
        assert place.shape == (rows, 2)
        assert np.isfinite(place).all()


@pytest.mark.parametrize("rows", [8, 30, 50])
def test_few_unrelated_rows_do_not_drive_each_other_away(rows):
    """Unlike rows repel each other; the map still ends, without an overflow."""
    for seed in range(3):
        vectors = np.random.default_rng(seed).normal(size=(rows, 16)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        place = lay_out(vectors, neighbor_graph(vectors, min(15, rows - 1)))
        assert np.isfinite(place).all()
        assert np.abs(place).max() < 10


def test_layers_join_what_is_close():
    """Clusters in four families: the coarse layer is the families."""
    random = np.random.default_rng(1)
    families = random.normal(size=(4, 32))
    heads = np.repeat(families, 5, axis=0) + 0.25 * random.normal(size=(20, 32))
    heads /= np.linalg.norm(heads, axis=1, keepdims=True)
    sizes = np.arange(20, 0, -1)
    layers = find_layers(heads.astype(np.float32), sizes)
    assert len(layers[-1]) == 4
    families_found = [set(layers[-1].groups[5 * k : 5 * k + 5].tolist()) for k in range(4)]
    assert all(len(found) == 1 for found in families_found)
    counts = np.bincount(layers[-1].groups, sizes)
    assert (np.diff(counts) <= 0).all()
    assert [len(layer) for layer in layers] == sorted((len(x) for x in layers), reverse=True)
    assert find_layers(heads[:4].astype(np.float32), sizes[:4]) == []


def test_cohesion_is_the_mean_of_all_pairs(planted):
    """And the nearest cluster is that of the most similar centre."""
    vectors, gold = planted(clusters=4, size=9)
    shape = shape_of(lambda rows: vectors[rows], gold, 4)
    for k in range(4):
        products = vectors[gold == k] @ vectors[gold == k].T
        pairs = products[~np.eye(9, dtype=bool)]
        assert shape.cohesion()[k] == pytest.approx(pairs.mean(), abs=1e-5)
    heads = np.array([vectors[gold == k].mean(axis=0) for k in range(4)])
    heads /= np.linalg.norm(heads, axis=1, keepdims=True)
    similarity = heads @ heads.T - 2 * np.eye(4)
    assert shape.nearest().tolist() == similarity.argmax(axis=1).tolist()
    alone = shape_of(lambda rows: vectors[rows], np.zeros(1, np.int64), 1)
    assert alone.cohesion().tolist() == [1]
    assert alone.nearest().tolist() == [-1]


def test_examples_go_from_the_centre_to_the_edge():
    """The medoid first, no text twice."""
    angles = np.linspace(0, 1, 11)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    texts = [f"text {n // 2}" for n in range(11)]
    rows = typical_rows(vectors, np.arange(11), texts, vectors[0])
    assert rows[0] == 0
    assert rows == sorted(rows)
    assert len({texts[row] for row in rows}) == len(rows) == 4
