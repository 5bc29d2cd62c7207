"""Fine-tuning on Quora questions by the tool's own commands, and a cross-encoder beside the model.

Trained on the train part, measured on pairs of the dev part whose source holds both labels: its
texts stand in no pair of the train part. Seconds are of the whole command on a machine that may be
busy; processor seconds are of all its threads.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import KEPT_VARIABLE, ROOT, Report, Settings, Table, recorded, say
from benchmarks.texts import FOLDER_VARIABLE, data_folder, read
from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.evaluation.pairs import (
    at_threshold,
    gain_in_average_precision,
    paired_gain,
    score_pairs,
)
from sbert_cluster.evaluation.sts import row_cosines
from sbert_cluster.options import DEFAULT_MODEL, EncodeOptions, Precision

_FILES = ("qqp_train.parquet", "qqp_dev.parquet")
_FEW = 300
_QUICK = ("--epochs", "0.05")
_SPREAD = 0.05
"""Half of the band, around the model's own threshold, in which the cross-encoder is asked."""

_Truth = NDArray[np.bool_]
_Scores = NDArray[np.float64]


@dataclass(frozen=True)
class _Ran:
    """A command that was run."""

    command: str
    seconds: float
    processor_seconds: float | None
    """Of all threads; None: trained before, so only what it says of itself is known."""


def run(settings: Settings) -> Report:
    """Train and measure; quick: a few steps each."""
    title = "Fine-tuning on Quora questions"
    missing = [file for file in _FILES if not (data_folder() / file).exists()]
    if missing:
        note = f"Skipped: {', '.join(missing)} missing; {FOLDER_VARIABLE} names their folder."
        say(note)
        return Report(title, {}, [], [note])
    kept = os.environ.get(KEPT_VARIABLE)
    with tempfile.TemporaryDirectory() as work:
        bench = _Bench(Path(kept) if kept and not settings.quick else Path(work), settings)
        results = recorded("finetune") if settings.only else {}
        for name, race in (("pairs", bench.measured), ("rerank", bench.reranked)):
            if settings.wants(name):
                results[name] = race()
    return Report(title, results, _tables(results), [" ".join((__doc__ or "").split())])


