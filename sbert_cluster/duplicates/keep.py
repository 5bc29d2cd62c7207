"""The order in which rows are visited: the row that comes first is the one that stays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from sbert_cluster.corpus.columns import require_column
from sbert_cluster.errors import UsageError
from sbert_cluster.options import KeepPolicy, KeepRule
from sbert_cluster.types import Rows


def visiting_rank(rule: KeepRule, frame: pl.DataFrame, texts: Sequence[str]) -> Rows:
    """Rank rows by a keep rule.

    Args:
        rule: Which row of a group stays.
        frame: n rows, for the rules that compare a column.
        texts: str[n], for ``longest`` and ``shortest`` (in characters).

    Returns:
        int64[n]: 0 for the row visited first. Ties go to the earlier row; rows without a value come
        last.

    Raises:
        UsageError: If the column holds no dates (``newest``, ``oldest``) or numbers (``max``,
            ``min``).
    """
    n = len(texts)
    rows = np.arange(n, dtype=np.int64)
    match rule.policy:
        case KeepPolicy.FIRST:
            order = rows
        case KeepPolicy.LAST:
            order = rows[::-1]
        case KeepPolicy.LONGEST | KeepPolicy.SHORTEST:
            lengths = np.fromiter(map(len, texts), np.int64, n)
            falling = rule.policy is KeepPolicy.LONGEST
            order = np.argsort(-lengths if falling else lengths, kind="stable")
        case _:
            order = _order_by_column(rule, frame)
    rank = np.empty(n, np.int64)
    rank[order] = rows
    return rank


def _order_by_column(rule: KeepRule, frame: pl.DataFrame) -> Rows:
    require_column(frame, str(rule.column))
    column = frame.get_column(str(rule.column))
    in_time = rule.policy in (KeepPolicy.NEWEST, KeepPolicy.OLDEST)
    values = _as_times(column, rule) if in_time else _as_numbers(column, rule)
    return (
        pl.DataFrame({"value": values})
        .with_row_index("row")
        .sort(
            "value",
            descending=rule.policy in (KeepPolicy.NEWEST, KeepPolicy.MAX),
            nulls_last=True,
            maintain_order=True,
        )
        .get_column("row")
        .cast(pl.Int64)
        .to_numpy()
    )


def _as_numbers(column: pl.Series, rule: KeepRule) -> pl.Series:
    if column.dtype == pl.String:
        trimmed = column.str.strip_chars().replace("", None)
        numbers = trimmed.cast(pl.Float64, strict=False)
        _refuse_lost(trimmed, numbers, rule, "a number")
        return numbers.fill_nan(None)
    if not column.dtype.is_numeric():
        raise UsageError(
            f"--keep {rule}: column {rule.column!r} holds {column.dtype}, not numbers",
            "Name a column of numbers, or use newest:COL for dates.",
        )
    return column.fill_nan(None) if column.dtype.is_float() else column


def _as_times(column: pl.Series, rule: KeepRule) -> pl.Series:
    """Dates and times as they are, ISO 8601 text parsed, numbers taken as time stamps.

    Text may mix dates and times; a time without an offset is taken as UTC.
    """
    if column.dtype.is_temporal() or column.dtype.is_numeric():
        return column.fill_nan(None) if column.dtype.is_float() else column
    if column.dtype != pl.String:
        raise UsageError(
            f"--keep {rule}: column {rule.column!r} holds {column.dtype}, not dates",
            "Name a column of dates, or use max:COL for numbers.",
        )
    trimmed = column.str.strip_chars().replace("", None)
    numbers = trimmed.cast(pl.Float64, strict=False)
    if numbers.count() == trimmed.count():
        return numbers.fill_nan(None)
    times = pl.select(pl.coalesce(_parsed(trimmed, how) for how in _TIME_FORMATS)).to_series()
    _refuse_lost(
        trimmed, times, rule, "an ISO 8601 date or time such as 2024-03-31 or 2024-03-31T18:05:00"
    )
    return times


_TIME_FORMATS = (
    "%+",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
)


def _parsed(values: pl.Series, how: str) -> pl.Series:
    """Times in UTC, null where the text is written in another way."""
    if how == "%+":
        return values.str.to_datetime(how, strict=False, time_zone="UTC", time_unit="us")
    times = values.str.to_datetime(how, strict=False, time_unit="us")
    return times.dt.replace_time_zone("UTC")


def _refuse_lost(before: pl.Series, after: pl.Series, rule: KeepRule, wanted: str) -> None:
    lost = (before.is_not_null() & after.is_null()).arg_true()
    if len(lost):
        row = int(lost[0])
        raise UsageError(
            f"--keep {rule}: row {row} (from 0) holds {str(before[row])[:40]!r}, not {wanted}",
            "Correct the value, or use another rule.",
        )
