"""Clusters against gold classes: ours, BERTopic's recipe, EVoC, community detection, k-means."""

from __future__ import annotations

import os
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import (
    ROOT,
    Report,
    Settings,
    Table,
    in_fresh_process,
    peak_memory_mib,
    say,
)
from benchmarks.texts import FOLDER_VARIABLE, data_folder, read

_Vectors = NDArray[np.float32]
_Labels = NDArray[np.int64]

OURS = "sbert-cluster"
SEED = 0
_PRECISION = "bf16"
_QUICK_ROWS = 800


@dataclass(frozen=True)
class Source:
    """Texts with a gold class each."""

    name: str
    path: Path
    text: str
    gold: str
    left_out: str = ""
    """A class that is none."""


@dataclass(frozen=True)
class Task:
    """Vectors on disk, with the class of each."""

    name: str
    vectors: str
    gold: str
    classes: int


NOTES = [
    f"Vectors: the default model in {_PRECISION}; seconds are from vectors to labels.",
    "Cold: the first call in a new process, imports and compiling included, with an empty "
    "cache of compiled code. Warm: the second call on the same set.",
    "CPU seconds: of all threads together; a busy machine changes them less.",
    "ARI, V: each row in no cluster counts as a cluster of its own.",
]


def sources() -> list[Source]:
    """The sets that are at hand; the sample data always is."""
    folder = data_folder()
    named = [
        Source("CLINC150", folder / "clinc150.parquet", "text", "label", "oos"),
        Source("Banking77", folder / "banking77_train.parquet", "text", "label"),
        Source("reddit topics", folder / "reddit_topics.parquet", "text", "label"),
        Source("airline tweets", folder / "airline_tweets.parquet", "text", "airline"),
        Source("product reviews", folder / "reviews.parquet", "text", "category"),
        Source("sample reviews", ROOT / "sample_data" / "reviews.parquet", "review", "theme"),
    ]
    return [one for one in named if one.path.exists()]


def run(settings: Settings) -> Report:
    """Cluster every set with every contender; quick: 800 rows of each."""
    title = "Clusters against gold classes"
    with tempfile.TemporaryDirectory() as folder:
        tasks = [_prepared(one, Path(folder), settings) for one in sources()]
        results: dict[str, Any] = {}
        notes = list(NOTES)
        if len(tasks) < len(sources()) or len(tasks) < 6:
            notes.append(f"Some sets are missing; {FOLDER_VARIABLE} names their folder.")
        for name in CONTENDERS:
            say(name)
            try:
                results[name] = in_fresh_process(_measure, name, tasks, folder)
            except ImportError as error:
                notes.append(f"{name} left out: {error}")
    public = [task.name for task in tasks[:-1]] or [tasks[0].name]
    for one in results.values():
        for key in ("ari", "v_measure", "clustered"):
            one[f"mean_{key}"] = float(np.mean([one["sets"][name][key] for name in public]))
    notes.append(f"Means are over {', '.join(public)}.")
    return Report(title, {"contenders": results}, [_table(results, tasks)], notes)


def _prepared(source: Source, folder: Path, settings: Settings) -> Task:
    from sbert_cluster import embed

    frame = read(source.path)
    frame = frame.filter(
        frame[source.gold].is_not_null() & (frame[source.gold].cast(str) != source.left_out)
    )
    if settings.quick:
        frame = frame.sample(min(_QUICK_ROWS, frame.height), seed=SEED)
    say(f"{source.name}: {frame.height:,} rows")
    made = embed(frame, text_column=source.text, precision=_PRECISION)
    present = made.present
    gold = frame[source.gold].cast(str).rank("dense").to_numpy().astype(np.int64) - 1
    stem = source.name.replace(" ", "-")
    np.save(folder / f"{stem}.npy", np.asarray(made.vectors)[present])
    np.save(folder / f"{stem}.gold.npy", gold[present])
    classes = len(np.unique(gold[present]))
    return Task(source.name, str(folder / f"{stem}.npy"), str(folder / f"{stem}.gold.npy"), classes)


def _measure(name: str, tasks: list[Task], folder: str) -> dict[str, Any]:
    """All sets with one contender, in a process of its own."""
    os.environ["NUMBA_CACHE_DIR"] = str(Path(folder) / f"numba-{name}")
    warnings.simplefilter("ignore")
    cluster = CONTENDERS[name]
    found: dict[str, Any] = {"sets": {}}
    for number, task in enumerate(tasks):
        vectors, gold = np.load(task.vectors), np.load(task.gold)
        labels, cost = _timed(cluster, vectors, task.classes)
        if number == 0:
            found["cold"] = cost
            again, cost = _timed(cluster, vectors, task.classes)
            found["same_labels_again"] = bool(np.array_equal(labels, again))
        found["sets"][task.name] = {**_scores(labels, gold), **cost}
        say(f"  {task.name}: {found['sets'][task.name]}")
    found["peak_memory_mib"] = round(peak_memory_mib())
    return found


