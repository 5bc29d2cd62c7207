"""Rows folded onto units, and the reason of every pair."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_cluster.duplicates.ladder import (
    lift,
    pairs_of_rows,
    same_form_pairs,
    units_of_texts,
    units_of_vectors,
)
from sbert_cluster.types import Pairs, Reason

SETTINGS = settings(max_examples=80)
EXACT, NORMALISED, SEMANTIC = Reason.EXACT, Reason.NORMALISED, Reason.SEMANTIC

# Words of letters in several cases and spacings; "" is an empty row.
WORDS = ("", "ab", "AB", " ab ", "Ab", "ba", "BA", "a b", "A  B", "c")
texts_of_words = st.lists(st.sampled_from(WORDS), max_size=14)


def form(text):
    """What is left of these words without case and spacing."""
    return " ".join(text.casefold().split())


def some_pairs(*rows):
    """Pairs found by their vectors, given as (left, right, similarity)."""
    left, right, similarity = zip(*rows, strict=True) if rows else ((), (), ())
    return Pairs(
        np.array(left, np.int64),
        np.array(right, np.int64),
        np.array(similarity, np.float32),
        np.full(len(rows), SEMANTIC, np.uint8),
    )


def as_set(pairs):
    columns = (pairs.left, pairs.right, pairs.similarity, pairs.reason)
    listed = list(zip(*(column.tolist() for column in columns), strict=True))
    assert len({pair[:2] for pair in listed}) == len(listed)
    return set(listed)


@SETTINGS
@given(texts_of_words)
def test_rows_of_one_text_are_one_unit(texts):
    """Two rows share a unit exactly if they have the same text, and empty rows have none."""
    units = units_of_texts(texts)
    assert units.lifted
    for i, text in enumerate(texts):
        assert (units.index[i] == -1) == (text == "")
        for j, other in enumerate(texts):
            if text and other:
                assert (units.index[i] == units.index[j]) == (text == other)
    assert units.first.tolist() == [texts.index(t) for t in dict.fromkeys(texts) if t]
    assert units.copies().tolist() == [i for i, t in enumerate(texts) if t and t in texts[:i]]
    assert len(units) == len(set(texts) - {""})
    assert units.first.dtype == units.index.dtype == units.form.dtype == np.int64


@SETTINGS
@given(texts_of_words)
def test_pairs_of_one_form_are_all_pairs_of_equal_normal_form(texts):
    """Distinct texts that differ in case and spacing alone make up every pair of one form."""
    units = units_of_texts(texts)
    distinct = [text for text in dict.fromkeys(texts) if text]
    left, right = same_form_pairs(units)
    n = len(distinct)
    assert sorted(zip(left.tolist(), right.tolist(), strict=True)) == [
        (i, j) for i in range(n) for j in range(i + 1, n) if form(distinct[i]) == form(distinct[j])
    ]


@SETTINGS
@given(texts_of_words, st.data())
def test_lift_gives_one_form_similarity_1_and_every_pair_its_reason(texts, data):
    """Pairs of one form are there once with 1 and normalised, all others stay as they were."""
    units = units_of_texts(texts)
    distinct = [text for text in dict.fromkeys(texts) if text]
    every = [(i, j) for i in range(len(distinct)) for j in range(i + 1, len(distinct))]
    chosen = data.draw(st.sets(st.sampled_from(every))) if every else set()
    found = some_pairs(*((i, j, 0.5 + (i + j) / 64) for i, j in sorted(chosen)))
    expected = {
        (i, j, 1.0, NORMALISED) if same else (i, j, 0.5 + (i + j) / 64, SEMANTIC)
        for i, j in every
        if (same := form(distinct[i]) == form(distinct[j])) or (i, j) in chosen
    }
    assert as_set(lift(units, found)) == expected


def test_lift_of_no_pairs_still_finds_those_of_one_form():
    """Where no vectors are similar, texts of one form are pairs all the same."""
    lifted = lift(units_of_texts(["Go!", "stop", "go", "GO"]), Pairs.empty())
    assert as_set(lifted) == {(0, 2, 1, NORMALISED), (0, 3, 1, NORMALISED), (2, 3, 1, NORMALISED)}


def test_copies_are_joined_to_their_first_row_only():
    """Four copies are three pairs, and a pair of units is one pair of their first rows."""
    units = units_of_texts(["", "x", "y", "", "x", "y", "x", "x"])
    pairs = pairs_of_rows(units, lift(units, some_pairs((0, 1, 0.75))))
    assert as_set(pairs) == {
        (1, 4, 1, EXACT),
        (1, 6, 1, EXACT),
        (1, 7, 1, EXACT),
        (2, 5, 1, EXACT),
        (1, 2, 0.75, SEMANTIC),
    }


@SETTINGS
@given(texts_of_words, st.integers(0, 2**16))
def test_pairs_of_rows_are_ordered(texts, seed):
    """Pairs fall in similarity, then rise in left and right; left is below right."""
    units = units_of_texts(texts)
    i, j = np.triu_indices(len(units), 1)
    # Few distinct similarities, so that ties are common, and shuffled.
    order = np.random.default_rng(seed).permutation(len(i))
    similarity = (0.5 + (i[order] + j[order]) % 3 / 8).tolist()
    found = some_pairs(*zip(i[order].tolist(), j[order].tolist(), similarity, strict=True))
    pairs = pairs_of_rows(units, lift(units, found))
    keys = list(
        zip((-pairs.similarity).tolist(), pairs.left.tolist(), pairs.right.tolist(), strict=True)
    )
    assert keys == sorted(keys)
    assert (pairs.left < pairs.right).all()
    assert pairs.left.dtype == pairs.right.dtype == np.int64
    assert pairs.similarity.dtype == np.float32


def given_units(vectors, texts, present=None):
    present = np.ones(len(vectors), np.bool_) if present is None else np.array(present)
    return units_of_vectors(np.array(vectors, np.float32), present, texts)


def test_given_vectors_fold_only_where_vector_and_text_are_the_same():
    """One text with two vectors is two units, and so is one vector with two texts."""
    a, b = [1, 0], [0, 1]
    units = given_units([a, a, b, a, b], ["x", "x", "x", "y", "x"])
    assert units.index.tolist() == [0, 0, 1, 2, 1]
    assert units.first.tolist() == [0, 2, 3]
    assert not units.lifted


def test_rows_without_a_vector_take_no_part():
    """A row whose vector is missing is in no unit, whatever its text."""
    units = given_units([[1, 0], [0, 0], [1, 0]], ["x", "x", "x"], [True, False, True])
    assert units.index.tolist() == [0, -1, 0]
    assert units.copies().tolist() == [2]


def test_zero_vectors_are_never_folded():
    """Rows of zeros are similar to nothing, so they are not copies of each other."""
    units = given_units([[0, 0], [0, 0], [1, 0], [-0.0, 0]], ["", "", "", ""])
    assert units.index.tolist() == [0, 1, 2, 3]
    units = given_units([[0, 0], [0, 0]], ["x", "x"])
    assert units.copies().tolist() == []


def test_given_vectors_decide_and_texts_explain():
    """Texts change neither which pairs there are nor their similarity, only the reason."""
    a, b, c, d = np.eye(4).tolist()
    units = given_units([a, b, c, d], ["x", "x", "X", ""])
    found = some_pairs((0, 1, 0.75), (0, 2, 0.75), (0, 3, 0.75))
    assert as_set(lift(units, found)) == {
        (0, 1, 0.75, EXACT),
        (0, 2, 0.75, NORMALISED),
        (0, 3, 0.75, SEMANTIC),
    }
    assert as_set(lift(units, Pairs.empty())) == set()


def test_rows_without_text_are_never_of_one_form():
    """Two empty texts beside vectors are no reason for anything."""
    units = given_units([[1, 0], [0, 1]], ["", ""])
    zero, one = np.array([0]), np.array([1])
    assert not units.same_text(zero, one).any()
    assert not units.same_form(zero, one).any()
    assert [len(side) for side in same_form_pairs(units)] == [0, 0]


def test_copies_of_a_vector_without_text_are_semantic_pairs():
    """Where there is no text, the same vector is what makes a row a duplicate."""
    a, b = [1, 0], [0, 1]
    units = given_units([a, a, b, b], ["", "", "x", "x"])
    pairs = pairs_of_rows(units, lift(units, Pairs.empty()))
    assert as_set(pairs) == {(0, 1, 1, SEMANTIC), (2, 3, 1, EXACT)}


def test_no_rows_are_no_units():
    """Nothing in, nothing out."""
    units = units_of_texts([])
    assert len(units) == 0
    assert not len(pairs_of_rows(units, lift(units, Pairs.empty())))
    units = units_of_texts(["", ""])
    assert units.index.tolist() == [-1, -1]
    assert not len(pairs_of_rows(units, lift(units, Pairs.empty())))
