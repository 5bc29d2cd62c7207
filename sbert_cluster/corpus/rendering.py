"""Rows → pieces of text in a text format."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import replace

import polars as pl

from sbert_cluster.corpus.texts import texts_of
from sbert_cluster.options import FileFormat
from sbert_cluster.types import Corpus, Layout, Rows

_CHUNK_ROWS = 50_000
_LINE_BREAK = re.compile("\r\n|\r|\n")
_DELIMITED = (FileFormat.CSV, FileFormat.TSV)


def keeps_records(corpus: Corpus, layout: Layout) -> bool:
    """Whether the records of the input can be written as they are."""
    own = corpus.layout
    if corpus.records is None:
        return False
    if layout.format in _DELIMITED and own.format in _DELIMITED:
        return layout.delimiter == own.delimiter
    return layout.format is own.format


def rendered(
    corpus: Corpus, rows: Rows, layout: Layout, extra: pl.DataFrame | None
) -> Iterator[str]:
    """The content of a text file, a chunk of rows at a time.

    Args:
        corpus: Where the rows come from.
        rows: int64[m], rows to write, in this order.
        layout: A text format.
        extra: m rows of further columns, whose names are free; None: none.
    """
    raw = keeps_records(corpus, layout)
    yield from _header(corpus, layout, extra, raw=raw)
    for start in range(0, len(rows), _CHUNK_ROWS):
        part = rows[start : start + _CHUNK_ROWS]
        more = None if extra is None else extra.slice(start, len(part))
        lines = _raw(corpus, part, layout, more) if raw else _made(corpus, part, layout, more)
        yield layout.newline.join([*lines, ""])


def plain(frame: pl.DataFrame, *, nested: bool) -> pl.DataFrame:
    """The frame with what text formats cannot hold as text.

    Args:
        frame: Any columns.
        nested: Whether lists and structs become JSON as well (CSV needs it).
    """
    columns = [_plain_column(column, nested=nested) for column in frame.get_columns()]
    return pl.DataFrame(columns) if columns else frame


def quoted(cell: str, delimiter: str) -> str:
    """A CSV field, quoted where it must be."""
    if any(sign in cell for sign in (delimiter, '"', "\r", "\n")):
        return '"' + cell.replace('"', '""') + '"'
    return cell


def _header(
    corpus: Corpus, layout: Layout, extra: pl.DataFrame | None, *, raw: bool
) -> Iterator[str]:
    if layout.format not in _DELIMITED:
        return
    names = [quoted(name, layout.delimiter) for name in ([] if extra is None else extra.columns)]
    if raw:
        yield _appended(corpus.layout.header, layout.delimiter, names) + layout.newline
    else:
        own = [quoted(name, layout.delimiter) for name in corpus.frame.columns]
        yield layout.delimiter.join(own + names) + layout.newline


def _raw(corpus: Corpus, rows: Rows, layout: Layout, extra: pl.DataFrame | None) -> list[str]:
    records = corpus.records or ()
    chosen = [records[row] for row in rows.tolist()]
    if extra is None or not extra.width:
        return chosen
    if layout.format is FileFormat.JSONL:
        return [
            _merged(record, more) for record, more in zip(chosen, _json_lines(extra), strict=True)
        ]
    cells = _cells(extra, layout.delimiter)
    return [
        _appended(record, layout.delimiter, more)
        for record, more in zip(chosen, cells, strict=True)
    ]


def _made(corpus: Corpus, rows: Rows, layout: Layout, extra: pl.DataFrame | None) -> list[str]:
    frame = corpus.frame[rows]
    if layout.format is FileFormat.TEXT:
        texts = texts_of(replace(corpus, frame=frame, records=None))
        return [_LINE_BREAK.sub(" ", text) for text in texts]
    if extra is not None:
        frame = frame.hstack(extra)
    if layout.format is FileFormat.JSONL:
        return _json_lines(frame)
    return [layout.delimiter.join(cells) for cells in _cells(frame, layout.delimiter)]


def _appended(record: str, delimiter: str, cells: list[str] | tuple[str, ...]) -> str:
    # A "\r" at the end belongs to the line end, in files that mix both kinds.
    body = record.rstrip("\r")
    return delimiter.join([body, *cells]) + record[len(body) :]


def _merged(record: str, more: str) -> str:
    """A JSON object with the keys of another one at its end."""
    body = record.rstrip()
    inside = body[:-1]
    comma = "" if inside.strip() == "{" else ", "
    return f"{inside}{comma}{more[1:]}{record[len(body) :]}"


def _cells(frame: pl.DataFrame, delimiter: str) -> Iterator[tuple[str, ...]]:
    """The CSV fields of each row."""
    columns = []
    for column in plain(frame, nested=True).get_columns():
        texts = column.cast(pl.String).fill_null("").to_list()
        columns.append([quoted(text, delimiter) for text in texts])
    # A row of one empty field would be a blank line, which readers skip.
    if len(columns) == 1:
        columns = [[cell or '""' for cell in columns[0]]]
    return zip(*columns, strict=True)


def _json_lines(frame: pl.DataFrame) -> list[str]:
    # Not splitlines: that breaks at U+0085 and others inside a value.
    return plain(frame, nested=False).write_ndjson().removesuffix("\n").split("\n")


def _plain_column(column: pl.Series, *, nested: bool) -> pl.Series:
    dtype = column.dtype
    if isinstance(dtype, pl.Binary):
        values = [value and base64.b64encode(value).decode() for value in column]
    elif isinstance(dtype, pl.Object):
        values = [None if value is None else str(value) for value in column]
    elif dtype.is_nested() and nested:
        values = [
            None if value is None else json.dumps(value, ensure_ascii=False, default=str)
            for value in column.to_list()
        ]
    elif isinstance(dtype, pl.Duration):
        return column.dt.to_string("iso")
    elif isinstance(dtype, pl.Decimal | pl.Categorical | pl.Enum | pl.Time):
        return column.cast(pl.String)
    else:
        return column
    return pl.Series(column.name, values, dtype=pl.String)
