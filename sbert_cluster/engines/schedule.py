"""Which tile is compared next, and where: next to the rows that lie there already.

A tile needs two blocks of rows, and comparing it takes a time that moving a block over a network
takes as well. So a machine does not take any tile: it takes a *band*, some blocks of left rows, and
goes through it column by column. The left blocks stay, and each right block that arrives serves the
whole band. A machine whose band is done takes the next one, and helps with the longest of the
others when there is none left.

Nothing here knows Ray: the same class runs in the simulation that plans are made with.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from sbert_cluster.neighbors.comparison import Grid
from sbert_cluster.neighbors.tiles import Tile

BAND_BLOCKS = 8
"""Blocks of left rows of a band. With 65,536 rows of 384 numbers in a block, they take 0.9 GB, and
each block that moves serves 8 tiles."""
_BANDS_EACH = 3
"""Bands for each machine, if there are tiles enough, so that none waits long for another."""


@dataclass
class _Band:
    tiles: deque[Tile]
    pairs: int


class Schedule:
    """Hands out tiles.

    Args:
        grid: What is compared.
        tiles: Those that are wanted.
        machines: How many will ask, about.
    """

    def __init__(self, grid: Grid, tiles: Iterable[Tile], machines: int) -> None:
        self._grid = grid
        listed = list(tiles)
        if machines < 2:
            # Everything lies on the one machine: long tiles first, so that all workers end at once.
            bands = [sorted(listed, key=lambda tile: (-grid.pairs_of(tile), tile))]
        else:
            bands = self._banded(listed, machines)
        self._free = deque(
            sorted((self._band(tiles) for tiles in bands if tiles), key=lambda b: -b.pairs)
        )
        self._own: dict[str, _Band] = {}
        self._again: deque[Tile] = deque()

    def _banded(self, tiles: list[Tile], machines: int) -> list[list[Tile]]:
        starts = sorted({tile.row for tile in tiles})
        width = max(1, min(BAND_BLOCKS, len(starts) // (_BANDS_EACH * machines)))
        band = {start: place // width for place, start in enumerate(starts)}
        bands: dict[int, list[Tile]] = {}
        for tile in sorted(tiles, key=lambda tile: (tile.column, tile.row)):
            bands.setdefault(band[tile.row], []).append(tile)
        return list(bands.values())

    def _band(self, tiles: list[Tile]) -> _Band:
        return _Band(deque(tiles), sum(map(self._grid.pairs_of, tiles)))

    def take(self, machine: str) -> Tile | None:
        """The tile that this machine should compare next; None: there is none left."""
        if self._again:
            return self._again.popleft()
        own = self._own.get(machine)
        if own is None or not own.tiles:
            own = self._next(machine)
        if own is None:
            return self._help()
        return self._popped(own, first=True)

    def put_back(self, tile: Tile) -> None:
        """A tile that was taken and not compared."""
        self._again.append(tile)

    def _next(self, machine: str) -> _Band | None:
        if not self._free:
            self._own.pop(machine, None)
            return None
        self._own[machine] = self._free.popleft()
        return self._own[machine]

    def _help(self) -> Tile | None:
        """A tile from the far end of the band that has most left."""
        longest = max(self._own.values(), key=lambda band: band.pairs, default=None)
        if longest is None or not longest.tiles:
            return None
        return self._popped(longest, first=False)

    def _popped(self, band: _Band, *, first: bool) -> Tile:
        tile = band.tiles.popleft() if first else band.tiles.pop()
        band.pairs -= self._grid.pairs_of(tile)
        return tile
