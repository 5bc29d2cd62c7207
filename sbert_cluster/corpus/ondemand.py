"""Rows of a file when they are looked at: a file of any size opens at once and stays on disk.

CSV is read through an index of where each record begins, Parquet block by block. Everything else
is read whole by the reader of the other commands.
"""

from __future__ import annotations

import csv
import io
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sbert_cluster.corpus.delimited import column_names, detect_delimiter
from sbert_cluster.corpus.formats import format_of
from sbert_cluster.corpus.lines import split_lines
from sbert_cluster.corpus.reading import read_corpus
from sbert_cluster.options import FileFormat, ReadOptions
from sbert_cluster.types import Rows

BLOCK_ROWS = 65_536
"""Rows that are read together where all are looked at."""
_CHUNK_BYTES = 8 << 20
_SAMPLE_BYTES = 1 << 18
_CACHE_BYTES = 6 << 20
"""Of a Parquet file: one block of short texts. More made nothing quicker, measured."""
_QUOTE, _NEWLINE, _RETURN = b'"\n\r'
_UTF8_MARK = b"\xef\xbb\xbf"


class RowFile(Protocol):
    """Rows of one file."""

    columns: tuple[str, ...]
    """Names of the columns."""

    def __len__(self) -> int: ...

    def take(self, rows: Rows, columns: Sequence[str]) -> pl.DataFrame:
        """The given rows, in the given order."""

    def blocks(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """All rows in order, in blocks of at most ``BLOCK_ROWS``."""


def open_rows(path: Path, text_columns: Sequence[str], vector_column: str | None = None) -> RowFile:
    """Open a file that this program wrote.

    Args:
        path: CSV, TSV, JSONL, Parquet, Arrow or text; also compressed.
        text_columns: Columns that hold the text, for the files that are read whole.
        vector_column: The column of vectors, if there is one.

    Raises:
        UsageError: If it cannot be read.
    """
    format = format_of(str(path))
    if format is FileFormat.PARQUET and path.suffix in (".parquet", ".pq"):
        return _ParquetRows(path)
    if format in (FileFormat.CSV, FileFormat.TSV) and path.suffix in (".csv", ".tsv", ".tab"):
        indexed = _index(path, "\t" if format is FileFormat.TSV else None)
        if indexed is not None:
            return indexed
    options = ReadOptions(text_columns=tuple(text_columns), vector_column=vector_column)
    return FrameRows(read_corpus([path], options).frame)


class FrameRows:
    """Rows that are in memory."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame
        self.columns = tuple(frame.columns)

    def __len__(self) -> int:
        return self.frame.height

    def take(self, rows: Rows, columns: Sequence[str]) -> pl.DataFrame:
        """The given rows, in the given order."""
        return self.frame.select(columns)[rows]

    def blocks(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """All rows in order."""
        for start in range(0, len(self), BLOCK_ROWS):
            yield self.frame.select(columns).slice(start, BLOCK_ROWS)


class _ParquetRows:
    """Rows of a Parquet file; the blocks looked at last stay in memory."""

    def __init__(self, path: Path) -> None:
        self._scan = pl.scan_parquet(path)
        self.columns = tuple(self._scan.collect_schema().names())
        self._height = int(self._scan.select(pl.len()).collect().item())
        self._held: OrderedDict[tuple[int, str], pl.Series] = OrderedDict()

    def __len__(self) -> int:
        return self._height

    def take(self, rows: Rows, columns: Sequence[str]) -> pl.DataFrame:
        """The given rows, in the given order."""
        if not len(rows):
            return self._scan.select(columns).head(0).collect()
        block = rows // BLOCK_ROWS
        order = np.argsort(block, kind="stable")
        parts = []
        for part in np.split(order, np.flatnonzero(np.diff(block[order])) + 1):
            number = int(block[part[0]])
            inside = rows[part] - number * BLOCK_ROWS
            parts.append(pl.DataFrame([self._column(number, name)[inside] for name in columns]))
        back = np.empty(len(rows), np.int64)
        back[order] = np.arange(len(rows))
        return pl.concat(parts)[back]

    def blocks(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """All rows in order."""
        for start in range(0, self._height, BLOCK_ROWS):
            yield self._scan.select(columns).slice(start, BLOCK_ROWS).collect()

    def _column(self, block: int, name: str) -> pl.Series:
        key = (block, name)
        if key not in self._held:
            scan = self._scan.select(name).slice(block * BLOCK_ROWS, BLOCK_ROWS)
            self._held[key] = scan.collect().get_column(name)
            self._forget()
        self._held.move_to_end(key)
        return self._held[key]

    def _forget(self) -> None:
        while len(self._held) > 1 and self._size() > _CACHE_BYTES:
            self._held.popitem(last=False)

    def _size(self) -> int:
        return sum(int(series.estimated_size()) for series in self._held.values())


class _Bytes:
    """A file that is read where it is looked at; what was read before is not kept in memory."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._length = os.fstat(self._file.fileno()).st_size

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, part: slice) -> bytes:
        start, stop, _ = part.indices(self._length)
        self._file.seek(start)
        return self._file.read(stop - start)

    def __del__(self) -> None:
        self._file.close()

    def ends_in(self, byte: int) -> bool:
        """Whether that is the last byte."""
        return self[self._length - 1 :] == bytes([byte])

    def line_start(self, position: int) -> int:
        """The first line start at or after a position."""
        while position < self._length:
            found = self[position : position + _SAMPLE_BYTES].find(b"\n")
            if found >= 0:
                return position + found + 1
            position += _SAMPLE_BYTES
        return self._length


