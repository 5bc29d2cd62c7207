"""What the rest of the program knows of an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from sbert_cluster.encoder.chunks import Batch
from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.neighbors.join import Sides
from sbert_cluster.neighbors.search import Neighbors, Searcher
from sbert_cluster.neighbors.tiles import Finished, FinishedOnDisk, Tile
from sbert_cluster.progress import Progress, silent
from sbert_cluster.types import Rows, Vectors


class Engine(Protocol):
    """Runs the three kinds of units of work."""

    def forward(
        self, encoder: Encoder, texts: Sequence[str], rows: Rows
    ) -> AbstractContextManager[Iterator[tuple[Batch, Vectors]]]:
        """Encode batches of texts; see :class:`~sbert_cluster.encoder.encoder.Forward`.

        Raises:
            TextError: If a text cannot be encoded; it is named, and not tried for ever.
        """

    def compare(
        self,
        sides: Sides,
        tiles: Sequence[Tile],
        finished: Finished | FinishedOnDisk,
        tell: Callable[[int], None],
    ) -> None:
        """Compare tiles; see :class:`~sbert_cluster.neighbors.join.CompareTiles`."""

    def answer(
        self,
        searcher: Searcher,
        queries: Vectors,
        k: int,
        *,
        same: bool = False,
        progress: Progress = silent,
    ) -> Neighbors:
        """Answer queries; see :class:`~sbert_cluster.neighbors.search.AnswerQueries`."""
