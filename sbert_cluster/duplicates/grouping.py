"""From pairs to groups: which row stays, and which row stays in place of each of the others.

All three ways visit rows in the order of ``--keep`` and work on a graph of *units* (distinct
texts); :func:`expand` carries the decision over to rows.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.duplicates.ladder import Units
from sbert_cluster.duplicates.visiting import staying
from sbert_cluster.neighbors.similarity import cosine
from sbert_cluster.options import Grouping
from sbert_cluster.types import DuplicateGroups, Pairs, Reason, Rows, Vectors

_BLOCK = 1_024
"""Rows whose similarities are held at a time, for the lowest one in a group."""


class UnitSimilarity:
    """The similarity that decisions rest on: 1 for units of the same form, else the cosine.

    Args:
        units: The units.
        vectors: float32[m, d], one row a unit.
    """

    def __init__(self, units: Units, vectors: Vectors) -> None:
        self._units, self._vectors = units, vectors

    def of(self, left: Rows, right: Rows) -> NDArray[np.float32]:
        """float32[k]: of the units left[i] and right[i]."""
        scores = cosine(self._vectors, left, self._vectors, right)
        if not self._units.lifted:
            return scores
        return np.where(self._units.same_form(left, right), np.float32(1), scores)

    def lowest(self, members: Rows) -> float:
        """The lowest similarity of any two of the units; 1 for a single one."""
        if len(members) < 2:
            return 1.0
        # In float64: by float32 products another pair could look lowest, depending on the blocks.
        wide = self._vectors[members].astype(np.float64)
        norms = np.linalg.norm(wide, axis=1, keepdims=True)
        np.divide(wide, norms, out=wide, where=norms > 0)
        candidates = [
            self._lowest_in(slice(i, i + _BLOCK), members, wide)
            for i in range(0, len(members), _BLOCK)
        ]
        left, right = np.array(candidates).T
        return float(self.of(left, right).min())

    def _lowest_in(self, part: slice, members: Rows, wide: NDArray[np.float64]) -> tuple[int, int]:
        """The least similar pair of one of ``members[part]`` and one of ``members``."""
        products = wide[part] @ wide.T
        if self._units.lifted:
            form = self._units.form[members]
            products[form[part, None] == form[None, :]] = 1
        i, j = np.unravel_index(int(products.argmin()), products.shape)
        return int(members[part][i]), int(members[j])


def find_leaders(pairs: Pairs, rank: Rows, grouping: Grouping) -> Rows:
    """Decide which units stay.

    Args:
        pairs: Every pair of units at or above the threshold.
        rank: int64[m], the order in which units are visited; all different.
        grouping: ``direct``: a unit stays if it is in no pair with one that stays already; the
            others join the most similar one that stays (ties: the one visited first).
            ``complete``: a unit joins, of the groups with all of whose members it is in a pair, the
            one whose first member is most similar; if there is none, it starts a group.
            ``single``: connected components; the unit visited first stays.

    Returns:
        int64[m]: the unit that stays in place of each; its own number for one that stays.
    """
    ways = {
        Grouping.DIRECT: _direct,
        Grouping.COMPLETE: _complete,
        Grouping.SINGLE: _single,
    }
    return ways[grouping](pairs, rank)


class _Neighbours:
    """The graph of pairs, by unit."""

    def __init__(self, pairs: Pairs, count: int) -> None:
        source = np.concatenate([pairs.left, pairs.right])
        order = np.argsort(source, kind="stable")
        self._target = np.concatenate([pairs.right, pairs.left])[order]
        self._similarity = np.concatenate([pairs.similarity] * 2)[order]
        self._start = np.searchsorted(source[order], np.arange(count + 1))

    def visit(self, rank: Rows) -> Iterator[tuple[int, Rows, NDArray[np.float32]]]:
        """Units that have neighbours, in visiting order, with them and their similarities."""
        units = np.flatnonzero(np.diff(self._start))
        for unit in units[np.argsort(rank[units], kind="stable")]:
            part = slice(self._start[unit], self._start[unit + 1])
            yield int(unit), self._target[part], self._similarity[part]


def _direct(pairs: Pairs, rank: Rows) -> Rows:
    stays = staying(pairs.left, pairs.right, rank)
    leader = np.arange(len(rank), dtype=np.int64)
    # Whom a removed unit joins is decided at the end, so that it is the most similar one of all.
    left_stays, right_stays = stays[pairs.left], stays[pairs.right]
    mixed = left_stays != right_stays
    removed = np.where(left_stays, pairs.right, pairs.left)[mixed]
    kept = np.where(left_stays, pairs.left, pairs.right)[mixed]
    # Sorted worst first: of several assignments to the same place, numpy keeps the last.
    order = np.lexsort((-rank[kept], pairs.similarity[mixed]))
    leader[removed[order]] = kept[order]
    return leader


def _complete(pairs: Pairs, rank: Rows) -> Rows:
    leader = np.arange(len(rank), dtype=np.int64)
    visited = np.zeros(len(rank), np.bool_)
    size = np.ones(len(rank), np.int64)
    for unit, neighbours, similarity in _Neighbours(pairs, len(rank)).visit(rank):
        seen = visited[neighbours]
        groups, members = np.unique(leader[neighbours[seen]], return_counts=True)
        open_ = groups[members == size[groups]]
        if len(open_):
            # The leader of an open group is one of its members, hence a neighbour.
            by_unit = dict(zip(neighbours[seen].tolist(), similarity[seen].tolist(), strict=True))
            best = max(open_.tolist(), key=lambda g: (by_unit[g], -int(rank[g])))
            leader[unit] = best
            size[best] += 1
        visited[unit] = True
    return leader


def _single(pairs: Pairs, rank: Rows) -> Rows:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(rank)
    edges = coo_array((np.ones(len(pairs), np.int8), (pairs.left, pairs.right)), shape=(n, n))
    _, component = connected_components(edges, directed=False)
    first = np.full(n, -1, np.int64)
    latest_first = np.argsort(-rank, kind="stable")
    first[component[latest_first]] = latest_first
    return first[component]


def expand(units: Units, leader: Rows, row_rank: Rows, similar: UnitSimilarity) -> DuplicateGroups:
    """Carry the decision about units over to their rows.

    Args:
        units: n rows folded onto m units.
        leader: int64[m], of :func:`find_leaders`.
        row_rank: int64[n], the order in which rows are visited.
        similar: Similarity of units.
    """
    n = len(units.index)
    best = best_rows(units, row_rank)
    active = units.index >= 0
    duplicate_of = np.full(n, -1, np.int64)
    duplicate_of[active] = best[leader[units.index[active]]]
    kept = (duplicate_of == np.arange(n)) | ~active
    duplicate_of[kept] = -1
    removed = np.flatnonzero(~kept)
    mine, theirs = units.index[removed], leader[units.index[removed]]
    similarity = np.full(n, np.nan, np.float32)
    reason = np.full(n, Reason.SEMANTIC, np.uint8)
    same = mine == theirs
    similarity[removed] = np.where(same, np.float32(1), similar.of(mine, theirs))
    reason[removed] = np.where(same, units.reasons_of_copies(mine), units.reasons(mine, theirs))
    group, members = number_groups(duplicate_of)
    lowest = np.array([similar.lowest(np.unique(units.index[m])) for m in members], np.float32)
    return DuplicateGroups(kept, duplicate_of, similarity, reason, group, lowest)


def best_rows(units: Units, row_rank: Rows) -> Rows:
    """int64[m]: of the rows of each unit the one visited first."""
    best = np.empty(len(units), np.int64)
    latest_first = np.argsort(-row_rank, kind="stable")
    latest_first = latest_first[units.index[latest_first] >= 0]
    best[units.index[latest_first]] = latest_first
    return best


def number_groups(duplicate_of: Rows, *, heads_inside: bool = True) -> tuple[Rows, list[Rows]]:
    """Number groups by falling size, then by kept row.

    Args:
        duplicate_of: int64[n], -1 for a kept row.
        heads_inside: Whether ``duplicate_of`` holds rows of the same file, so that the kept row is
            a member of the group as well.

    Returns:
        int64[n] group of each row (-1: none), and the rows of each group, kept row first.
    """
    removed = np.flatnonzero(duplicate_of >= 0)
    heads, position, sizes = np.unique(
        duplicate_of[removed], return_inverse=True, return_counts=True
    )
    order = np.lexsort((heads, -sizes))
    number = np.empty(len(heads), np.int64)
    number[order] = np.arange(len(heads))
    group = np.full(len(duplicate_of), -1, np.int64)
    group[removed] = number[position]
    by_group = removed[np.argsort(group[removed], kind="stable")]
    members = np.split(by_group, np.cumsum(sizes[order])[:-1]) if len(heads) else []
    if heads_inside:
        group[heads] = number
        members = [np.append(head, part) for head, part in zip(heads[order], members, strict=True)]
    return group, members
