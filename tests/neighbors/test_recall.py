"""The recall of a cheap look: the estimator, and how often its bound holds."""

import numpy as np
import pytest

from sbert_cluster.neighbors.recall import Audit, Reach
from sbert_cluster.types import Pairs


def _pairs(left, right, similarity):
    left, right = np.array(left, np.int64), np.array(right, np.int64)
    reason = np.zeros(len(left), np.uint8)
    return Pairs(left, right, np.array(similarity, np.float32), reason)


def test_each_pair_has_one_owner_and_its_level_is_the_lower_of_both():
    reach = Reach.of(_pairs([0, 0, 1], [1, 2, 3], [0.9, 0.8, 0.7]), 5, 0.6)
    assert reach.level.tolist() == pytest.approx([0.9, 0.9, 0.8, 0.7, -1])
    assert list(zip(reach.owner, reach.partner, strict=True)) == [(1, 0), (2, 0), (3, 1)]
    assert reach.rows.tolist() == [0, 1, 2, 3]
    assert reach.above(0.8).tolist() == [0, 1, 2]
    assert reach.owned_by(np.array([3, 0, 1])).tolist() == [2, 0]


def test_a_pair_is_found_exactly_where_its_level_is_reached():
    """Against the definition: both rows have a partner at or above the level."""
    random = np.random.default_rng(0)
    all_left, all_right = np.triu_indices(40, 1)
    similarity = random.random(len(all_left)).astype(np.float32)
    kept = similarity >= 0.9
    reach = Reach.of(_pairs(all_left[kept], all_right[kept], similarity[kept]), 40, 0.9)
    for cut in (0.9, 0.93, 0.97):
        read = set(reach.above(cut).tolist())
        by_level = reach.level[reach.owner] >= np.float32(cut)
        both = [i in read and j in read for i, j in zip(reach.owner, reach.partner, strict=True)]
        assert by_level.tolist() == both


def _falling(count):
    """Similarities that thin out towards 0.6."""
    return np.sort(1 - 0.4 * np.linspace(0, 1, count, dtype=np.float32) ** 4)


def test_the_bound_is_that_of_clopper_and_pearson_where_rows_own_one_pair_each():
    from scipy.stats import binomtest

    levels = np.linspace(0.6, 1, 400, dtype=np.float32)
    audit = Audit(levels, np.ones(400, np.int64), _falling(400), 0.6, False)
    estimate, low = audit.recall(float(levels[4]))
    exact = binomtest(396, 400, alternative="greater").proportion_ci(0.95, "exact").low
    assert estimate * (1 + audit.below) == pytest.approx(0.99)
    assert low * (1 + audit.below) == pytest.approx(exact, abs=1e-9)


def test_rows_with_many_pairs_count_as_fewer():
    levels = np.linspace(0.6, 1, 100, dtype=np.float32)
    scores = _falling(400)
    even = Audit(levels, np.full(100, 4), scores, 0.6, False)
    uneven = Audit(levels, np.where(np.arange(100) == 50, 301, 1), scores, 0.6, False)
    assert even.independent_pairs == pytest.approx(100)
    assert uneven.independent_pairs < 2
    assert uneven.recall(0.6)[1] < even.recall(0.6)[1] < 1


def test_with_every_row_audited_nothing_is_estimated_above_the_lowest():
    levels = np.array([0.6, 0.7, 0.8], np.float32)
    audit = Audit(levels, np.array([100, 0, 300]), _falling(400), 0.6, True)
    estimate, low = audit.recall(0.7)
    assert estimate == low
    assert estimate * (1 + audit.below) == pytest.approx(0.75)


def test_what_lies_below_is_extrapolated_as_a_geometric_series():
    scores = np.repeat([0.65, 0.75, 0.85, 0.9], [9, 99, 199, 400]).astype(np.float32)
    audit = Audit(np.full(707, 0.9, np.float32), np.ones(707, np.int64), scores, 0.6, False)
    assert audit.below == pytest.approx(10 * 0.1 / 0.9 / 707)
    flat = np.repeat([0.65, 0.75, 0.85, 0.9], [100, 50, 40, 517]).astype(np.float32)
    assert Audit(audit.levels, audit.owned, flat, 0.6, False).below == np.inf


def test_too_few_pairs_promise_nothing():
    none = Audit(np.array([0.7], np.float32), np.array([0]), np.empty(0, np.float32), 0.6, False)
    assert none.highest_level(0.9) is None
    few = Audit(np.full(20, 0.7, np.float32), np.ones(20, np.int64), np.full(20, 0.9), 0.6, False)
    assert few.highest_level(0.99) is None


def _corpus(name, random, rows=3_000):
    """A corpus as levels: every pair's two rows, its teacher's and its student's similarity."""
    sizes = {
        "couples": np.full(rows // 6, 2),
        "small groups": random.integers(2, 8, rows // 12),
        "groups of copies": np.minimum(2 + random.pareto(1.3, rows // 15).astype(int), 60),
    }[name]
    left, right, place = [], [], 0
    difficulty = []
    for size in sizes:
        i, j = np.triu_indices(size, 1)
        left.append(i + place)
        right.append(j + place)
        # The rows of a group are hard or easy together.
        difficulty.append(np.full(len(i), random.normal(0, 0.04)))
        place += size
    left, right = np.concatenate(left), np.concatenate(right)
    true = random.random(len(left)) < 0.6
    centre = np.where(true, 0.86, 0.72) + np.concatenate(difficulty)
    student = np.clip(centre + random.normal(0, 0.05, len(left)), -1, 1)
    return left, right, student.astype(np.float32), true, place


@pytest.mark.parametrize("name", ["couples", "small groups", "groups of copies"])
def test_the_bound_holds_in_95_of_100_samples(name):
    """Recall over all pairs of the corpus, those below the lowest similarity included."""
    random, lowest, target = np.random.default_rng(7), 0.6, 0.95
    held, promised, chosen = 0, 0, 0
    for _ in range(25):
        left, right, student, true, rows = _corpus(name, random)
        known = student >= lowest
        reach = Reach.of(_pairs(left[known], right[known], student[known]), rows, lowest)
        truth = {(a, b) for a, b in zip(left[true].tolist(), right[true].tolist(), strict=True)}
        is_true = np.array(
            [
                (min(a, b), max(a, b)) in truth
                for a, b in zip(reach.owner.tolist(), reach.partner.tolist(), strict=True)
            ]
        )
        level = np.minimum(reach.level[left], reach.level[right])[true]
        for _ in range(20):
            audited = random.permutation(reach.rows)[: len(reach.rows) // 3]
            positions = reach.owned_by(audited)
            positions = positions[is_true[positions]]
            owned = np.bincount(reach.owner[positions], minlength=rows)[audited]
            scores = reach.similarity[positions]
            audit = Audit(reach.level[audited], owned, scores, lowest, False)
            cut = audit.highest_level(target)
            promised += 1
            if cut is None:
                held += 1
                continue
            chosen += 1
            held += float((level >= np.float32(cut)).mean()) >= audit.recall(cut)[1]
    assert held / promised >= 0.95
    assert chosen > promised / 4
