"""Mined negatives lie in the band and never mean the same, as far as labels tell."""

from __future__ import annotations

import numpy as np

from sbert_cluster.training.negatives import CANDIDATES, guarded, mine


def test_candidates_equal_a_loop_over_all_pairs(random):
    """The most similar first, of another meaning, within the band."""
    vectors = random.normal(size=(60, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    meaning = random.integers(0, 20, 60)
    found = mine(vectors, meaning, (0.2, 0.8))
    similar = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    for text in range(60):
        order = [i for i in np.argsort(-similar[text]) if i != text][: 4 * CANDIDATES]
        fit = [i for i in order if 0.2 <= similar[text, i] <= 0.8 and meaning[i] != meaning[text]]
        listed = [i for i in found.rows[text].tolist() if i >= 0]
        assert listed == fit[:CANDIDATES]
    assert found.count == int((found.rows[:, 0] >= 0).sum())


def test_drawn_negatives_are_candidates(random):
    """One of each text's own; -1 where there is none."""
    vectors = random.normal(size=(30, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = mine(vectors, np.arange(30), (0.5, 0.9))
    drawn = found.draw(np.arange(30), 3, random)
    for text in range(30):
        allowed = set(found.rows[text].tolist()) - {-1} or {-1}
        assert set(drawn[text].tolist()) <= allowed


def test_a_judge_drops_what_means_the_same(random):
    """Candidates that the cross-encoder takes for duplicates go; the order stays."""
    vectors = random.normal(size=(20, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    texts = [str(i) for i in range(20)]
    found = mine(vectors, np.arange(20), (-1, 1))

    def judge(pairs):
        return np.array([float(int(b) % 2) for _, b in pairs], np.float32)

    kept = guarded(found, texts, judge)
    for text in range(20):
        expected = [i for i in found.rows[text].tolist() if i >= 0 and i % 2 == 0]
        assert [i for i in kept.rows[text].tolist() if i >= 0] == expected
