"""Decisions equal those of plain loops over rows, written from the contract."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_cluster.duplicates import grouping
from sbert_cluster.duplicates.grouping import UnitSimilarity, best_rows, expand, find_leaders
from sbert_cluster.duplicates.keep import visiting_rank
from sbert_cluster.duplicates.ladder import lift, units_of_texts, units_of_vectors
from sbert_cluster.neighbors.join import find_pairs
from sbert_cluster.options import Grouping, KeepRule
from sbert_cluster.types import Pairs

KEEP_RULES = (
    "first", "last", "longest", "shortest", "newest:when", "oldest:when", "max:n", "min:n",
)  # fmt: skip
SETTINGS = settings(max_examples=40)


@dataclass
class Expected:
    """What the contract says about each row."""

    duplicate_of: list[int]
    members: list[list[int]] = field(default_factory=list)
    """Rows of each group, in the order of their numbers."""


def decide(rows, threshold, way, rank):
    """Decisions of the package, put together as the pipeline does."""
    if rows.lifted:
        units = units_of_texts(rows.texts)
    else:
        units = units_of_vectors(rows.vectors, np.ones(len(rows), np.bool_), rows.texts)
    vectors = rows.vectors[units.first]
    pairs = lift(units, find_pairs(vectors, threshold).pairs)
    leader = find_leaders(pairs, rank[best_rows(units, rank)], way)
    return expand(units, leader, rank, UnitSimilarity(units, vectors))


def table(n, seed):
    """Columns for the keep rules, with ties and missing values."""
    random = np.random.default_rng(seed)
    numbers = [None if k == 0 else int(k) for k in random.integers(0, 5, n)]
    days = [
        None if k == 0 else date(2024, 1, 1) + timedelta(int(k)) for k in random.integers(0, 5, n)
    ]
    return {"n": pl.Series(numbers, dtype=pl.Int64), "when": pl.Series(days, dtype=pl.Date)}


def visiting_order(rule, rows, columns):
    """Rows sorted by a keep rule, ties to the earlier row, missing values last."""
    name, _, column = rule.partition(":")
    if name in ("first", "last"):
        return sorted(range(len(rows)), reverse=name == "last")
    if name in ("longest", "shortest"):
        sign = -1 if name == "longest" else 1
        return sorted(range(len(rows)), key=lambda i: sign * len(rows.texts[i]))
    values = columns[column]
    numbers = [v.toordinal() if isinstance(v, date) else v for v in values]
    sign = -1 if name in ("newest", "max") else 1
    return sorted(range(len(rows)), key=lambda i: (values[i] is None, sign * (numbers[i] or 0)))


def direct(rows, similar, threshold, order):
    """A row stays if it is below t to all that stay already; then each joins the most similar."""
    stays = []
    for row in order:
        if all(similar[row, other] < threshold for other in stays):
            stays.append(row)
    heads = list(range(len(rows)))
    for row in set(order) - set(stays):
        # max takes the first of several, and those that stay are in visiting order.
        heads[row] = max(stays, key=lambda other: similar[row, other])
    return heads


def complete(rows, similar, threshold, order):
    """A row joins, of the groups it is similar to as a whole, the one with the nearest first row.

    A copy goes where the copy visited first went.
    """
    groups, seen = [], {}
    for row in order:
        copy = next((other for other in seen if rows.same_unit(row, other)), None)
        open_ = [g for g in groups if all(similar[row, other] >= threshold for other in g)]
        if copy is not None:
            group = seen[copy]
        elif open_:
            group = max(open_, key=lambda g: similar[row, g[0]])
        else:
            group = []
            groups.append(group)
        group.append(row)
        seen[row] = group
    heads = list(range(len(rows)))
    for row, group in seen.items():
        heads[row] = group[0]
    return heads


def single(rows, similar, threshold, order):
    """Rows joined by a chain of pairs are one group; the one visited first stays."""
    heads = list(range(len(rows)))

    def root(row):
        return row if heads[row] == row else root(heads[row])

    place = {row: k for k, row in enumerate(order)}
    for i in order:
        for j in order:
            if i != j and similar[i, j] >= threshold:
                a, b = sorted((root(i), root(j)), key=place.__getitem__)
                heads[b] = a
    return [root(row) for row in range(len(rows))]


REFERENCES = {Grouping.DIRECT: direct, Grouping.COMPLETE: complete, Grouping.SINGLE: single}


def similarities(rows):
    active = [i for i in range(len(rows)) if rows.active(i)]
    return {(i, j): rows.similarity(i, j) for i in active for j in active if i != j}


def expected_groups(heads):
    """Groups by falling size, then by the row that stays."""
    groups = [[row for row in range(len(heads)) if heads[row] == head] for head in set(heads)]
    groups = [group for group in groups if len(group) > 1]
    return sorted(groups, key=lambda group: (-len(group), heads[group[0]]))


def check_equal(found, rows, similar, heads):
    """Every field of the decisions equals the reference."""
    n = len(rows)
    removed = [row for row in range(n) if heads[row] != row]
    assert found.kept.tolist() == [heads[row] == row for row in range(n)]
    assert found.duplicate_of.tolist() == [
        -1 if heads[row] == row else heads[row] for row in range(n)
    ]
    assert np.isnan(found.similarity[found.kept]).all()
    assert found.similarity[removed].tolist() == [similar[row, heads[row]] for row in removed]
    assert found.reason[removed].tolist() == [rows.reason(row, heads[row]) for row in removed]
    groups = expected_groups(heads)
    number = {row: k for k, group in enumerate(groups) for row in group}
    assert found.group.tolist() == [number.get(row, -1) for row in range(n)]
    assert found.count == len(groups)
    assert found.lowest_similarity.tolist() == [
        min(similar[i, j] for i in group for j in group if i != j) for group in groups
    ]
    assert found.duplicate_of.dtype == found.group.dtype == np.int64
    assert found.similarity.dtype == found.lowest_similarity.dtype == np.float32


@pytest.mark.parametrize("rule", KEEP_RULES)
@pytest.mark.parametrize("way", list(Grouping))
def test_decisions_equal_a_plain_loop(way, rule, rows, thresholds):
    """For every grouping and keep rule, all that is decided equals the loops above."""

    @SETTINGS
    @given(rows(), thresholds, st.integers(0, 2**16))
    def check(case, threshold, seed):
        columns = table(len(case), seed)
        order = [row for row in visiting_order(rule, case, columns) if case.active(row)]
        similar = similarities(case)
        heads = REFERENCES[way](case, similar, np.float32(threshold), order)
        rank = visiting_rank(KeepRule.parse(rule), pl.DataFrame(columns), case.texts)
        check_equal(decide(case, threshold, way, rank), case, similar, heads)

    check()


@pytest.mark.parametrize("way", list(Grouping))
def test_no_chaining_whatever_the_order(way, rows, thresholds):
    """What each grouping promises about similarities inside and between groups holds."""

    @SETTINGS
    @given(rows(max_rows=30), thresholds, st.randoms(use_true_random=False))
    def check(case, threshold, random):
        rank = np.array(random.sample(range(len(case)), len(case)), np.int64)
        found = decide(case, threshold, way, rank)
        similar, t = similarities(case), np.float32(threshold)
        kept = [i for i in np.flatnonzero(found.kept).tolist() if case.active(i)]
        if way is not Grouping.COMPLETE:
            assert all(similar[i, j] < t for i in kept for j in kept if i != j)
        for row in np.flatnonzero(~found.kept).tolist():
            head = int(found.duplicate_of[row])
            assert found.kept[head]
            if way is not Grouping.SINGLE:
                assert found.similarity[row] == similar[row, head] >= t
        if way is Grouping.COMPLETE:
            assert (found.lowest_similarity >= t).all()

    check()


@pytest.mark.parametrize("way", list(Grouping))
def test_order_of_pairs_does_not_matter(way, rows, thresholds):
    """The same pairs in another order lead to the same decision."""

    @SETTINGS
    @given(rows(lifted=True, max_rows=30), thresholds, st.integers(0, 2**16))
    def check(case, threshold, seed):
        units = units_of_texts(case.texts)
        pairs = lift(units, find_pairs(case.vectors[units.first], threshold).pairs)
        random = np.random.default_rng(seed)
        rank = random.permutation(len(units))
        shuffled = pairs.take(random.permutation(len(pairs)))
        one, other = find_leaders(pairs, rank, way), find_leaders(shuffled, rank, way)
        assert one.tolist() == other.tolist()

    check()


@pytest.mark.parametrize("way", list(Grouping))
@pytest.mark.parametrize("n", [0, 1, 3])
def test_without_pairs_every_row_stays(way, n):
    """Where nothing is similar, each unit leads itself, also where there is none."""
    leader = find_leaders(Pairs.empty(), np.arange(n, dtype=np.int64), way)
    assert leader.tolist() == list(range(n))
    assert leader.dtype == np.int64


def chain(rows):
    """Vectors in a plane, each 20 degrees from the next; cos 20° = 0.94, cos 40° = 0.77."""
    angles = np.deg2rad(20 * np.arange(rows))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


@pytest.mark.parametrize(
    ("way", "heads"),
    [
        (Grouping.DIRECT, [0, 0, 2, 2, 4]),
        (Grouping.COMPLETE, [0, 0, 2, 2, 4]),
        (Grouping.SINGLE, [0, 0, 0, 0, 0]),
    ],
)
def test_a_chain_is_cut_unless_asked_for(way, heads):
    """Of rows that are similar only to the next one, the ends are never joined by default."""
    vectors = chain(5)
    pairs = find_pairs(vectors, 0.9).pairs
    assert find_leaders(pairs, np.arange(5), way).tolist() == heads


def test_direct_joins_the_most_similar_of_all_that_stay():
    """A row removed early joins a row that is kept later, if that one is more similar."""
    # Row 1 is removed for row 0 before row 2, to which it is nearer, is found to stay.
    angles = np.deg2rad([0, 20, 38])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    pairs = find_pairs(vectors, 0.9).pairs
    assert find_leaders(pairs, np.arange(3), Grouping.DIRECT).tolist() == [0, 2, 2]


def test_ties_go_to_the_row_visited_first():
    """Of two kept rows that are equally similar, the one visited first takes the removed row."""
    pairs = Pairs(
        np.array([0, 1]),
        np.array([2, 2]),
        np.array([0.95, 0.95], np.float32),
        np.full(2, 2, np.uint8),
    )
    for way in (Grouping.DIRECT, Grouping.COMPLETE):
        assert find_leaders(pairs, np.array([0, 1, 2]), way).tolist() == [0, 1, 0]
        assert find_leaders(pairs, np.array([1, 0, 2]), way).tolist() == [0, 1, 1]


def test_lowest_similarity_of_a_long_chain_is_that_of_its_ends():
    """A group joined by a chain is told with the similarity of its least similar rows."""
    n = 10
    vectors = chain(n)
    units = units_of_vectors(vectors, np.ones(n, np.bool_), [""] * n)
    rank = np.arange(n, dtype=np.int64)
    leader = find_leaders(find_pairs(vectors, 0.9).pairs, rank, Grouping.SINGLE)
    found = expand(units, leader, rank, UnitSimilarity(units, vectors))
    assert found.count == 1
    np.testing.assert_allclose(found.lowest_similarity, [np.cos(np.deg2rad(180))], atol=1e-6)


def test_lowest_similarity_is_the_same_for_any_blocks(rows):
    """The lowest similarity is exact, however the group is cut into blocks."""

    @SETTINGS
    @given(rows(lifted=False, max_rows=30), st.integers(1, 9))
    def check(case, block):
        rank = np.arange(len(case), dtype=np.int64)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(grouping, "_BLOCK", block)
            found = decide(case, 0.05, Grouping.SINGLE, rank)
        similar = similarities(case)
        for number, lowest in enumerate(found.lowest_similarity):
            members = np.flatnonzero(found.group == number).tolist()
            assert lowest == min(similar[i, j] for i in members for j in members if i != j)

    check()


def test_lowest_similarity_is_not_that_of_a_rounded_product():
    """Where many rows are almost equally far apart, the lowest is still exact."""
    random = np.random.default_rng(1)
    vectors = np.ones((60, 256)) + 1e-3 * random.normal(size=(60, 256))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    units = units_of_vectors(vectors, np.ones(60, np.bool_), [""] * 60)
    exact = vectors.astype(np.float64)
    norms = np.linalg.norm(exact, axis=1)
    expected = (exact @ exact.T / np.outer(norms, norms)).min().astype(np.float32)
    assert UnitSimilarity(units, vectors).lowest(np.arange(60)) == expected
