"""What people decided, as files: the run again, the way they want it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from sbert_cluster.corpus.reading import read_corpus
from sbert_cluster.corpus.writing import layout_for_duplicates, write_rows
from sbert_cluster.duplicates.grouping import number_groups
from sbert_cluster.options import FileFormat, ReadOptions
from sbert_cluster.progress import Progress, silent
from sbert_cluster.runs import MANIFEST, new_run_folder
from sbert_cluster.tui.models.decisions import Answer
from sbert_cluster.tui.models.duplicates import DuplicatesModel
from sbert_cluster.tui.models.run import Run, input_columns
from sbert_cluster.types import Corpus, Reason, Rows

EDITED = "edited"
"""Folder inside the run folder that holds the result of the edits."""
LABELS = "labels.csv"


def write_duplicates(model: DuplicatesModel, progress: Progress = silent) -> Path:
    """Write kept rows, removed rows and labels as the edits want them.

    The files are those of a run of ``dedup``, in the folder ``edited`` inside the run folder, and
    ``labels.csv`` with the judged pairs. What was written there before is replaced.

    Returns:
        The folder.

    Raises:
        RunFolderError: If it cannot be written.
    """
    corpus = _input_of(model.run)
    target = model.run.folder / EDITED
    removed, extra = _decisions(model)
    kept = np.setdiff1d(np.arange(len(corpus)), removed)
    progress("writing", 1, 4, "files")
    with new_run_folder(target, overwrite=True) as folder:
        layout = corpus.layout
        write_rows(corpus, kept, folder / f"kept{layout.suffix}", layout=layout)
        layout = layout_for_duplicates(layout)
        path = folder / f"duplicates{layout.suffix}"
        write_rows(corpus, removed, path, layout=layout, extra=extra)
        progress("writing", 3, 4, "files")
        (folder / LABELS).write_bytes(labels_csv(model).encode())
        write_json(folder / MANIFEST, _manifest(model, len(kept), len(removed)))
    progress("writing", 4, 4, "files")
    return target


def labels_csv(model: DuplicatesModel) -> str:
    """The judged pairs: ``text_a,text_b,label``, where 1 stands for the same."""
    pairs = [
        (left, right, int(answer is Answer.SAME))
        for (left, right), answer in model.decisions.answers.items()
        if answer is not Answer.SKIP
    ]
    rows = [row for left, right, _ in pairs for row in (left, right)]
    texts = model.rows.read_texts(np.array(rows, np.int64)) if rows else []
    lines = zip(texts[::2], texts[1::2], (label for _, _, label in pairs), strict=True)
    return csv_text(("text_a", "text_b", "label"), lines)


def csv_text(header: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """CSV with Unix line ends."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    return file.getvalue()


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON the way manifests are written."""
    import json

    text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
    path.write_text(text, encoding="utf-8", newline="\n")


def _decisions(model: DuplicatesModel) -> tuple[Rows, pl.DataFrame]:
    """The removed rows, and the columns that ``duplicates`` adds."""
    duplicate_of = np.full(len(model.rows), -1, np.int64)
    similarity = np.full(len(model.rows), np.nan, np.float32)
    words = np.full(len(model.rows), "", dtype=object)
    for head in model.groups.heads.tolist():
        members = model.members(head)
        removed = members.rows[1:]
        duplicate_of[removed] = members.rows[0]
        similarity[removed] = members.similarity[1:]
        words[removed] = [members[place].reason for place in range(1, len(members))]
    group, _ = number_groups(duplicate_of)
    rows = np.flatnonzero(duplicate_of >= 0)
    reasons = pl.Series(words[rows].tolist(), dtype=pl.String).replace(
        "chain", Reason.SEMANTIC.word
    )
    return rows, pl.DataFrame(
        {
            "sbert_row": rows,
            "sbert_group": group[rows],
            "sbert_duplicate_of": duplicate_of[rows],
            "sbert_similarity": similarity[rows],
            "sbert_reason": reasons,
        }
    )


def _manifest(model: DuplicatesModel, kept: int, removed: int) -> dict[str, Any]:
    judged = model.judged
    same = int(judged.same.sum())
    manifest = dict(model.run.manifest)
    manifest["counts"] = {
        **manifest.get("counts", {}),
        "groups": model.groups.groups,
        "kept": kept,
        "removed": removed,
    }
    manifest["edited"] = {
        "from": str(model.run.folder),
        "threshold": model.threshold,
        "edits": len(model.history.done),
        "judged_same": same,
        "judged_different": len(judged) - same,
        "kept_by_hand": list(model.decisions.kept),
        "taken_out": sorted(model.decisions.out),
    }
    return manifest


def _input_of(run: Run) -> Corpus:
    """The input of a run of ``dedup``, put together from its two files, records and all."""
    options = ReadOptions(text_columns=run.text_columns, vector_column=run.vector_column)
    whole: Corpus | None = None
    removed_rows = np.empty(0, np.int64)
    if run.count("kept"):
        whole = read_corpus([run.file("kept")], options)
    if run.count("removed"):
        removed = read_corpus([run.file("duplicates")], options)
        columns = input_columns(removed.frame.columns)
        removed_rows = removed.frame[removed.frame.columns[len(columns)]].cast(pl.Int64).to_numpy()
        bare = replace(removed, frame=removed.frame.select(columns), records=_bare_records(removed))
        whole = bare if whole is None else _joined(whole, bare)
    assert whole is not None
    order = np.empty(len(whole), np.int64)
    stay = np.setdiff1d(np.arange(len(whole)), removed_rows)
    order[stay] = np.arange(len(stay))
    order[removed_rows] = np.arange(len(stay), len(whole))
    records = None if whole.records is None else tuple(whole.records[i] for i in order.tolist())
    return replace(whole, frame=whole.frame[order], records=records)


def _joined(kept: Corpus, removed: Corpus) -> Corpus:
    same = kept.layout.format is removed.layout.format
    both = kept.records is not None and removed.records is not None and same
    records = (*(kept.records or ()), *(removed.records or ())) if both else None
    frame = pl.concat(
        [kept.frame, removed.frame.select(kept.frame.columns)], how="vertical_relaxed"
    )
    return replace(kept, frame=frame, records=records)


def _bare_records(removed: Corpus) -> tuple[str, ...] | None:
    """The records of removed rows as they stand in the input, without the columns added."""
    if removed.records is None or removed.layout.format is FileFormat.JSONL:
        return None
    by = removed.layout.delimiter
    added = removed.frame.width - len(input_columns(removed.frame.columns))
    # What was added are numbers and words, so no quote and no delimiter is in them.
    return tuple(
        record.rstrip("\r").rsplit(by, added)[0] + "\r" * record.endswith("\r")
        for record in removed.records
    )
