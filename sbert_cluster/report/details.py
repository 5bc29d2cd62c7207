"""How a run was made, as tables: what somebody needs to judge it or to do it again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from sbert_cluster.report.escape import visible
from sbert_cluster.report.figures import count, duration
from sbert_cluster.types import RunManifest

_STAGES = {
    "read": "reading",
    "encode": "encoding",
    "compare": "comparing",
    "decide": "deciding",
    "cluster": "clustering",
    "describe": "describing",
    "write": "writing",
}


def safe(value: object) -> str:
    """Any value as HTML text: visible, and without markup."""
    return escape(visible(str(value)))


def details_html(manifest: RunManifest) -> str:
    """The settings, the machine, the model, the files and the times of a run.

    Returns:
        Several ``<section>`` elements, every value escaped.
    """
    return "".join(
        (
            _table("Settings", _settings(manifest.arguments)),
            _table("Model and machine", _machine(manifest)),
            _times(manifest.timings_s),
            _files(manifest.input),
            _table("Versions", manifest.versions.items()),
        )
    )


def _table(title: str, rows: Iterable[tuple[str, object]]) -> str:
    body = "".join(
        f'<tr><th scope="row">{safe(name)}</th><td>{safe(value)}</td></tr>' for name, value in rows
    )
    return f"<section><h3>{safe(title)}</h3><table>{body}</table></section>" if body else ""


def _settings(arguments: Mapping[str, Any]) -> Iterable[tuple[str, object]]:
    for name, value in arguments.items():
        if value not in (None, "", [], ()):
            yield name.replace("_", " "), _setting(value)


def _setting(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(str(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _machine(manifest: RunManifest) -> Iterable[tuple[str, object]]:
    model = manifest.model
    for key, name in (
        ("name", "model"),
        ("pooling", "pooling"),
        ("dimensions", "dimensions"),
        ("max_seq_length", "tokens per text"),
        ("sha256", "sha256 of the weights"),
    ):
        if model.get(key):
            yield name, model[key]
    yield "device", manifest.device
    yield "precision", manifest.precision
    if manifest.peak_memory_bytes:
        yield "most memory in use", f"{manifest.peak_memory_bytes / 2**20:,.0f} MiB"


def _times(timings: Mapping[str, float]) -> str:
    stages = {name: seconds for name, seconds in timings.items() if name != "total"}
    total = timings.get("total", sum(stages.values()))
    longest = max([*stages.values(), 1e-9])
    rows = "".join(_time(_STAGES.get(n, n), s, 100 * s / longest) for n, s in stages.items())
    foot = f'<tr><th scope="row">total</th><td>{duration(total)}</td><td></td></tr>'
    return f'<section><h3>Time</h3><table class="times">{rows}{foot}</table></section>'


def _time(name: str, seconds: float, percent: float) -> str:
    bar = f'<span class="time-bar" style="width:{percent:.1f}%"></span>'
    cells = f'<th scope="row">{safe(name)}</th><td>{duration(seconds)}</td>'
    return f'<tr>{cells}<td aria-hidden="true">{bar}</td></tr>'


def _files(described: Mapping[str, Any]) -> str:
    files = described.get("files", ())
    rows = ((str(f.get("path", "")), _file(f)) for f in files)
    return _table("Input", rows)


def _file(described: Mapping[str, Any]) -> str:
    said = count(int(described.get("rows", 0)), "row")
    return f"{said}, sha256 {described['sha256']}" if described.get("sha256") else said
