"""Vectors that the user brought in a column."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sbert_cluster.errors import InputError, UsageError
from sbert_cluster.types import Corpus, Vectors

_CHUNK_ROWS = 16_384


def check_vector_column(frame: pl.DataFrame, name: str) -> None:
    """Check that a column can hold vectors: lists or arrays of numbers, or strings (JSON lists).

    Raises:
        UsageError: If it cannot.
    """
    dtype = frame.schema[name]
    inner = dtype.inner if isinstance(dtype, pl.List | pl.Array) else None
    # A row of text formats is a JSON list; a list of nothing but nulls has no type yet.
    if isinstance(dtype, pl.String) or (inner is not None and _is_number(inner)):
        return
    raise UsageError(
        f"column {name!r} holds {dtype}, not vectors",
        "Name a column of lists of numbers with --vector-column.",
    )


def vectors_of(corpus: Corpus) -> tuple[Vectors, NDArray[np.bool_]]:
    """The vectors of ``corpus.vector_column``, scaled to norm 1.

    The norm is computed in float64. A vector of zeros stays as it is.

    Args:
        corpus: The rows; its vector column must be set.

    Returns:
        float32[n, dimensions], and bool[n]: which rows have a vector. A row whose vector is null
        (in CSV: empty) has none; its vector is zeros.

    Raises:
        UsageError: If the column is missing or holds something else.
        InputError: If no row has a vector, lengths differ, or a number is null, NaN or infinite.
    """
    name = corpus.vector_column
    if name is None:
        raise UsageError("no vector column is named", "Add --vector-column.")
    check_vector_column(corpus.frame, name)
    column = corpus.frame.get_column(name)
    present = column.is_not_null().to_numpy()
    if not present.any():
        raise InputError(f"column {name!r} holds no vector", "Name another with --vector-column.")
    dimensions = _length(column, int(present.argmax()))
    vectors = np.zeros((len(column), dimensions), np.float32)
    for start in range(0, len(column), _CHUNK_ROWS):
        part = _as_lists(column.slice(start, _CHUNK_ROWS), start)
        rows = np.flatnonzero(present[start : start + _CHUNK_ROWS])
        vectors[start + rows] = _unit(_matrix(part.gather(rows), start + rows, dimensions, name))
    return vectors, present


def _is_number(dtype: pl.DataType | pl.datatypes.DataTypeClass) -> bool:
    return bool(dtype.is_numeric() or dtype == pl.Null)


def _length(column: pl.Series, row: int) -> int:
    length = len(_as_lists(column.slice(row, 1), row)[0])
    if not length:
        raise InputError(
            f"the vector of row {row:,} (counted from 0) is empty", "Leave its cell empty instead."
        )
    return length


def _as_lists(column: pl.Series, start: int) -> pl.Series:
    """The chunk that starts at row ``start`` as lists of float64."""
    if column.dtype == pl.String:
        column = pl.Series(
            [_parsed(cell, start + row) for row, cell in enumerate(column)],
            dtype=pl.List(pl.Float64),
        )
    return column.cast(pl.List(pl.Float64))


def _parsed(cell: str | None, row: int) -> list[float | None] | None:
    if cell is None:
        return None
    try:
        return [None if item is None else float(item) for item in _json_list(cell)]
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise InputError(
            f"row {row:,} (counted from 0) does not hold a JSON list of numbers",
            "Write vectors like [0.1, -0.2].",
        ) from None


def _json_list(cell: str) -> list[float]:
    value = json.loads(cell)
    if not isinstance(value, list):
        raise TypeError
    return value


def _matrix(
    lists: pl.Series, rows: NDArray[np.int64], dimensions: int, name: str
) -> NDArray[np.float64]:
    """Lists as float64[m, dimensions]; ``rows`` are their rows, for errors."""
    lengths = lists.list.len().to_numpy()
    if (lengths != dimensions).any():
        bad = int((lengths != dimensions).argmax())
        raise InputError(
            f"column {name!r}: the vector of row {rows[bad]:,} (counted from 0) has length "
            f"{lengths[bad]}, those before it have {dimensions}",
            "Give vectors of one model only.",
        )
    flat = lists.explode().to_numpy()  # null becomes NaN
    matrix = np.asarray(flat, np.float64).reshape(len(rows), dimensions)
    finite = np.isfinite(matrix).all(axis=1)
    if not finite.all():
        raise InputError(
            f"column {name!r}: the vector of row {rows[finite.argmin()]:,} (counted from 0) holds "
            "NaN, infinity or null",
            "Repair it, or leave its cell empty.",
        )
    return matrix


def _unit(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    # Divided by the largest number first, so that no square overflows or vanishes.
    largest = np.abs(matrix).max(axis=1, keepdims=True, initial=0.0)
    scaled: NDArray[np.float64] = np.divide(
        matrix, largest, out=np.zeros_like(matrix), where=largest > 0
    )
    norms = np.linalg.norm(scaled, axis=1, keepdims=True)
    np.divide(scaled, norms, out=scaled, where=norms > 0)
    return scaled
