"""What a run on many machines would take, before any of them is there."""

from __future__ import annotations

from dataclasses import dataclass

from sbert_cluster.encoder.batching import WINDOW_TEXTS
from sbert_cluster.engines.simulation import (
    CORES_EACH,
    Setting,
    row_bytes,
    simulate,
)
from sbert_cluster.neighbors.comparison import Grid

_START_S = 15.0
"""Seconds until workers have loaded their libraries and the model: 6 to 15 on busy machines."""
_PUT_BYTES_S = 5e8
"""Bytes a second that the driver puts into the object store, rows coded; 0.45·10⁹ were measured on
a busy machine."""
_CACHED_BYTES = 60
"""Bytes of a row of the embedding cache besides its vector."""
_PAIR_BYTES = 20
"""Bytes of a pair in the file of its tile: two int64 and a float32."""
_TILE_BYTES = 1_500
"""Bytes of a tile without pairs: an empty Arrow file and a line of the manifest."""


@dataclass(frozen=True)
class ClusterPlan:
    """A forecast of a run with ``--engine ray``."""

    workers: int
    """Units of work at a time."""
    machines: int
    """Machines of 16 cores that this takes."""
    shards: int
    """Windows of texts that are encoded."""
    tiles: int
    """Tiles that are compared."""
    encode_minutes: float
    """Time to encode, start-up included."""
    compare_minutes: float
    """Time to compare: the real schedule, simulated."""
    object_store_bytes: int
    """Vectors and codes of all rows: what the driver's machine holds, on disk where its memory is
    too small, and every other one as far as it has room."""
    moved_bytes: int
    """Blocks that go from one machine to another, with 10 Gbit/s each."""
    disk_bytes: int
    """New vectors in the embedding cache, and the files of finished tiles."""


@dataclass(frozen=True)
class Amount:
    """What is to be done."""

    texts: int
    """Texts that have to be encoded."""
    dimensions: int
    """Numbers of a vector."""
    encode_core_s: float
    """Seconds that one core would take for them."""
    grid: Grid | None
    """Pairs that are compared; None: none are."""
    pair_core_s: float
    """Seconds in which one core compares a pair."""
    expected_pairs: int
    """Pairs that will be found, as far as is known."""


def forecast_cluster(amount: Amount, workers: int) -> ClusterPlan:
    """Plan a run.

    Args:
        amount: What is to be done.
        workers: Cores to do it with.
    """
    grid = amount.grid
    compared, tiles, held, moved = 0.0, 0, 0, 0
    if grid is not None and grid.left and grid.right:
        found = simulate(grid, amount.dimensions, Setting(workers, amount.pair_core_s))
        compared, tiles, moved = found.seconds, found.tiles, found.moved_bytes
        rows = grid.left if grid.same else grid.left + grid.right
        held = rows * row_bytes(amount.dimensions)
        compared += held / _PUT_BYTES_S
    starting = _START_S if amount.texts else 0
    return ClusterPlan(
        workers=workers,
        machines=-(-workers // CORES_EACH),
        shards=-(-amount.texts // WINDOW_TEXTS),
        tiles=tiles,
        encode_minutes=round((starting + amount.encode_core_s / workers) / 60, 2),
        compare_minutes=round(compared / 60, 2),
        object_store_bytes=held,
        moved_bytes=moved,
        disk_bytes=amount.texts * (4 * amount.dimensions + _CACHED_BYTES)
        + tiles * _TILE_BYTES
        + amount.expected_pairs * _PAIR_BYTES,
    )
