"""Every pair at or above a threshold: this project against exact and approximate peers."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import (
    RESULTS,
    Report,
    Settings,
    Table,
    draw_growth,
    in_fresh_process,
    peak_memory_mib,
    say,
)
from benchmarks.texts import SEED, data_folder
from sbert_cluster.types import Vectors

PATIENCE_S = 60.0
"""A contender that is expected to take longer is left out, and this is said."""
SIZES = (20_000, 50_000, 200_000, 1_000_000)
THRESHOLDS = (0.7, 0.8, 0.9, 0.95)
MAIN_THRESHOLD = 0.9
MEMORY_ROWS = 50_000
_NEIGHBOURS = 33
"""Neighbors that approximate indexes are asked for, the row itself included."""
_INDEX_GROWTH = 1.1
"""The time of building and asking an index grows with the rows to this power, roughly."""
_OURS = "sbert-cluster"

Find = Callable[[Vectors, float], set[tuple[int, int]] | int]
"""Vectors and threshold → the pairs found (left < right), or their number where exact."""


def _ours(vectors: Vectors, threshold: float) -> int:
    from sbert_cluster.neighbors.join import find_pairs

    return len(find_pairs(vectors, threshold).pairs)


def _torch(vectors: Vectors, threshold: float) -> int:
    """Products of blocks of whole vectors; half of them, since a pair has no order."""
    import torch

    rows, step, found = torch.from_numpy(vectors), 1_024, 0
    for i in range(0, len(rows), step):
        for j in range(0, i + 1, step):
            pairs = (rows[i : i + step] @ rows[j : j + step].T >= threshold).nonzero()
            found += int((pairs[:, 0] + i > pairs[:, 1] + j).sum())
    return found


def _faiss_flat(vectors: Vectors, threshold: float) -> int:
    import faiss

    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    found = 0
    for start in range(0, len(vectors), 4_096):
        limits, _, columns = index.range_search(vectors[start : start + 4_096], threshold)
        rows = np.repeat(np.arange(len(limits) - 1), np.diff(limits).astype(np.int64)) + start
        found += int((columns > rows).sum())
    return found


def _faiss_hnsw(vectors: Vectors, threshold: float) -> set[tuple[int, int]]:
    import faiss

    index = faiss.IndexHNSWFlat(vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction, index.hnsw.efSearch = 40, 64
    index.add(vectors)
    scores, columns = index.search(vectors, _NEIGHBOURS)
    return _reaching(scores, columns, threshold)


def _usearch(vectors: Vectors, threshold: float) -> set[tuple[int, int]]:
    from usearch.index import Index

    index = Index(ndim=vectors.shape[1], metric="ip", dtype="f32")
    index.add(np.arange(len(vectors)), vectors, threads=0)
    found = index.search(vectors, _NEIGHBOURS, threads=0)
    return _reaching(1 - found.distances, found.keys.astype(np.int64), threshold)


def _reaching(scores: Any, columns: Any, threshold: float) -> set[tuple[int, int]]:
    row, place = np.nonzero(scores >= threshold)
    pairs = {(int(i), int(columns[i, p])) for i, p in zip(row, place, strict=True)}
    return {(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]}


def _mining(vectors: Vectors, threshold: float) -> set[tuple[int, int]]:
    import torch
    from sentence_transformers.util import paraphrase_mining_embeddings

    found = paraphrase_mining_embeddings(torch.from_numpy(vectors))
    pairs = ((int(i), int(j)) for score, i, j in found if score >= threshold)
    return {(min(pair), max(pair)) for pair in pairs}


CONTENDERS: dict[str, Find] = {
    _OURS: _ours,
    "torch, blocked fp32": _torch,
    "FAISS flat range_search": _faiss_flat,
    "FAISS HNSW 32/40/64": _faiss_hnsw,
    "usearch HNSW": _usearch,
    "paraphrase_mining": _mining,
}


@dataclass
class _Race:
    """All contenders on the same rows at one threshold."""

    name: str
    vectors: Vectors
    threshold: float
    seconds: dict[str, list[float]] = field(default_factory=dict)
    pairs: dict[str, int] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def run(self, contenders: list[str], repeats: int) -> None:
        """Alternate; those that take long run once."""
        for turn in range(repeats):
            for name in contenders:
                spent = self.seconds.get(name, [])
                if turn and (name not in self.pairs or statistics.mean(spent) * turn > 20):
                    continue
                begun = time.perf_counter()
                found = CONTENDERS[name](self.vectors, self.threshold)
                self.seconds.setdefault(name, []).append(time.perf_counter() - begun)
                self.pairs[name] = found if isinstance(found, int) else len(found)
                say(f"{self.name} {len(self.vectors):,} t={self.threshold} {name} "
                    f"{self.seconds[name][-1]:.2f} s")  # fmt: skip

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name])

    def described(self) -> dict[str, Any]:
        ours, true = self.median(_OURS), self.pairs[_OURS]
        return {
            "rows": len(self.vectors),
            "threshold": self.threshold,
            "left_out": self.left_out,
            "contenders": {
                name: {
                    "seconds": self.seconds[name],
                    "times_ours": self.median(name) / ours,
                    "pairs": self.pairs[name],
                    "recall": min(1.0, self.pairs[name] / true) if true else 1.0,
                }
                for name in self.seconds
            },
        }


def run(settings: Settings) -> Report:
    """Race on headlines of all sizes, and on questions at all thresholds."""
    headlines, notes = headline_vectors(SIZES[-1], settings)
    questions, more = _vectors("qqp_questions.parquet", "text", 50_000, settings)
    races = []
    last: dict[str, tuple[int, float]] = {}
    for size in [s for s in SIZES if s <= len(headlines)] or [len(headlines)]:
        for threshold in THRESHOLDS:
            race = _Race("headlines", headlines[:size], threshold)
            alone = threshold != MAIN_THRESHOLD
            names = list(CONTENDERS)[:2] if alone else list(CONTENDERS)
            race.left_out = [n for n in names if _expected(n, last.get(n), size) > PATIENCE_S]
            race.run([n for n in names if n not in race.left_out], settings.repeats)
            races.append(race)
            for name in race.seconds:
                last[name] = (size, race.median(name))
    for threshold in THRESHOLDS:
        race = _Race("Quora questions", questions, threshold)
        race.run(list(CONTENDERS)[:2], settings.repeats)
        races.append(race)
    memory = _memories(headlines[:MEMORY_ROWS], settings)
    results = {
        "races": [{"corpus": race.name, **race.described()} for race in races],
        "peak_memory_mib": memory,
    }
    if not settings.quick:
        _draw(races, RESULTS / "pairs.svg")
    return Report("Every pair", results, _tables(races, memory), [*notes, *more, *_notes()])


def _expected(name: str, last: tuple[int, float] | None, size: int) -> float:
    """Seconds that a contender should take, told by its last size."""
    growth = _INDEX_GROWTH if "HNSW" in name else 2.0
    return 0.0 if last is None else last[1] * (size / last[0]) ** growth


def headline_vectors(rows: int, settings: Settings) -> tuple[Vectors, list[str]]:
    """float32[rows, d] of distinct headlines, and what had to be replaced."""
    return _vectors("headlines.parquet", "text", rows, settings)


def _vectors(file: str, column: str, rows: int, settings: Settings) -> tuple[Vectors, list[str]]:
    """Vectors of distinct texts, through the cache: encoding is not what is measured."""
    import polars as pl

    from sbert_cluster.encoder.device import has_bf16_products
    from sbert_cluster.encoder.encoder import Encoder
    from sbert_cluster.options import EncodeOptions, Precision

    path, notes = data_folder() / file, []
    if path.exists():
        texts = pl.read_parquet(path)[column].unique(maintain_order=True)
    else:
        notes = [f"{file} is missing; sample_data/questions.csv stands in."]
        texts = pl.read_csv(RESULTS.parent.parent / "sample_data/questions.csv")["question"]
    texts = texts.head(2_000 if settings.quick else rows)
    precision = Precision.BF16 if has_bf16_products() else Precision.FP32
    encoder = Encoder.open(EncodeOptions(precision=precision))
    return encoder.encode(texts.to_list()).vectors, notes


def _memories(vectors: Vectors, settings: Settings) -> dict[str, float]:
    """Peak memory of each contender alone, what importing it takes included."""
    del settings
    return {name: in_fresh_process(_peak, name, vectors) for name in CONTENDERS}


def _peak(name: str, vectors: Vectors) -> float:
    CONTENDERS[name](vectors, MAIN_THRESHOLD)
    return peak_memory_mib()


def _tables(races: list[_Race], memory: dict[str, float]) -> list[Table]:
    tables = []
    for race in (r for r in races if r.threshold == MAIN_THRESHOLD and r.name == "headlines"):
        described = race.described()["contenders"]
        rows = [
            [name, f"{race.median(name):.2f}", f"{one['times_ours']:.1f}", f"{one['pairs']:,}",
             f"{one['recall']:.1%}"]
            for name, one in described.items()
        ]  # fmt: skip
        rows += [[name, f"> {PATIENCE_S:.0f}", "", "", ""] for name in race.left_out]
        title = f"{len(race.vectors):,} headlines, t = {race.threshold}"
        tables.append(Table(title, ("", "seconds", "× ours", "pairs", "recall"), rows))
    rows = [
        [
            f"{race.name} {len(race.vectors):,}",
            f"{race.threshold}",
            f"{race.median(_OURS):.2f}",
            f"{race.median('torch, blocked fp32'):.2f}" if _has_torch(race) else "",
            f"{race.pairs[_OURS]:,}",
        ]
        for race in races
    ]
    headers = ("corpus", "t", "ours, s", "torch, s", "pairs")
    tables.append(Table("All thresholds", headers, rows))
    peak = [[name, f"{value:,.0f}"] for name, value in memory.items()]
    tables.append(Table(f"Peak memory, {MEMORY_ROWS:,} rows", ("", "MiB"), peak))
    return tables


def _has_torch(race: _Race) -> bool:
    return "torch, blocked fp32" in race.seconds


def _draw(races: list[_Race], path: Path) -> None:
    """How the time grows with the number of rows, as a picture."""
    shown = [r for r in races if r.name == "headlines" and r.threshold == MAIN_THRESHOLD]
    lines = {
        name: [(len(r.vectors), r.median(name)) for r in shown if name in r.seconds]
        for name in CONTENDERS
    }
    draw_growth(path, "Every pair with similarity ≥ 0.9", lines, _OURS)


def _notes() -> list[str]:
    return [
        f"Vectors of the default model, distinct texts in the order of the file (seed {SEED} "
        "draws nothing here). One process, alternating; a contender that takes more than 20 s "
        "runs once.",
        f"A contender that is expected to take more than {PATIENCE_S:.0f} s is left out.",
        "Recall is the number of pairs found over ours, which is complete (the tests prove it "
        "against an exact loop); HNSW indexes are asked for 33 neighbors, paraphrase_mining for "
        "its default of 100 and at most 500,000 pairs.",
    ]
