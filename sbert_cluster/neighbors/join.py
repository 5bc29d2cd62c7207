"""Every pair at or above a threshold: complete, with bounded memory and no cap.

Int8 codes whose products are upper bounds of the cosine (:mod:`~sbert_cluster.neighbors.codes`)
propose pairs tile by tile; each proposal is then decided by
:func:`~sbert_cluster.neighbors.similarity.cosine`. So nothing is missed, and the answer depends
neither on the codes nor on the processor, the number of threads or the size of the tiles.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from sbert_cluster.neighbors import scan
from sbert_cluster.neighbors.choose import choose_coder
from sbert_cluster.neighbors.codes import lowest_product
from sbert_cluster.neighbors.comparison import Comparison, Grid, Side, Strip
from sbert_cluster.neighbors.decide import BORDERLINE, Decided
from sbert_cluster.neighbors.tiles import Finished, FinishedOnDisk, Tile
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


@dataclass(frozen=True)
class Sides:
    """Two sides that are to be compared, or one with itself."""

    left: Vectors
    """float32[n, d], unit or zero rows; may be a memory map."""
    right: Vectors | None
    """float32[m, d], likewise; None: the left rows among themselves."""
    threshold: float
    """Cosine in (0, 1]."""
    device: str
    """Where to compare: ``cpu``, ``cuda`` (all GPUs), ``cuda:1``."""

    @property
    def other(self) -> Vectors:
        """The right side."""
        return self.left if self.right is None else self.right

    @property
    def lowest(self) -> float:
        """Cosine below which a pair is not even borderline."""
        return self.threshold - BORDERLINE

    def grid(self) -> Grid:
        """How the pairs are cut."""
        same = self.right is None
        return Grid(len(self.left), len(self.other), same, TILE_ROWS, STRIP_ROWS)


class CompareTiles(Protocol):
    """A place where tiles are compared."""

    def __call__(
        self,
        sides: Sides,
        tiles: Sequence[Tile],
        finished: Finished | FinishedOnDisk,
        tell: Callable[[int], None],
    ) -> None:
        """Compare tiles.

        Args:
            sides: What is compared.
            tiles: Those that are wanted, at least one.
            finished: Gets the result of each of them.
            tell: Told the pairs compared, some at a time.
        """


def find_pairs(
    vectors: Vectors,
    threshold: float,
    progress: Progress = silent,
    *,
    device: str = "cpu",
    folder: Path | None = None,
    compare: CompareTiles | None = None,
) -> Join:
    """Find every pair of rows with cosine ≥ threshold.

    Args:
        vectors: float32[n, d], unit or zero rows; may be a memory map.
        threshold: In (0, 1].
        progress: Told the pairs compared.
        device: Where to compare: ``cpu``, ``cuda`` (all GPUs), ``cuda:1``.
        folder: Where finished tiles are kept until all are; None: in memory. A folder with tiles
            of the same vectors and threshold is gone on with, and deleted at the end.
        compare: Where tiles are compared; None: here.

    Returns:
        Pairs with left < right.
    """
    sides = Sides(vectors, None, threshold, device)
    n = len(vectors)
    done = _run(sides, folder, n * (n - 1) // 2, progress, compare)
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
    compare: CompareTiles | None = None,
) -> Join:
    """Find every pair of a row of ``left`` and a row of ``right`` with cosine ≥ threshold.

    Args:
        left: float32[n, d], unit or zero rows.
        right: float32[m, d], likewise.
        threshold: In (0, 1].
        progress: Told the pairs compared.
        device: As for :func:`find_pairs`.
        folder: As for :func:`find_pairs`.
        compare: As for :func:`find_pairs`.

    Returns:
        Pairs whose ``left`` is a row of ``left`` and whose ``right`` is a row of ``right``.

    Raises:
        ValueError: If the vectors have different lengths.
    """
    if left.shape[1] != right.shape[1]:
        raise ValueError(f"vectors of {left.shape[1]} and of {right.shape[1]} dimensions")
    possible = len(left) * len(right)
    done = _run(Sides(left, right, threshold, device), folder, possible, progress, compare)
    return Join(done.pairs, _certificate(done, possible))


def _run(
    sides: Sides,
    folder: Path | None,
    possible: int,
    progress: Progress,
    compare: CompareTiles | None,
) -> Decided:
    """Compare the tiles that are not finished yet; all results."""
    finished = FinishedOnDisk(folder) if folder else Finished()
    grid = sides.grid()
    done = 0

    def tell(pairs: int) -> None:
        nonlocal done
        done += pairs
        progress("comparing", done, possible, "pairs")

    todo = []
    for tile in grid.tiles():
        if tile in finished:
            done += grid.pairs_of(tile)
        else:
            todo.append(tile)
    if done:
        tell(0)
    if todo:
        (compare or compare_here)(sides, todo, finished, tell)
        assert all(tile in finished for tile in todo), "a tile was left out"
    result = finished.all()
    finished.clear()
    return result


def compare_here(
    sides: Sides,
    tiles: Sequence[Tile],
    finished: Finished | FinishedOnDisk,
    tell: Callable[[int], None],
) -> None:
    """Compare tiles with all threads of this machine; see :class:`CompareTiles`."""
    scanners = scan.scanners(sides.device)
    free = deque(s for s in scanners for _ in range(s.workers))
    coder = choose_coder(sides.left, sides.other, sides.lowest, scanners[0])
    codes = coder.encode(sides.left)
    others = codes if sides.right is None else coder.encode(sides.right)
    grid = sides.grid()
    lowest = lowest_product(coder.scale, codes, others, sides.lowest)
    comparison = Comparison(grid, sides.threshold, lowest)
    left = Side.of(sides.left, codes)
    right = left if sides.right is None else Side.of(sides.right, others)

    def work(strip: Strip) -> Decided:
        scanner = free.popleft()
        try:
            return comparison.compare(scanner, left, right, strip)
        finally:
            free.append(scanner)

    pool = ThreadPoolExecutor(len(free), thread_name_prefix="compare")
    try:
        for tile in tiles:
            # One tile after the other, so that a kill costs one at most.
            strips = list(grid.strips(tile))
            parts = []
            for strip, result in zip(strips, pool.map(work, strips), strict=True):
                parts.append(result)
                tell(grid.pairs_of_strip(strip))
            finished.put(tile, Decided.joined(parts))
    finally:
        pool.shutdown(cancel_futures=True)


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


def seconds_to_compare(pairs: int) -> float:
    """Rough seconds to compare that many pairs with codes of two chunks, from measured rates."""
    scanner = scan.scanners()[0]
    return pairs * (scanner.look_ns + 2 * scanner.chunk_ns) * 1e-9
