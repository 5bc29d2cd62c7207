"""The append-only log of edits: each is on disk before the next one is possible."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from sbert_cluster.errors import RunFolderError
from sbert_cluster.runs import EDITS

Record = dict[str, Any]
"""One line of the log: JSON-ready, with the key ``operation``."""


class EditLog:
    """``edits.jsonl`` of a run folder.

    The file is made at the first edit. While it is open no other process may write to it (where the
    system knows such locks).

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / EDITS
        self._file: IO[bytes] | None = None

    def read(self) -> Iterator[Record]:
        """What was recorded so far. A last line that a crash cut off is left out.

        Raises:
            RunFolderError: If a whole line is not a record.
        """
        if not self.path.exists():
            return
        for number, line in enumerate(self._whole_lines(), 1):
            try:
                record = json.loads(line)
                _ = record["operation"]
            except (ValueError, TypeError, KeyError) as error:
                raise RunFolderError(
                    f"{self.path}: line {number} is not an edit ({error})",
                    "Correct or delete that line.",
                ) from None
            yield record

    def append(self, record: Record) -> None:
        """Add a record; it is on disk when this returns.

        Raises:
            RunFolderError: If it cannot be written, or another process has the log open.
        """
        line = json.dumps(record, ensure_ascii=True, separators=(",", ":")) + "\n"
        try:
            file = self._opened()
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            raise RunFolderError(
                f"cannot write {self.path} ({error.strerror or error})",
                "Free some space or check the permissions; nothing decided before is lost.",
            ) from error

    def close(self) -> None:
        """Let others write."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __del__(self) -> None:
        self.close()

    def _whole_lines(self) -> list[bytes]:
        return self.path.read_bytes().split(b"\n")[:-1]

    def _opened(self) -> IO[bytes]:
        if self._file is None:
            file = self.path.open("ab")
            self._lock(file)
            self._cut_torn_line(file)
            self._file = file
        return self._file

    def _lock(self, file: IO[bytes]) -> None:
        with suppress(ImportError):
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                raise RunFolderError(
                    f"{self.path} is open in another window",
                    "Close that one first; edits of two windows would not fit together.",
                ) from None

    def _cut_torn_line(self, file: IO[bytes]) -> None:
        """Remove what a crash left behind the last line end."""
        file.truncate(sum(len(line) + 1 for line in self._whole_lines()))
