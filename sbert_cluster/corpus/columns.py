"""Which column holds what: the text, the id, the vectors."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import polars as pl

from sbert_cluster.corpus.guessing import likely_text_columns
from sbert_cluster.corpus.vectors import check_vector_column, vectors_of
from sbert_cluster.errors import UsageError
from sbert_cluster.options import ReadOptions

__all__ = [
    "find_text_columns",
    "is_string",
    "listed",
    "require_column",
    "resolve_columns",
    "vectors_of",
]

_NAMES_SHOWN = 12


def find_text_columns(
    frame: pl.DataFrame, wanted: tuple[str, ...]
) -> tuple[tuple[str, ...], str | None]:
    """The columns that hold the text.

    Where none is wanted, only columns of strings count: the only one; or one with a usual name
    (``text``, ``question``, ``body`` ...); or the one whose texts are by far the longest.

    Args:
        frame: The rows.
        wanted: Columns that the user named; empty: find one.

    Returns:
        The columns, and a sentence for the user where one was guessed.

    Raises:
        UsageError: If a wanted column is missing or nested, or it is not clear which to take.
    """
    if wanted:
        for name in wanted:
            require_column(frame, name)
            _require_scalar(frame, name)
        return tuple(dict.fromkeys(wanted)), None
    strings = [name for name, dtype in frame.schema.items() if is_string(dtype)]
    if not strings:
        raise UsageError(
            f"there is no column of texts; the columns are {listed(frame.columns)}",
            "Name one with --text-column.",
        )
    found, how = likely_text_columns(frame, strings)
    if len(found) > 1 or not how:
        raise UsageError(
            "which column holds the text is not clear",
            f"Name it with --text-column; the columns are: {listed(frame.columns)}.",
        )
    if frame.width == 1:
        return tuple(found), None
    return tuple(found), f"text column: {found[0]!r} ({how}; --text-column names another)"


def resolve_columns(
    frame: pl.DataFrame, options: ReadOptions
) -> tuple[tuple[str, ...], str | None]:
    """Check the id and the vector column, and find the text columns beside them.

    With vectors given, a text is optional: none is taken where it is not clear which.

    Args:
        frame: The rows.
        options: Which columns the user named.

    Returns:
        The text columns, and a sentence for the user where one was guessed.

    Raises:
        UsageError: If a named column is missing or of the wrong kind, or a text is needed and it
            is not clear which column holds it.
    """
    taken = [name for name in (options.id_column, options.vector_column) if name is not None]
    for name in taken:
        require_column(frame, name)
    if options.vector_column is not None:
        check_vector_column(frame, options.vector_column)
    if options.text_columns:
        return find_text_columns(frame, options.text_columns)
    try:
        return find_text_columns(frame.drop(taken), ())
    except UsageError:
        if options.vector_column is None:
            raise
        return (), None


def require_column(frame: pl.DataFrame, name: str) -> None:
    """Check that a column exists.

    Raises:
        UsageError: If it does not, with the nearest name.
    """
    if name in frame.columns:
        return
    lower = {column.strip().lower(): column for column in frame.columns}
    near = difflib.get_close_matches(name.strip().lower(), lower, 1)
    hint = f"Did you mean {lower[near[0]]!r}? " if near else ""
    raise UsageError(
        f"column {name!r} is not in the file", f"{hint}Columns: {listed(frame.columns)}."
    )


def is_string(dtype: pl.DataType) -> bool:
    """Whether a column holds strings, in whatever representation."""
    return isinstance(dtype, pl.String | pl.Categorical | pl.Enum)


def listed(names: Sequence[str]) -> str:
    """The first dozen names, for a message."""
    shown = ", ".join(repr(name) for name in names[:_NAMES_SHOWN])
    more = len(names) - _NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _require_scalar(frame: pl.DataFrame, name: str) -> None:
    dtype = frame.schema[name]
    if dtype.is_nested() or isinstance(dtype, pl.Binary | pl.Object):
        raise UsageError(
            f"column {name!r} holds {dtype}, not text", "Name another with --text-column."
        )
