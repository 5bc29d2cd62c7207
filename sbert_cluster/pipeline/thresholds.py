"""Which threshold counts: the user's, the one stored with the model, or the usual one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sbert_cluster.options import DEFAULT_THRESHOLD
from sbert_cluster.training.saving import read_settings

_LOWEST = 0.01
"""A stored threshold may be lower, for a model that tells nothing apart; none below is of use."""


@dataclass(frozen=True)
class Cut:
    """A threshold, and where it comes from if it was not asked for."""

    threshold: float
    notes: tuple[str, ...] = ()


def choose_threshold(asked: float | None, model: str | None) -> Cut:
    """Choose the threshold of a run.

    Args:
        asked: The user's; it always counts.
        model: Name of the model, if it is a folder in which a threshold may be stored.
    """
    if asked is not None:
        return Cut(asked)
    stored = read_settings(Path(model).expanduser()).get("calibration") if model else None
    if not isinstance(stored, dict) or not isinstance(stored.get("threshold"), float):
        return Cut(DEFAULT_THRESHOLD)
    threshold = min(max(stored["threshold"], _LOWEST), 1.0)
    note = f"threshold: {threshold:.3f}, stored with the model (--threshold sets another)"
    return Cut(threshold, (note,))
