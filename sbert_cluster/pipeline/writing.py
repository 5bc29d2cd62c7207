"""A result as files: a run folder, or one file with the rows that stay."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from sbert_cluster.corpus.writing import layout_for_duplicates, layout_of, write_rows
from sbert_cluster.errors import UsageError
from sbert_cluster.meter import Stopwatch, peak_memory_bytes
from sbert_cluster.options import FileFormat, OutputOptions
from sbert_cluster.progress import Progress
from sbert_cluster.report.html import render_dedup
from sbert_cluster.runs import new_run_folder, refuse_existing, refuse_losing_edits, write_manifest
from sbert_cluster.types import Corpus, DedupResult, DuplicateGroups, Layout, Pairs, Reason

_FILE_SUFFIXES = (
    ".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".parquet", ".pq", ".arrow", ".feather", ".ipc",
    ".txt", ".text", ".gz", ".zst", ".zstd",
)  # fmt: skip

_OTHER_SUFFIXES = (".json", ".xlsx", ".xls", ".ods", ".html", ".db", ".sqlite", ".zip", ".md")
"""What people might ask for as a file; a run folder of that name would surprise them."""


@dataclass(frozen=True)
class Destination:
    """Where a result goes."""

    target: Path | None
    """A folder, a file, ``-`` for stdout, or None for nowhere."""
    overwrite: bool = False
    """Whether an existing result may be replaced."""

    @classmethod
    def checked(cls, options: OutputOptions) -> Destination:
        """Check, before any work is done, that the result may be written there.

        Raises:
            RunFolderError: If it exists already, or holds what people decided.
            UsageError: If it names a file that cannot be written.
        """
        target = options.output
        if target is not None and target.suffix.lower() in _OTHER_SUFFIXES:
            raise UsageError(
                f"--output {target}: {target.suffix} files are not written",
                "Name a .csv, .tsv, .jsonl, .parquet or .arrow file, or a folder.",
            )
        if target is not None and target != Path("-"):
            refuse_existing(target, overwrite=options.overwrite)
            refuse_losing_edits(target)
        return cls(target, options.overwrite)

    @property
    def is_file(self) -> bool:
        """Whether only the rows that stay are written."""
        return self.target is not None and (
            self.target == Path("-") or self.target.suffix.lower() in _FILE_SUFFIXES
        )

    def check_format(self, corpus: Corpus, format: FileFormat | None) -> None:
        """Check that a file of that name can be written from that corpus.

        Raises:
            UsageError: If the name tells no format.
        """
        if self.is_file:
            self.layout(corpus, format)

    def layout(self, corpus: Corpus, format: FileFormat | None = None) -> Layout:
        """How the file is written: as its name says, or as the input is."""
        assert self.target is not None
        if self.target == Path("-"):
            return corpus.layout
        return layout_of(self.target, corpus, format)


def write_dedup(
    result: DedupResult, destination: Destination, watch: Stopwatch, progress: Progress
) -> DedupResult:
    """Write a result of ``dedup``.

    Args:
        result: What to write.
        destination: Where.
        watch: Gets the time that it takes.
        progress: Told when it is done.

    Returns:
        The result, its manifest with the final timings.

    Raises:
        RunFolderError: If it cannot be written; nothing is left behind then.
    """
    target = destination.target
    if target is None:
        return _with_costs(result, watch)
    kept = np.flatnonzero(result.groups.kept)
    if destination.is_file:
        with watch.stage("write"):
            write_rows(result.corpus, kept, target, layout=destination.layout(result.corpus))
        progress("writing", 1, 1, "files")
        return _with_costs(result, watch)
    with new_run_folder(target, overwrite=destination.overwrite) as folder:
        with watch.stage("write"):
            _write_rows(result, folder, kept)
            _write_pairs(result.pairs, folder / "pairs.parquet")
        with watch.stage("write"):
            page = render_dedup(_with_costs(result, watch))
            (folder / "report.html").write_text(page, encoding="utf-8", newline="\n")
        result = _with_costs(result, watch)
        write_manifest(folder, result.manifest)
    progress("writing", 5, 5, "files")
    return result


def _with_costs(result: DedupResult, watch: Stopwatch) -> DedupResult:
    return replace(result, manifest=result.manifest.with_costs(watch.read(), peak_memory_bytes()))


def _write_rows(
    result: DedupResult, folder: Path, kept: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> None:
    layout = result.corpus.layout
    write_rows(result.corpus, kept, folder / f"kept{layout.suffix}", layout=layout)
    removed = np.flatnonzero(~result.groups.kept)
    layout = layout_for_duplicates(layout)
    extra = _decisions(result.groups, removed)
    path = folder / f"duplicates{layout.suffix}"
    write_rows(result.corpus, removed, path, layout=layout, extra=extra)


def _decisions(
    groups: DuplicateGroups, rows: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> pl.DataFrame:
    """The columns that ``duplicates`` adds to the input's."""
    return pl.DataFrame(
        {
            "sbert_row": rows,
            "sbert_group": groups.group[rows],
            "sbert_duplicate_of": groups.duplicate_of[rows],
            "sbert_similarity": groups.similarity[rows],
            "sbert_reason": _words(groups.reason[rows]),
        }
    )


def _write_pairs(pairs: Pairs, path: Path) -> None:
    pl.DataFrame(
        {
            "left": pairs.left,
            "right": pairs.right,
            "similarity": pairs.similarity,
            "reason": _words(pairs.reason),
        }
    ).write_parquet(path)


def _words(reasons: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> pl.Series:
    words = pl.Series([reason.word for reason in Reason])
    return words.gather(pl.Series(reasons).cast(pl.UInt32))
