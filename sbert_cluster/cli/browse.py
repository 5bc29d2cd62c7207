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
            metavar="RUN", help="Run folder that dedup or groups wrote.", show_default=False
        ),
    ],
    light: Annotated[
        bool, typer.Option("--light", help="Light colours; L changes it later.")
    ] = False,
    verbose: flags.Verbose = False,  # noqa: ARG001 - its callback acts on it
) -> None:
    """Look at a run in the terminal, decide, and undo.

    Example: [bold]sbert-cluster browse questions.dedup[/]
    """
    from sbert_cluster.tui.app import BrowseApp, open_model

    BrowseApp(open_model(run), dark=not light).run()
