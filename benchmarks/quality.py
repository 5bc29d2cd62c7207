"""Semantic textual similarity in every number format: Spearman's rank correlation × 100."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.contenders import OURS, PEER, Contender, Loaded, load_all
from benchmarks.harness import Report, Settings, Table, say
from benchmarks.texts import FOLDER_VARIABLE, data_folder, read
from sbert_cluster.evaluation.sts import score_sts

if TYPE_CHECKING:
    import polars

_FILES = ("sts12_16.parquet", "stsb.parquet", "sick.parquet")
_YEARS = ("sts12", "sts13", "sts14", "sts15", "sts16")


@dataclass(frozen=True)
class Task:
    """Pairs of sentences and how similar people found them."""

    name: str
    left: list[str]
    right: list[str]
    scores: list[float]


def run(settings: Settings) -> Report:
    """Score each number format on the seven test sets; quick: on 200 pairs of each."""
    title = "Semantic textual similarity (Spearman × 100)"
    missing = [file for file in _FILES if not (data_folder() / file).exists()]
    if missing:
        note = f"Skipped: {', '.join(missing)} missing; {FOLDER_VARIABLE} names their folder."
        say(note)
        return Report(title, {}, [], [note])
    tasks = sts_tasks(200 if settings.quick else None)
    contenders = [
        Contender(PEER, "fp32", 32, settings.device),
        *(Contender(OURS, p, None, settings.device) for p in ("fp32", "bf16", "int8")),
    ]
    loaded, left_out = load_all(contenders)
    results = {
        one.contender.name: {**_score(one, tasks), "precision": one.precision} for one in loaded
    }
    notes = [
        *left_out,
        "All pairs of a year in one correlation. STS13 is without its SMT part (750 pairs).",
    ]
    if settings.quick:
        notes.append("Quick: only the first 200 pairs of each set, so not the published figures.")
    return Report(title, results, [_table(results, tasks)], notes)


def sts_tasks(most: int | None) -> list[Task]:
    """The seven test sets, or the first pairs of each."""
    years, benchmark, sick = (read(data_folder() / file) for file in _FILES)
    frames = {year.upper(): years.filter(years["year"] == year) for year in _YEARS}
    frames["STSb"] = benchmark.filter(benchmark["split"] == "test")
    frames["SICK-R"] = sick.filter(sick["split"] == "test")
    return [_task(name, frame.head(most or frame.height)) for name, frame in frames.items()]


def _task(name: str, frame: polars.DataFrame) -> Task:
    left, right, scores = (frame[c].to_list() for c in ("sentence1", "sentence2", "score"))
    return Task(name, left, right, scores)


def _score(loaded: Loaded, tasks: Sequence[Task]) -> dict[str, Any]:
    say(f"quality  {loaded.contender.name}")
    sentences = list(dict.fromkeys(text for task in tasks for text in (*task.left, *task.right)))
    row = {text: i for i, text in enumerate(sentences)}
    vectors = loaded.encode(sentences)
    scores = {}
    for task in tasks:
        left, right = ([row[text] for text in side] for side in (task.left, task.right))
        made = score_sts(vectors[left], vectors[right], np.array(task.scores))
        scores[task.name] = made.spearman
    return {"sets": scores, "average": float(np.mean(list(scores.values())))}


def _table(results: dict[str, Any], tasks: Sequence[Task]) -> Table:
    names = [task.name for task in tasks]
    reference = next(iter(results.values()))["average"]
    rows = [
        [
            name,
            *(f"{one['sets'][task]:.2f}" for task in names),
            f"{one['average']:.2f}",
            f"{one['average'] - reference:+.3f}",
        ]
        for name, one in results.items()
    ]
    pairs = sum(len(task.scores) for task in tasks)
    return Table(f"{pairs:,} pairs", ["contender", *names, "average", "to the reference"], rows)
