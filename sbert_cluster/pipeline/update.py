"""New rows against a finished run: only what is new is compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack

from sbert_cluster.errors import UsageError
from sbert_cluster.options import OutputOptions
from sbert_cluster.pipeline.finished import FinishedRun
from sbert_cluster.pipeline.shared import SharedEngine, check_names
from sbert_cluster.progress import Progress, silent
from sbert_cluster.types import DedupResult


def update(
    run: str | Path,
    new: str | Path | Sequence[str | Path],
    *,
    keep: str | None = None,
    grouping: str | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
    yes: bool = False,
    seed: int | None = None,
    progress: Progress = silent,
    **shared: Unpack[SharedEngine],
) -> DedupResult:
    """Add rows to a finished run, as if it had been made of all files at once.

    The new rows are compared with the old ones and with each other; the pairs among the old ones
    are taken from the run. Everything that is not given is as it was in the run.

    Args:
        run: A run folder of ``dedup``; its input files must be unchanged.
        new: A file, a glob, or several, with the same columns.
        keep: As for ``dedup``.
        grouping: As for ``dedup``.
        output: As for ``dedup``; it may be the run itself, with ``overwrite``.
        overwrite: Whether an existing result may be replaced.
        yes: Whether to go on where more than 50 million pairs are expected.
        seed: As for ``dedup``.
        progress: Told how far each stage is.
        **shared: See :class:`~sbert_cluster.pipeline.shared.SharedEngine`. What the pairs rest on
            (text columns, model, prompt and the like) cannot be given anew.

    Returns:
        What ``dedup`` gives for the old files and the new ones together.

    Raises:
        InputError: If an input of the run is gone or has changed.
        RunFolderError: If the run cannot be read, or the result not be written.
        SbertClusterError: As ``dedup`` does.
    """
    check_names("update", shared, SharedEngine)
    finished = FinishedRun.open(run)
    job = finished.job(
        shared,
        threshold=None,
        keep=keep,
        grouping=grouping,
        write=OutputOptions(output=Path(output) if output else None, overwrite=overwrite),
        seed=seed,
        yes=yes,
        progress=progress,
    )
    files = [new] if isinstance(new, str | Path) else list(new)
    if not files:
        raise UsageError(
            f"there is nothing to add to {finished.folder}", "Name a file with new rows."
        )
    job = replace(job, known=finished.known())
    return job.run([*finished.files, *files], finished.against)
