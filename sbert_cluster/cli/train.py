"""``sbert-cluster train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sbert_cluster.cli import flags
from sbert_cluster.options import DEFAULT_MODEL, Precision
from sbert_cluster.training.recipe import Pooling

_LABELS = "Labels"
_RECIPE = "Recipe"
_DATA = "Negatives and teachers"
_OUTPUT = "Output"

LabelFiles = Annotated[
    list[str],
    typer.Argument(
        metavar="LABELS",
        help="CSV, TSV, JSONL, Parquet or Arrow files: pairs with 0 and 1, pairs with scores, NLI "
        "labels, triplets, pairs that mean the same, or texts alone.",
        show_default=False,
    ),
]
TextColumns = Annotated[
    list[str] | None,
    typer.Option(
        "--text-column",
        "-c",
        metavar="COLUMN",
        help="Text columns: two of a pair, three of a triplet. Default: found by their names.",
        rich_help_panel=_LABELS,
        show_default=False,
    ),
]
LabelColumn = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Column of the labels. Default: found by its name.",
        rich_help_panel=_LABELS,
        show_default=False,
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN=VALUE",
        help="Only rows with this value, as in split=train; may be repeated.",
        rich_help_panel=_LABELS,
        show_default=False,
    ),
]


def train(
    labels: LabelFiles,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Folder of the new model.", show_default=False
        ),
    ],
    text_column: TextColumns = None,
    label_column: LabelColumn = None,
    where: Where = None,
    dev: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Labelled rows to choose the weights and to measure by, instead of rows held out.",
            rich_help_panel=_LABELS,
            show_default=False,
        ),
    ] = None,
    dev_where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE",
            help="Only these rows of --dev.",
            rich_help_panel=_LABELS,
            show_default=False,
        ),
    ] = None,
    holdout: Annotated[
        float, typer.Option(help="Share of the rows that is held out.", rich_help_panel=_LABELS)
    ] = 0.2,
    model: flags.Model = DEFAULT_MODEL,
    objective: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[+NAME]",
            help="classification, regression, triplet, contrastive, online-contrastive, ranking, "
            "cosent, margin-mse, vectors or simcse. Default: what fits the file.",
            rich_help_panel=_RECIPE,
            show_default=False,
        ),
    ] = None,
    epochs: Annotated[
        float | None,
        typer.Option(
            help="Passes over the data. Default: 1, and up to 10 for small sets.",
            rich_help_panel=_RECIPE,
            show_default=False,
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            metavar="ROWS",
            help="Rows of a batch. Default: 16, and up to 64 for ranking and simcse.",
            rich_help_panel=_RECIPE,
            show_default=False,
        ),
    ] = None,
    accumulate: Annotated[
        int, typer.Option(help="Batches of one step of Adam.", rich_help_panel=_RECIPE)
    ] = 1,
    cached: Annotated[
        int,
        typer.Option(
            metavar="TEXTS",
            help="For batches too large for the memory: above so many texts, gradients are made "
            "piece by piece. 0: never.",
            rich_help_panel=_RECIPE,
        ),
    ] = 0,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help="Default: 2e-5, and 5e-5 for models of up to 6 layers.",
            rich_help_panel=_RECIPE,
            show_default=False,
        ),
    ] = None,
    warmup: Annotated[
        float,
        typer.Option(
            help="Share of the steps in which the learning rate rises.", rich_help_panel=_RECIPE
        ),
    ] = 0.1,
    dropout: Annotated[
        float | None,
        typer.Option(
            help="Share of numbers dropped in training. Default: 0; for simcse the model's own.",
            rich_help_panel=_RECIPE,
            show_default=False,
        ),
    ] = None,
    pooling: Annotated[
        Pooling | None,
        typer.Option(help="Default: the model's own.", rich_help_panel=_RECIPE, show_default=False),
    ] = None,
    concatenation: Annotated[
        str,
        typer.Option(
            metavar="PARTS",
            help="What the classifier sees: u, v, d = |u − v|, p = u * v.",
            rich_help_panel=_RECIPE,
        ),
    ] = "u,v,d",
    freeze: Annotated[
        int,
        typer.Option(
            metavar="LAYERS", help="Lowest layers that stay as they are.", rich_help_panel=_RECIPE
        ),
    ] = 0,
    lora: Annotated[
        int,
        typer.Option(
            metavar="RANK",
            help="Train low-rank adapters only; needs peft.",
            rich_help_panel=_RECIPE,
        ),
    ] = 0,
    patience: Annotated[
        int,
        typer.Option(
            help="Looks at the held-out rows without a gain, in the second half, after which it "
            "stops.",
            rich_help_panel=_RECIPE,
        ),
    ] = 3,
    seed: Annotated[int, typer.Option(help="Of every random choice.", rich_help_panel=_RECIPE)] = 0,
    seeds: Annotated[
        int,
        typer.Option(
            help="Train so many times and save the best; mean ± deviation are said.",
            rich_help_panel=_RECIPE,
        ),
    ] = 1,
    average: Annotated[
        bool,
        typer.Option(
            "--average",
            help="With --seeds: save the mean of their weights, not the best of them.",
            rich_help_panel=_RECIPE,
        ),
    ] = False,
    negatives: Annotated[
        int,
        typer.Option(help="Hard negatives mined for each positive.", rich_help_panel=_DATA),
    ] = 1,
    negatives_from: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Texts among which they are looked for as well.",
            rich_help_panel=_DATA,
            show_default=False,
        ),
    ] = None,
    negatives_band: Annotated[
        tuple[float, float],
        typer.Option(
            metavar="LOW HIGH", help="Similarities that they may have.", rich_help_panel=_DATA
        ),
    ] = (0.4, 0.85),
    guard: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="A cross-encoder that drops negatives which mean the same.",
            rich_help_panel=_DATA,
            show_default=False,
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FOLDER",
            help="A cross-encoder or larger model whose judgement replaces the labels.",
            rich_help_panel=_DATA,
            show_default=False,
        ),
    ] = None,
    cross_encoder: Annotated[
        bool,
        typer.Option("--cross-encoder", help="Train a cross-encoder, for dedup --rerank, instead."),
    ] = False,
    target_precision: Annotated[
        float | None,
        typer.Option(
            help="Of the threshold that is stored with the model, among all pairs of the texts "
            "held out. Default: the best F1.",
            rich_help_panel=_OUTPUT,
            show_default=False,
        ),
    ] = None,
    checkpoint_every: Annotated[
        int | None,
        typer.Option(
            metavar="STEPS",
            help="A training that is cut off goes on from the newest checkpoint. Default: at each "
            "look at the held-out rows.",
            rich_help_panel=_OUTPUT,
            show_default=False,
        ),
    ] = None,
    device: flags.Device = "auto",
    precision: flags.PrecisionFlag = Precision.AUTO,
    format: flags.Format = None,
    encoding: flags.Encoding = None,
    cache_dir: flags.CacheDir = None,
    no_cache: flags.NoCache = False,
    overwrite: flags.Overwrite = False,
    json: flags.Json = False,
    quiet: flags.Quiet = False,
    verbose: flags.Verbose = False,  # noqa: ARG001 - its callback acts on it
) -> None:
    """Fine-tune a model on labelled pairs or triplets.

    Example: [bold]sbert-cluster train labelled_pairs.csv --output my-model[/]
    """
    from sbert_cluster import pipeline
    from sbert_cluster.cli.narrate_training import TrainingNarrator
    from sbert_cluster.options import ReadOptions
    from sbert_cluster.pipeline.labels import LabelColumns
    from sbert_cluster.training.recipe import Recipe

    recipe = Recipe(
        objective=objective,
        epochs=epochs,
        batch_size=batch_size,
        accumulate=accumulate,
        cached=cached,
        learning_rate=learning_rate,
        warmup=warmup,
        dropout=dropout,
        pooling=pooling,
        concatenation=concatenation,
        freeze=freeze,
        lora=lora,
        negatives=negatives,
        band=negatives_band,
        holdout=holdout,
        patience=patience,
        seed=seed,
    )
    narrator = TrainingNarrator(quiet=quiet, json=json)
    with narrator.progress() as progress:
        result = pipeline.train(
            labels,
            output=output,
            model=model,
            recipe=recipe,
            columns=LabelColumns(tuple(text_column or ()), label_column, tuple(where or ())),
            dev=dev,
            dev_where=dev_where or (),
            negatives_from=negatives_from or (),
            guard=guard,
            teacher=teacher,
            cross_encoder=cross_encoder,
            seeds=seeds,
            average=average,
            device=device,
            precision=precision,
            target_precision=target_precision,
            checkpoint_every=checkpoint_every,
            read=ReadOptions(format=format, encoding=encoding),
            cache_dir=cache_dir,
            cache=not no_cache,
            overwrite=overwrite,
            progress=progress,
            tell=narrator.tell,
        )
    narrator.show_training(result)
