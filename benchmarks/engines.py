"""Ray as an engine against one machine: pairs, encoding, two nodes, memory of the driver."""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.harness import Report, Settings, Table, in_fresh_process, say
from benchmarks.pairs import headline_vectors
from benchmarks.texts import corpus
from sbert_cluster.options import EncodeOptions, EngineName, EngineOptions
from sbert_cluster.types import Pairs, Vectors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sbert_cluster.engines import Engine

WORKERS = 2
SIZES = ((200_000, 0.9), (200_000, 0.8), (1_000_000, 0.9))
ENCODED = 20_000


def run(settings: Settings) -> Report:
    """Everything at once would share the cores: one after the other, each in its own process."""
    vectors, notes = headline_vectors(SIZES[-1][0], settings)
    texts, more = corpus("headlines")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.npy"
        np.save(path, vectors)
        del vectors
        cases = [(n, t) for n, t in SIZES if not settings.quick] or [(2_000, 0.9)]
        results: dict[str, Any] = {
            "start_s": [in_fresh_process(_start) for _ in range(min(3, settings.repeats))],
            "pairs": [in_fresh_process(_race, path, *case, settings.repeats) for case in cases],
            "two_nodes": [in_fresh_process(_two_nodes, path, *case) for case in cases],
            "memory": {
                name: in_fresh_process(_memory, path, cases[-1][0], name)
                for name in ("local", "ray")
            },
        }
    listed = texts.texts[: 600 if settings.quick else ENCODED]
    results["encode"] = in_fresh_process(_encode, listed, min(3, settings.repeats))
    return Report("Engines", results, _tables(results), [*notes, *more, *_notes()])


@contextmanager
def _ray(**where: Any) -> Iterator[Engine]:
    from sbert_cluster.engines import open_engine

    with open_engine(EngineOptions(name=EngineName.RAY, **where)) as engine:
        yield engine


def _start() -> float:
    """Seconds from nothing to the first result of every worker."""
    begun = time.perf_counter()
    with _ray(workers=WORKERS):
        import ray

        wait = ray.remote(_nothing).options(num_cpus=1)
        ray.get([wait.remote() for _ in range(WORKERS)])
        return time.perf_counter() - begun


def _nothing() -> None:
    from sbert_cluster.neighbors import native

    native.warm_up()
    time.sleep(0.05)


def _find(vectors: Vectors, threshold: float, engine: Engine | None) -> Pairs:
    from sbert_cluster.neighbors.join import find_pairs

    return find_pairs(vectors, threshold, compare=engine.compare if engine else None).pairs


def _race(path: Path, rows: int, threshold: float, repeats: int) -> dict[str, Any]:
    """Alternating, with Ray started and its workers warm."""
    vectors = np.load(path)[:rows]
    seconds: dict[str, list[float]] = {"local": [], "ray": []}
    with _ray(workers=WORKERS) as ray:
        found = {name: _find(vectors, threshold, e) for name, e in (("local", None), ("ray", ray))}
        for turn in range(repeats):
            order: list[tuple[str, Engine | None]] = [("local", None), ("ray", ray)]
            for name, engine in order[:: 1 if turn % 2 else -1]:
                begun = time.perf_counter()
                found[name] = _find(vectors, threshold, engine)
                seconds[name].append(time.perf_counter() - begun)
                say(f"{rows:,} t={threshold} {name} {seconds[name][-1]:.2f} s")
    return {
        "rows": rows,
        "threshold": threshold,
        "seconds": seconds,
        "pairs": len(found["local"]),
        "same_bytes": _same(found["local"], found["ray"]),
    }


def _same(one: Pairs, other: Pairs) -> bool:
    one, other = one.ordered(), other.ordered()
    names = ("left", "right", "similarity")
    return all(getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in names)


def _two_nodes(path: Path, rows: int, threshold: float) -> dict[str, Any]:
    """Two nodes of one core each on this machine: blocks have to travel between two stores."""
    from ray.cluster_utils import Cluster

    vectors = np.load(path)[:rows]
    store = max(200_000_000, 3 * vectors.nbytes)
    node = {"num_cpus": 1, "object_store_memory": store}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    cluster.add_node(**node)
    with _ray(address=cluster.address) as engine:
        # The blocks of the first call are forgotten with it: the second one carries them anew.
        _find(vectors[:100_000], threshold, engine)
        begun = time.perf_counter()
        there = _find(vectors, threshold, engine)
        seconds = time.perf_counter() - begun
    cluster.shutdown()
    say(f"two nodes: {rows:,} t={threshold} {seconds:.2f} s")
    same = _same(_find(vectors, threshold, None), there)
    return {"rows": rows, "threshold": threshold, "seconds": seconds, "same_bytes": same}


