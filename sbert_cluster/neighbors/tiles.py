"""The tile: the unit of work of a comparison, and where finished tiles are kept.

A tile is a block of rows against a block of rows. Its result depends on nothing else, so it can be
computed anywhere, in any order, twice. A finished tile is one Arrow file and one line of a
manifest; the line is written last, so a killed comparison goes on after the last finished tile.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from sbert_cluster.neighbors.decide import Decided
from sbert_cluster.types import Pairs, Reason

_MANIFEST = "tiles.jsonl"


@dataclass(frozen=True, order=True)
class Tile:
    """A block of left rows against a block of right rows."""

    row: int
    """First left row."""
    column: int
    """First right row."""

    @property
    def name(self) -> str:
        """For files."""
        return f"tile-{self.row:010d}-{self.column:010d}.arrow"


def tiles_within(rows: int, size: int) -> Iterator[Tile]:
    """The tiles of a comparison of rows with each other: each pair of blocks once."""
    for row in range(0, rows, size):
        for column in range(0, row + 1, size):
            yield Tile(row, column)


def tiles_between(left: int, right: int, size: int) -> Iterator[Tile]:
    """The tiles of a comparison of two sides."""
    for row in range(0, left, size):
        for column in range(0, right, size):
            yield Tile(row, column)


@dataclass
class Finished:
    """Finished tiles, in memory."""

    parts: dict[Tile, Decided] = field(default_factory=dict)

    def __contains__(self, tile: Tile) -> bool:
        return tile in self.parts

    def put(self, tile: Tile, result: Decided) -> None:
        """Keep a result."""
        self.parts[tile] = result

    def all(self) -> Decided:
        """Everything, by tile."""
        return Decided.joined([self.parts[tile] for tile in sorted(self.parts)])

    def clear(self) -> None:
        """Forget everything."""
        self.parts.clear()


Entry = dict[str, int]
"""What a line of the manifest says: ``row``, ``column``, ``pairs``, ``scored``, ``rescored``,
``borderline``."""


def write_tile(folder: Path, tile: Tile, result: Decided) -> Entry:
    """Write the file of a finished tile.

    Args:
        folder: That of a :class:`FinishedOnDisk`, which may be in another process or machine.
        tile: Which one.
        result: Its pairs.

    Returns:
        The line that is to be added to the manifest.
    """
    frame = pl.DataFrame(
        {
            "left": result.pairs.left,
            "right": result.pairs.right,
            "similarity": result.pairs.similarity,
        }
    )
    # Two machines may write the same tile, when one was taken for dead too early.
    work = folder / f"{tile.name}.{platform.node()}.{os.getpid()}.tmp"
    with work.open("wb") as file:
        frame.write_ipc(file)
        file.flush()
        os.fsync(file.fileno())
    work.replace(folder / tile.name)
    return {
        "row": tile.row,
        "column": tile.column,
        "pairs": len(result.pairs),
        "scored": result.scored,
        "rescored": result.rescored,
        "borderline": result.borderline,
    }


class FinishedOnDisk:
    """Finished tiles in a folder, so that many pairs need no memory and a kill loses little.

    Args:
        folder: Belongs to one comparison alone: its name should tell vectors and threshold.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lines: dict[Tile, Entry] = {}
        manifest = folder / _MANIFEST
        for line in manifest.read_text("utf-8").splitlines() if manifest.exists() else ():
            try:
                entry: Entry = json.loads(line)
                tile = Tile(entry["row"], entry["column"])
            except (ValueError, KeyError, TypeError):
                continue  # torn by a kill
            if (folder / tile.name).exists():
                self._lines[tile] = entry

    def __contains__(self, tile: Tile) -> bool:
        return tile in self._lines

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self._folder

    def put(self, tile: Tile, result: Decided) -> None:
        """Keep a result: its file first, then its line."""
        self.note(write_tile(self._folder, tile, result))

    def note(self, entry: Entry) -> None:
        """Add the line of a tile whose file was written, here or elsewhere."""
        with (self._folder / _MANIFEST).open("a", encoding="utf-8", newline="\n") as file:
            # The line before may be torn; an empty one between them does no harm.
            file.write(f"\n{json.dumps(entry)}\n")
            file.flush()
            os.fsync(file.fileno())
        self._lines[Tile(entry["row"], entry["column"])] = entry

    def all(self) -> Decided:
        """Everything, by tile."""
        return Decided.joined([self._read(tile) for tile in sorted(self._lines)])

    def _read(self, tile: Tile) -> Decided:
        entry = self._lines[tile]
        if not entry["pairs"]:
            pairs = Pairs.empty()
        else:
            frame = pl.read_ipc((self._folder / tile.name).read_bytes())
            pairs = Pairs(
                frame["left"].to_numpy(),
                frame["right"].to_numpy(),
                frame["similarity"].to_numpy(),
                np.full(frame.height, Reason.SEMANTIC, np.uint8),
            )
        return Decided(pairs, entry["scored"], entry["rescored"], entry["borderline"])

    def clear(self) -> None:
        """Delete the folder's files; the result stands elsewhere now."""
        for tile in self._lines:
            (self._folder / tile.name).unlink(missing_ok=True)
        for path in [*self._folder.glob("*.tmp"), self._folder / _MANIFEST]:
            path.unlink(missing_ok=True)
        self._folder.rmdir()
        self._lines.clear()
