"""The Python API itself: compositions of the stages, with progress by callback.

Every function has the parameters of the command of the same name; nothing here prints.
inputs · shared · dedup · embed · plan · info · writing.
"""

from sbert_cluster.pipeline.calibrate import calibrate_threshold, survey
from sbert_cluster.pipeline.dedup import dedup
from sbert_cluster.pipeline.embed import EmbedResult, embed
from sbert_cluster.pipeline.evaluate import evaluate
from sbert_cluster.pipeline.info import Info, clear_cache, info
from sbert_cluster.pipeline.labels import LabelColumns
from sbert_cluster.pipeline.plan import Plan, plan
from sbert_cluster.pipeline.shared import Shared
from sbert_cluster.pipeline.train import train

__all__ = [
    "EmbedResult",
    "Info",
    "LabelColumns",
    "Plan",
    "Shared",
    "calibrate_threshold",
    "clear_cache",
    "dedup",
    "embed",
    "evaluate",
    "info",
    "plan",
    "survey",
    "train",
]
