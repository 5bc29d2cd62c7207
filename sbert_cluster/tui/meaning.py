"""Rows of a run by meaning; loads the model, so only the process of :mod:`tui.task` comes here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.errors import UsageError
from sbert_cluster.pipeline.edit_groups import model_of
from sbert_cluster.pipeline.groups_folder import read_rows
from sbert_cluster.pipeline.shared import encode_options
from sbert_cluster.progress import Progress, silent
from sbert_cluster.runs import read_manifest
from sbert_cluster.types import Rows, Vectors


def nearest(
    folder: Path, text: str, count: int, progress: Progress = silent
) -> tuple[Rows, NDArray[np.float32]]:
    """The rows of a run of ``groups`` most similar to a text.

    Args:
        folder: The run folder.
        text: What they should mean.
        count: Rows wanted.
        progress: Told how far encoding the rows is; their vectors usually come from the cache.

    Returns:
        int64[k] rows, the most similar first, and float32[k] similarities. Rows without a text
        are left out.

    Raises:
        UsageError: If the run has vectors that users brought: no model is known then.
        ModelError: If the model cannot be used.
    """
    rows, vectors, encoder = _vectors(folder, progress)
    query = encoder.encode([text]).vectors[0]
    similarity = vectors @ query
    best = np.argsort(-similarity, kind="stable")[:count]
    return rows[best], similarity[best]


Known = tuple[Rows, Vectors, Encoder]
"""Rows with a text, their vectors, and what made them."""
_held: dict[Path, Known] = {}
"""For the next question about the same run."""


def _vectors(folder: Path, progress: Progress) -> Known:
    if folder not in _held:
        _held.clear()
        _held[folder] = _read(folder, progress)
    return _held[folder]


def _read(folder: Path, progress: Progress) -> Known:
    manifest = read_manifest(folder)
    corpus, texts = read_rows(folder, manifest)
    if corpus.vector_column is not None:
        raise UsageError(
            "the run has vectors of an unknown model, so a text cannot be compared with them",
            "Search for words with / instead.",
        )
    encoder = Encoder.open(encode_options(model_of(manifest["arguments"], {})))
    rows = np.array([row for row, text in enumerate(texts) if text], np.int64)
    vectors = encoder.encode([texts[row] for row in rows.tolist()], progress).vectors
    return rows, vectors, encoder
