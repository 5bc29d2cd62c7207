"""The Python API itself: compositions of the stages, with progress by callback.

Every function has the parameters of the command of the same name; nothing here prints.
inputs · shared · comparing · dedup · fast (student) · finished · rethreshold · update · index ·
search · embed · groups (describe · groups_folder · edit_groups · assign_groups) ·
evaluate_clusters · labels · train · distill · calibrate · evaluate · plan · info · writing.
"""

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
from sbert_cluster.pipeline.info import Info, clear_cache, info
from sbert_cluster.pipeline.labels import LabelColumns
from sbert_cluster.pipeline.plan import Plan, plan
from sbert_cluster.pipeline.rethreshold import rethreshold
from sbert_cluster.pipeline.search import SearchResult, search
from sbert_cluster.pipeline.shared import Shared, SharedEngine
from sbert_cluster.pipeline.train import train
from sbert_cluster.pipeline.update import update

__all__ = [
    "AssignResult",
    "DistillResult",
    "EmbedResult",
    "Hits",
    "Index",
    "Info",
    "LabelColumns",
    "Plan",
    "SearchResult",
    "Shared",
    "SharedEngine",
    "assign_groups",
    "calibrate_threshold",
    "clear_cache",
    "dedup",
    "distill",
    "edit_groups",
    "embed",
    "evaluate",
    "evaluate_clusters",
    "groups",
    "info",
    "plan",
    "rethreshold",
    "search",
    "survey",
    "train",
    "update",
]
