"""``sbert-cluster dedup``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sbert_cluster.cli import flags
from sbert_cluster.cli.shared import with_shared_flags
from sbert_cluster.options import DEFAULT_THRESHOLD, Grouping

if TYPE_CHECKING:
    from sbert_cluster.pipeline import Shared


@with_shared_flags
def dedup(
    inputs: flags.Inputs,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            "-t",
            help="Cosine similarity in (0, 1] from which rows are duplicates. Default: the one "
            f"stored with the model by train or calibrate, else {DEFAULT_THRESHOLD:g}.",
            show_default=False,
        ),
    ] = None,
    keep: Annotated[
        str,
        typer.Option(
            metavar="RULE",
            help="Which row of a group stays: first, last, longest, shortest, newest:COL, "
            "oldest:COL, max:COL or min:COL.",
        ),
    ] = "first",
    grouping: Annotated[
        Grouping,
        typer.Option(
            help="direct: each removed row is similar to the row kept in its place; complete: all "
            "rows of a group are similar to each other; single: chains count."
        ),
    ] = Grouping.DIRECT,
    rerank: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="A cross-encoder (train --cross-encoder) that decides pairs in the band.",
            show_default=False,
        ),
    ] = None,
    band: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="LOW HIGH",
            help="Similarities between which it decides. Default: from 0.1 below the threshold to "
            "0.05 above it.",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Remove only rows that repeat a row of FILE (training data in a test set).",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER|FILE|-",
            help="Run folder, or a file (kept.csv) or - (stdout) for the kept rows alone. "
            "Default: INPUT.dedup beside the input.",
            rich_help_panel="Output",
            show_default=False,
        ),
    ] = None,
    overwrite: flags.Overwrite = False,
    json: flags.Json = False,
    dry_run: flags.DryRun = False,
    quiet: flags.Quiet = False,
    verbose: flags.Verbose = False,  # noqa: ARG001 - its callback acts on it
    seed: flags.Seed = 0,
    vector_column: flags.VectorColumn = None,
    *,
    shared: Shared,
) -> None:
    """Find every pair of near-duplicate rows and decide which rows stay.

    Example: [bold]sbert-cluster dedup questions.csv --threshold 0.9 --keep longest[/]
    """
    from sbert_cluster import pipeline
    from sbert_cluster.cli.narrate import Narrator
    from sbert_cluster.runs import default_run_folder

    narrator = Narrator(quiet=quiet, json=json)
    if dry_run:
        with narrator.progress() as progress:
            forecast = pipeline.plan(
                inputs, against=against, vector_column=vector_column, progress=progress, **shared
            )
        narrator.show_plan(forecast)
        return
    target = output or default_run_folder(inputs, "dedup")
    with narrator.progress() as progress:
        result = pipeline.dedup(
            inputs,
            threshold=threshold,
            keep=keep,
            grouping=grouping,
            rerank=rerank,
            band=band,
            against=against,
            vector_column=vector_column,
            output=target,
            overwrite=overwrite,
            seed=seed,
            progress=progress,
            **shared,
        )
    narrator.show_dedup(result, target)
