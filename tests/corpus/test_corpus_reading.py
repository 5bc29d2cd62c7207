"""What is read from each format, and from several files together."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sbert_cluster.corpus.delimited import column_names, detect_delimiter
from sbert_cluster.corpus.reading import corpus_from_frame, read_corpus
from sbert_cluster.corpus.writing import write_rows
from sbert_cluster.errors import InputError
from sbert_cluster.options import FileFormat, ReadOptions
from sbert_cluster.types import Corpus

Reader = Callable[..., Corpus]


def test_csv_values_are_strings(read: Reader) -> None:
    """Leading zeros, decimals and dates survive; empty fields are null."""
    corpus = read('id,text,n\n007,hello,1.0\n008,"",2024-01-01\n')
    assert corpus.frame.rows() == [("007", "hello", "1.0"), ("008", None, "2024-01-01")]
    assert corpus.records == ("007,hello,1.0", '008,"",2024-01-01')
    assert corpus.layout.header == "id,text,n"


def test_source(read: Reader, tmp_path: Path) -> None:
    """A source knows path, rows and the hash of its bytes on disk."""
    data = b"text\nhello\nworld\n"
    source = read(data).sources[0]
    assert source.path == str(tmp_path / "in.csv")
    assert source.rows == 2
    assert source.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("lines", "delimiter"),
    [
        (["id,text\n", "1,a;b\n", "2,c\n"], ","),
        (["id;text\n", "1;a, b, c\n", "2;d\n"], ";"),
        (["id;price;text\n", "1;3,50;a\n", "2;4,50;b\n"], ";"),
        (["id\ttext\n", "1\ta, b\n"], "\t"),
        (["id|text\n", "1|a;b\n"], "|"),
        (["text\n", "hello, world\n"], ","),
        (["id,text\n", '1,"a;b;c\n', 'd;e"\n'], ","),
        (["a;b,c;d\n", "1;2,5;3\n"], ";"),
    ],
)
def test_delimiter(lines: list[str], delimiter: str) -> None:
    """The delimiter is the one that splits the records evenly."""
    assert detect_delimiter(lines) == delimiter


def test_delimiter_is_said(read: Reader) -> None:
    """A delimiter other than the comma is said, except the tab of a TSV file."""
    assert any("separated by ';'" in note for note in read("id;text\n1;hello you\n").notes)
    assert read("text\tn\nhello, you\t1\n", "in.tsv").layout.delimiter == "\t"
    assert not any("separated" in note for note in read("text\tn\nhello\t1\n", "in.tab").notes)


def test_stray_quotes(read: Reader) -> None:
    """A quote inside an unquoted field is part of it."""
    corpus = read('text,n\n5" pipe,1\nsay ""hi"",2\n')
    assert corpus.frame["text"].to_list() == ['5" pipe', 'say ""hi""']


def test_blank_lines(read: Reader) -> None:
    """Blank lines are skipped beside other columns, and are rows in a single one."""
    assert len(read("text,n\n\na,1\n  \nb,2\n\n")) == 2
    assert read("text\na\n\nb\n").frame["text"].to_list() == ["a", None, "b"]
    assert read("a\n\nb\n", "in.txt").frame["text"].to_list() == ["a", None, "b"]
    assert read("a\n\nb", "in.txt").records == ("a", "", "b")


def test_unnamed_columns() -> None:
    """Columns without a name are called by their position, whatever other names there are."""
    assert column_names(["", "a", "column_1", ""], "x") == [
        "column_1_",
        "a",
        "column_1",
        "column_4",
    ]


def test_unnamed_columns_keep_header(read: Reader, tmp_path: Path) -> None:
    """The header is written as it stands, unnamed columns too."""
    corpus = read(",text\n0,hello\n")
    assert corpus.frame.columns == ["column_1", "text"]
    write_rows(corpus, np.array([0]), tmp_path / "o.csv", layout=corpus.layout)
    assert (tmp_path / "o.csv").read_text() == ",text\n0,hello\n"


def test_large_field(read: Reader) -> None:
    """A field may be longer than the 128 kB that the csv module allows by itself."""
    assert read(f"text,n\n{'x ' * 100_000},1\n").frame["text"].str.len_chars().item() == 200_000


def test_jsonl(read: Reader) -> None:
    """Types are those of JSON, and a key that is missing is null."""
    corpus = read('{"text": "a", "n": 1}\n\n{"text": "b", "x": [1.5]}\n', "in.jsonl")
    assert corpus.frame.rows() == [("a", 1, None), ("b", None, [1.5])]
    assert corpus.records == ('{"text": "a", "n": 1}', '{"text": "b", "x": [1.5]}')


def test_jsonl_mixed_types(read: Reader) -> None:
    """Values without a common type become text: strings stay, others are JSON."""
    lines = '{"text": "a", "v": {"b": 1}}\n{"text": "\\ud800", "v": [1, "é"]}\n{"v": "s"}\n'
    corpus = read(lines, "in.jsonl")
    assert corpus.frame["v"].to_list() == ['{"b": 1}', '[1, "é"]', "s"]
    assert corpus.frame["text"].to_list() == ["a", "\ufffd", None]
    numbers = read('{"t": "a b", "v": true}\n{"t": "c d", "v": 1}\n', "in.jsonl")
    assert numbers.frame["v"].to_list() == ["true", "1"]
    lenient = read('{"t": "a\tb", "v": NaN}\n{"t": "c d", "v": 1}\n', "in.jsonl")
    assert lenient.frame["t"].to_list() == ["a\tb", "c d"]
    assert lenient.frame["v"].dtype == pl.Float64


def test_arrow_stream(tmp_path: Path) -> None:
    """Arrow streams are read like Arrow files."""
    frame = pl.DataFrame({"text": ["a", None], "n": [1, 2]})
    frame.write_ipc_stream(tmp_path / "in.arrow")
    assert read_corpus([tmp_path / "in.arrow"], ReadOptions()).frame.equals(frame)


def test_several_files(tmp_path: Path) -> None:
    """Files of the same columns are read one behind the other, and keep their records."""
    (tmp_path / "a.csv").write_text("text,n\nhello,1\n")
    (tmp_path / "b.csv").write_bytes(b'text,n\r\n"world",2\r\n')
    corpus = read_corpus([tmp_path / "a.csv", tmp_path / "b.csv"], ReadOptions())
    assert corpus.frame.rows() == [("hello", "1"), ("world", "2")]
    assert corpus.records == ("hello,1", '"world",2')
    assert [source.rows for source in corpus.sources] == [1, 1]


@pytest.mark.parametrize("other", ["n,text\n2,world\n", "text;n\nworld;2\n"])
def test_several_layouts(tmp_path: Path, other: str) -> None:
    """Files laid out differently have the first one's columns, and no records."""
    (tmp_path / "a.csv").write_text("text,n\nhello,1\n")
    (tmp_path / "b.csv").write_text(other)
    corpus = read_corpus([tmp_path / "a.csv", tmp_path / "b.csv"], ReadOptions())
    assert corpus.frame.rows() == [("hello", "1"), ("world", "2")]
    assert corpus.records is None
    write_rows(corpus, np.arange(2), tmp_path / "o.csv", layout=corpus.layout)
    assert (tmp_path / "o.csv").read_text() == "text,n\nhello,1\nworld,2\n"


