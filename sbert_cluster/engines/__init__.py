"""Where work runs: on this machine, or on many through Ray.

The unit of work is the same everywhere (a batch of texts, a tile of pairs, some queries), and its
result depends on nothing else. So an engine only decides who computes which unit, and no answer
depends on it. :class:`~sbert_cluster.engines.protocol.Engine` is all that the rest of the program
knows; :func:`open_engine` is the only place that knows which engines there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sbert_cluster.engines.local import HERE
from sbert_cluster.engines.protocol import Engine
from sbert_cluster.options import EngineName, EngineOptions

__all__ = ["HERE", "Engine", "open_engine"]


@contextmanager
def open_engine(options: EngineOptions) -> Iterator[Engine]:
    """The engine that the options name, for as long as the context lasts.

    Raises:
        UsageError: If it is not installed, or no cluster answers.
    """
    if options.name is EngineName.LOCAL:
        yield HERE
        return
    from sbert_cluster.engines.ray.cluster import connected
    from sbert_cluster.engines.ray.engine import RayEngine

    with connected(options) as cluster:
        yield RayEngine(cluster)
