"""``sbert-cluster evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sbert_cluster.cli import flags
from sbert_cluster.errors import UsageError


def evaluate(
    clusters: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="A run folder of groups, to be compared with a column of classes.",
            show_default=False,
        ),
    ] = None,
    gold: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column of the run's input that holds the right classes.",
            show_default=False,
        ),
    ] = None,
    json: flags.Json = False,
    quiet: flags.Quiet = False,
    verbose: flags.Verbose = False,  # noqa: ARG001 - its callback acts on it
) -> None:
    """Say how good a result is.

    Example: [bold]sbert-cluster evaluate --clusters reviews.groups --gold theme[/]
    """
    from sbert_cluster import pipeline
    from sbert_cluster.cli.narrate import Narrator

    if clusters is None:
        raise UsageError("nothing to evaluate was named", "Name a run with --clusters RUN.")
    if gold is None:
        raise UsageError("--clusters needs classes to compare with", "Add --gold COLUMN.")
    scores = pipeline.evaluate_clusters(clusters, gold=gold)
    Narrator(quiet=quiet, json=json).show_cluster_scores(scores)
