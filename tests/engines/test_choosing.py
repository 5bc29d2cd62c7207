"""``--engine`` on the command line: what it refuses, and that the files do not depend on it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from sbert_cluster.cli.main import run
from sbert_cluster.engines import HERE, open_engine
from sbert_cluster.engines.ray import cluster as cluster_module
from sbert_cluster.engines.ray import engine as engine_module
from sbert_cluster.errors import TextError, UsageError
from sbert_cluster.neighbors import join
from sbert_cluster.options import LOCALLY


@pytest.fixture
def words(sample_data, tiny_model, tmp_path, monkeypatch):
    """Command and input → the words of a command line, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def words(command, *more):
        path = str(sample_data / "questions.csv")
        return [command, path, *more, "--model", str(tiny_model), "--no-cache", "-q"]

    return words


def test_local_engine_is_the_default():
    with open_engine(LOCALLY) as engine:
        assert engine is HERE


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--workers", "2"], "--workers 2 does not go with --engine local"),
        (["--address", "auto"], "--address auto does not go with --engine local"),
        (["--engine", "ray", "--workers", "0"], "--workers 0 is below 1"),
        (["--engine", "ray", "--address", "ray://head:10001"], "Ray client"),
        (["--engine", "spark"], "spark"),
    ],
)
def test_engines_that_cannot_be(words, capsys, tmp_path, more, told):
    """One line, exit code 2, nothing written."""
    assert run(words("dedup", *more)) == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["dedup", "groups", "embed", "search"])
def test_without_ray_it_says_what_to_install(words, capsys, monkeypatch, command):
    """Ray is an extra."""
    monkeypatch.setitem(sys.modules, "ray", None)
    more = {"embed": ["-o", "v.parquet"], "search": ["refund"]}.get(command, [])
    assert run(words(command, *more, "--engine", "ray")) == 2
    assert "pip install 'sbert-cluster[ray]'" in capsys.readouterr().err


@pytest.mark.usefixtures("on_ray")
@pytest.mark.parametrize(
    ("command", "more", "files"),
    [
        ("dedup", ["-t", "0.8"], ["kept.csv", "duplicates.csv", "pairs.parquet"]),
        ("groups", [], ["rows.csv", "clusters.csv", "base.parquet", "centres.parquet"]),
    ],
)
def test_run_folders_are_the_same(words, command, more, files, tmp_path, monkeypatch):
    """File by file, byte by byte."""
    monkeypatch.setattr(engine_module, "WORTH_PRODUCTS", 1)
    monkeypatch.setattr(join, "TILE_ROWS", 256)
    monkeypatch.setattr(join, "STRIP_ROWS", 64)
    if command == "groups":  # what actors encode, the other one shows
        monkeypatch.setattr(engine_module, "FEW_TEXTS", 10_000)
    assert run(words(command, *more, "-o", "here")) == 0
    assert run(words(command, *more, "-o", "there", "--engine", "ray")) == 0
    for name in files:
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()


@pytest.mark.usefixtures("on_ray")
def test_vectors_and_hits_are_the_same(words, monkeypatch, sample_data, capsys):
    """Of ``embed``, and of ``search`` with many queries."""
    monkeypatch.setattr(engine_module, "WORTH_PRODUCTS", 1)
    for engine in ("local", "ray"):
        assert run(words("embed", "-o", f"{engine}.parquet", "--engine", engine)) == 0
    monkeypatch.setattr(engine_module, "FEW_TEXTS", 10_000)
    queries = ["--queries", str(sample_data / "questions.csv"), "-k", "3"]
    for engine in ("local", "ray"):
        more = ["--engine", engine]
        assert run(words("search", *queries, "-o", f"{engine}.hits.parquet", *more)) == 0
        assert run(words("search", *queries[:2], "-t", "0.9", "-o", f"{engine}.csv", *more)) == 0
    assert not capsys.readouterr().err
    for name in ("{}.parquet", "{}.hits.parquet"):
        one, other = (pl.read_parquet(name.format(engine)) for engine in ("local", "ray"))
        assert one.equals(other)
    assert Path("local.csv").read_bytes() == Path("ray.csv").read_bytes()


@pytest.mark.usefixtures("on_ray")
def test_finished_run_goes_on_with_it(words, tmp_path, monkeypatch):
    """``--from`` takes the engine as well."""
    monkeypatch.setattr(engine_module, "FEW_TEXTS", 10_000)
    assert run(words("dedup", "-t", "0.8", "-o", "run")) == 0
    for engine in ("local", "ray"):
        lower = ["dedup", "--from", "run", "-t", "0.7", "-o", engine, "-q", "--no-cache"]
        assert run([*lower, "--engine", engine]) == 0
    one, other = (tmp_path / engine / "pairs.parquet" for engine in ("local", "ray"))
    assert one.read_bytes() == other.read_bytes()


def test_what_runs_only_here_refuses_it(words, capsys):
    """Nothing is silently ignored."""
    assert run(words("groups", "--assign", "run", "--engine", "ray")) == 2
    assert "--engine ray does not go with --assign" in capsys.readouterr().err


def test_workers_are_shared_out():
    """Evenly, and no machine gets more than it has cores."""
    share = cluster_module._shared_out
    cores = {"a": 4, "b": 1, "c": 16}
    assert share(cores, None) == [("a", 4), ("b", 1), ("c", 16)]
    assert share(cores, 5) == [("a", 2), ("b", 1), ("c", 2)]
    assert share(cores, 2) == [("a", 1), ("b", 1)]
    assert share(cores, 99) == [("a", 4), ("b", 1), ("c", 16)]


def test_errors_travel_between_processes():
    """With both sentences, and the position."""
    import pickle

    plain = pickle.loads(pickle.dumps(UsageError("it is wrong", "Do it right.")))
    assert (type(plain), plain.problem, plain.remedy) == (UsageError, "it is wrong", "Do it right.")
    text = pickle.loads(pickle.dumps(TextError(7, "why")))
    assert (text.position, text.reason, str(text)) == (7, "why", str(TextError(7, "why")))
    assert "row 12 " in str(text.in_row(12))


@pytest.mark.usefixtures("on_ray")
def test_no_cluster_at_an_address(sample_data):
    """Nobody answers there: one sentence, and not Ray's traceback."""
    words = ["dedup", str(sample_data / "questions.csv"), "--engine", "ray", "-q"]
    done = subprocess.run(
        [sys.executable, "-m", "sbert_cluster", *words, "--address", "127.0.0.1:1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "no Ray cluster can be used at 127.0.0.1:1" in done.stderr.splitlines()[-1]
