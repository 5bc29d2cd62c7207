"""``sbert-cluster groups``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sbert_cluster.cli import flags
from sbert_cluster.cli.shared import on_this_machine, with_engine_flags
from sbert_cluster.errors import UsageError
from sbert_cluster.options import Linkage, Method, Projection

if TYPE_CHECKING:
    from sbert_cluster.cli.narrate import Narrator
    from sbert_cluster.pipeline import SharedEngine

_HOW = "How to group"
_CHANGE = "Change a finished run (with --from)"


@with_engine_flags
def groups(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[INPUT]",
            help="CSV, TSV, JSONL, Parquet, Arrow or text files (also .gz, .zst), globs, "
            "or - for stdin.",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        Method,
        typer.Option(
            help="modes: modes of density joined by Ward's linkage; hdbscan: dense regions, the "
            "rest is noise; agglomerative: a tree of merges; kmeans: spherical k-means.",
            rich_help_panel=_HOW,
        ),
    ] = Method.MODES,
    min_cluster_size: Annotated[
        int | None,
        typer.Option(
            metavar="ROWS",
            help="Smallest group. Default: follows from the number of rows.",
            rich_help_panel=_HOW,
            show_default=False,
        ),
    ] = None,
    clusters: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            help="Number of groups. Default: found. Not for hdbscan.",
            rich_help_panel=_HOW,
            show_default=False,
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            "-t",
            help="Similarity down to which agglomerative merges.",
            rich_help_panel=_HOW,
            show_default=False,
        ),
    ] = None,
    linkage: Annotated[
        Linkage,
        typer.Option(
            help="Of agglomerative: how the similarity of groups follows from that of rows.",
            rich_help_panel=_HOW,
        ),
    ] = Linkage.AVERAGE,
    projection: Annotated[
        Projection,
        typer.Option(help="What hdbscan works on.", rich_help_panel=_HOW),
    ] = Projection.SMOOTH,
    assign_noise: Annotated[
        bool,
        typer.Option(
            "--assign-noise",
            help="Rows that fit no group join the nearest one, and are marked.",
            rich_help_panel=_HOW,
        ),
    ] = False,
    layers: Annotated[
        bool,
        typer.Option(
            "--layers",
            help="Find one or two coarser layers over the groups.",
            rich_help_panel=_HOW,
        ),
    ] = False,
    assign: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Give the rows of INPUT the groups of a finished run.",
            rich_help_panel=_HOW,
            show_default=False,
        ),
    ] = None,
    from_run: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="A finished run to change.",
            rich_help_panel=_CHANGE,
            show_default=False,
        ),
    ] = None,
    merge: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A,B,…",
            help="Groups that become one; may be repeated.",
            rich_help_panel=_CHANGE,
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        list[int] | None,
        typer.Option(
            metavar="A",
            help="A group to take apart; may be repeated.",
            rich_help_panel=_CHANGE,
            show_default=False,
        ),
    ] = None,
    rename: Annotated[
        tuple[int, str] | None,
        typer.Option(
            metavar="A NAME",
            help="Give a group a name.",
            rich_help_panel=_CHANGE,
            show_default=False,
        ),
    ] = None,
    move: Annotated[
        tuple[int, int] | None,
        typer.Option(
            metavar="ROW A",
            help="Put a row into another group (-1: into none).",
            rich_help_panel=_CHANGE,
            show_default=False,
        ),
    ] = None,
    undo: Annotated[
        bool,
        typer.Option("--undo", help="Take the last change back.", rich_help_panel=_CHANGE),
    ] = False,
    redo: Annotated[
        bool,
        typer.Option("--redo", help="Do again what was undone.", rich_help_panel=_CHANGE),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER|FILE|-",
            help="Run folder, or a file (rows.csv) or - (stdout) for the rows alone. "
            "Default: INPUT.groups beside the input.",
            rich_help_panel="Output",
            show_default=False,
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw the map into a .png, .svg or .pdf file.",
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
    shared: SharedEngine,
) -> None:
    """Group rows by what they are about, and name the groups.

    Example: [bold]sbert-cluster groups reviews.parquet --layers[/]

    Change a run: [bold]sbert-cluster groups --from reviews.groups --merge 3,7 --rename 5 "Late
    delivery"[/]
    """
    from sbert_cluster import pipeline
    from sbert_cluster.cli.narrate import Narrator
    from sbert_cluster.runs import default_run_folder

    narrator = Narrator(quiet=quiet, json=json)
    changes = _Changes(merge or [], split or [], rename, move, undo, redo)
    if from_run is not None:
        changes.apply(from_run, inputs, narrator, shared)
        return
    changes.refuse()
    if not inputs:
        raise UsageError("no INPUT was named", "Name a file, or a finished run with --from.")
    if dry_run:
        with narrator.progress() as progress:
            forecast = pipeline.plan(
                inputs, vector_column=vector_column, progress=progress, **shared
            )
        narrator.show_plan(forecast)
        return
    if assign is not None:
        target = output or _assigned(inputs[0])
        with narrator.progress() as progress:
            assigned = pipeline.assign_groups(
                assign,
                inputs,
                output=target,
                vector_column=vector_column,
                overwrite=overwrite,
                progress=progress,
                **on_this_machine(shared, "--assign"),
            )
        narrator.show_assigned(assigned, target)
        return
    target = output or default_run_folder(inputs, "groups")
    with narrator.progress() as progress:
        result = pipeline.groups(
            inputs,
            method=method,
            min_cluster_size=min_cluster_size,
            clusters=clusters,
            threshold=threshold,
            linkage=linkage,
            projection=projection,
            assign_noise=assign_noise,
            layers=layers,
            vector_column=vector_column,
            output=target,
            plot=plot,
            overwrite=overwrite,
            seed=seed,
            progress=progress,
            **shared,
        )
    narrator.show_groups(result, target)


class _Changes:
    """What is to be changed in a finished run."""

    def __init__(
        self,
        merge: list[str],
        split: list[int],
        rename: tuple[int, str] | None,
        move: tuple[int, int] | None,
        undo: bool,
        redo: bool,
    ) -> None:
        self._merge, self._split, self._rename = merge, split, rename
        self._move, self._undo, self._redo = move, undo, redo

    def _asked(self) -> list[str]:
        flags_ = {
            "--merge": self._merge,
            "--split": self._split,
            "--rename": self._rename,
            "--move": self._move,
            "--undo": self._undo,
            "--redo": self._redo,
        }
        return [name for name, value in flags_.items() if value]

    def refuse(self) -> None:
        """Refuse changes where no run is named."""
        if asked := self._asked():
            raise UsageError(f"{asked[0]} changes a finished run", "Name the run with --from RUN.")

    def apply(
        self, run: Path, inputs: list[str] | None, narrator: Narrator, shared: SharedEngine
    ) -> None:
        """Change the run and tell what it is now."""
        from sbert_cluster import pipeline

        if inputs:
            raise UsageError(
                f"--from {run} takes no INPUT, got {inputs[0]!r}",
                "Use --assign RUN to give new rows the groups of a run.",
            )
        if not self._asked():
            raise UsageError(
                f"nothing to change in {run}",
                "Add --merge, --split, --rename, --move, --undo or --redo.",
            )
        with narrator.progress() as progress:
            result = pipeline.edit_groups(
                run,
                merge=[_numbers(words) for words in self._merge],
                split=self._split,
                rename=dict([self._rename]) if self._rename else {},
                move=dict([self._move]) if self._move else {},
                undo=int(self._undo),
                redo=int(self._redo),
                progress=progress,
                **on_this_machine(shared, "--from"),
            )
        narrator.show_groups(result, run)


def _numbers(words: str) -> list[int]:
    try:
        return [int(word) for word in words.split(",")]
    except ValueError:
        raise UsageError(
            f"--merge {words!r} is no list of groups", "Write their numbers, as in --merge 3,7."
        ) from None


def _assigned(first: str) -> Path:
    """``new.csv`` → ``new.assigned.csv``, beside it."""
    if first == "-":
        return Path("-")
    path = Path(first)
    stem, dot, rest = path.name.partition(".")
    return path.with_name(f"{stem}.assigned{dot}{rest}")
