"""The rows of a run, looked up by their number in the input, wherever they lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sbert_cluster.corpus.ondemand import RowFile
from sbert_cluster.corpus.texts import texts_of
from sbert_cluster.types import Corpus, Rows


@dataclass(frozen=True)
class Part:
    """One file of a run."""

    file: RowFile
    rows: Rows | None
    """int64: the input row of each of its rows, rising; None: those that no other part has."""


@dataclass
class RunRows:
    """All rows of a run.

    Args:
        parts: One or two files that together hold each input row once.
        columns: Names of the input's columns.
        text_columns: Those that make up the text.
        id_column: The one that names a row.
    """

    parts: Sequence[Part]
    columns: tuple[str, ...]
    text_columns: tuple[str, ...]
    id_column: str | None = None
    _texts: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(len(part.file) for part in self.parts)

    def take(self, rows: Rows, columns: Sequence[str]) -> pl.DataFrame:
        """Columns of the given rows, as text, in the given order."""
        as_text = [pl.col(name).cast(pl.String, strict=False) for name in columns]
        taken, order = [], []
        for part, inside, places in self._by_part(rows):
            taken.append(_plain(part.file.take(inside, columns)).select(as_text))
            order.append(places)
        if not taken:
            return pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
        back = np.empty(len(rows), np.int64)
        back[np.concatenate(order)] = np.arange(len(rows))
        return pl.concat(taken)[back]

    def take_as_they_are(self, rows: Rows, columns: Sequence[str]) -> pl.DataFrame:
        """Columns of the given rows with their own types, in the given order."""
        parts = self._by_part(rows)
        taken = [(part.file.take(inside, columns), places) for part, inside, places in parts]
        if not columns or not taken:
            return pl.DataFrame()
        back = np.empty(len(rows), np.int64)
        back[np.concatenate([places for _, places in taken])] = np.arange(len(rows))
        return pl.concat([frame for frame, _ in taken], how="vertical_relaxed")[back]

    def read_texts(self, rows: Rows) -> list[str]:
        """The texts of many rows, which are not remembered."""
        return _texts(self.take(rows, self.text_columns), self.text_columns)

    def texts(self, rows: Sequence[int] | Rows) -> list[str]:
        """The text of each row; ``""`` for an empty one. What was shown lately is remembered."""
        wanted = [int(row) for row in rows]
        missing = [row for row in dict.fromkeys(wanted) if row not in self._texts]
        if len(self._texts) + len(missing) > _REMEMBERED:
            self._texts.clear()
            missing = list(dict.fromkeys(wanted))
        if missing:
            frame = self.take(np.array(missing, np.int64), self.text_columns)
            self._texts.update(zip(missing, _texts(frame, self.text_columns), strict=True))
        return [self._texts[row] for row in wanted]

    def text(self, row: int) -> str:
        """The text of a row."""
        return self.texts([row])[0]

    def name(self, row: int) -> str:
        """What to call a row: its id where it has one, else its number."""
        if self.id_column is not None:
            value = self.take(np.array([row]), [self.id_column]).item()
            if value:
                return str(value)
        return f"row {row:,}"

    def cells(self, row: int) -> dict[str, str | None]:
        """All columns of one row."""
        frame = self.take(np.array([row]), self.columns)
        return dict(zip(self.columns, frame.row(0), strict=True))

    def column(self, name: str) -> pl.Series:
        """One column of all rows, in input order."""
        places, values = [np.empty(0, np.int64)], []
        for rows, frame in self.scan([name]):
            places.append(rows)
            values.append(_plain(frame).get_column(name))
        if not values:
            return pl.Series(name, [], dtype=pl.String)
        order = np.argsort(np.concatenate(places), kind="stable")
        return pl.concat(values)[order]

    def scan(self, columns: Sequence[str]) -> Iterator[tuple[Rows, pl.DataFrame]]:
        """All rows in blocks, not always in input order, with their numbers."""
        for part in self.parts:
            start, own = 0, self._staying if part.rows is None else part.rows
            for frame in part.file.blocks(columns):
                stop = start + frame.height
                yield own[start:stop], frame
                start = stop

    def matching(self, query: str, column: str | None = None) -> Iterator[Rows]:
        """Rows that hold a text, whatever its case, block by block.

        Args:
            query: What to find; every word must be there.
            column: Where to look; None: in the text.
        """
        names = list(self.text_columns) if column is None else [column]
        words = query.casefold().split()
        for rows, frame in self.scan(names):
            yield rows[_holds(_plain(frame), names, words)]

    @cached_property
    def _staying(self) -> Rows:
        """int64: the input row of each row of the file that holds all the others."""
        stays = np.ones(len(self), np.bool_)
        for part in self.parts:
            if part.rows is not None:
                stays[part.rows] = False
        return np.flatnonzero(stays)

    def _by_part(self, rows: Rows) -> Iterator[tuple[Part, Rows, Rows]]:
        removed = next((p.rows for p in self.parts if p.rows is not None), np.empty(0, np.int64))
        at = np.searchsorted(removed, rows)
        is_removed = np.zeros(len(rows), np.bool_)
        if len(removed):
            is_removed = removed[np.minimum(at, len(removed) - 1)] == rows
        for part in self.parts:
            places = np.flatnonzero(is_removed if part.rows is not None else ~is_removed)
            if len(places):
                inside = at[places] if part.rows is not None else rows[places] - at[places]
                yield part, inside, places


_REMEMBERED = 20_000
"""Texts that are held for showing them again."""


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with nested columns as text."""
    nested = [name for name, dtype in frame.schema.items() if dtype.is_nested()]
    if not nested:
        return frame
    return frame.with_columns(
        pl.Series(name, [None if v is None else str(v) for v in frame[name].to_list()], pl.String)
        for name in nested
    )


def _texts(frame: pl.DataFrame, text_columns: tuple[str, ...]) -> list[str]:
    return texts_of(Corpus(frame, text_columns))


def _holds(frame: pl.DataFrame, names: Sequence[str], words: Sequence[str]) -> NDArray[np.bool_]:
    if not names:
        return np.zeros(frame.height, np.bool_)
    parts = [pl.col(name).cast(pl.String, strict=False) for name in names]
    text = pl.concat_str(parts, separator="\n", ignore_nulls=True).str.to_lowercase()
    found = [text.str.contains(word, literal=True) for word in words] or [pl.lit(value=True)]
    return (
        frame.select(pl.all_horizontal(found).fill_null(value=False).alias("found"))
        .get_column("found")
        .to_numpy()
    )
