"""How a tile is compared, wherever that happens: which rows, by which bound, decided by what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from sbert_cluster.neighbors import scan
from sbert_cluster.neighbors.codes import Codes, Numbers
from sbert_cluster.neighbors.decide import Decided, Judge
from sbert_cluster.neighbors.scan import Scanner
from sbert_cluster.neighbors.tiles import Tile, tiles_between, tiles_within
from sbert_cluster.types import Rows, Vectors


@dataclass(frozen=True)
class Strip:
    """A part of a tile that one thread compares: all its left rows, some of its right ones."""

    rows: slice
    columns: slice


@dataclass(frozen=True)
class Grid:
    """All pairs of a comparison, cut into tiles and these into strips."""

    left: int
    """Rows of the left side."""
    right: int
    """Rows of the right side."""
    same: bool
    """Both sides are the same rows, and a pair has no order."""
    tile_rows: int
    """Rows on either side of a tile."""
    strip_rows: int
    """Right rows of a strip."""

    def tiles(self) -> Iterator[Tile]:
        """Every tile once."""
        if self.same:
            return tiles_within(self.left, self.tile_rows)
        return tiles_between(self.left, self.right, self.tile_rows)

    def rows(self, tile: Tile) -> slice:
        """Left rows of a tile."""
        return slice(tile.row, min(tile.row + self.tile_rows, self.left))

    def columns(self, tile: Tile) -> slice:
        """Right rows of a tile."""
        return slice(tile.column, min(tile.column + self.tile_rows, self.right))

    def strips(self, tile: Tile) -> Iterator[Strip]:
        """The parts of a tile."""
        rows, columns = self.rows(tile), self.columns(tile)
        for start in range(columns.start, columns.stop, self.strip_rows):
            stop = min(start + self.strip_rows, columns.stop)
            # On the diagonal, rows above the strip have met it already.
            first = start if self.same and tile.row == tile.column else rows.start
            yield Strip(slice(first, rows.stop), slice(start, stop))

    def pairs_of(self, tile: Tile) -> int:
        """Pairs of a tile."""
        rows, columns = self.rows(tile), self.columns(tile)
        height, width = len(range(rows.start, rows.stop)), len(range(columns.start, columns.stop))
        if self.same and tile.row == tile.column:
            return height * (height - 1) // 2
        return height * width

    def pairs_of_strip(self, strip: Strip) -> int:
        """Pairs of a strip."""
        height = len(range(strip.rows.start, strip.rows.stop))
        width = len(range(strip.columns.start, strip.columns.stop))
        if self.same and strip.rows.start == strip.columns.start:
            return width * (width - 1) // 2 + width * (height - width)
        return width * height


@dataclass(frozen=True)
class Side:
    """Rows of one side that follow each other: all of them, or those of a tile."""

    start: int
    """The first of them."""
    vectors: Vectors
    """float32[n, d], unit or zero rows."""
    numbers: Numbers
    """int8[m, 64·c]: their codes, filled up with zeros to a whole number of blocks."""

    @classmethod
    def of(cls, vectors: Vectors, codes: Codes, start: int = 0) -> Side:
        """The rows with their codes."""
        missing = _up(len(codes.numbers)) - len(codes.numbers)
        return cls(start, vectors, np.pad(codes.numbers, ((0, missing), (0, 0))))

    def part(self, rows: slice) -> Numbers:
        """Codes of some of the rows, up to a whole number of blocks."""
        return self.numbers[rows.start - self.start : _up(rows.stop - self.start)]


@dataclass(frozen=True)
class Comparison:
    """What is wanted of the pairs of two sides."""

    grid: Grid
    threshold: float
    """Cosine in (0, 1]."""
    lowest: int
    """The least product of codes that a pair can have."""

    def compare(self, scanner: Scanner, left: Side, right: Side, strip: Strip) -> Decided:
        """Compare a strip.

        Args:
            scanner: In no other use meanwhile.
            left: The strip's left rows, perhaps among others.
            right: The strip's right rows, likewise.
            strip: Rows of the whole sides.

        Returns:
            Pairs of rows of the whole sides; among the same rows, the left one is the larger.
        """
        judge = Judge(left.vectors, right.vectors, self.threshold)
        rows, columns = strip.rows, strip.columns
        codes = scanner.left(left.part(rows)), scanner.right(right.part(columns))
        parts = []
        for found in scanner.scan(*codes, self.lowest):
            i = found[:, 0].astype(np.int64) + rows.start
            j = found[:, 1].astype(np.int64) + columns.start
            # Codes of the rows that merely fill up are zero, which a low bound lets through.
            real = (i < rows.stop) & (j < columns.stop)
            if self.grid.same:
                real &= i > j
            decided = judge.decide(i[real] - left.start, j[real] - right.start)
            parts.append(_moved(decided, left.start, right.start))
        return Decided.joined(parts)

    def compare_tile(self, scanner: Scanner, left: Side, right: Side, tile: Tile) -> Decided:
        """Compare a tile, strip by strip."""
        strips = self.grid.strips(tile)
        return Decided.joined([self.compare(scanner, left, right, strip) for strip in strips])


def _moved(decided: Decided, left: int, right: int) -> Decided:
    pairs = decided.pairs
    moved: tuple[Rows, Rows] = (pairs.left + left, pairs.right + right)
    return replace(decided, pairs=replace(pairs, left=moved[0], right=moved[1]))


def _up(rows: int) -> int:
    return -(-rows // scan.MULTIPLE) * scan.MULTIPLE
