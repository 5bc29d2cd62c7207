"""The run folder: written whole or not at all, read with a check of its version."""

from __future__ import annotations

import glob
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sbert_cluster.errors import RunFolderError
from sbert_cluster.types import SCHEMA_VERSION, RunManifest

MANIFEST = "run.json"
EDITS = "edits.jsonl"
"""Decisions that people made about the run in ``browse``."""


def refuse_existing(target: Path, *, overwrite: bool) -> None:
    """Check, before any work is done, that the result may be written.

    Raises:
        RunFolderError: If the target exists and may not be replaced, or if it is a folder that was
            not written by this program, which is never replaced.
    """
    if not target.exists():
        return
    if not overwrite:
        raise RunFolderError(
            f"{target} already exists",
            "Add --overwrite to replace it, or name another with --output.",
        )
    if target.is_dir() and any(target.iterdir()) and not (target / MANIFEST).exists():
        raise RunFolderError(
            f"{target} is a folder that holds something other than a run",
            "Name another place with --output.",
        )


def refuse_losing_edits(target: Path) -> None:
    """Check that replacing a run loses nothing that people decided about it.

    Raises:
        RunFolderError: If the run holds edits.
    """
    if (target / EDITS).exists():
        raise RunFolderError(
            f"{target} holds decisions that people made ({EDITS})",
            f"Name another place with --output, or move {EDITS} away to replace the run.",
        )


@contextmanager
def new_run_folder(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """A temporary folder that takes the target's place when the block ends well.

    Args:
        target: The run folder.
        overwrite: Whether an existing run may be replaced.

    Yields:
        An empty folder beside the target.

    Raises:
        RunFolderError: If it cannot be written; nothing is left behind, an old run stays.
    """
    refuse_existing(target, overwrite=overwrite)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))
    except OSError as error:
        raise _not_written(target, error) from error
    try:
        # mkdtemp makes a folder that only its owner may read; a result follows the user's umask.
        inside = work / "run"
        inside.mkdir()
        yield inside
        _swap(inside, target, work / "old")
    except OSError as error:
        raise _not_written(target, error) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _swap(new: Path, target: Path, old: Path) -> None:
    if target.exists():
        target.rename(old)
    try:
        new.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise


def _not_written(target: Path, error: OSError) -> RunFolderError:
    return RunFolderError(
        f"cannot write {target} ({error.strerror or error})",
        "Free some space or check the permissions, or name another place with --output.",
    )


def write_manifest(folder: Path, manifest: RunManifest) -> None:
    """Write ``run.json``."""
    text = json.dumps(manifest.to_dict(), ensure_ascii=False, indent=2) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8", newline="\n")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read ``run.json``.

    Raises:
        RunFolderError: If the folder holds no run, or one of a version that is not known.
    """
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found = manifest["schema_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(
            f"{folder} is not a run folder ({error})", "Name one that dedup wrote."
        ) from error
    if found != SCHEMA_VERSION:
        raise RunFolderError(
            f"{folder} is of format {found}, this program reads format {SCHEMA_VERSION}",
            "Run the command again.",
        )
    return manifest


def default_run_folder(inputs: Sequence[str], command: str) -> Path:
    """``<input stem>.<command>/`` beside the (first) input; in the current folder for stdin."""
    first = inputs[0]
    if first == "-":
        return Path(f"stdin.{command}")
    if not Path(first).exists():
        # A glob that the shell did not expand: named after its first file.
        first = min(glob.glob(first, recursive=True), default=first)  # noqa: PTH207 - may be absolute
    path = Path(first)
    stem = path.name.partition(".")[0] or path.name or "input"
    return path.parent / f"{stem}.{command}"
