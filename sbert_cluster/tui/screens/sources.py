"""View models as lines of tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sbert_cluster.report.figures import similarity
from sbert_cluster.tui.cells import Cell, Column, Tone, marked, plain
from sbert_cluster.tui.models.differences import differences
from sbert_cluster.tui.models.duplicates import DuplicatesModel, Members

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
        known = member.similarity == member.similarity  # noqa: PLR0124 - NaN is unlike itself
        shown = similarity(member.similarity) if known else "–"
        _, theirs = differences(kept[:_COMPARED], text[:_COMPARED])
        return (
            plain("○", Tone.DIM),
            plain(shown, Tone.ACCENT),
            plain(member.reason, Tone.DIM),
            marked(theirs) if text else plain(f"row {member.row}", Tone.DIM),
        )
