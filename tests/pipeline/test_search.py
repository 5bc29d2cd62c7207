"""``search`` and ``Index``: exact, row by row, for texts and for vectors."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_cluster.errors import InputError, UsageError
from sbert_cluster.pipeline import Index, index, search

SETTINGS = settings(max_examples=40)


def cosines(frame, query):
    """float64[n]: cosines of the rows and a query; NaN for a row without a vector."""
    out = np.full(frame.height, np.nan)
    for row, vector in enumerate(frame["vector"].to_list()):
        if vector is not None:
            vector = np.array(vector)
            norms = np.linalg.norm(vector) * np.linalg.norm(query)
            out[row] = vector @ query / norms if norms else -1
    return out


def test_hits_are_those_of_a_loop_over_rows(frames):
    """The best rows, every copy for itself, rows without a vector never."""

    @SETTINGS
    @given(
        frames(),
        st.integers(1, 30),
        st.one_of(st.none(), st.sampled_from([0.3, 0.9, 1.0])),
        st.booleans(),
    )
    def check(frame, top, threshold, both):
        given_top = top if threshold is None or both else None
        made = Index(frame, vector_column="vector")
        width = made.vectors.embeddings.vectors.shape[1]
        query = np.random.default_rng(top).normal(size=(1, width)).astype(np.float32)
        query /= np.linalg.norm(query)
        hits = made.search(query, top=given_top, threshold=threshold)
        exact = cosines(frame, query[0].astype(np.float64))
        present = np.flatnonzero(~np.isnan(exact))
        order = present[np.lexsort((present, -exact[present]))]
        lowest = -2 if threshold is None else threshold
        must = order[exact[order] >= lowest + 1e-6][:given_top]
        may = order[exact[order] >= lowest - 1e-6][:given_top]
        assert len(must) <= len(hits) <= len(may)
        np.testing.assert_allclose(hits.similarity, exact[may[: len(hits)]], atol=1e-6)
        np.testing.assert_allclose(hits.similarity, exact[hits.row], atol=1e-6)
        assert len(set(hits.row.tolist())) == len(hits)
        keys = list(zip(-hits.similarity, hits.row, strict=True))
        assert keys == sorted(keys)

    check()


def test_many_queries_with_a_threshold_equal_single_ones(frames, monkeypatch):
    """Queries that are compared all at once find what each finds alone."""

    @SETTINGS
    @given(frames(min_rows=4), st.sampled_from([0.3, 0.9]))
    def check(frame, threshold):
        made = Index(frame, vector_column="vector")
        queries = made.vectors.embeddings.vectors
        together = {}
        for number in (1, 1_000):
            monkeypatch.setattr(index, "_TOGETHER", number)
            found = made.search(queries, threshold=threshold)
            together[number] = [found.query.tolist(), found.row.tolist(), found.similarity.tolist()]
        assert together[1] == together[1_000]

    check()


def test_texts_find_themselves_and_all_their_copies(tiny_model):
    """The same text has similarity 1; each copy is a hit, empty rows and other rows are not."""
    texts = ["first text", "", "second text", None, "first text", "first text!"]
    made = Index(pl.DataFrame({"text": texts}), model=str(tiny_model))
    hits = made.search("first text", top=2)
    assert hits.row.tolist() == [0, 4]
    assert hits.similarity.tolist() == [1, 1]
    everything = made.search(["first text", "second text"], top=99)
    assert everything.query.tolist() == [0] * 4 + [1] * 4
    assert sorted(everything.row[:4].tolist()) == [0, 2, 4, 5]


def test_search_writes_hits_with_their_rows(tmp_path, tiny_model):
    """A file of hits has the input's columns and three more, in the order of the queries."""
    rows = pl.DataFrame({"id": ["a", "b", "c"], "text": ["one", "two", "one"]})
    rows.write_csv(tmp_path / "in.csv")
    (tmp_path / "queries.txt").write_text("two\n\none\n")
    result = search(
        tmp_path / "in.csv",
        "one",
        query_file=tmp_path / "queries.txt",
        top=2,
        output=tmp_path / "hits.parquet",
        model=str(tiny_model),
    )
    written = pl.read_parquet(tmp_path / "hits.parquet")
    assert written.columns == ["id", "text", "query", "sbert_row", "sbert_similarity"]
    assert written["query"].to_list() == ["one"] * 2 + ["two"] * 2 + ["one"] * 2
    assert written["sbert_row"].to_list()[:2] == [0, 2]
    assert written["id"].to_list()[:3] == ["a", "c", "b"]
    frame = result.to_frame()
    assert frame.columns == ["query", "sbert_row", "sbert_similarity", "id", "text"]
    assert frame["id"].to_list() == written["id"].to_list()
    assert result.manifest.counts == {
        "rows": 3, "empty": 0, "exact_duplicates": 1, "queries": 3, "hits": 6,
    }  # fmt: skip
    assert json.loads(json.dumps(result.to_dict()))["hits"][0]["text"] == "one"


