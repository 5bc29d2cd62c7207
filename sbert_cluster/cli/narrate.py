"""What a command prints: data on stdout, narration on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sbert_cluster.engines.forecast import ClusterPlan
from sbert_cluster.evaluation.clusters import ClusterScores
from sbert_cluster.pipeline import (
    AssignResult,
    DistillResult,
    EmbedResult,
    Info,
    Plan,
    SearchResult,
)
from sbert_cluster.progress import Progress
from sbert_cluster.report.escape import visible
from sbert_cluster.report.figures import count, similarity
from sbert_cluster.report.groups_terminal import print_groups
from sbert_cluster.report.tables import print_tables
from sbert_cluster.report.terminal import ProgressDisplay, console, print_summary
from sbert_cluster.types import DedupResult, GroupsResult


class Narrator:
    """Tells people on stderr, and programs on stdout.

    Args:
        quiet: Tell people nothing but errors.
        json: Print JSON to stdout.
    """

    def __init__(self, *, quiet: bool, json: bool) -> None:
        self._quiet, self._json = quiet, json
        self._console = console()

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        """Show progress while the block runs."""
        with ProgressDisplay(self._console, quiet=self._quiet) as display:
            yield display.update

    def show_dedup(self, result: DedupResult, target: Path) -> None:
        """Sum up a run of ``dedup``."""
        if self._json:
            print_json(result.manifest.to_dict())
        if not self._quiet:
            print_summary(result, self._console, str(target))

    def show_groups(self, result: GroupsResult, target: Path) -> None:
        """Sum up a run of ``groups``."""
        if self._json:
            print_json(result.manifest.to_dict())
        if not self._quiet:
            print_groups(result, self._console, str(target))

    def show_assigned(self, result: AssignResult, target: Path) -> None:
        """Say how many new rows found a group."""
        found, rows = int((result.labels >= 0).sum()), len(result.labels)
        if self._json:
            print_json({"rows": rows, "assigned": found, "noise": rows - found})
        if not self._quiet:
            self._say(f"{found:,} of {count(rows, 'row')} belong to a group of the run → {target}")

    def show_cluster_scores(self, scores: ClusterScores) -> None:
        """Print how well groups agree with gold classes: noise counted, and left out."""
        if self._json:
            print_json(asdict(scores))
            return
        columns = {"noise as singletons": scores.noise_as_singletons}
        if scores.noise_left_out is not None:
            columns["noise left out"] = scores.noise_left_out
        named = {"ari": "ARI", "nmi": "NMI", "v_measure": "V-measure", "purity": "purity"}
        rows = {"": "  ".join(columns)}
        for key, name in named.items():
            figures = (f"{getattr(one, key):>{len(title)}.3f}" for title, one in columns.items())
            rows[name] = "  ".join(figures)
        _print_table(
            {
                "rows with a class": f"{scores.rows:,}",
                "groups": f"{scores.clusters:,}, classes {scores.classes:,}",
                "in a group": f"{scores.clustered:.1%}",
                **rows,
            }
        )

    def show_embed(self, result: EmbedResult, target: Path) -> None:
        """Sum up a run of ``embed``."""
        counts, (rows, width) = result.manifest.counts, result.vectors.shape
        if self._json:
            print_json(result.manifest.to_dict())
        if self._quiet:
            return
        for note in result.manifest.notes:
            self._say(note)
        if counts["empty"]:
            self._say(f"{counts['empty']:,} rows without a text have a null vector")
        if counts["truncated"]:
            length = result.manifest.model["max_seq_length"]
            self._say(f"{counts['truncated']:,} texts were cut at {length} tokens")
        self._say(f"{rows:,} vectors of {width} numbers → {target}")

    def show_distilled(self, result: DistillResult) -> None:
        """Say how near a student comes to its teacher."""
        if self._json:
            print_json(result.manifest.to_dict())
        if self._quiet:
            return
        if result.measures:
            self._say(
                f"on texts held out, mean cosine to the model: {result.measures['cosine']:.3f}"
            )
        for name, share in result.measures.items():
            if name.startswith("rows_stay"):
                _, _, recall, _, threshold = name.split("_")
                self._say(
                    f"{share:.1%} of the texts have to be read to find {float(recall):.0%} of the "
                    f"pairs at {threshold}"
                )
        self._say(
            f"student of {count(result.manifest.counts['tokens'], 'token')} → {result.folder}"
        )

    def show_search(self, result: SearchResult, target: Path | None) -> None:
        """Print the hits, or say where they are."""
        if self._json:
            print_json(result.to_dict())
        elif target is None:
            _print_hits(result)
        if self._quiet:
            return
        for note in result.manifest.notes:
            self._say(note)
        if not len(result.hits):
            self._say("no row is that similar")
        if target is not None and target != Path("-"):
            self._say(f"{len(result.hits):,} hits → {target}")

    def show_plan(self, plan: Plan) -> None:
        """Print a forecast."""
        if self._json:
            print_json(asdict(plan))
            return
        for note in plan.notes:
            self._say(note)
        _print_table(
            {
                "rows": f"{plan.rows:,} ({plan.empty:,} empty)",
                "distinct texts": f"{plan.distinct:,} ({plan.cached:,} encoded already)",
                "pairs to compare": f"{plan.pairs:,}",
                **_expected(plan),
                "device": f"{plan.device}, {plan.precision}",
                "time": f"about {_duration(plan.minutes)}"
                + (" on this machine alone" if plan.cluster else ""),
                "memory": f"about {_size(plan.memory_bytes)}, "
                f"{_size(plan.free_memory_bytes)} are free",
                **(_on_cluster(plan.cluster) if plan.cluster else {}),
            }
        )

    def show_info(self, info: Info) -> None:
        """Print what would run."""
        if self._json:
            print_json(asdict(info))
            return
        model = info.model
        packages = ", ".join(f"{k} {v}" for k, v in info.versions.items() if k != "sbert-cluster")
        _print_table(
            {
                "sbert-cluster": info.versions.get("sbert-cluster", "not installed"),
                "packages": packages,
                "device": f"{info.device}, {info.precision} ({info.why})",
                "model": f"{model.name} ({info.architecture}, {model.dimensions} dimensions, "
                f"{model.pooling} pooling, {model.max_seq_length} tokens)",
                "weights": f"sha256 {model.sha256}",
                "model folder": info.model_folder,
                "prompt": (repr(model.prompt) if model.prompt else "none")
                + (f" (by name: {', '.join(info.prompts)})" if info.prompts else ""),
                "cache": f"{info.cache_vectors:,} vectors, {_size(info.cache_bytes)} in "
                f"{info.cache_folder} (--clear-cache empties it)",
            }
        )

    def show_cleared(self, freed: int) -> None:
        """Say how much the cache held."""
        if self._json:
            print_json({"freed_bytes": freed})
        else:
            self._say(f"cache emptied, {_size(freed)} set free")

    def _say(self, sentence: str) -> None:
        self._console.print(visible(sentence), soft_wrap=True)


def _print_hits(result: SearchResult) -> None:
    """The hits of each query as a table on stdout."""
    ids, hits = result.corpus.id_column, result.hits
    names = result.corpus.frame.get_column(ids) if ids else None
    table = [
        (
            int(query),
            (
                similarity(float(score)),
                str(row),
                *(() if names is None else (str(names[row]),)),
                result.texts[row],
            ),
        )
        for query, row, score in zip(
            hits.query.tolist(), hits.row.tolist(), hits.similarity, strict=True
        )
    ]
    header = ("similarity", "row", *(() if ids is None else (ids,)), "text")
    print_tables(result.queries, header, table)


def print_json(value: dict[str, Any]) -> None:
    """Print to stdout."""
    # ASCII, so that a terminal or pipe in any encoding can take it.
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def _print_table(rows: dict[str, str]) -> None:
    width = max(map(len, rows))
    for name, value in rows.items():
        sys.stdout.write(f"{name:<{width}}  {visible(value)}\n")


def _expected(plan: Plan) -> dict[str, str]:
    """How many pairs will be found, where that can be told."""
    found = plan.expected
    if found is None:
        return {}
    said = f"about {found.pairs:,} (95 % interval {found.low:,} to {found.high:,})"
    if found.is_flood and found.advice is not None:
        said += f"; about {found.advice_pairs:,} at {found.advice:g}"
    return {f"pairs ≥ {found.threshold:g}": said}


def _on_cluster(plan: ClusterPlan) -> dict[str, str]:
    """What a run with many workers would take."""
    machines = "1 machine" if plan.machines == 1 else f"{plan.machines:,} machines of 16 cores"
    return {
        "workers": f"{plan.workers:,}, on {machines}",
        "work": f"{plan.shards:,} shards to encode, {plan.tiles:,} tiles to compare",
        "time on them": f"about {_duration(plan.encode_minutes)} to encode (as fast as cores like "
        f"these are), {_duration(plan.compare_minutes)} to compare",
        "object store": f"about {_size(plan.object_store_bytes)}; "
        f"{_size(plan.moved_bytes)} go from machine to machine",
        "disk": f"about {_size(plan.disk_bytes)} in the cache folder",
    }


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def _duration(minutes: float) -> str:
    return f"{minutes * 60:.0f} s" if minutes < 2 else f"{minutes:.0f} min"
