"""Whatever stands in a file comes out of it again, byte for byte."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_cluster.corpus.compression import compressed
from sbert_cluster.corpus.reading import read_corpus
from sbert_cluster.corpus.writing import layout_of, write_rows
from sbert_cluster.options import FileFormat, ReadOptions
from sbert_cluster.types import Corpus

TEXT = ReadOptions(text_columns=("text",))
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NASTY = st.text(st.sampled_from("ab,;\"'\r\n\t\x00=+-@é😀\u2028\x85\x1b"), max_size=8)
CELLS = st.one_of(ANY_TEXT, NASTY)
ROWS = st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8)
LIGHT = settings(max_examples=60)


def csv_bytes(rows: list[tuple[str, ...]], newline: str, quoting: int) -> bytes:
    """A CSV file with the columns ``text`` and ``more`` as Python writes it."""
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator=newline, quoting=quoting)
    writer.writerow(["text", "more"][: len(rows[0])])
    writer.writerows(rows)
    return sink.getvalue().encode()


def all_rows(corpus: Corpus) -> np.ndarray:
    """Every row number."""
    return np.arange(len(corpus))


def rewritten(corpus: Corpus, path: Path) -> bytes:
    """The bytes of the whole corpus written in its own layout."""
    write_rows(corpus, all_rows(corpus), path, layout=corpus.layout)
    return path.read_bytes()


@LIGHT
@given(ROWS, st.sampled_from(["\n", "\r\n"]), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_csv_survives(
    folder: Path, rows: list[tuple[str, ...]], newline: str, quoting: int
) -> None:
    """CSV of any text is read as Python reads it and written byte for byte."""
    data = csv_bytes(rows, newline, quoting)
    path = folder / "any.csv"
    path.write_bytes(data)
    corpus = read_corpus([path], ReadOptions(text_columns=("text",), encoding="utf-8"))
    # Python 3.11 leaves a lone "\r" unquoted; before a line end nobody can tell them apart.
    endings = [(a, b.rstrip("\r")) for a, b in rows]
    found = [(a or "", (b or "").rstrip("\r")) for a, b in corpus.frame.rows()]
    assert found == endings
    assert rewritten(corpus, path.with_name("again.csv")) == data


@LIGHT
@given(st.lists(CELLS, min_size=1, max_size=8))
def test_single_column_survives(folder: Path, cells: list[str]) -> None:
    """A single column keeps its empty rows."""
    data = csv_bytes([(cell,) for cell in cells], "\n", csv.QUOTE_ALL)
    path = folder / "one.csv"
    path.write_bytes(data)
    corpus = read_corpus([path], TEXT)
    assert [text or "" for text in corpus.frame["text"]] == cells
    assert rewritten(corpus, path.with_name("again.csv")) == data


@LIGHT
@given(ROWS, st.booleans())
def test_jsonl_survives(folder: Path, rows: list[tuple[str, str]], escaped: bool) -> None:
    """JSON lines of any text are written byte for byte."""
    lines = [json.dumps({"text": a, "more": b}, ensure_ascii=escaped) for a, b in rows]
    data = "".join(f"{line}\n" for line in lines).encode()
    path = folder / "any.jsonl"
    path.write_bytes(data)
    corpus = read_corpus([path], TEXT)
    assert corpus.frame.rows() == rows
    assert rewritten(corpus, path.with_name("again.jsonl")) == data


@LIGHT
@given(st.lists(CELLS, min_size=1, max_size=8))
def test_text_survives(folder: Path, cells: list[str]) -> None:
    """Plain text keeps every line, blank ones too."""
    lines = [cell.replace("\n", "").replace("\r", "") for cell in cells]
    data = "".join(f"{line}\n" for line in lines).encode()
    path = folder / "any.txt"
    path.write_bytes(data)
    corpus = read_corpus([path], ReadOptions(encoding="utf-8"))
    assert [text or "" for text in corpus.frame["text"]] == lines
    assert rewritten(corpus, path.with_name("again.txt")) == data


@LIGHT
@given(ROWS, st.sampled_from([".parquet", ".arrow", ".parquet.gz"]))
def test_binary_survives(folder: Path, rows: list[tuple[str, str]], suffix: str) -> None:
    """Parquet and Arrow give the same frame again, types included."""
    frame = pl.DataFrame(rows, schema=["text", "more"], orient="row").with_columns(
        number=pl.int_range(pl.len(), dtype=pl.Int16), items=pl.concat_list("text", "more")
    )
    path = folder / f"any{suffix}"
    with path.open("wb") as file, compressed(file, "gz" if suffix.endswith("gz") else "") as sink:
        (frame.write_ipc if suffix == ".arrow" else frame.write_parquet)(sink)
    corpus = read_corpus([path], TEXT)
    again = path.with_name(f"again{suffix}")
    rewritten(corpus, again)
    assert corpus.records is None
    assert read_corpus([again], TEXT).frame.equals(frame)
    assert read_corpus([again], TEXT).frame.schema == frame.schema


@LIGHT
@given(ROWS, st.sampled_from(["csv", "tsv", "jsonl", "parquet", "arrow"]))
def test_conversion_keeps_texts(folder: Path, rows: list[tuple[str, str]], format: str) -> None:
    """Rows of a Parquet file are the same after a detour through any format."""
    path = folder / "source.parquet"
    pl.DataFrame(rows, schema=["text", "more"], orient="row").write_parquet(path)
    corpus = read_corpus([path], TEXT)
    target = folder / f"converted.{format}"
    write_rows(corpus, all_rows(corpus), target, layout=layout_of(target, corpus))
    again = read_corpus([target], ReadOptions(text_columns=("text",), encoding=_utf8(format)))
    assert [(a or "", b or "") for a, b in again.frame.rows()] == rows


def _utf8(format: str) -> str | None:
    return None if format in ("parquet", "arrow") else "utf-8"


def test_junk_survives(tmp_path: Path) -> None:
    """A hundred thousand rows of junk come out byte for byte, in any order."""
    random.seed(5)
    signs = "abc ,;|\t\"'\r\n\x00=+é漢😀\u2028"
    cells = ["".join(random.choices(signs, k=random.randrange(9))) for _ in range(1_000)]
    rows = [(random.choice(cells), random.choice(cells), str(row)) for row in range(100_000)]
    sink = io.StringIO()
    csv.writer(sink, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([("text", "b", "c")])
    header = sink.getvalue()
    csv.writer(sink, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    path = tmp_path / "junk.csv"
    path.write_bytes(sink.getvalue().encode())
    corpus = read_corpus([path], TEXT)
    assert rewritten(corpus, tmp_path / "again.csv") == path.read_bytes()
    order = np.random.default_rng(3).permutation(len(rows))[:1_000]
    write_rows(corpus, order, tmp_path / "some.csv", layout=corpus.layout)
    sink = io.StringIO(header)
    sink.seek(0, io.SEEK_END)
    csv.writer(sink, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows[i] for i in order)
    assert (tmp_path / "some.csv").read_bytes() == sink.getvalue().encode()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "cp1252", "utf-16-be"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_layout_survives(tmp_path: Path, encoding: str, newline: str) -> None:
    """Encoding, byte-order mark, line ends and delimiter are those of the input."""
    lines = ["id;question", '1;"Où est\nmon café ?"', "2;Straße, groß", '3;5" pipe', "4;"]
    data = newline.join([*lines, ""]).replace("\n", newline).encode(encoding)
    if newline == "\r\n":
        data = "\r\n".join([*lines, ""]).encode(encoding)
    path = tmp_path / "in.csv"
    path.write_bytes(data)
    corpus = read_corpus([path], ReadOptions(text_columns=("question",)))
    assert corpus.layout.delimiter == ";"
    assert rewritten(corpus, tmp_path / "out.csv") == data


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".zstd", ""])
@pytest.mark.parametrize("compression", ["gz", "zst"])
def test_compression_survives(tmp_path: Path, suffix: str, compression: str) -> None:
    """Compression is told by the bytes, whatever the name says, and kept."""
    path = tmp_path / f"in.csv{suffix}"
    with path.open("wb") as file, compressed(file, compression) as sink:
        sink.write(b"text,n\nhello,1\nworld,2\n")
    corpus = read_corpus([path], TEXT)
    assert corpus.layout.compression == compression
    assert corpus.layout.suffix == f".csv.{compression}"
    assert rewritten(corpus, tmp_path / "out.csv.x") == path.read_bytes()


def test_mixed_line_ends_survive(tmp_path: Path) -> None:
    """A file that mixes line ends keeps each, and none of them gets into a value."""
    data = b"text,n\r\nhello,1\nworld,2\r\n"
    path = tmp_path / "in.csv"
    path.write_bytes(data)
    corpus = read_corpus([path], TEXT)
    assert corpus.frame.rows() == [("hello", "1"), ("world", "2")]
    assert rewritten(corpus, tmp_path / "out.csv") == data
    extra = pl.DataFrame({"x": [5, 6]})
    write_rows(corpus, all_rows(corpus), path, layout=corpus.layout, extra=extra)
    assert path.read_bytes() == b"text,n,x\r\nhello,1,5\nworld,2,6\r\n"


def test_excel_hint_survives(tmp_path: Path) -> None:
    """The line ``sep=;`` that Excel understands names the delimiter and is written back."""
    data = b"sep=|\r\nid|text\r\n1|a, b; c\r\n"
    path = tmp_path / "in.csv"
    path.write_bytes(data)
    corpus = read_corpus([path], ReadOptions())
    assert corpus.frame.rows() == [("1", "a, b; c")]
    assert corpus.text_columns == ("text",)
    assert rewritten(corpus, tmp_path / "out.csv") == data


def test_format_is_enum(tmp_path: Path) -> None:
    """The format that was asked for beats the file's name."""
    path = tmp_path / "in.csv"
    path.write_bytes(b"one, two\nthree\n")
    corpus = read_corpus([path], ReadOptions(format=FileFormat.TEXT))
    assert corpus.frame["text"].to_list() == ["one, two", "three"]