def _encode(texts: list[str], repeats: int) -> dict[str, Any]:
    """From texts to vectors, the model loaded anew each time, Ray started."""
    from sbert_cluster.encoder.encoder import Encoder

    seconds: dict[str, list[float]] = {"local": [], "ray": []}
    made: dict[str, Vectors] = {}
    with _ray(workers=WORKERS) as engine:
        for turn in range(repeats):
            for name in ("local", "ray")[:: 1 if turn % 2 else -1]:
                encoder = Encoder.open(EncodeOptions(use_cache=False))
                forward = engine.forward if name == "ray" else None
                begun = time.perf_counter()
                made[name] = encoder.encode(texts, forward=forward).vectors
                seconds[name].append(time.perf_counter() - begun)
                say(f"encode {len(texts):,} {name} {seconds[name][-1]:.2f} s")
    same = made["local"].tobytes() == made["ray"].tobytes()
    return {"texts": len(texts), "seconds": seconds, "same_bytes": same}


def _memory(path: Path, rows: int, name: str) -> dict[str, float]:
    """Peak memory of the process that asks, in MiB; its vectors lie in a mapped file."""
    vectors = np.load(path, mmap_mode="r")[:rows]
    with _watched() as peak:
        if name == "local":
            _find(vectors, SIZES[0][1], None)
        else:
            with _ray(workers=WORKERS) as engine:
                _find(vectors, SIZES[0][1], engine)
    return {kind: value / 1024 for kind, value in peak.items()}


@contextmanager
def _watched() -> Iterator[dict[str, int]]:
    """The largest amounts of memory while the context lasts, in KiB, by kind."""
    peak = {"RssAnon": 0, "RssFile": 0, "RssShmem": 0}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            for line in Path("/proc/self/status").read_text("ascii", "replace").splitlines():
                kind, _, value = line.partition(":")
                if kind in peak:
                    peak[kind] = max(peak[kind], int(value.split()[0]))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def _tables(results: dict[str, Any]) -> list[Table]:
    def case(one: dict[str, Any]) -> str:
        return f"{one['rows']:,} headlines, t = {one['threshold']}"

    rows = []
    start = statistics.median(results["start_s"])
    for one, nodes in zip(results["pairs"], results["two_nodes"], strict=True):
        local, ray = (statistics.median(one["seconds"][name]) for name in ("local", "ray"))
        rows.append(
            [case(one), f"{local:.2f}", f"{ray:.2f}", f"{ray / local:.2f}",
             f"{(ray + start) / local:.2f}", f"{nodes['seconds'] / local:.2f}",
             "yes" if one["same_bytes"] and nodes["same_bytes"] else "NO"]
        )  # fmt: skip
    headers = (
        "", "local, s", "ray, s", "× local", "× with start", "two nodes, ×", "same bytes",
    )  # fmt: skip
    one = results["encode"]
    local, ray = (statistics.median(one["seconds"][name]) for name in ("local", "ray"))
    encoded = [[f"{one['texts']:,} headlines", f"{local:.1f}", f"{ray:.1f}", f"{ray / local:.2f}",
                f"{(ray + start) / local:.2f}", "yes" if one["same_bytes"] else "NO"]]  # fmt: skip
    kinds = ("RssAnon", "RssFile", "RssShmem")
    memory = [
        [name, *(f"{kinds_[kind]:,.0f}" for kind in kinds)]
        for name, kinds_ in results["memory"].items()
    ]
    return [
        Table(f"Every pair, {WORKERS} workers; Ray starts in {start:.1f} s", headers, rows),
        Table("Encoding", ("", "local, s", "ray, s", "× local", "× with start", "same"), encoded),
        Table("Memory of the driver, MiB", ("", "its own", "mapped files", "shared"), memory),
    ]


def _notes() -> list[str]:
    return [
        f"{WORKERS} workers on the same cores as the threads of the local engine. Ray is running "
        "and its workers have loaded their libraries, but where 'with start' is said.",
        "Encoding with Ray starts the actors, which load torch and the model each; encoding "
        "locally loads the model.",
        "Two nodes: two Ray nodes of one core on this machine, each with its own object store.",
        "Memory: the vectors are mapped from a file; 'shared' is what passed through the object "
        "store's memory, which belongs to the store.",
    ]
