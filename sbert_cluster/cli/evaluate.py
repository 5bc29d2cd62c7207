"""``sbert-cluster evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sbert_cluster.cli import flags
from sbert_cluster.cli.shared import with_shared_flags
from sbert_cluster.cli.train import LabelColumn, Where
from sbert_cluster.errors import UsageError

if TYPE_CHECKING:
    from sbert_cluster.pipeline import Shared


@with_shared_flags
def evaluate(
    data: Annotated[
        list[str] | None,
        typer.Argument(metavar="DATA...", help="Labelled files.", show_default=False),
    ] = None,
    clusters: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Instead of labelled files: a run of groups, compared with a column of classes.",
            show_default=False,
        ),
    ] = None,
    gold: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column of that run's input which holds the right classes.",
            show_default=False,
        ),
    ] = None,
    label_column: LabelColumn = None,
    where: Where = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="Measure each value of a column apart.", show_default=False
        ),
    ] = None,
    cross_topic: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Judge each topic by what the others teach, and give the mean over topics.",
            show_default=False,
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            help="The same with random folds that share no text; folds of --transfer (10).",
            show_default=False,
        ),
    ] = None,
    transfer: Annotated[
        bool,
        typer.Option(
            "--transfer", help="Texts or pairs with classes: logistic regression on the vectors."
        ),
    ] = False,
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|FILE",
            help="tf-idf, mean, max or cls (the same weights pooled so), or a text file of word "
            "vectors; may be repeated.",
            show_default=False,
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            "-t",
            help="Precision, recall and F1 at this similarity as well.",
            show_default=False,
        ),
    ] = None,
    json: flags.Json = False,
    quiet: flags.Quiet = False,
    verbose: flags.Verbose = False,  # noqa: ARG001 - its callback acts on it
    seed: flags.Seed = 0,
    *,
    shared: Shared,
) -> None:
    """Measure a model on labelled files, or clusters against classes.

    Example: [bold]sbert-cluster evaluate labelled_pairs.csv --baseline tf-idf[/]

    Example: [bold]sbert-cluster evaluate --clusters reviews.groups --gold theme[/]
    """
    if clusters is not None or gold is not None:
        if data:
            raise UsageError(
                f"--clusters takes no file, and {data[0]!r} is given as well", "Leave one out."
            )
        _clusters(clusters, gold, quiet=quiet, json=json)
        return
    if not data:
        raise UsageError(
            "nothing to evaluate was named", "Name labelled files, or a run with --clusters RUN."
        )
    from sbert_cluster import pipeline
    from sbert_cluster.cli.narrate_training import TrainingNarrator
    from sbert_cluster.pipeline.labels import LabelColumns

    narrator = TrainingNarrator(quiet=quiet, json=json)
    texts = shared.pop("text_column", None) or ()
    with narrator.progress() as progress:
        result = pipeline.evaluate(
            data,
            columns=LabelColumns(tuple(texts), label_column, tuple(where or ())),
            by=by,
            cross_topic=cross_topic,
            folds=folds,
            transfer=transfer,
            baselines=baseline or (),
            threshold=threshold,
            seed=seed,
            progress=progress,
            **shared,
        )
    narrator.show_evaluation(result)


def _clusters(run: Path | None, gold: str | None, *, quiet: bool, json: bool) -> None:
    from sbert_cluster import pipeline
    from sbert_cluster.cli.narrate import Narrator

    if run is None:
        raise UsageError("--gold needs clusters to compare with", "Add --clusters RUN.")
    if gold is None:
        raise UsageError("--clusters needs classes to compare with", "Add --gold COLUMN.")
    scores = pipeline.evaluate_clusters(run, gold=gold)
    Narrator(quiet=quiet, json=json).show_cluster_scores(scores)
