"""How long the schedule would take on so many machines: the real schedule, with simulated clocks.

Simulated are the cores, each with a time for a pair; the link of each machine, on which the blocks
of a tile arrive that do not lie there yet, in turn; the link of the driver's machine, from which
each block sets out once; and the driver, which hands out one tile after the other. A machine has
one tile waiting behind each that it works on, so links and cores are busy at the same time. Not
simulated are failures, and blocks that are thrown away for want of memory.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from sbert_cluster.engines.schedule import Schedule
from sbert_cluster.neighbors.comparison import Grid
from sbert_cluster.neighbors.join import STRIP_ROWS, TILE_ROWS

CORES_EACH = 16
"""Cores of a machine, where nothing else is known."""
LINK_BYTES_S = 1.25e9
"""10 Gbit/s."""
TILE_S = 0.002
"""Seconds in which the driver hands out a tile and writes its line. An empty task takes Ray 0.0006
to 0.0008; the rest is for a line that has to reach the disk."""
_CODE_BYTES = 192
"""Codes of a row: three chunks at most."""


@dataclass(frozen=True)
class Setting:
    """What there is to work with."""

    workers: int
    """Cores in all."""
    pair_s: float
    """Seconds in which a core compares a pair."""
    cores_each: int = CORES_EACH
    """Cores of a machine."""
    link_bytes_s: float = LINK_BYTES_S
    """Bytes a second into or out of a machine."""
    tile_s: float = TILE_S
    """Seconds of the driver for a tile."""


@dataclass(frozen=True)
class Simulated:
    """What came out."""

    seconds: float
    """From the first tile to the last."""
    tiles: int
    """Tiles of the comparison."""
    work_s: float
    """Seconds of cores that the pairs take."""
    moved_bytes: int
    """Blocks that went from one machine to another."""

    def busy(self, workers: int) -> float:
        """Share of the time that the cores worked."""
        return self.work_s / (self.seconds * workers) if self.seconds else 1.0


@dataclass
class _Machine:
    cores: list[float]
    """When each core is free."""
    link: float = 0.0
    """When its link is free."""
    blocks: set[int] = field(default_factory=set)


def grid_of(left: int, right: int | None = None) -> Grid:
    """All pairs of so many rows, or of two sides, cut as they would be."""
    other = left if right is None else right
    return Grid(left, other, right is None, TILE_ROWS, STRIP_ROWS)


def row_bytes(dimensions: int) -> int:
    """Vector and codes of a row."""
    return 4 * dimensions + _CODE_BYTES


def block_bytes(grid: Grid, dimensions: int) -> int:
    """Vectors and codes of a block."""
    return min(grid.tile_rows, max(grid.left, grid.right)) * row_bytes(dimensions)


def simulate(grid: Grid, dimensions: int, setting: Setting) -> Simulated:
    """Run the schedule.

    Args:
        grid: What is compared.
        dimensions: Numbers of a vector.
        setting: Where.
    """
    count = -(-setting.workers // setting.cores_each)
    share = [setting.workers // count + (i < setting.workers % count) for i in range(count)]
    machines = [_Machine([0.0] * cores) for cores in share]
    tiles = list(grid.tiles())
    schedule = Schedule(grid, tiles, count)
    carry_s = block_bytes(grid, dimensions) / setting.link_bytes_s
    # The blocks lie on the first machine, where the driver is; it sends each of them once.
    at_home, home_link, sent = machines[0], 0.0, set[int]()
    rooms = [
        (0.0, i) for turn in range(2 * max(share)) for i in range(count) if turn < 2 * share[i]
    ]
    heapq.heapify(rooms)
    driver = end = work = 0.0
    moved = 0
    while rooms:
        now, i = heapq.heappop(rooms)
        tile = schedule.take(str(i))
        if tile is None:
            continue
        machine = machines[i]
        driver = ready = max(driver, now) + setting.tile_s
        for block in {tile.row, tile.column} - machine.blocks:
            machine.blocks.add(block)
            if machine is at_home:
                continue
            begun = max(machine.link, ready)
            if block not in sent:
                sent.add(block)
                begun = home_link = max(begun, home_link)
                home_link += carry_s
            machine.link = ready = begun + carry_s
            moved += 1
        took = grid.pairs_of(tile) * setting.pair_s
        done = max(heapq.heappop(machine.cores), ready) + took
        heapq.heappush(machine.cores, done)
        heapq.heappush(rooms, (done, i))
        work, end = work + took, max(end, done)
    return Simulated(end, len(tiles), work, moved * block_bytes(grid, dimensions))
