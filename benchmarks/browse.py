"""The terminal UI over a run of 1,000,000 rows: time to first paint, keys to paint, memory.

The run is made here, by the contract, from invented words; nothing is encoded. Time to first paint
is that of a new process, from its start to the end of the first drawing that shows rows; memory is
the most that this process held. Keys are pressed by Textual's pilot, which waits until everything
that follows from a key has been drawn, so its own pause is taken off.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.harness import Report, Settings, Table, in_fresh_process, peak_memory_mib, say

_WORDS = 5_000
_SCROLLS = 60
_STEPS = 30


def run(settings: Settings) -> Report:
    """Make the runs and measure them."""
    rows = 20_000 if settings.quick else 1_000_000
    results: dict[str, Any] = {}
    table = []
    with tempfile.TemporaryDirectory() as place:
        for name in ("dedup csv", "dedup parquet", "groups csv"):
            command, suffix = name.split()
            folder = Path(place) / name.replace(" ", "-")
            make = make_dedup if command == "dedup" else make_groups
            say(f"making {name} of {rows:,} rows")
            size = in_fresh_process(make, folder, rows, suffix)
            found = _measure(folder, size)
            results[name] = found
            table.append(_line(name, found))
    title = f"Opening and using a run of {rows:,} rows in the terminal UI"
    headers = ["run", "on disk", "first paint", "scrolling p95", "threshold p95", "peak memory"]
    notes = [
        "first paint: from the start of the process; median of 3, the files in the page cache",
        "scrolling: pages of a list and jumps to its end, at 120 x 40; threshold: steps of 0.005 "
        "over all stored pairs",
        "in brackets: what the process itself computed, on all cores, which a busy machine changes "
        "less",
        "memory allowed: 1.5 times the run on disk and 200 MiB",
    ]
    return Report(title, {"rows": rows, "runs": results}, [Table(title, headers, table)], notes)


def _measure(folder: Path, size: float) -> dict[str, Any]:
    paints = [_first_paint(folder) for _ in range(3)]
    used = in_fresh_process(use, str(folder))
    say(f"{folder.name}: {paints} s, {used}")
    return {
        "disk_mib": round(size, 1),
        "first_paint_s": [round(seconds, 2) for seconds, _, _ in paints],
        "first_paint_cpu_s": [round(worked, 2) for _, worked, _ in paints],
        "first_paint_memory_mib": round(max(memory for _, _, memory in paints), 1),
        **used,
        "memory_allowed_mib": round(1.5 * size + 200, 1),
    }


def _line(name: str, found: dict[str, Any]) -> list[str]:
    threshold = found.get("threshold_ms")
    return [
        name,
        f"{found['disk_mib']:.0f} MiB",
        f"{statistics.median(found['first_paint_s']):.2f} s "
        f"({statistics.median(found['first_paint_cpu_s']):.2f} s)",
        _shown(found["scroll_ms"]),
        _shown(threshold) if threshold else "–",
        f"{found['memory_mib']:.0f} of {found['memory_allowed_mib']:.0f} MiB",
    ]


def _shown(spread: dict[str, float]) -> str:
    return f"{spread['p95']:.0f} ms ({spread['cpu_p95']:.0f} ms)"


_OPEN = """
import asyncio, sys, time
from pathlib import Path
from sbert_cluster.tui.app import BrowseApp, open_model
async def main(folder):
    app = BrowseApp(open_model(Path(folder)))
    async with app.run_test(size=(120, 40)):
        pass
