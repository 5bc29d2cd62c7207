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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.encoder.dimensions import shortened
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
STUDENTS = "students"
"""Folder for what static students are made from: the vectors of models' vocabularies."""
_PATIENCE = 120
"""Seconds to wait for another run that writes to the same file."""
_LOOKUP = 400
"""Texts per query, each with up to two keys: below SQLite's lowest limit on variables."""


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


def text_key(text: str, *, chunked: bool = False) -> bytes:
    """16 bytes that stand for a text; two texts share them with a chance below 1e-20.

    Args:
        text: The text.
        chunked: Whether the vector is one of chunks: a text that is longer than the model reads
            has two vectors, and any other text has one.
    """
    kind = b"chunks of 1/8" if chunked else b""
    content = text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(content, digest_size=16, person=kind).digest()


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
            # Vectors are saved in another thread than they are looked up in, never at once.
            self._db = sqlite3.connect(
                self.path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
            )
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
        self,
        texts: Sequence[str],
        vectors: Vectors,
        truncated: NDArray[np.bool_],
        chunked: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.bool_]:
        """Fill in what is known.

        Args:
            texts: n texts, each once.
            vectors: float32[n, d], written where a vector is known; a smaller d than the model's
                gets the first d dimensions, brought back to norm 1.
            truncated: bool[n], likewise.
            chunked: bool[n], likewise; None: of texts that are longer than the model reads, the
                vector of the beginning is wanted, not that of the chunks.

        Returns:
            bool[n]: which were found.
        """
        found = np.zeros(len(texts), np.bool_)
        for start in range(0, len(texts), _LOOKUP):
            keys = _keys(texts[start : start + _LOOKUP], chunks=chunked is not None)
            rows, blobs = [], []
            for key, cut, blob in self._select(list(keys)):
                row, of_chunks = start + keys[key][0], keys[key][1]
                # A row that a dying disk mangled is as good as absent.
                sound = isinstance(blob, bytes) and len(blob) == 4 * self._dimensions
                if sound and (chunked is None or of_chunks or not cut):
                    rows.append(row)
                    blobs.append(blob)
                    truncated[row] = bool(cut)
                    if chunked is not None:
                        chunked[row] = of_chunks
            known = np.frombuffer(b"".join(blobs), np.float32).reshape(-1, self._dimensions)
            finite = np.isfinite(known).all(axis=1)
            places = np.array(rows, np.int64)[finite]
            vectors[places] = shortened(known[finite], vectors.shape[1])
            found[places] = True
        return found

    def save(
        self,
        texts: Sequence[str],
        vectors: Vectors,
        truncated: NDArray[np.bool_],
        chunked: NDArray[np.bool_] | None = None,
    ) -> None:
        """Add vectors in one transaction: after a kill they are there wholly or not at all."""
        in_chunks = np.zeros(len(texts), np.bool_) if chunked is None else chunked
        keys = (text_key(t, chunked=c) for t, c in zip(texts, in_chunks.tolist(), strict=True))
        rows = zip(keys, map(int, truncated), (v.tobytes() for v in vectors), strict=True)
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?)", rows)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._broken(error) from error

    def count_known(self, texts: Sequence[str], *, chunks: bool = False) -> int:
        """How many of the texts (each once) are in the cache, read in chunks if asked for."""
        total = 0
        for start in range(0, len(texts), _LOOKUP):
            keys = _keys(texts[start : start + _LOOKUP], chunks=chunks)
            answers = [(keys[key], cut) for key, cut in self._select(list(keys), "key, truncated")]
            fit = {text for (text, of_chunks), cut in answers if of_chunks or not (chunks and cut)}
            total += len(fit)
        return total

    def _select(
        self, keys: list[bytes], columns: str = "key, truncated, vector"
    ) -> Iterator[tuple[Any, ...]]:
        marks = ",".join("?" * len(keys))
        query = f"SELECT {columns} FROM embeddings WHERE key IN ({marks})"  # noqa: S608 - no values
        try:
            yield from self._db.execute(query, keys)
        except sqlite3.Error as error:
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> RunFolderError:
        return RunFolderError(
            f"the embedding cache {self.path} cannot be used ({error})",
            "Name another place with --cache-dir, go without with --no-cache, "
            "or empty it with: sbert-cluster info --clear-cache",
        )


def _keys(texts: Sequence[str], *, chunks: bool) -> dict[bytes, tuple[int, bool]]:
    """For each key of a text its position, and whether the key is that of chunks."""
    kinds = (False, True) if chunks else (False,)
    return {
        text_key(text, chunked=kind): (position, kind)
        for position, text in enumerate(texts)
        for kind in kinds
    }


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
    for path in (folder / STUDENTS).glob("*.npy"):
        freed += path.stat().st_size
        path.unlink(missing_ok=True)
    return freed


def _count(path: Path) -> int:
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=5)) as db:
            return int(db.execute("SELECT count(*) FROM embeddings").fetchone()[0])
    except sqlite3.Error:
        return 0
