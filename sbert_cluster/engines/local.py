"""All work on the threads and devices of this machine."""

from __future__ import annotations

from sbert_cluster.encoder.encoder import forward_here
from sbert_cluster.engines.protocol import Engine
from sbert_cluster.neighbors.join import compare_here
from sbert_cluster.neighbors.search import Searcher


class LocalEngine:
    """Each stage's own way; see :class:`~sbert_cluster.engines.protocol.Engine`."""

    forward = staticmethod(forward_here)
    compare = staticmethod(compare_here)
    answer = staticmethod(Searcher.nearest)


HERE: Engine = LocalEngine()
"""This machine."""
