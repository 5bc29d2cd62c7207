"""What of a grouped corpus goes into its page: points, texts, and sizes over other columns."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sbert_cluster.report.figures import identity
from sbert_cluster.types import GroupsResult, Rows

MAX_POINTS = 100_000
"""Rows on the map of a page; a browser draws them without delay."""
MAX_CHARACTERS = 1_200
"""Of one text in a page."""
MAX_CHARACTERS_IN_ALL = 24_000_000
"""Of all texts in a page; where there are more, each is cut shorter."""
_LEAST_CHARACTERS = 80
_MOST_VALUES = 12
_MOST_BINS = 36
_COLUMNS = 6
"""Columns over which sizes are shown."""
_PERIODS = (("1d", "%Y-%m-%d"), ("1w", "%Y-%m-%d"), ("1mo", "%Y-%m"), ("1q", "%Y-%m"), ("1y", "%Y"))


@dataclass(frozen=True)
class Points:
    """The rows on the map."""

    rows: Rows
    """int64[m], rising; rows without a place are left out, and some of too many."""
    left_out: int
    """Rows with a place that are not shown."""
    characters: int
    """Longest text that is not cut."""


@dataclass(frozen=True)
class Breakdown:
    """Sizes of clusters over the values of a column."""

    column: str
    is_time: bool
    values: tuple[str, ...]
    """Values or periods, in order."""
    counts: NDArray[np.int64]
    """int64[clusters + 1, values]; the last line is the noise."""


def choose_points(result: GroupsResult) -> Points:
    """Choose the rows of the map and how much of their texts to show."""
    placed = np.flatnonzero(np.isfinite(result.clustering.places).all(axis=1))
    rows = placed
    if len(placed) > MAX_POINTS:
        rows = placed[np.linspace(0, len(placed) - 1, MAX_POINTS).round().astype(np.int64)]
    lengths = np.array([len(result.texts[row]) for row in rows.tolist()], np.int64)
    characters = MAX_CHARACTERS
    while characters > _LEAST_CHARACTERS and (
        np.minimum(lengths, characters).sum() > MAX_CHARACTERS_IN_ALL
    ):
        characters = max(_LEAST_CHARACTERS, characters * 3 // 4)
    return Points(rows, len(placed) - len(rows), characters)


def points_json(result: GroupsResult, points: Points) -> dict[str, Any]:
    """The points for the page's script: numbers as base64 of little-endian arrays."""
    clustering, rows = result.clustering, points.rows
    place = clustering.places[rows].astype("<f4")
    corpus = result.corpus
    names = None
    if corpus.id_column is not None:
        names = [identity(corpus, row) for row in rows.tolist()]
    return {
        "x": _base64(place[:, 0]),
        "y": _base64(place[:, 1]),
        "cluster": _base64(clustering.labels[rows].astype("<i4")),
        "strength": _base64((clustering.strengths[rows] * 255).astype("u1")),
        "attached": np.flatnonzero(clustering.attached[rows]).tolist(),
        "row": _base64(rows.astype("<i4")),
        "text": [_cut(result.texts[row], points.characters) for row in rows.tolist()],
        "id": names,
    }


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[:characters].rstrip() + " …"


def _base64(values: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()


def breakdowns(result: GroupsResult) -> list[Breakdown]:
    """Sizes over every date column and every column of few values, dates first."""
    corpus = result.corpus
    skipped = {*corpus.text_columns, corpus.id_column, corpus.vector_column}
    found = []
    for series in corpus.frame.get_columns():
        if series.name in skipped:
            continue
        values = _periods(series)
        is_time = values is not None
        if values is None:
            values = _categories(series)
        if values is not None:
            found.append(_breakdown(result, series.name, values, is_time=is_time))
    return sorted(found, key=lambda one: not one.is_time)[:_COLUMNS]


def _breakdown(result: GroupsResult, column: str, values: pl.Series, *, is_time: bool) -> Breakdown:
    counted = values.drop_nulls().value_counts(sort=True)
    names = counted[values.name].to_list()
    names = sorted(names) if is_time else names
    number = {name: at for at, name in enumerate(names)}
    column_of = np.array([number.get(value, -1) for value in values.to_list()], np.int64)
    position = {one.cluster: at for at, one in enumerate(result.summaries)}
    lines = len(position) + 1
    line_of = np.array(
        [position.get(int(k), lines - 1) for k in result.clustering.labels], np.int64
    )
    has_text = np.array([bool(text) for text in result.texts]) | (result.clustering.labels >= 0)
    known = (column_of >= 0) & has_text
    flat = line_of[known] * len(names) + column_of[known]
    counts = np.bincount(flat, minlength=lines * len(names)).reshape(lines, len(names))
    return Breakdown(column, is_time, tuple(map(str, names)), counts)


def _categories(series: pl.Series) -> pl.Series | None:
    """The values as strings, where there are few different ones."""
    if series.dtype.is_nested() or series.dtype.is_float() or series.dtype == pl.Binary:
        return None
    distinct = series.drop_nulls().n_unique()
    if not 2 <= distinct <= _MOST_VALUES or distinct > len(series) / 4:
        return None
    return series.cast(pl.String)


def _periods(series: pl.Series) -> pl.Series | None:
    """Dates as days, weeks, months, quarters or years, whichever gives a readable number."""
    dates = _dates(series)
    if dates is None or dates.drop_nulls().n_unique() < 3:
        return None
    for every, shown in _PERIODS:
        periods = dates.dt.truncate(every)
        if periods.drop_nulls().n_unique() <= _MOST_BINS:
            return periods.dt.strftime(shown)
    return None


def _dates(series: pl.Series) -> pl.Series | None:
    if isinstance(series.dtype, pl.Date | pl.Datetime):
        return series.cast(pl.Date)
    if series.dtype != pl.String:
        return None
    known = series.drop_nulls().head(1_000)
    if not len(known) or not known.str.contains(r"^\d{4}-\d{2}-\d{2}").all():
        return None
    dates = series.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)
    return dates if dates.null_count() < 0.1 * len(dates) + series.null_count() else None


def anchors(result: GroupsResult, points: Points) -> Iterator[tuple[float, float]]:
    """Where each cluster's name stands: at the shown row nearest to the median of its rows."""
    labels = result.clustering.labels[points.rows]
    places = result.clustering.places[points.rows]
    for one in result.summaries:
        inside = places[labels == one.cluster]
        if not len(inside):
            yield (float("nan"), float("nan"))
            continue
        middle = np.median(inside, axis=0)
        nearest = inside[((inside - middle) ** 2).sum(axis=1).argmin()]
        yield (float(nearest[0]), float(nearest[1]))
