"""What 10 million rows and more cost: the schedule, simulated, and checked against real runs."""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Report, Settings, Table, in_fresh_process, say
from benchmarks.pairs import headline_vectors
from sbert_cluster.engines.simulation import Setting, grid_of, simulate

CHECKED = ((200_000, 0.9), (1_000_000, 0.9))
"""Rows and thresholds of real runs."""
REAL_WORKERS = (1, 2)
CELLS = ((200_000, 0.9), (200_000, 0.8))
"""Rows and thresholds for which cells are looked at."""
CELL_COUNTS = (64, 512)
PROBES = (1, 2, 4)
"""Nearest cells with whose rows a row is compared."""
WORKERS = (1, 4, 16, 64)
SIZES = (1_000_000, 10_000_000, 100_000_000)
DIMENSIONS = 384
LARGEST = 1_000_000_000
GPU_PAIR_S = 2.4e-11
"""Of one GPU, as it stands in ``neighbors/scan.py``; not measured by this benchmark."""


def run(settings: Settings) -> Report:
    """Measure the rate of a core, check the simulation with it, then simulate what is larger."""
    vectors, notes = headline_vectors(CHECKED[-1][0], settings)
    cases = [(2_000, 0.9)] if settings.quick else list(CHECKED)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.npy"
        np.save(path, vectors)
        del vectors
        real = [
            in_fresh_process(_real, path, rows, threshold, workers, min(3, settings.repeats))
            for rows, threshold in cases
            for workers in REAL_WORKERS
        ]
        cells = [] if settings.quick else [in_fresh_process(_cells, path, *c) for c in CELLS]
    last = next(one for one in real[::-1] if one["workers"] == 1)
    pair_s = last["compare_s"] / _pairs(last["rows"])
    checked = [{**one, "simulated_s": _simulated(one["rows"], one["workers"], pair_s)["seconds"]}
               for one in real]  # fmt: skip
    sizes = SIZES[:1] if settings.quick else SIZES
    simulated = [_simulated(rows, workers, pair_s) for rows in sizes for workers in WORKERS]
    results = {"pair_s": pair_s, "checked": checked, "simulated": simulated, "cells": cells}
    return Report("Scale", results, _tables(results), [*notes, *_notes()])


def _pairs(rows: int) -> int:
    return rows * (rows - 1) // 2


def _real(path: Path, rows: int, threshold: float, workers: int, repeats: int) -> dict[str, Any]:
    """A real run on Ray; ``compare_s``: from the first tile's start to the last one's end."""
    from sbert_cluster.engines import open_engine
    from sbert_cluster.engines.ray import tiles
    from sbert_cluster.engines.schedule import Schedule
    from sbert_cluster.neighbors.join import find_pairs
    from sbert_cluster.options import EngineName, EngineOptions

    vectors = np.load(path)[:rows]
    begun: list[float] = []

    def noted(*arguments: Any) -> Any:
        begun.append(time.perf_counter())
        return Schedule(*arguments)

    vars(tiles)["Schedule"] = noted
    compare, whole = [], []
    with open_engine(EngineOptions(name=EngineName.RAY, workers=workers)) as engine:
        find_pairs(vectors[:100_000], threshold, compare=engine.compare)
        for _ in range(repeats):
            start = time.perf_counter()
            find_pairs(vectors, threshold, compare=engine.compare)
            end = time.perf_counter()
            whole.append(end - start)
            compare.append(end - begun[-1])
            say(f"{rows:,} rows, {workers} workers: {whole[-1]:.2f} s, tiles {compare[-1]:.2f} s")
    return {
        "rows": rows,
        "threshold": threshold,
        "workers": workers,
        "whole_s": statistics.median(whole),
        "compare_s": statistics.median(compare),
    }


def _simulated(rows: int, workers: int, pair_s: float) -> dict[str, Any]:
    found = simulate(grid_of(rows), DIMENSIONS, Setting(workers, pair_s))
    say(f"simulated {rows:,} rows, {workers} workers: {found.seconds:,.0f} s")
    return {
        "rows": rows,
        "workers": workers,
        "seconds": found.seconds,
        "tiles": found.tiles,
        "busy": found.busy(workers),
        "moved_bytes": found.moved_bytes,
    }


