"""``sbert-cluster calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sbert_cluster.cli.shared import with_shared_flags
from sbert_cluster.cli.train import LabelColumn, LabelFiles, Where

if TYPE_CHECKING:
    from sbert_cluster.pipeline import Shared

from sbert_cluster.cli import flags


@with_shared_flags
def calibrate(
    labels: LabelFiles,
    label_column: LabelColumn = None,
    where: Where = None,
    target_precision: Annotated[
        float | None,
        typer.Option(
            help="Precision that the threshold shall have. Default: the best F1.",
            show_default=False,
        ),
    ] = None,
    among_all: Annotated[
        bool,
        typer.Option(
            "--among-all",
            help="Take all other pairs of the same texts as different: a threshold for a file of "
            "such texts, where different pairs are thousands of times as many.",
        ),
    ] = False,
    save: Annotated[
        bool,
        typer.Option("--save", help="Store the threshold in the model's folder, for dedup."),
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.svg",
            help="Draw the precision-recall curve into a file.",
            show_default=False,
        ),
    ] = None,
    unlabelled: Annotated[
        bool,
        typer.Option(
            "--unlabelled",
            help="The file holds texts without labels: show where their similarities lie, with "
            "some pairs of each band.",
        ),
    ] = False,
    json: flags.Json = False,
    quiet: flags.Quiet = False,
    verbose: flags.Verbose = False,  # noqa: ARG001 - its callback acts on it
    seed: flags.Seed = 0,
    *,
    shared: Shared,
) -> None:
    """Find the threshold that reaches a wanted precision, from labelled pairs.

    Example: [bold]sbert-cluster calibrate labelled_pairs.csv --target-precision 0.95[/]
    """
    from sbert_cluster import pipeline
    from sbert_cluster.cli.narrate_training import TrainingNarrator
    from sbert_cluster.pipeline.labels import LabelColumns

    narrator = TrainingNarrator(quiet=quiet, json=json)
    if unlabelled:
        with narrator.progress() as progress:
            survey = pipeline.survey(labels, seed=seed, progress=progress, **shared)
        narrator.show_survey(survey)
        return
    texts = shared.pop("text_column", None) or ()
    columns = LabelColumns(tuple(texts), label_column, tuple(where or ()))
    with narrator.progress() as progress:
        result = pipeline.calibrate_threshold(
            labels,
            columns=columns,
            target_precision=target_precision,
            among_all_pairs=among_all,
            save=save,
            plot=plot,
            seed=seed,
            progress=progress,
            **shared,
        )
    narrator.show_calibration(result, shared["model"] if save else None)
