"""Every pair at or above a threshold: complete, with bounded memory and no cap.

Int8 codes whose products are upper bounds of the cosine (:mod:`~sbert_cluster.neighbors.codes`)
propose pairs tile by tile; each proposal is then decided by
:func:`~sbert_cluster.neighbors.similarity.cosine`. So nothing is missed, and the answer depends
neither on the codes nor on the processor, the number of threads or the size of the tiles.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sbert_cluster.neighbors import scan
from sbert_cluster.neighbors.choose import choose_coder
from sbert_cluster.neighbors.codes import Codes, lowest_product
from sbert_cluster.neighbors.decide import Decided, Judge
from sbert_cluster.neighbors.scan import Scanner
from sbert_cluster.neighbors.tiles import (
    Finished,
    FinishedOnDisk,
    Tile,
    tiles_between,
    tiles_within,
)
from sbert_cluster.progress import Progress, silent
from sbert_cluster.types import Pairs, SearchCertificate, Vectors

TILE_ROWS = 65_536
"""Rows on either side of a tile: 4·10⁹ pairs, a fraction of a second to some seconds."""
STRIP_ROWS = 4_096
"""Right rows that are compared at a time: their codes, 0.5 MB, stay in the cache of a core."""


@dataclass(frozen=True)
class Join:
    """The pairs found, and what was looked at."""

    pairs: Pairs
    """Reason ``semantic`` for all; no particular order."""
    certificate: SearchCertificate
    """What was compared."""


def find_pairs(
    vectors: Vectors,
    threshold: float,
    progress: Progress = silent,
    *,
    device: str = "cpu",
    folder: Path | None = None,
) -> Join:
    """Find every pair of rows with cosine ≥ threshold.

    Args:
        vectors: float32[n, d], unit or zero rows; may be a memory map.
        threshold: In (0, 1].
        progress: Told the pairs compared.
        device: Where to compare: ``cpu``, ``cuda`` (all GPUs), ``cuda:1``.
        folder: Where finished tiles are kept until all are; None: in memory. A folder with tiles
            of the same vectors and threshold is gone on with, and deleted at the end.

    Returns:
        Pairs with left < right.
    """
    comparison = _Comparison(vectors, None, threshold, device)
    n = len(vectors)
    done = comparison.run(list(tiles_within(n, TILE_ROWS)), folder, n * (n - 1) // 2, progress)
    # Within a tile the left row is the larger.
    pairs = replace(done.pairs, left=done.pairs.right, right=done.pairs.left)
    return Join(pairs, _certificate(done, n * (n - 1) // 2))


def find_pairs_between(
    left: Vectors,
    right: Vectors,
    threshold: float,
    progress: Progress = silent,
    *,
    device: str = "cpu",
    folder: Path | None = None,
) -> Join:
    """Find every pair of a row of ``left`` and a row of ``right`` with cosine ≥ threshold.

    Args:
        left: float32[n, d], unit or zero rows.
        right: float32[m, d], likewise.
        threshold: In (0, 1].
        progress: Told the pairs compared.
        device: As for :func:`find_pairs`.
        folder: As for :func:`find_pairs`.

    Returns:
        Pairs whose ``left`` is a row of ``left`` and whose ``right`` is a row of ``right``.

    Raises:
        ValueError: If the vectors have different lengths.
    """
    if left.shape[1] != right.shape[1]:
        raise ValueError(f"vectors of {left.shape[1]} and of {right.shape[1]} dimensions")
    possible = len(left) * len(right)
    comparison = _Comparison(left, right, threshold, device)
    tiles = list(tiles_between(len(left), len(right), TILE_ROWS))
    done = comparison.run(tiles, folder, possible, progress)
    return Join(done.pairs, _certificate(done, possible))


def _certificate(done: Decided, possible: int) -> SearchCertificate:
    return SearchCertificate(
        exhaustive=True,
        pairs_possible=possible,
        pairs_compared=possible,
        pairs_pruned=possible - done.scored,
        pairs_scored=done.scored,
        pairs_rescored=done.rescored,
        borderline=done.borderline,
    )


@dataclass(frozen=True)
class _Strip:
    """A part of a tile that one thread compares: all its left rows, some of its right ones."""

    rows: slice
    columns: slice


class _Comparison:
    """Two sides, coded, and how they are compared; without a right one, rows among themselves."""

    def __init__(self, left: Vectors, right: Vectors | None, threshold: float, device: str) -> None:
        self._same = right is None
        right = left if right is None else right
        self._judge = Judge(left, right, threshold)
        scanners = scan.scanners(device)
        self._free = deque(s for s in scanners for _ in range(s.workers))
        self._workers = len(self._free)
        coder = choose_coder(left, right, self._judge.lowest, scanners[0])
        self._left = _padded(coder.encode(left))
        self._right = self._left if self._same else _padded(coder.encode(right))
        self._lowest = lowest_product(coder.scale, self._left, self._right, self._judge.lowest)

    def run(
        self, tiles: list[Tile], folder: Path | None, possible: int, progress: Progress
    ) -> Decided:
        """Compare the tiles that are not finished yet; all results."""
        finished = FinishedOnDisk(folder) if folder else Finished()
        before = sum(self._pairs_of(tile) for tile in tiles if tile in finished)
        if before:
            progress("comparing", before, possible, "pairs")
        done = before
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="compare")
        try:
            for tile in tiles:
                if tile in finished:
                    continue
                # One tile after the other, so that a kill costs one at most.
                strips = list(self._strips(tile))
                parts = []
                for strip, result in zip(strips, pool.map(self._compare, strips), strict=True):
                    parts.append(result)
                    done += self._pairs_of_strip(strip)
                    progress("comparing", done, possible, "pairs")
                finished.put(tile, Decided.joined(parts))
        finally:
            pool.shutdown(cancel_futures=True)
        result = finished.all()
        finished.clear()
        return result

    def _strips(self, tile: Tile) -> Iterator[_Strip]:
        end_row = min(tile.row + TILE_ROWS, len(self._judge.left))
        end_column = min(tile.column + TILE_ROWS, len(self._judge.right))
        for start in range(tile.column, end_column, STRIP_ROWS):
            stop = min(start + STRIP_ROWS, end_column)
            # On the diagonal, rows above the strip have met it already.
            row = start if self._same and tile.row == tile.column else tile.row
            yield _Strip(slice(row, end_row), slice(start, stop))

    def _pairs_of(self, tile: Tile) -> int:
        return sum(self._pairs_of_strip(strip) for strip in self._strips(tile))

    def _pairs_of_strip(self, strip: _Strip) -> int:
        height = len(range(strip.rows.start, strip.rows.stop))
        width = len(range(strip.columns.start, strip.columns.stop))
        if self._same and strip.rows.start == strip.columns.start:
            return width * (width - 1) // 2 + width * (height - width)
        return width * height

    def _compare(self, strip: _Strip) -> Decided:
        scanner = self._free.popleft()
        try:
            return self._compare_with(scanner, strip)
        finally:
            self._free.append(scanner)

    def _compare_with(self, scanner: Scanner, strip: _Strip) -> Decided:
        rows, columns = strip.rows, strip.columns
        left = scanner.left(self._left.numbers[rows.start : _up(rows.stop)])
        right = scanner.right(self._right.numbers[columns.start : _up(columns.stop)])
        parts = []
        for found in scanner.scan(left, right, self._lowest):
            i = found[:, 0].astype(np.int64) + rows.start
            j = found[:, 1].astype(np.int64) + columns.start
            # Codes of the rows that merely fill up are zero, which a low bound lets through.
            real = (i < rows.stop) & (j < columns.stop)
            if self._same:
                real &= i > j
            parts.append(self._judge.decide(i[real], j[real]))
        return Decided.joined(parts)


def _padded(codes: Codes) -> Codes:
    """Codes with rows of zeros up to a whole number of blocks."""
    missing = _up(len(codes.numbers)) - len(codes.numbers)
    return replace(codes, numbers=np.pad(codes.numbers, ((0, missing), (0, 0))))


def _up(rows: int) -> int:
    return -(-rows // scan.MULTIPLE) * scan.MULTIPLE


def seconds_to_compare(pairs: int) -> float:
    """Rough seconds to compare that many pairs with codes of two chunks, from measured rates."""
    scanner = scan.scanners()[0]
    return pairs * (scanner.look_ns + 2 * scanner.chunk_ns) * 1e-9
