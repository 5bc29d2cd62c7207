"""Files → corpus."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from sbert_cluster.corpus.columns import listed, resolve_columns
from sbert_cluster.corpus.compression import decompress
from sbert_cluster.corpus.decoding import decode
from sbert_cluster.corpus.delimited import parse_delimited
from sbert_cluster.corpus.formats import STDIN, expand, format_of, read_bytes
from sbert_cluster.corpus.jsonlines import parse_jsonl
from sbert_cluster.corpus.lines import parse_text
from sbert_cluster.errors import InputError
from sbert_cluster.options import FileFormat, ReadOptions
from sbert_cluster.progress import Progress, silent
from sbert_cluster.types import Corpus, Layout, SourceFile

_POLARS_ERRORS = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError)


@dataclass(frozen=True)
class _Part:
    """One input file."""

    source: SourceFile
    frame: pl.DataFrame
    layout: Layout
    records: list[str] | None = None
    notes: tuple[str, ...] = ()


def read_corpus(
    inputs: Sequence[str | Path], options: ReadOptions, *, progress: Progress | None = None
) -> Corpus:
    """Read files into one corpus, rows in the order of the files.

    Args:
        inputs: Paths, globs (``*``, ``?``, ``[``; expanded and sorted) and ``-`` for stdin.
        options: Columns, format and encoding.
        progress: Told now and then the bytes read so far and in all (as they lie on disk).

    Returns:
        All rows. ``records`` is set if all files are text files of the same layout.

    Raises:
        UsageError: If a format, an encoding or a column is not known or not clear.
        InputError: If a file is missing, empty or broken, or files have different columns.
    """
    parts = _read_parts(inputs, options, progress)
    frame, records = _joined(parts)
    text_columns, note = resolve_columns(frame, options)
    notes = [sentence for part in parts for sentence in part.notes]
    return Corpus(
        frame,
        text_columns,
        id_column=options.id_column,
        vector_column=options.vector_column,
        sources=tuple(part.source for part in parts),
        layout=parts[0].layout,
        records=None if records is None else tuple(records),
        notes=(*notes, note) if note else tuple(notes),
    )


def read_rows(
    inputs: Sequence[str | Path], options: ReadOptions, *, progress: Progress | None = None
) -> Corpus:
    """Read files whose columns are looked at later, such as files of labelled pairs.

    Args:
        inputs: As for :func:`read_corpus`.
        options: Format and encoding; columns do not matter.
        progress: As for :func:`read_corpus`.

    Returns:
        All rows, without text columns and without records.

    Raises:
        UsageError: If a format or an encoding is not known.
        InputError: If a file is missing, empty or broken, or files have different columns.
    """
    parts = _read_parts(inputs, options, progress)
    frame, _ = _joined(parts)
    notes = tuple(sentence for part in parts for sentence in part.notes)
    sources = tuple(part.source for part in parts)
    return Corpus(frame, (), sources=sources, layout=parts[0].layout, notes=notes)


def corpus_from_frame(frame: pl.DataFrame, options: ReadOptions) -> Corpus:
    """A corpus of rows that are in memory already.

    Args:
        frame: The rows.
        options: Columns; format and encoding do not matter.

    Returns:
        A corpus without sources, laid out as Parquet.

    Raises:
        UsageError: If a column is not known or it is not clear which holds the text.
        InputError: If there is no row.
    """
    if not frame.height:
        raise InputError("the frame has no rows", "Give at least one.")
    text_columns, note = resolve_columns(frame, options)
    return Corpus(
        frame,
        text_columns,
        id_column=options.id_column,
        vector_column=options.vector_column,
        notes=(note,) if note else (),
    )


def _read_parts(
    inputs: Sequence[str | Path], options: ReadOptions, progress: Progress | None
) -> list[_Part]:
    paths = expand(inputs)
    formats = [options.format or format_of(path) for path in paths]
    sizes = [_size(path) for path in paths]
    parts = []
    for number, (path, format) in enumerate(zip(paths, formats, strict=True)):
        advance = _advance(progress or silent, sizes, number)
        parts.append(_read(path, format, options.encoding, advance))
        advance(1.0)
    return parts


def _read(
    path: str, format: FileFormat, encoding: str | None, advance: Callable[[float], None]
) -> _Part:
    name = "stdin" if path == STDIN else path
    data = read_bytes(path)
    sha256 = hashlib.sha256(data).hexdigest()
    data, compression = decompress(data, name)
    if not data:
        raise InputError(f"{name} holds nothing", "Give a file with at least one row.")
    if format in (FileFormat.PARQUET, FileFormat.ARROW):
        frame = _read_binary(data, format, name)
        return _Part(SourceFile(path, sha256, frame.height), frame, Layout(format, compression))
    decoded = decode(data, encoding, name)
    del data  # a large file is in memory once as text; not as bytes as well
    if not decoded.text:
        raise InputError(f"{name} holds nothing", "Give a file with at least one row.")
    if format is FileFormat.JSONL:
        parsed = parse_jsonl(decoded.text, name)
    elif format is FileFormat.TEXT:
        parsed = parse_text(decoded.text)
    else:
        tab = "\t" if format is FileFormat.TSV else None
        parsed = parse_delimited(decoded.text, name, delimiter=tab, progress=advance)
    layout = Layout(
        format,
        compression,
        decoded.encoding,
        decoded.byte_order_mark,
        parsed.delimiter,
        parsed.newline,
        parsed.header,
    )
    notes = tuple(note for note in (decoded.note, parsed.note) if note)
    source = SourceFile(path, sha256, parsed.frame.height)
    return _Part(source, parsed.frame, layout, parsed.records, notes)


def _read_binary(data: bytes, format: FileFormat, name: str) -> pl.DataFrame:
    what = "Parquet" if format is FileFormat.PARQUET else "Arrow"
    try:
        frame = _parse_binary(data, format)
    except _POLARS_ERRORS as error:
        reason = (str(error).splitlines() or ["unknown reason"])[0]
        raise InputError(
            f"{name} is not a readable {what} file ({reason})",
            "Write the file again, or name its format with --format.",
        ) from None
    if not frame.width or not frame.height:
        lacking = "rows" if frame.width else "columns"
        raise InputError(f"{name} has no {lacking}", "Give a file with at least one row.")
    return frame


def _parse_binary(data: bytes, format: FileFormat) -> pl.DataFrame:
    # From memory, never mapped: a mapped file cannot be replaced on Windows.
    if format is FileFormat.PARQUET:
        return pl.read_parquet(io.BytesIO(data))
    if data.startswith(b"ARROW1"):
        return pl.read_ipc(io.BytesIO(data))
    return pl.read_ipc_stream(io.BytesIO(data))


def _joined(parts: Sequence[_Part]) -> tuple[pl.DataFrame, list[str] | None]:
    """All rows, and their records if all files are written alike."""
    first = parts[0]
    if len(parts) == 1:
        return first.frame, first.records
    for part in parts[1:]:
        _check_same_columns(first, part)
    records: list[str] | None = None
    if first.records is not None and all(_alike(first, part) for part in parts):
        records = [record for part in parts for record in part.records or []]
    columns = first.frame.columns
    frames = [part.frame.select(columns) for part in parts]
    try:
        return pl.concat(frames, how="vertical_relaxed"), records
    except _POLARS_ERRORS:
        raise _different_types(parts) from None


def _alike(first: _Part, other: _Part) -> bool:
    """Whether the records of both files can stand in one file."""
    layouts = [
        replace(part.layout, compression="", encoding="", byte_order_mark=False, header="")
        for part in (first, other)
    ]
    # Records of a "\r" file beside others: what ends a record here is data there.
    old_mac = any(layout.newline == "\r" for layout in layouts) and layouts[0] != layouts[1]
    same = replace(layouts[0], newline="") == replace(layouts[1], newline="")
    ordered = first.layout.format is FileFormat.JSONL or first.frame.columns == other.frame.columns
    return same and ordered and not old_mac


def _check_same_columns(first: _Part, other: _Part) -> None:
    ours, theirs = first.frame.columns, other.frame.columns
    lacking = [name for name in ours if name not in theirs]
    beyond = [name for name in theirs if name not in ours]
    if not lacking and not beyond:
        return
    said = [f"lacks {listed(lacking)}"] if lacking else []
    said += [f"has also {listed(beyond)}"] if beyond else []
    raise InputError(
        f"{other.source.path} has other columns than {first.source.path}: it {' and '.join(said)}",
        "Give files with the same columns.",
    )


def _different_types(parts: Sequence[_Part]) -> InputError:
    first = parts[0]
    for part in parts[1:]:
        for name, dtype in first.frame.schema.items():
            both = [part.frame.get_column(name).head(0), first.frame.get_column(name).head(0)]
            try:
                pl.concat([column.to_frame() for column in both], how="vertical_relaxed")
            except _POLARS_ERRORS:
                return InputError(
                    f"{part.source.path}: column {name!r} holds {part.frame.schema[name]}, "
                    f"but {dtype} in {first.source.path}",
                    "Give files with the same types.",
                )
    return InputError("the files have columns of different types", "Read them one by one.")


def _size(path: str) -> int:
    try:
        return 0 if path == STDIN else Path(path).stat().st_size
    except OSError:
        return 0  # said when the file is read


def _advance(progress: Progress, sizes: Sequence[int], number: int) -> Callable[[float], None]:
    """A callback for the share of one file that was read."""
    before = sum(sizes[:number])
    total = sum(sizes) if all(sizes) else None  # the length of stdin is not known

    def advance(share: float) -> None:
        progress("reading", before + round(share * sizes[number]), total, "bytes")

    return advance