def _timed(
    cluster: Callable[[_Vectors, int], _Labels], vectors: _Vectors, classes: int
) -> tuple[_Labels, dict[str, float]]:
    begun, worked = time.perf_counter(), time.process_time()
    labels = cluster(vectors, classes)
    seconds, worked = time.perf_counter() - begun, time.process_time() - worked
    return labels, {"seconds": round(seconds, 2), "cpu_seconds": round(worked, 2)}


def _scores(labels: _Labels, gold: _Labels) -> dict[str, float]:
    from sbert_cluster.evaluation.clusters import score_clusters

    scores = score_clusters(labels.astype(np.int64), gold)
    flat = asdict(scores)
    with_noise = flat["noise_as_singletons"]
    return {
        "ari": round(with_noise["ari"], 4),
        "v_measure": round(with_noise["v_measure"], 4),
        "clustered": round(scores.clustered, 4),
        "clusters": scores.clusters,
        "classes": scores.classes,
    }


def _ours(vectors: _Vectors, classes: int) -> _Labels:
    del classes
    from threadpoolctl import threadpool_limits

    from sbert_cluster.clustering.collapse import collapse
    from sbert_cluster.clustering.partition import partition, prepare
    from sbert_cluster.options import GroupOptions

    with threadpool_limits(1, user_api="blas"):
        count = len(vectors)
        points = collapse(vectors, np.arange(count), np.full(count, -1, np.int64))
        labels = partition(prepare(points), GroupOptions()).labels
    return labels[points.index]


def _bertopic(vectors: _Vectors, classes: int) -> _Labels:
    """The parameters that BERTopic gives to UMAP and HDBSCAN by default."""
    del classes
    from hdbscan import HDBSCAN
    from umap import UMAP

    reduce = UMAP(n_neighbors=15, n_components=5, min_dist=0.0, metric="cosine", random_state=SEED)
    cluster = HDBSCAN(min_cluster_size=10, metric="euclidean", cluster_selection_method="eom")
    return np.asarray(cluster.fit_predict(reduce.fit_transform(vectors)))


def _evoc(vectors: _Vectors, classes: int) -> _Labels:
    del classes
    from evoc import EVoC

    return np.asarray(EVoC(random_state=SEED).fit_predict(vectors))


def _community_detection(vectors: _Vectors, classes: int) -> _Labels:
    """sentence-transformers' own, with its default threshold and size."""
    del classes
    import torch
    from sentence_transformers.util import community_detection

    found = community_detection(torch.from_numpy(vectors), threshold=0.75, min_community_size=10)
    labels = np.full(len(vectors), -1, np.int64)
    for number, rows in enumerate(found):
        labels[np.asarray(rows)] = number
    return labels


def _kmeans(vectors: _Vectors, classes: int) -> _Labels:
    """Told the true number of classes, which nobody knows."""
    from sklearn.cluster import KMeans

    return np.asarray(KMeans(classes, n_init=1, random_state=SEED).fit_predict(vectors))


CONTENDERS: dict[str, Callable[[_Vectors, int], _Labels]] = {
    OURS: _ours,
    "UMAP + HDBSCAN (BERTopic's defaults)": _bertopic,
    "EVoC": _evoc,
    "community_detection": _community_detection,
    "k-means, true K": _kmeans,
}


def _table(results: dict[str, Any], tasks: list[Task]) -> Table:
    headers = [
        "ARI · share in clusters · clusters",
        *(f"{task.name} ({task.classes})" for task in tasks),
        "mean ARI",
        "cold s (CPU s)",
        "warm s (CPU s)",
        "peak MiB",
    ]
    rows = []
    for name, one in results.items():
        sets = (one["sets"][task.name] for task in tasks)
        rows.append(
            [
                name,
                *(f"{s['ari']:.3f} · {s['clustered']:.0%} · {s['clusters']}" for s in sets),
                f"{one['mean_ari']:.3f}",
                _cost(one["cold"]),
                _cost(one["sets"][tasks[0].name]),
                f"{one['peak_memory_mib']:,}",
            ]
        )
    first = tasks[0].name
    return Table(f"Default settings; cold and warm seconds on {first}", headers, rows)


def _cost(cost: dict[str, float]) -> str:
    return f"{cost['seconds']:.1f} ({cost['cpu_seconds']:.1f})"
