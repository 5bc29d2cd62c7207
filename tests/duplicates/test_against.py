"""Rows that repeat a row of another file, compared with plain loops over both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_cluster.duplicates.against import Sides, lift_between, match_rows, pairs_of_rows_between
from sbert_cluster.duplicates.ladder import units_of_texts, units_of_vectors
from sbert_cluster.neighbors.join import find_pairs_between
from sbert_cluster.types import Pairs

SETTINGS = settings(max_examples=80)


def compare(rows, split, threshold):
    """(pairs of rows, decisions), put together as the pipeline does; input rows come first."""
    if rows.lifted:
        units = units_of_texts(rows.texts)
    else:
        units = units_of_vectors(rows.vectors, np.ones(len(rows), np.bool_), rows.texts)
    sides = Sides(units, split)
    vectors = rows.vectors[units.first]
    found = find_pairs_between(vectors[sides.left], vectors[sides.right], threshold).pairs
    found = replace(found, left=sides.left[found.left], right=sides.right[found.right])
    pairs = lift_between(sides, found)
    return pairs_of_rows_between(sides, pairs), match_rows(sides, pairs)


def best_matches(rows, split, threshold):
    """For each input row (reference row, similarity), or None if all are below the threshold."""
    best = {}
    for i in range(split):
        best[i] = None
        for j in range(split, len(rows)):
            if not (rows.active(i) and rows.active(j)):
                continue
            similarity = rows.similarity(i, j)
            # Strictly better: of equally similar ones the earliest stays.
            if similarity >= threshold and (best[i] is None or similarity > best[i][1]):
                best[i] = (j - split, similarity)
    return best


def cut(rows):
    return st.tuples(rows(max_rows=24), st.floats(0, 1)).map(
        lambda drawn: (drawn[0], round(drawn[1] * len(drawn[0])))
    )


def test_each_row_meets_the_most_similar_row_of_the_other_file(rows, thresholds):
    """A row is removed for the most similar reference row ≥ t, the earliest of equal ones."""

    @SETTINGS
    @given(cut(rows), thresholds)
    def check(drawn, threshold):
        case, split = drawn
        _, found = compare(case, split, threshold)
        expected = best_matches(case, split, np.float32(threshold))
        removed = [i for i in range(split) if expected[i]]
        assert found.kept.tolist() == [not expected[i] for i in range(split)]
        assert found.duplicate_of.tolist() == [
            expected[i][0] if expected[i] else -1 for i in range(split)
        ]
        assert found.similarity[removed].tolist() == [expected[i][1] for i in removed]
        assert np.isnan(found.similarity[found.kept]).all()
        assert found.reason[removed].tolist() == [
            case.reason(i, expected[i][0] + split) for i in removed
        ]

    check()


def test_rows_of_one_reference_row_are_a_group(rows, thresholds):
    """Groups are the rows removed for one reference row, the largest first."""

    @SETTINGS
    @given(cut(rows), thresholds)
    def check(drawn, threshold):
        case, split = drawn
        _, found = compare(case, split, threshold)
        expected = best_matches(case, split, np.float32(threshold))
        by_head = {}
        for i in range(split):
            if expected[i]:
                by_head.setdefault(expected[i][0], []).append(i)
        heads = sorted(by_head, key=lambda head: (-len(by_head[head]), head))
        number = {i: k for k, head in enumerate(heads) for i in by_head[head]}
        assert found.group.tolist() == [number.get(i, -1) for i in range(split)]
        assert found.lowest_similarity.tolist() == [
            min(expected[i][1] for i in by_head[head]) for head in heads
        ]

    check()


def test_pairs_cross_from_the_input_to_the_other_file(rows, thresholds):
    """Every pair ≥ t between first copies is there once, in file order, with its reason."""

    @SETTINGS
    @given(cut(rows), thresholds)
    def check(drawn, threshold):
        case, split = drawn
        pairs, _ = compare(case, split, threshold)

        def first_of(start, stop):
            return [
                i
                for i in range(start, stop)
                if case.active(i) and not any(case.same_unit(i, k) for k in range(start, i))
            ]

        expected = [
            (-float(s), i, j - split, case.reason(i, j))
            for i in first_of(0, split)
            for j in first_of(split, len(case))
            if (s := case.similarity(i, j)) >= np.float32(threshold)
        ]
        columns = (-pairs.similarity, pairs.left, pairs.right, pairs.reason)
        found = list(zip(*(column.tolist() for column in columns), strict=True))
        assert found == sorted(expected)

    check()


def test_copies_inside_the_input_stay():
    """What repeats itself in the input alone is not removed."""
    units = units_of_texts(["x", "x", "X", "y", "", "z", "z", ""])
    sides = Sides(units, 5)
    vectors = np.eye(len(units), dtype=np.float32)
    found = find_pairs_between(vectors[sides.left], vectors[sides.right], 0.9).pairs
    assert match_rows(sides, lift_between(sides, found)).kept.all()


def test_nothing_but_empty_rows_is_no_match():
    """Where neither file holds a text, all rows stay and there are no pairs."""
    sides = Sides(units_of_texts(["", "", ""]), 2)
    found = match_rows(sides, lift_between(sides, Pairs.empty()))
    assert found.kept.tolist() == [True, True]
    assert found.count == 0
    assert not len(pairs_of_rows_between(sides, lift_between(sides, Pairs.empty())))


def test_sides_know_where_each_unit_stands_first():
    """First rows are counted from 0 on either side, -1 where a unit does not occur."""
    sides = Sides(units_of_texts(["", "x", "y", "x", "z", "", "y"]), 4)
    assert sides.left.tolist() == [0, 1]
    assert sides.right.tolist() == [1, 2]
    assert sides.first_left().tolist() == [1, 2, -1]
    assert sides.first_right().tolist() == [-1, 2, 0]
