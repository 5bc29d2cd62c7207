"""train, calibrate, evaluate and dedup --rerank as people run them, one after the other."""

from __future__ import annotations

import csv
import json
from itertools import combinations
from pathlib import Path

import polars as pl
import pytest

from sbert_cluster.cli.main import run
from sbert_cluster.duplicates.ladder import units_of_texts


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pair_f1(run_folder: Path, sample_data: Path) -> float:
    """F1 of the pairs that a run found, by the gold meanings of the sample."""
    with (sample_data / "questions_gold.csv").open(encoding="utf-8", newline="") as file:
        meaning = {row["id"]: row["meaning"] for row in csv.DictReader(file)}
    frame = pl.read_csv(sample_data / "questions.csv")
    gold = [meaning.get(i, i) for i in frame["id"].to_list()]
    first = units_of_texts([text or "" for text in frame["question"].to_list()]).first.tolist()
    pairs = pl.read_parquet(run_folder / "pairs.parquet")
    found = set(pairs.select("left", "right").rows()) & set(combinations(first, 2))
    by_meaning: dict[str, list[int]] = {}
    for row in first:
        by_meaning.setdefault(gold[row], []).append(row)
    wanted = {pair for rows in by_meaning.values() for pair in combinations(sorted(rows), 2)}
    return 2 * len(found & wanted) / (len(found) + len(wanted))


def test_the_loop_on_the_sample_data(folder, sample_data, capsys):
    """Dedup → labels → train → calibrate → dedup --model: better pairs, and it is said why.

    With the default model, since the tiny one cannot learn what a parcel is.
    """
    questions, labels = str(sample_data / "questions.csv"), str(sample_data / "labelled_pairs.csv")
    assert run(["dedup", questions, "-o", "before"]) == 0
    assert run(["train", labels, "-o", "model", "--epochs", "1", "--batch-size", "32"]) == 0
    assert "threshold" in capsys.readouterr().err
    words = ["calibrate", labels, "-m", "model", "--among-all", "--save", "--plot", "curve.svg"]
    assert run(words) == 0
    said = capsys.readouterr().err
    assert "stored with the model" in said
    assert "577 rows that the model was trained on are left out" in said
    assert (folder / "curve.svg").read_text(encoding="utf-8").startswith("<svg")
    assert run(["dedup", questions, "-m", "model", "-o", "after"]) == 0
    assert "stored with the model" in capsys.readouterr().err
    manifest = json.loads((folder / "after" / "run.json").read_text(encoding="utf-8"))
    stored = json.loads((folder / "model" / "sbert_cluster.json").read_text(encoding="utf-8"))
    assert manifest["arguments"]["threshold"] == stored["calibration"]["threshold"]
    before, after = (pair_f1(folder / name, sample_data) for name in ("before", "after"))
    assert after > before + 0.1
    # The user's threshold counts before the stored one.
    assert run(["dedup", questions, "-m", "model", "-t", "0.99", "-o", "own"]) == 0
    manifest = json.loads((folder / "own" / "run.json").read_text(encoding="utf-8"))
    assert manifest["arguments"]["threshold"] == 0.99


def test_rerank_decides_the_band(folder, sample_data, tiny_model, capsys):
    """Pairs in the band come from the cross-encoder; those above it are not asked about."""
    questions, labels = str(sample_data / "questions.csv"), str(sample_data / "labelled_pairs.csv")
    model = ["-m", str(tiny_model)]
    words = ["train", labels, "-o", "cross", *model, "--cross-encoder", "--learning-rate", "0.01"]
    assert run([*words, "--epochs", "2", "--negatives", "0"]) == 0
    words = ["dedup", questions, *model, "--rerank", "cross", "--band", "0.8", "0.97"]
    assert run([*words, "-o", "run", "--json"]) == 0
    said = capsys.readouterr()
    counts = json.loads(said.out[said.out.index("{") :])["counts"]
    assert "the cross-encoder was asked about" in said.err
    pairs = pl.read_parquet(folder / "run" / "pairs.parquet")
    reranked = pairs.filter(pl.col("reason") == "reranked")
    assert 0 < len(reranked) <= counts["reranked_asked"]
    assert reranked["similarity"].is_between(0.8, 0.97, closed="left").all()
    inside = pl.col("similarity").is_between(0.8, 0.9699, closed="left")
    assert pairs.filter(inside & (pl.col("reason") == "semantic")).is_empty()
    removed = pl.read_csv(folder / "run" / "duplicates.csv")
    assert (removed["sbert_reason"] == "reranked").sum() == counts["removed_reranked"]


