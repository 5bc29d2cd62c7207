"""Rows read when they are looked at are the rows that the careful reader reads."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_cluster.corpus import ondemand
from sbert_cluster.corpus.ondemand import FrameRows, open_rows
from sbert_cluster.corpus.reading import read_corpus
from sbert_cluster.errors import InputError
from sbert_cluster.options import ReadOptions

OPTIONS = ReadOptions(text_columns=("text",))


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    """Chunks and blocks so small that rows cross their borders."""
    monkeypatch.setattr(ondemand, "_CHUNK_BYTES", 16)
    monkeypatch.setattr(ondemand, "_SAMPLE_BYTES", 64)
    monkeypatch.setattr(ondemand, "BLOCK_ROWS", 3)


def same_rows(path):
    """Whether both ways of reading give the same; the way that was taken."""
    whole = read_corpus([path], OPTIONS).frame
    rows = open_rows(path, ("text",))
    assert rows.columns == tuple(whole.columns)
    assert len(rows) == whole.height
    blocks = pl.concat(list(rows.blocks(whole.columns)))
    assert blocks.equals(whole)
    order = np.random.default_rng(0).permutation(whole.height)
    assert rows.take(order, whole.columns).equals(whole[order])
    assert rows.take(order[:0], ["text"]).height == 0
    return rows


CELLS = st.text('ab ,;"\n\ré語', max_size=8)


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=12), st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=150)
def test_any_csv_is_read_as_it_is(rows, newline):
    """Quotes, delimiters and line breaks inside cells; both line ends."""
    cells = [tuple('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    lines = ["n,text", *(",".join(row) for row in cells), ""]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "in.csv"
        path.write_text(newline.join(lines), encoding="utf-8", newline="")
        same_rows(path)


@given(st.text('ab,"\n\r', min_size=1, max_size=60))
@settings(max_examples=300)
def test_stray_quotes_are_read_carefully(body):
    """Whatever the bytes: the same rows, or the same refusal."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "in.csv"
        path.write_text("text,n\n" + body, encoding="utf-8", newline="")
        try:
            read_corpus([path], OPTIONS)
        except InputError:
            return
        same_rows(path)


def test_which_files_stay_on_disk(tmp_path):
    """Plain UTF-8 CSV and Parquet do; strays, other encodings and formats are read whole."""
    frame = pl.DataFrame({"n": range(7), "text": ["a", "b,c", 'd "e"', "é", None, "g\nh", "i"]})
    frame.write_csv(tmp_path / "in.csv")
    frame.write_csv(tmp_path / "in.tsv", separator="\t", include_bom=True)
    frame.write_parquet(tmp_path / "in.parquet", row_group_size=2)
    frame.write_ndjson(tmp_path / "in.jsonl")
    (tmp_path / "stray.csv").write_text('n,text\n1,5" pipe\n2,6" pipe\n')
    (tmp_path / "latin.csv").write_bytes("n,text\n1,façade\n".encode("cp1252") * 1)
    for name in ("in.csv", "in.tsv", "in.parquet"):
        assert not isinstance(same_rows(tmp_path / name), FrameRows)
    for name in ("in.jsonl", "stray.csv", "latin.csv"):
        assert isinstance(same_rows(tmp_path / name), FrameRows)
