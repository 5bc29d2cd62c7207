"""The groups of a run of ``dedup``, as somebody looks at them and changes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.duplicates.keep import visiting_rank
from sbert_cluster.duplicates.regrouping import PairGraph, Regrouped, Regrouper, Wishes
from sbert_cluster.errors import RunFolderError
from sbert_cluster.options import Grouping, KeepPolicy, KeepRule
from sbert_cluster.tui.models.decisions import (
    LANGUAGE,
    Answer,
    Decisions,
    DuplicateEdit,
    Judge,
    Keep,
    SetThreshold,
    TakeOut,
)
from sbert_cluster.tui.models.evidence import Curve, Judged, Line, fit, table
from sbert_cluster.tui.models.history import History
from sbert_cluster.tui.models.log import EditLog
from sbert_cluster.tui.models.queue import Queue
from sbert_cluster.tui.models.rows import RunRows
from sbert_cluster.tui.models.run import Run, dedup_rows, read_pairs
from sbert_cluster.types import Reason, Rows

_NO_PAIR = 255
"""Stands for the reason of a row that no stored pair joins to the kept one."""
_FEWEST_FOR_CURVE = 20
"""Judged pairs from which the fitted curve says where nothing is certain."""


class Sort(StrEnum):
    """Order of the list of groups."""

    SIZE = "size"
    """Largest first."""
    DOUBT = "doubt"
    """That with the least similar removed row first."""
    ROW = "row"
    """In the order of the input."""


@dataclass(frozen=True)
class Member:
    """A row of a group."""

    row: int
    kept: bool
    similarity: float
    """To the kept row; NaN where no stored pair joins the two."""
    reason: str
    """Why it was removed; empty for the kept row."""
    wished: bool
    """Whether somebody asked for it to be kept."""


@dataclass(frozen=True)
class Members:
    """The rows of a group, the kept one first."""

    head: int
    """The node of the kept row."""
    rows: Rows
    """int64[n]."""
    similarity: NDArray[np.float32]
    """float32[n]: to the kept row."""
    reasons: NDArray[np.uint8]
    """uint8[n]."""
    wished: frozenset[int]
    """Rows that somebody asked to be kept."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> Member:
        row, code = int(self.rows[place]), int(self.reasons[place])
        reason = "chain" if code == _NO_PAIR else Reason(code).word
        similarity = 1.0 if place == 0 else float(self.similarity[place])
        return Member(row, place == 0, similarity, reason if place else "", row in self.wished)


@dataclass(frozen=True)
class Group:
    """A group of the list."""

    head: int
    """Its node."""
    row: int
    """The row that is kept."""
    size: int
    lowest: float
    """Lowest similarity of a removed row to the kept one."""


@dataclass(frozen=True)
class Pair:
    """A pair to judge."""

    edge: int
    left: int
    right: int
    similarity: float
    answer: Answer | None
    """What was said about it."""


