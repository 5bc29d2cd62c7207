"""The texts that are encoded: real ones where they are at hand, the sample data otherwise."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness import ROOT, say

if TYPE_CHECKING:
    import polars

FOLDER_VARIABLE = "SBERT_CLUSTER_BENCH_DATA"
"""Environment variable that names the folder of the data sets."""
SEED = 0
"""Of every draw."""
MOST_TEXTS = 100_000
"""Texts drawn from a corpus at most."""


@dataclass(frozen=True)
class Corpus:
    """Distinct texts in a random order that is always the same."""

    name: str
    texts: list[str]


@dataclass(frozen=True)
class _Source:
    name: str
    file: str
    column: str
    stand_in: str
    """File of ``sample_data`` that is used where ``file`` is missing."""
    stand_in_column: str


_SOURCES = {
    "headlines": _Source("headlines", "headlines.parquet", "text", "questions.csv", "question"),
    "questions": _Source(
        "Quora questions", "qqp_questions.parquet", "text", "questions.csv", "question"
    ),
    "reviews": _Source("reviews", "reviews.parquet", "text", "reviews.parquet", "review"),
}


def data_folder() -> Path:
    """The folder of the data sets, which need not exist."""
    return Path(os.environ.get(FOLDER_VARIABLE) or ROOT.parent / "shared" / "data")


def corpora() -> tuple[list[Corpus], list[str]]:
    """Headlines, questions and reviews, and a note for each that had to be replaced."""
    drawn = {}
    notes = []
    for key in _SOURCES:
        found, missing = corpus(key)
        drawn[found.name] = found
        notes += missing
    return list(drawn.values()), notes


def corpus(key: str) -> tuple[Corpus, list[str]]:
    """One of ``headlines``, ``questions`` and ``reviews``, and a note if it had to be replaced."""
    source = _SOURCES[key]
    path = data_folder() / source.file
    if path.exists():
        return _draw(source.name, path, source.column), []
    name = f"sample {source.stand_in}"
    note = (
        f"{source.file} is missing, so sample_data/{source.stand_in} stands in for "
        f"{source.name}; {FOLDER_VARIABLE} names the folder of the data sets."
    )
    say(note)
    return _draw(name, ROOT / "sample_data" / source.stand_in, source.stand_in_column), [note]


def read(path: Path) -> polars.DataFrame:
    """Read a table."""
    import polars

    return polars.read_csv(path) if path.suffix == ".csv" else polars.read_parquet(path)


def _draw(name: str, path: Path, column: str) -> Corpus:
    import numpy as np

    texts = read(path)[column].drop_nulls().unique(maintain_order=True)
    texts = texts.filter(texts.str.strip_chars() != "")
    rows = np.random.default_rng(SEED).permutation(len(texts))[:MOST_TEXTS]
    return Corpus(name, texts.gather(rows).to_list())
