"""``sbert-cluster distill``: a static student of a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sbert_cluster.cli import flags
from sbert_cluster.cli.shared import with_shared_flags

if TYPE_CHECKING:
    from sbert_cluster.pipeline import Shared

Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="INPUT",
        help="Texts to train on, in any format that dedup reads. Default: none, the student is "
        "made from the model's vocabulary alone.",
        show_default=False,
    ),
]
Rows = Annotated[
    int, typer.Option(help="Texts that the model reads at most; a fifth of them only measures.")
]
Steps = Annotated[
    int | None,
    typer.Option(help="Steps of training. Default: by the number of texts.", show_default=False),
]
Output = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="FOLDER",
        help="Folder of the student.",
        rich_help_panel="Output",
        show_default=False,
    ),
]


@with_shared_flags
def distill(
    output: Output,
    inputs: Inputs = None,
    rows: Rows = 200_000,
    steps: Steps = None,
    seed: flags.Seed = 0,
    overwrite: flags.Overwrite = False,
    json: flags.Json = False,
    quiet: flags.Quiet = False,
    verbose: flags.Verbose = False,  # noqa: ARG001 - its callback acts on it
    *,
    shared: Shared,
) -> None:
    """Make a static student of a model: averages of token vectors, dozens of times as fast.

    Example: [bold]sbert-cluster distill questions.csv --output student[/]
    """
    from sbert_cluster import pipeline
    from sbert_cluster.cli.narrate import Narrator

    narrator = Narrator(quiet=quiet, json=json)
    with narrator.progress() as progress:
        result = pipeline.distill(
            inputs or None,
            output=output,
            rows=rows,
            steps=steps,
            seed=seed,
            overwrite=overwrite,
            progress=progress,
            **shared,
        )
    narrator.show_distilled(result)
