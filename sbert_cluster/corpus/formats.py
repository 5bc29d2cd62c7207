"""Which files are meant, and what format they are in."""

from __future__ import annotations

import difflib
import glob
import sys
from collections.abc import Sequence
from pathlib import Path

from sbert_cluster.errors import InputError, UsageError
from sbert_cluster.options import FileFormat

STDIN = "-"
"""Stands for standard input (or output) among paths."""

_SUFFIXES = {
    ".csv": FileFormat.CSV,
    ".tsv": FileFormat.TSV,
    ".tab": FileFormat.TSV,
    ".jsonl": FileFormat.JSONL,
    ".ndjson": FileFormat.JSONL,
    ".parquet": FileFormat.PARQUET,
    ".pq": FileFormat.PARQUET,
    ".arrow": FileFormat.ARROW,
    ".feather": FileFormat.ARROW,
    ".ipc": FileFormat.ARROW,
    ".txt": FileFormat.TEXT,
    ".text": FileFormat.TEXT,
}
_COMPRESSIONS = {".gz": "gz", ".zst": "zst", ".zstd": "zst"}


def compression_of(path: str) -> str:
    """``gz``, ``zst`` or ``""``, told by the name."""
    return _COMPRESSIONS.get(Path(path).suffix.lower(), "")


def known_format(path: str) -> FileFormat | None:
    """The format told by the name, with or without ``.gz`` or ``.zst``; None: unknown."""
    return _SUFFIXES.get(_suffix(path))


def format_of(path: str) -> FileFormat:
    """The format told by the name of an input.

    Raises:
        UsageError: If the name does not tell it.
    """
    found = known_format(path)
    if found is not None:
        return found
    if path == STDIN:
        raise UsageError("stdin needs --format", "Add --format csv, or another format.")
    if Path(path).is_dir():
        raise _folder(path)
    if _suffix(path) == ".json":
        raise UsageError(
            f"{path} is JSON, not JSON lines",
            "Write one object a line (jq -c '.[]'), or add --format jsonl if it is that already.",
        )
    raise UsageError(
        f"{path} has a suffix that is not known ({_suffix(path) or 'none'})",
        "Add --format csv, tsv, jsonl, parquet or arrow.",
    )


def expand(inputs: Sequence[str | Path]) -> list[str]:
    """The paths of all input files, globs expanded and sorted.

    Raises:
        UsageError: If there is no input.
        InputError: If a file does not exist, or a glob matches nothing.
    """
    if not inputs:
        raise UsageError("no input", "Name at least one file.")
    return [path for given in inputs for path in _expand_one(str(given))]


def read_bytes(path: str) -> bytes:
    """The content of a file, or of standard input for ``-``.

    Raises:
        InputError: If it is missing, a folder, empty, or may not be read.
    """
    try:
        data = sys.stdin.buffer.read() if path == STDIN else Path(path).read_bytes()
    except FileNotFoundError:
        raise _missing(path) from None
    except IsADirectoryError:
        raise _folder(path) from None
    except OSError as error:
        if Path(path).is_dir():  # Windows says "permission denied"
            raise _folder(path) from None
        reason = error.strerror or str(error)
        raise InputError(f"{path} cannot be read: {reason}", "Check its permissions.") from None
    if not data:
        what = "stdin" if path == STDIN else path
        raise InputError(f"{what} is empty (0 bytes)", "Give a file with at least one row.")
    return data


def _suffix(path: str) -> str:
    name = Path(path)
    if name.suffix.lower() in _COMPRESSIONS:
        name = name.with_suffix("")
    return name.suffix.lower()


def _expand_one(given: str) -> list[str]:
    if given == STDIN or _exists(given):
        return [given]
    if not any(sign in given for sign in "*?["):
        raise _missing(given)
    # Not Path.glob: that takes no absolute pattern.
    matches = glob.glob(given, recursive=True)  # noqa: PTH207
    found = sorted(path for path in matches if not Path(path).is_dir())
    if not found:
        raise InputError(f"no file matches {given!r}", "Check the pattern.")
    return found


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:
        return True  # why it cannot be looked at is said when it is read


def _folder(path: str) -> InputError:
    return InputError(f"{path} is a folder, not a file", f"Name its files, such as {path}/*.csv.")


def _missing(given: str) -> InputError:
    path = Path(given)
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        names = []
    near = difflib.get_close_matches(path.name, names, 1)
    remedy = f"Did you mean {path.with_name(near[0])}?" if near else "Check the path."
    return InputError(f"{given} does not exist", remedy)
