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


def _audit(levels, owned, scores, *, sure=1.0, share=0.25):
    return Audit(np.array(levels, np.float32), np.array(owned), scores, 0.6, sure, share)


def test_the_bound_is_that_of_a_poisson_count_where_rows_own_one_pair_each():
    from scipy.stats import chi2

    levels = np.linspace(0.6, 0.99, 400, dtype=np.float32)
    audit = _audit(levels, np.ones(400, np.int64), _falling(400))
    estimate, most = audit.missed(float(levels[4]))
    assert (estimate, most) == (16, pytest.approx(chi2.ppf(0.975, 2 * 5) / 2 / 0.25))
    low = audit.recall(float(levels[4]))[1]
    assert low == pytest.approx(396 / (396 + most + audit.below))
    # Once all rows are read, what was found is known.
    estimate, low = audit.recall(float(levels[4]), found=1584)
    assert estimate == pytest.approx(1584 / (1600 + audit.below))
    assert low == pytest.approx(1584 / (1584 + most + audit.below))


def test_rows_with_many_pairs_count_as_fewer():
    levels, scores = np.linspace(0.6, 0.99, 100, dtype=np.float32), _falling(400)
    even = _audit(levels, np.full(100, 4), scores)
    uneven = _audit(levels, np.where(np.arange(100) == 50, 301, 1), scores)
    one = _audit(levels, np.ones(100, np.int64), scores[:100])
    assert one.missed(0.6)[1] < even.missed(0.6)[1] < uneven.missed(0.6)[1]


def test_rows_that_are_surely_read_count_once():
    """Large groups of copies, whose rows are all read, say nothing of the others."""
    levels = np.concatenate([np.linspace(0.6, 0.8, 50), np.full(100, 0.95)])
    owned = np.concatenate([np.ones(50, np.int64), np.full(100, 60)])
    scores = np.repeat(np.float32([0.85, 0.95]), [50, 6_000])
    audit = _audit(levels, owned, scores, sure=0.9)
    assert audit.missed(0.6)[1] == pytest.approx(-np.log(0.025) / 0.25)
    assert audit.found(0.9) == 6_000
    assert audit.highest_level(0.99) == pytest.approx(0.6 + 0.2 / 49 * 8, abs=0.01)


def test_with_every_row_audited_nothing_is_estimated_above_the_lowest():
    audit = _audit([0.6, 0.7, 0.8], [100, 0, 300], _falling(400), share=1.0)
    estimate, low = audit.recall(0.7)
    assert estimate == low == pytest.approx(300 / (400 + audit.below))


def test_what_lies_below_is_extrapolated_as_a_geometric_series():
    scores = np.repeat([0.65, 0.75, 0.85, 0.9], [9, 99, 199, 400]).astype(np.float32)
    one = np.ones(707, np.int64)
    levels = np.full(707, 0.9)
    assert _audit(levels, one, scores, share=1.0).below == pytest.approx(10 * 0.1 / 0.9)
    assert _audit(levels, one, scores, share=0.5).below == pytest.approx(20 * 0.1 / 0.9)
    one, levels = np.ones(750, np.int64), np.full(750, 0.9, np.float32)
    flat = np.repeat([0.65, 0.75, 0.85, 0.9], [100, 50, 40, 560]).astype(np.float32)
    assert _audit(levels, one, flat).below == np.inf


def test_too_few_pairs_promise_nothing():
    assert _audit([0.7], [0], np.empty(0, np.float32)).highest_level(0.9) is None
    few = _audit(np.full(20, 0.7), np.ones(20, np.int64), _falling(20))
    assert few.highest_level(0.99) is None


def _corpus(name, random, rows=3_000):
    """The pairs of a corpus: their rows, the student's similarity, and which are true."""
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


def _audited(reach, is_true, order, share, sure):
    low = order[: max(1, round(share * len(order)))]
    rows = np.concatenate([reach.above(sure), low])
    positions = reach.owned_by(rows)
    positions = positions[is_true[positions]]
    owned = np.bincount(reach.owner[positions], minlength=reach.count)[rows]
    # Row by row, as the audit has them.
    scores = reach.similarity[positions]
    return Audit(reach.level[rows], owned, scores, reach.lowest, sure, share)


@pytest.mark.parametrize("name", ["couples", "small groups", "groups of copies"])
def test_the_bound_holds_in_95_of_100_samples(name):
    """Recall over all pairs of the corpus, those below the lowest similarity included."""
    random, lowest, target = np.random.default_rng(7), 0.6, 0.95
    held, promised, chosen = 0, 0, 0
    for _ in range(25):
        left, right, student, true, rows = _corpus(name, random)
        known = student >= lowest
        reach = Reach.of(_pairs(left[known], right[known], student[known]), rows, lowest)
        number = left * rows + right
        first, second = (
            np.minimum(reach.owner, reach.partner),
            np.maximum(reach.owner, reach.partner),
        )
        is_true = np.isin(first * rows + second, number[true])
        level = np.minimum(reach.level[left], reach.level[right])[true]
        for _ in range(20):
            order = random.permutation(np.setdiff1d(reach.rows, reach.above(0.88)))
            promised += 1
            # As in a run, the sample grows until it tells a level.
            for share in (0.1, 0.15, 0.22, 0.33, 0.5):
                audit = _audited(reach, is_true, order, share, 0.88)
                cut = audit.highest_level(target)
                if cut is not None:
                    break
            if cut is None:
                held += 1
                continue
            chosen += 1
            found = int((level >= np.float32(cut)).sum())
            recall = found / len(level)
            held += recall >= max(target, audit.recall(cut, found)[1])
    assert held / promised >= 0.95
    assert chosen > promised / 4
