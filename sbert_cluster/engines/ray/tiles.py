"""Tiles as tasks: the blocks lie in the object store, the driver only keeps the manifest."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sbert_cluster.engines.ray.cluster import Cluster, on
from sbert_cluster.engines.ray.tasks import Tasks
from sbert_cluster.engines.schedule import Schedule
from sbert_cluster.neighbors import scan
from sbert_cluster.neighbors.choose import choose_coder
from sbert_cluster.neighbors.codes import Coder, Codes, lowest_product
from sbert_cluster.neighbors.comparison import Comparison, Side
from sbert_cluster.neighbors.decide import Decided
from sbert_cluster.neighbors.join import Sides
from sbert_cluster.neighbors.tiles import Entry, Finished, FinishedOnDisk, Tile, write_tile
from sbert_cluster.types import Vectors


def compare(
    cluster: Cluster,
    sides: Sides,
    tiles: Sequence[Tile],
    finished: Finished | FinishedOnDisk,
    tell: Callable[[int], None],
) -> None:
    """Compare tiles; see :class:`~sbert_cluster.neighbors.join.CompareTiles`.

    Raises:
        EngineError: If a tile fails again and again.
    """
    import ray

    grid = sides.grid()
    coder = choose_coder(sides.left, sides.other, sides.lowest, scan.scanners(sides.device)[0])
    rows = {tile.row: grid.rows(tile) for tile in tiles}
    columns = {tile.column: grid.columns(tile) for tile in tiles}
    if grid.same:
        left = right = _Blocks.put(sides.left, coder, rows | columns)
    else:
        left = _Blocks.put(sides.left, coder, rows)
        right = _Blocks.put(sides.other, coder, columns)
    lowest = lowest_product(coder.scale, left.largest, right.largest, sides.lowest)
    comparison = Comparison(grid, sides.threshold, lowest)
    resources = _resources(sides.device)
    with _seen_from_elsewhere(finished) as shared:
        common = ray.put((comparison, sides.device, shared))
        task = ray.remote(_compare_tile)

        def submit(tile: Tile, machine: str) -> Any:
            placed = task.options(max_retries=0, scheduling_strategy=on(machine), **resources)
            return placed.remote(common, left.refs[tile.row], right.refs[tile.column], tile)

        schedule = Schedule(grid, tiles, len(cluster.machines))
        tasks = Tasks(cluster, schedule, submit, _described)
        for tile, result in tasks.run():
            if isinstance(result, Decided):
                finished.put(tile, result)
            else:
                assert isinstance(finished, FinishedOnDisk)
                finished.note(result)
            tell(grid.pairs_of(tile))


def _described(tile: Tile) -> str:
    return f"comparing the rows from {tile.row} on with those from {tile.column} on"


def _resources(device: str) -> dict[str, float]:
    return {"num_cpus": 1, "num_gpus": 1} if device.startswith("cuda") else {"num_cpus": 1}


@dataclass
class _Blocks:
    """Blocks of one side in the object store, with what the bound needs to know of all of them."""

    refs: dict[int, Any]
    """First row of a block → Ray's reference to its :class:`Side`."""
    largest: Codes
    """The largest error and norm; no numbers."""

    @classmethod
    def put(cls, vectors: Vectors, coder: Coder, blocks: dict[int, slice]) -> _Blocks:
        """Code blocks and put them away, one after the other: here only one is held at a time."""
        import ray

        refs, error, norm = {}, 0.0, 0.0
        numbers = coder.encode(vectors[:0]).numbers
        for start, rows in sorted(blocks.items()):
            codes = coder.encode(vectors[rows])
            refs[start] = ray.put(Side.of(vectors[rows], codes, start))
            error, norm = max(error, codes.error), max(norm, codes.norm)
        return cls(refs, Codes(numbers, error, norm))


@contextmanager
def _seen_from_elsewhere(finished: Finished | FinishedOnDisk) -> Iterator[tuple[Path, str] | None]:
    """The folder of the tiles and the name of a file in it, by which others know that it is shared.

    A worker that sees the file writes its tiles there; any other sends them to the driver.
    """
    if isinstance(finished, Finished):
        yield None
        return
    # What ends in .tmp is deleted with the tiles, should this process be killed.
    sign = finished.folder / f"shared-{secrets.token_hex(8)}.tmp"
    sign.touch()
    try:
        yield finished.folder.absolute(), sign.name
    finally:
        sign.unlink(missing_ok=True)


def _compare_tile(
    common: tuple[Comparison, str, tuple[Path, str] | None], left: Side, right: Side, tile: Tile
) -> Entry | Decided:
    """The task: the line of a tile that was written, or its pairs if the folder is not shared."""
    comparison, device, shared = common
    found = comparison.compare_tile(scan.scanners(device)[0], left, right, tile)
    if shared is None:
        return found
    folder, sign = shared
    return write_tile(folder, tile, found) if (folder / sign).exists() else found