asyncio.run(main(sys.argv[1]))
from benchmarks.harness import peak_memory_mib
print(time.time(), time.process_time(), peak_memory_mib())
"""


def _first_paint(folder: Path) -> tuple[float, float, float]:
    """Seconds until the screen of a new process stands, those it computed, its peak memory."""
    begun = time.time()
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", _OPEN, str(folder)], capture_output=True, text=True, check=True
    )
    ended, worked, memory = map(float, done.stdout.split())
    return ended - begun, worked, memory


def use(folder: str) -> dict[str, Any]:
    """Press keys on a run."""
    return asyncio.run(_use(Path(folder)))


async def _use(folder: Path) -> dict[str, Any]:
    from sbert_cluster.tui.app import BrowseApp, open_model
    from sbert_cluster.tui.models.duplicates import DuplicatesModel

    app = BrowseApp(open_model(folder))
    results: dict[str, Any] = {}
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()

        async def latency(keys: list[str]) -> dict[str, float]:
            taken, work = [], []
            for key in keys:
                begun, worked = time.perf_counter(), time.process_time()
                await _painted(app, key)
                taken.append(1000 * (time.perf_counter() - begun))
                work.append(1000 * (time.process_time() - worked))
            return _spread(taken) | {"cpu_p95": _spread(work)["p95"]}

        scroll = await latency(
            ["pagedown", "down", "end", "pageup", "home", "up"] * (_SCROLLS // 6)
        )
        results["scroll_ms"] = scroll
        if isinstance(app.model, DuplicatesModel):
            keys = ["right"] * _STEPS + ["left"] * _STEPS
            results["threshold_ms"] = await latency(keys)
        else:
            await pilot.press("tab")
            results["rows_ms"] = await latency(["pagedown", "end", "pageup", "home"] * 10)
        results["search_s"] = round(await _search(app, pilot), 2)
    results["memory_mib"] = round(peak_memory_mib(), 1)
    return results


async def _painted(app: Any, key: str) -> None:
    """Press a key, and wait until all messages that follow are done and the screen is drawn."""
    from textual.events import Key

    target = app.focused or app.screen
    char = key if len(key) == 1 else None
    done = asyncio.Event()
    app.post_message(Key(key, char))
    app.call_later(lambda: target.call_later(lambda: app.screen.call_after_refresh(done.set)))
    await done.wait()


async def _search(app: Any, pilot: Any) -> float:
    from textual.widgets import Input

    await pilot.press("slash")
    begun = time.perf_counter()
    app.screen.query_one(Input).value = "w17 w23"
    await pilot.pause()
    await app.workers.wait_for_complete()
    await pilot.pause()
    return time.perf_counter() - begun


def _spread(taken: list[float]) -> dict[str, float]:
    ordered = sorted(taken)
    return {
        "median": round(statistics.median(ordered), 1),
        "p95": round(ordered[int(0.95 * (len(ordered) - 1))], 1),
        "most": round(ordered[-1], 1),
    }


def _texts(rows: int) -> pl.Series:
    """Sentences of ten invented words, some 60 characters; one in five is in quotes for CSV."""
    random = np.random.default_rng(0)
    words = np.array([f"w{number}" for number in range(_WORDS)])
    columns = [pl.Series(words[random.integers(0, _WORDS, rows)]) for _ in range(12)]
    frame = pl.DataFrame({str(place): column for place, column in enumerate(columns)})
    text = frame.select(pl.concat_str(pl.all(), separator=" ")).to_series()
    comma = pl.Series(random.random(rows) < 0.2)
    made = pl.DataFrame({"text": text, "comma": comma}).select(
        pl.when("comma").then(pl.col("text") + ", or not").otherwise("text").alias("text")
    )
    return made.to_series()


def _frame(rows: int) -> pl.DataFrame:
    number = pl.Series(np.arange(rows))
    return pl.DataFrame(
        {
            "id": pl.Series("id", number).cast(pl.String).str.zfill(7),
            "text": _texts(rows),
            "channel": pl.Series(np.resize(["web", "chat", "email"], rows)),
        }
    )


def make_dedup(folder: Path, rows: int, suffix: str) -> float:
    """A run of ``dedup`` with as many pairs as rows, similarities rising towards 0.8."""
    from sbert_cluster.duplicates.regrouping import PairGraph, Regrouper
    from sbert_cluster.options import Grouping
    from sbert_cluster.types import Pairs, Reason

    random = np.random.default_rng(1)
    left = random.integers(0, rows - 30, rows)
    right = left + random.integers(1, 30, rows)
    place = random.permutation(rows)
    left, right = np.sort(np.stack([place[left], place[right]]), axis=0)
    keys = np.unique(left * rows + right)
    left, right = keys // rows, keys % rows
    similarity = (1 - 0.2 * np.sqrt(random.random(len(keys)))).astype(np.float32)
    reason = np.full(len(keys), Reason.SEMANTIC, np.uint8)
    pairs = Pairs(left, right, similarity, reason).ordered()
    graph = PairGraph(pairs)
    groups = Regrouper(graph, graph.rows, Grouping.DIRECT).at(0.8)
    head = groups.best[groups.leader[graph.node]]
    removed = head != graph.rows
    frame = _frame(rows)
    stays = np.ones(rows, np.bool_)
    stays[graph.rows[removed]] = False
    gone = frame.filter(~pl.Series(stays)).with_columns(
        sbert_row=pl.Series(graph.rows[removed]),
        sbert_group=pl.Series(np.zeros(int(removed.sum()), np.int64)),
        sbert_duplicate_of=pl.Series(head[removed]),
        sbert_similarity=pl.Series(groups.similarity[graph.node][removed]),
        sbert_reason=pl.lit("semantic"),
    )
    folder.mkdir(parents=True)
    _write(frame.filter(pl.Series(stays)), folder / f"kept.{suffix}")
    _write(gone, folder / f"duplicates.{suffix}")
    pl.DataFrame(
        {
            "left": pairs.left,
            "right": pairs.right,
            "similarity": pairs.similarity,
            "reason": pl.Series(np.resize(["semantic"], len(pairs))),
        }
    ).write_parquet(folder / "pairs.parquet")
    counts = {"rows": rows, "kept": int(stays.sum()), "removed": int((~stays).sum())}
    arguments = {"threshold": 0.8, "keep": "first", "grouping": "direct", "against": None}
    return _finish(folder, "dedup", arguments, counts)


def make_groups(folder: Path, rows: int, suffix: str) -> float:
    """A run of ``groups`` with a thousand clusters."""
    random = np.random.default_rng(2)
    clusters = min(1_000, rows // 100)
    label = random.integers(-1, clusters, rows)
    middle = random.normal(size=(clusters + 1, 2)) * 10
    places = (middle[label] + random.normal(size=(rows, 2)) * 0.5).astype(np.float32)
    strength = random.random(rows).astype(np.float32)
    added = pl.DataFrame(
        {"sbert_cluster": label, "sbert_strength": strength}
        | {f"sbert_{axis}": places[:, n] for n, axis in enumerate("xy")}
    )
    folder.mkdir(parents=True)
    _write(_frame(rows).hstack(added), folder / f"rows.{suffix}")
    base = added.rename({name: name.removeprefix("sbert_") for name in added.columns})
    base.write_parquet(folder / "base.parquet")
    sizes = np.bincount(label[label >= 0], minlength=clusters)
    pl.DataFrame(
        {"cluster": np.arange(clusters), "size": sizes}
        | {"label": [f"topic {k}" for k in range(clusters)], "keywords": ["a, b"] * clusters}
        | {"representative": ["text"] * clusters, "representative_row": [0] * clusters}
        | {"cohesion": random.random(clusters)}
    ).write_csv(folder / "clusters.csv")
    return _finish(folder, "groups", {}, {"rows": rows})


def _write(frame: pl.DataFrame, path: Path) -> None:
    write: Callable[..., None] = (
        frame.write_parquet if path.suffix == ".parquet" else frame.write_csv
    )
    write(path)


def _finish(folder: Path, command: str, arguments: dict[str, Any], counts: dict[str, int]) -> float:
    described = {"files": [{"path": "invented.csv"}], "text_columns": ["text"]}
    manifest = {"schema_version": 1, "command": command, "arguments": arguments}
    manifest |= {"input": described, "counts": counts}
    (folder / "run.json").write_text(json.dumps(manifest))
    return sum(path.stat().st_size for path in folder.iterdir()) / 2**20
