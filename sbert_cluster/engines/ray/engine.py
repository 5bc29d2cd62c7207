"""The engine, from its three parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

from sbert_cluster.encoder.chunks import Batch
from sbert_cluster.encoder.encoder import Encoder, forward_here
from sbert_cluster.engines.ray.cluster import Cluster
from sbert_cluster.engines.ray.encoding import forward
from sbert_cluster.engines.ray.queries import answer
from sbert_cluster.engines.ray.tiles import compare
from sbert_cluster.neighbors.join import Sides
from sbert_cluster.neighbors.search import WORTH_PRODUCTS, Neighbors, Searcher
from sbert_cluster.neighbors.tiles import Finished, FinishedOnDisk, Tile
from sbert_cluster.progress import Progress, silent
from sbert_cluster.types import Rows, Vectors

FEW_TEXTS = 512
"""Up to this number of texts, loading the model elsewhere takes longer than encoding them here."""


class RayEngine:
    """See :class:`~sbert_cluster.engines.protocol.Engine`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def forward(
        self, encoder: Encoder, texts: Sequence[str], rows: Rows
    ) -> AbstractContextManager[Iterator[tuple[Batch, Vectors]]]:
        """Encode by actors, one for each GPU or core."""
        if len(rows) <= FEW_TEXTS:
            return forward_here(encoder, texts, rows)
        return forward(self._cluster, encoder, texts, rows)

    def compare(
        self,
        sides: Sides,
        tiles: Sequence[Tile],
        finished: Finished | FinishedOnDisk,
        tell: Callable[[int], None],
    ) -> None:
        """Compare by tasks, with the blocks in the object store."""
        compare(self._cluster, sides, tiles, finished, tell)

    def answer(
        self,
        searcher: Searcher,
        queries: Vectors,
        k: int,
        *,
        same: bool = False,
        progress: Progress = silent,
    ) -> Neighbors:
        """Answer by tasks, with all rows in the object store of each machine."""
        if len(queries) * len(searcher) * queries.shape[1] < WORTH_PRODUCTS:
            return searcher.nearest(queries, k, same=same, progress=progress)
        return answer(self._cluster, searcher, queries, k, same=same, progress=progress)
