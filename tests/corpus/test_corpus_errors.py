"""Every input that cannot be read is refused with the reason and a remedy."""

from __future__ import annotations

import io
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from sbert_cluster.corpus.compression import compressed
from sbert_cluster.corpus.formats import expand
from sbert_cluster.corpus.reading import corpus_from_frame, read_corpus
from sbert_cluster.errors import InputError, UsageError
from sbert_cluster.options import FileFormat, ReadOptions
from sbert_cluster.types import Corpus

Reader = Callable[..., Corpus]

GZIP = io.BytesIO()
with compressed(GZIP, "gz") as _sink:
    _sink.write(b"text\n" + random.Random(1).randbytes(500))
ZSTD = io.BytesIO()
with compressed(ZSTD, "zst") as _sink:
    _sink.write(b"text\n" + random.Random(1).randbytes(500))
PARQUET = io.BytesIO()
pl.DataFrame({"text": ["a", "b"]}).write_parquet(PARQUET)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.csv", b"", "is empty (0 bytes)"),
        ("a.csv", b"text,n\n", "has a header but no rows"),
        ("a.csv", b"\n\n", "has no rows"),
        ("a.csv", b"\xef\xbb\xbf", "holds nothing"),
        ("a.txt", b"\xff\xfe", "holds nothing"),
        ("a.csv", b"a,b\n1,2\n\n3\n", "row 2 (line 4) has 1 fields, but the header has 2"),
        ("a.csv", b'a,b\n"1\n2",2\n3,4,5\n', "row 2 (line 4) has 3 fields, but the header has 2"),
        ("a.csv", b'a,b\n1,2\n3,"4\n5,6\n', "quote that opens in row 2 (line 3) is never closed"),
        ("a.csv", b'a,b\n1,2\n"3,4\n5,6', "quote that opens in row 2 (line 3) is never closed"),
        ("a.csv", b'a,"b\n1,2\n', "quote that opens in the header (line 1) is never closed"),
        ("a.csv", b"a,b,a\n1,2,3\n", "two columns are named 'a'"),
        ("a.tsv", b"a\tb\n1\n", "row 1 (line 2) has 1 fields, but the header has 2"),
        ("a.jsonl", b'{"a": 1}\n\n{"a": 2\n', "line 3 is not JSON"),
        ("a.jsonl", b'{"a": 1}\n[1]\n', "line 2 is a JSON list, not an object"),
        ("a.jsonl", b'{"a": 1}{"a": 2}\n', "line 1 is not JSON (Extra data)"),
        ("a.jsonl", b'{"a": ' + b"[" * 100_000 + b"\n", "line 1 is not JSON"),
        ("a.jsonl", b"\n \n", "has no rows"),
        ("a.jsonl", b"{}\n{}\n", "has no columns"),
        ("a.parquet", b"text\nhello\n", "is not a readable Parquet file ("),
        ("a.parquet", PARQUET.getvalue()[:-20], "is not a readable Parquet file ("),
        ("a.arrow", b"text\nhello\n", "is not a readable Arrow file ("),
        ("a.csv", PARQUET.getvalue(), "is a Parquet file, not text"),
        ("a.csv", b"PK\x03\x04abc", "is a ZIP archive or an Excel workbook, not text"),
        ("a.csv.gz", GZIP.getvalue()[:-30], "is not a readable gzip file ("),
        ("a.csv.gz", GZIP.getvalue()[:30] + b"x" * 99, "is not a readable gzip file ("),
        ("a.csv.zst", ZSTD.getvalue()[:-30], "is not a readable zstd file ("),
        ("a.csv.zst", ZSTD.getvalue()[:30] + b"x" * 99, "is not a readable zstd file ("),
        ("a.csv", random.Random(2).randbytes(5_000), "is not UTF-8: byte 0x"),
    ],
)
def test_bad_file(read: Reader, name: str, content: bytes, problem: str) -> None:
    """A broken file is named, with what is wrong in it and a remedy."""
    with pytest.raises(InputError) as caught:
        read(content, name)
    assert problem in caught.value.problem
    assert name in caught.value.problem
    assert caught.value.remedy.endswith(".")
    assert not caught.value.problem.endswith(".")


def test_missing_file(tmp_path: Path) -> None:
    """A name that is nearly right is suggested."""
    (tmp_path / "questions.csv").write_text("text\nhello\n")
    with pytest.raises(InputError, match=r"questions\.cvs does not exist\. Did you mean .*\.csv\?"):
        read_corpus([tmp_path / "questions.cvs"], ReadOptions())
    with pytest.raises(InputError, match=r"does not exist\. Check the path\."):
        read_corpus([tmp_path / "nowhere" / "x.csv"], ReadOptions())


def test_folder(tmp_path: Path) -> None:
    """A folder is not a file."""
    with pytest.raises(InputError, match="is a folder, not a file"):
        read_corpus([tmp_path], ReadOptions(format=FileFormat.CSV))


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind here")
def test_permission(tmp_path: Path) -> None:
    """A file that may not be read is said to be so."""
    path = tmp_path / "a.csv"
    path.write_text("text\nhello\n")
    path.chmod(0)
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        read_corpus([path], ReadOptions())


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("a.json", "is JSON, not JSON lines"),
        ("a.xlsx", "has a suffix that is not known (.xlsx)"),
        ("a", "has a suffix that is not known (none)"),
        ("-", "stdin needs --format"),
    ],
)
def test_unknown_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, problem: str
) -> None:
    """A name that tells no format asks for --format."""
    monkeypatch.chdir(tmp_path)
    Path(name).write_text("hello")
    with pytest.raises(UsageError) as caught:
        read_corpus([name], ReadOptions())
    assert problem in caught.value.problem
    assert "--format" in str(caught.value)


def test_globs(tmp_path: Path) -> None:
    """Patterns are expanded and sorted; a file that is really named so is taken literally."""
    for name in ("b.csv", "a.csv", "c[1].csv"):
        (tmp_path / name).write_text("text\nhello\n")
    (tmp_path / "d.csv").mkdir()
    names = [Path(path).name for path in expand([f"{tmp_path}/*.csv", tmp_path / "c[1].csv"])]
    assert names == ["a.csv", "b.csv", "c[1].csv", "c[1].csv"]
    with pytest.raises(InputError, match="no file matches"):
        expand([f"{tmp_path}/*.tsv"])
    with pytest.raises(UsageError, match="no input"):
        expand([])


def test_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard input is read where the format is named."""
    stdin = io.TextIOWrapper(io.BytesIO(b"text,n\nhello,1\n"))
    monkeypatch.setattr(sys, "stdin", stdin)
    corpus = read_corpus(["-"], ReadOptions(format=FileFormat.CSV))
    assert corpus.frame.rows() == [("hello", "1")]
    assert corpus.sources[0].path == "-"
    with pytest.raises(InputError, match="stdin is empty"):
        read_corpus(["-"], ReadOptions(format=FileFormat.CSV))


def test_empty_frame() -> None:
    """A frame without rows is refused."""
    with pytest.raises(InputError, match="no rows"):
        corpus_from_frame(pl.DataFrame({"text": []}), ReadOptions())
