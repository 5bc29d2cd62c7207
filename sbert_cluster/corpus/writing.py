"""Rows of a corpus → a file, in the layout of the input or in another one."""

from __future__ import annotations

import codecs
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np
import polars as pl

from sbert_cluster.corpus.compression import compressed
from sbert_cluster.corpus.formats import STDIN, compression_of, known_format
from sbert_cluster.corpus.rendering import keeps_records, rendered
from sbert_cluster.errors import RunFolderError, UsageError
from sbert_cluster.options import FileFormat
from sbert_cluster.types import Corpus, Layout, Rows

_NO_SPACE = "Free some space, or name another place with --output."
_BINARY = (FileFormat.PARQUET, FileFormat.ARROW)


def layout_of(path: Path, corpus: Corpus, format: FileFormat | None = None) -> Layout:
    """How a result file is written.

    Args:
        path: The file; its suffix tells format and compression. ``-`` is stdout.
        corpus: The input; where the format is the same, so are delimiter, encoding and newline.
        format: Overrides the suffix; None: the suffix decides.

    Raises:
        UsageError: If neither tells a format.
    """
    wanted = format or known_format(str(path))
    if wanted is None and str(path) == STDIN:
        wanted = corpus.layout.format
    if wanted is None:
        raise UsageError(
            f"{path} has a suffix that is not known ({path.suffix or 'none'})",
            "Add --format csv, tsv, jsonl, parquet or arrow.",
        )
    compression = compression_of(str(path))
    new = Layout(wanted, compression, delimiter="\t" if wanted is FileFormat.TSV else ",")
    same = wanted is corpus.layout.format or keeps_records(corpus, new)
    return replace(corpus.layout, format=wanted, compression=compression) if same else new


def layout_for_duplicates(layout: Layout) -> Layout:
    """The layout for rows with further columns: CSV instead of plain text, otherwise the same."""
    if layout.format is not FileFormat.TEXT:
        return layout
    return replace(layout, format=FileFormat.CSV, delimiter=",")


def write_rows(
    corpus: Corpus, rows: Rows, path: Path, *, layout: Layout, extra: pl.DataFrame | None = None
) -> None:
    """Write rows to a file, which appears whole or not at all.

    In the input's own format every row is written as it stands in the input, byte for byte, with
    the cells of ``extra`` appended to it. Otherwise columns are converted; CSV and JSON lines get
    text where they cannot hold a value (nested columns as JSON, bytes as base64).

    Args:
        corpus: Where the rows come from.
        rows: int64[m], rows to write, in this order.
        path: The file, or ``-`` for stdout.
        layout: How to write, from :func:`layout_of` or ``corpus.layout``. An encoding that cannot
            hold all characters gives way to UTF-8.
        extra: m rows of further columns, put behind the others; a name that is taken gets ``_2``.

    Raises:
        RunFolderError: If the file cannot be written.
        BrokenPipeError: If nobody reads stdout any longer.
    """
    if extra is not None:
        extra = _renamed(extra, corpus.frame.columns)
    if str(path) == STDIN:
        with _in_words("stdout"):
            _write(corpus, rows, sys.stdout.buffer, layout, extra)
            sys.stdout.buffer.flush()
        return
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        _write(corpus, rows, file, layout, extra)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends without error.

    Devices and pipes are written to directly, and a link is followed: neither may be replaced.

    Args:
        path: The file to write; its folder must exist.

    Yields:
        The path to write to.

    Raises:
        RunFolderError: For any ``OSError`` inside the block, also one that polars saw; the
            temporary file is removed.
    """
    target = Path(os.path.realpath(path))
    direct = target.exists() and not target.is_file()
    temporary = (
        target if direct else target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    )
    try:
        with _in_words(str(path)):
            yield temporary
            if not direct:
                if target.exists():
                    shutil.copymode(target, temporary)
                temporary.replace(target)
    finally:
        if not direct:
            temporary.unlink(missing_ok=True)


@contextmanager
def _in_words(name: str) -> Iterator[None]:
    """Turn errors of the system into errors for people."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise RunFolderError(f"cannot write {name}: {reason}", _remedy(error)) from error
    except pl.exceptions.ComputeError as error:
        # The Parquet writer of polars wraps errors of the system into its own.
        code = re.search(r"os error (\d+)", str(error))
        if code is None:
            raise
        reason = os.strerror(int(code[1]))
        raise RunFolderError(f"cannot write {name}: {reason}", _NO_SPACE) from error


def _remedy(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "Make the folder first, or name another place with --output."
    if isinstance(error, PermissionError):
        return "Close programs that use it, check permissions, or name another with --output."
    return _NO_SPACE


def _write(
    corpus: Corpus, rows: Rows, file: IO[bytes], layout: Layout, extra: pl.DataFrame | None
) -> None:
    with compressed(file, layout.compression) as sink:
        if layout.format in _BINARY:
            _write_binary(corpus, rows, sink, layout.format, extra)
        else:
            encoding = _encoding(corpus, layout, extra)
            if layout.byte_order_mark:
                sink.write("\ufeff".encode(encoding))
            for chunk in rendered(corpus, rows, layout, extra):
                sink.write(chunk.encode(encoding))


def _write_binary(
    corpus: Corpus, rows: Rows, sink: IO[bytes], format: FileFormat, extra: pl.DataFrame | None
) -> None:
    frame = corpus.frame[rows]  # strings are shared with the corpus, not copied
    if extra is not None:
        frame = frame.hstack(extra)
    if format is FileFormat.PARQUET:
        frame.write_parquet(sink, compression="zstd")
    else:
        frame.write_ipc(sink, compression="zstd")


def _encoding(corpus: Corpus, layout: Layout, extra: pl.DataFrame | None) -> str:
    """The layout's encoding, if it can hold every row of the corpus and the further cells.

    All rows count, so that every file of a run is written alike.
    """
    if layout.encoding.startswith(("utf", "gb18030")):
        return layout.encoding
    everything = np.arange(len(corpus))
    if not _fits(rendered(corpus, everything, layout, None), layout.encoding):
        return "utf-8"
    if extra is not None and not _fits([extra.write_ndjson(), *extra.columns], layout.encoding):
        return "utf-8"
    return layout.encoding


def _fits(chunks: Iterable[str], encoding: str) -> bool:
    encoder = codecs.getencoder(encoding)
    try:
        for chunk in chunks:
            encoder(chunk)
    except UnicodeEncodeError:
        return False
    return True


def _renamed(extra: pl.DataFrame, taken: list[str]) -> pl.DataFrame:
    """The frame with names that are not taken: ``sbert_row`` becomes ``sbert_row_2``."""
    used = {*taken, *extra.columns}
    names = {}
    for name in extra.columns:
        number = 2
        if name in taken:
            while f"{name}_{number}" in used:
                number += 1
            names[name] = f"{name}_{number}"
            used.add(names[name])
    return extra.rename(names)