def test_vectors_ask_vectors(tmp_path):
    """Where vectors were made elsewhere, a file of query vectors asks without any model."""
    pl.DataFrame({"v": [[1.0, 0.0], [0.0, 1.0]]}).write_parquet(tmp_path / "rows.parquet")
    queries = pl.DataFrame({"q": [[0.1, 1.0], None]}, schema={"q": pl.List(pl.Float64)})
    result = search(
        tmp_path / "rows.parquet",
        query_file=queries,
        query_vector_column="q",
        vector_column="v",
        top=1,
        model="none",
    )
    assert result.queries == ["row 0"]
    assert result.hits.row.tolist() == [1]


def test_query_prompt_stands_before_queries_only(tiny_model):
    """A prompt of the queries' own changes their vectors, not those of the rows."""
    rows = pl.DataFrame({"text": ["search: one", "one"]})
    made = Index(rows, query_prompt="search: ", model=str(tiny_model), cache=False)
    assert made.search("one", top=1).row.tolist() == [0]
    assert any("search: " in note for note in made.notes)
    plain = Index(rows, model=str(tiny_model), cache=False)
    assert plain.search("one", top=1).row.tolist() == [1]


def test_a_models_own_query_prompt_is_used_and_said(tmp_path, tiny_model):
    """A model with a prompt named ``query`` gets it for queries, unless a prompt is given."""
    import shutil

    folder = shutil.copytree(tiny_model, tmp_path / "model")
    settings_file = folder / "config_sentence_transformers.json"
    known = json.loads(settings_file.read_text()) if settings_file.exists() else {}
    settings_file.write_text(json.dumps({**known, "prompts": {"query": "search: "}}))
    rows = pl.DataFrame({"text": ["search: one", "one"]})
    made = Index(rows, model=str(folder), cache=False)
    assert made.search("one", top=1).row.tolist() == [0]
    assert "prompt before each query: 'search: '" in made.notes[-1]
    other = Index(rows, model=str(folder), prompt="", cache=False)
    assert other.search("one", top=1).row.tolist() == [1]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"top": 0}, UsageError, "--top 0"),
        ({"threshold": 1.5}, UsageError, "--threshold 1.5"),
        ({"queries": []}, UsageError, "nothing to search for"),
        ({"queries": ["  "]}, UsageError, "a query is empty"),
        ({"query_column": "x"}, UsageError, "no file"),
        ({"output": "hits.txt"}, UsageError, "hits.txt"),
        ({"output": "hits"}, UsageError, "hits"),
        ({"model": None}, InputError, "vectors of 32 numbers, the rows of 2"),
    ],
)
def test_what_cannot_be_asked_is_refused(tiny_model, options, error, words):
    """Each wrong argument is an error that names it."""
    frame = pl.DataFrame({"text": ["a", "b"], "v": [[1.0, 0.0], [0.0, 1.0]]})
    asked = {"queries": ["a"], "model": str(tiny_model), **options}
    if asked["model"] is None:
        asked |= {"model": str(tiny_model), "vector_column": "v"}
    queries = asked.pop("queries")
    with pytest.raises(error, match=words):
        search(frame, queries, **asked)
