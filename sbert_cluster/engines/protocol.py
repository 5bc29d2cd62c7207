"""What the rest of the program knows of an engine."""

from __future__ import annotations

from typing import Protocol

from sbert_cluster.encoder.encoder import Forward
from sbert_cluster.neighbors.join import CompareTiles
from sbert_cluster.neighbors.search import AnswerQueries


class Engine(Protocol):
    """Runs the three kinds of units of work, each as the stage that needs it describes."""

    @property
    def forward(self) -> Forward:
        """Encodes batches of texts; a text that cannot be encoded is named in a TextError."""

    @property
    def compare(self) -> CompareTiles:
        """Compares tiles."""

    @property
    def answer(self) -> AnswerQueries:
        """Answers queries."""