class _DelimitedRows:
    """Rows of a CSV file in UTF-8, whose records begin at known places."""

    def __init__(
        self, data: _Bytes, starts: Rows, stops: Rows, header: list[str], delimiter: str
    ) -> None:
        self._data, self._starts, self._stops, self._delimiter = data, starts, stops, delimiter
        self.columns = tuple(header)

    def __len__(self) -> int:
        return len(self._starts)

    def record(self, row: int) -> str:
        """A row as it stands in the file, without its line end."""
        return self._data[int(self._starts[row]) : int(self._stops[row])].decode()

    def take(self, rows: Rows, columns: Sequence[str]) -> pl.DataFrame:
        """The given rows, in the given order."""
        fields = [self._fields(row) for row in rows.tolist()]
        places = [self._place[name] for name in columns]
        return pl.DataFrame(
            {
                name: pl.Series([row[place] or None for row in fields], dtype=pl.String)
                for name, place in zip(columns, places, strict=True)
            },
            schema=dict.fromkeys(columns, pl.String),
        )

    def blocks(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """All rows in order."""
        schema = dict.fromkeys(self.columns, pl.String)
        for start in range(0, len(self), BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, len(self))
            data = self._data[int(self._starts[start]) : int(self._stops[stop - 1])]
            scan = pl.scan_csv(
                io.BytesIO(data), has_header=False, separator=self._delimiter, schema=schema
            )
            frame = scan.select(columns).collect()
            if frame.height != stop - start:
                # Blank lines between records: rare, and only a line by line reading skips them.
                frame = self.take(np.arange(start, stop), columns)
            text = pl.all()
            yield frame.select(columns).select(pl.when(text != "").then(text).name.keep())

    @cached_property
    def _place(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.columns)}

    def _fields(self, row: int) -> list[str]:
        lines = split_lines(self.record(row)) or [""]
        return next(csv.reader(lines, delimiter=self._delimiter), [""])


