"""``sbert-cluster dedup``: of files, of a finished run, or of a finished run and new files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sbert_cluster.cli import flags
from sbert_cluster.cli.shared import given_flags, with_engine_flags
from sbert_cluster.errors import UsageError
from sbert_cluster.options import DEFAULT_THRESHOLD, Grouping

if TYPE_CHECKING:
    from sbert_cluster.cli.narrate import Narrator
    from sbert_cluster.pipeline import SharedEngine

_FINISHED = "Finished run"

Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="INPUT",
        help="CSV, TSV, JSONL, Parquet, Arrow or text files (also .gz, .zst), globs, "
        "or - for stdin.",
        show_default=False,
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold",
        "-t",
        help="Cosine similarity in (0, 1] from which rows are duplicates. Default: the one "
        f"stored with the model by train or calibrate, else {DEFAULT_THRESHOLD:g}.",
        show_default=False,
    ),
]
Rerank = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        help="A cross-encoder (train --cross-encoder) that decides pairs in the band.",
        show_default=False,
    ),
]
Band = Annotated[
    tuple[float, float] | None,
    typer.Option(
        metavar="LOW HIGH",
        help="Similarities between which it decides. Default: from 0.1 below the threshold to "
        "0.05 above it.",
        show_default=False,
    ),
]
Keep = Annotated[
    str,
    typer.Option(
        metavar="RULE",
        help="Which row of a group stays: first, last, longest, shortest, newest:COL, "
        "oldest:COL, max:COL or min:COL.",
    ),
]
GroupingFlag = Annotated[
    Grouping,
    typer.Option(
        "--grouping",
        help="direct: each removed row is similar to the row kept in its place; complete: all "
        "rows of a group are similar to each other; single: chains count.",
    ),
]
Against = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE",
        help="Remove only rows that repeat a row of FILE (training data in a test set).",
        show_default=False,
    ),
]
Fast = Annotated[
    bool,
    typer.Option(
        "--fast",
        help="Encode only rows that a static student of the model finds worth it; prints the share "
        "of pairs found.",
    ),
]
Recall = Annotated[
    float | None,
    typer.Option(
        help="Share of the pairs that --fast is to find with 95 % confidence. Default: 0.99.",
        show_default=False,
    ),
]
Yes = Annotated[
    bool,
    typer.Option("--yes", "-y", help="Go on even if more than 50 million pairs are expected."),
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="RUN",
        help="Decide a finished run anew: with another --threshold, --keep or --grouping. Upwards "
        "nothing is compared.",
        rich_help_panel=_FINISHED,
        show_default=False,
    ),
]
Update = Annotated[
    str | None,
    typer.Option(
        metavar="RUN",
        help="Add the rows of INPUT to a finished run; only they are compared. All other options "
        "are those of the run.",
        rich_help_panel=_FINISHED,
        show_default=False,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FOLDER|FILE|-",
        help="Run folder, or a file (kept.csv) or - (stdout) for the kept rows alone. "
        "Default: INPUT.dedup beside the input, or the finished run.",
        rich_help_panel="Output",
        show_default=False,
    ),
]


@with_engine_flags
def dedup(
    context: typer.Context,
    inputs: Inputs = None,
    threshold: Threshold = None,
    keep: Keep = "first",
    grouping: GroupingFlag = Grouping.DIRECT,
    rerank: Rerank = None,
    band: Band = None,
    against: Against = None,
    fast: Fast = False,
    recall: Recall = None,
    from_run: From = None,
    update: Update = None,
    output: Output = None,
    overwrite: flags.Overwrite = False,
    yes: Yes = False,
    json: flags.Json = False,
    dry_run: flags.DryRun = False,
    quiet: flags.Quiet = False,
    verbose: flags.Verbose = False,  # noqa: ARG001 - its callback acts on it
    seed: flags.Seed = 0,
    vector_column: flags.VectorColumn = None,
    *,
    shared: SharedEngine,
) -> None:
    """Find every pair of near-duplicate rows and decide which rows stay.

    Example: [bold]sbert-cluster dedup questions.csv --threshold 0.9 --keep longest[/]
    """
    from sbert_cluster.cli.narrate import Narrator

    narrator = Narrator(quiet=quiet, json=json)
    run = from_run or update
    if run is not None:
        given = _given_anew(context, update=update is not None)
        _again(narrator, given, inputs or [], from_run, update, output)
        return
    own: dict[str, Any] = {"threshold": threshold, "against": against, "seed": seed}
    files = inputs or []
    if dry_run:
        _plan(narrator, files, {**own, "vector_column": vector_column, **shared})
        return
    more = {"keep": keep, "grouping": grouping, "overwrite": overwrite, "yes": yes}
    more |= {"rerank": rerank, "band": band, "fast": fast, "recall": recall}
    _run(narrator, files, output, {**own, **more, "vector_column": vector_column, **shared})


def _plan(narrator: Narrator, inputs: list[str], options: dict[str, Any]) -> None:
    from sbert_cluster import pipeline
    from sbert_cluster.pipeline.thresholds import choose_threshold

    with narrator.progress() as progress:
        options["threshold"] = choose_threshold(options["threshold"], options["model"]).threshold
        forecast = pipeline.plan(inputs, progress=progress, **options)
    narrator.show_plan(forecast)


def _run(
    narrator: Narrator, inputs: list[str], output: Path | None, options: dict[str, Any]
) -> None:
    from sbert_cluster import pipeline
    from sbert_cluster.runs import default_run_folder

    if not inputs:
        raise UsageError("no input", "Name at least one file, or a finished run with --from.")
    target = output or default_run_folder(inputs, "dedup")
    with narrator.progress() as progress:
        result = pipeline.dedup(inputs, output=target, progress=progress, **options)
    narrator.show_dedup(result, target)


def _again(
    narrator: Narrator,
    given: dict[str, Any],
    inputs: list[str],
    from_run: str | None,
    update: str | None,
    output: Path | None,
) -> None:
    """Start from a finished run."""
    from sbert_cluster import pipeline

    target = output or Path(from_run or update or "")
    with narrator.progress() as progress:
        if update is not None:
            result = pipeline.update(update, inputs, output=target, progress=progress, **given)
        else:
            if inputs:
                raise UsageError(
                    f"--from takes the input of the run, and {inputs[0]!r} is given as well",
                    "Leave it out, or add new rows with --update.",
                )
            assert from_run
            result = pipeline.rethreshold(from_run, output=target, progress=progress, **given)
    narrator.show_dedup(result, target)


def _given_anew(context: typer.Context, *, update: bool) -> dict[str, Any]:
    """The options of the command line; what is not given is as it was in the run."""
    given = given_flags(context)
    flag = "--update" if update else "--from"
    if given.pop("from_run", None) and given.pop("update", None):
        raise UsageError("--from and --update do not go together", "Do one after the other.")
    fixed = ["against", "vector_column", "rerank", "band", "fast", "recall", "dry_run"] + (
        ["threshold"] if update else []
    )
    for name in fixed:
        if name in given:
            raise UsageError(
                f"--{name.replace('_', '-')} cannot be changed with {flag}",
                "Change the threshold of a run with --from."
                if name == "threshold"
                else "Leave it out.",
            )
    for name in ("inputs", "output", "json", "quiet", "verbose", "from_run", "update"):
        given.pop(name, None)
    return given