def test_several_formats(tmp_path: Path) -> None:
    """Formats may be mixed, and types are widened."""
    pl.DataFrame({"text": ["a"], "n": pl.Series([1], dtype=pl.Int8)}).write_parquet(
        tmp_path / "a.parquet"
    )
    pl.DataFrame({"n": [2.5], "text": ["b"]}).write_ipc(tmp_path / "b.arrow")
    corpus = read_corpus([tmp_path / "a.parquet", tmp_path / "b.arrow"], ReadOptions())
    assert corpus.frame.rows() == [("a", 1.0), ("b", 2.5)]
    assert corpus.layout.format is FileFormat.PARQUET


def test_different_columns(tmp_path: Path) -> None:
    """Files of other columns are refused, with the difference."""
    (tmp_path / "a.csv").write_text("text,n\nhello,1\n")
    (tmp_path / "b.csv").write_text("text,m\nworld,2\n")
    with pytest.raises(InputError, match=r"b\.csv has other .* lacks 'n' and has also 'm'"):
        read_corpus([tmp_path / "a.csv", tmp_path / "b.csv"], ReadOptions())


def test_different_types(tmp_path: Path) -> None:
    """Types without a common one are refused, with the column."""
    pl.DataFrame({"text": ["a"], "n": [[1]]}).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"text": ["a"], "n": [True]}).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(InputError, match=r"b\.parquet: column 'n' holds Boolean, but List"):
        read_corpus([tmp_path / "a.parquet", tmp_path / "b.parquet"], ReadOptions())


def test_progress(tmp_path: Path) -> None:
    """Progress counts the bytes of all files and never falls."""
    (tmp_path / "a.csv").write_text("text,n\n" + "hello,1\n" * 50_000)
    (tmp_path / "b.jsonl").write_text('{"text": "x", "n": "1"}\n')
    heard: list[tuple[str, int, int | None, str]] = []
    paths = [tmp_path / "a.csv", tmp_path / "b.jsonl"]
    read_corpus(paths, ReadOptions(), progress=lambda *call: heard.append(call))
    done = [call[1] for call in heard]
    assert done == sorted(done)
    assert len(done) > 3
    assert heard[-1] == ("reading", 400_031, 400_031, "bytes")


def test_frame() -> None:
    """A frame becomes a corpus without sources."""
    corpus = corpus_from_frame(pl.DataFrame({"text": ["a"], "n": [1]}), ReadOptions())
    assert corpus.text_columns == ("text",)
    assert corpus.sources == ()
    assert corpus.layout.format is FileFormat.PARQUET
