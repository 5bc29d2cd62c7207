"""CSV and TSV text → rows, each with its record as it stands in the file."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

import polars as pl

from sbert_cluster.corpus.lines import Parsed, is_old_mac, split_lines, strip_line_ends
from sbert_cluster.errors import InputError

_CHUNK_ROWS = 20_000
_SAMPLE_ROWS = 50
_SAMPLE_LINES = 2_000
_LONGEST_FIELD = 2**31 - 1  # the most that fits a C long everywhere
_DELIMITERS = ",;\t|"
_LONE_RETURN = re.compile("\r(?!\n)")
_EXCEL_HINT = re.compile("sep=([^\r\n])\r?\n")


def parse_delimited(
    text: str,
    name: str,
    *,
    delimiter: str | None = None,
    progress: Callable[[float], None] | None = None,
) -> Parsed:
    """Read CSV; every column is a string, so that ``007`` and ``1.0`` stay what they are.

    Read with Python's csv module rather than with polars, which rejects a stray quote as in
    ``5" pipe`` and does not say in which row a field is missing. An empty field is null in the
    frame; the records keep what stands in the file.

    Args:
        text: Content of the file, not empty.
        name: The file's name, for errors and notes.
        delimiter: Between fields; None: detect.
        progress: Called with the share of the text that was read, in (0, 1].

    Raises:
        InputError: For a missing, duplicate or unclosed field, or a file without rows.
    """
    # The reader accepts fields up to 128 kB only; the limit is global to the process.
    csv.field_size_limit(_LONGEST_FIELD)
    lines = split_lines(text)
    hint = _EXCEL_HINT.fullmatch(lines[0])
    skipped = 1 if hint else 0
    source = _Source(text, lines)
    note = None
    if delimiter is None:
        delimiter = hint[1] if hint else detect_delimiter(source.safe_lines[skipped:])
        if delimiter != ",":
            note = f"{name}: fields are separated by {delimiter!r}"
    table = _Table(name, delimiter, source)
    table.read(skipped, progress)
    records, newline = strip_line_ends(table.records)
    if len(records) == 1:
        raise InputError(f"{name} has a header but no rows", "Add rows below the header.")
    return Parsed(table.frame(), records[1:], newline, delimiter, records[0], note)


def detect_delimiter(lines: Sequence[str]) -> str:
    r"""The delimiter that splits the first records most evenly into more than one field.

    Args:
        lines: The first lines of a file, with their ends.

    Returns:
        One of ``,``, ``;``, ``\t`` and ``|``; a comma where none splits the header.
    """
    best, delimiter = (0.0, 0), ","
    for candidate in _DELIMITERS:
        reader = csv.reader(islice(lines, _SAMPLE_LINES), delimiter=candidate)
        widths = [len(row) for row in islice(filter(None, reader), _SAMPLE_ROWS + 1)]
        if widths and widths[0] > 1:
            score = (widths.count(widths[0]) / len(widths), widths[0])
            if score > best:
                best, delimiter = score, candidate
    return delimiter


class _Source:
    """The lines of a file, as they are and as the csv module can read them."""

    def __init__(self, text: str, lines: list[str]) -> None:
        unused = (char for char in map(chr, range(0xE000, 0xF900)) if char not in text)
        self.lines = lines
        self.end = next(unused)
        """Fed to the reader as a last line: it comes back alone unless a quote is open."""
        self.stand_in = ""
        """Stands for a lone carriage return, which the csv module takes for an error."""
        self.safe_lines = lines
        if not is_old_mac(text) and _LONE_RETURN.search(text):
            self.stand_in = next(unused)
            self.safe_lines = split_lines(_LONE_RETURN.sub(self.stand_in, text))

    def restore(self, fields: list[str]) -> list[str]:
        """The fields with their carriage returns."""
        if not self.stand_in:
            return fields
        return [field.replace(self.stand_in, "\r") for field in fields]

    def record(self, start: int, stop: int) -> str:
        """The record that spans the given lines, with its line end."""
        return self.lines[start] if stop == start + 1 else "".join(self.lines[start:stop])


@dataclass
class _Table:
    """What has been read so far."""

    name: str
    delimiter: str
    source: _Source
    names: list[str] = field(default_factory=list)
    chunks: list[pl.DataFrame] = field(default_factory=list)
    records: list[str] = field(default_factory=list)
    """The header and all rows, with line ends."""

    def read(self, skipped: int, progress: Callable[[float], None] | None) -> None:
        """Read everything after the first ``skipped`` lines."""
        lines = chain(islice(self.source.safe_lines, skipped, None), [self.source.end])
        reader = csv.reader(lines, delimiter=self.delimiter)
        try:
            start = skipped + self._read_header(reader, skipped)
            for rows, ends in _row_chunks(reader):
                stops = [skipped + end for end in ends]
                self._add(rows, [start, *stops[:-1]], stops)
                start = stops[-1]
                if progress:
                    progress(min(1.0, start / len(self.source.lines)))
        except csv.Error as error:
            raise InputError(
                f"{self.name}: row {len(self.records)} cannot be read ({error})",
                "Check the quotes in that row.",
            ) from None

    def frame(self) -> pl.DataFrame:
        """All rows, empty fields as null."""
        whole = pl.concat(self.chunks)
        text = pl.all()
        return whole.select(pl.when(text != "").then(text).name.keep())

    def _read_header(self, reader: Iterator[list[str]], skipped: int) -> int:
        """Take the column names; the number of lines that were read."""
        used = 0
        for row in reader:
            before, used = used, reader.line_num  # type: ignore[attr-defined]
            if row:
                break
        if row == [self.source.end]:
            raise InputError(f"{self.name} has no rows", "Give a file with a header and rows.")
        self._check_closed(row, 0, before)
        self.names = column_names(self.source.restore(row), self.name)
        # An Excel line "sep=;" is written back as part of the header.
        first = 0 if skipped else before
        self.records.append(self.source.record(first, skipped + used))
        return used

    def _add(self, rows: list[list[str]], starts: list[int], stops: list[int]) -> None:
        if rows[-1] and rows[-1][-1].endswith(self.source.end):
            if rows[-1] != [self.source.end]:
                self._check_closed(rows[-1], len(self.records) + len(rows) - 1, starts[-1])
            rows.pop()
        spans = list(zip(starts, stops, strict=True))[: len(rows)]
        width = len(self.names)
        if set(map(len, rows)) != {width}:
            rows, spans = self._without_blanks(rows, spans)
        flat = self.source.restore(list(chain.from_iterable(rows)))
        columns = [pl.Series(name, flat[i::width]) for i, name in enumerate(self.names)]
        self.chunks.append(pl.DataFrame([column.cast(pl.String) for column in columns]))
        self.records += [self.source.record(*span) for span in spans]

    def _without_blanks(
        self, rows: list[list[str]], spans: list[tuple[int, int]]
    ) -> tuple[list[list[str]], list[tuple[int, int]]]:
        """Drop blank lines; with a single column they are rows, whose text is empty."""
        width = len(self.names)
        kept: list[tuple[list[str], tuple[int, int]]] = []
        for row, span in zip(rows, spans, strict=True):
            if len(row) == width or (not row and width == 1):
                kept.append((row or [""], span))
            elif self.source.record(*span).strip():
                self._raise_ragged(len(row), len(self.records) + len(kept), span[0])
        return [row for row, _ in kept], [span for _, span in kept]

    def _check_closed(self, row: list[str], number: int, start: int) -> None:
        if self.source.end in row[-1]:
            where = f"row {number}" if number else "the header"
            raise InputError(
                f"{self.name}: a quote that opens in {where} (line {start + 1:,}) is never closed",
                'Close it there, or write a quote inside a field as "".',
            )

    def _raise_ragged(self, found: int, number: int, start: int) -> None:
        raise InputError(
            f"{self.name}: row {number:,} (line {start + 1:,}) has {found} fields, "
            f"but the header has {len(self.names)} (delimiter {self.delimiter!r})",
            "Quote fields that hold the delimiter, or read one text a line with --format text.",
        )


def column_names(header: list[str], file: str) -> list[str]:
    """Names for all columns; a column without a name is called ``column_3`` after its position.

    Raises:
        InputError: If a name stands there twice.
    """
    taken = set(header)
    names = []
    for position, name in enumerate(header, 1):
        unnamed = f"column_{position}"
        while unnamed in taken:
            unnamed += "_"
        names.append(name or unnamed)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(
            f"{file}: two columns are named {twice!r}", "Give every column a name of its own."
        )
    return names


def _row_chunks(reader: Iterator[list[str]]) -> Iterator[tuple[list[list[str]], list[int]]]:
    """Chunks of rows, and for each row the number of lines read after it."""
    while True:
        rows: list[list[str]] = []
        stops: list[int] = []
        for row in islice(reader, _CHUNK_ROWS):
            rows.append(row)
            stops.append(reader.line_num)  # type: ignore[attr-defined]
        if not rows:
            return
        yield rows, stops
