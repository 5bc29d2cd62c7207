"""The order in which rows are visited."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_cluster.duplicates.keep import visiting_rank
from sbert_cluster.errors import UsageError
from sbert_cluster.options import KeepRule

NAN = float("nan")


def visited(rule, values=None, texts=None, dtype=None):
    """Rows in the order in which they are visited."""
    frame = (
        pl.DataFrame() if values is None else pl.DataFrame({"c": pl.Series(values, dtype=dtype)})
    )
    texts = [""] * frame.height if texts is None else texts
    rank = visiting_rank(KeepRule.parse(rule), frame, texts)
    assert rank.dtype == np.int64
    assert sorted(rank.tolist()) == list(range(len(texts)))
    return np.argsort(rank).tolist()


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("first", [0, 1, 2, 3, 4]),
        ("last", [4, 3, 2, 1, 0]),
        ("longest", [2, 0, 1, 4, 3]),
        ("shortest", [3, 4, 0, 1, 2]),
    ],
)
def test_rules_without_a_column(rule, expected):
    """Rows go by position or by length in characters, ties to the earlier row."""
    assert visited(rule, texts=["bb", "äß", "ccc", "", "d"]) == expected


def test_length_counts_characters_not_bytes():
    """A text of one wide character is shorter than one of two narrow ones."""
    assert visited("longest", texts=["語", "ab"]) == [1, 0]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([2, None, 3, 2, 1], pl.Int64),
        ([2, None, 3, 2, 1], pl.UInt8),
        ([2.5, None, 3.5, 2.5, -1.0], pl.Float64),
        ([2.5, NAN, float("inf"), 2.5, float("-inf")], pl.Float32),
        (["2", "", "10", " 2.0 ", "-1e3"], pl.String),
        (["2", "nan", "10", "2", "1"], pl.String),
        ([Decimal("2.10"), None, Decimal("10.00"), Decimal("2.10"), Decimal("1.00")], None),
    ],
)
def test_numbers_are_compared_as_numbers(values, dtype):
    """The largest or smallest comes first, ties go to the earlier row, no number comes last."""
    assert visited("max:c", values, dtype=dtype) == [2, 0, 3, 4, 1]
    assert visited("min:c", values, dtype=dtype) == [4, 0, 3, 2, 1]


def test_large_whole_numbers_are_not_rounded():
    """Two numbers that are one float64 apart still differ."""
    assert visited("max:c", [2**60, 2**60 + 1]) == [1, 0]


@pytest.mark.parametrize("rule", ["max:c", "oldest:c"])
def test_ties_among_many_rows_keep_their_order(rule):
    """Ties go to the earlier row also where there are enough rows to sort them in parallel."""
    order = np.array(visited(rule, np.arange(200_000) % 2))
    assert (np.diff(order[:100_000]) == 2).all()
    assert (np.diff(order[100_000:]) == 2).all()


DAY = timedelta(days=1)
D = date(2024, 3, 31)
T = datetime(2024, 3, 31, 18, 5)
EAST = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([D, None, D + DAY, D, D - DAY], pl.Date),
        ([T, None, T + DAY, T, T - DAY], pl.Datetime("us")),
        ([T, None, T + DAY, T, T - DAY], pl.Datetime("ns")),
        ([T.replace(tzinfo=UTC), None, T.replace(tzinfo=UTC) + DAY] * 1
         + [T.replace(tzinfo=UTC), T.replace(tzinfo=UTC) - DAY], pl.Datetime("us", "UTC")),
        ([DAY, None, 2 * DAY, DAY, -DAY], pl.Duration),
        ([time(12), None, time(13), time(12), time(11)], pl.Time),
        ([1_700, None, 1_800, 1_700, 1_600], pl.Int64),
        ([1_700.5, NAN, 1_800.0, 1_700.5, 1_600.0], pl.Float64),
        (["1700", "nan", "1800", "1700", "900"], pl.String),
        (["2024-03-31", None, "2024-04-01", "2024-03-31", "2023-12-31"], pl.String),
        (["2024-03-31", "", "2024-04-01", " 2024-03-31 ", "2023-12-31"], pl.String),
        (["2024-03-31T18:05", None, "2024-03-31T18:06", "2024-03-31T18:05", "2024-03-31T09:00"],
         pl.String),
        (["2024-03-31 18:05", None, "2024-03-31 18:06", "2024-03-31 18:05", "2024-03-31 09:00"],
         pl.String),
        (["2024-03-31T18:05:00", None, "2024-03-31T18:05:00.25", "2024-03-31T18:05:00.000",
          "2024-03-31T18:04:59.999"], pl.String),
        (["2024-03-31 18:05:00", None, "2024-03-31 18:05:00.000001", "2024-03-31 18:05:00",
          "2024-03-31 18:04:59"], pl.String),
        (["2024-03-31T18:05:00Z", None, "2024-03-31T18:05:01Z", "2024-03-31T18:05:00Z",
          "2024-03-31T18:04:59Z"], pl.String),
        # Offsets: the same moment is a tie, however it is written.
        (["2024-03-31T18:05:00Z", None, "2024-03-31T18:05:00-02:00", "2024-03-31T20:05:00+02:00",
          "2024-03-31T18:05:00+02:00"], pl.String),
        (["2024-03-31", None, "2024-03-31T18:05:00", "2024-03-31 00:00", "2024-03-30T23:59:59.9"],
         pl.String),
        (["2024-03-31T00:00:00Z", None, "2024-03-31T00:00:01", "2024-03-31", "2024-03-30"],
         pl.String),
    ],
)  # fmt: skip
def test_times_are_compared_as_times(values, dtype):
    """The newest or oldest comes first, ties go to the earlier row, no time comes last."""
    assert visited("newest:c", values, dtype=dtype) == [2, 0, 3, 4, 1]
    assert visited("oldest:c", values, dtype=dtype) == [4, 0, 3, 2, 1]


@pytest.mark.parametrize("rule", ["newest:c", "oldest:c", "max:c", "min:c"])
def test_column_of_blanks_leaves_the_order_of_rows(rule):
    """Where no row has a value, the earlier row comes first."""
    assert visited(rule, [None, "", " "], dtype=pl.String) == [0, 1, 2]


@pytest.mark.parametrize("rule", ["newest:c", "oldest:c", "max:c", "min:c"])
@given(values=st.lists(st.none() | st.integers(-3, 3), max_size=12))
@settings(max_examples=40)
def test_rank_equals_a_plain_sort(rule, values):
    """Every column rule is a stable sort with missing values at the end."""
    sign = -1 if rule in ("newest:c", "max:c") else 1
    expected = sorted(
        range(len(values)), key=lambda i: (values[i] is None, sign * (values[i] or 0))
    )
    assert visited(rule, values, dtype=pl.Int64) == expected
    as_text = [None if value is None else str(value) for value in values]
    assert visited(rule, as_text, dtype=pl.String) == expected


@pytest.mark.parametrize(
    ("rule", "values", "message"),
    [
        ("newest:c", ["2024-03-31", "soon"], "row 1 .* holds 'soon', not an ISO 8601 date"),
        ("oldest:c", ["31.03.2024"], "row 0 .* holds '31.03.2024'"),
        ("newest:c", ["2024-02-30"], "row 0 .* holds '2024-02-30'"),
        ("newest:c", ["17", "2024-03-31"], "row 0 .* holds '17'"),
        ("newest:c", [True], "column 'c' holds Boolean, not dates"),
        ("max:c", ["1", "2", "many"], "row 2 .* holds 'many', not a number"),
        ("min:c", ["1,5"], "row 0 .* holds '1,5'"),
        ("max:c", [D], "column 'c' holds Date, not numbers"),
        ("min:c", [[1]], "column 'c' holds List.*, not numbers"),
    ],
)
def test_values_that_cannot_be_compared_are_refused(rule, values, message):
    """The error names the rule, the column or the row, and the value."""
    with pytest.raises(UsageError, match=message) as caught:
        visited(rule, values)
    assert f"--keep {rule}" in str(caught.value)
