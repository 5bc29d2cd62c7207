"""Vectors kept on disk, so that no text is encoded twice by the same model.

One SQLite file per model key and number format: SQLite gives what is needed here and is hard to
write oneself, namely two runs at once, and a file that survives a kill at any moment.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.errors import RunFolderError
from sbert_cluster.options import Precision
from sbert_cluster.types import ModelFingerprint, Vectors

_SCHEMA = """
CREATE TABLE IF NOT EXISTS embeddings (
    key BLOB PRIMARY KEY,
    truncated INTEGER NOT NULL,
    vector BLOB NOT NULL
)
"""
_FILES = "[0-9a-f]" * 32 + "-*.sqlite"
"""Names of cache files: the folder may hold files of others."""
_PATIENCE = 120
"""Seconds to wait for another run that writes to the same file."""
_LOOKUP = 500
"""Keys per query: below SQLite's lowest limit on variables."""


def default_cache_dir() -> Path:
    """The user's cache folder: ``SBERT_CLUSTER_CACHE``, or where the system keeps such things."""
    named = os.environ.get("SBERT_CLUSTER_CACHE")
    if named:
        return Path(named)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "sbert-cluster"


def cache_path(folder: Path, model: ModelFingerprint, precision: Precision) -> Path:
    """The file of one model and number format: other vectors, other file."""
    return folder / f"{model.key[:32]}-{precision}.sqlite"


def text_key(text: str) -> bytes:
    """16 bytes that stand for a text; two texts share them with a chance below 1e-20."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _use_write_ahead_log(db: sqlite3.Connection) -> None:
    """With a write-ahead log readers never wait, and a killed writer leaves no half row."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            db.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            # SQLite's own time-out does not hold here: of two runs that set up the same new file,
            # one fails at once.
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


@dataclass(frozen=True)
class CacheFile:
    """One file of the cache."""

    path: Path
    """Place on disk."""
    bytes: int
    """Size with its journal, in bytes."""
    vectors: int
    """Number of texts kept."""


class EmbeddingCache:
    """The vectors of one model in one number format.

    Args:
        folder: The cache folder; made if absent.
        model: The model; its ``key`` covers the prompt as well.
        precision: Number format of the forward pass.

    Raises:
        RunFolderError: If the file cannot be opened.
    """

    def __init__(self, folder: Path, model: ModelFingerprint, precision: Precision) -> None:
        self._dimensions = model.dimensions
        self.path = cache_path(folder, model, precision)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=_PATIENCE, isolation_level=None)
            _use_write_ahead_log(self._db)
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise self._broken(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._db.close()

    def load(
        self, texts: Sequence[str], vectors: Vectors, truncated: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Fill in what is known.

        Args:
            texts: n texts, each once.
            vectors: float32[n, dimensions], written where a vector is known.
            truncated: bool[n], likewise.

        Returns:
            bool[n]: which were found.
        """
        found = np.zeros(len(texts), np.bool_)
        try:
            for start in range(0, len(texts), _LOOKUP):
                keys = {
                    text_key(t): start + i for i, t in enumerate(texts[start : start + _LOOKUP])
                }
                for key, cut, blob in self._select(list(keys)):
                    # A row that a dying disk mangled is as good as absent.
                    if not isinstance(blob, bytes) or len(blob) != 4 * self._dimensions:
                        continue
                    vector = np.frombuffer(blob, np.float32)
                    if np.isfinite(vector).all():
                        row = keys[key]
                        vectors[row], truncated[row], found[row] = vector, bool(cut), True
        except sqlite3.Error as error:
            raise self._broken(error) from error
        return found

    def save(self, texts: Sequence[str], vectors: Vectors, truncated: NDArray[np.bool_]) -> None:
        """Add vectors in one transaction: after a kill they are there wholly or not at all."""
        rows = zip(
            map(text_key, texts), map(int, truncated), (v.tobytes() for v in vectors), strict=True
        )
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?)", rows)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._broken(error) from error

    def count_known(self, texts: Sequence[str]) -> int:
        """How many of the texts (each once) are in the cache."""
        total = 0
        for start in range(0, len(texts), _LOOKUP):
            keys = [text_key(text) for text in texts[start : start + _LOOKUP]]
            marks = ",".join("?" * len(keys))
            query = f"SELECT count(*) FROM embeddings WHERE key IN ({marks})"  # noqa: S608 - marks only
            try:
                total += int(self._db.execute(query, keys).fetchone()[0])
            except sqlite3.Error as error:
                raise self._broken(error) from error
        return total

    def _select(self, keys: list[bytes]) -> Iterable[tuple[bytes, int, bytes]]:
        marks = ",".join("?" * len(keys))
        query = f"SELECT key, truncated, vector FROM embeddings WHERE key IN ({marks})"  # noqa: S608
        return self._db.execute(query, keys)

    def _broken(self, error: Exception) -> RunFolderError:
        return RunFolderError(
            f"the embedding cache {self.path} cannot be used ({error})",
            "Name another place with --cache-dir, go without with --no-cache, "
            "or empty it with: sbert-cluster info --clear-cache",
        )


def cache_files(folder: Path) -> list[CacheFile]:
    """The files of a cache folder, in name order."""
    files = []
    for path in sorted(folder.glob(_FILES)):
        size = sum(p.stat().st_size for p in folder.glob(f"{path.name}*"))
        files.append(CacheFile(path, size, _count(path)))
    return files


def clear_cache(folder: Path) -> int:
    """Delete the files of a cache folder; returns the bytes set free."""
    freed = 0
    for file in cache_files(folder):
        freed += file.bytes
        for path in folder.glob(f"{file.path.name}*"):
            path.unlink(missing_ok=True)
    return freed


def _count(path: Path) -> int:
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=5)) as db:
            return int(db.execute("SELECT count(*) FROM embeddings").fetchone()[0])
    except sqlite3.Error:
        return 0
