"""The four guarantees, seen from the outside; vectors are given, so that no model is needed."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_cluster.neighbors import join
from sbert_cluster.pipeline import dedup
from sbert_cluster.types import Reason

SETTINGS = settings(max_examples=50)
# Vectors are rounded to float32 once: pairs this close to the threshold may fall on either side.
ROUNDING = 1e-6
RULES = ("first", "last", "longest", "shortest", "newest:score", "max:score", "min:score")
thresholds = st.one_of(st.sampled_from([0.05, 0.5, 0.9, 1.0]), st.floats(0.05, 1.0))
groupings = st.sampled_from(["direct", "complete", "single"])


def found_pairs(result):
    pairs = result.pairs
    return set(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))


def with_copies(result):
    """The pairs found, and those that follow from copies being joined to their first row only."""
    pairs, texts = found_pairs(result), result.texts
    similar = result.pairs.similarity.tolist()
    twin = {}
    for i, j, s in sorted(zip(result.pairs.left, result.pairs.right, similar, strict=True)):
        if texts[i] == texts[j] and s == 1:
            twin.setdefault(int(j), int(i))
    full = set(pairs)
    for i in range(len(texts)):
        for j in range(i + 1, len(texts)):
            a, b = twin.get(i, i), twin.get(j, j)
            if a == b or (min(a, b), max(a, b)) in pairs:
                full.add((i, j))
    return full


def decisions(result):
    groups, pairs = result.groups, result.pairs
    columns = (
        groups.kept, groups.duplicate_of, groups.similarity, groups.group, groups.lowest_similarity,
        pairs.left, pairs.right, pairs.similarity, pairs.reason,
    )  # fmt: skip
    counts = {**result.manifest.counts, "borderline": result.manifest.search["borderline"]}
    removed = groups.reason[~groups.kept].tobytes()
    return [column.tobytes() for column in columns], removed, counts


def test_complete(frames, similarities):
    """Every two rows with a cosine ≥ t are a pair, no others are, and the manifest says so."""

    @SETTINGS
    @given(frames(), thresholds)
    def check(frame, threshold):
        result = dedup(frame, vector_column="vector", threshold=threshold)
        similar = np.triu(similarities(frame), 1)
        must = {(i, j) for i, j in np.argwhere(similar >= threshold + ROUNDING).tolist()}
        may = {(i, j) for i, j in np.argwhere(similar >= threshold - ROUNDING).tolist()}
        assert must <= with_copies(result) <= may
        for i, j, s in zip(
            result.pairs.left, result.pairs.right, result.pairs.similarity, strict=True
        ):
            assert abs(float(s) - similar[i, j]) < ROUNDING
        assert (result.pairs.similarity >= np.float32(threshold)).all()
        search = result.manifest.search
        assert search["exhaustive"] is True
        assert search["pairs_compared"] == search["pairs_possible"]

    check()


def test_no_chaining(frames, similarities):
    """No two kept rows are ≥ t, and every removed row is ≥ t to the row kept in its place."""

    @SETTINGS
    @given(frames(), thresholds, st.sampled_from(RULES))
    def check(frame, threshold, rule):
        result = dedup(frame, vector_column="vector", threshold=threshold, keep=rule)
        groups, similar = result.groups, similarities(frame)
        kept, removed = np.flatnonzero(groups.kept), np.flatnonzero(~groups.kept)
        assert (similar[np.ix_(kept, kept)] < threshold + ROUNDING).all()
        assert groups.kept[groups.duplicate_of[removed]].all()
        to_kept = similar[removed, groups.duplicate_of[removed]]
        np.testing.assert_allclose(groups.similarity[removed], to_kept, atol=ROUNDING)
        assert (groups.similarity[removed] >= np.float32(threshold)).all()
        # No other kept row is more similar than the one kept in its place.
        if len(removed):
            nearest = similar[np.ix_(removed, kept)].max(axis=1)
            assert (to_kept >= nearest - ROUNDING).all()
        pairs = found_pairs(result)
        assert not any(groups.kept[i] and groups.kept[j] for i, j in pairs)

    check()


def test_complete_groups_hold_similar_rows_only(frames, similarities):
    """With the complete grouping, every two rows of a group are ≥ t."""

    @SETTINGS
    @given(frames(), thresholds, st.sampled_from(RULES))
    def check(frame, threshold, rule):
        result = dedup(
            frame, vector_column="vector", threshold=threshold, keep=rule, grouping="complete"
        )
        similar, group = similarities(frame), result.groups.group
        same = (group[:, None] == group[None, :]) & (group[:, None] >= 0)
        np.fill_diagonal(same, False)
        assert (similar[same] >= threshold - ROUNDING).all()
        assert (result.groups.lowest_similarity >= np.float32(threshold)).all()

    check()


def test_single_groups_are_connected_components(frames, similarities):
    """With the single grouping, rows joined by pairs are one group, told with its lowest pair."""

    @SETTINGS
    @given(frames(), thresholds)
    def check(frame, threshold):
        result = dedup(frame, vector_column="vector", threshold=threshold, grouping="single")
        group, kept, similar = result.groups.group, result.groups.kept, similarities(frame)
        pairs = found_pairs(result)
        assert all(group[i] == group[j] >= 0 for i, j in pairs)
        for number in range(result.groups.count):
            members = np.flatnonzero(group == number)
            reached = {int(members[0])}
            while more := {k for pair in pairs if reached & set(pair) for k in pair} - reached:
                reached |= more
            assert reached == set(members.tolist())
            assert kept[members].tolist() == [True] + [False] * (len(members) - 1)
            inside = similar[np.ix_(members, members)][np.triu_indices(len(members), 1)]
            lowest = result.groups.lowest_similarity[number]
            assert abs(float(lowest) - inside.min()) < ROUNDING

    check()


def test_same_answer_for_any_sizes(frames):
    """Tiles and the number of rows in memory change no bit of pairs, decisions and counts."""

    @SETTINGS
    @given(frames(), thresholds, groupings, st.integers(1, 9))
    def check(frame, threshold, grouping, rows):
        def run(**more):
            return dedup(
                frame, vector_column="vector", threshold=threshold, grouping=grouping, **more
            )

        expected = decisions(run())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(join, "TILE_ROWS", 32 * rows)
            patch.setattr(join, "STRIP_ROWS", 32)
            assert decisions(run(max_rows_in_memory=1, seed=7)) == expected

    check()


def test_row_order_only_renumbers_the_answer(frames):
    """Where a column decides which row stays, the order of the rows changes nothing else."""

    @SETTINGS
    @given(frames(), thresholds, groupings, st.randoms(use_true_random=False))
    def check(frame, threshold, grouping, random):
        frame = frame.with_columns(score=pl.int_range(pl.len()))
        order = random.sample(range(frame.height), frame.height)

        def run(rows):
            return dedup(
                rows,
                vector_column="vector",
                threshold=threshold,
                grouping=grouping,
                keep="min:score",
            )

        one, other = run(frame).groups, run(frame[order]).groups
        back = np.argsort(order)
        # Of rows that are equally similar the one visited first counts, whatever its place.
        assert other.kept[back].tolist() == one.kept.tolist()
        heads = [-1 if d < 0 else order[d] for d in other.duplicate_of[back].tolist()]
        assert heads == one.duplicate_of.tolist()
        np.testing.assert_array_equal(other.similarity[back], one.similarity)

    check()


def test_nothing_lost(frames):
    """Kept and removed rows are the input, untouched and in order, and the counts agree."""

    @SETTINGS
    @given(frames(), thresholds, groupings)
    def check(frame, threshold, grouping):
        result = dedup(frame, vector_column="vector", threshold=threshold, grouping=grouping)
        kept = result.groups.kept
        assert result.corpus.frame.equals(frame)
        assert result.kept.equals(frame.filter(pl.Series(kept)))
        counts = result.manifest.counts
        assert counts["rows"] == frame.height == counts["kept"] + counts["removed"]
        assert counts["kept"] == result.kept.height
        assert counts["pairs"] == len(result.pairs)
        assert counts["groups"] == result.groups.count
        assert counts["empty"] == frame["vector"].null_count()
        assert kept[frame["vector"].is_null().to_numpy()].all()
        reasons = [counts[f"removed_{word}"] for word in ("exact", "normalised", "semantic")]
        assert sum(reasons) == counts["removed"]

    check()


def test_zero_vectors_stay():
    """Rows whose vectors are all zeros are similar to nothing, and none of them is removed."""
    vectors = [[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [1.0, 0.0]]
    result = dedup(pl.DataFrame({"id": [1, 2, 3, 4], "vector": vectors}), vector_column="vector")
    assert result.groups.kept.tolist() == [True, True, True, False]
    assert found_pairs(result) == {(2, 3)}


def test_copies_without_a_text_are_told_alike_everywhere():
    """The reason of a repeated vector is the same in the pairs and in the decisions."""
    result = dedup(
        pl.DataFrame({"id": [1, 2], "vector": [[1.0, 2.0], [1.0, 2.0]]}), vector_column="vector"
    )
    assert result.pairs.reason.tolist() == [Reason.SEMANTIC] == result.groups.reason[1:].tolist()
    assert result.manifest.counts["removed_semantic"] == 1


def test_against_removes_only_what_the_other_file_holds(frames, similarities):
    """A row goes exactly if it is ≥ t to a row of the other input; nothing inside one input is."""

    @SETTINGS
    @given(frames(min_rows=2), thresholds, st.floats(0, 1))
    def check(frame, threshold, share):
        cut = min(max(1, round(share * frame.height)), frame.height - 1)
        left, right = frame[:cut], frame[cut:]
        if left["vector"].is_null().all() or right["vector"].is_null().all():
            return
        result = dedup(left, against=right, vector_column="vector", threshold=threshold)
        across = similarities(frame)[:cut, cut:]
        removed = ~result.groups.kept
        assert removed[across.max(axis=1) >= threshold + ROUNDING].all()
        assert not removed[across.max(axis=1) < threshold - ROUNDING].any()
        rows = np.flatnonzero(removed)
        matched = across[rows, result.groups.duplicate_of[rows]]
        np.testing.assert_allclose(matched, result.groups.similarity[rows], atol=ROUNDING)
        assert (matched >= across[rows].max(axis=1, initial=-1) - ROUNDING).all()

    check()
