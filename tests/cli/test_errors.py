"""Bad input: one clear line, the right exit code, nothing written."""

from __future__ import annotations

import gzip
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sbert_cluster.cli.main import run
from sbert_cluster.errors import ExitCode

GOOD = "id,question\n1,How do I pay?\n2,How can I pay?\n"


@dataclass(frozen=True)
class Outcome:
    """What the program left behind."""

    code: int
    out: str
    err: str
    files: set[str]


@pytest.fixture
def dedup(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tiny_model: Path,
) -> Callable[..., Outcome]:
    """Run ``dedup`` in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def dedup(*words: str, model: str = str(tiny_model)) -> Outcome:
        before = {str(p) for p in tmp_path.rglob("*")}
        code = run(["dedup", *words, "--model", model])
        said = capsys.readouterr()
        return Outcome(code, said.out, said.err, {str(p) for p in tmp_path.rglob("*")} - before)

    return dedup


def assert_refused(outcome: Outcome, code: ExitCode, *words: str) -> None:
    """One line of error with the given words, the exit code, and no file."""
    lines = outcome.err.strip().splitlines()
    assert outcome.code == code
    assert len([line for line in lines if line.startswith("sbert-cluster: error: ")]) == 1
    for word in words:
        assert word in lines[-1]
    assert "Traceback" not in outcome.err
    assert outcome.out == ""
    assert outcome.files == set()


def test_missing_file_suggests_the_nearest_name(dedup, tmp_path):
    """A misspelt path is answered with the file that was probably meant."""
    (tmp_path / "questions.csv").write_text(GOOD)
    assert_refused(
        dedup("qestions.csv"), ExitCode.USAGE, "qestions.csv does not exist", "questions.csv"
    )


@pytest.mark.parametrize("name", [".", "sub"])
def test_folder_is_refused(dedup, tmp_path, name):
    """A folder is no input."""
    (tmp_path / "sub").mkdir()
    assert_refused(dedup(name), ExitCode.USAGE, "folder")


@pytest.mark.parametrize(
    "name", ["empty.csv", "empty.jsonl", "empty.parquet", "empty.txt", "empty.arrow"]
)
def test_empty_file_is_refused(dedup, tmp_path, name):
    """A file of 0 bytes says so."""
    (tmp_path / name).write_bytes(b"")
    assert_refused(dedup(name), ExitCode.USAGE, name, "empty")


def test_header_without_rows_is_refused(dedup, tmp_path):
    """A CSV with nothing but a header says so."""
    (tmp_path / "a.csv").write_text("id,question\n")
    assert_refused(dedup("a.csv"), ExitCode.USAGE, "a.csv", "no rows")


def test_no_text_column_lists_the_columns(dedup, tmp_path):
    """Where no column can be the text, the columns are listed."""
    pl.DataFrame({"a": [1, 2], "b": [0.5, 1.5]}).write_parquet(tmp_path / "a.parquet")
    assert_refused(dedup("a.parquet"), ExitCode.USAGE, "no column of texts", "'a'", "'b'")


def test_ambiguous_text_column_asks_for_the_flag(dedup, tmp_path):
    """Where two columns could be the text, the flag that decides is named."""
    rows = {"left": ["a long text of words"] * 3, "right": ["another text of words"] * 3}
    pl.DataFrame(rows).write_csv(tmp_path / "a.csv")
    assert_refused(dedup("a.csv"), ExitCode.USAGE, "--text-column", "left", "right")


@pytest.mark.parametrize(
    "flags",
    [
        ["--text-column", "qestion"],
        ["--id-column", "qestion"],
        ["--keep", "max:qestion"],
        ["--vector-column", "qestion"],
    ],
)
def test_unknown_column_suggests_the_nearest(dedup, tmp_path, flags):
    """Every flag that names a column answers a misspelt one with the nearest."""
    (tmp_path / "a.csv").write_text(GOOD)
    assert_refused(dedup("a.csv", *flags), ExitCode.USAGE, "'qestion'", "'question'")


def test_undecodable_bytes_are_refused(dedup, tmp_path):
    """Bytes that are text in no encoding are named, with what to do."""
    junk = np.random.default_rng(0).integers(0, 256, 5_000).astype(np.uint8).tobytes()
    (tmp_path / "a.csv").write_bytes(b"id,question\n1," + junk)
    assert_refused(dedup("a.csv"), ExitCode.USAGE, "a.csv", "--encoding")


def test_broken_parquet_is_refused(dedup, tmp_path):
    """Half a Parquet file is told apart from a whole one."""
    pl.DataFrame({"text": ["a", "b"] * 100}).write_parquet(tmp_path / "a.parquet")
    data = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(data[: len(data) // 2])
    assert_refused(dedup("a.parquet"), ExitCode.USAGE, "a.parquet", "not a readable Parquet file")


def test_broken_gzip_is_refused(dedup, tmp_path):
    """A download that broke off is not read as if it were whole."""
    data = gzip.compress(GOOD.encode() * 1000)
    (tmp_path / "a.csv.gz").write_bytes(data[: len(data) // 2])
    assert_refused(dedup("a.csv.gz"), ExitCode.USAGE, "a.csv.gz")


@pytest.mark.parametrize("row", ["3,too,many\n", "3\n"])
def test_ragged_csv_names_the_row(dedup, tmp_path, row):
    """A row with more or fewer fields than the header is named by its number."""
    (tmp_path / "a.csv").write_text(GOOD + row)
    assert_refused(dedup("a.csv"), ExitCode.USAGE, "row 3", "line 4")


def test_broken_json_names_the_line(dedup, tmp_path):
    """A line that is no JSON object is named by its number."""
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": \n')
    assert_refused(dedup("a.jsonl"), ExitCode.USAGE, "line 2")


@pytest.mark.parametrize("threshold", ["0", "-0.5", "1.01", "nan"])
def test_threshold_outside_its_range_is_refused(dedup, tmp_path, threshold):
    """A threshold lies in (0, 1]."""
    (tmp_path / "a.csv").write_text(GOOD)
    assert_refused(
        dedup("a.csv", "--threshold", threshold), ExitCode.USAGE, "--threshold", "(0, 1]"
    )


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--keep", "best"], ["--keep 'best'", "longest"]),
        (["--keep", "newest"], ["--keep newest", "newest:COLUMN"]),
        (["--keep", "first:id"], ["takes no column"]),
        (["--keep", "max:question"], ["How do I pay?", "not a number"]),
        (["--keep", "oldest:question"], ["How do I pay?", "ISO 8601"]),
        (["--grouping", "chained"], ["chained", "direct"]),
        (["--device", "tpu"], ["'tpu'", "cpu"]),
        (["--precision", "fp8"], ["fp8", "bf16"]),
        (["--batch-tokens", "0"], ["--batch-tokens"]),
        (["--max-rows-in-memory", "0"], ["--max-rows-in-memory"]),
        (["--max-memory", "plenty"], ["--max-memory", "plenty", "6G"]),
        (["--max-memory", "0"], ["--max-memory"]),
        (["--thresold", "0.9"], ["--thresold", "--threshold"]),
        (["--output", "kept.xlsx"], ["xlsx", ".csv"]),
        (["--encoding", "klingon"], ["klingon"]),
    ],
)
def test_wrong_flag_says_what_is_possible(dedup, tmp_path, flags, words):
    """A value that a flag cannot take is answered with those that it can."""
    (tmp_path / "a.csv").write_text(GOOD)
    assert_refused(dedup("a.csv", *flags), ExitCode.USAGE, *words)


def test_unknown_model_is_refused(dedup, tmp_path):
    """A model that is neither bundled, nor a folder, nor a hub id ends with the model's code."""
    (tmp_path / "a.csv").write_text(GOOD)
    assert_refused(dedup("a.csv", model="no-such-model"), ExitCode.MODEL, "'no-such-model'")


