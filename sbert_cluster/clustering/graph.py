"""The neighbor graph that everything else rests on, from the exact search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sbert_cluster.neighbors.search import AnswerQueries, find_nearest
from sbert_cluster.progress import Progress, silent
from sbert_cluster.types import Rows, Vectors

NEIGHBORS = 15
"""Neighbors of each row in the graph, as usual for UMAP and its kin."""


@dataclass(frozen=True)
class NeighborGraph:
    """The k most similar rows of each row."""

    rows: Rows
    """int64[n, k], the most similar first."""
    similarity: NDArray[np.float32]
    """float32[n, k]."""

    def __len__(self) -> int:
        return len(self.rows)

    def adjacency(self) -> sparse.csr_array:
        """float32[n, n], symmetric: similarity where either row is a neighbor of the other.

        A similarity at or below 0 is no edge.
        """
        n, k = self.rows.shape
        weight = np.maximum(self.similarity, 0).ravel()
        source = np.repeat(np.arange(n), k)
        directed = sparse.csr_array((weight, (source, self.rows.ravel())), shape=(n, n))
        directed.eliminate_zeros()
        return sparse.csr_array(directed.maximum(directed.T))


def neighbor_graph(
    vectors: Vectors,
    neighbors: int = NEIGHBORS,
    progress: Progress = silent,
    answer: AnswerQueries | None = None,
) -> NeighborGraph:
    """Search the neighbors of every row.

    Args:
        vectors: float32[n, d], unit or zero rows.
        neighbors: How many; n - 1 where there are fewer rows.
        progress: Told the rows searched.
        answer: Where they are searched; None: here.
    """
    found = find_nearest(vectors, vectors, neighbors, same=True, progress=progress, answer=answer)
    return NeighborGraph(found.rows, found.similarity)
