"""The Python API itself: compositions of the stages, with progress by callback.

Every function has the parameters of the command of the same name; nothing here prints.
inputs · shared · dedup · embed · groups (describe · groups_folder · edit_groups · assign_groups) ·
evaluate_clusters · plan · info · writing.
"""

from sbert_cluster.pipeline.assign_groups import AssignResult, assign_groups
from sbert_cluster.pipeline.dedup import dedup
from sbert_cluster.pipeline.edit_groups import edit_groups
from sbert_cluster.pipeline.embed import EmbedResult, embed
from sbert_cluster.pipeline.evaluate_clusters import evaluate_clusters
from sbert_cluster.pipeline.groups import groups
from sbert_cluster.pipeline.info import Info, clear_cache, info
from sbert_cluster.pipeline.plan import Plan, plan
from sbert_cluster.pipeline.shared import Shared

__all__ = [
    "AssignResult",
    "EmbedResult",
    "Info",
    "Plan",
    "Shared",
    "assign_groups",
    "clear_cache",
    "dedup",
    "edit_groups",
    "embed",
    "evaluate_clusters",
    "groups",
    "info",
    "plan",
]
