"""View models as lines of tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isnan

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.report.figures import similarity
from sbert_cluster.tui.cells import Cell, Column, Tone, bar, marked, plain
from sbert_cluster.tui.models.clusters import NOISE, ClustersModel
from sbert_cluster.tui.models.differences import differences
from sbert_cluster.tui.models.duplicates import DuplicatesModel, Members
from sbert_cluster.types import Rows

_AROUND = 48
"""Lines whose texts are fetched together."""
_COMPARED = 600
"""Characters of a text that a line of a table compares."""


class GroupLines:
    """The list of groups."""

    columns: Sequence[Column] = (
        Column("rows", 4, right=True),
        Column("lowest", 6, right=True),
        Column("kept", 0),
    )

    def __init__(self, model: DuplicatesModel) -> None:
        self._model = model
        self._texts: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._model)

    def line(self, place: int) -> Sequence[Cell]:
        """Size, lowest similarity and the kept text."""
        group = self._model.group(place)
        if group.row not in self._texts:
            self._fetch(place)
        size = f"{group.size:,}" if group.size < 10_000 else f"{group.size / 1000:.0f}k"
        return (
            plain(size, Tone.STRONG),
            plain(similarity(group.lowest), Tone.DIM),
            plain(self._texts[group.row] or f"row {group.row}"),
        )

    def _fetch(self, place: int) -> None:
        stop = min(place + _AROUND, len(self._model))
        rows = [self._model.group(i).row for i in range(max(0, place - _AROUND), stop)]
        if len(self._texts) > 50 * _AROUND:
            self._texts.clear()
        self._texts.update(zip(rows, self._model.rows.texts(rows), strict=True))


class MemberLines:
    """The rows of a group, their differing words marked."""

    columns: Sequence[Column] = (
        Column("", 1),
        Column("similar", 7, right=True),
        Column("why", 10, at_least=56),
        Column("text", 0),
    )

    def __init__(self, members: Members, texts: Callable[[Sequence[int]], list[str]]) -> None:
        self.members, self._texts = members, texts

    def __len__(self) -> int:
        return len(self.members)

    def line(self, place: int) -> Sequence[Cell]:
        """A sign, the similarity to the kept row, the reason and the text."""
        member = self.members[place]
        kept, text = self._texts([int(self.members.rows[0]), member.row])
        if member.kept:
            sign = plain("★" if member.wished else "●", Tone.GOOD)
            return sign, plain("kept", Tone.GOOD), plain(""), plain(kept or f"row {member.row}")
        known = not isnan(member.similarity)
        shown = similarity(member.similarity) if known else "–"
        _, theirs = differences(kept[:_COMPARED], text[:_COMPARED])
        return (
            plain("○", Tone.DIM),
            plain(shown, Tone.ACCENT),
            plain(member.reason, Tone.DIM),
            marked(theirs) if text else plain(f"row {member.row}", Tone.DIM),
        )


class ClusterLines:
    """The list of clusters."""

    columns: Sequence[Column] = (
        Column("", 1),
        Column("", 3, right=True, at_least=30),
        Column("cluster", 0),
        Column("", 6, at_least=34),
        Column("rows", 6, right=True),
        Column("cohesion", 8, right=True, at_least=44),
    )

    def __init__(self, model: ClustersModel, marked: set[int]) -> None:
        self._model, self._marked = model, marked

    def __len__(self) -> int:
        return len(self._model)

    def line(self, place: int) -> Sequence[Cell]:
        """A sign, the number that stands on the map, the name, a bar, the size and the cohesion."""
        entry = self._model.entry(place)
        sign = plain("✓" if entry.cluster in self._marked else " ", Tone.ACCENT)
        indent = "  " * entry.depth
        tone = Tone.PLAIN
        if entry.open is not None:
            indent, tone = indent + ("▾ " if entry.open else "▸ "), Tone.STRONG
        elif entry.cluster == NOISE:
            tone = Tone.DIM
        known = not isnan(entry.cohesion)
        return (
            sign,
            plain(str(entry.cluster) if entry.cluster >= 0 else "", Tone.DIM),
            plain(indent + entry.name, tone),
            plain("" if entry.open is not None else bar(min(1.0, entry.share), 6), Tone.ACCENT),
            plain(f"{entry.size:,}", Tone.STRONG),
            plain(f"{entry.cohesion:.2f}" if known else "", Tone.DIM),
        )


class RowLines:
    """Rows of a cluster, or rows that were found by meaning."""

    def __init__(
        self,
        model: ClustersModel,
        rows: Rows,
        values: NDArray[np.float32],
        marked: set[int],
        extra: str | None,
    ) -> None:
        self._model, self.rows, self._values, self._marked = model, rows, values, marked
        self._extra = extra
        self._texts: dict[int, str] = {}
        self._cells: dict[int, str] = {}
        more = [Column(extra, 12, at_least=40)] if extra else []
        self.columns: Sequence[Column] = (
            Column("", 1),
            Column("fit", 5, right=True),
            *more,
            Column("text", 0),
        )

    def __len__(self) -> int:
        return len(self.rows)

    def line(self, place: int) -> Sequence[Cell]:
        """A sign, how well it fits, a column on demand and the text."""
        row = int(self.rows[place])
        if row not in self._texts:
            self._fetch(place)
        value = float(self._values[place])
        known = not isnan(value)
        middle = [plain(self._cells.get(row, ""), Tone.DIM)] if self._extra else []
        return (
            plain("✓" if row in self._marked else " ", Tone.ACCENT),
            plain(f"{value:.3f}" if known else "–", Tone.DIM),
            *middle,
            plain(self._texts[row] or f"row {row} (empty)"),
        )

    def _fetch(self, place: int) -> None:
        rows = self.rows[max(0, place - _AROUND) : place + _AROUND]
        if len(self._texts) > 50 * _AROUND:
            self._texts.clear()
        numbers = rows.tolist()
        self._texts.update(zip(numbers, self._model.rows.texts(rows), strict=True))
        if self._extra:
            cells = self._model.rows.take(rows, [self._extra]).to_series().fill_null("").to_list()
            self._cells.update(zip(numbers, cells, strict=True))
