"""What would run here: version, device, number format, model, cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sbert_cluster.encoder import cache
from sbert_cluster.encoder.checkpoint import open_checkpoint
from sbert_cluster.encoder.device import choose_place
from sbert_cluster.meter import versions
from sbert_cluster.options import DEFAULT_MODEL, Precision
from sbert_cluster.types import ModelFingerprint


@dataclass(frozen=True)
class Info:
    """A look at the installation."""

    versions: dict[str, str]
    """Of Python and the packages that shape a result."""
    device: str
    """Where texts would be encoded."""
    precision: str
    """Number format."""
    why: str
    """Why these two."""
    model: ModelFingerprint
    """The model."""
    model_folder: str
    """Where it lies."""
    architecture: str
    """Its ``model_type``."""
    prompts: dict[str, str]
    """Its named prompts."""
    cache_folder: str
    """Where vectors are kept between runs."""
    cache_vectors: int
    """How many, of all models."""
    cache_bytes: int
    """Their size on disk."""


def info(
    *,
    model: str = DEFAULT_MODEL,
    device: str = "auto",
    precision: str = Precision.AUTO,
    cache_dir: str | Path | None = None,
) -> Info:
    """Say what would run.

    Args:
        model: Bundled name, model folder or hub id.
        device: As for ``dedup``.
        precision: As for ``dedup``.
        cache_dir: Folder of the embedding cache; None: the user's.

    Raises:
        ModelError: If the model cannot be used.
        UsageError: If the device is absent.
    """
    checkpoint = open_checkpoint(model)
    place = choose_place(device, Precision(precision))
    folder = _folder(cache_dir)
    files = cache.cache_files(folder)
    return Info(
        versions=versions(),
        device=place.device,
        precision=str(place.precision),
        why=place.why,
        model=checkpoint.fingerprint,
        model_folder=str(checkpoint.folder),
        architecture=checkpoint.architecture,
        prompts=checkpoint.prompts,
        cache_folder=str(folder),
        cache_vectors=sum(file.vectors for file in files),
        cache_bytes=sum(file.bytes for file in files),
    )


def clear_cache(cache_dir: str | Path | None = None) -> int:
    """Delete all vectors that were kept; returns the bytes set free."""
    return cache.clear_cache(_folder(cache_dir))


def _folder(cache_dir: str | Path | None) -> Path:
    return Path(cache_dir) if cache_dir else cache.default_cache_dir()
