"""A run of ``groups`` as one page: a map to zoom, search and click, and a table of the groups.

The page carries plotly's script and its own data, and loads nothing. Its policy lets only the two
scripts run that it names by hash; plotly draws with WebGL programs that it compiles in the page,
which needs ``unsafe-eval``. Texts are data: they reach the page as JSON and the document as text.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Any

from sbert_cluster.report.details import details_html, safe
from sbert_cluster.report.escape import json_for_script
from sbert_cluster.report.figures import count, file_name
from sbert_cluster.report.groups_data import (
    Points,
    anchors,
    breakdowns,
    choose_points,
    points_json,
)
from sbert_cluster.types import GroupsResult

_METHODS = {
    "modes": "modes of density, joined by Ward's linkage",
    "hdbscan": "HDBSCAN",
    "agglomerative": "agglomerative",
    "kmeans": "spherical k-means",
}


def render_groups(result: GroupsResult, created: datetime | None = None) -> str:
    """Make the page about a run of ``groups``.

    Args:
        result: What was found.
        created: Date on the page; None: now.

    Returns:
        A whole HTML document, to be written as UTF-8.
    """
    points = choose_points(result)
    script, library = _asset("map.js"), _plotly()
    hashes = " ".join(f"'sha256-{_digest(one)}'" for one in (script, library))
    return Template(_asset("map.html")).substitute(
        policy=f"default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; "
        f"script-src {hashes} 'unsafe-eval'; base-uri 'none'; form-action 'none'",
        style=_asset("dedup.css") + _asset("map.css"),
        library=library,
        script=script,
        data=json_for_script(_data(result, points)),
        title=safe(file_name(result.corpus)),
        version=safe(result.manifest.versions.get("sbert-cluster", "")),
        lede=_lede(result),
        facts=_facts(result, created or datetime.now().astimezone()),
        figures=_figures(result),
        notes=_notes(result, points),
        details=details_html(result.manifest),
    )


def _asset(name: str) -> str:
    return (files("sbert_cluster.report") / "assets" / name).read_text("utf-8")


@cache
def _plotly() -> str:
    """Plotly's script, out of its package; nothing of the package is imported."""
    spec = find_spec("plotly")
    assert spec is not None
    assert spec.submodule_search_locations
    path = Path(spec.submodule_search_locations[0]) / "package_data" / "plotly.min.js"
    # An inline script ends at the first "</script", wherever it stands.
    return path.read_text("utf-8").replace("</script", "<\\/script")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _data(result: GroupsResult, points: Points) -> dict[str, Any]:
    places = anchors(result, points)
    return {
        "points": points_json(result, points),
        "clusters": [
            {
                "cluster": one.cluster,
                "size": one.size,
                "label": one.label,
                "keywords": list(one.keywords),
                "texts": [result.texts[row][: points.characters] for row in one.rows],
                "cohesion": round(one.cohesion, 4),
                "nearest": one.nearest,
                "stability": None if one.stability is None else round(one.stability, 3),
                "at": None if math.isnan(x) else [round(x, 4), round(y, 4)],
            }
            for one, (x, y) in zip(result.summaries, places, strict=True)
        ],
        "layers": [
            {
                "layer": one.layer,
                "size": one.size,
                "label": one.label,
                "clusters": list(one.clusters),
            }
            for one in result.layers
        ],
        "breakdowns": [
            {
                "column": one.column,
                "isTime": one.is_time,
                "values": list(one.values),
                "counts": one.counts.tolist(),
            }
            for one in breakdowns(result)
        ],
        "noise": result.manifest.counts.get("noise", 0),
    }


def _lede(result: GroupsResult) -> str:
    counts = result.manifest.counts
    present = counts["rows"] - counts["empty"]
    if not result.summaries:
        return f"<strong>No groups</strong> among {count(present, 'row')}."
    groups = count(len(result.summaries), "group")
    held = counts["clustered"]
    share = f" ({held / present:.0%})" if present else ""
    verb = "holds" if len(result.summaries) == 1 else "hold"
    return f"<strong>{groups}</strong> {verb} {held:,} of {count(present, 'row')}{share}."


def _facts(result: GroupsResult, created: datetime) -> str:
    manifest = result.manifest
    method = str(manifest.arguments.get("method", ""))
    facts = {
        "Date": f"{created:%d %B %Y, %H:%M}".lstrip("0"),
        "Model": manifest.model.get("name", ""),
        "Method": _METHODS.get(method, method),
    }
    return "".join(f"<div><dt>{n}</dt><dd>{safe(v)}</dd></div>" for n, v in facts.items() if v)


def _figures(result: GroupsResult) -> str:
    counts = result.manifest.counts
    largest = max((one.size for one in result.summaries), default=0)
    figures = {
        "rows": counts["rows"],
        "in groups": counts["clustered"],
        "groups": len(result.summaries),
        "largest group": largest,
        "in no group": counts["noise"],
    }
    return "".join(f"<div><dt>{name}</dt><dd>{n:,}</dd></div>" for name, n in figures.items())


def _notes(result: GroupsResult, points: Points) -> str:
    counts, said = result.manifest.counts, list(result.manifest.notes)
    if counts["empty"]:
        verb = "is" if counts["empty"] == 1 else "are"
        said.append(f"{count(counts['empty'], 'row')} {verb} empty and in no group")
    if counts["truncated"]:
        were = "text was" if counts["truncated"] == 1 else "texts were"
        said.append(f"{counts['truncated']:,} {were} longer than the model reads, and cut")
    if counts["attached"]:
        said.append(
            f"{count(counts['attached'], 'row')} fitted no group and joined the nearest one, "
            "because --assign-noise asked for it; they are hollow on the map"
        )
    if points.left_out:
        said.append(
            f"the map shows {count(len(points.rows), 'row')}, evenly chosen; the file of rows has "
            f"{points.left_out:,} more"
        )
    return _list(said)


def _list(sentences: Iterable[str]) -> str:
    items = "".join(f"<li>{safe(sentence)}</li>" for sentence in sentences)
    return f'<ul class="notes">{items}</ul>' if items else ""
