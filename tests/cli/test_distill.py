"""``distill``, and a student in the place of any model."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from sbert_cluster.cli.main import run


@pytest.fixture
def student(sample_data, tiny_model, tmp_path):
    folder = tmp_path / "student"
    source = str(sample_data / "questions.csv")
    assert run(["distill", source, "-m", str(tiny_model), "-o", str(folder), "-q"]) == 0
    return folder


def test_a_student_is_written_with_its_measures(student, sample_data, tiny_model, capsys):
    manifest = json.loads((student / "run.json").read_text(encoding="utf-8"))
    assert manifest["command"] == "distill"
    assert 0.5 < manifest["held_out"]["cosine"] <= 1
    assert manifest["counts"]["trained_on"] > 100
    assert "trained on" in (student / "README.md").read_text(encoding="utf-8").lower()
    source = str(sample_data / "questions.csv")
    assert run(["distill", source, "-m", str(tiny_model), "-o", str(student)]) == 4
    assert "already exists" in capsys.readouterr().err


def test_training_is_worth_it(student, sample_data, tiny_model, tmp_path, capsys):
    plain = tmp_path / "plain"
    source = str(sample_data / "questions.csv")
    words = ["distill", source, "-m", str(tiny_model), "-o", str(plain), "--steps", "0", "--json"]
    assert run(words) == 0
    untrained = json.loads(capsys.readouterr().out)["held_out"]["cosine"]
    trained = json.loads((student / "run.json").read_text(encoding="utf-8"))["held_out"]["cosine"]
    assert trained > untrained


@pytest.mark.parametrize("command", ["dedup", "groups", "embed", "search", "info"])
def test_a_student_is_a_model_like_any_other(student, sample_data, tmp_path, command, capsys):
    words = {
        "dedup": [str(sample_data / "questions.csv"), "-o", str(tmp_path / "out")],
        "groups": [str(sample_data / "questions.csv"), "-o", str(tmp_path / "out")],
        "embed": [str(sample_data / "questions.csv"), "-o", str(tmp_path / "out.parquet")],
        "search": [str(sample_data / "questions.csv"), "how do I reset my password"],
        "info": [],
    }[command]
    assert run([command, *words, "--model", str(student)]) == 0
    if command == "embed":
        vectors = pl.read_parquet(tmp_path / "out.parquet")["vector"].drop_nulls().to_numpy()
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    if command == "search":
        assert "password" in capsys.readouterr().out


def test_without_texts_the_vocabulary_alone_is_read(tiny_model, tmp_path, capsys):
    folder = tmp_path / "student"
    assert run(["distill", "-m", str(tiny_model), "-o", str(folder)]) == 0
    assert "student of 1,500 tokens" in capsys.readouterr().err
    assert run(["distill", "-m", str(folder), "-o", str(tmp_path / "again")]) == 2
    assert "static already" in capsys.readouterr().err


def test_fast_from_the_command_line(sample_data, tiny_model, tmp_path, capsys):
    source, out = str(sample_data / "questions.csv"), str(tmp_path / "out")
    assert run(["dedup", source, "--fast", "-m", str(tiny_model), "-o", out]) == 0
    assert "--fast was run in full" in capsys.readouterr().err
    assert run(["dedup", source, "--recall", "0.9", "-o", str(tmp_path / "x")]) == 2
    assert "--recall needs --fast" in capsys.readouterr().err
