"""The groups of a finished run, decided again: other thresholds, and what people want.

Rows with the same text share a *node*. Pairs are held by falling similarity, so that those at or
above a threshold are the first ones, and no step copies or sorts what it does not change.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.duplicates.grouping import find_leaders
from sbert_cluster.duplicates.visiting import staying
from sbert_cluster.options import Grouping
from sbert_cluster.types import Pairs, Reason, Rows

Nodes = NDArray[np.int32]

_FIRST = np.iinfo(np.int32).min
"""Rank below that of every row, for rows that people want to be kept."""


@dataclass(frozen=True)
class Wishes:
    """What people decided, beyond the threshold."""

    same: tuple[int, ...] = ()
    """Positions of edges that hold whatever the threshold is."""
    different: tuple[int, ...] = ()
    """Positions of edges that do not hold."""
    kept: tuple[int, ...] = ()
    """Rows that are visited before all others, the latest wish first."""
    out: frozenset[int] = frozenset()
    """Rows that take no part."""


@dataclass(frozen=True)
class Regrouped:
    """Groups at one threshold."""

    leader: Nodes
    """int32[m]: the node that stays in place of each; its own number for one that stays."""
    similarity: NDArray[np.float32]
    """float32[m]: to that node; 1 for one that stays, NaN where no stored pair joins the two."""
    best: Rows
    """int64[m]: the row of each node that is visited first: the one kept if the node stays."""
    sizes: Nodes
    """int32[m]: rows in the group of each node that stays; 0 for the others."""
    groups: int
    """Groups of two rows or more."""
    removed: int
    """Rows that do not stay."""

    @cached_property
    def heads(self) -> Rows:
        """int64[groups]: nodes that stay in place of others, largest group first, then by row."""
        heads = np.flatnonzero(self.sizes > 1)
        key = self.best[heads] - (self.sizes[heads].astype(np.int64) << 40)
        return heads[np.argsort(key)]


class PairGraph:
    """Stored pairs as a graph.

    Args:
        pairs: As stored: by falling similarity, copies of one text joined to its first row only.
        bare_copies: Whether rows may be copies without having a text (vectors brought by users):
            then a row whose only pair has similarity 1 is taken for a copy of the other.
    """

    def __init__(self, pairs: Pairs, *, bare_copies: bool = False) -> None:
        if len(pairs) and bool((np.diff(pairs.similarity) > 0).any()):
            pairs = pairs.ordered()
        taking_part = np.zeros(_beyond(pairs), np.bool_)
        taking_part[pairs.left] = taking_part[pairs.right] = True
        self.rows = np.flatnonzero(taking_part)
        """int64[r]: rows in any pair, rising."""
        place = np.cumsum(taking_part, dtype=np.int32) - np.int32(1)
        left, right = place[pairs.left], place[pairs.right]
        copies = _copies(pairs, right, len(self.rows), bare=bare_copies)
        self.node, first = _fold(left[copies], right[copies], len(self.rows))
        """int32[r]: the node of each of these rows."""
        self.first = self.rows[first]
        """int64[m]: the first row of each node."""
        left, right = self.node[left], self.node[right]
        edges = np.flatnonzero(left != right)
        self.left, self.right = left[edges], right[edges]
        """int32[k]: the nodes of each edge."""
        self.similarity = pairs.similarity[edges]
        """float32[k]: falling."""
        self.level = np.cumsum(np.diff(self.similarity, prepend=np.float32(2)) != 0, dtype=np.int32)
        """int32[k]: rising; the same for edges of the same similarity."""
        self.reason = pairs.reason[edges]
        """uint8[k]: values of :class:`Reason`."""

    def __len__(self) -> int:
        return len(self.first)

    def put_first(self, rank: Nodes) -> None:
        """Put the node visited first on the left of each edge."""
        wrong = rank[self.left] > rank[self.right]
        self.left[wrong], self.right[wrong] = self.right[wrong], self.left[wrong]

    def nodes_of(self, rows: Rows) -> Nodes:
        """int32: the node of each row; -1 for a row in no pair."""
        if not len(self.rows):
            return np.full(len(rows), -1, np.int32)
        places = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        return np.where(self.rows[places] == rows, self.node[places], np.int32(-1))

    def count_at(self, threshold: float) -> int:
        """Edges at or above a threshold: the first ones."""
        # Compared in float32, as they are stored.
        return int(np.searchsorted(-self.similarity, -np.float32(threshold), side="right"))

    def edges_between(self, left: Rows, right: Rows) -> Rows:
        """int64: the position of the edge between the rows left[i] and right[i]; -1: none."""
        a, b = self.nodes_of(left).astype(np.int64), self.nodes_of(right).astype(np.int64)
        wanted = np.minimum(a, b) << 32 | np.maximum(a, b)
        keys = np.minimum(self.left, self.right).astype(np.int64) << 32
        keys |= np.maximum(self.left, self.right)
        found = np.flatnonzero(np.isin(keys, wanted))
        where = dict(zip(keys[found].tolist(), found.tolist(), strict=True))
        return np.array([where.get(key, -1) for key in wanted.tolist()], np.int64)

    @cached_property
    def _by_node(self) -> tuple[Nodes, Nodes]:
        """Rows (as places) sorted by node, and where each node begins."""
        order = np.argsort(self.node, kind="stable").astype(np.int32)
        starts = np.searchsorted(self.node[order], np.arange(len(self) + 1)).astype(np.int32)
        return order, starts

    def rows_of(self, node: int) -> Rows:
        """int64: the rows of a node, rising."""
        order, starts = self._by_node
        return self.rows[order[starts[node] : starts[node + 1]]]


class Regrouper:
    """Decides groups, again and again.

    Args:
        graph: The stored pairs.
        rank: int64[r]: the order in which ``graph.rows`` are visited; all different.
        grouping: How pairs become groups.
    """

    def __init__(self, graph: PairGraph, rank: Rows, grouping: Grouping) -> None:
        self._graph, self._grouping = graph, grouping
        self._weight = np.bincount(graph.node, minlength=len(graph)).astype(np.int32)
        order = np.argsort(rank, kind="stable")
        self._rank = np.empty(len(rank), np.int32)
        self._rank[order] = np.arange(len(rank), dtype=np.int32)
        best = np.empty(len(graph), np.int64)
        best[graph.node[order[::-1]]] = order[::-1]
        self._best, self._node_rank = graph.rows[best], self._rank[best]
        graph.put_first(self._node_rank)

    def at(self, threshold: float, wishes: Wishes | None = None) -> Regrouped:
        """The groups at a threshold.

        Args:
            threshold: Edges at or above it hold; stored pairs do not reach below that of the run.
            wishes: What people decided.
        """
        wishes = wishes or Wishes()
        best, rank, weight = self._visited(wishes)
        edges = self._edges(threshold, wishes, weight)
        left, right = self._graph.left[edges], self._graph.right[edges]
        similarity = self._graph.similarity[edges]
        if self._grouping is Grouping.DIRECT:
            level = self._graph.level[edges]
            in_order = rank is self._node_rank
            leader, similar = _direct(left, right, similarity, level, rank, in_order=in_order)
        else:
            leader, similar = self._by_library(left, right, similarity, rank)
        sizes = np.bincount(leader, weight, len(leader)).astype(np.int32)
        groups = int((sizes > 1).sum())
        removed = int(weight.sum()) - int((sizes > 0).sum())
        return Regrouped(leader, similar, best, sizes, groups, removed)

    def members(self, groups: Regrouped, head: int, out: frozenset[int]) -> Rows:
        """int64: the rows of a group that take part: the kept one, then by falling similarity."""
        nodes = np.flatnonzero(groups.leader == head)
        rows = [self._graph.rows_of(int(node)) for node in nodes]
        all_rows = np.concatenate(rows)
        similar = np.repeat(groups.similarity[nodes], [len(part) for part in rows])
        similar = np.where(all_rows == groups.best[head], np.float32(2), similar)
        order = np.lexsort((all_rows, -np.nan_to_num(similar, nan=-2)))
        ordered = all_rows[order]
        return ordered[~np.isin(ordered, list(out))] if out else ordered

    def _visited(self, wishes: Wishes) -> tuple[Rows, Nodes, Nodes]:
        """For each node the row visited first, its rank, and its rows that take part."""
        if not wishes.kept and not wishes.out:
            return self._best, self._node_rank, self._weight
        best, rank, weight = self._best.copy(), self._node_rank.copy(), self._weight.copy()
        wanted = {row: _FIRST + place for place, row in enumerate(wishes.kept)}
        touched = np.array([*wishes.kept, *wishes.out], np.int64)
        for node in np.unique(self._graph.nodes_of(touched)).tolist():
            if node < 0:
                continue
            rows = [row for row in self._graph.rows_of(node).tolist() if row not in wishes.out]
            weight[node] = len(rows)
            if rows:
                ranks = self._rank[np.searchsorted(self._graph.rows, rows)].tolist()
                ranked = [wanted.get(r, own) for r, own in zip(rows, ranks, strict=True)]
                rank[node], best[node] = min(zip(ranked, rows, strict=True))
        return best, rank, weight

    def _edges(self, threshold: float, wishes: Wishes, weight: Nodes) -> slice | Rows:
        """Which edges hold: the first ones, but for what people decided."""
        graph, count = self._graph, self._graph.count_at(threshold)
        empty = bool((weight == 0).any())
        if not wishes.same and not wishes.different and not empty:
            return slice(count)
        holds = np.zeros(len(graph.left), np.bool_)
        holds[:count] = True
        holds[list(wishes.same)] = True
        holds[list(wishes.different)] = False
        if empty:
            holds &= (weight[graph.left] > 0) & (weight[graph.right] > 0)
        return np.flatnonzero(holds)

    def _by_library(
        self, left: Nodes, right: Nodes, similarity: NDArray[np.float32], rank: Nodes
    ) -> tuple[Nodes, NDArray[np.float32]]:
        """``complete`` and ``single``, as a run decides them."""
        reason = np.full(len(left), Reason.SEMANTIC, np.uint8)
        pairs = Pairs(left.astype(np.int64), right.astype(np.int64), similarity, reason)
        leader = find_leaders(pairs, rank.astype(np.int64), self._grouping).astype(np.int32)
        similar = np.full(len(leader), np.nan, np.float32)
        similar[leader == np.arange(len(leader))] = 1
        for one, other in ((left, right), (right, left)):
            joined = leader[one] == other
            similar[one[joined]] = similarity[joined]
        return leader, similar


def _direct(
    left: Nodes,
    right: Nodes,
    similarity: NDArray[np.float32],
    level: Nodes,
    rank: Nodes,
    *,
    in_order: bool,
) -> tuple[Nodes, NDArray[np.float32]]:
    """``direct``: leaders and the similarity to them; similarities fall."""
    leader = np.arange(len(rank), dtype=np.int32)
    similar = np.ones(len(rank), np.float32)
    stays = staying(left, right, rank, in_order=in_order)
    left_stays = stays[left]
    mixed = np.flatnonzero(left_stays != stays[right])
    left_stays = left_stays[mixed]
    removed = np.where(left_stays, right[mixed], left[mixed])
    kept = np.where(left_stays, left[mixed], right[mixed])
    # The most similar edge is the first; among equals the one to the node visited first.
    key = level[mixed].astype(np.int64) << 32 | (rank[kept].astype(np.int64) - _FIRST)
    best = np.full(len(rank), np.iinfo(np.int64).max)
    np.minimum.at(best, removed, key)
    chosen = best[removed] == key
    leader[removed[chosen]] = kept[chosen]
    similar[removed[chosen]] = similarity[mixed[chosen]]
    return leader, similar


def _copies(pairs: Pairs, right: Nodes, count: int, *, bare: bool) -> NDArray[np.bool_]:
    """bool[k]: the right row has the left row's text."""
    ones = pairs.similarity == np.float32(1)
    copies: NDArray[np.bool_] = ones & (pairs.reason == Reason.EXACT)
    if bare:
        alone = np.bincount(right, minlength=count)[right] == 1
        alone &= ~np.isin(pairs.right, pairs.left)
        copies |= ones & (pairs.reason == Reason.SEMANTIC) & alone
    return copies


def _fold(left: Nodes, right: Nodes, count: int) -> tuple[Nodes, Rows]:
    """Number nodes: int32[r] node of each place, int64[m] first place of each node."""
    first = np.arange(count, dtype=np.int32)
    first[right] = left
    while True:
        further = first[first]
        if np.array_equal(further, first):
            break
        first = further
    heads = first == np.arange(count)
    number = np.cumsum(heads, dtype=np.int32) - np.int32(1)
    return number[first], np.flatnonzero(heads)


def _beyond(pairs: Pairs) -> int:
    """One more than the largest row in any pair."""
    return 1 + max(int(pairs.left.max(initial=-1)), int(pairs.right.max(initial=-1)))
