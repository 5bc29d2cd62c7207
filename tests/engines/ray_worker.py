"""A driver in a process of its own, which may be killed; or one of a cluster of two nodes.

Arguments: what to do, and a folder with ``v.npy`` or ``texts.json``; see ``test_ray_driver.py``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.engines import open_engine
from sbert_cluster.engines.ray import encoding
from sbert_cluster.engines.ray import engine as engine_module
from sbert_cluster.neighbors import join
from sbert_cluster.neighbors.tiles import FinishedOnDisk
from sbert_cluster.options import EncodeOptions, EngineName, EngineOptions

TILE_ROWS = 1_024
THRESHOLD = 0.55


def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def compare(folder, **where):
    """Print each tile as it is put down, then write the pairs."""
    join.TILE_ROWS = TILE_ROWS
    note = FinishedOnDisk.note

    def noted(store, entry):
        note(store, entry)
        say("done", entry["row"], entry["column"])

    FinishedOnDisk.note = noted
    with open_engine(EngineOptions(name=EngineName.RAY, **where)) as engine:
        vectors = np.load(folder / "v.npy")
        found = join.find_pairs(vectors, THRESHOLD, folder=folder / "tiles", compare=engine.compare)
    pairs = found.pairs.ordered()
    np.savez(folder / "o.npz", left=pairs.left, right=pairs.right, similarity=pairs.similarity)


def encode(folder):
    """Print the number of texts done."""
    engine_module.FEW_TEXTS = 0
    encoding._CALL_TOKENS = 512
    job = json.loads((folder / "texts.json").read_text("utf-8"))
    options = EncodeOptions(model=job["model"], batch_tokens=128, cache_dir=folder / "cache")
    with open_engine(EngineOptions(name=EngineName.RAY, workers=2)) as engine:
        made = Encoder.open(options).encode(
            job["texts"], lambda *told: say("done", told[1]), forward=engine.forward
        )
    np.save(folder / "o.npy", made.vectors)


def two_nodes(folder):
    """Compare on two machines of one core each; one of them is lost half-way."""
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 1, "object_store_memory": 100_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={**small, "include_dashboard": False})
    lost = cluster.add_node(**small)
    note, done = FinishedOnDisk.note, []

    def noted(store, entry):
        note(store, entry)
        done.append(entry)
        if len(done) == 12:
            cluster.remove_node(lost, allow_graceful=False)
            say("lost a node")

    FinishedOnDisk.note = noted
    compare(folder, address=cluster.address)
    cluster.shutdown()


if __name__ == "__main__":
    work, place = sys.argv[1], Path(sys.argv[2])
    {"compare": lambda p: compare(p, workers=2), "encode": encode, "two_nodes": two_nodes}[work](
        place
    )
