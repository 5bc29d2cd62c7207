"""A run as one page: it needs no network, and a colleague can open it from an e-mail.

The page carries its data as JSON and its script names itself by hash in the page's own content
security policy: whatever a text contains, nothing but that script runs.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from datetime import datetime
from importlib.resources import files
from string import Template

from sbert_cluster.report.details import details_html, safe
from sbert_cluster.report.embedded import MAX_CHARACTERS, Embedded, embed
from sbert_cluster.report.escape import json_for_script
from sbert_cluster.report.figures import (
    certificate,
    count,
    file_name,
    other_name,
    percent,
    removed_by_reason,
    threshold,
    warnings,
)
from sbert_cluster.report.plots import histogram_svg
from sbert_cluster.types import DedupResult, Reason

_REASON_SAID = {
    Reason.EXACT: "the same, character for character",
    Reason.NORMALISED: "the same but for case, spacing, punctuation or Unicode form",
    Reason.SEMANTIC: "similar in meaning, at or above the threshold",
    Reason.RERANKED: "decided by a cross-encoder",
}
_GROUPING_SAID = {
    "direct": "every removed row is similar to the row kept in its place",
    "complete": "every two rows of a group are similar",
    "single": "rows may be joined by a chain",
}


def render_dedup(result: DedupResult, created: datetime | None = None) -> str:
    """Make the page about a run of ``dedup``.

    Args:
        result: What was found.
        created: Date on the page; None: now.

    Returns:
        A whole HTML document, to be written as UTF-8.
    """
    shown = embed(result)
    script = _asset("dedup.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return Template(_asset("dedup.html")).substitute(
        policy=f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'",
        style=_asset("dedup.css"),
        script=script,
        data=json_for_script(_data(result, shown)),
        title=safe(file_name(result.corpus)),
        version=safe(result.manifest.versions.get("sbert-cluster", "")),
        lede=_lede(result),
        facts=_facts(result, created or datetime.now().astimezone()),
        figures=_figures(result),
        histogram=_histogram(result),
        found=_found(removed_by_reason(result)),
        trust=_trust(result),
        groups=_groups(result, shown),
        details=details_html(result.manifest),
    )


def _asset(name: str) -> str:
    return (files("sbert_cluster.report") / "assets" / name).read_text("utf-8")


def _data(result: DedupResult, shown: Embedded) -> dict[str, object]:
    against = result.reference is not None
    return {
        "groups": shown.groups,
        "reasons": [reason.word for reason in Reason],
        "keptWord": f"in {other_name(result)}" if against else "kept",
        "against": against,
        "threshold": threshold(result),
    }


def _removed(result: DedupResult) -> int:
    return int((~result.groups.kept).sum())


def _lede(result: DedupResult) -> str:
    rows, removed = len(result.groups.kept), _removed(result)
    share = f" ({removed / rows:.1%})" if removed else ""
    if result.reference is not None:
        other = safe(other_name(result))
        verb = "repeats" if removed == 1 else "repeat"
        said = f"<strong>{removed:,} of {count(rows, 'row')}</strong>{share} {verb} a row of"
        return f"{said} <bdi>{other}</bdi>."
    if not removed:
        return f"<strong>No duplicates</strong> among {count(rows, 'row')}."
    verb = "repeats" if removed == 1 else "repeat"
    kept = f"{count(rows - removed, 'row')} {'stays' if rows - removed == 1 else 'stay'}."
    said = f"<strong>{removed:,} of {count(rows, 'row')}</strong>{share}"
    return f"{said} {verb} another row. {kept}"


def _facts(result: DedupResult, created: datetime) -> str:
    manifest, arguments = result.manifest, result.manifest.arguments
    # Against another file nothing is kept in anything's place, and each row has its own match.
    decided = {} if other_name(result) else arguments
    grouping = str(decided.get("grouping", ""))
    explained = f"{grouping}: {_GROUPING_SAID.get(grouping, '')}".removesuffix(": ")
    facts = {
        "Compared with": other_name(result),
        "Date": f"{created:%d %B %Y, %H:%M}".lstrip("0"),
        "Model": manifest.model.get("name", ""),
        "Threshold": arguments.get("threshold", ""),
        "Keep": decided.get("keep", ""),
        "Grouping": explained,
    }
    return "".join(f"<div><dt>{n}</dt><dd>{safe(v)}</dd></div>" for n, v in facts.items() if v)


def _figures(result: DedupResult) -> str:
    rows, removed = len(result.groups.kept), _removed(result)
    against = result.reference is not None
    figures = {
        "rows": rows,
        "new" if against else "kept": rows - removed,
        "repeated" if against else "removed": removed,
        "groups": result.groups.count,
        "pairs": result.manifest.counts.get("pairs", len(result.pairs)),
    }
    return "".join(f"<div><dt>{name}</dt><dd>{n:,}</dd></div>" for name, n in figures.items())


def _histogram(result: DedupResult) -> str:
    histogram = result.histogram
    if not histogram.counts.sum():
        return ""
    whose = "" if result.reference is None else " of both files"
    return (
        '<figure class="panel"><h2>How close texts are</h2>'
        f"{histogram_svg(histogram, threshold(result))}"
        f"<figcaption>Each distinct text{whose} counts once, at the similarity to its nearest "
        f"other text. Texts to the right of the line have a near-duplicate.{_sample(result)}"
        "</figcaption></figure>"
    )


def _sample(result: DedupResult) -> str:
    counts, measured = result.manifest.counts, result.histogram.rows
    distinct = counts["rows"] - counts.get("empty", 0) - counts.get("exact_duplicates", 0)
    if measured >= distinct or result.reference is not None:
        return f" {count(measured, 'text')} measured."
    return f" Measured on a sample of {count(measured, 'text')}."


def _trust(result: DedupResult) -> str:
    return (
        f'<p class="certificate">{safe(certificate(result))}</p>'
        + _list("warnings", warnings(result))
        + _list("notes", result.manifest.notes)
    )


def _found(reasons: dict[Reason, int]) -> str:
    total = sum(reasons.values())
    if not total:
        return ""
    bar = "".join(
        f'<span class="{reason.word}" style="flex-grow:{n}"></span>'
        for reason, n in reasons.items()
    )
    legend = "".join(
        f'<li><span class="swatch {reason.word}"></span><span><b>{n:,} {reason.word}</b> '
        f"<small>{safe(percent(n, total))}, {_REASON_SAID[reason]}</small></span></li>"
        for reason, n in reasons.items()
    )
    return (
        '<section class="panel"><h2>How they were found</h2>'
        f'<div class="shares" aria-hidden="true">{bar}</div>'
        f'<ul class="legend">{legend}</ul></section>'
    )


def _list(kind: str, sentences: Iterable[str]) -> str:
    items = "".join(f"<li>{safe(sentence)}</li>" for sentence in sentences)
    return f'<ul class="{kind}">{items}</ul>' if items else ""


def _groups(result: DedupResult, shown: Embedded) -> str:
    if not result.groups.count:
        return _nothing_found(result)
    return Template(_asset("groups.html")).substitute(
        left_out=_left_out(result, shown),
        reasons="".join(
            f'<label><input type="checkbox" name="reason" value="{int(reason)}" checked> '
            f"{reason.word}</label>"
            for reason in removed_by_reason(result)
        ),
    )


def _left_out(result: DedupResult, shown: Embedded) -> str:
    said = []
    if len(shown.groups) < result.groups.count:
        said.append(f"{len(shown.groups):,} of {count(result.groups.count, 'group')}")
    if shown.rows_shown < shown.rows_in_all:
        rows = count(shown.rows_in_all, "removed row")
        said.append(f"{shown.rows_shown:,} of {rows}, the least similar of each group")
    if shown.texts_cut:
        longer = "longer text" if shown.texts_cut == 1 else "longer texts"
        said.append(f"the first {MAX_CHARACTERS:,} characters of {shown.texts_cut:,} {longer}")
    if not said:
        return ""
    return (
        f'<p class="left-out">This page holds {"; ".join(said)}. '
        "The file of duplicates beside it has all of them.</p>"
    )


def _nothing_found(result: DedupResult) -> str:
    limit = threshold(result)
    line = "the threshold" if limit is None else f"{limit:g}"
    other = f"a row of {safe(other_name(result))}" if other_name(result) else "another row"
    return (
        '<div class="nothing"><h3>Nothing repeats.</h3>'
        f"<p>No row is as similar to {other} as {line}, so every row stays. The histogram shows "
        "how close they come; a lower <code>--threshold</code> finds looser repeats.</p></div>"
    )
