"""Rows are written in the layout that was asked for, whole or not at all."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sbert_cluster.corpus.reading import corpus_from_frame, read_corpus
from sbert_cluster.corpus.writing import atomic_file, layout_for_duplicates, layout_of, write_rows
from sbert_cluster.errors import RunFolderError, UsageError
from sbert_cluster.options import FileFormat, ReadOptions
from sbert_cluster.types import Corpus, Layout

Reader = Callable[..., Corpus]

BOTH = np.array([1, 0])
EXTRA = pl.DataFrame(
    {
        "sbert_row": [1, 0],
        "sbert_similarity": pl.Series([0.95, None], dtype=pl.Float32),
        "sbert_reason": ['a "b", c', ""],
    }
)


def test_csv_extra(read: Reader, tmp_path: Path) -> None:
    """Further cells stand behind each record, which stays as it is."""
    corpus = read('text;n\n"a";1\n5" x;2\n')
    out = tmp_path / "out.csv"
    write_rows(corpus, BOTH, out, layout=corpus.layout, extra=EXTRA)
    assert out.read_text().splitlines() == [
        "text;n;sbert_row;sbert_similarity;sbert_reason",
        '5" x;2;1;0.95;"a ""b"", c"',
        '"a";1;0;;',
    ]


def test_jsonl_extra(read: Reader, tmp_path: Path) -> None:
    """Further keys stand at the end of each object."""
    corpus = read('{"text": "a"}\n{ } \n', "in.jsonl", text_columns=("text",))
    out = tmp_path / "out.jsonl"
    write_rows(corpus, BOTH, out, layout=corpus.layout, extra=EXTRA.head(2))
    first, second = out.read_text().splitlines()
    assert json.loads(first) == {
        "sbert_row": 1,
        "sbert_similarity": 0.95,
        "sbert_reason": 'a "b", c',
    }
    assert second.startswith('{"text": "a", "sbert_row":0')
    assert list(json.loads(second)) == ["text", "sbert_row", "sbert_similarity", "sbert_reason"]
    assert first.endswith("} ")


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet", "arrow", "tsv"])
def test_user_columns_are_kept(tmp_path: Path, suffix: str) -> None:
    """A name that the user has already is never overwritten."""
    frame = pl.DataFrame({"text": ["a", "b"], "sbert_row": ["x", "y"], "sbert_row_2": ["z", "z"]})
    corpus = corpus_from_frame(frame, ReadOptions(text_columns=("text",)))
    out = tmp_path / f"out.{suffix}"
    write_rows(corpus, BOTH, out, layout=layout_of(out, corpus), extra=EXTRA)
    again = read_corpus([out], ReadOptions(text_columns=("text",))).frame
    names = ["text", "sbert_row", "sbert_row_2", "sbert_row_3", "sbert_similarity", "sbert_reason"]
    assert again.columns == names
    assert again["sbert_row"].to_list() == ["y", "x"]
    assert [int(row) for row in again["sbert_row_3"]] == [1, 0]


def test_text_with_extra(read: Reader, tmp_path: Path) -> None:
    """Plain text with further columns becomes CSV."""
    corpus = read("a, b\nc\n", "in.txt")
    layout = layout_for_duplicates(corpus.layout)
    assert (layout.format, layout.suffix) == (FileFormat.CSV, ".csv")
    out = tmp_path / "out.csv"
    write_rows(corpus, BOTH, out, layout=layout, extra=EXTRA.select("sbert_row"))
    assert out.read_text() == 'text,sbert_row\nc,1\n"a, b",0\n'
    assert layout_for_duplicates(Layout(FileFormat.JSONL)) == Layout(FileFormat.JSONL)


def test_to_text(tmp_path: Path) -> None:
    """Texts are written one a line."""
    frame = pl.DataFrame({"text": ["a\r\nb\nc", None], "n": [1, 2]})
    corpus = corpus_from_frame(frame, ReadOptions())
    out = tmp_path / "out.txt"
    write_rows(corpus, BOTH, out, layout=layout_of(out, corpus))
    assert out.read_bytes() == b"\na b c\n"


def test_values_without_text_form(tmp_path: Path) -> None:
    """Nested values, bytes and rare types become text in CSV and JSON lines."""
    frame = pl.DataFrame(
        {
            "text": ["a", None],
            "list": [["é", None], None],
            "struct": [{"x": 1, "y": [1.5]}, None],
            "bytes": [b"\x00\xff", None],
            "span": [timedelta(seconds=5), None],
            "money": [Decimal("1.50"), None],
        }
    )
    corpus = corpus_from_frame(frame, ReadOptions())
    for name in ("out.csv", "out.jsonl"):
        write_rows(corpus, BOTH, tmp_path / name, layout=layout_of(tmp_path / name, corpus))
    row = read_corpus([tmp_path / "out.csv"], ReadOptions(text_columns=("text",))).frame.row(1)
    assert row[:4] == ("a", '["é", null]', '{"x": 1, "y": [1.5]}', "AP8=")
    assert row[5] == "1.50"
    value = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[1])
    assert value["list"] == ["é", None]
    assert value["struct"] == {"x": 1, "y": [1.5]}


def test_layouts(read: Reader) -> None:
    """The suffix tells format and compression; the rest is the input's where it can be."""
    corpus = read("\ufefftext;n\r\na b;1\r\n")
    same = layout_of(Path("kept.csv.gz"), corpus)
    assert (same.compression, same.delimiter, same.newline, same.byte_order_mark) == (
        *("gz", ";", "\r\n"),
        True,
    )
    assert layout_of(Path("kept.tsv"), corpus) == Layout(FileFormat.TSV, delimiter="\t")
    assert layout_of(Path("kept.x"), corpus, FileFormat.JSONL) == Layout(FileFormat.JSONL)
    assert layout_of(Path("kept.parquet"), corpus) == Layout(FileFormat.PARQUET)
    assert layout_of(Path("-"), corpus) == corpus.layout
    with pytest.raises(UsageError, match=r"suffix that is not known \(\.x\)"):
        layout_of(Path("kept.x"), corpus)


