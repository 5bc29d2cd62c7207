"""The static student of a model: from the vocabulary (kept in the cache folder), then tuned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from sbert_cluster.corpus.writing import atomic_file
from sbert_cluster.encoder.cache import STUDENTS, default_cache_dir
from sbert_cluster.encoder.device import has_bf16_products
from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.encoder.static import Bags
from sbert_cluster.neighbors.join import find_pairs
from sbert_cluster.options import Precision
from sbert_cluster.progress import Progress
from sbert_cluster.training.distill import first_table
from sbert_cluster.types import Rows, Vectors

_ALIKE = (0.95, 0.9, 0.85, 0.8, 0.75, 0.7)
"""Similarities of untrained students from which rows are worth training on."""
_LOOKED_AT = 60_000
"""Texts among which those are looked for at most."""


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

    The vectors of the vocabulary are made once for each model and number format.

    Args:
        encoder: The teacher.
        bags: The texts.
        progress: Told the number of tokens read.

    Returns:
        float32[vocabulary, d]: its token vectors before any training.

    Raises:
        RunFolderError: If the cache folder cannot be written.
    """
    vocabulary = _vocabulary(encoder, progress)
    return first_table(vocabulary, bags.counts(len(vocabulary)))


def _vocabulary(encoder: Encoder, progress: Progress) -> Vectors:
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


def rows_to_train_on(vectors: Vectors, count: int, seed: int) -> Rows:
    """Half of them have a look-alike by an untrained student, if so many do; others at random.

    Pairs that the teacher finds similar are far too rare to meet at random; and what looks alike
    without being so is what the student has to unlearn.

    Args:
        vectors: float32[n, d], the untrained student's.
        count: How many rows.
        seed: Of the draw.

    Returns:
        int64[m], rising: all n, or m = count.
    """
    if count >= len(vectors):
        return np.arange(len(vectors))
    random = np.random.default_rng(seed)
    order = random.permutation(len(vectors))
    among = np.sort(random.permutation(len(vectors))[:_LOOKED_AT])
    alike = np.empty(0, np.int64)
    for cut in _ALIKE:
        pairs = find_pairs(vectors[among], cut).pairs
        alike = np.unique(np.concatenate([pairs.left, pairs.right]))
        if len(alike) >= count // 2:
            break
    chosen = among[random.permutation(alike)[: count // 2]]
    others = order[~np.isin(order, chosen)]
    return np.sort(np.concatenate([chosen, others[: count - len(chosen)]]))