def test_model_without_safetensors_is_refused(dedup, tmp_path, tiny_model):
    """Pickled weights are not loaded."""
    (tmp_path / "a.csv").write_text(GOOD)
    shutil.copytree(tiny_model, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").rename(tmp_path / "model" / "pytorch_model.bin")
    assert_refused(
        dedup("a.csv", model="model"), ExitCode.MODEL, "no safetensors", "pytorch_model.bin"
    )


def test_corrupted_model_is_refused(dedup, tmp_path, tiny_model):
    """A weight file that was cut off is not loaded."""
    (tmp_path / "a.csv").write_text(GOOD)
    shutil.copytree(tiny_model, tmp_path / "model")
    path = tmp_path / "model" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    assert_refused(dedup("a.csv", model="model"), ExitCode.MODEL, "not a readable safetensors file")


def test_absent_gpu_is_refused(dedup, tmp_path):
    """``--device cuda`` without a GPU says so before anything is read."""
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has an NVIDIA GPU")
    (tmp_path / "a.csv").write_text(GOOD)
    assert_refused(dedup("a.csv", "--device", "cuda"), ExitCode.USAGE, "--device cuda", "cpu")


@pytest.mark.parametrize("output", ["a.dedup", "out.csv"])
def test_existing_result_is_not_replaced(dedup, tmp_path, output):
    """What exists stays, unless ``--overwrite`` is given; then it is replaced."""
    (tmp_path / "a.csv").write_text(GOOD)
    target = ["--output", output]
    assert dedup("a.csv", *target).code == 0
    kept = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert_refused(dedup("a.csv", *target), ExitCode.RUN_FOLDER, output, "--overwrite")
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == kept
    assert dedup("a.csv", *target, "--overwrite").code == 0


def test_foreign_folder_is_never_replaced(dedup, tmp_path):
    """``--overwrite`` replaces runs, not somebody's photos."""
    (tmp_path / "a.csv").write_text(GOOD)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"meow")
    outcome = dedup("a.csv", "--output", "photos", "--overwrite")
    assert_refused(outcome, ExitCode.RUN_FOLDER, "photos")
    assert (tmp_path / "photos" / "cat.jpg").read_bytes() == b"meow"


