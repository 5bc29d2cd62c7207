"""How similar rows are to their nearest other row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from sbert_cluster.neighbors import histogram as module

SETTINGS = settings(max_examples=60)


def test_counts_equal_a_plain_loop(cases, reference_cosine):
    """Each row counts once, in the bin of its nearest other row, whatever the blocks are."""

    @SETTINGS
    @given(cases(max_rows=20))
    def check(case):
        vectors, _ = case
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "BLOCK_ROWS", 5)
            found = module.nearest_histogram(vectors, bins=20)
        if len(vectors) < 2:
            assert found.rows == 0
            assert not found.counts.any()
            return
        best = np.array(
            [
                max(reference_cosine(a, b) for j, b in enumerate(vectors) if j != i)
                for i, a in enumerate(vectors)
            ]
        )
        assert found.rows == len(vectors) == found.counts.sum()
        # A float32 product may fall on the other side of an edge that it lies on.
        for edge, below in zip(found.edges[1:-1], np.cumsum(found.counts), strict=False):
            assert (best < edge - 1e-5).sum() <= below <= (best < edge + 1e-5).sum()

    check()


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_rows_have_no_neighbour(n):
    """Without another row nothing is counted, and the edges are there all the same."""
    found = module.nearest_histogram(np.ones((n, 1), np.float32))
    assert found.rows == 0
    assert found.counts.tolist() == [0] * 50
    assert found.edges[[0, -1]].tolist() == [0, 1]
    assert found.counts.dtype == np.int64


def test_two_rows_are_each_others_neighbour():
    """Two equal rows both count in the last bin, two opposite ones in the first."""
    same = np.ones((2, 1), np.float32)
    assert module.nearest_histogram(same, bins=4).counts.tolist() == [0, 0, 0, 2]
    assert module.nearest_histogram(same * [[1], [-1]], bins=4).counts.tolist() == [2, 0, 0, 0]


def test_ten_thousand_rows_are_all_measured_and_more_are_sampled():
    """Up to 10,000 rows all count; of more, a sample is compared with all rows."""
    angles = np.linspace(0, np.pi, 12_000)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert module.nearest_histogram(vectors[:10_000]).rows == 10_000
    # Every row has a neighbour beside it only if the rows outside the sample are looked at.
    lonely = np.concatenate([np.eye(2, dtype=np.float32)[[0] * 11_999 + [1]]])
    sampled = module.nearest_histogram(lonely, bins=2)
    assert sampled.rows == 100_000_000 // 12_000 == sampled.counts.sum()
    assert sampled.counts[0] <= 1


def test_sample_depends_on_the_seed_alone():
    """The same seed gives the same counts, another seed other rows."""
    random = np.random.default_rng(3)
    vectors = random.normal(size=(15_000, 2))
    vectors[:7_500] = 0
    vectors = vectors.astype(np.float32)
    counts = [module.nearest_histogram(vectors, seed=seed).counts.tolist() for seed in (0, 0, 1)]
    assert counts[0] == counts[1] != counts[2]