def _tables(results: dict[str, Any]) -> list[Table]:
    checked = [
        [f"{one['rows']:,} rows, {one['workers']} workers", f"{one['compare_s']:.2f}",
         f"{one['simulated_s']:.2f}", f"{one['simulated_s'] / one['compare_s']:.2f}"]
        for one in results["checked"]
    ]  # fmt: skip
    rows = [
        [f"{one['rows']:,}", f"{one['workers']}", f"{one['tiles']:,}", _said(one["seconds"]),
         f"{one['busy']:.0%}", f"{one['moved_bytes'] / 1e9:,.0f}"]
        for one in results["simulated"]
    ]  # fmt: skip
    core_s = _pairs(LARGEST) * results["pair_s"]
    rows += [[f"{LARGEST:,}", str(w), "116,000,000", _said(core_s / w), "", ""] for w in WORKERS]
    gpu = [[f"{n:,}", _said(_pairs(n) * GPU_PAIR_S)] for n in (10**7, 5 * 10**7, 10**8, 10**9)]
    cells = [
        [f"{one['rows']:,} rows, t = {one['threshold']}", str(one["cells"]), str(one["probes"]),
         f"{one['recall']:.2%}", f"{one['compared']:.1%}"]
        for one in itertools.chain.from_iterable(results["cells"])
    ]  # fmt: skip
    headers = ("rows", "workers", "tiles", "time", "cores at work", "GB moved")
    return [
        Table("Tiles: measured and simulated, s", ("", "measured", "simulated", "ratio"), checked),
        Table("Simulated", headers, rows),
        Table("One GPU, by its rate alone", ("rows", "time"), gpu),
        Table("Cells", ("", "cells", "nearest", "pairs found", "pairs compared"), cells),
    ]


def _cells(path: Path, rows: int, threshold: float) -> list[dict[str, Any]]:
    """How many pairs cells would find: each row is compared with the rows of its nearest cells.

    A pair is found if either row's own cell is among the nearest cells of the other one.
    """
    import torch

    from sbert_cluster.neighbors.join import find_pairs

    vectors = torch.from_numpy(np.load(path)[:rows])
    pairs = find_pairs(vectors.numpy(), threshold).pairs
    left, right = torch.from_numpy(pairs.left), torch.from_numpy(pairs.right)
    found = []
    for count in CELL_COUNTS:
        nearest = (vectors @ _centres(vectors, count).T).topk(max(PROBES), dim=1).indices
        own = nearest[:, 0]
        sizes = torch.bincount(own, minlength=count)
        for probes in PROBES:
            asked = nearest[:, :probes]
            hit = (asked[left] == own[right, None]).any(1) | (asked[right] == own[left, None]).any(
                1
            )
            found.append(
                {
                    "rows": rows,
                    "threshold": threshold,
                    "cells": count,
                    "probes": probes,
                    "recall": float(hit.double().mean()),
                    # Of all ordered pairs; exact search compares half of them.
                    "compared": float(sizes[asked].sum() / rows**2),
                }
            )
    return found


def _centres(vectors: Any, count: int) -> Any:
    """Unit centres by a few rounds of spherical k-means."""
    import torch

    start = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(0))[:count]
    centres = vectors[start].clone()
    for _ in range(8):
        own = (vectors @ centres.T).argmax(1)
        sums = torch.zeros_like(centres).index_add_(0, own, vectors)
        centres = sums / sums.norm(dim=1, keepdim=True).clamp_min(1e-9)
    return centres


def _said(seconds: float) -> str:
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.1f} s"


def _notes() -> list[str]:
    return [
        "The rate of a core is that of the largest real run with one worker. More workers than "
        "cores of this machine cannot be measured here.",
        "Simulated machines have 16 cores and 10 Gbit/s, and room for every block that they got.",
        "A billion rows are told by their pairs: so many tiles are not simulated.",
    ]
