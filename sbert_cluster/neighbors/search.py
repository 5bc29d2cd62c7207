"""The k most similar rows, exactly.

Something quick proposes rows: whole float32 products, or the bounds of
:mod:`~sbert_cluster.neighbors.nearest.rows`, below which no row can be among the best.
:func:`~sbert_cluster.neighbors.similarity.cosine` decides and orders them. A list of proposals is
longer than k by a margin, and a query whose margin could hide a tie is compared with every row: so
the answer depends neither on the size of the blocks nor on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.neighbors.native import dots
from sbert_cluster.neighbors.nearest.products import integer_product
from sbert_cluster.neighbors.nearest.rows import BLOCK_ROWS, Codes, choose_codes, code_queries
from sbert_cluster.neighbors.similarity import cosine, rounding_allowance
from sbert_cluster.progress import Progress, silent
from sbert_cluster.types import Rows, Vectors

QUERY_ROWS = 512
"""Queries that are answered at a time."""
_PLAIN_ROWS = 8_192
"""Rows of a block of whole products, 16 MB."""
_SPARE = 16
"""Rows that are proposed beyond the k asked for."""
_FEW = 256
"""Rows that are looked up first where all above a threshold are wanted."""
_FIRST = 512
"""Chunks that are looked at in the order of their bounds; for the others it matters little."""
_SINGLY = 8
"""Up to this number of queries each scans the codes on its own."""
WORTH_PRODUCTS = 1 << 38
"""Multiply-adds from which coding the rows for one call pays; some seconds."""
WORTH_ROWS = 32_768
"""Rows from which coding them once for many calls pays."""


@dataclass(frozen=True)
class Neighbors:
    """The most similar rows of each query, the most similar first, ties by row."""

    rows: Rows
    """int64[queries, k]."""
    similarity: NDArray[np.float32]
    """float32[queries, k]; -1 where a zero row is involved."""


class AnswerQueries(Protocol):
    """A place where queries are answered."""

    def __call__(
        self,
        searcher: Searcher,
        queries: Vectors,
        k: int,
        *,
        same: bool = False,
        progress: Progress = silent,
    ) -> Neighbors:
        """Answer all queries; see :meth:`Searcher.nearest`."""


def find_nearest(
    queries: Vectors,
    vectors: Vectors,
    k: int,
    *,
    same: bool = False,
    progress: Progress = silent,
    answer: AnswerQueries | None = None,
) -> Neighbors:
    """Find the k most similar rows of each query.

    Args:
        queries: float32[q, d], unit or zero rows.
        vectors: float32[n, d], likewise.
        k: How many; at most n (n - 1 where ``same``), fewer are returned otherwise.
        same: ``queries`` is ``vectors``, and no row is its own neighbor.
        progress: Told the queries answered.
        answer: Where queries are answered; None: here.

    Raises:
        ValueError: If the vectors have different lengths.
    """
    worth = len(queries) * vectors.size >= WORTH_PRODUCTS
    searcher = Searcher(vectors, k=k, coded=worth, many=True)
    return (answer or Searcher.nearest)(searcher, queries, k, same=same, progress=progress)


class Searcher:
    """Rows, prepared for many searches.

    Safe to be used by several threads.

    Args:
        vectors: float32[n, d], unit or zero rows.
        k: About how many neighbors will be asked for; any number may be.
        coded: Whether to prepare codes, which takes some seconds for a million rows; None: where
            that pays for many single queries.
        many: Whether most queries will come many at once.
        seed: Of the sample that the codes are chosen from; no answer depends on it.
    """

    def __init__(
        self,
        vectors: Vectors,
        *,
        k: int = 10,
        coded: bool | None = None,
        many: bool = False,
        seed: int = 0,
    ) -> None:
        import torch

        alive = vectors.any(axis=1)
        # A zero row is similar to nothing, and its products of 0 would hide opposite rows.
        self._dead = np.flatnonzero(~alive)
        self._alive = np.flatnonzero(alive)
        self._all = vectors
        self._vectors = vectors[alive] if len(self._dead) else np.asarray(vectors)
        worth = len(self._vectors) >= WORTH_ROWS if coded is None else coded
        self._codes: Codes | None = None
        if worth and len(self._vectors):
            self._codes = choose_codes(self._vectors, k + _SPARE, many=many, seed=seed)
        self._threads = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(self._threads)

    def __len__(self) -> int:
        return len(self._all)

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs: threads stay here, and no vector travels twice."""
        state = {name: value for name, value in vars(self).items() if name != "_pool"}
        state["_all"] = np.asarray(self._all)
        return state | ({} if len(self._dead) else {"_vectors": None})

    def __setstate__(self, state: dict[str, Any]) -> None:
        import torch

        vars(self).update(state)
        if self._vectors is None:
            self._vectors = self._all
        self._threads = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(self._threads)

    @property
    def vectors(self) -> Vectors:
        """float32[n, d]: the rows."""
        return self._all

    def possible(self, queries: Vectors, k: int, *, same: bool) -> int:
        """How many neighbors each query can get, of the k that are wanted.

        Raises:
            ValueError: If the queries have another length than the rows.
        """
        if queries.shape[1] != self._all.shape[1]:
            raise ValueError(
                f"vectors of {queries.shape[1]} and of {self._all.shape[1]} dimensions"
            )
        return max(min(k, len(self._all) - same), 0)

    def nearest(
        self,
        queries: Vectors,
        k: int,
        *,
        same: bool = False,
        start: int = 0,
        progress: Progress = silent,
    ) -> Neighbors:
        """Find the k most similar rows of each query; see :func:`find_nearest`.

        Args:
            queries: float32[q, d], unit or zero rows.
            k: How many.
            same: The queries are rows, one after the other, and no row is its own neighbor.
            start: The first of these rows.
            progress: Told the queries answered.
        """
        k = self.possible(queries, k, same=same)
        rows = np.empty((len(queries), k), np.int64)
        similarity = np.empty((len(queries), k), np.float32)
        for first in range(0, len(queries) if k else 0, QUERY_ROWS):
            part = slice(first, min(first + QUERY_ROWS, len(queries)))
            count = part.stop - first
            own = np.arange(start + first, start + part.stop) if same else np.full(count, -1)
            rows[part], similarity[part] = self._answer(queries[part], own, k)
            progress("searching", part.stop, len(queries), "rows")
        return Neighbors(rows, similarity)

    def above(self, query: Vectors, threshold: float) -> tuple[Rows, NDArray[np.float32]]:
        """Find every row with a similarity of at least the threshold.

        Args:
            query: float32[d].
            threshold: In (0, 1].

        Returns:
            int64[m] rows and float32[m] similarities, the most similar first, ties by row.
        """
        few = self.nearest(query[None], _FEW)
        rows, scores = few.rows[0], few.similarity[0]
        if len(rows) == _FEW < len(self) and scores[-1] >= np.float32(threshold):
            near = self._vectors @ query >= threshold - self._allowance
            found = self._alive[near]
            scores = cosine(query[None], np.zeros(len(found), np.int64), self._all, found)
            order = np.lexsort((found, -scores))
            rows, scores = found[order], scores[order]
        reached = scores >= np.float32(threshold)
        return rows[reached], scores[reached]

    @property
    def _allowance(self) -> float:
        # The spare units of the allowance cover the rounding of the similarity itself.
        return rounding_allowance(self._vectors.shape[1])

    def _answer(self, queries: Vectors, own: Rows, k: int) -> tuple[Rows, NDArray[np.float32]]:
        """The neighbors of a block of queries; ``own`` is left out for each, unless it is -1."""
        place = np.searchsorted(self._alive, own)
        inside = np.isin(own, self._alive)
        place = np.where(inside, place, -1)
        possible = len(self._vectors) - int(inside.any())
        wanted = min(k + _SPARE, possible)
        if wanted < 1:
            return self._ordered(queries, own, np.empty((len(queries), 0), np.int64), k)
        scores, proposed = self._propose(queries, place, wanted)
        rows, similarity = self._ordered(queries, own, proposed, k)
        if wanted < possible:
            # What was left out is at most the lowest; it must not reach the k-th after rounding.
            kth = np.partition(scores, wanted - k, axis=1)[:, wanted - k]
            for i in np.flatnonzero(scores.min(axis=1) >= kth - 2 * self._allowance):
                near = np.flatnonzero(self._vectors @ queries[i] >= kth[i] - 2 * self._allowance)
                one = slice(i, i + 1)
                rows[one], similarity[one] = self._ordered(queries[one], own[one], near[None], k)
        return rows, similarity

    def _ordered(
        self, queries: Vectors, own: Rows, proposed: Rows, k: int
    ) -> tuple[Rows, NDArray[np.float32]]:
        """The k best of the rows proposed for each query and of the zero rows."""
        count = len(queries)
        # A query of zeros is as unlike to one row as to another, so the first rows are its answer.
        nothing = np.flatnonzero(~queries.any(axis=1))
        dead = np.tile(self._dead[: k + 1], (count, 1))
        rows = np.concatenate([self._alive[proposed], dead], axis=1)
        asked = np.repeat(np.arange(count), rows.shape[1])
        scores = cosine(queries, asked, self._all, rows.ravel()).reshape(rows.shape)
        scores[rows == own[:, None]] = -np.inf
        order = np.lexsort((rows, -scores), axis=1)[:, :k]
        rows, scores = np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1)
        for i in nothing:
            others = np.arange(k + 1)
            rows[i], scores[i] = others[others != own[i]][:k], -1
        return rows, scores

    def _propose(
        self, queries: Vectors, own: Rows, wanted: int
    ) -> tuple[NDArray[np.float32], Rows]:
        """Float32 scores and places of the rows that can be among the best; no order."""
        if self._codes is None:
            return _propose_plain(queries, self._vectors, own, wanted)
        from sbert_cluster.neighbors.nearest.loops import EMPTY

        scores = np.full((len(queries), wanted), EMPTY, np.float32)
        rows = np.full((len(queries), wanted), -1, np.int64)
        if len(queries) <= _SINGLY:
            for i in range(len(queries)):
                scores[i], rows[i] = self._scan(self._codes, queries[i], int(own[i]), wanted)
        else:
            self._scan_tiles(self._codes, queries, own, scores, rows)
        return scores, rows

    def _scan(
        self, codes: Codes, query: Vectors, own: int, wanted: int
    ) -> tuple[NDArray[np.float32], Rows]:
        """Bound every row, each thread its part; then score, the most promising rows first."""
        from sbert_cluster.neighbors.nearest.loops import CHUNK, EMPTY, look_at_chunks

        blocks, size = codes.scale.shape
        bounds = np.empty((blocks, size), np.float32)
        highest = np.empty((blocks, size // CHUNK), np.float32)
        cuts = np.linspace(0, blocks, self._threads + 1).astype(np.int64)
        bound = _bound_packed if codes.packed else _bound_columns
        work = bound(codes, query, bounds, highest)
        list(self._pool.map(work, cuts[:-1], cuts[1:]))
        scores = np.full(wanted, EMPTY, np.float32)
        rows = np.full(wanted, -1, np.int64)
        look_at_chunks(
            _promising(highest.ravel()), highest.ravel(), bounds.ravel(), own,
            np.float32(codes.allowance), self._vectors, query, scores, rows,
        )  # fmt: skip
        return scores, rows

    def _scan_tiles(
        self,
        codes: Codes,
        queries: Vectors,
        own: Rows,
        scores: NDArray[np.float32],
        rows: Rows,
    ) -> None:
        """Each block of rows is multiplied with all queries; the threads share the queries."""
        from sbert_cluster.neighbors.nearest.loops import scan_tile

        count = len(queries)
        asked = code_queries(queries, codes.prefix)
        numbers = np.ascontiguousarray(asked.numbers[:, : codes.length])
        cuts = np.linspace(0, count, self._threads + 1).astype(np.int64)
        blocks = range(len(codes.codes))

        def scan(products: NDArray[Any], first: int, last: int, block: int) -> None:
            other = np.stack([codes.scale[block], codes.slack[block], codes.rest[block]])
            scan_tile(
                products, asked.bounds, other, own, first, last, block * BLOCK_ROWS,
                np.float32(codes.allowance), self._vectors, queries, scores, rows,
            )  # fmt: skip

        def all_blocks(first: int, last: int) -> None:
            products = np.empty((count, BLOCK_ROWS), np.int32)
            for block in blocks:
                dots(asked.numbers[first:last], codes.codes[block], products[first:last])
                scan(products, first, last, block)

        if codes.packed:  # no thread waits for another
            list(self._pool.map(all_blocks, cuts[:-1], cuts[1:]))
            return
        for block in blocks:  # torch shares each product among threads of its own
            work = partial(scan, integer_product(numbers, codes.codes[block]), block=block)
            list(self._pool.map(work, cuts[:-1], cuts[1:]))


Bound = Callable[[int, int], None]
"""Bounds the rows of the blocks from the first to the last, exclusive."""


def _bound_packed(codes: Codes, query: Vectors, bounds: Vectors, highest: Vectors) -> Bound:
    """The query in bytes, with the byte instructions of the processor."""
    from sbert_cluster.neighbors.nearest.loops import bound_products

    asked = code_queries(query[None], codes.prefix)
    products = np.empty(bounds.shape, np.int32)

    def bound(first: int, last: int) -> None:
        rows = codes.codes[first:last].reshape(-1, *codes.codes.shape[2:])
        dots(asked.numbers, rows, products[first:last].reshape(1, -1))
        parts = (products, codes.scale, codes.slack, codes.rest)
        bound_products(
            *(part[first:last].ravel() for part in parts), asked.bounds[:, 0],
            bounds[first:last].ravel(), highest[first:last].ravel(),
        )  # fmt: skip

    return bound


def _bound_columns(codes: Codes, query: Vectors, bounds: Vectors, highest: Vectors) -> Bound:
    """The query in float32, coordinate by coordinate."""
    from sbert_cluster.neighbors.nearest.loops import bound_blocks

    numbers = codes.prefix.of(query[None])[0]

    def bound(first: int, last: int) -> None:
        bound_blocks(
            codes.codes, codes.scale, codes.slack, codes.rest, numbers,
            first, last, bounds, highest,
        )  # fmt: skip

    return bound


def _promising(highest: NDArray[np.float32]) -> Rows:
    """All chunks; those with the highest bounds first, the highest of all in front."""
    if len(highest) <= _FIRST:
        return np.argsort(-highest)
    order = np.argpartition(-highest, _FIRST)
    order[:_FIRST] = order[:_FIRST][np.argsort(-highest[order[:_FIRST]])]
    return order


def _propose_plain(
    queries: Vectors, vectors: Vectors, own: Rows, wanted: int
) -> tuple[NDArray[np.float32], Rows]:
    """The best by whole float32 products."""
    import torch

    one, skip = torch.from_numpy(np.ascontiguousarray(queries)), torch.from_numpy(own)
    best = torch.empty(len(one), 0)
    where = torch.empty(len(one), 0, dtype=torch.int64)
    for start in range(0, len(vectors), _PLAIN_ROWS):
        block = torch.from_numpy(vectors[start : start + _PLAIN_ROWS])
        products = one @ block.T
        inside = (skip >= start) & (skip < start + len(block))
        if inside.any():
            products[inside, skip[inside] - start] = -torch.inf
        value, column = products.topk(min(wanted, len(block)), dim=1)
        best, where = torch.cat([best, value], 1), torch.cat([where, column + start], 1)
        if best.shape[1] > wanted:
            best, order = best.topk(wanted, dim=1)
            where = where.gather(1, order)
    return best.numpy(), where.numpy()
