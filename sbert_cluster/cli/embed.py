"""``sbert-cluster embed``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sbert_cluster.cli import flags
from sbert_cluster.cli.shared import with_engine_flags

if TYPE_CHECKING:
    from sbert_cluster.pipeline import SharedEngine


@with_engine_flags
def embed(
    inputs: flags.Inputs,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", help="A .parquet or .arrow file.", show_default=False
        ),
    ],
    overwrite: flags.Overwrite = False,
    json: flags.Json = False,
    dry_run: flags.DryRun = False,
    quiet: flags.Quiet = False,
    verbose: flags.Verbose = False,  # noqa: ARG001 - its callback acts on it
    *,
    shared: SharedEngine,
) -> None:
    """Write the vector of each row, to be joined by row number or id.

    Example: [bold]sbert-cluster embed questions.csv --id-column id -o vectors.parquet[/]
    """
    from sbert_cluster import pipeline
    from sbert_cluster.cli.narrate import Narrator

    narrator = Narrator(quiet=quiet, json=json)
    if dry_run:
        with narrator.progress() as progress:
            forecast = pipeline.plan(inputs, progress=progress, **shared)
        narrator.show_plan(forecast)
        return
    with narrator.progress() as progress:
        result = pipeline.embed(
            inputs, output=output, overwrite=overwrite, progress=progress, **shared
        )
    narrator.show_embed(result, output)
