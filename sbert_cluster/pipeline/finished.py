"""A run folder as a start: what it was made of and with, and what it found."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import polars as pl

from sbert_cluster.errors import InputError, RunFolderError, UsageError
from sbert_cluster.options import DedupOptions, Grouping, KeepRule, OutputOptions
from sbert_cluster.pipeline.comparing import Known
from sbert_cluster.pipeline.dedup import Job
from sbert_cluster.pipeline.shared import (
    Shared,
    SharedEngine,
    encode_options,
    engine_options,
    read_options,
)
from sbert_cluster.progress import Progress
from sbert_cluster.runs import read_manifest
from sbert_cluster.types import Pairs, Reason

_FIXED = (
    "text_column", "format", "encoding", "model", "prompt", "dimensions", "long_texts", "precision",
)  # fmt: skip
"""What the pairs of a run rest on."""


@dataclass(frozen=True)
class FinishedRun:
    """A run of ``dedup`` that was written to a folder."""

    folder: Path
    """Where it lies."""
    manifest: dict[str, Any]
    """Its ``run.json``."""
    files: list[str]
    """Its input files, where they lie now; unchanged."""
    against: list[str] | None
    """Those of ``--against``, likewise."""

    @classmethod
    def open(cls, folder: str | Path) -> FinishedRun:
        """Open a run folder and check that its input is still the same.

        Raises:
            RunFolderError: If it is no run of ``dedup``, or not one that this program can read.
            InputError: If an input file is gone or has changed.
        """
        folder = Path(folder)
        manifest = read_manifest(folder)
        if manifest.get("command") != "dedup" or not (folder / "pairs.parquet").is_file():
            raise RunFolderError(
                f"{folder} holds no finished run of dedup", "Name a run folder that dedup wrote."
            )
        if "pairs_rescored" not in manifest["search"] or "nearest" not in manifest:
            raise RunFolderError(
                f"{folder} was written by an older version", "Run dedup anew on its input."
            )
        if manifest["arguments"].get("rerank"):
            raise UsageError(
                f"in {folder} a cross-encoder decided, and what it refused is not stored",
                "Run dedup anew on its input.",
            )
        if not manifest["search"]["exhaustive"]:
            raise UsageError(
                f"{folder} was made with --fast, so not all of its pairs are known",
                "Run dedup anew on its input, with --fast or without.",
            )
        other = manifest.get("against")
        return cls(
            folder,
            manifest,
            _checked(folder, manifest["input"]),
            _checked(folder, other) if other else None,
        )

    @property
    def threshold(self) -> float:
        """What it was made with."""
        return float(self.manifest["arguments"]["threshold"])

    @property
    def rows(self) -> int:
        """Rows of its input."""
        return int(self.manifest["input"]["rows"])

    def known(self) -> Known:
        """Its pairs.

        Raises:
            RunFolderError: If they cannot be read, or do not fit the manifest.
        """
        try:
            frame = pl.read_parquet(self.folder / "pairs.parquet")
            words = [reason.word for reason in Reason]
            reason = frame["reason"].replace_strict(words, range(len(words)), return_dtype=pl.UInt8)
            left, right, similarity = (
                frame[name].to_numpy() for name in ("left", "right", "similarity")
            )
            pairs = Pairs(left, right, similarity, reason.to_numpy())
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self._spoiled(str(error).splitlines()[0]) from error
        if len(pairs) != self.manifest["counts"]["pairs"]:
            raise self._spoiled(
                f"{len(pairs):,} pairs instead of {self.manifest['counts']['pairs']:,}"
            )
        search = self.manifest["search"]
        return Known(
            rows=self.rows,
            pairs=pairs,
            borderline=search["borderline"],
            scored=search["pairs_scored"],
            rescored=search["pairs_rescored"],
            text_columns=tuple(self.manifest["input"]["text_columns"]),
            model_key=self.manifest["model"]["key"],
            name=str(self.folder),
        )

    def job(
        self,
        shared: Mapping[str, object],
        *,
        threshold: float | None,
        keep: str | None,
        grouping: str | None,
        write: OutputOptions,
        seed: int | None,
        yes: bool,
        progress: Progress,
    ) -> Job:
        """The same run again, but for what is given anew.

        Raises:
            UsageError: If something is given anew on which the pairs rest.
        """
        before = self.manifest["arguments"]
        own = self._shared(shared)
        decide = DedupOptions(
            threshold=self.threshold if threshold is None else threshold,
            keep=KeepRule.parse(before["keep"] if keep is None else keep),
            grouping=Grouping(before["grouping"] if grouping is None else grouping),
        )
        return Job(
            read_options(own, self.manifest["input"]["vector_column"]),
            encode_options(own),
            decide,
            write,
            before["seed"] if seed is None else seed,
            progress,
            yes=yes,
            run_on=engine_options(own),
        )

    def _shared(self, given: Mapping[str, object]) -> SharedEngine:
        """The shared arguments of the run, and what is given anew."""
        before, resolved = self.manifest["arguments"], self.manifest["precision"]
        own = {
            "text_column": before["text_columns"] or None,
            "precision": before["precision"] if resolved == "given" else resolved,
            **{
                name: before[name]
                for name in Shared.__annotations__
                if name in before and name != "precision"
            },
        }
        for name in _FIXED:
            if name in given and given[name] not in (own.get(name), before.get(name)):
                raise UsageError(
                    f"--{name.replace('_', '-')} cannot be changed for the run {self.folder}",
                    "Run dedup anew on its files.",
                )
        more = {name: value for name, value in given.items() if name not in _FIXED}
        return cast(SharedEngine, {**own, **more})

    def _spoiled(self, why: str) -> RunFolderError:
        return RunFolderError(
            f"{self.folder / 'pairs.parquet'} is not what the run wrote ({why})",
            "Run dedup anew on its input.",
        )


def _checked(folder: Path, described: Mapping[str, Any]) -> list[str]:
    """Where the files lie, after a look at their content."""
    files = described["files"]
    if not files:
        raise UsageError(f"{folder} was not made from files", "Run dedup anew on its rows.")
    return [_found(folder, file["path"], file["sha256"]) for file in files]


def _found(folder: Path, path: str, sha256: str) -> str:
    if path == "-":
        raise UsageError(
            f"{folder} was made from stdin, which cannot be read again",
            "Save the rows to a file and run dedup on it.",
        )
    # A run folder usually lies beside its input, and may have moved with it.
    places = [Path(path), folder.parent / path, folder.parent / Path(path).name]
    there = [place for place in places if place.is_file()]
    if not there:
        raise InputError(
            f"{path}, from which {folder} was made, is not there",
            f"Put it back or beside {folder}, or run dedup anew.",
        )
    for place in there:
        with place.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == sha256:
                return str(place)
    raise InputError(
        f"{there[0]} has changed since {folder} was made from it (its sha256 is another)",
        "Run dedup anew on its input.",
    )
