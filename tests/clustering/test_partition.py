"""The methods, on rows whose clusters are known and on odd ones."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from sbert_cluster.clustering import partition as module
from sbert_cluster.clustering.collapse import Points
from sbert_cluster.clustering.partition import partition
from sbert_cluster.errors import UsageError
from sbert_cluster.options import GroupOptions, Linkage, Method


@pytest.mark.parametrize("method", list(Method))
def test_planted_clusters_are_found(method, planted, ready):
    """Each method finds the eight clusters without being told the number."""
    vectors, gold = planted()
    found = partition(ready(vectors), GroupOptions(method=method))
    inside = found.labels >= 0
    assert inside.mean() > 0.85
    assert adjusted_rand_score(gold[inside], found.labels[inside]) > 0.95
    assert len(found) == found.labels.max() + 1 == 8


def test_clusters_are_numbered_by_size_and_told_how_sure(planted, ready):
    """The largest is 0; strengths lie in [0, 1], and are 0 for noise alone."""
    vectors, gold = planted()
    keep = np.concatenate([np.flatnonzero(gold == k)[: 40 - 4 * k] for k in range(8)])
    found = partition(ready(vectors[keep]), GroupOptions())
    sizes = np.bincount(found.labels[found.labels >= 0])
    assert (np.diff(sizes) <= 0).all()
    assert ((found.strength >= 0) & (found.strength <= 1)).all()
    assert (found.strength[found.labels >= 0] > 0).mean() > 0.95


def test_the_order_of_rows_does_not_matter(planted, ready):
    """Permuted rows get permuted labels."""
    vectors, _ = planted(spread=0.2)
    order = np.random.default_rng(1).permutation(len(vectors))
    straight = partition(ready(vectors), GroupOptions()).labels
    permuted = partition(ready(vectors[order]), GroupOptions()).labels
    assert adjusted_rand_score(straight[order], permuted) >= 0.98


def test_any_number_of_threads_gives_the_same_labels(tmp_path, planted):
    """Two processes, one with one thread and one with two."""
    vectors, _ = planted(clusters=20, size=60, spread=0.25)
    np.save(tmp_path / "v.npy", vectors)
    code = (
        "import sys, numpy as np, torch; torch.set_num_threads(int(sys.argv[2]))\n"
        "import polars as pl; from sbert_cluster import groups\n"
        "v = np.load(sys.argv[1]); frame = pl.DataFrame({'v': v})\n"
        "r = groups(frame, vector_column='v')\n"
        "import hashlib; c = r.clustering\n"
        "print(len(r.summaries), hashlib.sha256(c.labels.tobytes() + c.places.tobytes())"
        ".hexdigest())"
    )
    answers = set()
    for threads in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "v.npy"), threads],
            env={"OMP_NUM_THREADS": threads, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answers.add(done.stdout)
    assert len(answers) == 1
    assert not answers.pop().startswith("0 ")


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize("rows", [1, 2, 3, 5, 9])
def test_few_rows(method, rows, ready):
    """No method fails on a handful of unrelated rows."""
    vectors = np.eye(rows, 12, dtype=np.float32)
    found = partition(ready(vectors), GroupOptions(method=method))
    assert len(found.labels) == rows


@pytest.mark.parametrize("method", list(Method))
def test_all_rows_the_same_are_one_cluster(method, ready):
    """They fold onto one point, which is a cluster of fifty rows."""
    found = partition(ready(np.ones((50, 4), np.float32) / 2), GroupOptions(method=method))
    assert found.labels.tolist() == [0]
    assert found.strength.tolist() == [1]


def test_unrelated_rows_are_noise(ready):
    """Random directions have no clusters, however many there are."""
    for rows in (100, 1_000):
        vectors = np.random.default_rng(0).normal(size=(rows, 300))
        vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        assert (partition(ready(vectors), GroupOptions()).labels == -1).all()


def test_one_topic_and_a_few_strangers(ready):
    """99 % of the rows are one cluster; the others are in none."""
    random = np.random.default_rng(2)
    head = random.normal(size=100)
    vectors = np.concatenate(
        [head + 0.4 * random.normal(size=(495, 100)), 1.1 * random.normal(size=(5, 100))]
    )
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    found = partition(ready(vectors), GroupOptions())
    assert len(found) == 1
    assert (found.labels[:495] == 0).all()
    assert (found.labels[495:] == -1).all()


def test_zero_vectors_are_noise(planted, ready):
    """They are similar to nothing."""
    vectors, _ = planted()
    vectors[:3] = 0
    found = partition(ready(vectors), GroupOptions(assign_noise=True))
    assert (found.labels[:3] == -1).all()
    assert not found.attached[:3].any()


def test_noise_can_be_attached_and_is_marked(planted, ready):
    """With assign_noise every usable row is in a cluster; those that were noise are marked."""
    vectors, _ = planted(clusters=4, size=40)
    stray = np.random.default_rng(3).normal(size=(12, 32))
    stray /= np.linalg.norm(stray, axis=1, keepdims=True)
    rows = np.concatenate([vectors, stray.astype(np.float32)])
    plain = partition(ready(rows), GroupOptions(method=Method.HDBSCAN))
    attached = partition(ready(rows), GroupOptions(method=Method.HDBSCAN, assign_noise=True))
    assert (plain.labels < 0).any()
    assert (attached.labels >= 0).all()
    assert attached.attached.tolist() == (plain.labels < 0).tolist()
    np.testing.assert_array_equal(attached.centres, plain.centres)


@pytest.mark.parametrize("method", [Method.MODES, Method.AGGLOMERATIVE, Method.KMEANS])
def test_the_number_asked_for(method, planted, ready):
    """--clusters is obeyed."""
    vectors, _ = planted(spread=0.25)
    options = GroupOptions(method=method, clusters=5, min_cluster_size=2)
    assert len(partition(ready(vectors), options)) == 5


def test_a_threshold_holds_in_every_cluster(planted, ready):
    """Complete linkage at 0.5: no two rows of a cluster are less similar."""
    vectors, _ = planted(spread=0.2)
    options = GroupOptions(
        method=Method.AGGLOMERATIVE, threshold=0.5, linkage=Linkage.COMPLETE, min_cluster_size=2
    )
    prepared = ready(vectors)
    found = partition(prepared, options)
    for k in range(len(found)):
        inside = prepared.points.vectors[found.labels == k]
        assert (inside @ inside.T).min() >= 0.5 - 1e-5


@pytest.mark.parametrize("linkage", list(Linkage))
def test_many_rows_are_merged_from_small_groups(linkage, planted, ready, monkeypatch):
    """Beyond the limit the tree starts from groups, says so, and still finds the clusters."""
    monkeypatch.setattr(module, "EXACT_ROWS", 100)
    vectors, gold = planted()
    options = GroupOptions(method=Method.AGGLOMERATIVE, linkage=linkage, clusters=8)
    found = partition(ready(vectors), options)
    assert found.details["exact"] is False
    assert found.details["merged_from"] < 100
    assert "small groups" in found.notes[0]
    assert adjusted_rand_score(gold, found.labels) > 0.95


def test_weights_decide_what_is_large_enough(ready):
    """A text that ten rows share is a cluster, one of a single row is not."""
    vectors = np.eye(4, 12, dtype=np.float32)[:3]
    prepared = ready(vectors)
    heavy = Points(prepared.points.vectors, np.array([10.0, 1.0, 4.0]), np.arange(3))
    found = partition(
        module.Prepared(heavy, prepared.graph, prepared.smoothed), GroupOptions(min_cluster_size=4)
    )
    assert found.labels.tolist() == [0, -1, 1]


@pytest.mark.parametrize(
    "options",
    [
        {"clusters": 0},
        {"min_cluster_size": 1},
        {"clusters": 3, "method": Method.HDBSCAN},
        {"threshold": 0.5},
        {"threshold": 2, "method": Method.AGGLOMERATIVE},
        {"threshold": 0.5, "clusters": 2, "method": Method.AGGLOMERATIVE},
        {"threshold": 0.5, "linkage": Linkage.WARD, "method": Method.AGGLOMERATIVE},
    ],
)
def test_options_that_contradict_each_other(options):
    """Each is refused with the value and a way out."""
    with pytest.raises(UsageError, match=r"\d"):
        GroupOptions(**options)
