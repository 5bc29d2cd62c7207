"""The ten rows nearest to one query: this project's exact search against exact peers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness import Report, Settings, Table, say
from benchmarks.pairs import SIZES, headline_vectors
from benchmarks.texts import SEED
from sbert_cluster.neighbors.search import Searcher
from sbert_cluster.types import Rows, Vectors

TOP = 10
_PAUSE_S, _TURN = 0.05, 20
_KINDS = "a row itself", "between two rows"
_OURS, _FAISS, _NUMPY = "sbert-cluster", "FAISS flat", "numpy, all products"

Answer = Callable[[Vectors], Rows]
"""float32[d] query → int64[10] rows, the nearest first."""


def run(settings: Settings) -> Report:
    """Ask single queries that are rows, and queries between two rows, one after the other."""
    vectors, notes = headline_vectors(SIZES[-1], settings)
    random = np.random.default_rng(SEED)
    count = 20 if settings.quick else 100
    rows = vectors[random.choice(len(vectors), count, replace=False)]
    between = rows + 0.7 * vectors[random.choice(len(vectors), count)]
    between /= np.linalg.norm(between, axis=1, keepdims=True)
    begun = time.perf_counter()
    ours = Searcher(vectors, k=TOP)
    prepared = time.perf_counter() - begun
    say(f"{len(vectors):,} rows prepared in {prepared:.1f} s")
    contenders: dict[str, Answer] = {
        _OURS: lambda query: ours.nearest(query[None], TOP).rows[0],
        _FAISS: _faiss(vectors),
        _NUMPY: lambda query: _numpy(vectors, query),
    }
    results: dict[str, Any] = {"rows": len(vectors), "prepared_s": prepared}
    for kind, queries in zip(_KINDS, (rows, between), strict=True):
        results[kind] = _race(contenders, queries)
    return Report("Search", results, [_table(results)], [*notes, *_notes()])


def _race(contenders: dict[str, Answer], queries: Vectors) -> dict[str, Any]:
    """Milliseconds a query of each, in turns of some queries, and how many answers are ours.

    The first query of a turn finds the caches full of what the others read; it is told apart.
    """
    spent: dict[str, list[float]] = {name: [] for name in contenders}
    first: dict[str, list[float]] = {name: [] for name in contenders}
    answers: dict[str, list[Rows]] = {name: [] for name in contenders}
    for start in range(0, len(queries), _TURN):
        for name, answer in contenders.items():
            # Threads of the one before go on spinning for a while.
            time.sleep(_PAUSE_S)
            for number, query in enumerate(queries[start : start + _TURN]):
                begun = time.perf_counter()
                answers[name].append(answer(query))
                taken = 1e3 * (time.perf_counter() - begun)
                (spent if number else first)[name].append(taken)
    return {
        name: {
            "p50_ms": float(np.percentile(times, 50)),
            "p95_ms": float(np.percentile(times, 95)),
            "first_ms": float(np.median(first[name])),
            "same_rows_as_ours": float(
                np.mean(
                    [
                        np.array_equal(*pair)
                        for pair in zip(answers[name], answers[_OURS], strict=True)
                    ]
                )
            ),
        }
        for name, times in spent.items()
    }


def _faiss(vectors: Vectors) -> Answer:
    import faiss

    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)

    def answer(query: Vectors) -> Rows:
        rows: Rows = index.search(query[None], TOP)[1][0]
        return rows

    return answer


def _numpy(vectors: Vectors, query: Vectors) -> Rows:
    scores = vectors @ query
    best = np.argpartition(-scores, TOP)[:TOP]
    return best[np.argsort(-scores[best], kind="stable")]


def _table(results: dict[str, Any]) -> Table:
    lines = [
        [name, kind, f"{one['p50_ms']:.1f}", f"{one['p95_ms']:.1f}", f"{one['first_ms']:.1f}",
         f"{one['same_rows_as_ours']:.0%}"]
        for kind in _KINDS
        for name, one in results[kind].items()
    ]  # fmt: skip
    title = f"{results['rows']:,} headlines, prepared in {results['prepared_s']:.1f} s"
    return Table(title, ("", "queries", "p50 ms", "p95 ms", "first ms", "same rows"), lines)


def _notes() -> list[str]:
    return [
        f"Turns of {_TURN} queries; first: that of a turn, when the caches hold what others read.",
        f"The {TOP} nearest rows of one query at a time, vectors in memory; peers may order rows "
        "of equal similarity otherwise, which counts as another answer here.",
        "numpy's time includes the choice of the best rows among all products.",
    ]