class _Bench:
    """Models by name, each trained by one command.

    Args:
        folder: Of the models.
        settings: Of the benchmark.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        import polars as pl

        self._folder, self._quick, self._device = folder, settings.quick, settings.device
        folder.mkdir(parents=True, exist_ok=True)
        dev = read(data_folder() / "qqp_dev.parquet")
        self._dev = dev.filter(pl.col("source") == "first_rows")
        self._truth: _Truth = self._dev["is_duplicate"].to_numpy() == 1

    def measured(self) -> dict[str, Any]:
        """Average precision and F1 before and after, all labels and few."""
        before = self._cosines(DEFAULT_MODEL)
        scored = asdict(score_pairs(before, self._truth))
        found: dict[str, Any] = {DEFAULT_MODEL: {"scores": scored, "pairs": 0}}
        for name, pairs in (("all", self._all()), ("300", self._some())):
            ran = self._trained(name, pairs)
            after = self._cosines(str(self._folder / name))
            found[name] = {
                "ran": asdict(ran),
                "pairs": self._manifest(name)["counts"]["rows"],
                "scores": asdict(score_pairs(after, self._truth)),
                "gain": asdict(gain_in_average_precision(before, after, self._truth)),
            }
        return found

    def reranked(self) -> dict[str, Any]:
        """``dedup`` with and without a cross-encoder, on the questions of the dev pairs."""
        model = str(self._folder / "all")
        ran = self._trained(
            "cross", [*self._all(), "--model", model, "--cross-encoder", "--negatives", "0"]
        )
        middle = float(self._manifest("all")["calibration"]["threshold"])
        band = [f"{edge:.3f}" for edge in (middle - _SPREAD, min(middle + _SPREAD, 1.0))]
        words = ["dedup", str(self._questions()), "--threshold", f"{middle:.3f}", "--no-cache"]
        words += ["--model", model, "--overwrite"]
        more = ["--rerank", str(self._folder / "cross"), "--band", *band]
        found: dict[str, Any] = {"trained": asdict(ran), "held_out": self._held_out("cross")}
        repeats = 1 if self._quick else 3
        seconds: dict[str, list[float]] = {"without": [], "with": []}
        for _ in range(repeats):
            for name, command in (("without", words), ("with", [*words, *more])):
                output = self._folder / f"run-{name}"
                seconds[name].append(self._command([*command, "-o", str(output)]).seconds)
        joined = {}
        for name in seconds:
            output = self._folder / f"run-{name}"
            counts = json.loads((output / "run.json").read_text(encoding="utf-8"))["counts"]
            joined[name] = self._joined(output)
            said = asdict(at_threshold(joined[name], self._truth, 1.0))
            found[name] = {"seconds": seconds[name], "counts": counts, **said}
        gain = paired_gain(_f1, joined["without"], joined["with"], self._truth)
        found["gain_in_f1"] = asdict(gain)
        return found

    def _all(self) -> list[str]:
        return [str(data_folder() / "qqp_train.parquet")]

    def _some(self) -> list[str]:
        import polars as pl

        train = read(data_folder() / "qqp_train.parquet")
        some = train.filter(pl.col("source") == "first_rows").sample(_FEW, seed=1)
        path = self._folder / f"{_FEW}.parquet"
        some.select("question1", "question2", "is_duplicate").write_parquet(path)
        return [str(path)]

    def _trained(self, name: str, words: list[str]) -> _Ran:
        """Train a model, or take the one that is there."""
        folder, note = self._folder / name, self._folder / f"{name}.json"
        if note.exists():
            return _Ran(**json.loads(note.read_text(encoding="utf-8")))
        if (folder / "run.json").exists():
            return _Ran("trained before", self._manifest(name)["timings_s"]["total"], None)
        quick = _QUICK if self._quick else ()
        ran = self._command(["train", *words, *quick, "-o", str(folder), "--overwrite"])
        note.write_text(json.dumps(asdict(ran)), encoding="utf-8")
        return ran

    def _command(self, words: list[str]) -> _Ran:
        words = [*words, "--device", self._device]
        said = " ".join(Path(w).name if os.sep in w else w for w in words)
        say(f"sbert-cluster {said}")
        begun, used = time.perf_counter(), _processor_seconds()
        subprocess.run(  # noqa: S603 - this program, with words from here
            [sys.executable, "-m", "sbert_cluster", *words, "--quiet"], check=True, cwd=ROOT
        )
        seconds = time.perf_counter() - begun
        return _Ran(f"sbert-cluster {said}", seconds, _processor_seconds() - used)

    def _cosines(self, model: str) -> _Scores:
        options = EncodeOptions(
            model=model, device=self._device, precision=Precision.FP32, use_cache=False
        )
        texts = self._dev["question1"].to_list() + self._dev["question2"].to_list()
        vectors = Encoder.open(options).encode(texts).vectors
        return row_cosines(vectors[: len(self._dev)], vectors[len(self._dev) :])

    def _questions(self) -> Path:
        import polars as pl

        both = pl.concat([self._dev["question1"], self._dev["question2"]])
        path = self._folder / "questions.parquet"
        pl.DataFrame({"question": both.unique(maintain_order=True)}).write_parquet(path)
        return path

    def _joined(self, output: Path) -> _Scores:
        """1 for each labelled pair that a run found, 0 for the others."""
        texts = read(self._folder / "questions.parquet")["question"].to_list()
        row = {text: i for i, text in enumerate(texts)}
        pairs = read(output / "pairs.parquet")
        there = set(zip(pairs["left"].to_list(), pairs["right"].to_list(), strict=True))
        found = []
        for left, right in self._dev.select("question1", "question2").iter_rows():
            a, b = sorted((row[left], row[right]))
            found.append((a, b) in there)
        return np.array(found, np.float64)

    def _manifest(self, name: str) -> dict[str, Any]:
        read_: dict[str, Any] = json.loads(
            (self._folder / name / "run.json").read_text(encoding="utf-8")
        )
        return read_

    def _held_out(self, name: str) -> Any:
        return self._manifest(name)["held_out"]


def _f1(joined: _Scores, truth: _Truth) -> float:
    return at_threshold(joined, truth, 1.0).f1


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _tables(results: dict[str, Any]) -> list[Table]:
    rows = []
    for name, found in results["pairs"].items():
        scores, gain = found["scores"], found.get("gain")
        said = f"{gain['low']:+.3f} to {gain['high']:+.3f}" if gain else ""
        minutes = f"{found['ran']['seconds'] / 60:.1f}" if gain else ""
        values = [f"{scores['average_precision']:.4f}", said, f"{scores['best_f1']:.4f}", minutes]
        rows.append([name, f"{found['pairs']:,}", *values])
    headers = ["", "pairs", "average precision", "95 % of the gain", "best F1", "minutes"]
    first = Table("Quora pairs, dev", headers, rows)
    rows = []
    for name in ("without", "with"):
        found = results["rerank"][name]
        scores = [f"{found[key]:.4f}" for key in ("precision", "recall", "f1")]
        asked = f"{found['counts'].get('reranked_asked', 0):,}"
        rows.append([name, *scores, asked, f"{float(np.median(found['seconds'])):.1f}"])
    gain = results["rerank"]["gain_in_f1"]
    said = f"{gain['low']:+.4f} to {gain['high']:+.4f}"
    rows.append(["95 % of the gain", "", "", said, "", ""])
    headers = ["cross-encoder", "precision", "recall", "F1", "pairs asked about", "seconds"]
    return [first, Table("dedup on the questions of the dev pairs", headers, rows)]
