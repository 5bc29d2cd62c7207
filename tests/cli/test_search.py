"""``search``, and ``dedup`` from finished runs, as people run them."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from sbert_cluster.cli.main import run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a small file."""
    monkeypatch.chdir(tmp_path)
    rows = "id,text\na,one thing\nb,\nc,\x1b[31mred\x1b[0m [bold]x\nd,one thing\n"
    (tmp_path / "in.csv").write_text(rows)
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_hits_are_a_table_on_stdout(capsys, tiny_model):
    """Similarity, row, id and text of each hit; hostile texts do not act."""
    model = ["-m", str(tiny_model), "--id-column", "id"]
    assert run(["search", "in.csv", "one thing", *model]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split() == ["similarity", "row", "id", "text"]
    assert lines[1].split() == ["1.000", "0", "a", "one", "thing"]
    assert lines[2].split() == ["1.000", "3", "d", "one", "thing"]
    assert len(lines) == 4
    assert "\x1b" not in out
    assert "[bold]" in out
    assert "searching" not in out
    assert "text" in err


@pytest.mark.usefixtures("folder")
def test_several_queries_are_several_tables(capsys, tiny_model):
    """Each query stands above its hits, also where it has none."""
    model = ["-m", str(tiny_model), "-q"]
    assert run(["search", "in.csv", "one thing", "zzz", "--threshold", "1", *model]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0] == "one thing"
    assert out.splitlines()[-1] == "zzz"


def test_json_and_files_hold_the_same_hits(folder, capsys, tiny_model):
    """``--json`` is alone on stdout; ``-o`` writes a file, and ``-o -`` the same to stdout."""
    words = ["search", "in.csv", "one thing", "-k", "2", "-q", "-m", str(tiny_model)]
    assert run([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [hit["row"] for hit in told["hits"]] == [0, 3]
    assert told["counts"]["hits"] == 2
    assert run([*words, "-o", "hits.csv"]) == 0
    frame = pl.read_csv(folder / "hits.csv")
    assert frame.columns == ["id", "text", "query", "sbert_row", "sbert_similarity"]
    assert frame["sbert_row"].to_list() == [0, 3]
    assert run([*words, "-o", "hits.csv"]) == 4
    assert "--overwrite" in capsys.readouterr().err
    assert run([*words, "-o", "hits.jsonl"]) == 0
    assert pl.read_ndjson(folder / "hits.jsonl")["sbert_row"].to_list() == [0, 3]


def test_stdout_gets_the_file(folder, capfdbinary, tiny_model):
    """``-o -`` is a filter."""
    words = ["search", "in.csv", "one thing", "-k", "1", "-q", "-m", str(tiny_model), "-o", "-"]
    assert run(words) == 0
    assert pl.read_csv(io.BytesIO(capfdbinary.readouterr().out))["id"].to_list() == ["a"]
    assert {path.name for path in folder.iterdir()} == {"in.csv"}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["search", "in.csv"], "nothing to search for"),
        (["search", "in.csv", ""], "a query is empty"),
        (["search", "gone.csv", "x"], "gone.csv does not exist"),
        (["search", "in.csv", "x", "-k", "0"], "--top 0"),
        (["search", "in.csv", "x", "-t", "2"], "--threshold 2"),
        (["search", "in.csv", "x", "--query-column", "q"], "--queries"),
        (["search", "in.csv", "--queries", "in.csv", "--query-column", "txt"], "'text'"),
        (["dedup"], "no input"),
        (["dedup", "--from", "in.csv", "-t", "0.9"], "not a run folder"),
        (["dedup", "in.csv", "--from", "x", "--update", "y"], "do not go together"),
        (["dedup", "--from", "x", "--dry-run"], "--dry-run"),
        (["dedup", "in.csv", "--update", "x", "-t", "0.5"], "--from"),
    ],
)
def test_wrong_words_are_one_clear_line(capsys, tiny_model, words, said):
    """Each ends in one line, and a code of 2 or 4."""
    assert run([*words, *(["-m", str(tiny_model)] if words[0] == "search" else [])]) in (2, 4)
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("sbert-cluster: error: ")
    assert said in lines[-1]


def test_runs_go_on_from_runs(folder, capsys, sample_data, tiny_model):
    """``--update`` adds rows to a run in its place; ``--from`` decides it anew."""
    shutil.copy(sample_data / "questions.csv", folder / "more.csv")
    shutil.copy(folder / "more.csv", folder / "old.csv")
    assert run(["dedup", "old.csv", "-t", "0.9", "-q", "-m", str(tiny_model)]) == 0
    assert run(["dedup", "--update", "old.dedup", "more.csv", "-q"]) == 4
    assert run(["dedup", "--update", "old.dedup", "more.csv", "-q", "--overwrite"]) == 0
    manifest = json.loads((folder / "old.dedup" / "run.json").read_text(encoding="utf-8"))
    assert manifest["counts"]["rows"] == 2 * 1261
    assert [file["path"] for file in manifest["input"]["files"]] == ["old.csv", "more.csv"]
    assert manifest["arguments"]["threshold"] == 0.9
    capsys.readouterr()
    words = ["dedup", "--from", "old.dedup", "-t", "0.99", "--keep", "last", "-o", "kept.csv"]
    assert run([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["arguments"]["keep"] == "last"
    assert told["counts"]["kept"] == pl.read_csv(folder / "kept.csv").height


def test_dry_run_tells_the_pairs_where_vectors_are_known(folder, capsys, tiny_model):
    """Before anything is encoded it cannot be told; afterwards, or with vectors, it is."""
    words = ["dedup", "in.csv", "--dry-run", "--json", "-m", str(tiny_model)]
    cache = ["--cache-dir", str(folder / "cache")]
    assert run([*words, *cache]) == 0
    assert json.loads(capsys.readouterr().out)["expected"] is None
    assert run(["dedup", "in.csv", "-q", "-m", str(tiny_model), *cache]) == 0
    assert run([*words, *cache, "-t", "0.1"]) == 0
    told = json.loads(capsys.readouterr().out)["expected"]
    assert told["threshold"] == 0.1
    assert told["sampled"] == 2
    frame = pl.DataFrame({"v": [[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]})
    frame.write_parquet(folder / "v.parquet")
    assert run(["dedup", "v.parquet", "--vector-column", "v", "--dry-run"]) == 0
    assert "about 1 (95 % interval 1 to 1)" in capsys.readouterr().out
