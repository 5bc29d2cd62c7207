"""Label files, as train, calibrate and evaluate read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from sbert_cluster.corpus.columns import require_column
from sbert_cluster.corpus.reading import read_rows
from sbert_cluster.errors import InputError, UsageError
from sbert_cluster.options import ReadOptions
from sbert_cluster.progress import Progress
from sbert_cluster.training.examples import LabelFile

LabelInputs = str | Path | pl.DataFrame | Sequence[str | Path]
"""A file, several of them, or a frame."""


@dataclass(frozen=True)
class LabelColumns:
    """Which rows and columns of label files count."""

    texts: tuple[str, ...] = ()
    """Two or three text columns, or one; empty: found by their names."""
    label: str | None = None
    """None: found by its name."""
    where: tuple[str, ...] = ()
    """``COLUMN=VALUE``: only rows for which all of these hold are read."""


def read_label_files(
    inputs: LabelInputs, columns: LabelColumns, read: ReadOptions, progress: Progress
) -> list[LabelFile]:
    """Read label files, one after the other: each may have columns of its own.

    Raises:
        UsageError: If a condition cannot be understood or a column is missing.
        InputError: If a file cannot be read, or no row is left.
    """
    if isinstance(inputs, pl.DataFrame):
        frames = [("labels", inputs)]
    else:
        paths = [inputs] if isinstance(inputs, str | Path) else inputs
        frames = [(Path(p).name, read_rows([p], read, progress=progress).frame) for p in paths]
    return [
        LabelFile(_rows_where(frame, name, columns.where), name, columns.texts, columns.label)
        for name, frame in frames
    ]


def _rows_where(frame: pl.DataFrame, name: str, conditions: Sequence[str]) -> pl.DataFrame:
    for condition in conditions:
        column, sign, value = condition.partition("=")
        if not sign:
            raise UsageError(
                f"--where {condition!r} is no condition", "Write COLUMN=VALUE, as in split=train."
            )
        require_column(frame, column)
        frame = frame.filter(pl.col(column).cast(pl.String) == value)
        if not frame.height:
            raise InputError(f"{name} has no rows where {condition}", "Check the value.")
    return frame
