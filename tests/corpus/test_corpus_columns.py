"""The text column is found where that is clear, and asked for where it is not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import numpy as np
import polars as pl
import pytest

from sbert_cluster.corpus.columns import find_text_columns, resolve_columns
from sbert_cluster.corpus.guessing import Look, look_of
from sbert_cluster.corpus.reading import corpus_from_frame
from sbert_cluster.corpus.vectors import vectors_of
from sbert_cluster.errors import InputError, UsageError
from sbert_cluster.options import ReadOptions
from sbert_cluster.types import Corpus

Reader = Callable[..., Corpus]

LONG = [f"how do I change setting number {i} of my account?" for i in range(20)]
SHORT = [f"short one {i}" for i in range(20)]
IDS = [f"id-{i:04}" for i in range(20)]
STATUS = ["in progress", "done now"] * 10


@pytest.mark.parametrize(
    ("columns", "found", "how"),
    [
        ({"a": LONG}, "a", None),
        ({"n": list(range(20)), "category": STATUS}, "category", "the only column of strings"),
        ({"id": IDS, "Question": SHORT, "status": STATUS}, "Question", "by its name"),
        ({"text": STATUS, "name": LONG}, "text", "by its name"),
        ({"title": SHORT, "body": LONG}, "body", "by its name"),
        ({"id": IDS, "zeile": SHORT, "status": STATUS}, "zeile", "the only column of texts"),
        ({"a": SHORT, "b": LONG, "c": IDS}, "b", "by its longer texts"),
        ({"text": IDS[:5] * 4, "date": ["2024-01-05"] * 20}, "text", "by its name"),
        ({"n": ["1,5", "2.0"] * 10, "date": ["5 Jan 2024"] * 20, "b": LONG}, "b", "texts"),
        ({"cat": pl.Series(SHORT, dtype=pl.Categorical), "n": [1.5] * 20}, "cat", "strings"),
    ],
)
def test_found(columns: dict[str, object], found: str, how: str | None) -> None:
    """One column, a usual name, or by far the longest texts decide."""
    names, note = find_text_columns(pl.DataFrame(columns), ())
    assert names == (found,)
    if how is None:
        assert note is None
    else:
        assert note is not None
        assert how in note
        assert "--text-column" in note


@pytest.mark.parametrize(
    "columns",
    [
        {"a": SHORT, "b": SHORT},
        {"title": LONG, "body": LONG},
        {"question1": LONG, "question2": SHORT, "x": LONG},
        {"n": ["1", "2"], "m": ["3", "4"]},
    ],
)
def test_unclear(columns: dict[str, list[str]]) -> None:
    """Where it is not clear, the columns are listed."""
    with pytest.raises(UsageError, match="which column holds the text is not clear") as caught:
        find_text_columns(pl.DataFrame(columns), ())
    assert all(repr(name) in caught.value.remedy for name in columns)


def test_no_strings() -> None:
    """A frame without strings has no text."""
    with pytest.raises(UsageError, match="no column of texts; the columns are 'n'"):
        find_text_columns(pl.DataFrame({"n": [1]}), ())


def test_unknown_column() -> None:
    """A name that is nearly right is suggested, and at most a dozen are listed."""
    frame = pl.DataFrame({"Question": ["a"], **{f"c{i}": ["b"] for i in range(20)}})
    with pytest.raises(UsageError) as caught:
        find_text_columns(frame, ("qestion",))
    assert "column 'qestion' is not in the file. Did you mean 'Question'?" in str(caught.value)
    assert "'c10' and 9 more" in str(caught.value)
    with pytest.raises(UsageError, match=r"'zzzz' is not in the file\. Columns: 'Question'"):
        resolve_columns(frame, ReadOptions(id_column="zzzz"))


def test_wanted_kinds() -> None:
    """Numbers and dates may be the text; lists, structs and bytes may not."""
    frame = pl.DataFrame({"n": [1], "d": [date(2024, 1, 5)], "l": [[1]], "b": [b"x"]})
    assert find_text_columns(frame, ("d", "n", "d")) == (("d", "n"), None)
    for name in ("l", "b"):
        with pytest.raises(UsageError, match="not text"):
            find_text_columns(frame, (name,))


def test_id_column_is_no_text() -> None:
    """The id column is not taken for the text."""
    frame = pl.DataFrame({"text": SHORT, "x": LONG})
    assert resolve_columns(frame, ReadOptions(id_column="text"))[0] == ("x",)


@pytest.mark.parametrize(
    ("values", "look"),
    [
        (["1", "2.5", "-3", "1e5", "12 %"], Look.VALUE),
        (["2024-01-05T10:00:00Z", "2024-01-05 10:00"], Look.VALUE),
        (["05/01/2024", "5 Jan 2024", "January 5, 2024"], Look.VALUE),
        (["yes", "No", "TRUE"], Look.VALUE),
        (["a1b2-c3", "https://x.org/y", "me@x.org"], Look.LABEL),
        (STATUS, Look.LABEL),
        ([], Look.LABEL),
        (SHORT, Look.TEXT),
        (["質問です", "東京都"], Look.TEXT),
    ],
)
def test_looks(values: list[str], look: Look) -> None:
    """Values, labels and texts are told apart."""
    assert look_of(values) is look


def vectors(column: object, **options: object) -> tuple[np.ndarray, np.ndarray]:
    """The vectors of a corpus with that column."""
    frame = pl.DataFrame({"v": column})
    return vectors_of(corpus_from_frame(frame, ReadOptions(vector_column="v", **options)))


@pytest.mark.parametrize(
    "column",
    [
        [[3.0, 4.0], None, [0.0, 0.0]],
        pl.Series([[3, 4], None, [0, 0]], dtype=pl.List(pl.Int8)),
        pl.Series([[3, 4], None, [0, 0]], dtype=pl.Array(pl.Float32, 2)),
        ["[3, 4]", None, "[0,0.0]"],
        [[3e300, 4e300], None, [0.0, 0.0]],
        [[3e-320, 4e-320], None, [0.0, 0.0]],
    ],
)
def test_vectors(column: object) -> None:
    """Vectors come out with norm 1 in float32, with a mask of the rows that have one."""
    found, present = vectors(column)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0], [0, 0]], atol=1e-4)
    assert present.tolist() == [True, False, True]


def test_many_vectors() -> None:
    """Chunks fit together."""
    random = np.random.default_rng(1)
    given = random.normal(size=(20_000, 3))
    found, present = vectors(given.tolist())
    expected = given / np.linalg.norm(given, axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert present.all()


@pytest.mark.parametrize(
    ("column", "problem"),
    [
        ([[1.0, 2.0], [1.0]], r"row 1 \(counted from 0\) has length 1, those before it have 2"),
        ([None, [1.0, float("nan")]], r"row 1 \(counted from 0\) holds NaN, infinity or null"),
        ([[1.0, float("inf")]], r"row 0 .* holds NaN"),
        ([[1.0, None]], r"row 0 .* holds NaN"),
        (["[1, 2]", "[1, x]"], r"row 1 \(counted from 0\) does not hold a JSON list"),
        (["[1, 2]", "3"], r"row 1 \(counted from 0\) does not hold a JSON list"),
        (["[1, NaN]"], "holds NaN"),
        ([[], [1.0]], "row 0 .* is empty"),
        (pl.Series([None, None], dtype=pl.List(pl.Float32)), "holds no vector"),
    ],
)
def test_bad_vectors(column: object, problem: str) -> None:
    """A vector that cannot be used is named by its row."""
    with pytest.raises(InputError, match=problem):
        vectors(column)


@pytest.mark.parametrize("column", [[1.0], [["a"]], [[[1.0]]], [b"x"]])
def test_no_vector_column(column: object) -> None:
    """A column of something else is refused before any work."""
    with pytest.raises(UsageError, match="not vectors"):
        vectors(column)


def test_text_beside_vectors(read: Reader) -> None:
    """With vectors a text is optional, but found where it is clear and checked where named."""
    assert read('text,v\nhello,"[1, 0]"\n', vector_column="v").text_columns == ("text",)
    assert read('a,b,v\none,two,"[1, 0]"\n', vector_column="v").text_columns == ()
    assert read('{"v": [1, 0]}\n', "in.jsonl", vector_column="v").text_columns == ()
    with pytest.raises(UsageError, match="'w' is not in the file"):
        read("text\nhello\n", vector_column="w")
    with pytest.raises(UsageError, match="'zzz' is not in the file"):
        read('text,v\nhello,"[1]"\n', vector_column="v", text_columns=("zzz",))
