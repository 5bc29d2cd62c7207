"""A judge decides the pairs in a band, and only those."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sbert_cluster.duplicates.rerank import Band, decided
from sbert_cluster.types import Pairs, Reason


@given(st.integers(0, 2**16))
def test_only_semantic_pairs_in_the_band_are_asked_about(seed):
    """Equal texts never are; what the judge says of others does not matter."""
    random = np.random.default_rng(seed)
    n = 30
    reason = random.integers(0, 3, n).astype(np.uint8)
    similarity = random.choice([0.7, 0.8, 0.9, 0.95], n).astype(np.float32)
    pairs = Pairs(np.arange(n), np.arange(n) + n, similarity, reason)
    asked = Band(0.8, 0.95).undecided(pairs)
    yes = random.random(n) < 0.5
    made = decided(pairs, asked, yes)
    stays = []
    for i in range(n):
        near = np.float32(0.8) <= similarity[i] < np.float32(0.95)
        is_asked = near and reason[i] == Reason.SEMANTIC
        assert asked[i] == is_asked
        if not is_asked or yes[i]:
            stays.append((i, Reason.RERANKED if is_asked else reason[i]))
    assert list(zip(made.left.tolist(), made.reason.tolist(), strict=True)) == stays