def _index(path: Path, delimiter: str | None) -> _DelimitedRows | None:
    """Find where the records begin; None if only the careful reader reads the file rightly."""
    if path.stat().st_size == 0:
        return None
    data = _Bytes(path)
    sample = data[:_SAMPLE_BYTES]
    offset = len(_UTF8_MARK) if sample.startswith(_UTF8_MARK) else 0
    lines = _sample_lines(sample[offset:])
    if lines is None or lines[0].startswith("sep="):
        return None
    # The reader accepts fields up to 128 kB only; the limit is global to the process.
    csv.field_size_limit(2**31 - 1)
    by = delimiter or detect_delimiter(lines)
    stops = _ends_of_records(data, offset, ord(by))
    if stops is None or len(stops) < 2:
        return None
    starts = np.concatenate([[offset], stops[:-1] + 1])
    if not data.ends_in(_NEWLINE):
        stops[-1] = len(data)
    header = next(csv.reader(split_lines(data[offset : int(stops[0])].decode()), delimiter=by), [])
    if not header or (len(header) == 1 and not header[0]):
        return None
    if len(header) > 1:
        full = _hold_something(data, starts, stops)
        starts, stops = starts[full], stops[full]
    return _DelimitedRows(data, starts[1:], stops[1:], column_names(header, str(path)), by)


def _hold_something(data: _Bytes, starts: Rows, stops: Rows) -> NDArray[np.bool_]:
    """bool[n]: the record is no blank line."""
    full: NDArray[np.bool_] = stops > starts
    for place in np.flatnonzero(stops - starts == 1).tolist():
        full[place] = data[int(starts[place]) : int(stops[place])] != b"\r"
    return full


def _sample_lines(sample: bytes) -> list[str] | None:
    if b"\n" not in sample:
        return None
    sample = sample[: sample.rindex(b"\n") + 1]
    if _lone_return(np.frombuffer(sample, np.uint8)):
        return None
    try:
        text = sample.decode()
    except UnicodeDecodeError:
        return None
    return list(islice(split_lines(text), 2_000))


def _ends_of_records(data: _Bytes, offset: int, delimiter: int) -> Rows | None:
    """int64: where each record ends, or None if quotes do not stand where CSV wants them.

    A line break ends a record where the number of quotes before it is even. That is what a reader
    finds as well if each quote of odd number opens a field (or follows the one that it doubles)
    and each of even number closes one; so exactly this is checked, for the whole file.
    """
    ends, quotes, position = [], 0, offset
    while position < len(data):
        stop = data.line_start(min(position + _CHUNK_BYTES, len(data)))
        chunk = data[position:stop]
        try:
            chunk.decode()
        except UnicodeDecodeError:
            return None
        values = np.frombuffer(chunk, np.uint8)
        at = np.flatnonzero(values == _QUOTE)
        if len(at) and not _well_placed(values, at, quotes % 2, delimiter):
            return None
        if _lone_return(values):
            return None
        breaks = np.flatnonzero(values == _NEWLINE)
        outside = (np.searchsorted(at, breaks) + quotes) % 2 == 0
        ends.append(breaks[outside] + position)
        quotes += len(at)
        position = stop
    if quotes % 2:
        return None
    if not data.ends_in(_NEWLINE):
        ends.append(np.array([len(data)]))
    return np.concatenate(ends) if ends else None


def _well_placed(values: NDArray[np.uint8], at: Rows, parity: int, delimiter: int) -> bool:
    """Whether quotes open after and close before a delimiter, a line break or another quote."""
    before = np.where(at > 0, values[at - 1], _NEWLINE)
    after = np.where(at + 1 < len(values), values[np.minimum(at + 1, len(values) - 1)], _NEWLINE)
    opens = (np.arange(len(at)) + parity) % 2 == 0
    beside = np.where(opens, before, after)
    fits = (beside == delimiter) | (beside == _NEWLINE) | (beside == _QUOTE)
    return bool(np.all(fits | (~opens & (beside == _RETURN))))


def _lone_return(values: NDArray[np.uint8]) -> bool:
    returns = np.flatnonzero(values == _RETURN)
    if not len(returns):
        return False
    following = values[np.minimum(returns + 1, len(values) - 1)]
    return bool((following != _NEWLINE).any())
