"""``groups`` and ``evaluate --clusters`` as people run them."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from sbert_cluster.cli.main import run

TOPICS = ["the zip of my jacket broke", "my parcel came late again", "the tent let the rain in"]
ENDINGS = ["", " today", " twice", " and I am sad", " once more", " in May", " as before", " !"]


@pytest.fixture
def place(tmp_path, monkeypatch, tiny_model):
    """A current folder with a CSV of three topics, and the flags of a quick model."""
    monkeypatch.chdir(tmp_path)
    lines = [f'{k},"{text}{end}"' for k, text in enumerate(TOPICS) for end in ENDINGS * 2]
    (tmp_path / "in.csv").write_text("topic,text\n" + "\n".join(lines) + "\n3,\n", encoding="utf-8")
    return ["--model", str(tiny_model), "--text-column", "text"]


def test_a_run_and_what_follows(place, capsys):
    """Group, look, merge, undo, assign and evaluate, each with its sentence on stderr."""
    assert run(["groups", "in.csv", "--clusters", "3", "--layers", *place]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "49 rows →" in err
    assert "1 row is empty" in err
    assert "report.html" in err
    rows = pl.read_csv("in.groups/rows.csv")
    # The input's own bytes, with four cells more.
    source = Path("in.csv").read_text("utf-8").splitlines()
    written = Path("in.groups/rows.csv").read_text("utf-8").splitlines()
    assert all(new.startswith(f"{old},") for old, new in zip(source, written, strict=True))
    assert rows["sbert_cluster"][-1] == -1

    assert run(["groups", "--from", "in.groups", "--merge", "0,1", "--rename", "0", "[b]Mine"]) == 0
    assert "[b]Mine" in capsys.readouterr().err
    assert set(pl.read_csv("in.groups/rows.csv")["sbert_cluster"]) <= {-1, 0, 2}
    assert run(["groups", "--from", "in.groups", "--undo"]) == 0
    assert "[b]Mine" not in capsys.readouterr().err
    assert run(["groups", "--from", "in.groups", "--undo"]) == 0
    again = pl.read_csv("in.groups/rows.csv")
    assert again["sbert_cluster"].to_list() == rows["sbert_cluster"].to_list()
    assert again["text"].to_list() == rows["text"].to_list()
    assert run(["groups", "--from", "in.groups", "--redo", "-q"]) == 0

    capsys.readouterr()
    assert run(["groups", "--assign", "in.groups", "in.csv"]) == 0
    assert "belong to a group" in capsys.readouterr().err
    assert "sbert_label" in pl.read_csv("in.assigned.csv").columns

    assert run(["evaluate", "--clusters", "in.groups", "--gold", "topic", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["rows"] == 49
    assert run(["evaluate", "--clusters", "in.groups", "--gold", "topic"]) == 0
    assert "ARI" in capsys.readouterr().out


def test_json_and_a_picture(place, capsys):
    """--json prints the manifest alone; --plot draws."""
    code = run(["groups", "in.csv", "--json", "-q", "--plot", "map.svg", "-o", "out", *place])
    assert code == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out)["counts"]["rows"] == 49
    assert "<svg" in Path("map.svg").read_text("utf-8")
    assert run(["groups", "in.csv", "-o", "out", *place]) == 4
    assert "already exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["--method", "hdbscan"],
        ["--method", "agglomerative", "-t", "0.6"],
        ["--method", "kmeans", "--clusters", "3"],
        ["--assign-noise"],
    ],
)
def test_every_method_runs(place, words, capsys):
    """Through the command line, into one file."""
    assert run(["groups", "in.csv", "-o", "rows.jsonl", *words, *place]) == 0
    capsys.readouterr()
    assert pl.read_ndjson("rows.jsonl").height == 49


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["groups"], 2, "no INPUT"),
        (["groups", "in.csv", "--merge", "1,2"], 2, "--from"),
        (["groups", "--from", "run"], 2, "nothing to change"),
        (["groups", "--from", "run", "in.csv", "--undo"], 2, "takes no INPUT"),
        (["groups", "--from", "run", "--undo"], 4, "run"),
        (["groups", "--from", "run", "--merge", "a,b"], 2, "'a,b'"),
        (["groups", "in.csv", "--plot", "map.gif"], 2, ".gif"),
        (["groups", "in.csv", "--clusters", "3", "--method", "hdbscan"], 2, "hdbscan"),
        (["evaluate"], 2, "--clusters"),
        (["evaluate", "--clusters", "run"], 2, "--gold"),
    ],
)
def test_what_cannot_be_followed(words, code, said, capsys):
    """One line that names the value, and the exit code."""
    assert run(words) == code
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_dry_run_computes_nothing(place, tmp_path, capsys):
    """It tells rows and time, and writes nothing."""
    assert run(["groups", "in.csv", "--dry-run", *place]) == 0
    assert "rows" in capsys.readouterr().out
    assert not (tmp_path / "in.groups").exists()
