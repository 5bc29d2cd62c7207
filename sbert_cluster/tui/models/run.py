"""A run folder, opened for looking at it: the manifest now, rows when they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from sbert_cluster.corpus.ondemand import BLOCK_ROWS, RowFile, open_rows
from sbert_cluster.errors import RunFolderError
from sbert_cluster.runs import read_manifest
from sbert_cluster.tui.models.rows import Part, RunRows
from sbert_cluster.types import Pairs, Reason, Rows

_DECISIONS = 5
"""Columns that ``duplicates`` has beyond those of the input."""


@dataclass(frozen=True)
class Run:
    """A finished run of any command."""

    folder: Path
    """The run folder."""
    manifest: dict[str, Any]
    """Content of ``run.json``."""

    @classmethod
    def open(cls, folder: Path) -> Run:
        """Read the manifest.

        Raises:
            RunFolderError: If the folder holds no run.
        """
        return cls(folder, read_manifest(folder))

    @property
    def command(self) -> str:
        """The command that made it, such as ``dedup``."""
        return str(self.manifest.get("command", ""))

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of that command."""
        return dict(self.manifest.get("arguments", {}))

    @property
    def title(self) -> str:
        """The name of the input."""
        files = self.manifest.get("input", {}).get("files", [])
        names = [Path(str(file.get("path", ""))).name for file in files]
        if not names:
            return self.folder.name
        return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"

    @property
    def text_columns(self) -> tuple[str, ...]:
        """Columns that make up the text."""
        return tuple(self.manifest.get("input", {}).get("text_columns", ()))

    @property
    def vector_column(self) -> str | None:
        """The column of vectors that users brought."""
        found = self.manifest.get("input", {}).get("vector_column")
        return None if found is None else str(found)

    @property
    def id_column(self) -> str | None:
        """The column that names a row."""
        found = self.manifest.get("input", {}).get("id_column")
        return None if found is None else str(found)

    def count(self, name: str) -> int:
        """A figure of the manifest; 0 if it is not there."""
        return int(self.manifest.get("counts", {}).get(name, 0))

    def file(self, stem: str) -> Path:
        """The file ``stem.*``.

        Raises:
            RunFolderError: If it is not there.
        """
        found = sorted(self.folder.glob(f"{stem}.*"))
        if not found:
            raise RunFolderError(f"{self.folder} has no file {stem}.*", "Run the command again.")
        return found[0]

    def rows_of(self, path: Path) -> RowFile:
        """The rows of one of its files."""
        return open_rows(path, self.text_columns, self.vector_column)


def input_columns(columns: Sequence[str]) -> tuple[str, ...]:
    """Of the columns of ``duplicates`` those that the input has."""
    return tuple(columns[:-_DECISIONS])


def dedup_rows(run: Run) -> RunRows:
    """The rows of a run of ``dedup``: those kept and those removed are the input, row for row.

    Raises:
        RunFolderError: If a file is missing, or they do not fit together.
    """
    parts = []
    columns: tuple[str, ...] = ()
    removed = run.count("removed")
    if removed:
        file = run.rows_of(run.file("duplicates"))
        columns = input_columns(file.columns)
        parts.append(Part(file, _integers(file, file.columns[-_DECISIONS])))
    if run.count("kept"):
        file = run.rows_of(run.file("kept"))
        columns = file.columns
        parts.append(Part(file, None))
    rows = RunRows(parts, columns, run.text_columns, run.id_column)
    if len(rows) != run.count("rows"):
        raise RunFolderError(
            f"{run.folder} holds {len(rows):,} rows, its manifest says {run.count('rows'):,}",
            "A file was changed or is incomplete; run dedup again.",
        )
    return rows


def read_pairs(run: Run) -> Pairs:
    """The pairs of a run of ``dedup``.

    Raises:
        RunFolderError: If they cannot be read.
    """
    path = run.folder / "pairs.parquet"
    try:
        return _pairs(pl.scan_parquet(path))
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = (str(error).splitlines() or ["unknown reason"])[0]
        raise RunFolderError(f"{path} cannot be read ({reason})", "Run dedup again.") from None


def _pairs(scan: pl.LazyFrame) -> Pairs:
    """Block by block into small numbers: whole, the words alone would take more than all else."""
    count = int(scan.select(pl.len()).collect().item())
    left, right = np.empty((2, count), np.int32)
    similarity, reason = np.empty(count, np.float32), np.empty(count, np.uint8)
    number = {word.word: int(word) for word in Reason}
    as_number = pl.col("reason").replace_strict(number, return_dtype=pl.UInt8)
    for start in range(0, count, BLOCK_ROWS):
        frame = scan.slice(start, BLOCK_ROWS).with_columns(as_number).collect()
        part = slice(start, start + frame.height)
        left[part], right[part] = frame["left"].to_numpy(), frame["right"].to_numpy()
        similarity[part], reason[part] = frame["similarity"].to_numpy(), frame["reason"].to_numpy()
    return Pairs(left, right, similarity, reason)  # type: ignore[arg-type] # int32 is enough


def _integers(file: RowFile, column: str) -> Rows:
    parts = [frame.get_column(column).cast(pl.Int64) for frame in file.blocks([column])]
    return pl.concat(parts).to_numpy() if parts else np.empty(0, np.int64)
