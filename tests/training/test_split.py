"""Rows are held out so that no text is both learned from and judged by."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_cluster.corpus.texts import normalise
from sbert_cluster.training.examples import LabelFile, read_examples
from sbert_cluster.training.split import meanings, split


@st.composite
def files(draw):
    """One or two files of pairs over a small pool of texts, so that texts are shared."""
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    pool = draw(st.integers(60, 900))
    made = []
    for _ in range(draw(st.integers(1, 2))):
        rows = draw(st.integers(50, 600))
        left = random.integers(0, pool, rows)
        right = (left + random.integers(1, pool, rows)) % pool
        written = [f"Text {i}" if random.random() < 0.5 else f"text {i}!" for i in left]
        frame = pl.DataFrame(
            {
                "text_a": written,
                "text_b": [f"text {i}" for i in right],
                "label": (random.random(rows) < draw(st.sampled_from([0.05, 0.5]))).astype(int),
            }
        )
        made.append(LabelFile(frame, f"file {len(made)}"))
    return made


def forms(part):
    """Normal forms of all texts of a part."""
    return {
        normalise(part.texts[number]) for e in part.sets for number in np.unique(e.rows).tolist()
    }


@settings(max_examples=40)
@given(files(), st.floats(0, 0.5), st.integers(0, 3))
def test_no_text_stands_in_two_parts(made, share, seed):
    """Not even in another spelling; and no row is lost."""
    labelled = read_examples(made)
    parts = split(labelled, share, seed)
    there = [part for part in (parts.train, parts.stop, parts.test) if part]
    for i, one in enumerate(there):
        for other in there[i + 1 :]:
            assert forms(one).isdisjoint(forms(other))
    rows = sum(len(e) for part in there for e in part.sets)
    assert rows == sum(map(len, labelled.sets))


@settings(max_examples=20)
@given(files(), st.integers(0, 3))
def test_rows_that_share_a_text_with_given_files_are_left_out(made, seed):
    """With files to judge by, nothing of theirs is learned from."""
    labelled = read_examples([made[0], made[-1]])
    parts = split(labelled, 0.2, seed, given=1)
    judged = {normalise(labelled.texts[n]) for n in np.unique(labelled.sets[-1].rows).tolist()}
    assert forms(parts.train).isdisjoint(judged)
    assert parts.left_out + len(parts.train.sets[0]) == len(labelled.sets[0])


def test_a_large_file_is_divided_in_three(labelled):
    """Half of what is held out chooses, half judges; both labels are in either."""
    parts = split(labelled, 0.5, 0)
    assert parts.stop is None  # fewer than 400 rows are held out
    assert parts.test is not None
    assert 0 < parts.test.sets[0].labels.mean() < 1
    assert "no text stands in two" in parts.said()


def test_the_closure_joins_what_labels_chain():
    """A = b and b = c say that a = c; a pair labelled 0 says nothing of the kind."""
    frame = pl.DataFrame(
        {
            "text_a": ["a", "b", "C!", *(f"x{i}" for i in range(9))],
            "text_b": ["b", "c", "d", *(f"y{i}" for i in range(9))],
            "label": [1, 1, 0, *[1] * 9],
        }
    )
    labelled = read_examples([LabelFile(frame)])
    number = dict(zip(labelled.texts, meanings(labelled.texts, labelled.sets), strict=True))
    assert number["a"] == number["c"] == number["C!"]
    assert number["a"] != number["d"]
