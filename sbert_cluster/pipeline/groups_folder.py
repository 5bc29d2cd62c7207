"""The run folder of ``groups``: written whole, opened again to edit it or to add rows.

Beside what people read (``rows``, ``clusters.csv``, ``report.html``) it holds what later commands
start from: ``base.parquet``, the rows as the run found them, over which the edits are replayed; and
``centres.parquet``, the mean vector of each cluster. The means are enough to merge clusters and to
place new rows, at 1.5 kB a cluster; vectors of single rows, 1.5 kB a row, are left to the cache,
and are only asked for when a cluster is split or rows are moved.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from sbert_cluster.clustering.edits import EDITS, EditLog, to_json
from sbert_cluster.clustering.summary import Shape
from sbert_cluster.corpus.reading import read_corpus
from sbert_cluster.corpus.texts import texts_of
from sbert_cluster.corpus.writing import atomic_file, layout_for_duplicates, write_rows
from sbert_cluster.errors import RunFolderError, UsageError
from sbert_cluster.meter import Stopwatch, peak_memory_bytes
from sbert_cluster.options import ReadOptions
from sbert_cluster.pipeline.writing import Destination
from sbert_cluster.progress import Progress, silent
from sbert_cluster.report.escape import for_spreadsheet
from sbert_cluster.report.groups_page import render_groups
from sbert_cluster.report.map_picture import PICTURES, draw_map
from sbert_cluster.runs import MANIFEST, new_run_folder, read_manifest, write_manifest
from sbert_cluster.types import (
    Clustering,
    ClusterSummary,
    Corpus,
    GroupsResult,
    LayerGroup,
    Rows,
    RunManifest,
    SourceFile,
)

BASE = "base.parquet"
CENTRES = "centres.parquet"
CLUSTERS = "clusters.csv"
LAYERS = "layers.csv"
_TYPES: dict[str, type[pl.DataType]] = {
    "cluster": pl.Int64,
    "size": pl.Int64,
    "label": pl.String,
    "keywords": pl.String,
    "representative": pl.String,
    "representative_row": pl.Int64,
    "cohesion": pl.Float64,
    "nearest_cluster": pl.Int64,
    "stability": pl.Float64,
    "example_rows": pl.String,
}
"""Columns of ``clusters.csv``; a name may look like a number."""
_LAYER_TYPES = {"label": pl.String, "keywords": pl.String, "clusters": pl.String}


@dataclass(frozen=True)
class GroupsRun:
    """A result with what the folder keeps for later commands."""

    result: GroupsResult
    shape: Shape
    """Where the clusters lie, in the order of ``result.summaries``."""
    base: Rows
    """int64[n]: labels as the run found them, before any edit."""
    log: EditLog | None = None
    """Edits; None: none yet."""


def write_groups(
    run: GroupsRun,
    destination: Destination,
    plot: Path | None,
    watch: Stopwatch,
    progress: Progress,
) -> GroupsResult:
    """Write a result of ``groups``.

    Args:
        run: What to write.
        destination: Where.
        plot: A picture of the map; None: none.
        watch: Gets the time that it takes.
        progress: Told when it is done.

    Returns:
        The result, its manifest with the final timings.

    Raises:
        RunFolderError: If it cannot be written; nothing is left behind then.
        UsageError: If the picture's format is not known.
    """
    result = run.result
    if plot is not None:
        with watch.stage("write"), atomic_file(plot) as temporary:
            draw_map(result, temporary, plot.suffix.lower().removeprefix("."))
    if destination.target is not None and destination.is_file:
        everything = np.arange(len(result.corpus))
        with watch.stage("write"):
            layout = destination.layout(result.corpus)
            extra = result.added()
            write_rows(result.corpus, everything, destination.target, layout=layout, extra=extra)
        progress("writing", 1, 1, "files")
    elif destination.target is not None:
        with new_run_folder(destination.target, overwrite=destination.overwrite) as folder:
            with watch.stage("write"):
                _write_tables(run, folder)
            with watch.stage("write"):
                page = render_groups(_with_costs(result, watch))
                (folder / "report.html").write_text(page, encoding="utf-8", newline="\n")
            result = _with_costs(result, watch)
            write_manifest(folder, result.manifest)
        progress("writing", 6, 6, "files")
    return _with_costs(result, watch)


def check_picture(plot: Path | None) -> None:
    """Check, before any work is done, that a picture of that name can be written.

    Raises:
        UsageError: If its format is not known.
    """
    if plot is not None and plot.suffix.lower() not in PICTURES:
        raise UsageError(
            f"--plot {plot}: {plot.suffix or 'no'} pictures are not written",
            f"Name a {', '.join(PICTURES)} file.",
        )


def _with_costs(result: GroupsResult, watch: Stopwatch) -> GroupsResult:
    return replace(result, manifest=result.manifest.with_costs(watch.read(), peak_memory_bytes()))


def _write_tables(run: GroupsRun, folder: Path) -> None:
    result = run.result
    layout = layout_for_duplicates(result.corpus.layout)
    everything = np.arange(len(result.corpus))
    path = folder / f"rows{layout.suffix}"
    write_rows(result.corpus, everything, path, layout=layout, extra=result.added())
    _clusters(result).write_csv(folder / CLUSTERS)
    if result.layers:
        _layers(result.layers).write_csv(folder / LAYERS)
    _base(run).write_parquet(folder / BASE)
    _centres(run).write_parquet(folder / CENTRES)
    if run.log is not None and run.log.entries:
        import json

        lines = (json.dumps(to_json(entry), ensure_ascii=False) for entry in run.log.entries)
        text = "".join(f"{line}\n" for line in lines)
        (folder / EDITS).write_text(text, encoding="utf-8", newline="\n")


def _clusters(result: GroupsResult) -> pl.DataFrame:
    """``clusters.csv``: a spreadsheet may open it, so no cell starts a formula."""
    named = result.summaries
    return pl.DataFrame(
        {
            "cluster": [one.cluster for one in named],
            "size": [one.size for one in named],
            "label": [for_spreadsheet(one.label) for one in named],
            "keywords": [for_spreadsheet(", ".join(one.keywords)) for one in named],
            "representative": [
                for_spreadsheet(result.texts[one.representative_row]) for one in named
            ],
            "representative_row": [one.representative_row for one in named],
            "cohesion": [round(one.cohesion, 4) for one in named],
            "nearest_cluster": [one.nearest if one.nearest >= 0 else None for one in named],
            "stability": [
                None if one.stability is None else round(one.stability, 3) for one in named
            ],
            "example_rows": [" ".join(map(str, one.rows[1:])) for one in named],
        },
        schema=_TYPES,
    )


def _layers(layers: Sequence[LayerGroup]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "layer": [one.layer for one in layers],
            "group": [one.group for one in layers],
            "size": [one.size for one in layers],
            "label": [for_spreadsheet(one.label) for one in layers],
            "keywords": [for_spreadsheet(", ".join(one.keywords)) for one in layers],
            "clusters": [" ".join(map(str, one.clusters)) for one in layers],
        }
    )


def _base(run: GroupsRun) -> pl.DataFrame:
    clustering = run.result.clustering
    return pl.DataFrame(
        {
            "cluster": run.base,
            "strength": clustering.strengths,
            "attached": clustering.attached,
            "x": clustering.places[:, 0],
            "y": clustering.places[:, 1],
        }
    )


def _centres(run: GroupsRun) -> pl.DataFrame:
    shape = run.shape
    width = shape.means.shape[1]
    return pl.DataFrame(
        {
            "cluster": [one.cluster for one in run.result.summaries],
            "rows": shape.sizes,
            "limit": shape.limits,
            "mean": pl.Series(shape.means, dtype=pl.Array(pl.Float32, width)),
        },
        schema_overrides={"cluster": pl.Int64},
    )


def open_groups(folder: Path) -> GroupsRun:
    """Read a run folder of ``groups``, edits included.

    Raises:
        RunFolderError: If it is not one, or not whole.
    """
    manifest = read_manifest(folder)
    if manifest.get("command") != "groups":
        raise RunFolderError(
            f"{folder} is a run of {manifest.get('command')}", "Name one that groups wrote."
        )
    try:
        corpus, texts = read_rows(folder, manifest)
        base = pl.read_parquet(folder / BASE)
        layers = _read_layers(folder)
        centres = pl.read_parquet(folder / CENTRES)
        clusters = pl.read_csv(folder / CLUSTERS, schema_overrides=_TYPES)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise RunFolderError(f"{folder} is not whole ({error})", "Make the run again.") from error
    labels = base["cluster"].to_numpy().astype(np.int64)
    log = EditLog.read(folder, labels)
    places = base.select("x", "y").fill_null(float("nan")).to_numpy().astype(np.float32)
    clustering = Clustering(
        log.state.labels,
        base["strength"].to_numpy(),
        base["attached"].to_numpy(),
        places,
    )
    result = GroupsResult(
        corpus,
        texts,
        clustering,
        tuple(_summary(row) for row in clusters.iter_rows(named=True)),
        _manifest(manifest),
        tuple(layers),
    )
    width = manifest["model"]["dimensions"]
    shape = Shape(
        np.array(centres["mean"].to_list(), np.float32).reshape(len(centres), width),
        centres["rows"].to_numpy().astype(np.int64),
        centres["limit"].to_numpy().astype(np.float32),
    )
    return GroupsRun(result, shape, labels, log)


def rows_file(folder: Path) -> Path:
    """The file of rows in a run folder.

    Raises:
        RunFolderError: If there is none.
    """
    found = sorted(path for path in folder.glob("rows.*") if not path.name.endswith(".part"))
    if not found:
        raise RunFolderError(f"{folder} holds no file of rows", "Make the run again.")
    return found[0]


def read_rows(folder: Path, manifest: dict[str, Any]) -> tuple[Corpus, list[str]]:
    """The rows of a run folder, without what ``groups`` added, and their texts."""
    described = manifest["input"]
    columns = tuple(described["text_columns"])
    options = ReadOptions(
        text_columns=columns,
        id_column=described.get("id_column"),
        vector_column=described.get("vector_column"),
    )
    path = rows_file(folder)
    corpus = read_corpus([path], options, progress=silent)
    # What groups added stands last; the input may have had columns of such names of its own.
    attached = pl.read_parquet(folder / BASE, columns=["attached"])["attached"]
    layers = {one.layer for one in _read_layers(folder)}
    added = corpus.frame.columns[-(4 + int(attached.any()) + len(layers)) :]
    # The page and the manifest go on naming the files that the rows came from.
    sources = tuple(SourceFile(**file) for file in described["files"])
    corpus = replace(
        corpus, frame=corpus.frame.drop(added), records=None, notes=(), sources=sources
    )
    return corpus, texts_of(corpus)


def _summary(row: dict[str, Any]) -> ClusterSummary:
    examples = str(row["example_rows"] or "").split()
    keywords = (row["keywords"] or "").removeprefix("'")
    return ClusterSummary(
        cluster=row["cluster"],
        size=row["size"],
        label=(row["label"] or "").removeprefix("'"),
        keywords=tuple(keywords.split(", ")) if keywords else (),
        rows=(row["representative_row"], *map(int, examples)),
        cohesion=row["cohesion"],
        nearest=-1 if row["nearest_cluster"] is None else row["nearest_cluster"],
        stability=row["stability"],
    )


def _read_layers(folder: Path) -> list[LayerGroup]:
    path = folder / LAYERS
    if not path.exists():
        return []
    return [
        LayerGroup(
            layer=row["layer"],
            group=row["group"],
            size=row["size"],
            label=(row["label"] or "").removeprefix("'"),
            keywords=tuple((row["keywords"] or "").removeprefix("'").split(", ")),
            clusters=tuple(map(int, str(row["clusters"]).split())),
        )
        for row in pl.read_csv(path, schema_overrides=_LAYER_TYPES).iter_rows(named=True)
    ]


def _manifest(read: dict[str, Any]) -> RunManifest:
    known = set(RunManifest.__dataclass_fields__) - {"extra"}
    fields = {name: value for name, value in read.items() if name in known}
    fields["notes"] = tuple(fields.get("notes", ()))
    extra = {name: value for name, value in read.items() if name not in known}
    return RunManifest(**fields, extra=extra)


def write_again(run: GroupsRun, folder: Path) -> None:
    """Write an edited run in the place of the old one.

    Raises:
        RunFolderError: If it cannot be written; the old one stays then.
    """
    with new_run_folder(folder, overwrite=True) as work:
        for extra in folder.iterdir():
            # What people put beside the run stays there.
            if extra.name not in _ours(folder) and extra.is_file():
                shutil.copy2(extra, work / extra.name)
        _write_tables(run, work)
        page = render_groups(run.result)
        (work / "report.html").write_text(page, encoding="utf-8", newline="\n")
        write_manifest(work, run.result.manifest)


def _ours(folder: Path) -> set[str]:
    names = {BASE, CENTRES, CLUSTERS, LAYERS, EDITS, MANIFEST, "report.html"}
    return names | {path.name for path in folder.glob("rows.*")}
