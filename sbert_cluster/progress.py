"""How long work tells what it has done: one callback, so that no stage knows who listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A listener to long work."""

    def __call__(self, stage: str, done: int, total: int | None, unit: str) -> None:
        """Hear how far a stage is.

        Args:
            stage: ``reading``, ``encoding``, ``comparing``, ``deciding`` or ``writing``.
            done: Units done so far, never falling within a stage.
            total: Units in all; None: not known.
            unit: What is counted, in the plural, such as ``texts``.
        """


def silent(stage: str, done: int, total: int | None, unit: str) -> None:
    """Listen to nothing."""
