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
    from sbert_cluster.pipeline.assign_groups import AssignResult, assign_groups
    from sbert_cluster.pipeline.calibrate import calibrate_threshold, survey
    from sbert_cluster.pipeline.dedup import dedup
    from sbert_cluster.pipeline.distill import DistillResult, distill
    from sbert_cluster.pipeline.edit_groups import edit_groups
    from sbert_cluster.pipeline.embed import EmbedResult, embed
    from sbert_cluster.pipeline.evaluate import evaluate
    from sbert_cluster.pipeline.evaluate_clusters import evaluate_clusters
    from sbert_cluster.pipeline.groups import groups
    from sbert_cluster.pipeline.index import Hits, Index
    from sbert_cluster.pipeline.labels import LabelColumns
    from sbert_cluster.pipeline.rethreshold import rethreshold
    from sbert_cluster.pipeline.search import SearchResult, search
    from sbert_cluster.pipeline.train import train
    from sbert_cluster.pipeline.update import update
    from sbert_cluster.training.recipe import Recipe
    from sbert_cluster.types import (
        Clustering,
        ClusterSummary,
        Corpus,
        DedupResult,
        DuplicateGroups,
        Embeddings,
        GroupsResult,
        Pairs,
        Reason,
        RunManifest,
    )

_HOME = {
    "assign_groups": "pipeline.assign_groups",
    "AssignResult": "pipeline.assign_groups",
    "dedup": "pipeline.dedup",
    "edit_groups": "pipeline.edit_groups",
    "evaluate_clusters": "pipeline.evaluate_clusters",
    "groups": "pipeline.groups",
    "DistillResult": "pipeline.distill",
    "distill": "pipeline.distill",
    "embed": "pipeline.embed",
    "EmbedResult": "pipeline.embed",
    "Hits": "pipeline.index",
    "Index": "pipeline.index",
    "rethreshold": "pipeline.rethreshold",
    "search": "pipeline.search",
    "SearchResult": "pipeline.search",
    "update": "pipeline.update",
    "Clustering": "types",
    "ClusterSummary": "types",
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
    "GroupsResult": "types",
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
    "AssignResult",
    "ClusterSummary",
    "Clustering",
    "Corpus",
    "DedupResult",
    "DistillResult",
    "DuplicateGroups",
    "EmbedResult",
    "Embeddings",
    "ExitCode",
    "GroupsResult",
    "Hits",
    "Index",
    "InputError",
    "LabelColumns",
    "ModelError",
    "Pairs",
    "Reason",
    "Recipe",
    "RunFolderError",
    "RunManifest",
    "SbertClusterError",
    "SearchResult",
    "UsageError",
    "assign_groups",
    "calibrate_threshold",
    "dedup",
    "distill",
    "edit_groups",
    "embed",
    "evaluate",
    "evaluate_clusters",
    "groups",
    "rethreshold",
    "search",
    "survey",
    "train",
    "update",
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