def test_tabs_in_csv_go_to_tsv(read: Reader) -> None:
    """A CSV file with tabs is written to TSV as it is."""
    corpus = read("text\tn\na b\t1\n")
    layout = layout_of(Path("kept.tsv"), corpus)
    assert (layout.format, layout.header) == (FileFormat.TSV, "text\tn")


def test_stdout(read: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dash is standard output, for text and binary formats."""
    corpus = read("text,n\na,1\nb,2\n")
    for layout in (corpus.layout, Layout(FileFormat.PARQUET)):
        sink = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(sink))
        write_rows(corpus, BOTH, Path("-"), layout=layout)
        if layout.format is FileFormat.CSV:
            assert sink.getvalue() == b"text,n\nb,2\na,1\n"
        else:
            assert pl.read_parquet(io.BytesIO(sink.getvalue())).rows() == [("b", "2"), ("a", "1")]


def test_no_rows(read: Reader, tmp_path: Path) -> None:
    """No rows give a header, or an empty file of the right columns."""
    corpus = read("text,n\na,1\n")
    none = np.empty(0, np.int64)
    extra = EXTRA.clear()
    write_rows(corpus, none, tmp_path / "out.csv", layout=corpus.layout, extra=extra)
    assert (tmp_path / "out.csv").read_text().startswith("text,n,sbert_row,")
    out = tmp_path / "out.parquet"
    write_rows(corpus, none, out, layout=layout_of(out, corpus), extra=extra)
    assert pl.read_parquet(out).shape == (0, 5)
    out = tmp_path / "out.jsonl"
    write_rows(corpus, none, out, layout=layout_of(out, corpus))
    assert out.read_bytes() == b""


def test_encoding_gives_way(tmp_path: Path) -> None:
    """Characters that the first file's encoding cannot hold turn the result into UTF-8."""
    (tmp_path / "a.csv").write_bytes("text\nGrüße aus Köln\n".encode("cp1252"))
    (tmp_path / "b.csv").write_text("text\n東京\n", encoding="utf-8")
    corpus = read_corpus([tmp_path / "a.csv", tmp_path / "b.csv"], ReadOptions())
    assert corpus.layout.encoding == "cp1252"
    for rows in ([0], [0, 1]):
        write_rows(corpus, np.array(rows), tmp_path / "o.csv", layout=corpus.layout)
        assert (tmp_path / "o.csv").read_text(encoding="utf-8").startswith("text\nGrüße")


def test_atomic(tmp_path: Path) -> None:
    """A file appears whole, keeps its permissions, and nothing is left after an error."""
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(0o640)
    with pytest.raises(ZeroDivisionError), atomic_file(path) as temporary:
        temporary.write_text(str(1 / 0))
    assert path.read_text() == "old"
    with atomic_file(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]
    if os.name != "nt":
        assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("format", ["csv", "parquet", "arrow", "jsonl"])
@pytest.mark.parametrize("compression", ["", "gz", "zst"])
def test_disk_full(read: Reader, format: str, compression: str) -> None:
    """A full disk is said in words; a device is not replaced by a file."""
    corpus = read("text,n\n" + "abc def,1\n" * 20_000)
    layout = Layout(FileFormat(format), compression)
    with pytest.raises(RunFolderError, match="cannot write /dev/full: No space left on device"):
        write_rows(corpus, np.arange(len(corpus)), Path("/dev/full"), layout=layout)
    assert Path("/dev/full").is_char_device()


def test_missing_folder(read: Reader, tmp_path: Path) -> None:
    """A folder that is not there is asked for."""
    corpus = read("text\na\n")
    with pytest.raises(RunFolderError, match=r"No such file.*Make the folder first"):
        write_rows(corpus, np.array([0]), tmp_path / "no" / "x.csv", layout=corpus.layout)


@pytest.mark.skipif(os.name == "nt", reason="links need privileges there")
def test_link_is_followed(read: Reader, tmp_path: Path) -> None:
    """A link stays a link, and its file is replaced."""
    corpus = read("text\na\n")
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    write_rows(corpus, np.array([0]), tmp_path / "link.csv", layout=corpus.layout)
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text() == "text\na\n"
