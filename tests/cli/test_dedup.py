"""``dedup`` as people run it: what it prints, what it writes, what it leaves alone."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from pathlib import Path

import polars as pl
import pytest

from sbert_cluster.cli.main import run

HOSTILE = [
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07 and \x1b]8;;https://example.org\x07link\x1b]8;;\x07",
    "[bold red]markup[/] [link=https://example.org]x[/link]",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "</script><!--",
    '=HYPERLINK("https://example.org")',
    "+1+1",
    "@SUM(A1)",
    "\u202egnihton\u202c",
    "a\rb\nc\r\nd\te\x00f\x07g\x9bh",
    '"quoted", and, comma',
]


def rows_of(count: int) -> list[str]:
    """That many different texts, each hostile in one way and stuffed with control characters."""
    return [
        f"{HOSTILE[i % len(HOSTILE)]} {chr(i % 32)}{chr(128 + i % 32)} {i}" for i in range(count)
    ]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_run_folder_holds_what_the_contract_says(folder, sample_data, capsys):
    """A run with the default model finds the sample's duplicates and writes five files."""
    source = (sample_data / "questions.csv").read_bytes()
    (folder / "questions.csv").write_bytes(source)
    assert run(["dedup", "questions.csv", "--threshold", "0.9", "--id-column", "id"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "1,261 rows" in err
    written = folder / "questions.dedup"
    assert {p.name for p in written.iterdir()} == {
        "kept.csv",
        "duplicates.csv",
        "pairs.parquet",
        "report.html",
        "run.json",
    }
    assert {p.name for p in folder.iterdir()} == {"questions.csv", "questions.dedup"}
    assert (folder / "questions.csv").read_bytes() == source
    counts = json.loads((written / "run.json").read_text(encoding="utf-8"))["counts"]
    assert counts["exact_duplicates"] == 80
    assert counts["kept"] + counts["removed"] == counts["rows"] == 1261
    removed = pl.read_csv(written / "duplicates.csv")
    assert removed.height == counts["removed"]
    assert set(removed["sbert_reason"]) == {"exact", "normalised", "semantic"}
    assert removed["sbert_similarity"].min() >= 0.9


def test_json_is_alone_on_stdout(folder, sample_data, capsys, tiny_model):
    """``--json`` prints the manifest and nothing else; it equals the file."""
    words = [
        "dedup",
        str(sample_data / "questions.csv"),
        "--json",
        "-o",
        "run",
        "-m",
        str(tiny_model),
    ]
    assert run(words) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == json.loads((folder / "run" / "run.json").read_text(encoding="utf-8"))
    assert "rows" in err


@pytest.mark.usefixtures("folder")
def test_quiet_says_nothing(sample_data, capsys, tiny_model):
    """``--quiet`` leaves both streams empty."""
    words = ["dedup", str(sample_data / "questions.csv"), "-q", "-o", "run", "-m", str(tiny_model)]
    assert run(words) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("folder")
def test_stdin_to_stdout_is_a_filter(tiny_model, monkeypatch, capfdbinary):
    """With ``-`` for both, rows flow through and keep their bytes."""
    data = 'id,text\r\n1,same\r\n2,same\r\n3,"other, one"\r\n'.encode("utf-16")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert (
        run(["dedup", "-", "--format", "csv", "-o", "-", "-q", "-t", "1", "-m", str(tiny_model)])
        == 0
    )
    expected = 'id,text\r\n1,same\r\n3,"other, one"\r\n'
    assert capfdbinary.readouterr().out.decode("utf-16") == expected


@pytest.mark.parametrize(
    "suffix", [".csv", ".tsv", ".jsonl", ".parquet", ".arrow", ".csv.gz", ".txt"]
)
def test_output_file_holds_the_kept_rows(folder, tiny_model, suffix):
    """``-o FILE`` writes just the rows that stay, in the format of the name."""
    pl.DataFrame({"text": ["same", "same", "quite another"]}).write_parquet("in.parquet")
    assert (
        run(["dedup", "in.parquet", "-o", f"kept{suffix}", "-t", "1", "-m", str(tiny_model)]) == 0
    )
    data = (folder / f"kept{suffix}").read_bytes()
    data = gzip.decompress(data) if suffix.endswith("gz") else data
    reader = {
        ".parquet": pl.read_parquet,
        ".arrow": pl.read_ipc,
        ".jsonl": pl.read_ndjson,
        ".txt": lambda file: pl.DataFrame({"text": file.read().decode().splitlines()}),
    }.get(suffix, pl.read_csv)
    assert reader(io.BytesIO(data))["text"].to_list() == ["same", "quite another"]


def test_several_files_and_globs_are_one_input(folder, tiny_model):
    """Rows of all files are compared with each other, in the order of their names."""
    for name, text in (("b.csv", "same"), ("a.csv", "same"), ("c.csv", "another")):
        (folder / name).write_text(f"text\n{text}\n")
    assert run(["dedup", "*.csv", "-o", "run", "-t", "1", "-m", str(tiny_model)]) == 0
    manifest = json.loads((folder / "run" / "run.json").read_text(encoding="utf-8"))
    assert [f["path"] for f in manifest["input"]["files"]] == ["a.csv", "b.csv", "c.csv"]
    assert manifest["counts"]["removed"] == 1


def test_against_removes_only_what_the_other_file_holds(folder, capsys, tiny_model):
    """Rows that repeat the reference go; repeats among themselves stay."""
    (folder / "train.csv").write_text("text\nThe first one\nThe second one\n")
    (folder / "test.csv").write_text("text\nthe SECOND one!\nfresh\nfresh\n\n")
    words = ["dedup", "test.csv", "--against", "train.csv", "-t", "1", "-m", str(tiny_model)]
    assert run(words) == 0
    removed = pl.read_csv(folder / "test.dedup" / "duplicates.csv")
    assert removed.select("text", "sbert_duplicate_of", "sbert_reason").rows() == [
        ("the SECOND one!", 1, "normalised")
    ]
    assert "repeats a row of" in capsys.readouterr().err


def test_own_vectors_need_no_model(folder, capsys):
    """With ``--vector-column`` nothing is encoded, and an unknown model does not matter."""
    frame = pl.DataFrame({"name": ["a", "b", "c"], "v": [[1.0, 0.0], [2.0, 0.1], [0.0, 3.0]]})
    frame.write_parquet("in.parquet")
    assert run(["dedup", "in.parquet", "--vector-column", "v", "-m", "none", "--json"]) == 0
    manifest = json.loads(capsys.readouterr().out)
    assert manifest["counts"]["removed"] == 1
    assert manifest["model"]["dimensions"] == 2
    kept = pl.read_parquet(folder / "in.dedup" / "kept.parquet")
    assert kept.equals(frame[[0, 2]])


@pytest.mark.parametrize("rows", ["only one row\n", "\n", "same\nsame\n"])
def test_tiny_inputs_work(folder, tiny_model, rows):
    """One row, one empty row and two copies are inputs like any other."""
    (folder / "in.txt").write_text(rows)
    assert run(["dedup", "in.txt", "-m", str(tiny_model)]) == 0
    assert (folder / "in.dedup" / "kept.txt").read_text() == rows.splitlines(keepends=True)[0]


def test_dry_run_computes_and_writes_nothing(folder, sample_data, capsys, tiny_model):
    """``--dry-run`` tells rows, time and memory, and leaves no file, not even in the cache."""
    cache = folder / "cache"
    words = ["dedup", str(sample_data / "questions.csv"), "--dry-run", "-m", str(tiny_model)]
    assert run([*words, "--cache-dir", str(cache)]) == 0
    out = capsys.readouterr().out
    assert "1,261 (6 empty)" in out
    assert "memory" in out
    assert list(folder.rglob("*")) == []
    assert run([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pairs"] == 1175 * 1174 // 2


def test_hostile_texts_come_out_unchanged_and_harmless(folder, capsys, tiny_model):
    """100,000 rows of control characters, escapes, markup, HTML and formulas do no harm."""
    texts = rows_of(99_000) + rows_of(1_000)
    pl.DataFrame({"text": texts}).write_csv("in.csv")
    assert run(["dedup", "in.csv", "-t", "1", "-m", str(tiny_model)]) == 0
    said = capsys.readouterr().err
    assert not set(said) & {chr(c) for c in (*range(10), *range(11, 32), *range(127, 160))}
    assert "\u202e" not in said
    page = (folder / "in.dedup" / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    # Kept and removed rows, put back in their places, are the input.
    rows = [text for (text,) in records(folder / "in.dedup" / "kept.csv")[1:]]
    removed = records(folder / "in.dedup" / "duplicates.csv")[1:]
    assert len(removed) >= 1_000
    for text, row, *_ in removed:
        rows.insert(int(row), text)
    assert rows == texts


def records(path: Path) -> list[list[str]]:
    """All records of a CSV file, by Python's own reader."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_embed_writes_a_vector_a_row(folder, tiny_model, capsys):
    """Vectors are unit-norm, joinable by row and id, and null for an empty text."""
    (folder / "in.csv").write_text("id,text\na,first\nb,\nc,third\n")
    words = [
        "embed",
        "in.csv",
        "-o",
        "v.parquet",
        "--id-column",
        "id",
        "-m",
        str(tiny_model),
        "--json",
    ]
    assert run(words) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["empty"] == 1
    frame = pl.read_parquet(folder / "v.parquet")
    assert frame.columns == ["sbert_row", "id", "vector", "truncated"]
    assert frame["vector"].dtype == pl.Array(pl.Float32, 32)
    assert frame["vector"].is_null().to_list() == [False, True, False]
    assert sum(x * x for x in frame["vector"][0]) == pytest.approx(1, abs=1e-6)
    # What embed writes is what --vector-column reads.
    assert run(["dedup", "v.parquet", "--vector-column", "vector"]) == 0


def test_info_tells_model_device_and_cache(folder, capsys, tiny_model):
    """``info`` names what would run; ``--clear-cache`` empties the cache."""
    (folder / "in.txt").write_text("a text\n")
    cache = ["--cache-dir", str(folder / "cache")]
    assert run(["dedup", "in.txt", "-m", str(tiny_model), *cache]) == 0
    capsys.readouterr()
    assert run(["info", "--json", "-m", str(tiny_model), *cache]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["cache_vectors"] == 1
    assert told["cache_bytes"] > 0
    assert told["device"] in ("cpu", "cuda:0", "mps")
    assert run(["info", "--clear-cache", *cache]) == 0
    assert run(["info", *cache]) == 0
    assert "0 vectors" in capsys.readouterr().out