@pytest.mark.usefixtures("folder")
def test_it_is_said_where_time_is_short(sample_data, tiny_model, capsys):
    """Few labelled negatives end training before every positive had its turn."""
    frame = pl.read_csv(sample_data / "labelled_pairs.csv")
    same, other = (frame.filter(pl.col("label") == label) for label in (1, 0))
    pl.concat([same, other.head(40)]).write_csv("few.csv")
    words = ["train", "few.csv", "-m", str(tiny_model), "-o", "model"]
    assert run(words) == 0
    assert "those that look unlike are drawn sooner" in capsys.readouterr().err
    assert run([*words, "--epochs", "0.5", "--overwrite"]) == 0
    assert "drawn sooner" not in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_evaluate_prints_markdown_and_json(sample_data, tiny_model, capsys):
    """A row for the model and for each baseline; JSON alone with --json."""
    labels = str(sample_data / "labelled_pairs.csv")
    words = ["evaluate", labels, "-m", str(tiny_model), "--baseline", "tf-idf", "--baseline", "cls"]
    assert run([*words, "--threshold", "0.5"]) == 0
    out = capsys.readouterr().out
    assert out.count("| labelled_pairs.csv |") == 3
    assert "f1_at_0.5" in out
    assert run([*words, "--json", "--folds", "5"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["contender"] for row in told["scores"]] == [str(tiny_model), "tf-idf", "cls"]
    assert set(told["scores"][0]["scores"]) == {"f1", "precision", "recall"}


@pytest.mark.usefixtures("folder")
def test_evaluate_reads_other_kinds(tiny_model, capsys):
    """Scores by year and by topic, triplets, and classes by logistic regression."""
    words = [f"word {i} about {('refund', 'order')[i % 2]}" for i in range(60)]
    scores = pl.DataFrame(
        {
            "sentence1": words,
            "sentence2": words[1:] + words[:1],
            "score": [i % 6 for i in range(60)],
            "year": [2012 + i % 2 for i in range(60)],
        }
    )
    scores.write_parquet("sts.parquet")
    model = ["-m", str(tiny_model), "--json"]
    assert run(["evaluate", "sts.parquet", "--by", "year", *model]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["data"] for row in told["scores"]] == ["sts.parquet: 2012", "sts.parquet: 2013"]
    assert list(told["averages"]) == [str(tiny_model)]
    assert run(["evaluate", "sts.parquet", "--cross-topic", "year", *model]) == 0
    assert "spearman" in json.loads(capsys.readouterr().out)["scores"][0]["scores"]
    columns = {"anchor": words, "positive": [f"{w}!" for w in words], "negative": words[::-1]}
    pl.DataFrame(columns).write_csv("triplets.csv")
    assert run(["evaluate", "triplets.csv", *model]) == 0
    assert json.loads(capsys.readouterr().out)["scores"][0]["scores"]["accuracy"] > 0.9
    classes = pl.DataFrame({"text": words, "label": [i % 2 for i in range(60)]})
    classes.write_csv("classes.csv")
    assert run(["evaluate", "classes.csv", "--transfer", "--folds", "3", *model]) == 0
    assert json.loads(capsys.readouterr().out)["scores"][0]["scores"]["accuracy"] > 60


def test_without_labels_the_bands_are_shown(sample_data, tiny_model, capsys):
    """How many texts have their nearest in which band, and whether random pairs are alike."""
    questions = str(sample_data / "questions.csv")
    assert run(["calibrate", questions, "--unlabelled", "-m", str(tiny_model)]) == 0
    assert "two texts at random" in capsys.readouterr().err
    assert run(["calibrate", questions, "--unlabelled", "-m", str(tiny_model), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert sum(band["rows"] for band in told["bands"]) == told["rows"]


@pytest.mark.parametrize(
    ("words", "told", "code"),
    [
        (["train", "labels.csv", "-o", "m", "--epochs", "0"], "--epochs 0", 2),
        (["train", "labels.csv", "-o", "m", "--precision", "int8"], "not for training", 2),
        (["train", "labels.csv", "-o", "m", "--where", "label"], "no condition", 2),
        (["train", "labels.csv", "-o", "m", "--where", "label=7"], "no rows where", 2),
        (["train", "labels.csv", "-o", "m", "--freeze", "9"], "leaves nothing to train", 2),
        (["train", "labels.csv", "-o", "m", "--objective", "triplet"], "does not fit", 2),
        (["train", "three.csv", "-o", "m"], "3 usable rows", 2),
        (["calibrate", "ones.csv"], "all 20 pairs have the label 1", 2),
        (["calibrate", "labels.csv", "--target-precision", "1.5"], "outside (0, 1]", 2),
        (["calibrate", "labels.csv", "--save", "-m", "all-MiniLM-L6-v2"], "no model folder", 3),
        (["evaluate", "labels.csv", "--baseline", "magic"], "not known", 2),
        (["dedup", "labels.csv", "--band", "0.5", "0.9"], "--band needs", 2),
        (["dedup", "labels.csv", "-c", "text_a", "--rerank", "labels"], "no folder of a cross", 3),
    ],
)
def test_mistakes_end_in_one_line(folder, tiny_model, capsys, words, told, code):
    """What is wrong and what to do; no traceback, no model folder."""
    frame = pl.DataFrame(
        {
            "text_a": [f"first text {i}" for i in range(20)],
            "text_b": [f"other text {i}" for i in range(20)],
            "label": [i % 2 for i in range(20)],
        }
    )
    frame.write_csv("labels.csv")
    frame.head(3).write_csv("three.csv")
    frame.with_columns(label=1).write_csv("ones.csv")
    model = [] if "-m" in words else ["-m", str(tiny_model)]
    assert run([*words, *model]) == code
    said = capsys.readouterr().err
    assert told in said
    assert "Traceback" not in said
    assert not (folder / "m").exists()
