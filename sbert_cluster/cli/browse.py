"""``sbert-cluster browse``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sbert_cluster.cli import flags


def browse(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|INPUT",
            help="Run folder that dedup or groups wrote; or an input file, which is grouped first.",
            show_default=False,
        ),
    ],
    light: Annotated[
        bool, typer.Option("--light", help="Light colours; L changes them later.")
    ] = False,
    verbose: flags.Verbose = False,  # noqa: ARG001 - its callback acts on it
) -> None:
    """Look at a run in the terminal: see groups, judge pairs, change clusters, undo.

    Example: [bold]sbert-cluster browse questions.dedup[/]
    """
    from sbert_cluster.tui.app import BrowseApp, open_model

    _require_terminal()
    folder = _grouped(run) if run.is_file() else run
    program = BrowseApp(open_model(folder), dark=not light)
    program.run()
    if program.failure is not None:
        raise program.failure


def _require_terminal() -> None:
    """A pipe can be neither looked at nor typed into; ``textual serve`` brings its own driver."""
    import os
    import sys

    from sbert_cluster.errors import UsageError

    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    if not interactive and "TEXTUAL_DRIVER" not in os.environ:
        raise UsageError(
            "browse needs a terminal, and this is a pipe or a file",
            "Start it in a terminal, or look at report.html in the run folder.",
        )


def _grouped(path: Path) -> Path:
    """The run of ``groups`` on a file: the one that is there, or a new one."""
    from sbert_cluster.runs import MANIFEST, default_run_folder

    folder = default_run_folder([str(path)], "groups")
    if not (folder / MANIFEST).exists():
        from sbert_cluster import pipeline
        from sbert_cluster.cli.narrate import Narrator

        with Narrator(quiet=False, json=False).progress() as progress:
            pipeline.groups(str(path), output=folder, progress=progress)
    return folder
