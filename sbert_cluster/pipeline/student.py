"""The static student of a model: from its vocabulary, which is kept in the cache folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from sbert_cluster.corpus.writing import atomic_file
from sbert_cluster.encoder.bags import Bags
from sbert_cluster.encoder.cache import STUDENTS, default_cache_dir
from sbert_cluster.encoder.device import has_bf16_products
from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.options import Precision
from sbert_cluster.progress import Progress
from sbert_cluster.training.distill import first_table
from sbert_cluster.types import Vectors


def quick_encoder(encoder: Encoder) -> Encoder:
    """The same model in the number format for looking: bf16 where a CPU has such products.

    What is asked for in so many words is not changed.
    """
    asked, place = encoder.options, encoder.place
    if asked.precision is Precision.AUTO and place.device == "cpu" and has_bf16_products():
        return replace(encoder, options=replace(asked, precision=Precision.BF16))
    return encoder


def draft_student(encoder: Encoder, bags: Bags, progress: Progress) -> Vectors:
    """Make a student of the encoder's model from its vocabulary and the texts' frequencies.

    Args:
        encoder: The teacher.
        bags: The texts.
        progress: Told the number of tokens read.

    Returns:
        float32[vocabulary, d]: its token vectors before any training.

    Raises:
        RunFolderError: If the cache folder cannot be written.
    """
    vocabulary = read_vocabulary(encoder, progress)
    return first_table(vocabulary, bags.counts(len(vocabulary)))


def read_vocabulary(encoder: Encoder, progress: Progress) -> Vectors:
    """The vector of each token alone; made once for each model and number format.

    Args:
        encoder: The teacher.
        progress: Told the number of tokens read.

    Returns:
        float32[vocabulary, d], unit vectors.

    Raises:
        RunFolderError: If the cache folder cannot be written.
    """
    if not encoder.options.use_cache:
        return encoder.vocabulary(progress)
    folder = (encoder.options.cache_dir or default_cache_dir()) / STUDENTS
    path = folder / f"{encoder.fingerprint.key[:32]}-{encoder.place.precision}.npy"
    width = encoder.fingerprint.dimensions
    if (known := _read(path, width)) is not None:
        return known
    made = encoder.vocabulary(progress)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        np.save(file, made, allow_pickle=False)
    return made


def _read(path: Path, width: int) -> Vectors | None:
    """What lies there, if it is sound."""
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    sound = found.ndim == 2 and found.shape[1] == width and found.dtype == np.float32
    return found if sound and bool(np.isfinite(found).all()) else None