class DuplicatesModel:
    """A run of ``dedup``, its groups now, and what people decided.

    Args:
        run: The run.

    Raises:
        RunFolderError: If the run cannot be read, or compares two files.
    """

    def __init__(self, run: Run) -> None:
        if run.arguments.get("against") is not None:
            raise RunFolderError(
                f"{run.folder} compares one file against another",
                "Look at its report.html; browse shows duplicates inside one input.",
            )
        self.run = run
        self.rows: RunRows = dedup_rows(run)
        self.graph = PairGraph(read_pairs(run), bare_copies=run.vector_column is not None)
        self.grouping = Grouping(run.arguments.get("grouping", Grouping.DIRECT))
        self.floor = float(run.arguments.get("threshold", 0.0))
        """The threshold of the run: pairs below it are not stored."""
        rank = _ranks(run, self.rows, self.graph.rows)
        self._regrouper = Regrouper(self.graph, rank, self.grouping)
        self._queue = Queue(self.graph.similarity, self.graph.reason)
        self._log = EditLog(run.folder)
        self.history: History[DuplicateEdit] = History(self._log, LANGUAGE)
        self._edge: dict[tuple[int, int], int] = {}
        self.sort = Sort.SIZE
        self._found: Rows | None = None
        self._settle()

    # What is -------------------------------------------------------------------------------

    @property
    def threshold(self) -> float:
        """Similarity from which pairs count now."""
        return self.decisions.threshold

    @property
    def kept(self) -> int:
        """Rows that stay."""
        return len(self.rows) - self.groups.removed

    @property
    def pairs(self) -> int:
        """Stored pairs at or above the threshold, those of copies of one text left out."""
        return self.graph.count_at(self.threshold)

    def __len__(self) -> int:
        """Groups in the list."""
        return len(self._list[0])

    def group(self, place: int) -> Group:
        """A group of the list."""
        heads, lowest = self._list
        head = int(heads[place])
        row, size = int(self.groups.best[head]), int(self.groups.sizes[head])
        return Group(head, row, size, float(lowest[head]))

    def place_of(self, row: int) -> int | None:
        """The place in the list of the group that a row is in."""
        node = int(self.graph.nodes_of(np.array([row]))[0])
        if node < 0 or row in self.decisions.out:
            return None
        found = np.flatnonzero(self._list[0] == self.groups.leader[node])
        return int(found[0]) if len(found) else None

    def members(self, head: int) -> Members:
        """The rows of a group: the kept one, then the removed ones, the most similar first."""
        rows = self._regrouper.members(self.groups, head, self.decisions.out)
        nodes = self.graph.nodes_of(rows)
        wished = frozenset(self.decisions.kept)
        similar = self.groups.similarity[nodes]
        return Members(head, rows, similar, self._reasons(head)[nodes], wished)

    def histogram(self, bins: int) -> list[int]:
        """Stored pairs in equal steps from the run's threshold to 1."""
        counts, _ = np.histogram(self.graph.similarity, bins, range=(min(self.floor, 1 - 1e-6), 1))
        return [int(count) for count in counts]

    # Looking -------------------------------------------------------------------------------

    def sort_by(self, sort: Sort) -> None:
        """Order the list."""
        self.sort, self._listed = sort, False

    def show_only(self, rows: Rows | None) -> None:
        """List only groups with one of these rows; None: all groups."""
        self._found, self._listed = rows, False

    # Deciding ------------------------------------------------------------------------------

    def set_threshold(self, value: float) -> bool:
        """Move the threshold; False if it would go below that of the run."""
        value = round(value, 6)
        allowed = self.floor <= value <= 1
        if allowed and value != self.threshold:
            self._apply(SetThreshold(value))
        return allowed

    def keep(self, row: int) -> None:
        """Keep a row in place of those that it duplicates."""
        self._apply(Keep(row))

    def take_out(self, row: int) -> None:
        """Take a row out of its group: it stays, and stands for no other."""
        self._apply(TakeOut(row))

    def judge(self, pair: Pair, answer: Answer) -> None:
        """Say whether two rows are the same."""
        self._edge[pair.left, pair.right] = pair.edge
        self._apply(Judge(pair.left, pair.right, answer))

    def undo(self) -> DuplicateEdit | None:
        """Take back the latest edit."""
        edit = self.history.undo()
        self._settle()
        return edit

    def redo(self) -> DuplicateEdit | None:
        """Make the edit again that was taken back last."""
        edit = self.history.redo()
        self._settle()
        return edit

    def close(self) -> None:
        """Let other windows edit the run."""
        self._log.close()

    # Reviewing -----------------------------------------------------------------------------

    @property
    def judged(self) -> Judged:
        """The pairs that were judged so far."""
        pairs = [
            (self.graph.similarity[edge], said is Answer.SAME)
            for edge, said in self._said.items()
            if said is not Answer.SKIP
        ]
        similar = np.array([similarity for similarity, _ in pairs], np.float64)
        return Judged(similar, np.array([same for _, same in pairs], np.bool_))

    @property
    def curve(self) -> Curve | None:
        """What the judged pairs say about all similarities, once there are enough."""
        judged = self.judged
        return fit(judged) if len(judged) >= _FEWEST_FOR_CURVE else None

    @property
    def reviewable(self) -> int:
        """Pairs that can be judged."""
        return len(self._queue)

    def next_pair(self, centre: float | None = None) -> Pair | None:
        """The pair to judge next; None when all are judged.

        Args:
            centre: The similarity of which nothing is certain; None: the threshold.
        """
        done = {edge for edge, said in self._said.items() if said is not Answer.SKIP}
        again = {edge for edge, said in self._said.items() if said is Answer.SKIP}
        edge = self._queue.next(self.threshold if centre is None else centre, done, again)
        return None if edge is None else self.pair(edge)

    def pair(self, edge: int) -> Pair:
        """A pair, by the first rows of its two texts."""
        sides = (self.graph.left, self.graph.right)
        left, right = (int(self.graph.first[side[edge]]) for side in sides)
        left, right = min(left, right), max(left, right)
        similarity = float(self.graph.similarity[edge])
        return Pair(edge, left, right, similarity, self._said.get(edge))

    def pair_of(self, left: int, right: int) -> Pair | None:
        """The stored pair of two rows."""
        edge = int(self.graph.edges_between(np.array([left]), np.array([right]))[0])
        return None if edge < 0 else self.pair(edge)

    def evidence(self, thresholds: Sequence[float]) -> list[Line]:
        """What the judged pairs say about thresholds."""
        return table(self.judged, thresholds, [self.graph.count_at(t) for t in thresholds])

    # Inside --------------------------------------------------------------------------------

    def _apply(self, edit: DuplicateEdit) -> None:
        self.history.apply(edit)
        self._settle()

    def _settle(self) -> None:
        """Work out everything that follows from the edits that stand."""
        self.decisions = Decisions.of(self.floor, self.history.done)
        self._look_up_edges()
        self._said = {self._edge[pair]: said for pair, said in self.decisions.answers.items()}
        self._regrouped: Regrouped | None = None
        self._listed = False

    @property
    def groups(self) -> Regrouped:
        """The groups now; decided when they are looked at, which a review of pairs does not."""
        if self._regrouped is None:
            self._regrouped = self._regrouper.at(self.decisions.threshold, self._wishes)
        return self._regrouped

    @property
    def _wishes(self) -> Wishes:
        return Wishes(
            tuple(edge for edge, said in self._said.items() if said is Answer.SAME),
            tuple(edge for edge, said in self._said.items() if said is Answer.DIFFERENT),
            self.decisions.kept,
            self.decisions.out,
        )

    def _look_up_edges(self) -> None:
        missing = [pair for pair in self.decisions.answers if pair not in self._edge]
        if not missing:
            return
        left, right = np.array(missing, np.int64).T
        for pair, edge in zip(missing, self.graph.edges_between(left, right).tolist(), strict=True):
            if edge < 0:
                raise RunFolderError(
                    f"{self._log.path}: rows {pair[0]} and {pair[1]} are no pair of this run",
                    "The log belongs to another run; move it away to start anew.",
                )
            self._edge[pair] = edge

    @property
    def _list(self) -> tuple[Rows, NDArray[np.float32]]:
        """Nodes of the groups in the list, and the lowest similarity of each."""
        if not self._listed:
            self._heads, self._lowest = self._list_groups()
            self._listed = True
        return self._heads, self._lowest

    def _list_groups(self) -> tuple[Rows, NDArray[np.float32]]:
        heads = self.groups.heads
        lowest = np.ones(len(self.graph), np.float32)
        np.fmin.at(lowest, self.groups.leader, self.groups.similarity)
        if self._found is not None:
            nodes = self.graph.nodes_of(self._found)
            wanted = np.zeros(len(self.graph), np.bool_)
            wanted[self.groups.leader[nodes[nodes >= 0]]] = True
            heads = heads[wanted[heads]]
        if self.sort is Sort.DOUBT:
            heads = heads[np.argsort(lowest[heads], kind="stable")]
        elif self.sort is Sort.ROW:
            heads = heads[np.argsort(self.groups.best[heads], kind="stable")]
        return heads, lowest

    def _reasons(self, head: int) -> NDArray[np.uint8]:
        """Why each node would be in the group of a node: told by their stored pair."""
        left, right = self.graph.left, self.graph.right
        edges = np.flatnonzero((left == head) | (right == head))
        reasons = np.full(len(self.graph), _NO_PAIR, np.uint8)
        reasons[left[edges] + right[edges] - np.int32(head)] = self.graph.reason[edges]
        reasons[head] = Reason.EXACT
        return reasons


def _ranks(run: Run, rows: RunRows, wanted: Rows) -> Rows:
    """The order in which the rows of pairs are visited, as the run had it."""
    rule = KeepRule.parse(str(run.arguments.get("keep", "first")))
    if rule.policy is KeepPolicy.FIRST:
        return np.arange(len(wanted), dtype=np.int64)
    if rule.policy is KeepPolicy.LAST:
        return np.arange(len(wanted), dtype=np.int64)[::-1].copy()
    columns = [rule.column] if rule.column else []
    frame = rows.take_as_they_are(wanted, columns)
    needs_texts = rule.policy in (KeepPolicy.LONGEST, KeepPolicy.SHORTEST)
    texts = rows.read_texts(wanted) if needs_texts else [""] * len(wanted)
    return visiting_rank(rule, frame, texts)
