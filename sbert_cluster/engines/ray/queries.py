"""Queries as tasks: all rows lie in the object store, each task answers a stripe of queries."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from sbert_cluster.engines.ray.cluster import Cluster, on
from sbert_cluster.engines.ray.tasks import Tasks
from sbert_cluster.neighbors.search import QUERY_ROWS, Neighbors, Searcher
from sbert_cluster.progress import Progress
from sbert_cluster.types import Vectors

_EACH = 8
"""Stripes for each worker, if there are queries enough, so that none waits long for another."""


def answer(
    cluster: Cluster,
    searcher: Searcher,
    queries: Vectors,
    k: int,
    *,
    same: bool,
    progress: Progress,
) -> Neighbors:
    """Answer queries; see :class:`~sbert_cluster.neighbors.search.AnswerQueries`.

    Raises:
        EngineError: If a stripe fails again and again.
    """
    import ray

    k = searcher.possible(queries, k, same=same)
    rows = np.empty((len(queries), k), np.int64)
    similarity = np.empty((len(queries), k), np.float32)
    if not k:
        return Neighbors(rows, similarity)
    held = ray.put(searcher)
    task = ray.remote(_answer_stripe)
    size = _stripe_rows(len(queries), cluster.slots)

    def submit(start: int, machine: str) -> Any:
        # Queries that are rows lie in the store already.
        asked = None if same else np.array(queries[start : start + size])
        placed = task.options(num_cpus=1, max_retries=0, scheduling_strategy=on(machine))
        return placed.remote(held, asked, start, start + size, k)

    done = 0
    stripes = _Stripes(range(0, len(queries), size))
    for start, found in Tasks(cluster, stripes, submit, "the queries from {} on".format).run():
        part = slice(start, start + len(found.rows))
        rows[part], similarity[part] = found.rows, found.similarity
        done += len(found.rows)
        progress("searching", done, len(queries), "rows")
    assert done == len(queries), "a stripe was left out"
    return Neighbors(rows, similarity)


def _stripe_rows(queries: int, slots: int) -> int:
    size = -(-queries // (_EACH * slots))
    return min(16, max(1, -(-size // QUERY_ROWS))) * QUERY_ROWS


class _Stripes:
    """Stripes in their order; see :class:`~sbert_cluster.engines.ray.tasks.Source`."""

    def __init__(self, starts: range) -> None:
        self._left = deque(starts)

    def take(self, machine: str) -> int | None:  # noqa: ARG002 - each machine has all rows
        return self._left.popleft() if self._left else None

    def put_back(self, unit: int) -> None:
        self._left.appendleft(unit)


def _answer_stripe(
    searcher: Searcher, queries: Vectors | None, start: int, stop: int, k: int
) -> Neighbors:
    """The task."""
    if queries is None:
        return searcher.nearest(searcher.vectors[start:stop], k, same=True, start=start)
    return searcher.nearest(queries, k)
