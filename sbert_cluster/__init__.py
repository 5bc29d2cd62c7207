"""Find what is in a file of texts twice, and what belongs together.

>>> from sbert_cluster import dedup
>>> result = dedup("questions.csv", threshold=0.9)  # doctest: +SKIP
>>> result.kept  # doctest: +SKIP

Importing this package costs nothing: each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sbert_cluster.errors import (
        ExitCode,
        InputError,
        ModelError,
        RunFolderError,
        SbertClusterError,
        UsageError,
    )
    from sbert_cluster.pipeline.calibrate import calibrate_threshold, survey
    from sbert_cluster.pipeline.dedup import dedup
    from sbert_cluster.pipeline.embed import EmbedResult, embed
    from sbert_cluster.pipeline.evaluate import evaluate
    from sbert_cluster.pipeline.labels import LabelColumns
    from sbert_cluster.pipeline.train import train
    from sbert_cluster.training.recipe import Recipe
    from sbert_cluster.types import (
        Corpus,
        DedupResult,
        DuplicateGroups,
        Embeddings,
        Pairs,
        Reason,
        RunManifest,
    )

_HOME = {
    "dedup": "pipeline.dedup",
    "embed": "pipeline.embed",
    "EmbedResult": "pipeline.embed",
    "LabelColumns": "pipeline.labels",
    "Recipe": "training.recipe",
    "calibrate_threshold": "pipeline.calibrate",
    "evaluate": "pipeline.evaluate",
    "survey": "pipeline.calibrate",
    "train": "pipeline.train",
    "Corpus": "types",
    "DedupResult": "types",
    "DuplicateGroups": "types",
    "Embeddings": "types",
    "Pairs": "types",
    "Reason": "types",
    "RunManifest": "types",
    "ExitCode": "errors",
    "InputError": "errors",
    "ModelError": "errors",
    "RunFolderError": "errors",
    "SbertClusterError": "errors",
    "UsageError": "errors",
}

__all__ = [
    "Corpus",
    "DedupResult",
    "DuplicateGroups",
    "EmbedResult",
    "Embeddings",
    "ExitCode",
    "InputError",
    "LabelColumns",
    "ModelError",
    "Pairs",
    "Reason",
    "Recipe",
    "RunFolderError",
    "RunManifest",
    "SbertClusterError",
    "UsageError",
    "calibrate_threshold",
    "dedup",
    "embed",
    "evaluate",
    "survey",
    "train",
]

try:
    __version__ = version("sbert-cluster")
except PackageNotFoundError:
    # Run from a source tree that was never installed.
    __version__ = "0+unknown"


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