def test_inputs_with_different_columns_are_refused(dedup, tmp_path):
    """Two files that do not fit together are named with the column that differs."""
    (tmp_path / "a.csv").write_text(GOOD)
    (tmp_path / "b.csv").write_text("id,answer\n1,By card.\n")
    assert_refused(dedup("a.csv", "b.csv"), ExitCode.USAGE, "b.csv", "answer")


@pytest.mark.parametrize(
    ("vectors", "word"),
    [
        ([[1.0, 0.0], [float("nan"), 1.0]], "NaN"),
        ([[1.0, 0.0], [1.0]], "1"),
        ([[1.0, float("inf")]], "inf"),
    ],
)
def test_bad_vectors_are_refused(dedup, tmp_path, vectors, word):
    """Vectors with NaN, infinity or unequal lengths are named by their row."""
    frame = pl.DataFrame({"vector": vectors}, schema={"vector": pl.List(pl.Float64)})
    frame.write_parquet(tmp_path / "a.parquet")
    outcome = dedup("a.parquet", "--vector-column", "vector")
    assert_refused(outcome, ExitCode.USAGE, "row", word)


def test_stdin_needs_a_format(dedup):
    """Standard input has no name to tell its format by."""
    assert_refused(dedup("-"), ExitCode.USAGE, "--format")


def test_full_disk_leaves_nothing_behind(tmp_path, tiny_model):
    """When there is no space left, the error says so and no half-written result stays."""
    rows = [f"{i},question number {i} about nothing in particular\n" for i in range(4_000)]
    (tmp_path / "a.csv").write_text("id,question\n" + "".join(rows))

    def limit_file_size() -> None:
        # A file that may not grow meets the same error as one on a full disk.
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    command = [sys.executable, "-m", "sbert_cluster", "dedup", "a.csv", "--no-cache"]
    done = subprocess.run(
        [*command, "--model", str(tiny_model), "--threshold", "1"],
        cwd=tmp_path,
        capture_output=True,
        preexec_fn=limit_file_size,
        env=os.environ,
    )
    assert done.returncode == ExitCode.RUN_FOLDER
    assert b"cannot write" in done.stderr
    assert b"Traceback" not in done.stderr
    assert {p.name for p in tmp_path.iterdir()} == {"a.csv"}


def test_verbose_shows_the_traceback(dedup):
    """Whoever asks sees where an error came from."""
    assert "Traceback" in dedup("nope.csv", "--verbose").err
